//! The lease of the whole database: one gateway works on it, others stand by. On SQLite the lock on the home says the same.

use std::time::Duration;

use crate::{Store, StoreError, db::Tx, sql::sql};

/// The name of the lease that a gateway holds.
const GATEWAY: &str = "gateway";

/// Who may work on the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lease {
    /// This node may, until the lease runs out.
    Held,
    /// Another node may, for so long as it was last renewed.
    Other { node: String, left: Duration },
}

async fn hold(tx: &mut Tx, lease: &Duration) -> Result<Lease, StoreError> {
    let node = tx.node.clone();
    let lease_ms = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
    // The epoch counts the changes of hand.
    let text = "INSERT INTO leases (name, node, epoch, lease_until) VALUES ($1, $2, 1, {now} + $3)
                ON CONFLICT (name) DO UPDATE SET node = $2, lease_until = {now} + $3,
                    epoch = leases.epoch + CASE WHEN leases.node = $2 THEN 0 ELSE 1 END
                WHERE leases.node = $2 OR leases.lease_until < {now}
                RETURNING epoch";
    let taken = sql("take the database's lease", text).bind(GATEWAY).bind(&*node).bind(lease_ms);
    if tx.row(taken).await?.is_some() {
        return Ok(Lease::Held);
    }
    let text = "SELECT node, lease_until - {now} AS left_ms FROM leases WHERE name = $1";
    let row = tx.row(sql("look who holds the database", text).bind(GATEWAY)).await?;
    let row = row.ok_or(StoreError::NotFound { what: "lease", name: GATEWAY.to_owned() })?;
    let left_ms = u64::try_from(row.int("left_ms")?).unwrap_or(0);
    Ok(Lease::Other { node: row.text("node")?, left: Duration::from_millis(left_ms) })
}

async fn release(tx: &mut Tx) -> Result<(), StoreError> {
    let node = tx.node.clone();
    let text = "UPDATE leases SET lease_until = 0 WHERE name = $1 AND node = $2";
    tx.run(sql("give the database's lease back", text).bind(GATEWAY).bind(&*node)).await.map(drop)
}

impl Store {
    /// Takes the lease of the database, or renews it, for so long from now by the database's own clock.
    pub async fn hold(&self, lease: Duration) -> Result<Lease, StoreError> {
        self.write(lease, |tx, it| Box::pin(hold(tx, it))).await
    }

    /// Gives it back, so that another gateway need not wait for its end.
    pub async fn release(&self) -> Result<(), StoreError> {
        self.write((), |tx, ()| Box::pin(release(tx))).await
    }
}
