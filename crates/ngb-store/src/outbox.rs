//! What goes out: in the order of the rows within a place, one at a time there.
//!
//! ```text
//! pending ──taken──▶ sending ──▶ sent
//!    ▲                  │
//!    └──retry, in doubt─┤
//!                       └──▶ failed ──▶ pending, or dead: see `unsent`
//! ```
//! The earliest row of a place that is pending or sending is its head, and only the head is ever sent; one that waits for
//! its next try holds the place, one that failed doesn't.

use std::collections::{BTreeSet, HashMap, HashSet};

use ngb_core::{
    address::{Account, Jid, Place},
    clock::Timestamp,
    decision::Decision,
    id::{MessageId, OutboxId, RunId},
    message::{Author, Outbound},
};

use crate::{
    NewDecision, NewOutbox, OutboxItem, OwnMessage, Queued, SendOutcome, Settle, Store, StoreError,
    db::Tx,
    moves,
    sql::{Row, row, sql, thread, to_json},
};

const ITEM: &str = "outbox.id, outbox.jid, outbox.thread, outbox.item, outbox.attempt, outbox.in_doubt, outbox.about,
    outbox.live";

/// A row that is to be made.
pub(crate) struct OutRow<'a> {
    pub(crate) new: &'a NewOutbox,
    /// The message of ours that it is a part of.
    pub(crate) answer: Option<MessageId>,
    /// Whether `answer` goes by the platform id of this row.
    pub(crate) is_first: bool,
    pub(crate) run: Option<RunId>,
}

impl<'a> From<&'a NewOutbox> for OutRow<'a> {
    fn from(new: &'a NewOutbox) -> Self {
        Self { new, answer: None, is_first: false, run: None }
    }
}

/// Makes rows, and marks those that can go at once as `sending`. The answer is in the order of `rows`.
pub(crate) async fn queue(tx: &mut Tx, rows: &[OutRow<'_>]) -> Result<Vec<Queued>, StoreError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let kept = keep_said(tx, rows).await?;
    let node = tx.node.clone();
    let mut taken = open_places(tx, rows).await?;
    let mut values = Vec::with_capacity(rows.len());
    let mut sends = Vec::with_capacity(rows.len());
    for (it, kept) in rows.iter().zip(&kept) {
        let NewOutbox { place, item, about, job, live } = it.new;
        // The head of its place: there is nothing before it.
        let first = taken.insert(place.clone());
        sends.push(first);
        values.push(row![
            place.jid.account().to_string(),
            place.jid.to_string(),
            thread(place),
            to_json(item)?,
            *about,
            it.answer.or(*kept),
            it.is_first || kept.is_some(),
            *job,
            it.run,
            *live,
            if first { "sending" } else { "pending" },
            u32::from(first),
            first.then(|| node.to_string()),
            first.then_some(tx.now.0),
            tx.now,
            tx.now,
        ]);
    }
    let text = "INSERT INTO outbox (account, jid, thread, item, about, answer_id, is_first, job_id, run_id, live, state,
                    attempt, node, taken_at, next_at, created_at)
                VALUES {values} RETURNING id";
    let made = tx.rows_many(sql("queue what goes out", text), values).await?;
    let mut ids =
        made.iter().map(|it| it.int("id").map(OutboxId)).collect::<Result<Vec<_>, _>>()?;
    // The database numbers rows in their order; the order of what RETURNING gives is not promised.
    ids.sort();
    let mut res = Vec::with_capacity(rows.len());
    for (((id, message), row), sends) in ids.into_iter().zip(kept).zip(rows).zip(sends) {
        let sending = sends.then(|| taken_now(id, row.new));
        res.push(Queued { id, message, sending });
    }
    Ok(res)
}

fn taken_now(id: OutboxId, new: &NewOutbox) -> OutboxItem {
    let NewOutbox { place, item, about, live, .. } = new.clone();
    OutboxItem { id, place, item, attempt: 1, in_doubt: false, about, live }
}

/// The places of `rows` where something waits or is being sent.
async fn open_places(tx: &mut Tx, rows: &[OutRow<'_>]) -> Result<HashSet<Place>, StoreError> {
    let places: BTreeSet<&Place> = rows.iter().map(|it| &it.new.place).collect();
    let text = "WITH p (jid, thread) AS (VALUES {values})
                SELECT p.jid, p.thread FROM p WHERE EXISTS (SELECT 1 FROM outbox e
                    WHERE e.jid = p.jid AND e.thread = p.thread AND e.state IN ('pending', 'sending'))";
    let values = places.iter().map(|it| row![it.jid.to_string(), thread(it)]).collect();
    let open = tx.rows_many(sql("look for what goes before", text), values).await?;
    open.iter().map(Row::place).collect()
}

impl Store {
    /// How much waits to be sent, or is being sent, by account; those with nothing are left out.
    pub async fn backlog(&self) -> Result<HashMap<Account, u64>, StoreError> {
        let text = "SELECT account, count(*) AS n FROM outbox WHERE state IN ('pending', 'sending') GROUP BY account";
        let rows = self.rows(sql("count what is to be sent", text)).await?;
        let mut waiting = HashMap::new();
        for row in rows {
            // What is no name is of an account that can't be.
            if let Ok(account) = row.text("account")?.parse() {
                waiting.insert(account, row.count("n")?);
            }
        }
        Ok(waiting)
    }
}

/// Keeps what is said besides answers as messages of the chat, so that its history is whole: what an agent says before
/// its answer, and what the gateway itself says. A question with buttons is kept as such, a live text becomes the answer.
async fn keep_said(tx: &mut Tx, rows: &[OutRow<'_>]) -> Result<Vec<Option<MessageId>>, StoreError> {
    let mut values = Vec::new();
    let mut kept = Vec::with_capacity(rows.len());
    for it in rows {
        let NewOutbox { place, item, about, job, live } = it.new;
        let said = match item {
            Outbound::Text { text, buttons, .. } if buttons.is_empty() && !live => Some(text),
            _ => None,
        };
        let (Some(said), None) = (said, it.answer) else {
            kept.push(false);
            continue;
        };
        kept.push(true);
        let author = if job.is_some() { Author::Assistant } else { Author::System };
        values.push(row![
            place.jid.to_string(),
            thread(place),
            author.as_str(),
            "",
            "",
            said,
            "[]",
            "no",
            *about,
            "said",
            tx.now,
            tx.now,
        ]);
    }
    let text = "INSERT INTO messages (jid, thread, author, sender_id, sender_name, text, media, addressed, in_reply_to,
                    state, sent_at, received_at)
                VALUES {values} RETURNING id";
    let made = tx.rows_many(sql("keep what is said", text), values).await?;
    let mut ids =
        made.iter().map(|it| it.int("id").map(MessageId)).collect::<Result<Vec<_>, _>>()?;
    ids.sort();
    let mut ids = ids.into_iter();
    Ok(kept.into_iter().map(|it| if it { ids.next() } else { None }).collect())
}

/// Marks the head of each place as `sending`, where it is pending and due.
async fn send_heads(
    tx: &mut Tx,
    places: BTreeSet<&Place>,
    now: Timestamp,
) -> Result<Vec<OutboxItem>, StoreError> {
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let text = format!(
        "WITH p (jid, thread) AS (VALUES {{values}})
         UPDATE outbox SET state = 'sending', attempt = attempt + 1, node = $1, taken_at = $2
         WHERE state = 'pending' AND next_at <= $2 AND id IN (
             SELECT (SELECT min(e.id) FROM outbox e
                     WHERE e.jid = p.jid AND e.thread = p.thread AND e.state IN ('pending', 'sending'))
             FROM p
             WHERE NOT EXISTS (SELECT 1 FROM outbox s
                               WHERE s.jid = p.jid AND s.thread = p.thread AND s.state = 'sending'))
         RETURNING {ITEM}"
    );
    let query = sql("send the heads of places", text).bind(&*tx.node.clone()).bind(now);
    let values = places.iter().map(|it| row![it.jid.to_string(), thread(it)]).collect();
    items(&tx.rows_many(query, values).await?)
}

fn items(rows: &[Row]) -> Result<Vec<OutboxItem>, StoreError> {
    let mut res = rows.iter().map(item).collect::<Result<Vec<_>, _>>()?;
    res.sort_by_key(|it| it.id);
    Ok(res)
}

fn item(row: &Row) -> Result<OutboxItem, StoreError> {
    Ok(OutboxItem {
        id: OutboxId(row.int("id")?),
        place: row.place()?,
        item: row.json("item")?,
        attempt: row.small("attempt")?,
        in_doubt: row.flag("in_doubt")?,
        about: row.opt_int("about")?.map(MessageId),
        live: row.flag("live")?,
    })
}

/// Notes what became of sends, and hands out the next of each place, to whoever settled the place.
pub(crate) async fn settle_all(
    tx: &mut Tx,
    all: &[&[Settle]],
) -> Result<Vec<Vec<OutboxItem>>, StoreError> {
    let flat: Vec<&Settle> = all.iter().copied().flatten().collect();
    let mut rows = Vec::new();
    let mut now = tx.now;
    for settle in &flat {
        now = now.max(settle.now);
        let (state, platform_id, next_at, error, in_doubt) = match &settle.outcome {
            SendOutcome::Sent { platform_id } => {
                ("sent", platform_id.as_deref(), None, None, false)
            }
            SendOutcome::Retry { at, error, in_doubt } => {
                ("pending", None, Some(at.0), Some(error.as_str()), *in_doubt)
            }
            SendOutcome::Failed { error } => ("failed", None, None, Some(error.as_str()), false),
            SendOutcome::Moved { .. } => ("pending", None, None, None, false),
        };
        rows.push(row![settle.id, state, platform_id, next_at, error, in_doubt, settle.now]);
    }
    let text = "WITH s (id, state, platform_id, next_at, error, in_doubt, at) AS (VALUES {values})
                UPDATE outbox SET state = s.state, platform_id = coalesce(s.platform_id, outbox.platform_id),
                    next_at = coalesce(s.next_at, outbox.next_at), error = s.error, in_doubt = s.in_doubt,
                    sent_at = CASE WHEN s.state = 'sent' THEN s.at END
                FROM s WHERE outbox.id = s.id AND outbox.state = 'sending'
                RETURNING outbox.id, outbox.jid, outbox.thread, outbox.about, outbox.answer_id, outbox.is_first,
                    outbox.platform_id, outbox.run_id";
    let settled = tx.rows_many(sql("settle sends", text), rows).await?;
    let mut places = HashMap::new();
    let mut named = Vec::new();
    let by_id: HashMap<OutboxId, &Settle> = flat.iter().map(|it| (it.id, *it)).collect();
    for it in &settled {
        let id = OutboxId(it.int("id")?);
        places.insert(id, it.place()?);
        if let (true, Some(message), Some(platform_id)) =
            (it.flag("is_first")?, it.opt_int("answer_id")?, it.opt_text("platform_id")?)
        {
            named.push((MessageId(message), platform_id));
        }
        if let (Some(about), Some(settle)) = (it.opt_int("about")?, by_id.get(&id)) {
            let run = it.opt_int("run_id")?.map(RunId);
            decide(tx, MessageId(about), run, settle);
        }
    }
    name_messages(tx, named).await?;
    for settle in &flat {
        if let (SendOutcome::Moved { to }, Some(place)) =
            (&settle.outcome, places.get_mut(&settle.id))
        {
            moves::move_chat(tx, &place.jid, to).await?;
            place.jid = to.clone();
        }
    }
    let next = send_heads(tx, places.values().collect(), now).await?;
    let mut next: HashMap<Place, OutboxItem> =
        next.into_iter().map(|it| (it.place.clone(), it)).collect();
    let mut of_settle = |it: &Settle| places.get(&it.id).and_then(|place| next.remove(place));
    Ok(all.iter().map(|it| it.iter().filter_map(&mut of_settle).collect()).collect())
}

fn decide(tx: &mut Tx, message: MessageId, run: Option<RunId>, settle: &Settle) {
    let (kind, detail) = match &settle.outcome {
        SendOutcome::Sent { platform_id } => {
            (Decision::Sent, platform_id.as_deref().unwrap_or_default().to_owned())
        }
        SendOutcome::Retry { error, in_doubt: true, .. } => (Decision::Unknown, error.clone()),
        SendOutcome::Retry { error, .. } => (Decision::SendRetry, error.clone()),
        SendOutcome::Failed { error } => (Decision::SendFailed, error.clone()),
        SendOutcome::Moved { to } => (Decision::SendRetry, format!("the chat moved to {to}")),
    };
    let detail = format!("#{} {detail}", settle.id).trim_end().to_owned();
    tx.decide(NewDecision { message: Some(message), job: None, run, kind, detail });
}

/// Gives messages of ours the id under which the platform has them, so that an answer to one is found.
async fn name_messages(tx: &mut Tx, named: Vec<(MessageId, String)>) -> Result<(), StoreError> {
    let text = "WITH n (id, platform_id) AS (VALUES {values})
                UPDATE messages SET platform_id = n.platform_id FROM n
                WHERE messages.id = n.id AND messages.platform_id IS NULL AND NOT EXISTS (
                    SELECT 1 FROM messages o WHERE o.jid = messages.jid AND o.platform_id = n.platform_id)";
    let rows = named.into_iter().map(|(id, platform_id)| row![id, platform_id]).collect();
    tx.run_many(sql("name messages", text), rows).await
}

struct Take {
    accounts: Vec<String>,
    now: Timestamp,
    limit: usize,
}

async fn take(tx: &mut Tx, it: &Take) -> Result<Vec<OutboxItem>, StoreError> {
    if it.accounts.is_empty() {
        return Ok(Vec::new());
    }
    let text = format!(
        "UPDATE outbox SET state = 'sending', attempt = attempt + 1, node = $1, taken_at = $2
         WHERE id IN (
             SELECT o.id FROM outbox o
             WHERE o.state = 'pending' AND o.next_at <= $2 AND o.account IN ({{list}})
                 AND o.id = (SELECT min(e.id) FROM outbox e
                     WHERE e.jid = o.jid AND e.thread = o.thread AND e.state IN ('pending', 'sending'))
                 AND NOT EXISTS (SELECT 1 FROM outbox s
                     WHERE s.jid = o.jid AND s.thread = o.thread AND s.state = 'sending')
             ORDER BY o.next_at, o.id LIMIT $3)
         RETURNING {ITEM}"
    );
    let query = sql("take what goes out", text).bind(&*tx.node.clone()).bind(it.now).bind(it.limit);
    items(&tx.rows(query.list(it.accounts.iter())).await?)
}

impl Store {
    /// Marks up to `limit` due items of `accounts` as `sending` and hands them out: at most one of a place.
    pub async fn take_outbox(
        &self,
        accounts: &[Account],
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<OutboxItem>, StoreError> {
        let accounts = accounts.iter().map(Account::to_string).collect();
        self.write(Take { accounts, now, limit }, |tx, it| Box::pin(take(tx, it))).await
    }

    /// The message of ours that a platform knows by this id; what it says now, should it have been edited.
    pub async fn own_message(
        &self,
        chat: &Jid,
        platform_id: &str,
    ) -> Result<Option<OwnMessage>, StoreError> {
        let text = "SELECT jid, thread, item FROM outbox WHERE jid = $1 AND platform_id = $2 ORDER BY id DESC LIMIT 1";
        let query = sql("find a message of ours", text).bind(chat.to_string()).bind(platform_id);
        let Some(row) = self.row(query).await? else { return Ok(None) };
        let item: Outbound = row.json("item")?;
        Ok(Some(OwnMessage { place: row.place()?, text: item.text().map(str::to_owned) }))
    }

    /// Queues items that no run made: a notice, the answer to a command.
    pub async fn say(&self, items: Vec<NewOutbox>) -> Result<Vec<Queued>, StoreError> {
        self.write(items, |tx, it| {
            Box::pin(async move {
                let rows: Vec<OutRow<'_>> = it.iter().map(OutRow::from).collect();
                queue(tx, &rows).await
            })
        })
        .await
    }
}
