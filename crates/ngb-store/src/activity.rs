//! What happened in a span of time, minute by minute, and how long the steps of messages took.

use std::collections::BTreeMap;

use ngb_core::{clock::Timestamp, decision::Decision, id::GroupId};

use crate::{
    Store, StoreError,
    sql::{Sql, sql},
};

/// Decisions, messages and runs that are looked at, at most; the latest count.
const MAX_ROWS: i64 = 200_000;

/// Milliseconds of a minute.
const MINUTE_MS: i64 = 60_000;

/// Between which two decisions a step lies.
const STEPS: [(Step, Decision, Decision); 5] = [
    (Step::Queue, Decision::Received, Decision::Claimed),
    (Step::Sandbox, Decision::Claimed, Decision::Prompted),
    (Step::Model, Decision::Prompted, Decision::Answered),
    (Step::Delivery, Decision::Answered, Decision::Sent),
    (Step::Whole, Decision::Received, Decision::Sent),
];

/// What tells of a failure.
const TROUBLES: [Decision; 5] =
    [Decision::Retry, Decision::Dead, Decision::SendRetry, Decision::SendFailed, Decision::Unknown];

/// What happened in a span of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// By the time at which each begins; those in which nothing happened are left out.
    pub minutes: BTreeMap<Timestamp, Minute>,
    /// In the order in which a message takes them.
    pub steps: Vec<(Step, StepTimes)>,
    /// What failed, and how often.
    pub troubles: Vec<(Decision, u64)>,
}

/// What happened in a minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Minute {
    pub messages_in: u64,
    pub messages_out: u64,
    pub runs: u64,
    pub runs_failed: u64,
}

/// A part of a message's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// From its storing until a run takes it up.
    Queue,
    /// Until its agent has it.
    Sandbox,
    /// Until the answer is stored.
    Model,
    /// Until the platform has it.
    Delivery,
    /// All of it.
    Whole,
}

/// How long a step took, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepTimes {
    /// Of so many messages.
    pub count: u64,
    pub p50_ms: u64,
    pub p95_ms: u64,
}

impl StepTimes {
    fn of(mut took: Vec<u64>) -> Self {
        took.sort_unstable();
        let at = |percent: usize| {
            took.get((took.len() * percent / 100).min(took.len().saturating_sub(1)))
        };
        let at = |percent| at(percent).copied().unwrap_or_default();
        Self { count: took.len() as u64, p50_ms: at(50), p95_ms: at(95) }
    }
}

impl Store {
    /// What happened since `since`, in all groups or in `groups` only. Where more than 200,000 rows of a kind are that
    /// young, only the latest of them are looked at.
    pub async fn activity(
        &self,
        since: Timestamp,
        groups: Option<&[GroupId]>,
    ) -> Result<Activity, StoreError> {
        let mut minutes: BTreeMap<i64, Minute> = BTreeMap::new();
        for row in self.rows(self.messages_a_minute(since, groups).await?).await? {
            let minute = minutes.entry(row.int("minute")?).or_default();
            minute.messages_in = row.count("in_n")?;
            minute.messages_out = row.count("out_n")?;
        }
        for row in self.rows(self.runs_a_minute(since, groups).await?).await? {
            let minute = minutes.entry(row.int("minute")?).or_default();
            minute.runs = row.count("runs_n")?;
            minute.runs_failed = row.count("failed_n")?;
        }
        let at = |n: i64| Timestamp(since.0 + n * MINUTE_MS);
        Ok(Activity {
            minutes: minutes.into_iter().map(|(n, it)| (at(n), it)).collect(),
            steps: self.steps(since, groups).await?,
            troubles: self.troubles(since, groups).await?,
        })
    }

    async fn messages_a_minute(
        &self,
        since: Timestamp,
        groups: Option<&[GroupId]>,
    ) -> Result<Sql, StoreError> {
        let text = format!(
            "SELECT (received_at - $2) / {MINUTE_MS} AS minute,
                 count(CASE WHEN author = 'user' THEN 1 END) AS in_n,
                 count(CASE WHEN author <> 'user' THEN 1 END) AS out_n
             FROM messages WHERE id >= $1 AND received_at >= $2 {} GROUP BY 1",
            only(groups, "group_id"),
        );
        let first = self.first_of("messages", "received_at", since).await?;
        Ok(of(sql("count messages", text).bind(first).bind(since), groups))
    }

    async fn runs_a_minute(
        &self,
        since: Timestamp,
        groups: Option<&[GroupId]>,
    ) -> Result<Sql, StoreError> {
        let text = format!(
            "SELECT (started_at - $2) / {MINUTE_MS} AS minute, count(*) AS runs_n, count(error) AS failed_n
             FROM runs WHERE id >= $1 AND started_at >= $2 {} GROUP BY 1",
            only(groups, "group_id"),
        );
        let first = self.first_of("runs", "started_at", since).await?;
        Ok(of(sql("count runs", text).bind(first).bind(since), groups))
    }

    /// How long each step of a message took, over the messages whose steps lie in the span.
    async fn steps(
        &self,
        since: Timestamp,
        groups: Option<&[GroupId]>,
    ) -> Result<Vec<(Step, StepTimes)>, StoreError> {
        let kinds = [
            Decision::Received,
            Decision::Claimed,
            Decision::Prompted,
            Decision::Answered,
            Decision::Sent,
        ];
        let columns: Vec<String> = kinds
            .iter()
            .map(|it| {
                format!("min(CASE WHEN d.kind = '{it}' THEN d.at END) AS {it}", it = it.as_str())
            })
            .collect();
        let list: Vec<String> = kinds.iter().map(|it| format!("'{}'", it.as_str())).collect();
        let text = format!(
            "SELECT {} FROM decisions d {} WHERE d.id >= $1 AND d.at >= $2 AND d.message_id IS NOT NULL
                 AND d.kind IN ({}) {} GROUP BY d.message_id",
            columns.join(", "),
            joined(groups),
            list.join(", "),
            only(groups, "m.group_id"),
        );
        let first = self.first_of("decisions", "at", since).await?;
        let query = of(sql("read the times of steps", text).bind(first).bind(since), groups);
        let mut took: [Vec<u64>; STEPS.len()] = Default::default();
        for row in self.rows(query).await? {
            for (took, (_, from, to)) in took.iter_mut().zip(STEPS) {
                let at = |it: Decision| row.opt_int(it.as_str());
                if let (Some(from), Some(to)) = (at(from)?, at(to)?) {
                    // Never negative but where the clock was set back.
                    took.push(u64::try_from(to - from).unwrap_or(0));
                }
            }
        }
        let times = STEPS.iter().zip(took).map(|((step, ..), took)| (*step, StepTimes::of(took)));
        Ok(times.collect())
    }

    async fn troubles(
        &self,
        since: Timestamp,
        groups: Option<&[GroupId]>,
    ) -> Result<Vec<(Decision, u64)>, StoreError> {
        let list: Vec<String> = TROUBLES.iter().map(|it| format!("'{}'", it.as_str())).collect();
        let text = format!(
            "SELECT d.kind, count(*) AS n FROM decisions d {} WHERE d.id >= $1 AND d.at >= $2 AND d.kind IN ({}) {}
             GROUP BY d.kind",
            joined(groups),
            list.join(", "),
            only(groups, "m.group_id"),
        );
        let first = self.first_of("decisions", "at", since).await?;
        let mut found = Vec::new();
        let query = of(sql("count failures", text).bind(first).bind(since), groups);
        for row in self.rows(query).await? {
            if let Some(kind) = Decision::parse(&row.text("kind")?) {
                found.push((kind, row.count("n")?));
            }
        }
        Ok(found)
    }

    /// The least id of a table since `since`, and not more than [`MAX_ROWS`] before its end.
    async fn first_of(
        &self,
        table: &str,
        column: &str,
        since: Timestamp,
    ) -> Result<i64, StoreError> {
        let text = format!("SELECT coalesce(max(id), 0) AS high FROM {table}");
        let last = self.row(sql("look for the end of a table", text)).await?;
        let last = last.map_or(Ok(0), |it| it.int("high"))?;
        Ok(self.first_since(table, column, since).await?.max(last - MAX_ROWS))
    }
}

fn only(groups: Option<&[GroupId]>, column: &str) -> String {
    groups.map_or_else(String::new, |_| format!("AND {column} IN ({{list}})"))
}

fn joined(groups: Option<&[GroupId]>) -> &'static str {
    groups.map_or("", |_| "JOIN messages m ON m.id = d.message_id")
}

fn of(query: Sql, groups: Option<&[GroupId]>) -> Sql {
    match groups {
        Some(groups) => query.list(groups.iter().copied()),
        None => query,
    }
}
