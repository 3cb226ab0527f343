//! Forgetting a person: what they said, what was answered and decided, and what was made of it in rows.

use std::collections::{BTreeMap, BTreeSet};

use ngb_core::{
    address::{Account, Place},
    clock::Timestamp,
    id::{GroupId, LaneId, MessageId},
    message::{Inbound, MediaKind, MediaRef},
    notice::Lang,
};

use crate::{
    Store, StoreError,
    db::Tx,
    moves,
    sql::{Sql, Value, row, sql, thread},
};

/// Messages that one transaction forgets, so that nobody waits for it.
const MESSAGES_A_TRANSACTION: usize = 200;

/// What a person left behind.
#[derive(Clone, Debug, Default)]
pub struct Traces {
    /// What they said, and what was said about it; in chats that were theirs alone all of it.
    pub messages: BTreeSet<MessageId>,
    /// Chats in which nobody else ever wrote.
    pub own_chats: BTreeSet<String>,
    /// Conversations in which they spoke.
    pub lanes: BTreeMap<LaneId, LaneTrace>,
    /// What they were called.
    pub names: BTreeSet<String>,
    /// Files with texts that were too long for a message.
    pub long_texts: BTreeSet<String>,
}

/// What a person left in a conversation.
#[derive(Clone, Debug, Default)]
pub struct LaneTrace {
    pub group: Option<GroupId>,
    /// Whether nobody else spoke there.
    pub alone: bool,
    /// The runs that were given something of theirs: from when to when.
    pub runs: Vec<(Timestamp, Timestamp)>,
}

/// What was removed with messages, and what could not be yet.
#[derive(Clone, Debug, Default)]
pub struct ForgotMessages {
    /// The numbers of their jobs.
    pub jobs: Vec<i64>,
    /// What is being sent at this moment; it can be removed once that is over.
    pub being_sent: u64,
}

/// Somebody who wants to be forgotten, and where they are told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForgetWish {
    pub id: i64,
    pub account: Account,
    pub sender_id: String,
    pub place: Place,
    pub lang: Lang,
}

/// Those of `account`'s messages `m` that `sender` wrote.
fn of_sender(account: &Account, sender: &str) -> (&'static str, [Value; 3]) {
    let prefix = format!("{account}:");
    let length = i64::try_from(prefix.len()).unwrap_or(i64::MAX);
    let text =
        "m.author = 'user' AND m.sender_id = $1 AND substr(m.jid, 1, CAST($2 AS INTEGER)) = $3";
    (text, [sender.into(), length.into(), prefix.into()])
}

fn with(doing: &'static str, text: String, values: impl IntoIterator<Item = Value>) -> Sql {
    let mut query = sql(doing, text);
    query.values.extend(values);
    query
}

impl Store {
    /// What the senders left behind.
    pub async fn traces(&self, of: &[(Account, String)]) -> Result<Traces, StoreError> {
        let mut res = Traces::default();
        let mut chats = BTreeSet::new();
        for (account, sender) in of {
            let (which, values) = of_sender(account, sender);
            let text = format!(
                "SELECT m.id, m.jid, m.sender_name, m.media, m.lane_id, m.group_id FROM messages m WHERE {which}"
            );
            for row in self.rows(with("look for a person's messages", text, values)).await? {
                res.messages.insert(MessageId(row.int("id")?));
                res.names.insert(row.text("sender_name")?);
                chats.insert(row.text("jid")?);
                if let Some(lane) = row.opt_int("lane_id")? {
                    let lane = res.lanes.entry(LaneId(lane)).or_default();
                    lane.group = row.opt_int("group_id")?.map(GroupId);
                }
                let media: Vec<MediaRef> = row.json("media")?;
                let long = media.into_iter().filter(|it| it.kind == MediaKind::LongText);
                res.long_texts.extend(long.map(|it| it.reference));
            }
        }
        res.names.retain(|it| !it.trim().is_empty());
        self.look_around(&mut res, chats).await?;
        Ok(res)
    }

    /// Finds which chats and lanes were theirs alone, what was said about their messages, and by which runs.
    async fn look_around(
        &self,
        res: &mut Traces,
        chats: BTreeSet<String>,
    ) -> Result<(), StoreError> {
        for jid in chats {
            let text = "SELECT m.id FROM messages m WHERE m.jid = $1 AND m.author = 'user'";
            let all = self.rows(sql("look who else wrote", text).bind(&jid)).await?;
            let ids = all.iter().map(|it| it.int("id").map(MessageId));
            if !ids.collect::<Result<BTreeSet<_>, _>>()?.is_subset(&res.messages) {
                continue;
            }
            let text = "SELECT m.id FROM messages m WHERE m.jid = $1";
            for row in self.rows(sql("read a chat", text).bind(&jid)).await? {
                res.messages.insert(MessageId(row.int("id")?));
            }
            res.own_chats.insert(jid);
        }
        let asked: Vec<MessageId> = res.messages.iter().copied().collect();
        for part in asked.chunks(MESSAGES_A_TRANSACTION) {
            for text in [
                "SELECT m.id FROM messages m WHERE m.in_reply_to IN ({list})",
                // What answers several of a chat refers to one of them.
                "SELECT m.id FROM messages m WHERE m.author <> 'user'
                    AND m.lane_id IN (SELECT j.lane_id FROM jobs j WHERE j.message_id IN ({list}))
                    AND m.run_id IN (SELECT j.run_id FROM jobs j WHERE j.message_id IN ({list}))",
            ] {
                let mut query = sql("look for answers", text);
                while query.text.contains("{list}") {
                    query = query.list(part.iter().copied());
                }
                for row in self.rows(query).await? {
                    res.messages.insert(MessageId(row.int("id")?));
                }
            }
        }
        for (lane, trace) in &mut res.lanes {
            let text = "SELECT m.id, m.received_at FROM messages m WHERE m.lane_id = $1 AND m.author = 'user'";
            let mut theirs = Vec::new();
            trace.alone = true;
            for row in self.rows(sql("read a lane", text).bind(*lane)).await? {
                match res.messages.contains(&MessageId(row.int("id")?)) {
                    true => theirs.push(row.time("received_at")?),
                    false => trace.alone = false,
                }
            }
            if !trace.alone {
                trace.runs = self.runs_after(*lane, &theirs).await?;
            }
        }
        Ok(())
    }

    /// The runs of a lane that were the first to be given something of those times.
    async fn runs_after(
        &self,
        lane: LaneId,
        times: &[Timestamp],
    ) -> Result<Vec<(Timestamp, Timestamp)>, StoreError> {
        let text = "SELECT r.started_at, r.ended_at FROM runs r WHERE r.lane_id = $1 ORDER BY r.id";
        let mut runs = Vec::new();
        for row in self.rows(sql("read the runs of a lane", text).bind(lane)).await? {
            let started_at = row.time("started_at")?;
            let ended_at = row.opt_int("ended_at")?.map_or_else(|| self.now(), Timestamp);
            runs.push((started_at, ended_at));
        }
        // One that was under way may have been given it while it worked.
        let given = |at: Timestamp| {
            let first = runs.iter().position(|it| at <= it.1)?;
            let next = runs.iter().position(|it| at <= it.0).unwrap_or(first);
            Some(first..=next)
        };
        let all: BTreeSet<usize> = times.iter().filter_map(|it| given(*it)).flatten().collect();
        Ok(all.into_iter().map(|it| runs[it]).collect())
    }

    /// Takes back what waits to be answered of these messages.
    pub async fn cancel_messages(&self, messages: &BTreeSet<MessageId>) -> Result<(), StoreError> {
        let all: Vec<MessageId> = messages.iter().copied().collect();
        for part in all.chunks(MESSAGES_A_TRANSACTION) {
            self.write(part.to_vec(), |tx, it| Box::pin(cancel(tx, it))).await?;
        }
        Ok(())
    }

    /// Removes these messages and all that is about them, but for what is being sent at this moment.
    pub async fn forget_messages(
        &self,
        messages: &BTreeSet<MessageId>,
    ) -> Result<ForgotMessages, StoreError> {
        let all: Vec<MessageId> = messages.iter().copied().collect();
        let mut res = ForgotMessages::default();
        for part in all.chunks(MESSAGES_A_TRANSACTION) {
            let part = self.write(part.to_vec(), |tx, it| Box::pin(forget(tx, it))).await?;
            res.jobs.extend(part.jobs);
            res.being_sent += part.being_sent;
        }
        Ok(res)
    }

    /// Removes what else is known of the senders: their chats' names, codes, what waits there; sessions of the lanes in
    /// which they spoke begin anew.
    pub async fn forget_senders(
        &self,
        of: &[(Account, String)],
        traces: &Traces,
    ) -> Result<(), StoreError> {
        let of = of.iter().map(|it| (it.0.to_string(), it.1.clone())).collect();
        let lanes = traces.lanes.keys().copied().collect();
        let it = Senders { of, chats: traces.own_chats.iter().cloned().collect(), lanes };
        self.write(it, |tx, it| Box::pin(forget_senders(tx, it))).await
    }

    /// Who waits to be forgotten.
    pub async fn forget_wishes(&self) -> Result<Vec<ForgetWish>, StoreError> {
        let text = "SELECT id, account, sender_id, jid, thread, lang FROM forgets ORDER BY id";
        let wish = |row: &crate::sql::Row| {
            Ok(ForgetWish {
                id: row.int("id")?,
                account: row.parsed("account")?,
                sender_id: row.text("sender_id")?,
                place: row.place()?,
                lang: if row.text("lang")? == "zh" { Lang::Zh } else { Lang::En },
            })
        };
        self.rows(sql("read who is to be forgotten", text)).await?.iter().map(wish).collect()
    }

    /// Takes a wish off the list.
    pub async fn forgot(&self, id: i64) -> Result<(), StoreError> {
        self.write(id, |tx, id| {
            Box::pin(async move {
                let query = sql("forget a wish", "DELETE FROM forgets WHERE id = $1").bind(*id);
                tx.run(query).await.map(drop)
            })
        })
        .await
    }
}

/// Keeps that somebody wants to be forgotten; the same again changes nothing.
pub(crate) async fn wish(
    tx: &mut Tx,
    account: &Account,
    sender: &str,
    place: &Place,
    lang: Lang,
) -> Result<(), StoreError> {
    let lang = if lang == Lang::Zh { "zh" } else { "en" };
    let values = row![account.to_string(), sender, place.jid.to_string(), thread(place), lang];
    let text = "INSERT INTO forgets (account, sender_id, jid, thread, lang) VALUES {values} ON CONFLICT DO NOTHING";
    tx.run_many(sql("keep a wish", text), vec![values]).await
}

async fn cancel(tx: &mut Tx, messages: &[MessageId]) -> Result<(), StoreError> {
    let text =
        "UPDATE jobs SET state = 'cancelled', ended_at = $1, error = 'its sender is forgotten'
                WHERE state IN ('queued', 'held') AND message_id IN ({list}) RETURNING lane_id";
    let query = sql("cancel jobs", text).bind(tx.now).list(messages.iter().copied());
    let rows = tx.rows(query).await?;
    let lanes = rows.iter().map(|it| it.int("lane_id")).collect::<Result<Vec<_>, _>>()?;
    moves::requeue_lanes(tx, lanes).await
}

async fn forget(tx: &mut Tx, messages: &[MessageId]) -> Result<ForgotMessages, StoreError> {
    let ids = || messages.iter().copied();
    let text = "SELECT id FROM jobs WHERE message_id IN ({list})";
    let jobs = tx.rows(sql("look for jobs", text).list(ids())).await?;
    let jobs = jobs.iter().map(|it| it.int("id")).collect::<Result<Vec<_>, _>>()?;
    if !jobs.is_empty() {
        for text in [
            "UPDATE runs SET error = NULL WHERE id IN (SELECT run_id FROM jobs WHERE id IN ({list}))",
            "DELETE FROM outbox WHERE state <> 'sending' AND job_id IN ({list})",
            "DELETE FROM calls WHERE job_id IN ({list})",
            "DELETE FROM asks WHERE job_id IN ({list})",
            "DELETE FROM jobs WHERE id IN ({list})",
        ] {
            tx.run(sql("forget jobs", text).list(jobs.iter().copied())).await?;
        }
    }
    for text in [
        "DELETE FROM outbox WHERE state <> 'sending' AND about IN ({list})",
        "DELETE FROM outbox WHERE state <> 'sending' AND answer_id IN ({list})",
        "DELETE FROM decisions WHERE message_id IN ({list})",
        "DELETE FROM words WHERE message_id IN ({list})",
        "DELETE FROM passages WHERE message_id IN ({list})",
        "DELETE FROM reworded WHERE message_id IN ({list})",
        "DELETE FROM messages WHERE id IN ({list})",
    ] {
        tx.run(sql("forget messages", text).list(ids())).await?;
    }
    let text = "SELECT count(*) AS n FROM outbox WHERE state = 'sending' AND (about IN ({list}) OR answer_id IN ({list}))";
    let row = tx.row(sql("count what is being sent", text).list(ids()).list(ids())).await?;
    let being_sent = row.map_or(Ok(0), |it| it.count("n"))?;
    Ok(ForgotMessages { jobs, being_sent })
}

struct Senders {
    of: Vec<(String, String)>,
    chats: Vec<String>,
    lanes: Vec<LaneId>,
}

/// Forgets edits about which plugins are still to be asked, or which one holds: they are of no message yet.
async fn forget_edits(tx: &mut Tx, account: &str, sender: &str) -> Result<(), StoreError> {
    let text = "SELECT id, inbound FROM passages WHERE way = 'in' AND message_id IS NULL";
    let mut theirs = Vec::new();
    for row in tx.rows(sql("look for edits", text)).await? {
        let inbound: Inbound = row.json("inbound")?;
        if inbound.sender.id == sender && inbound.place.jid.account().to_string() == account {
            theirs.push(row.int("id")?);
        }
    }
    if theirs.is_empty() {
        return Ok(());
    }
    let text = "DELETE FROM passages WHERE id IN ({list})";
    tx.run(sql("forget edits", text).list(theirs)).await.map(drop)
}

async fn forget_senders(tx: &mut Tx, it: &Senders) -> Result<(), StoreError> {
    for (account, sender) in &it.of {
        forget_edits(tx, account, sender).await?;
        for text in [
            "DELETE FROM pairings WHERE account = $1 AND sender_id = $2",
            "DELETE FROM links WHERE account = $1 AND sender_id = $2 OR used_account = $1 AND used_sender = $2",
            // Whoever has a role keeps their address: the role counts there.
            "DELETE FROM identities WHERE account = $1 AND sender_id = $2
                AND NOT EXISTS (SELECT 1 FROM roles r WHERE r.user_id = identities.user_id)",
        ] {
            tx.run(sql("forget a sender", text).bind(account).bind(sender)).await?;
        }
        let text = "UPDATE tasks SET state = 'cancelled', next_at = NULL, text = '', note = NULL WHERE made_by = $1";
        tx.run(sql("forget tasks", text).bind(format!("{account}#{sender}"))).await?;
    }
    for chat in &it.chats {
        for text in [
            "DELETE FROM jobs WHERE jid = $1 AND state <> 'running'",
            "DELETE FROM outbox WHERE jid = $1 AND state <> 'sending'",
            "DELETE FROM asks WHERE jid = $1",
            "UPDATE tasks SET state = 'cancelled', next_at = NULL, text = '', note = NULL WHERE jid = $1",
            "UPDATE chats SET title = '' WHERE jid = $1",
        ] {
            tx.run(sql("forget a chat", text).bind(chat)).await?;
        }
    }
    tx.cache.chats.clear();
    if it.lanes.is_empty() {
        return Ok(());
    }
    let text = "UPDATE lanes SET session_id = NULL, session_entries = NULL,
                    fresh_after = coalesce(run_id, fresh_after) WHERE id IN ({list})";
    tx.run(sql("begin new sessions", text).list(it.lanes.iter().copied())).await?;
    moves::requeue_lanes(tx, it.lanes.iter().map(|it| it.0).collect()).await
}
