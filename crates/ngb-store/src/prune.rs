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
    sql::{Row, Sql, sql},
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
    /// Which cutoff holds for it.
    before: fn(&Cutoffs, now: Timestamp) -> Option<Timestamp>,
    count: fn(&mut Pruned) -> &mut u64,
}

const KINDS: [Kind; 10] = [
    Kind {
        table: "outbox",
        old: "o.created_at < $1 AND o.state NOT IN ('pending', 'sending')
            AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.live_outbox_id = o.id AND j.state IN ('queued', 'running'))
            AND NOT EXISTS (SELECT 1 FROM asks a WHERE a.outbox_id = o.id AND a.answer IS NULL AND a.expires_at >= $1)",
        before: |it, _| it.messages,
        count: |it| &mut it.outbox,
    },
    Kind {
        table: "jobs",
        old: "o.ended_at < $1 AND o.state IN ('done', 'cancelled')",
        before: |it, _| it.messages,
        count: |it| &mut it.jobs,
    },
    Kind {
        table: "jobs",
        old: "o.ended_at < $1 AND o.state = 'dead'",
        before: |it, _| it.dead_letters,
        count: |it| &mut it.dead_letters,
    },
    Kind {
        table: "runs",
        old: "o.ended_at < $1 AND o.state <> 'running' AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.run_id = o.id)",
        before: |it, now| it.messages.map(|it| it.min(now - DAY)),
        count: |it| &mut it.runs,
    },
    Kind {
        table: "messages",
        old: "o.received_at < $1
            AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.message_id = o.id)
            AND NOT EXISTS (SELECT 1 FROM outbox u WHERE (u.about = o.id OR u.answer_id = o.id)
                AND u.state IN ('pending', 'sending'))",
        before: |it, _| it.messages,
        count: |it| &mut it.messages,
    },
    Kind {
        table: "fires",
        old: "o.fired_at < $1 AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.task_id = o.task_id AND j.slot_at = o.slot_at)",
        before: |it, _| it.messages,
        count: |it| &mut it.fires,
    },
    Kind {
        table: "decisions",
        old: "o.at < $1 AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.id = o.message_id)
            AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.id = o.job_id)",
        before: |it, _| it.messages,
        count: |it| &mut it.decisions,
    },
    Kind {
        table: "events",
        old: "o.at < $1",
        before: |it, _| it.messages.map(|it| it - EVENT_KEYS),
        count: |it| &mut it.event_keys,
    },
    Kind {
        table: "usage_counts",
        old: "o.at < $1",
        before: |it, now| it.usage.map(|it| it.min(now - DAY)),
        count: |it| &mut it.usage,
    },
    Kind {
        table: "audit",
        old: "o.at < $1",
        before: |it, _| it.audit,
        count: |it| &mut it.audit,
    },
];

struct Part {
    kind: &'static Kind,
    before: Timestamp,
}

async fn remove(tx: &mut Tx, it: &Part) -> Result<u64, StoreError> {
    let Part { kind: Kind { table, old, .. }, before } = it;
    if *table == "events" {
        let text = "DELETE FROM events WHERE (account, event_key) IN (
                 SELECT o.account, o.event_key FROM events o WHERE o.at < $1 ORDER BY o.at LIMIT $2)";
        return tx.run(sql("prune", text).bind(*before).bind(ROWS_A_TRANSACTION)).await;
    }
    let text = format!(
        "DELETE FROM {table} WHERE id IN (SELECT o.id FROM {table} o WHERE {old} ORDER BY o.id LIMIT $2)
         RETURNING id"
    );
    let rows = tx.rows(sql("prune", text).bind(*before).bind(ROWS_A_TRANSACTION)).await?;
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

/// What a group used from a time on; its row is for [`used`].
pub(crate) fn used_since(group: GroupId, day_start: Timestamp) -> Sql {
    let text = "SELECT (SELECT count(*) FROM runs
                     WHERE group_id = $1 AND started_at >= $2 AND state <> 'lost') AS runs_n,
                    (SELECT CAST(coalesce(sum(input_tokens + output_tokens), 0) AS BIGINT) FROM usage_counts
                     WHERE group_id = $1 AND at >= $2) AS tokens";
    sql("count a day's use", text).bind(group).bind(day_start)
}

pub(crate) fn used(row: &Row) -> Result<DayUse, StoreError> {
    Ok(DayUse { runs: row.count("runs_n")?, tokens: row.count("tokens")? })
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
            if dry_run {
                let text = format!("SELECT count(*) AS n FROM {} o WHERE {}", kind.table, kind.old);
                let row = self.row(sql("count what is old", text).bind(before)).await?;
                *count = row.map_or(Ok(0), |it| it.count("n"))?;
                continue;
            }
            loop {
                let part = Part { kind, before };
                let removed = self.write(part, |tx, it| Box::pin(remove(tx, it))).await?;
                *count += removed;
                if removed == 0 {
                    break;
                }
            }
        }
        Ok(res)
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
                (SELECT count(*) FROM jobs WHERE state = 'running') AS jobs_running,
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
