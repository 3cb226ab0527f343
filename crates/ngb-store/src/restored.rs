//! A database that was put back from a backup is held: it may be older than what the world has seen since, so nothing of it is
//! sent or answered before somebody has looked at it.

use ngb_core::{
    address::Place,
    clock::Timestamp,
    decision::Decision,
    id::{GroupId, JobId, MessageId, OutboxId, TaskId},
};
use serde::{Deserialize, Serialize};

use crate::{
    NewDecision, Store, StoreError,
    db::Tx,
    sql::{row, sql},
};

/// The value that says so.
const KEY: &str = "restored";

/// What is written to what was given up.
const GIVEN_UP: &str = "given up after a restore";

/// Where a held database comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// When it was put back.
    pub at: Timestamp,
    /// When the backup was made: what happened since is not in it.
    pub made_at: Timestamp,
}

/// What waits to be sent.
#[derive(Clone, Debug)]
pub struct WaitingSend {
    pub id: OutboxId,
    pub place: Place,
    /// Nobody knows whether it was sent.
    pub in_doubt: bool,
    pub created_at: Timestamp,
}

/// What waits for an agent.
#[derive(Clone, Debug)]
pub struct WaitingJob {
    pub id: JobId,
    pub group: GroupId,
    pub message: Option<MessageId>,
    pub place: Place,
    pub created_at: Timestamp,
}

/// A task that is due.
#[derive(Clone, Debug)]
pub struct WaitingTask {
    pub id: TaskId,
    pub group: GroupId,
    pub due_at: Timestamp,
}

/// What would be done next, the oldest first.
#[derive(Clone, Debug, Default)]
pub struct Waits {
    pub sends: Vec<WaitingSend>,
    pub jobs: Vec<WaitingJob>,
    pub tasks: Vec<WaitingTask>,
}

/// Has whatever starts on this database be held.
pub(crate) async fn hold(tx: &mut Tx, it: &Restored) -> Result<(), StoreError> {
    let text = "INSERT INTO kv (name, value) VALUES {values}
                ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    let value = crate::sql::to_json(it)?;
    tx.run_many(sql("hold what was restored", text), vec![row![KEY, value]]).await
}

async fn release(tx: &mut Tx, give_up: &bool) -> Result<bool, StoreError> {
    let text = "DELETE FROM kv WHERE name = $1";
    if tx.run(sql("release what was restored", text).bind(KEY)).await? == 0 {
        return Ok(false);
    }
    if !*give_up {
        return Ok(true);
    }
    let now = tx.now;
    let text =
        "UPDATE outbox SET state = 'failed', error = $1 WHERE state = 'pending' RETURNING about";
    for row in tx.rows(sql("give up what was to be sent", text).bind(GIVEN_UP)).await? {
        let Some(message) = row.opt_int("about")?.map(MessageId) else { continue };
        tx.decide_at(now, given_up(Decision::SendFailed, Some(message), None));
    }
    let text = "UPDATE jobs SET state = 'dead', error = $1, ended_at = $2 WHERE state = 'queued' RETURNING id, message_id";
    for row in tx.rows(sql("give up what waited", text).bind(GIVEN_UP).bind(now)).await? {
        let message = row.opt_int("message_id")?.map(MessageId);
        let job = Some(JobId(row.int("id")?));
        tx.decide_at(now, given_up(Decision::Dead, message, job));
    }
    let text = "UPDATE lanes SET due_at = NULL WHERE due_at IS NOT NULL";
    tx.run(sql("nothing is due", text)).await?;
    Ok(true)
}

fn given_up(kind: Decision, message: Option<MessageId>, job: Option<JobId>) -> NewDecision {
    NewDecision { message, job, run: None, kind, detail: GIVEN_UP.to_owned() }
}

impl Store {
    /// Where the database comes from, while it is held.
    pub async fn restored(&self) -> Result<Option<Restored>, StoreError> {
        let Some(text) = self.get(KEY).await? else { return Ok(None) };
        let read = serde_json::from_str(&text);
        read.map(Some).map_err(|err| StoreError::Sql { doing: "read a value", source: err.into() })
    }

    /// What would be done next, were it not held; up to `limit` of each kind.
    pub async fn waits(&self, limit: u32) -> Result<Waits, StoreError> {
        let text = "SELECT id, jid, thread, in_doubt, created_at FROM outbox
                    WHERE state IN ('pending', 'sending') ORDER BY id LIMIT $1";
        let mut waits = Waits::default();
        for row in self.rows(sql("list what is to be sent", text).bind(limit)).await? {
            waits.sends.push(WaitingSend {
                id: OutboxId(row.int("id")?),
                place: row.place()?,
                in_doubt: row.flag("in_doubt")?,
                created_at: row.time("created_at")?,
            });
        }
        let text = "SELECT id, group_id, message_id, jid, thread, created_at FROM jobs
                    WHERE state IN ('queued', 'running') ORDER BY id LIMIT $1";
        for row in self.rows(sql("list what waits", text).bind(limit)).await? {
            waits.jobs.push(WaitingJob {
                id: JobId(row.int("id")?),
                group: GroupId(row.int("group_id")?),
                message: row.opt_int("message_id")?.map(MessageId),
                place: row.place()?,
                created_at: row.time("created_at")?,
            });
        }
        let text =
            "SELECT id, group_id, next_at FROM tasks WHERE state = 'active' AND next_at <= $1
                    ORDER BY next_at, id LIMIT $2";
        for row in self.rows(sql("list due tasks", text).bind(self.now()).bind(limit)).await? {
            waits.tasks.push(WaitingTask {
                id: TaskId(row.int("id")?),
                group: GroupId(row.int("group_id")?),
                due_at: row.time("next_at")?,
            });
        }
        Ok(waits)
    }

    /// Holds it no longer; false where it was not held. With `give_up` what waits becomes dead letters, to be looked at one
    /// by one.
    pub async fn release_restored(&self, give_up: bool) -> Result<bool, StoreError> {
        self.write(give_up, |tx, it| Box::pin(release(tx, it))).await
    }
}
