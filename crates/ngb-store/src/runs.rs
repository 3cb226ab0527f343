//! The end of a run, and what it says of itself before that.

use std::collections::{BTreeSet, HashMap};

use ngb_core::{
    clock::Timestamp,
    decision::Decision,
    id::{JobId, LaneId, MessageId, RunId},
    job::JobState,
};

use crate::{
    Claim, DayUse, Finish, Finished, NewDecision, Queued, Store, StoreError, Usage,
    db::Tx,
    outbox::{self, OutRow},
    sql::{Value, row, sql, thread},
    work,
};

/// Ends runs. Each gets its own answer, so that one that lost its lease costs the others nothing.
pub(crate) async fn finish_all(
    tx: &mut Tx,
    all: &[&Finish],
) -> Result<Vec<Result<Finished, StoreError>>, StoreError> {
    let ended = end_runs(tx, all).await?;
    let live: Vec<&Finish> =
        all.iter().copied().filter(|it| ended.contains(&it.claim.run)).collect();
    let mut queued = HashMap::new();
    let mut answers = HashMap::new();
    let mut more = BTreeSet::new();
    if !live.is_empty() {
        end_jobs(tx, &live).await?;
        more = free_lanes(tx, &live).await?;
        count_usage(tx, &live).await?;
        answers = keep_answers(tx, &live).await?;
        queued = queue_answers(tx, &live, &answers).await?;
        for decision in live.iter().flat_map(|it| &it.decisions) {
            tx.decide(decision.clone());
        }
    }
    let result = |it: &&Finish| {
        let run = it.claim.run;
        if ended.contains(&run) {
            let said = queued.remove(&run).unwrap_or_default();
            let more = more.contains(&it.claim.lane);
            Ok(Finished { answer: answers.get(&run).copied(), said, more })
        } else {
            Err(StoreError::Fenced(run))
        }
    };
    Ok(all.iter().map(result).collect())
}

async fn end_runs(tx: &mut Tx, all: &[&Finish]) -> Result<BTreeSet<RunId>, StoreError> {
    let text = "WITH f (run, epoch, at, error) AS (VALUES {values})
                UPDATE runs SET state = 'ended', ended_at = f.at, error = f.error FROM f
                WHERE runs.id = f.run AND runs.epoch = f.epoch AND runs.state = 'running'
                RETURNING runs.id";
    let rows =
        all.iter().map(|it| row![it.claim.run, it.claim.epoch, it.now, it.error.clone()]).collect();
    let ended = tx.rows_many(sql("end runs", text), rows).await?;
    ended.iter().map(|it| it.int("id").map(RunId)).collect()
}

/// Every job of a run gets its next state; one that nobody named is queued again.
async fn end_jobs(tx: &mut Tx, live: &[&Finish]) -> Result<(), StoreError> {
    let mut rows = Vec::new();
    for finish in live {
        for (job, state, tries) in &finish.jobs {
            let (run_at, error) = match state {
                JobState::Queued { run_at } => (Some(run_at.0), finish.error.as_deref()),
                JobState::Dead { reason } => (None, Some(reason.as_str())),
                JobState::Running | JobState::Done | JobState::Cancelled => (None, None),
            };
            let ended = run_at.is_none().then_some(finish.now.0);
            let word = state.as_str();
            // What is said about a job that waits again is that it takes longer; once is enough.
            let told = run_at.is_some() && finish.answer.is_some();
            let (failures, deaths) = (tries.failures, tries.gateway_deaths);
            rows.push(row![*job, word, run_at, failures, deaths, error, ended, told]);
        }
    }
    let text = "WITH given (id, state, run_at, failures, deaths, error, ended_at, told) AS (VALUES {values})
                UPDATE jobs SET state = given.state, run_at = coalesce(given.run_at, jobs.run_at), failures = given.failures,
                    gateway_deaths = given.deaths, error = given.error, ended_at = given.ended_at,
                    told_waiting = CASE WHEN given.told = 1 THEN 1 ELSE jobs.told_waiting END
                FROM given WHERE jobs.id = given.id AND jobs.state = 'running'";
    tx.run_many(sql("end jobs", text), rows).await?;
    let text = "WITH f (run, at) AS (VALUES {values})
                UPDATE jobs SET state = 'queued', run_at = f.at FROM f WHERE jobs.run_id = f.run AND jobs.state = 'running'";
    let rows = live.iter().map(|it| row![it.claim.run, tx.now]).collect();
    tx.run_many(sql("queue jobs that got no answer", text), rows).await
}

/// Frees lanes; returns those in which more is due.
async fn free_lanes(tx: &mut Tx, live: &[&Finish]) -> Result<BTreeSet<LaneId>, StoreError> {
    let mut rows = Vec::new();
    for it in live {
        let session = it.session.as_ref();
        let (id, entries) = (session.map(|s| s.id.as_str()), session.map(|s| entries(s.entries)));
        rows.push(row![it.claim.lane, it.claim.run, id, entries, it.context_given]);
    }
    let text = "WITH f (lane, run, session_id, entries, given) AS (VALUES {values})
                UPDATE lanes SET run_id = NULL,
                    session_id = CASE WHEN f.run <= lanes.fresh_after THEN NULL
                        ELSE coalesce(f.session_id, lanes.session_id) END,
                    session_entries = CASE WHEN f.run <= lanes.fresh_after THEN NULL
                        ELSE coalesce(f.entries, lanes.session_entries) END,
                    context_after = CASE WHEN f.given = 1 AND f.run > lanes.fresh_after THEN coalesce(
                        (SELECT max(j.message_id) FROM jobs j WHERE j.run_id = f.run), lanes.context_after)
                        ELSE lanes.context_after END,
                    due_at = (SELECT min(q.run_at) FROM jobs q WHERE q.lane_id = lanes.id AND q.state = 'queued')
                FROM f WHERE lanes.id = f.lane AND lanes.run_id = f.run
                RETURNING lanes.id, lanes.due_at";
    let now = tx.now.0;
    let mut more = BTreeSet::new();
    for row in tx.rows_many(sql("free lanes", text), rows).await? {
        if row.opt_int("due_at")?.is_some_and(|it| it <= now) {
            more.insert(LaneId(row.int("id")?));
        }
    }
    Ok(more)
}

fn entries(it: u64) -> i64 {
    i64::try_from(it).unwrap_or(i64::MAX)
}

async fn count_usage(tx: &mut Tx, live: &[&Finish]) -> Result<(), StoreError> {
    let rows: Vec<_> =
        live.iter().flat_map(|it| usage_rows(tx, it.claim, it.now, &it.usage, false)).collect();
    write_usage(tx, rows).await
}

async fn write_usage(tx: &mut Tx, rows: Vec<Vec<Value>>) -> Result<(), StoreError> {
    let text = "INSERT INTO usage_counts (run_id, group_id, at, provider, model, input_tokens, output_tokens,
                    cached_tokens, is_estimated, cost_micros, is_open)
                VALUES {values}";
    tx.run_many(sql("count usage", text), rows).await
}

/// Adds what a run used to its group's day, and gives the rows that say so. What is still open counts for the day when it is
/// known for good.
fn usage_rows(
    tx: &mut Tx,
    claim: Claim,
    at: Timestamp,
    usage: &[Usage],
    open: bool,
) -> Vec<Vec<Value>> {
    let mut row = |used: &Usage| {
        let (input, output) = (used.input_tokens, used.output_tokens);
        if !open {
            work::count(
                tx,
                claim.group,
                at,
                DayUse {
                    runs: 0,
                    tokens: input + output,
                    cost_micros: used.cost_micros.unwrap_or(0),
                },
            );
        }
        let (provider, model) = (&used.provider, &used.model);
        let (cached, estimated) = (used.cached_tokens, used.is_estimated);
        let cost = used.cost_micros.map(|it| i64::try_from(it).unwrap_or(i64::MAX));
        let (run, group) = (claim.run, claim.group);
        row![run, group, at, provider, model, input, output, cached, estimated, cost, open]
    };
    usage.iter().map(&mut row).collect()
}

/// What a run used until now.
struct RunUse {
    claim: Claim,
    now: Timestamp,
    over: Vec<Usage>,
    open: Vec<Usage>,
}

async fn count_use(tx: &mut Tx, it: &RunUse) -> Result<(), StoreError> {
    let text = "DELETE FROM usage_counts WHERE run_id = $1 AND is_open = 1";
    tx.run(sql("drop what was open of a run's use", text).bind(it.claim.run)).await?;
    let mut rows = usage_rows(tx, it.claim, it.now, &it.over, false);
    rows.append(&mut usage_rows(tx, it.claim, it.now, &it.open, true));
    write_usage(tx, rows).await
}

/// Stores the answers as messages; returns their ids by run.
async fn keep_answers(
    tx: &mut Tx,
    live: &[&Finish],
) -> Result<HashMap<RunId, MessageId>, StoreError> {
    let mut rows = Vec::new();
    let mut runs = Vec::new();
    for it in live {
        let Some(answer) = &it.answer else { continue };
        runs.push(it.claim.run);
        rows.push(row![
            answer.place.jid.to_string(),
            thread(&answer.place),
            answer.author.as_str(),
            "",
            "",
            &answer.text,
            "[]",
            "no",
            answer.in_reply_to,
            it.claim.group,
            it.claim.lane,
            it.claim.run,
            "answered",
            it.now,
            it.now,
        ]);
    }
    let text = "INSERT INTO messages (jid, thread, author, sender_id, sender_name, text, media, addressed, in_reply_to,
                    group_id, lane_id, run_id, state, sent_at, received_at)
                VALUES {values} RETURNING id, run_id";
    let mut res = HashMap::new();
    for row in tx.rows_many(sql("keep answers", text), rows).await? {
        res.insert(RunId(row.int("run_id")?), MessageId(row.int("id")?));
    }
    Ok(res)
}

async fn queue_answers(
    tx: &mut Tx,
    live: &[&Finish],
    answers: &HashMap<RunId, MessageId>,
) -> Result<HashMap<RunId, Vec<Queued>>, StoreError> {
    let mut rows = Vec::new();
    let mut runs = Vec::new();
    for finish in live {
        let run = finish.claim.run;
        let answer = answers.get(&run).copied();
        for (i, new) in finish.outbox.iter().enumerate() {
            rows.push(OutRow { new, answer, is_first: i == 0, run: Some(run) });
            runs.push(run);
        }
    }
    let mut res: HashMap<RunId, Vec<Queued>> = HashMap::new();
    for ((queued, run), row) in outbox::queue(tx, &rows).await?.into_iter().zip(runs).zip(&rows) {
        if queued.sending.is_some() && row.new.about.is_some() {
            let detail = format!("#{}", queued.id);
            let (message, job) = (row.new.about, row.new.job);
            let kind = Decision::Sending;
            tx.decide(NewDecision { message, job, run: Some(run), kind, detail });
        }
        res.entry(run).or_default().push(queued);
    }
    Ok(res)
}

/// Refuses a write of a run that lost its lease.
pub(crate) async fn guard(tx: &mut Tx, claim: &Claim) -> Result<(), StoreError> {
    let text = "SELECT id FROM runs WHERE id = $1 AND epoch = $2 AND state = 'running'";
    let query = sql("check a lease", text).bind(claim.run).bind(claim.epoch);
    tx.row(query).await?.map(drop).ok_or(StoreError::Fenced(claim.run))
}

async fn effect(tx: &mut Tx, (claim, job): &(Claim, JobId)) -> Result<(), StoreError> {
    let text = "UPDATE jobs SET had_effect = 1 WHERE id = $1 AND state = 'running' AND run_id = (
                    SELECT id FROM runs WHERE id = $2 AND epoch = $3 AND state = 'running')
                RETURNING message_id";
    let query = sql("mark an effect", text).bind(*job).bind(claim.run).bind(claim.epoch);
    let row = tx.row(query).await?.ok_or(StoreError::Fenced(claim.run))?;
    let message = row.opt_int("message_id")?.map(MessageId);
    let (job, run) = (Some(*job), Some(claim.run));
    tx.decide(NewDecision { message, job, run, kind: Decision::Effect, detail: String::new() });
    Ok(())
}

impl Store {
    /// Marks that a job is about to do something that can't be taken back.
    ///
    /// # Errors
    ///
    /// [`StoreError::Fenced`] when the run no longer holds its lane; then it must not do it.
    pub async fn effect(&self, claim: &Claim, job: JobId) -> Result<(), StoreError> {
        self.write((*claim, job), |tx, it| Box::pin(effect(tx, it))).await
    }

    /// Counts what a run used whose end is not near, or not ours to write: of requests that are over, for good; of those
    /// that are still `open`, until the next count of the run, or as the last word when the gateway dies.
    pub async fn count_use(
        &self,
        claim: &Claim,
        now: Timestamp,
        over: Vec<Usage>,
        open: Vec<Usage>,
    ) -> Result<(), StoreError> {
        let used = RunUse { claim: *claim, now, over, open };
        self.write(used, |tx, it| Box::pin(count_use(tx, it))).await
    }

    /// When the newest run of a group began.
    pub async fn last_run_at(
        &self,
        group: ngb_core::id::GroupId,
    ) -> Result<Option<Timestamp>, StoreError> {
        let text = "SELECT max(started_at) AS at FROM runs WHERE group_id = $1";
        let row = self.row(sql("read the latest run", text).bind(group)).await?;
        Ok(row.map(|it| it.opt_int("at")).transpose()?.flatten().map(Timestamp))
    }
}
