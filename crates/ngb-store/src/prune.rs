//! Numbers about what is stored, and the removal of what is old.

use std::time::Duration;

use ngb_core::{clock::Timestamp, id::GroupId};

use crate::{
    Counts, DayUsage, Pruned, Store, StoreError,
    db::Tx,
    sql::{Row, sql},
};

/// Rows that one transaction removes, so that nobody waits for it.
const ROWS_A_TRANSACTION: i64 = 1_000;

/// How much longer event keys are kept than messages: Meta repeats an event for 7 days.
const EVENT_KEYS: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What may go: `$1` is the time before which rows are old. Never a row that something still needs.
const OLD: [(&str, &str); 6] = [
    (
        "outbox",
        "o.created_at < $1 AND o.state NOT IN ('pending', 'sending')
         AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.live_outbox_id = o.id AND j.state IN ('queued', 'running'))
         AND NOT EXISTS (SELECT 1 FROM asks a WHERE a.outbox_id = o.id AND a.answer IS NULL AND a.expires_at >= $1)",
    ),
    // A dead letter stays until somebody decides about it.
    ("jobs", "o.ended_at < $1 AND o.state IN ('done', 'cancelled')"),
    (
        "runs",
        "o.ended_at < $1 AND o.state <> 'running' AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.run_id = o.id)",
    ),
    (
        "messages",
        "o.received_at < $1
         AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.message_id = o.id)
         AND NOT EXISTS (SELECT 1 FROM outbox u WHERE (u.about = o.id OR u.answer_id = o.id)
             AND u.state IN ('pending', 'sending'))",
    ),
    (
        "decisions",
        "o.at < $1 AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.id = o.message_id)
         AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.id = o.job_id)",
    ),
    ("events", "o.at < $1"),
];

struct Part {
    table: &'static str,
    old: &'static str,
    before: Timestamp,
}

async fn remove(tx: &mut Tx, it: &Part) -> Result<u64, StoreError> {
    let Part { table, old, before } = it;
    let text = match *table {
        "events" => {
            "DELETE FROM events WHERE (account, event_key) IN (
                 SELECT o.account, o.event_key FROM events o WHERE o.at < $1 ORDER BY o.at LIMIT $2)"
                .to_owned()
        }
        _ => format!(
            "DELETE FROM {table} WHERE id IN (SELECT o.id FROM {table} o WHERE {old} ORDER BY o.id LIMIT $2)
             RETURNING id"
        ),
    };
    let query = sql("prune", text).bind(*before).bind(ROWS_A_TRANSACTION);
    if *table == "events" {
        return tx.run(query).await;
    }
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

impl Store {
    /// Removes what is older than `before` and not in use, a thousand rows a transaction; with `dry_run` only counts.
    ///
    /// Usage and the audit log stay.
    pub async fn prune(&self, before: Timestamp, dry_run: bool) -> Result<Pruned, StoreError> {
        let mut res = Pruned::default();
        for (table, old) in OLD {
            let before = if table == "events" { before - EVENT_KEYS } else { before };
            let count = match table {
                "outbox" => &mut res.outbox,
                "jobs" => &mut res.jobs,
                "runs" => &mut res.runs,
                "messages" => &mut res.messages,
                "decisions" => &mut res.decisions,
                _ => &mut res.event_keys,
            };
            if dry_run {
                let text = format!("SELECT count(*) AS n FROM {table} o WHERE {old}");
                let row = self.row(sql("count what is old", text).bind(before)).await?;
                *count = row.map_or(Ok(0), |it| it.count("n"))?;
                continue;
            }
            loop {
                let part = Part { table, old, before };
                let removed = self.write(part, |tx, it| Box::pin(remove(tx, it))).await?;
                *count += removed;
                if removed == 0 {
                    break;
                }
            }
        }
        Ok(res)
    }

    /// Numbers for health and metrics.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        let text = "SELECT (SELECT count(*) FROM groups WHERE removed_at IS NULL) AS groups_n,
                (SELECT count(*) FROM messages WHERE author = 'user') AS messages_in,
                (SELECT count(*) FROM messages WHERE author <> 'user') AS messages_out,
                (SELECT count(*) FROM jobs WHERE state = 'queued') AS jobs_queued,
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
    ) -> Result<(u64, u64), StoreError> {
        let text = "SELECT (SELECT count(*) FROM runs
                         WHERE group_id = $1 AND started_at >= $2 AND state <> 'lost') AS runs_n,
                        (SELECT CAST(coalesce(sum(input_tokens + output_tokens), 0) AS BIGINT) FROM usage_counts
                         WHERE group_id = $1 AND at >= $2) AS tokens";
        let row = self.row(sql("count a day's use", text).bind(group).bind(day_start)).await?;
        row.map_or(Ok((0, 0)), |it| Ok((it.count("runs_n")?, it.count("tokens")?)))
    }

    /// What each group used since `day_start`, by model.
    pub async fn day_usage(&self, day_start: Timestamp) -> Result<Vec<DayUsage>, StoreError> {
        let text = "SELECT group_id, provider, model, count(DISTINCT run_id) AS runs_n,
                        CAST(sum(input_tokens) AS BIGINT) AS input_n, CAST(sum(output_tokens) AS BIGINT) AS output_n
                    FROM usage_counts WHERE at >= $1 GROUP BY group_id, provider, model ORDER BY group_id";
        let line = |row: &Row| {
            Ok(DayUsage {
                group: GroupId(row.int("group_id")?),
                provider: row.text("provider")?,
                model: row.text("model")?,
                runs: row.count("runs_n")?,
                input_tokens: row.count("input_n")?,
                output_tokens: row.count("output_n")?,
            })
        };
        self.rows(sql("read a day's use", text).bind(day_start)).await?.iter().map(line).collect()
    }
}
