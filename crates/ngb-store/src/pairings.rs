//! Chats that ask to be let in.

use ngb_core::{
    clock::Timestamp,
    message::{ChatKind, Inbound},
    route::Access,
};

use crate::{
    Pairing, Plan, Store, StoreError,
    db::Tx,
    groups,
    sql::{Row, row, sql, thread},
};

const PAIRING: &str =
    "id, code, jid, thread, chat_title, is_direct, sender_id, sender_name, offered_at, expires_at";

/// Makes a pairing, unless the chat had one lately or the account has too many open ones. The limits hold within a batch.
pub(crate) async fn offer(
    tx: &mut Tx,
    inbound: &Inbound,
    plan: &Plan,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let Plan::OfferPairing { code, expires_at, not_since, max_pending, .. } = plan else {
        return Ok(false);
    };
    let (place, account) = (&inbound.place, inbound.place.jid.account().to_string());
    let text = "SELECT (SELECT count(*) FROM pairings WHERE jid = $1 AND offered_at > $2) AS lately,
                    (SELECT count(*) FROM pairings WHERE account = $3 AND state = 'open' AND expires_at > $4) AS open";
    let query = sql("count pairings", text).bind(place.jid.to_string()).bind(*not_since);
    let Some(row) = tx.row(query.bind(&account).bind(now)).await? else { return Ok(false) };
    if 0 < row.int("lately")? || u64::from(*max_pending) <= row.count("open")? {
        return Ok(false);
    }
    let text = "INSERT INTO pairings (code, account, jid, thread, chat_title, is_direct, sender_id, sender_name,
                    offered_at, expires_at)
                VALUES {values} ON CONFLICT DO NOTHING RETURNING id";
    let values = row![
        code,
        account,
        place.jid.to_string(),
        thread(place),
        &inbound.chat.title,
        inbound.chat.kind == ChatKind::Direct,
        &inbound.sender.id,
        &inbound.sender.name,
        now,
        *expires_at,
    ];
    Ok(!tx.rows_many(sql("offer a pairing", text), vec![values]).await?.is_empty())
}

fn pairing(row: &Row) -> Result<Pairing, StoreError> {
    Ok(Pairing {
        code: row.text("code")?,
        place: row.place()?,
        chat_title: row.text("chat_title")?,
        is_direct: row.flag("is_direct")?,
        sender_id: row.text("sender_id")?,
        sender_name: row.text("sender_name")?,
        offered_at: row.time("offered_at")?,
        expires_at: row.time("expires_at")?,
    })
}

struct Decide {
    code: String,
    by: String,
    now: Timestamp,
    access: Access,
}

async fn decide(tx: &mut Tx, it: &Decide) -> Result<Pairing, StoreError> {
    let text = format!(
        "UPDATE pairings SET state = $2, decided_by = $3, decided_at = $4
         WHERE code = $1 AND state = 'open' AND expires_at > $4 RETURNING {PAIRING}"
    );
    let query = sql("decide about a pairing", text).bind(&it.code).bind(it.access.as_str());
    let row = tx.row(query.bind(&it.by).bind(it.now)).await?;
    let name = it.code.clone();
    let row = row.ok_or(StoreError::NotFound { what: "open pairing code", name })?;
    let res = pairing(&row)?;
    groups::set_access(tx, &(res.place.jid.clone(), it.access)).await?;
    Ok(res)
}

impl Store {
    /// Pairings that wait for a decision, the oldest first.
    pub async fn pairings(&self, now: Timestamp) -> Result<Vec<Pairing>, StoreError> {
        let text = format!(
            "SELECT {PAIRING} FROM pairings WHERE state = 'open' AND expires_at > $1 ORDER BY id"
        );
        self.rows(sql("read pairings", text).bind(now)).await?.iter().map(pairing).collect()
    }

    /// Lets the chat in whose code this is.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for a code that is unknown, used or too old.
    pub async fn approve(
        &self,
        code: &str,
        by: &str,
        now: Timestamp,
    ) -> Result<Pairing, StoreError> {
        let (code, by) = (code.to_owned(), by.to_owned());
        let it = Decide { code, by, now, access: Access::Approved };
        self.write(it, |tx, it| Box::pin(decide(tx, it))).await
    }

    /// Refuses the chat whose code this is.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for a code that is unknown, used or too old.
    pub async fn deny(&self, code: &str) -> Result<Pairing, StoreError> {
        let (code, now) = (code.to_owned(), self.now());
        let it = Decide { code, by: String::new(), now, access: Access::Denied };
        self.write(it, |tx, it| Box::pin(decide(tx, it))).await
    }
}
