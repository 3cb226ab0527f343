//! What a platform refused for good: sends that nobody tries any more until somebody puts them back.

use ngb_core::{
    decision::Decision,
    id::{GroupId, MessageId, OutboxId},
};

use crate::{
    NewDecision, Store, StoreError, UnsentRow,
    db::Tx,
    sql::{Row, sql},
};

fn select(rest: &str) -> String {
    format!(
        "SELECT o.id, o.jid, o.thread, o.item, o.about, o.attempt, o.error, o.created_at,
            coalesce(j.group_id, m.group_id) AS group_id
         FROM outbox o LEFT JOIN jobs j ON j.id = o.job_id LEFT JOIN messages m ON m.id = o.about
         WHERE o.state = 'failed' {rest}"
    )
}

fn unsent(row: &Row) -> Result<UnsentRow, StoreError> {
    Ok(UnsentRow {
        id: OutboxId(row.int("id")?),
        group: row.opt_int("group_id")?.map(GroupId),
        about: row.opt_int("about")?.map(MessageId),
        place: row.place()?,
        item: row.json("item")?,
        attempt: row.small("attempt")?,
        error: row.opt_text("error")?,
        created_at: row.time("created_at")?,
    })
}

struct Change {
    id: OutboxId,
    kind: Decision,
}

async fn change(tx: &mut Tx, it: &Change) -> Result<(), StoreError> {
    // One that is put back has all its tries again, and goes before what was said in its place since.
    let text = if it.kind == Decision::Revived {
        "UPDATE outbox SET state = 'pending', attempt = 0, next_at = $2, in_doubt = 0
         WHERE id = $1 AND state = 'failed' RETURNING about"
    } else {
        "UPDATE outbox SET state = 'dead', taken_at = $2 WHERE id = $1 AND state = 'failed' RETURNING about"
    };
    let now = tx.now;
    let row = tx.row(sql("change an unsent row", text).bind(it.id).bind(now)).await?;
    let row = row.ok_or(StoreError::NotFound { what: "dead send", name: it.id.to_string() })?;
    if let Some(about) = row.opt_int("about")? {
        let (message, detail) = (Some(MessageId(about)), format!("#{}", it.id));
        tx.decide_at(now, NewDecision { message, job: None, run: None, kind: it.kind, detail });
    }
    Ok(())
}

impl Store {
    /// The newest sends that a platform refused for good.
    pub async fn unsent(&self, limit: u32) -> Result<Vec<UnsentRow>, StoreError> {
        let text = select("ORDER BY o.id DESC LIMIT $1");
        let rows = self.rows(sql("read unsent rows", text).bind(limit)).await?;
        rows.iter().map(unsent).collect()
    }

    /// One of them.
    pub async fn unsent_row(&self, id: OutboxId) -> Result<Option<UnsentRow>, StoreError> {
        let query = sql("read an unsent row", select("AND o.id = $1")).bind(id);
        self.row(query).await?.as_ref().map(unsent).transpose()
    }

    /// Has one of them sent again.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] when it is none.
    pub async fn resend(&self, id: OutboxId) -> Result<(), StoreError> {
        self.write(Change { id, kind: Decision::Revived }, |tx, it| Box::pin(change(tx, it))).await
    }

    /// Throws one of them away.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] when it is none.
    pub async fn drop_unsent(&self, id: OutboxId) -> Result<(), StoreError> {
        let it = Change { id, kind: Decision::Discarded };
        self.write(it, |tx, it| Box::pin(change(tx, it))).await
    }
}
