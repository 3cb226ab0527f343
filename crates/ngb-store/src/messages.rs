//! Messages as they are read: pages of them, one of them, and why one of them went its way.

use ngb_core::{
    address::{Account, Jid, Place},
    clock::Timestamp,
    decision::Decision,
    id::{GroupId, JobId, LaneId, MessageId, OutboxId, RunId},
    message::{Addressed, Author, Content},
    role::Role,
};

use crate::{
    DecisionRow, FetchedMedia, JobRow, MAX_PAGE, MessageFilter, OutboxRow, Store, StoreError,
    StoredMessage, ThreadRow, Usage, Why, jobs,
    sql::{Row, Value, row, sql},
};

/// A query of messages `m`; its rows are for [`stored`].
pub(crate) fn select(rest: &str) -> String {
    format!(
        "SELECT m.id, m.jid, m.thread, m.platform_id, m.author, m.sender_id, m.sender_name, m.role, m.text, m.media,
            m.reply_to, m.quote, m.album, m.addressed, m.in_reply_to, m.group_id, m.lane_id, m.run_id, m.sent_at, m.received_at,
            coalesce((SELECT j.state FROM jobs j WHERE j.message_id = m.id ORDER BY j.id DESC LIMIT 1), m.state) AS state,
            (SELECT r.text FROM messages r WHERE r.jid = m.jid AND r.platform_id = m.reply_to) AS reply_text
         FROM messages m WHERE {rest}"
    )
}

pub(crate) fn stored(row: &Row) -> Result<StoredMessage, StoreError> {
    let addressed = |word: &str| match word {
        "no" => Some(Addressed::No),
        "mention" => Some(Addressed::Mention),
        "reply" => Some(Addressed::Reply),
        "direct" => Some(Addressed::Direct),
        _ => None,
    };
    let role = match row.opt_text("role")? {
        Some(_) => Some(row.parsed::<Role>("role")?),
        None => None,
    };
    Ok(StoredMessage {
        id: MessageId(row.int("id")?),
        place: row.place()?,
        author: row.word("author", Author::parse)?,
        sender_id: row.text("sender_id")?,
        sender_name: row.text("sender_name")?,
        role,
        content: Content {
            platform_id: row.opt_text("platform_id")?.unwrap_or_default(),
            text: row.text("text")?,
            media: row.json("media")?,
            reply_to: row.opt_text("reply_to")?,
            quote: row.opt_text("quote")?,
            album: row.opt_text("album")?,
            addressed: row.word("addressed", addressed)?,
        },
        in_reply_to: row.opt_int("in_reply_to")?.map(MessageId),
        reply_text: match row.opt_text("quote")? {
            Some(quote) => Some(quote),
            None => row.opt_text("reply_text")?,
        },
        group: row.opt_int("group_id")?.map(GroupId),
        lane: row.opt_int("lane_id")?.map(LaneId),
        run: row.opt_int("run_id")?.map(RunId),
        state: row.text("state")?,
        sent_at: row.time("sent_at")?,
        received_at: row.time("received_at")?,
    })
}

fn decision(row: &Row) -> Result<DecisionRow, StoreError> {
    Ok(DecisionRow {
        at: row.time("at")?,
        kind: row.word("kind", Decision::parse)?,
        detail: row.text("detail")?,
        job: row.opt_int("job_id")?.map(JobId),
        run: row.opt_int("run_id")?.map(RunId),
    })
}

fn usage_row(row: &Row) -> Result<Usage, StoreError> {
    Ok(Usage {
        provider: row.text("provider")?,
        model: row.text("model")?,
        input_tokens: row.count("input_tokens")?,
        output_tokens: row.count("output_tokens")?,
        cached_tokens: row.count("cached_tokens")?,
        is_estimated: row.flag("is_estimated")?,
        cost_micros: row.opt_int("cost_micros")?.and_then(|it| u64::try_from(it).ok()),
    })
}

fn outbox_row(row: &Row) -> Result<OutboxRow, StoreError> {
    let mut state = row.text("state")?;
    if state == "pending" && row.flag("in_doubt")? {
        state = "unknown".to_owned();
    }
    Ok(OutboxRow {
        id: OutboxId(row.int("id")?),
        place: row.place()?,
        item: row.json("item")?,
        state,
        attempt: row.small("attempt")?,
        platform_id: row.opt_text("platform_id")?,
        error: row.opt_text("error")?,
        created_at: row.time("created_at")?,
        sent_at: row.opt_int("sent_at")?.map(ngb_core::clock::Timestamp),
    })
}

/// Which messages `m` a filter lets through, without its `after` and its limit.
pub(crate) struct Terms {
    pub(crate) text: String,
    pub(crate) values: Vec<Value>,
}

impl Terms {
    pub(crate) fn of(filter: &MessageFilter) -> Self {
        let MessageFilter { jid, group, lane, thread, seen, before, .. } = filter;
        let mut terms = Vec::new();
        let mut values: Vec<Value> = Vec::new();
        let mut only = |term: &str, value: Value| {
            values.push(value);
            terms.push(format!("{term} ${}", values.len()));
        };
        if let Some(jid) = jid {
            only("m.jid =", jid.to_string().into());
        }
        if let Some(group) = group {
            only("m.group_id =", (*group).into());
        }
        if let Some(lane) = lane {
            only("m.lane_id =", (*lane).into());
        }
        if let Some(thread) = thread {
            // Said so that the index of threads may be used.
            only(
                if thread.is_empty() { "m.thread =" } else { "m.thread <> '' AND m.thread =" },
                thread.into(),
            );
        }
        if let Some(before) = before {
            only("m.id <", (*before).into());
        }
        only("0 <", 1_i64.into());
        if let Some(seen) = seen {
            // Group 0 is nobody's.
            let holes = std::iter::once(GroupId(0)).chain(seen.iter().copied()).map(|it| {
                values.push(it.into());
                format!("${}", values.len())
            });
            let within = format!("m.group_id IN ({})", holes.collect::<Vec<_>>().join(", "));
            terms.push(if jid.is_some() {
                format!("(m.group_id IS NULL OR {within})")
            } else {
                within
            });
        }
        Self { text: terms.join(" AND "), values }
    }
}

impl Store {
    /// A page of messages.
    pub async fn messages(&self, filter: MessageFilter) -> Result<Vec<StoredMessage>, StoreError> {
        let Terms { mut text, mut values } = Terms::of(&filter);
        if let Some(after) = filter.after {
            values.push(after.into());
            text += &format!(" AND m.id > ${}", values.len());
        }
        let order = if filter.after.is_some() { "ASC" } else { "DESC" };
        values.push(filter.limit.min(MAX_PAGE).into());
        let rest = format!("{text} ORDER BY m.id {order} LIMIT ${}", values.len());
        let mut query = sql("read messages", select(&rest));
        query.values = values;
        self.rows(query).await?.iter().map(stored).collect()
    }

    pub(crate) async fn messages_by_id(
        &self,
        ids: Vec<MessageId>,
    ) -> Result<Vec<StoredMessage>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let query = sql("read messages", select("m.id IN ({list}) ORDER BY m.id")).list(ids);
        self.rows(query).await?.iter().map(stored).collect()
    }

    pub async fn message(&self, id: MessageId) -> Result<Option<StoredMessage>, StoreError> {
        Ok(self.messages_by_id(vec![id]).await?.pop())
    }

    /// The message that the platform knows by `platform_id`; for a later part of an answer, the answer.
    pub async fn find_message(
        &self,
        jid: &Jid,
        platform_id: &str,
    ) -> Result<Option<StoredMessage>, StoreError> {
        let by_id = select("m.jid = $1 AND m.platform_id = $2");
        let by_part = select(
            "m.id = (SELECT max(o.answer_id) FROM outbox o WHERE o.jid = $1 AND o.platform_id = $2)",
        );
        for text in [by_id, by_part] {
            let query = sql("find a message", text).bind(jid.to_string()).bind(platform_id);
            if let Some(row) = self.row(query).await? {
                return stored(&row).map(Some);
            }
        }
        Ok(None)
    }

    /// The places of an account where people wrote since then, the latest first, and when they wrote last by the
    /// platform's clock.
    pub async fn heard(
        &self,
        account: &Account,
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<(Place, Timestamp)>, StoreError> {
        // The inner limit also keeps SQLite from walking the whole table in the order of the outer grouping.
        let text = "SELECT t.jid, t.thread, max(t.sent_at) AS heard_at
                    FROM (SELECT jid, thread, sent_at FROM messages
                          WHERE id >= $1 AND author = 'user' AND substr(jid, 1, CAST($2 AS INTEGER)) = $3
                          ORDER BY id DESC LIMIT 50000) t
                    GROUP BY t.jid, t.thread ORDER BY max(t.sent_at) DESC LIMIT $4";
        let prefix = format!("{account}:");
        // Names of accounts are ASCII.
        let length = i64::try_from(prefix.len()).unwrap_or(i64::MAX);
        let first = self.first_since("messages", "received_at", since).await?;
        let query = sql("read what was heard last", text).bind(first).bind(length).bind(prefix);
        let heard = |row: &Row| Ok((row.place()?, row.time("heard_at")?));
        self.rows(query.bind(limit)).await?.iter().map(heard).collect()
    }

    /// The threads of a chat, the latest first.
    pub async fn threads(&self, jid: &Jid, limit: u32) -> Result<Vec<ThreadRow>, StoreError> {
        let text = "SELECT t.thread, t.last, m.received_at
                    FROM (SELECT thread, max(id) AS last FROM messages WHERE jid = $1 AND thread <> ''
                          GROUP BY thread ORDER BY max(id) DESC LIMIT $2) t
                    JOIN messages m ON m.id = t.last ORDER BY t.last DESC";
        let query = sql("read threads", text).bind(jid.to_string()).bind(limit.min(MAX_PAGE));
        let thread = |row: &Row| {
            let (thread, last) = (row.text("thread")?, MessageId(row.int("last")?));
            Ok(ThreadRow { thread, last, last_at: row.time("received_at")? })
        };
        self.rows(query).await?.iter().map(thread).collect()
    }

    /// The path of one message: what was decided, its jobs, what was sent about it.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] when there is no such message.
    pub async fn why(&self, id: MessageId) -> Result<Why, StoreError> {
        // What was only noted so far is written first.
        self.write((), |_, ()| Box::pin(async { Ok(()) })).await?;
        let message = self.message(id).await?;
        let message = message
            .ok_or_else(|| StoreError::NotFound { what: "message", name: id.to_string() })?;
        // An answer's path begins with the message that it answers.
        let about = message.in_reply_to.unwrap_or(id);
        let text = "SELECT id, at, kind, detail, job_id, run_id FROM decisions
                    WHERE message_id IN ($1, $2) ORDER BY at, id LIMIT $3";
        let query = sql("read decisions", text).bind(id).bind(about).bind(i64::from(MAX_PAGE));
        let decisions = self.rows(query).await?;
        let text = jobs::select("j.message_id IN ($1, $2) ORDER BY j.id");
        let jobs = self.rows(sql("read jobs", text).bind(id).bind(about)).await?;
        let text = "SELECT id, jid, thread, item, state, attempt, in_doubt, platform_id, error, created_at, sent_at
                    FROM outbox WHERE about IN ($1, $2) OR (answer_id = $1 AND about IS NULL) ORDER BY id LIMIT $3";
        let query = sql("read outbox", text).bind(id).bind(about).bind(i64::from(MAX_PAGE));
        let outbox = self.rows(query).await?;
        let mut decisions: Vec<DecisionRow> =
            decisions.iter().map(decision).collect::<Result<_, _>>()?;
        // Within a millisecond the clock doesn't tell them apart, but their kinds do.
        decisions.sort_by_key(|it| (it.at, Decision::ALL.iter().position(|kind| *kind == it.kind)));
        Ok(Why {
            message,
            decisions,
            jobs: jobs.iter().map(jobs::job).collect::<Result<Vec<JobRow>, _>>()?,
            outbox: outbox.iter().map(outbox_row).collect::<Result<_, _>>()?,
            usage: self.usage_of(id, about).await?,
        })
    }

    /// What the runs used that two messages were part of. A run's use is written with its end, or when it is let go.
    async fn usage_of(&self, one: MessageId, other: MessageId) -> Result<Vec<Usage>, StoreError> {
        let text = "SELECT u.provider, u.model, u.input_tokens, u.output_tokens, u.cached_tokens, u.is_estimated,
                        u.cost_micros
                    FROM usage_counts u JOIN runs r ON r.id = u.run_id AND r.group_id = u.group_id
                    WHERE u.at >= r.started_at AND u.at <= coalesce(r.ended_at, u.at) AND r.id IN (
                        SELECT d.run_id FROM decisions d WHERE d.message_id IN ($1, $2) AND d.run_id IS NOT NULL)
                    ORDER BY u.id";
        let rows = self.rows(sql("read what runs used", text).bind(one).bind(other)).await?;
        rows.iter().map(usage_row).collect()
    }

    /// Notes where a file of a message is now.
    pub async fn set_media_path(&self, file: FetchedMedia) -> Result<(), StoreError> {
        self.write(file, |tx, it| {
            Box::pin(async move {
                let text = "INSERT INTO media_files (message_id, n, path) VALUES {values}
                            ON CONFLICT (message_id, n) DO UPDATE SET path = excluded.path";
                let values = vec![row![it.message, it.n, &it.path]];
                tx.run_many(sql("note a file", text), values).await
            })
        })
        .await
    }

    /// Files of a message that are on this machine: position in the message's list, and path.
    pub async fn media_paths(&self, message: MessageId) -> Result<Vec<(u32, String)>, StoreError> {
        let text = "SELECT n, path FROM media_files WHERE message_id = $1 ORDER BY n";
        let rows = self.rows(sql("read files", text).bind(message)).await?;
        rows.iter().map(|it| Ok((it.small("n")?, it.text("path")?))).collect()
    }
}
