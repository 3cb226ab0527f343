//! Starting up after a gateway that died: its claims end, its jobs wait again, its sends are in doubt.

use std::{collections::BTreeSet, time::Duration};

use ngb_core::{
    clock::Timestamp,
    decision::Decision,
    id::{JobId, MessageId, RunId},
    job::{JobState, RunEnd, Tries, after_run},
};

use crate::{
    NewDecision, Recovered, Store, StoreError,
    db::Tx,
    dialect::Dialect,
    moves,
    sql::{row, sql},
};

/// How long a send may take before another node takes it for lost, in milliseconds. Longer than any adapter's time limit.
const SEND_LOST_MS: i64 = 10 * 60 * 1_000;

/// When, and whether it is known that no other gateway lives.
type Start = (Timestamp, bool);

async fn recover(tx: &mut Tx, it: &Start) -> Result<Recovered, StoreError> {
    let (now, alone) = *it;
    // On SQLite the lock on the home proves that no other gateway lives. Elsewhere the database's own clock tells.
    let alone = alone || tx.dialect() == Dialect::Sqlite;
    let (runs, sends) = match alone {
        true => ("1 = 1".to_owned(), "1 = 1".to_owned()),
        false => (
            "(node = $2 OR lease_until < {now})".to_owned(),
            format!("(node = $1 OR taken_at < {{now}} - {SEND_LOST_MS})"),
        ),
    };
    let node = tx.node.clone();
    let text = format!(
        "UPDATE runs SET state = 'lost', error = 'the gateway died', ended_at = $1
         WHERE state = 'running' AND {runs} RETURNING id, lane_id"
    );
    let mut query = sql("end runs that were cut off", text).bind(now);
    if !alone {
        query = query.bind(&*node);
    }
    let mut ended = Vec::new();
    let mut lanes = BTreeSet::new();
    for row in tx.rows(query).await? {
        ended.push(row.int("id")?);
        lanes.insert(row.int("lane_id")?);
    }
    let mut res =
        Recovered { runs: u64::try_from(ended.len()).unwrap_or(0), ..Recovered::default() };
    // A run that was cut off does not count for its day.
    tx.cache.used.clear();
    for part in ended.chunks(1_000) {
        requeue(tx, part, now, &mut res.dead).await?;
        let text = "UPDATE usage_counts SET is_open = 0 WHERE is_open = 1 AND run_id IN ({list})";
        let query = sql("keep what cut off requests used", text);
        tx.run(query.list(part.iter().copied())).await?;
    }
    let all: Vec<i64> = lanes.into_iter().collect();
    for part in all.chunks(1_000) {
        let text = "UPDATE lanes SET run_id = NULL WHERE id IN ({list})";
        tx.run(sql("free lanes", text).list(part.iter().copied())).await?;
        moves::requeue_lanes(tx, part.to_vec()).await?;
    }

    let text = format!(
        "UPDATE outbox SET state = 'pending', in_doubt = 1 WHERE state = 'sending' AND {sends}
         RETURNING id, about, run_id"
    );
    let mut query = sql("doubt sends that were cut off", text);
    if !alone {
        query = query.bind(&*node);
    }
    for row in tx.rows(query).await? {
        res.in_doubt += 1;
        if let Some(message) = row.opt_int("about")?.map(MessageId) {
            let run = row.opt_int("run_id")?.map(RunId);
            let detail = format!("#{} was being sent when the gateway died", row.int("id")?);
            let (message, kind) = (Some(message), Decision::Unknown);
            tx.decide_at(now, NewDecision { message, job: None, run, kind, detail });
        }
    }
    Ok(res)
}

async fn requeue(
    tx: &mut Tx,
    runs: &[i64],
    now: Timestamp,
    dead: &mut Vec<JobId>,
) -> Result<(), StoreError> {
    let text = "SELECT id, message_id, run_id, failures, gateway_deaths FROM jobs
                WHERE state = 'running' AND run_id IN ({list})";
    let mut rows = Vec::new();
    for row in tx.rows(sql("read cut off jobs", text).list(runs.iter().copied())).await? {
        let job = JobId(row.int("id")?);
        let before = Tries {
            failures: row.small("failures")?,
            gateway_deaths: row.small("gateway_deaths")?,
        };
        let (state, tries) = after_run(before, RunEnd::GatewayDied, now, Duration::ZERO);
        let (kind, error) = match &state {
            JobState::Dead { reason } => (Decision::Dead, Some(reason.clone())),
            _ => (Decision::Requeued, None),
        };
        if kind == Decision::Dead {
            dead.push(job);
        }
        let ended = error.as_ref().map(|_| now.0);
        let detail = error.clone().unwrap_or_else(|| "the gateway died while it ran".to_owned());
        rows.push(row![job, state.as_str(), tries.gateway_deaths, error, ended]);
        let message = row.opt_int("message_id")?.map(MessageId);
        let run = row.opt_int("run_id")?.map(RunId);
        tx.decide_at(now, NewDecision { message, job: Some(job), run, kind, detail });
    }
    let text = "WITH given (id, state, deaths, error, ended_at) AS (VALUES {values})
                UPDATE jobs SET state = given.state, gateway_deaths = given.deaths, error = given.error, ended_at = given.ended_at
                FROM given WHERE jobs.id = given.id";
    tx.run_many(sql("queue cut off jobs", text), rows).await
}

impl Store {
    /// Ends what a gateway that died had claimed. On PostgreSQL only claims of this node, or whose lease ran out.
    pub async fn recover(&self, now: Timestamp) -> Result<Recovered, StoreError> {
        self.write((now, false), |tx, it| Box::pin(recover(tx, it))).await
    }

    /// Ends whatever any gateway had claimed. Whoever calls it has the lease of the database, or the lock of its home.
    pub async fn take_over(&self, now: Timestamp) -> Result<Recovered, StoreError> {
        self.write((now, true), |tx, it| Box::pin(recover(tx, it))).await
    }
}
