//! Tasks: what was scheduled, as rows. [`crate::fires`] makes jobs of them.

use ngb_core::{
    address::Place,
    clock::Timestamp,
    decision::Decision,
    id::{GroupId, JobId, TaskId},
    role::Role,
    schedule::{Misfire, Overlap, Schedule},
};

use crate::{
    NewDecision, Store, StoreError,
    db::Tx,
    moves,
    sql::{Row, row, sql, thread},
};

/// A task as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTask {
    pub group: GroupId,
    pub does: TaskDoes,
    pub text: String,
    pub schedule: Schedule,
    pub misfire: Misfire,
    pub overlap: Overlap,
    /// How much later than its slot a fire may run, in milliseconds, so that not all run in one second.
    pub jitter_ms: u32,
    /// Where its answers go.
    pub place: Place,
    /// The conversation that it takes part in; none has each fire begin a conversation of its own.
    pub lane_key: Option<String>,
    /// Whose rights its runs have.
    pub role: Role,
    /// Who made it, for people to read.
    pub made_by: String,
    pub next_at: Timestamp,
}

/// What a fire does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskDoes {
    /// The agent is given the text.
    Think,
    /// The text is said; no agent and no model are needed.
    Say,
}

impl TaskDoes {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Think => "think",
            Self::Say => "say",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    Active,
    Paused,
    /// It will not fire any more.
    Done,
    Cancelled,
}

impl TaskState {
    const ALL: [Self; 4] = [Self::Active, Self::Paused, Self::Done, Self::Cancelled];

    /// The word it is stored under.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Done => "completed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A task as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskRow {
    pub id: TaskId,
    pub task: NewTask,
    pub state: TaskState,
    /// Why it is paused.
    pub note: Option<String>,
    /// When it fires next; none while it is not active.
    pub next_at: Option<Timestamp>,
    pub last_at: Option<Timestamp>,
    /// Fires that were left out since their time had passed.
    pub missed: u64,
    pub created_at: Timestamp,
}

/// What becomes of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskChange {
    Pause {
        note: Option<String>,
    },
    /// It goes on, and fires next at that time.
    Resume {
        next_at: Timestamp,
    },
    Cancel,
    /// It is another one now, under the same number.
    Replace(Box<NewTask>),
}

pub(crate) const COLUMNS: &str = "t.id, t.group_id, t.does, t.text, t.schedule, t.value, t.zone, t.misfire, t.overlap, t.jitter_ms, \
    t.jid, t.thread, t.lane_key, t.role, t.made_by, t.state, t.note, t.next_at, t.last_at, t.missed, t.active_since, \
    t.created_at";

pub(crate) fn task(row: &Row) -> Result<TaskRow, StoreError> {
    let (kind, value, zone) = (row.text("schedule")?, row.text("value")?, row.text("zone")?);
    let schedule = Schedule::stored(&kind, &value, &zone)
        .map_err(|err| row.odd("schedule", err.to_string()))?;
    let state = row.text("state")?;
    let does = match row.text("does")?.as_str() {
        "think" => TaskDoes::Think,
        "say" => TaskDoes::Say,
        other => return Err(row.odd("does", format!("`{other}`"))),
    };
    let next_at = row.opt_int("next_at")?.map(Timestamp);
    Ok(TaskRow {
        id: TaskId(row.int("id")?),
        task: NewTask {
            group: GroupId(row.int("group_id")?),
            does,
            text: row.text("text")?,
            schedule,
            misfire: row.parsed("misfire")?,
            overlap: row.parsed("overlap")?,
            jitter_ms: row.small("jitter_ms")?,
            place: row.place()?,
            lane_key: row.opt_text("lane_key")?,
            role: row.parsed("role")?,
            made_by: row.text("made_by")?,
            next_at: next_at.unwrap_or_default(),
        },
        state: TaskState::ALL
            .into_iter()
            .find(|it| it.as_str() == state)
            .ok_or_else(|| row.odd("state", format!("`{state}`")))?,
        note: row.opt_text("note")?,
        next_at,
        last_at: row.opt_int("last_at")?.map(Timestamp),
        missed: row.count("missed")?,
        created_at: row.time("created_at")?,
    })
}

/// The values of a task that its maker chose, in the order of the columns.
fn chosen(it: &NewTask) -> Vec<crate::sql::Value> {
    row![
        it.group,
        it.does.as_str(),
        &it.text,
        it.schedule.kind(),
        it.schedule.value(),
        it.schedule.zone().name(),
        it.misfire.as_str(),
        it.overlap.as_str(),
        it.jitter_ms,
        it.place.jid.to_string(),
        thread(&it.place),
        it.lane_key.clone(),
        it.role.as_str(),
        &it.made_by,
        it.next_at,
    ]
}

pub(crate) async fn add(tx: &mut Tx, new: &NewTask) -> Result<TaskId, StoreError> {
    let mut values = chosen(new);
    values.extend(row!["active", tx.now, tx.now]);
    let text = "INSERT INTO tasks (group_id, does, text, schedule, value, zone, misfire, overlap, jitter_ms, jid, thread,
                    lane_key, role, made_by, next_at, state, active_since, created_at)
                VALUES {values} RETURNING id";
    let made = tx.rows_many(sql("store a task", text), vec![values]).await?;
    let made = made.first().map(|it| it.int("id")).transpose()?;
    made.map(TaskId).ok_or(StoreError::NotFound { what: "task", name: "new".to_owned() })
}

pub(crate) async fn change(
    tx: &mut Tx,
    (id, change): &(TaskId, TaskChange),
) -> Result<(), StoreError> {
    let now = tx.now;
    let query = match change {
        TaskChange::Pause { note } => {
            let text = "UPDATE tasks SET state = 'paused', next_at = NULL, note = $2
                        WHERE id = $1 AND state = 'active'";
            sql("pause a task", text).bind(*id).bind(note.clone())
        }
        TaskChange::Resume { next_at } => {
            let text =
                "UPDATE tasks SET state = 'active', note = NULL, next_at = $2, active_since = $3
                        WHERE id = $1 AND state IN ('paused', 'completed')";
            sql("resume a task", text).bind(*id).bind(*next_at).bind(now)
        }
        TaskChange::Cancel => {
            let text = "UPDATE tasks SET state = 'cancelled', next_at = NULL WHERE id = $1 AND state <> 'cancelled'";
            sql("cancel a task", text).bind(*id)
        }
        TaskChange::Replace(new) => {
            let text = "UPDATE tasks SET group_id = $2, does = $3, text = $4, schedule = $5, value = $6, zone = $7,
                            misfire = $8, overlap = $9, jitter_ms = $10, jid = $11, thread = $12, lane_key = $13,
                            role = $14, made_by = $15, next_at = CASE WHEN state = 'paused' THEN NULL ELSE $16 END,
                            state = CASE WHEN state = 'completed' THEN 'active' ELSE state END
                        WHERE id = $1 AND state <> 'cancelled'";
            chosen(new)
                .into_iter()
                .fold(sql("change a task", text).bind(*id), |it, value| it.bind(value))
        }
    };
    if tx.run(query).await? == 0 {
        return Err(StoreError::NotFound { what: "task in that state", name: id.to_string() });
    }
    if let TaskChange::Cancel = change {
        cancel_jobs(tx, vec![*id], "its task was cancelled").await?;
    }
    Ok(())
}

/// Cancels what waits of tasks.
pub(crate) async fn cancel_jobs(
    tx: &mut Tx,
    tasks: Vec<TaskId>,
    why: &str,
) -> Result<(), StoreError> {
    let text = "UPDATE jobs SET state = 'cancelled', ended_at = $1, error = $2
                WHERE task_id IN ({list}) AND state = 'queued' RETURNING id, lane_id";
    let query = sql("cancel fires", text).bind(tx.now).bind(why).list(tasks);
    let mut lanes = Vec::new();
    for row in tx.rows(query).await? {
        lanes.push(row.int("lane_id")?);
        let (job, kind, detail) =
            (Some(JobId(row.int("id")?)), Decision::Interrupted, why.to_owned());
        tx.decide(NewDecision { message: None, job, run: None, kind, detail });
    }
    moves::requeue_lanes(tx, lanes).await
}

impl Store {
    /// Stores a task; it fires from `next_at` on.
    pub async fn add_task(&self, task: NewTask) -> Result<TaskId, StoreError> {
        self.write(task, |tx, it| Box::pin(add(tx, it))).await
    }

    /// Stores a task that fires only once it is resumed; it was never active.
    pub async fn add_paused_task(
        &self,
        task: NewTask,
        note: Option<String>,
    ) -> Result<TaskId, StoreError> {
        self.write((task, note), |tx, (task, note)| {
            Box::pin(async move {
                let id = add(tx, task).await?;
                change(tx, &(id, TaskChange::Pause { note: note.clone() })).await?;
                Ok(id)
            })
        })
        .await
    }

    /// Changes a task.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] when there is none that can be changed so.
    pub async fn change_task(&self, task: TaskId, how: TaskChange) -> Result<(), StoreError> {
        self.write((task, how), |tx, it| Box::pin(change(tx, it))).await
    }

    pub async fn task(&self, id: TaskId) -> Result<Option<TaskRow>, StoreError> {
        let text = format!("SELECT {COLUMNS} FROM tasks t WHERE t.id = $1");
        self.row(sql("read a task", text).bind(id)).await?.as_ref().map(task).transpose()
    }

    /// Tasks that are not cancelled, of one group or of all, the newest first.
    pub async fn tasks(&self, group: Option<GroupId>) -> Result<Vec<TaskRow>, StoreError> {
        let query = match group {
            Some(group) => {
                let of = "t.group_id = $1 AND t.state <> 'cancelled' ORDER BY t.id DESC";
                sql("read a group's tasks", format!("SELECT {COLUMNS} FROM tasks t WHERE {of}"))
                    .bind(group)
            }
            None => {
                let all = "t.state <> 'cancelled' ORDER BY t.id DESC";
                sql("read tasks", format!("SELECT {COLUMNS} FROM tasks t WHERE {all}"))
            }
        };
        self.rows(query).await?.iter().map(task).collect()
    }
}
