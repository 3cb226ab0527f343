//! What runs are to do: their jobs with the messages, what was said beside them, and what their groups used today.

use std::collections::HashMap;

use ngb_core::{
    clock::Timestamp,
    frame::SessionMark,
    id::{GroupId, JobId, LaneId, OutboxId, RunId, TaskId},
    job::Tries,
    role::Role,
};

use crate::{
    Claim, DayUse, JobKind, LiveAnswer, Store, StoreError, StoredMessage, Work, WorkJob,
    db::Tx,
    dialect::Dialect,
    error::chain,
    fires, messages, prune,
    sql::{Row, row, sql},
};

/// Kept messages that go with a prompt as context: the newest so many.
const MAX_CONTEXT_MESSAGES: i64 = 50;

/// The work of runs that were just opened. One that can't be understood is left out; whoever asks for it alone is told.
pub(crate) async fn read_all(
    tx: &mut Tx,
    claims: &[Claim],
) -> Result<HashMap<RunId, Work>, StoreError> {
    let mut res = HashMap::new();
    for (run, work) in read(tx, claims).await? {
        match work {
            Ok(work) => drop(res.insert(run, work)),
            Err(err) => tracing::warn!("the work of run {run} makes no sense: {}", chain(&err)),
        }
    }
    Ok(res)
}

/// The work of each run that holds its lane and has something to do.
async fn read(
    tx: &mut Tx,
    claims: &[Claim],
) -> Result<HashMap<RunId, Result<Work, StoreError>>, StoreError> {
    let text = "WITH k (run, epoch) AS (VALUES {values})
                SELECT j.id, j.kind, j.message_id, j.task_id, j.slot_at, j.jid, j.thread, j.role, j.text, j.failures, j.gateway_deaths, j.had_effect,
                    j.told_waiting, j.ask_id, j.live_outbox_id, o.platform_id AS live_platform_id, j.created_at, j.run_id,
                    coalesce(c.is_direct, 1) AS is_direct, l.lane_key, l.session_id, l.session_entries, l.context_after,
                    CAST(CASE WHEN EXISTS (SELECT 1 FROM messages m WHERE m.lane_id = l.id AND m.state = 'context-kept'
                        AND m.id > l.context_after) THEN 1 ELSE 0 END AS BIGINT) AS has_context
                FROM k JOIN runs r ON r.id = k.run JOIN lanes l ON l.id = r.lane_id JOIN jobs j ON j.run_id = r.id
                LEFT JOIN outbox o ON o.id = j.live_outbox_id LEFT JOIN chats c ON c.jid = j.jid
                WHERE r.epoch = k.epoch AND r.state = 'running' AND j.state = 'running'
                ORDER BY j.run_id, j.run_at, j.id";
    let keys = claims.iter().map(|it| row![it.run, it.epoch]).collect();
    let mut jobs: HashMap<RunId, Vec<Row>> = HashMap::new();
    let mut ids = Vec::new();
    for row in tx.rows_many(sql("read the jobs of runs", text), keys).await? {
        ids.extend(row.opt_int("message_id")?.map(|it| row![it]));
        jobs.entry(RunId(row.int("run_id")?)).or_default().push(row);
    }
    let text = format!(
        "WITH k (id) AS (VALUES {{values}}) {}",
        messages::select("m.id IN (SELECT k.id FROM k)")
    );
    let mut known: HashMap<i64, Row> = HashMap::new();
    for row in tx.rows_many(sql("read the messages of runs", text), ids).await? {
        known.insert(row.int("id")?, row);
    }
    let mut res = HashMap::new();
    for claim in claims {
        let Some(rows) = jobs.remove(&claim.run) else { continue };
        let context = context(tx, claim.lane, &rows).await?;
        let used = used(tx, claim.group).await?;
        res.insert(claim.run, work(&rows, &known, &context, used));
    }
    Ok(res)
}

/// Messages of the lane that nobody addressed to the agent, the newest first.
async fn context(tx: &mut Tx, lane: LaneId, jobs: &[Row]) -> Result<Vec<Row>, StoreError> {
    let Some(first) = jobs.first() else { return Ok(Vec::new()) };
    let mut newest = None;
    for job in jobs {
        newest = newest.max(job.opt_int("message_id")?);
    }
    let (Some(newest), true) = (newest, first.flag("has_context")?) else { return Ok(Vec::new()) };
    let text = messages::select(
        "m.lane_id = $1 AND m.state = 'context-kept' AND m.id > $2 AND m.id < $3 ORDER BY m.id DESC LIMIT $4",
    );
    let query = sql("read context", text).bind(lane).bind(first.int("context_after")?);
    tx.rows(query.bind(newest).bind(MAX_CONTEXT_MESSAGES)).await
}

/// What the group used today, all runs that were opened by now included.
async fn used(tx: &mut Tx, group: GroupId) -> Result<DayUse, StoreError> {
    let day = tx.now.day_start();
    // Where several gateways may write, none knows it by itself.
    let alone = tx.dialect() == Dialect::Sqlite;
    if let Some((of, used)) = tx.cache.used.get(&group)
        && *of == day
        && alone
    {
        return Ok(*used);
    }
    let row = tx.row(prune::used_since(group, day)).await?;
    let used = row.as_ref().map_or(Ok(DayUse::default()), prune::used)?;
    tx.cache.used.insert(group, (day, used));
    Ok(used)
}

/// Adds to what is known of a group's use today.
pub(crate) fn count(tx: &mut Tx, group: GroupId, at: Timestamp, more: DayUse) {
    if let Some((day, used)) = tx.cache.used.get_mut(&group)
        && *day == at.day_start()
    {
        used.runs += more.runs;
        used.tokens += more.tokens;
        used.cost_micros += more.cost_micros;
    }
}

fn work(
    rows: &[Row],
    known: &HashMap<i64, Row>,
    context: &[Row],
    used_today: DayUse,
) -> Result<Work, StoreError> {
    let mut jobs = Vec::new();
    for row in rows {
        let message = row.opt_int("message_id")?.and_then(|it| known.get(&it));
        jobs.push(job(row, message.map(messages::stored).transpose()?)?);
    }
    let first = &rows[0];
    let lane_key = first.text("lane_key")?;
    let session = match (first.opt_text("session_id")?, first.opt_int("session_entries")?) {
        // Each fire of such a task begins anew.
        _ if lane_key.starts_with(fires::OWN_LANE) => None,
        (Some(id), Some(entries)) => {
            Some(SessionMark { id, entries: u64::try_from(entries).unwrap_or(0) })
        }
        _ => None,
    };
    Ok(Work {
        lane_key,
        is_direct: first.flag("is_direct")?,
        session,
        jobs,
        context: context.iter().rev().map(messages::stored).collect::<Result<_, _>>()?,
        used_today,
    })
}

fn job(row: &Row, message: Option<StoredMessage>) -> Result<WorkJob, StoreError> {
    let kind = match message {
        Some(message) => JobKind::Message(Box::new(message)),
        None if row.text("kind")? == "task" => JobKind::Task {
            task: TaskId(row.int("task_id")?),
            text: row.opt_text("text")?.unwrap_or_default(),
            slot_at: row.time("slot_at")?,
        },
        None => JobKind::Say { text: row.opt_text("text")?.unwrap_or_default() },
    };
    let live = row.opt_int("live_outbox_id")?.map(OutboxId);
    let platform_id = row.opt_text("live_platform_id")?;
    Ok(WorkJob {
        id: JobId(row.int("id")?),
        kind,
        place: row.place()?,
        role: row.parsed::<Role>("role")?,
        tries: Tries {
            failures: row.small("failures")?,
            gateway_deaths: row.small("gateway_deaths")?,
        },
        had_effect: row.flag("had_effect")?,
        live: live.map(|outbox| LiveAnswer { outbox, platform_id }),
        told_waiting: row.flag("told_waiting")?,
        cleared: row.opt_int("ask_id")?.is_some(),
        created_at: row.time("created_at")?,
    })
}

pub(crate) async fn of_one(tx: &mut Tx, claim: &Claim) -> Result<Work, StoreError> {
    let mut all = read(tx, std::slice::from_ref(claim)).await?;
    all.remove(&claim.run).unwrap_or(Err(StoreError::Fenced(claim.run)))
}

impl Store {
    /// What a run is to do, where that did not come with its claim.
    ///
    /// # Errors
    ///
    /// [`StoreError::Fenced`] when the run no longer holds its lane, or nothing is left to do since its jobs were cancelled.
    pub async fn work(&self, claim: &Claim) -> Result<Work, StoreError> {
        self.write(*claim, |tx, it| Box::pin(of_one(tx, it))).await
    }
}
