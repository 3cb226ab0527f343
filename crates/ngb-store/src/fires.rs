//! Fires: a task's slots become jobs. A fire is named by task and slot, so that it happens once, whoever looks.

use std::collections::{BTreeMap, HashMap, HashSet};

use ngb_core::{
    clock::Timestamp,
    decision::Decision,
    id::{JobId, LaneId, TaskId},
    schedule::{Due, Overlap},
};

use crate::{
    NewDecision, NewTask, Store, StoreError, TaskDoes, TaskRow, TaskState,
    db::Tx,
    intake,
    sql::{Row, row, sql, thread},
    tasks::{COLUMNS, cancel_jobs, task},
};

/// Failed fires in a row after which a task is paused.
pub const MAX_TASK_FAILURES: i64 = 5;

/// One fire of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FireRow {
    pub slot_at: Timestamp,
    pub fired_at: Timestamp,
    /// Why it was left out.
    pub skipped: Option<String>,
    pub job: Option<JobId>,
    /// The word of its job's state: queued, running, done, dead, cancelled.
    pub state: Option<String>,
    pub error: Option<String>,
    pub began_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    /// What was sent of it, and what could not be: its outcome and its delivery are two things.
    pub sent: u64,
    pub unsent: u64,
}

/// What a look at the tasks made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fired {
    pub jobs: usize,
    /// Lanes whose run is to be ended, since a later fire takes its place.
    pub replaced: Vec<LaneId>,
    /// Tasks that failed too often and are paused now.
    pub paused: Vec<TaskId>,
    /// Whether as many were due as could be looked at.
    pub more: bool,
}

/// A task whose time has come.
struct Look {
    row: TaskRow,
    due: Due,
    /// Its latest fires all failed.
    failing: bool,
}

async fn looks(tx: &mut Tx, now: Timestamp, limit: usize) -> Result<Vec<Look>, StoreError> {
    let text = format!(
        "SELECT {COLUMNS}, (SELECT count(*) FROM (SELECT j.state FROM jobs j
                WHERE j.task_id = t.id AND j.state IN ('done', 'dead') AND j.created_at >= t.active_since
                ORDER BY j.id DESC LIMIT {MAX_TASK_FAILURES}) f WHERE f.state = 'dead') AS failed
         FROM tasks t WHERE t.state = 'active' AND t.next_at <= $1 ORDER BY t.next_at, t.id LIMIT $2"
    );
    let mut res = Vec::new();
    for row in tx.rows(sql("look for due tasks", text).bind(now).bind(limit)).await? {
        let it = task(&row)?;
        let due = it.task.schedule.due(it.task.next_at, now, it.task.misfire);
        res.push(Look { row: it, due, failing: MAX_TASK_FAILURES <= row.int("failed")? });
    }
    Ok(res)
}

/// Moves the tasks on; gives those that nobody else moved meanwhile.
async fn advance(
    tx: &mut Tx,
    looks: &[Look],
    now: Timestamp,
) -> Result<HashSet<TaskId>, StoreError> {
    let rows = looks.iter().map(|it| {
        let (state, note) = match (it.failing, it.due.next) {
            (true, _) => {
                (TaskState::Paused, Some(format!("it failed {MAX_TASK_FAILURES} times in a row")))
            }
            (false, None) => (TaskState::Done, None),
            (false, Some(_)) => (TaskState::Active, None),
        };
        let next = it.due.next.filter(|_| !it.failing).map(|it| it.0);
        let last = it.due.slots.last().filter(|_| !it.failing).map(|it| it.0);
        row![it.row.id, it.row.task.next_at, next, state.as_str(), note, last, it.due.missed]
    });
    let text = format!(
        "WITH given (id, old_at, new_at, state, note, last_at, missed) AS (VALUES {{values}})
         UPDATE tasks SET next_at = given.new_at, state = given.state, note = given.note,
             last_at = coalesce(given.last_at, tasks.last_at), missed = tasks.missed + given.missed
         FROM given WHERE tasks.id = given.id AND tasks.next_at = given.old_at AND tasks.state = 'active'
             AND given.old_at <= {}
         RETURNING tasks.id",
        now.0
    );
    let moved = tx.rows_many(sql("move tasks on", text), rows.collect()).await?;
    moved.iter().map(|it| it.int("id").map(TaskId)).collect()
}

/// Of tasks that don't want two fires at a time, those that have one: whether it runs, and in which lane.
async fn busy(
    tx: &mut Tx,
    tasks: Vec<TaskId>,
) -> Result<HashMap<TaskId, Vec<(LaneId, bool)>>, StoreError> {
    let mut res: HashMap<TaskId, Vec<(LaneId, bool)>> = HashMap::new();
    if tasks.is_empty() {
        return Ok(res);
    }
    let text = "SELECT task_id, lane_id, state FROM jobs WHERE task_id IN ({list}) AND state IN ('queued', 'running')";
    for row in tx.rows(sql("look for fires at work", text).list(tasks)).await? {
        let runs = row.text("state")? == "running";
        res.entry(TaskId(row.int("task_id")?))
            .or_default()
            .push((LaneId(row.int("lane_id")?), runs));
    }
    Ok(res)
}

async fn fire(tx: &mut Tx, &(now, limit): &(Timestamp, usize)) -> Result<Fired, StoreError> {
    let mut looks = looks(tx, now, limit).await?;
    let mut res = Fired { more: limit <= looks.len(), ..Fired::default() };
    if looks.is_empty() {
        return Ok(res);
    }
    let ours = advance(tx, &looks, now).await?;
    looks.retain(|it| ours.contains(&it.row.id));
    res.paused = looks.iter().filter(|it| it.failing).map(|it| it.row.id).collect();
    looks.retain(|it| !it.failing && !it.due.slots.is_empty());

    let alone = looks.iter().filter(|it| it.row.task.overlap != Overlap::Queue);
    let busy = busy(tx, alone.map(|it| it.row.id).collect()).await?;
    let mut rows = Vec::new();
    let mut replaced = Vec::new();
    for it in &looks {
        let at_work = busy.get(&it.row.id);
        let skip = match (it.row.task.overlap, at_work) {
            (Overlap::Skip, Some(_)) => Some("the fire before was still at work"),
            (Overlap::Replace, Some(lanes)) => {
                replaced.push(it.row.id);
                res.replaced.extend(lanes.iter().filter(|it| it.1).map(|it| it.0));
                None
            }
            _ => None,
        };
        rows.extend(
            it.due.slots.iter().map(|slot| row![it.row.id, *slot, now, skip.map(str::to_owned)]),
        );
    }
    if !replaced.is_empty() {
        cancel_jobs(tx, replaced, "a later fire took its place").await?;
    }
    let text = "INSERT INTO fires (task_id, slot_at, fired_at, skipped) VALUES {values}
                ON CONFLICT (task_id, slot_at) DO NOTHING RETURNING task_id, slot_at, skipped";
    let mut new = Vec::new();
    for row in tx.rows_many(sql("keep fires", text), rows).await? {
        if row.opt_text("skipped")?.is_none() {
            new.push((TaskId(row.int("task_id")?), row.time("slot_at")?));
        }
    }
    let tasks: BTreeMap<TaskId, &NewTask> =
        looks.iter().map(|it| (it.row.id, &it.row.task)).collect();
    let new: Vec<_> =
        new.into_iter().filter_map(|(id, slot)| Some((id, slot, *tasks.get(&id)?))).collect();
    res.jobs = new.len();
    queue(tx, &new, now).await?;
    Ok(res)
}

/// What the key of a lane begins with that belongs to one task; no place's address does.
pub(crate) const OWN_LANE: &str = "task:";

fn own_lane(task: TaskId) -> String {
    format!("{OWN_LANE}{task}")
}

/// Makes a job of each fire.
async fn queue(
    tx: &mut Tx,
    fires: &[(TaskId, Timestamp, &NewTask)],
    now: Timestamp,
) -> Result<Vec<JobId>, StoreError> {
    let key = |id: TaskId, it: &NewTask| it.lane_key.clone().unwrap_or_else(|| own_lane(id));
    let wanted = fires.iter().map(|(id, _, it)| (it.group, key(*id, it)));
    let lanes = intake::lanes_of(tx, wanted.collect(), now).await?;
    let (mut rows, mut due) = (Vec::new(), BTreeMap::new());
    for (id, slot, it) in fires {
        let lane = lanes[&(it.group, key(*id, it))];
        let run_at =
            now.max(*slot) + std::time::Duration::from_millis(later(*id, *slot, it.jitter_ms));
        rows.push(row![
            it.group,
            lane,
            match it.does {
                TaskDoes::Think => "task",
                TaskDoes::Say => "say",
            },
            it.place.jid.to_string(),
            thread(&it.place),
            it.role.as_str(),
            &it.text,
            it.text.len(),
            "queued",
            run_at,
            now,
            *id,
            *slot,
        ]);
        let first = due.entry(lane).or_insert(run_at);
        *first = run_at.min(*first);
    }
    let text = "INSERT INTO jobs (group_id, lane_id, kind, jid, thread, role, text, size_bytes, state, run_at, created_at,
                    task_id, slot_at)
                VALUES {values} RETURNING id, task_id, slot_at";
    let mut jobs = Vec::new();
    for row in tx.rows_many(sql("queue fires", text), rows).await? {
        jobs.push(JobId(row.int("id")?));
        let job = jobs.last().copied();
        let detail = format!("task {} at {}", row.int("task_id")?, row.time("slot_at")?);
        tx.decide(NewDecision { message: None, job, run: None, kind: Decision::Queued, detail });
    }
    intake::wake_lanes(tx, due.into_iter().map(|(lane, at)| row![lane, at]).collect()).await?;
    Ok(jobs)
}

/// Fires a task that has no schedule: now, and whenever it is asked for again.
pub(crate) async fn fire_beside(
    tx: &mut Tx,
    id: TaskId,
    task: &NewTask,
) -> Result<JobId, StoreError> {
    let now = tx.now;
    let text = "UPDATE tasks SET state = 'completed', next_at = NULL, last_at = $2 WHERE id = $1";
    tx.run(sql("end a task", text).bind(id).bind(now)).await?;
    let text = "SELECT coalesce(max(slot_at), 0) AS at FROM fires WHERE task_id = $1";
    let last = tx.row(sql("find the last fire", text).bind(id)).await?;
    let last = last.map_or(Ok(Timestamp(0)), |row| row.time("at"))?;
    let slot = now.max(Timestamp(last.0 + 1));
    let text = "INSERT INTO fires (task_id, slot_at, fired_at) VALUES {values}";
    tx.run_many(sql("keep a fire", text), vec![row![id, slot, now]]).await?;
    let jobs = queue(tx, &[(id, slot, task)], now).await?;
    jobs.first().copied().ok_or(StoreError::NotFound { what: "task", name: id.to_string() })
}

/// How much later than its slot a fire runs, in milliseconds: the same for the same fire, spread over all.
fn later(task: TaskId, slot: Timestamp, jitter_ms: u32) -> u64 {
    if jitter_ms == 0 {
        return 0;
    }
    // SplitMix64's finaliser: https://prng.di.unimi.it/splitmix64.c
    let mut it = (task.0 as u64) ^ (slot.0 as u64).rotate_left(32);
    it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (it ^ (it >> 31)) % u64::from(jitter_ms)
}

impl Store {
    /// The newest fires of a task, with what became of them.
    pub async fn fires(&self, task: TaskId, limit: u32) -> Result<Vec<FireRow>, StoreError> {
        let text = "SELECT f.slot_at, f.fired_at, f.skipped, j.id AS job_id, j.state, j.error, j.ended_at,
                        (SELECT min(r.started_at) FROM runs r WHERE r.id = j.run_id) AS began_at,
                        (SELECT count(*) FROM outbox o WHERE o.job_id = j.id AND o.about IS NULL AND o.state = 'sent') AS sent,
                        (SELECT count(*) FROM outbox o WHERE o.job_id = j.id AND o.about IS NULL AND o.state <> 'sent') AS unsent
                    FROM fires f LEFT JOIN jobs j ON j.task_id = f.task_id AND j.slot_at = f.slot_at
                    WHERE f.task_id = $1 ORDER BY f.slot_at DESC LIMIT $2";
        let rows = self.rows(sql("read fires", text).bind(task).bind(limit)).await?;
        let fire = |row: &Row| {
            Ok(FireRow {
                slot_at: row.time("slot_at")?,
                fired_at: row.time("fired_at")?,
                skipped: row.opt_text("skipped")?,
                job: row.opt_int("job_id")?.map(JobId),
                state: row.opt_text("state")?,
                error: row.opt_text("error")?,
                began_at: row.opt_int("began_at")?.map(Timestamp),
                ended_at: row.opt_int("ended_at")?.map(Timestamp),
                sent: row.count("sent")?,
                unsent: row.count("unsent")?,
            })
        };
        rows.iter().map(fire).collect()
    }

    /// Makes jobs of what is due: `limit` tasks at most, one transaction.
    pub async fn fire_tasks(&self, now: Timestamp, limit: usize) -> Result<Fired, StoreError> {
        self.write((now, limit), |tx, it| Box::pin(fire(tx, it))).await
    }

    /// Fires a task now, beside its schedule.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] when there is none, or it was cancelled.
    pub async fn fire_now(&self, id: TaskId, now: Timestamp) -> Result<(), StoreError> {
        self.write((id, now), |tx, &(id, now)| {
            Box::pin(async move {
                let text = format!(
                    "SELECT {COLUMNS} FROM tasks t WHERE t.id = $1 AND t.state <> 'cancelled'"
                );
                let row = tx.row(sql("read a task", text).bind(id)).await?;
                let row = row.ok_or(StoreError::NotFound { what: "task", name: id.to_string() })?;
                let it = task(&row)?.task;
                let text = "INSERT INTO fires (task_id, slot_at, fired_at) VALUES {values}
                            ON CONFLICT (task_id, slot_at) DO NOTHING RETURNING task_id";
                if tx
                    .rows_many(sql("keep a fire", text), vec![row![id, now, now]])
                    .await?
                    .is_empty()
                {
                    // Somebody asked in the same millisecond.
                    return Ok(());
                }
                queue(tx, &[(id, now, &NewTask { jitter_ms: 0, ..it })], now).await.map(drop)
            })
        })
        .await
    }

    /// When the next task is due.
    pub async fn next_task_at(&self) -> Result<Option<Timestamp>, StoreError> {
        let text = "SELECT min(next_at) AS at FROM tasks WHERE state = 'active'";
        let row = self.row(sql("look for the next task", text)).await?;
        Ok(row.map(|it| it.opt_int("at")).transpose()?.flatten().map(Timestamp))
    }
}
