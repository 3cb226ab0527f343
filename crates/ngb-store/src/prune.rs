//! Numbers about what is stored, and the removal of what is old.

use std::{path::PathBuf, time::Duration};

use ngb_core::{
    clock::Timestamp,
    id::GroupId,
    message::{MediaKind, MediaRef, Outbound},
};

use crate::{
    Counts, Cutoffs, DayUsage, DayUse, Pruned, Store, StoreError,
    db::Tx,
    sql::{Row, Sql, Value, row, sql},
};

/// Rows that one transaction removes, so that nobody waits for it.
const ROWS_A_TRANSACTION: i64 = 1_000;

/// How much longer event keys are kept than messages: Meta repeats an event for 7 days.
const EVENT_KEYS: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Milliseconds of a day.
const MS_PER_DAY: i64 = 86_400_000;

/// Runs and usage of the day that still counts stay: caps are reckoned from them.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// One kind of rows that may go.
struct Kind {
    table: &'static str,
    /// Which of its rows `o` may go: `$1` is the time before which they are old. Never a row that something still needs.
    old: &'static str,
    /// The time at which its rows are made, which grows with their ids; none where an index has it.
    made: Option<&'static str>,
    /// Which cutoff holds for it.
    before: fn(&Cutoffs, now: Timestamp) -> Option<Timestamp>,
    count: fn(&mut Pruned) -> &mut u64,
}

const KINDS: [Kind; 9] = [
    Kind {
        table: "outbox",
        old: "o.created_at < $1 AND o.state NOT IN ('pending', 'sending')
            AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.live_outbox_id = o.id AND j.state IN ('queued', 'running'))
            AND NOT EXISTS (SELECT 1 FROM asks a WHERE a.outbox_id = o.id AND a.answer IS NULL AND a.expires_at >= $1)",
        made: Some("created_at"),
        before: |it, _| it.messages,
        count: |it| &mut it.outbox,
    },
    Kind {
        table: "jobs",
        old: "o.ended_at < $1 AND o.state IN ('done', 'cancelled')",
        made: Some("created_at"),
        before: |it, _| it.messages,
        count: |it| &mut it.jobs,
    },
    Kind {
        table: "jobs",
        old: "o.ended_at < $1 AND o.state = 'dead'",
        made: Some("created_at"),
        before: |it, _| it.dead_letters,
        count: |it| &mut it.dead_letters,
    },
    Kind {
        table: "runs",
        old: "o.ended_at < $1 AND o.state <> 'running' AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.run_id = o.id)",
        made: Some("started_at"),
        before: |it, now| it.messages.map(|it| it.min(now - DAY)),
        count: |it| &mut it.runs,
    },
    Kind {
        table: "messages",
        old: "o.received_at < $1
            AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.message_id = o.id)
            AND NOT EXISTS (SELECT 1 FROM outbox u WHERE u.jid = o.jid AND u.thread = o.thread
                AND u.state IN ('pending', 'sending') AND (u.about = o.id OR u.answer_id = o.id))",
        made: Some("received_at"),
        before: |it, _| it.messages,
        count: |it| &mut it.messages,
    },
    Kind {
        table: "fires",
        old: "o.fired_at < $1 AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.task_id = o.task_id AND j.slot_at = o.slot_at)",
        made: None,
        before: |it, _| it.messages,
        count: |it| &mut it.fires,
    },
    Kind {
        table: "decisions",
        old: "o.at < $1 AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.id = o.message_id)
            AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.id = o.job_id)",
        made: Some("at"),
        before: |it, _| it.messages,
        count: |it| &mut it.decisions,
    },
    Kind {
        table: "usage_counts",
        old: "o.at < $1",
        made: Some("at"),
        before: |it, now| it.usage.map(|it| it.min(now - DAY)),
        count: |it| &mut it.usage,
    },
    Kind {
        table: "audit",
        old: "o.at < $1",
        made: Some("at"),
        before: |it, _| it.audit,
        count: |it| &mut it.audit,
    },
];

struct Part {
    kind: &'static Kind,
    before: Timestamp,
    /// Rows from here on are too young.
    end: i64,
}

async fn remove(tx: &mut Tx, it: &Part) -> Result<u64, StoreError> {
    let Part { kind: Kind { table, old, .. }, before, end } = it;
    let text = format!(
        "DELETE FROM {table} WHERE id IN (
             SELECT o.id FROM {table} o WHERE o.id < $3 AND {old} ORDER BY o.id LIMIT $2)
         RETURNING id"
    );
    let query = sql("prune", text).bind(*before).bind(ROWS_A_TRANSACTION).bind(*end);
    let rows = tx.rows(query).await?;
    let ids = rows.iter().map(|it| it.int("id")).collect::<Result<Vec<_>, _>>()?;
    if *table == "jobs" && !ids.is_empty() {
        for text in [
            "DELETE FROM calls WHERE job_id IN ({list})",
            "DELETE FROM asks WHERE job_id IN ({list})",
        ] {
            tx.run(sql("prune", text).list(ids.iter().copied())).await?;
        }
    }
    Ok(u64::try_from(ids.len()).unwrap_or(u64::MAX))
}

async fn forget_events(tx: &mut Tx, keys: &[Vec<Value>]) -> Result<(), StoreError> {
    let text = "DELETE FROM events WHERE (account, event_key) IN (VALUES {values})";
    tx.run_many(sql("prune events", text), keys.to_vec()).await
}

/// What a group used from a time on; its row is for [`used`].
pub(crate) fn used_since(group: GroupId, day_start: Timestamp) -> Sql {
    let text = "SELECT (SELECT count(*) FROM runs
                     WHERE group_id = $1 AND started_at >= $2 AND state <> 'lost') AS runs_n,
                    (SELECT CAST(coalesce(sum(input_tokens + output_tokens), 0) AS BIGINT) FROM usage_counts
                     WHERE group_id = $1 AND at >= $2 AND is_open = 0) AS tokens,
                    (SELECT CAST(coalesce(sum(cost_micros), 0) AS BIGINT) FROM usage_counts
                     WHERE group_id = $1 AND at >= $2 AND is_open = 0) AS cost";
    sql("count a day's use", text).bind(group).bind(day_start)
}

pub(crate) fn used(row: &Row) -> Result<DayUse, StoreError> {
    let (runs, tokens) = (row.count("runs_n")?, row.count("tokens")?);
    Ok(DayUse { runs, tokens, cost_micros: row.count("cost")? })
}

impl Store {
    /// Removes what is old by `cutoffs` and not in use, a thousand rows a transaction; with `dry_run` only counts.
    ///
    /// A dry run counts no rows that are in use only by others that would go as well: a message whose job is old.
    pub async fn prune(&self, cutoffs: Cutoffs, dry_run: bool) -> Result<Pruned, StoreError> {
        let mut res = Pruned::default();
        let now = self.now();
        for kind in &KINDS {
            let Some(before) = (kind.before)(&cutoffs, now) else { continue };
            let count = (kind.count)(&mut res);
            let end = match kind.made {
                Some(column) => self.first_since(kind.table, column, before).await?,
                None => i64::MAX,
            };
            if dry_run {
                let Kind { table, old, .. } = kind;
                let text = format!("SELECT count(*) AS n FROM {table} o WHERE o.id < $2 AND {old}");
                let query = sql("count what is old", text).bind(before).bind(end);
                let row = self.row(query).await?;
                *count = row.map_or(Ok(0), |it| it.count("n"))?;
                continue;
            }
            loop {
                let part = Part { kind, before, end };
                let removed = self.write(part, |tx, it| Box::pin(remove(tx, it))).await?;
                *count += removed;
                if removed == 0 {
                    break;
                }
            }
        }
        if let Some(before) = cutoffs.messages {
            res.event_keys = self.prune_events(before - EVENT_KEYS, dry_run).await?;
        }
        Ok(res)
    }

    /// Event keys are found in the order of their keys: they have no id, and an index on their time would cost each
    /// message.
    async fn prune_events(&self, before: Timestamp, dry_run: bool) -> Result<u64, StoreError> {
        let mut after = (String::new(), String::new());
        let mut count = 0;
        loop {
            let text = "SELECT account, event_key FROM events WHERE (account, event_key) > ($1, $2) AND at < $3
                        ORDER BY account, event_key LIMIT $4";
            let query = sql("look for old events", text).bind(&*after.0).bind(&*after.1);
            let rows = self.rows(query.bind(before).bind(ROWS_A_TRANSACTION)).await?;
            let mut old = Vec::with_capacity(rows.len());
            for row in &rows {
                after = (row.text("account")?, row.text("event_key")?);
                old.push(row![&after.0, &after.1]);
            }
            if old.is_empty() {
                return Ok(count);
            }
            count += u64::try_from(old.len()).unwrap_or(u64::MAX);
            if !dry_run {
                self.write(old, |tx, it| Box::pin(forget_events(tx, it))).await?;
            }
        }
    }

    /// The least id of the rows of `table` that were made at or after `since`, by a column that grows with the ids. Where
    /// the clock was set back, a few rows may stand on the wrong side.
    pub(crate) async fn first_since(
        &self,
        table: &str,
        column: &str,
        since: Timestamp,
    ) -> Result<i64, StoreError> {
        let ends = format!(
            "SELECT coalesce((SELECT min(id) FROM {table}), 0) AS low,
                 coalesce((SELECT max(id) FROM {table}), 0) AS high"
        );
        let Some(ends) = self.row(sql("look for the ends of a table", ends)).await? else {
            return Ok(0);
        };
        // Rows below `low` are older, those above `high` are not.
        let (mut low, mut high) = (ends.int("low")?, ends.int("high")?);
        let text =
            format!("SELECT id, {column} AS at FROM {table} WHERE id >= $1 ORDER BY id LIMIT 1");
        while low <= high {
            let middle = low + (high - low) / 2;
            let found = self.row(sql("look for a time", &*text).bind(middle)).await?;
            match found {
                Some(row) if row.time("at")? < since => low = row.int("id")? + 1,
                _ => high = middle - 1,
            }
        }
        Ok(low)
    }

    /// The items that may still have to be sent and that hold a file.
    pub async fn unsent_files(&self) -> Result<Vec<PathBuf>, StoreError> {
        let text = "SELECT outbox.item FROM outbox WHERE outbox.state IN ('pending', 'sending')";
        let mut paths = Vec::new();
        for row in self.rows(sql("read what waits to be sent", text)).await? {
            if let Outbound::File { path, .. } = row.json("item")? {
                paths.push(path);
            }
        }
        Ok(paths)
    }

    /// The long texts of messages that are older than `before`: of those that are still in use, once they were pruned.
    pub async fn long_texts(&self, before: Timestamp) -> Result<Vec<String>, StoreError> {
        let text = "SELECT media FROM messages WHERE received_at < $1 AND media <> '[]'";
        let mut names = Vec::new();
        for row in self.rows(sql("read old files", text).bind(before)).await? {
            let media: Vec<MediaRef> = row.json("media")?;
            let long = media.into_iter().filter(|it| it.kind == MediaKind::LongText);
            names.extend(long.map(|it| it.reference));
        }
        Ok(names)
    }

    /// Numbers for health and metrics.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        let text = "SELECT (SELECT count(*) FROM groups WHERE removed_at IS NULL) AS groups_n,
                (SELECT count(*) FROM messages WHERE author = 'user') AS messages_in,
                (SELECT count(*) FROM messages WHERE author <> 'user') AS messages_out,
                (SELECT count(*) FROM jobs WHERE state = 'queued') AS jobs_queued,
                (SELECT count(*) FROM jobs WHERE state = 'queued' AND kind = 'say') AS tasks_active,
                (SELECT count(*) FROM jobs j JOIN runs r ON j.run_id = r.id
                    WHERE r.state = 'running' AND j.state = 'running') AS jobs_running,
                (SELECT count(*) FROM jobs WHERE state = 'dead') AS jobs_dead,
                (SELECT count(*) FROM runs WHERE state = 'running') AS runs_running,
                (SELECT count(*) FROM outbox WHERE state = 'pending') AS outbox_pending,
                (SELECT count(*) FROM outbox WHERE state = 'sending') AS outbox_sending,
                (SELECT count(*) FROM outbox WHERE state = 'pending' AND in_doubt = 1) AS outbox_in_doubt,
                (SELECT count(*) FROM outbox WHERE state = 'failed') AS outbox_failed";
        let Some(row) = self.row(sql("count rows", text)).await? else {
            return Ok(Counts::default());
        };
        Ok(Counts {
            groups: row.count("groups_n")?,
            messages_in: row.count("messages_in")?,
            messages_out: row.count("messages_out")?,
            jobs_queued: row.count("jobs_queued")?,
            tasks_active: row.count("tasks_active")?,
            jobs_running: row.count("jobs_running")?,
            jobs_dead: row.count("jobs_dead")?,
            runs_running: row.count("runs_running")?,
            outbox_pending: row.count("outbox_pending")?,
            outbox_sending: row.count("outbox_sending")?,
            outbox_in_doubt: row.count("outbox_in_doubt")?,
            outbox_failed: row.count("outbox_failed")?,
            repeats: self.repeats(),
        })
    }

    /// Runs and tokens of a group since `day_start`. A run that the gateway's own death cut off is nobody's use.
    pub async fn used_today(
        &self,
        group: GroupId,
        day_start: Timestamp,
    ) -> Result<DayUse, StoreError> {
        let row = self.row(used_since(group, day_start)).await?;
        row.as_ref().map_or(Ok(DayUse::default()), used)
    }

    /// What a group used since `since`, by day and model, the latest day first.
    pub async fn day_usage(
        &self,
        group: GroupId,
        since: Timestamp,
    ) -> Result<Vec<DayUsage>, StoreError> {
        let text = "SELECT at / 86400000 AS day, group_id, provider, model, count(DISTINCT run_id) AS runs_n,
                        CAST(sum(input_tokens) AS BIGINT) AS input_n, CAST(sum(output_tokens) AS BIGINT) AS output_n,
                        CAST(sum(cached_tokens) AS BIGINT) AS cached_n,
                        CAST(sum(is_estimated * (input_tokens + output_tokens)) AS BIGINT) AS estimated_n,
                        CAST(sum(coalesce(cost_micros, 0)) AS BIGINT) AS cost_n,
                        CAST(sum(CASE WHEN cost_micros IS NULL THEN input_tokens + output_tokens ELSE 0 END) AS BIGINT)
                            AS unpriced_n
                    FROM usage_counts WHERE group_id = $1 AND at >= $2
                    GROUP BY day, group_id, provider, model ORDER BY day DESC, provider, model";
        let line = |row: &Row| {
            Ok(DayUsage {
                day: Timestamp(row.int("day")? * MS_PER_DAY),
                group: GroupId(row.int("group_id")?),
                provider: row.text("provider")?,
                model: row.text("model")?,
                runs: row.count("runs_n")?,
                input_tokens: row.count("input_n")?,
                output_tokens: row.count("output_n")?,
                cached_tokens: row.count("cached_n")?,
                estimated_tokens: row.count("estimated_n")?,
                cost_micros: row.count("cost_n")?,
                unpriced_tokens: row.count("unpriced_n")?,
            })
        };
        self.rows(sql("read the use of days", text).bind(group).bind(since))
            .await?
            .iter()
            .map(line)
            .collect()
    }
}
