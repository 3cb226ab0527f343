//! Jobs as people see them: those that wait, and the dead letters.

use ngb_core::{
    clock::Timestamp,
    decision::Decision,
    id::{GroupId, JobId, LaneId, MessageId},
    job::Tries,
};

use crate::{
    JobRow, NewDecision, Store, StoreError,
    db::Tx,
    moves,
    sql::{Row, row, sql},
};

/// A query of jobs `j`; its rows are for [`job`].
pub(crate) fn select(rest: &str) -> String {
    format!(
        "SELECT j.id, j.group_id, j.lane_id, j.message_id, j.jid, j.thread, j.state, j.run_at, j.failures,
            j.gateway_deaths, j.error, j.created_at FROM jobs j WHERE {rest}"
    )
}

pub(crate) fn job(row: &Row) -> Result<JobRow, StoreError> {
    Ok(JobRow {
        id: JobId(row.int("id")?),
        group: GroupId(row.int("group_id")?),
        lane: LaneId(row.int("lane_id")?),
        message: row.opt_int("message_id")?.map(MessageId),
        place: row.place()?,
        state: row.text("state")?,
        run_at: row.time("run_at")?,
        tries: Tries {
            failures: row.small("failures")?,
            gateway_deaths: row.small("gateway_deaths")?,
        },
        error: row.opt_text("error")?,
        created_at: row.time("created_at")?,
    })
}

struct Change {
    job: JobId,
    kind: Decision,
    now: Timestamp,
}

async fn change_dead(tx: &mut Tx, it: &Change) -> Result<LaneId, StoreError> {
    // A dead letter that was put back has all its tries again.
    let text = if it.kind == Decision::Revived {
        "UPDATE jobs SET state = 'queued', run_at = $2, failures = 0, gateway_deaths = 0, told_waiting = 0,
             ended_at = NULL
         WHERE id = $1 AND state = 'dead' RETURNING lane_id, message_id"
    } else {
        "UPDATE jobs SET state = 'cancelled', ended_at = $2 WHERE id = $1 AND state = 'dead'
         RETURNING lane_id, message_id"
    };
    let row = tx.row(sql("change a dead letter", text).bind(it.job).bind(it.now)).await?;
    let name = it.job.to_string();
    let row = row.ok_or(StoreError::NotFound { what: "dead letter", name })?;
    let lane = LaneId(row.int("lane_id")?);
    let message = row.opt_int("message_id")?.map(MessageId);
    let (job, detail) = (Some(it.job), String::new());
    tx.decide_at(it.now, NewDecision { message, job, run: None, kind: it.kind, detail });
    if it.kind == Decision::Revived {
        crate::intake::wake_lanes(tx, vec![row![lane, it.now]]).await?;
    }
    Ok(lane)
}

struct Cancel {
    lane: LaneId,
    reason: String,
    now: Timestamp,
}

impl Store {
    pub async fn job(&self, id: JobId) -> Result<Option<JobRow>, StoreError> {
        let query = sql("read a job", select("j.id = $1")).bind(id);
        self.row(query).await?.as_ref().map(job).transpose()
    }

    /// The newest dead letters.
    pub async fn dead(&self, limit: u32) -> Result<Vec<JobRow>, StoreError> {
        let text = select("j.state = 'dead' ORDER BY j.id DESC LIMIT $1");
        let rows = self.rows(sql("read dead letters", text).bind(limit)).await?;
        rows.iter().map(job).collect()
    }

    /// Puts a dead letter back into its lane.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] when it is none.
    pub async fn revive(&self, job: JobId) -> Result<LaneId, StoreError> {
        let it = Change { job, kind: Decision::Revived, now: self.now() };
        self.write(it, |tx, it| Box::pin(change_dead(tx, it))).await
    }

    /// Throws a dead letter away.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] when it is none.
    pub async fn discard(&self, job: JobId) -> Result<LaneId, StoreError> {
        let it = Change { job, kind: Decision::Discarded, now: self.now() };
        self.write(it, |tx, it| Box::pin(change_dead(tx, it))).await
    }

    /// Cancels the jobs that wait in a lane; returns how many.
    pub async fn cancel_lane(&self, lane: LaneId, reason: &str) -> Result<usize, StoreError> {
        let it = Cancel { lane, reason: reason.to_owned(), now: self.now() };
        self.write(it, |tx, it| Box::pin(moves::cancel(tx, it.lane, &it.reason, it.now))).await
    }

    /// The lane of a group that has this key, if a message ever came to it.
    pub async fn lane(&self, group: GroupId, key: &str) -> Result<Option<LaneId>, StoreError> {
        let text = "SELECT id FROM lanes WHERE group_id = $1 AND lane_key = $2";
        let row = self.row(sql("look for a lane", text).bind(group).bind(key)).await?;
        Ok(row.map(|it| it.int("id")).transpose()?.map(LaneId))
    }

    /// The group that a lane belongs to.
    pub async fn group_of_lane(&self, lane: LaneId) -> Result<Option<GroupId>, StoreError> {
        let text = "SELECT group_id FROM lanes WHERE id = $1";
        let row = self.row(sql("look for a lane's group", text).bind(lane)).await?;
        Ok(row.map(|it| it.int("group_id")).transpose()?.map(GroupId))
    }

    /// The lanes of a group, with their keys.
    pub async fn lanes(&self, group: GroupId) -> Result<Vec<(LaneId, String)>, StoreError> {
        let text = "SELECT id, lane_key FROM lanes WHERE group_id = $1 ORDER BY id";
        let rows = self.rows(sql("read lanes", text).bind(group)).await?;
        rows.iter().map(|it| Ok((LaneId(it.int("id")?), it.text("lane_key")?))).collect()
    }

    /// The head of a lane's queue, the oldest first: the message, and its text or what the clock asks.
    pub async fn queue_head(
        &self,
        lane: LaneId,
        limit: u32,
    ) -> Result<Vec<(Option<MessageId>, String)>, StoreError> {
        let text = "SELECT j.message_id, coalesce(m.text, j.text, '') AS text
                    FROM jobs j LEFT JOIN messages m ON m.id = j.message_id
                    WHERE j.lane_id = $1 AND j.state = 'queued' ORDER BY j.run_at, j.id LIMIT $2";
        let rows = self.rows(sql("read the head of a queue", text).bind(lane).bind(limit)).await?;
        let waiting = |it: &Row| Ok((it.opt_int("message_id")?.map(MessageId), it.text("text")?));
        rows.iter().map(waiting).collect()
    }

    /// Jobs that wait in a lane.
    pub async fn waiting(&self, lane: LaneId) -> Result<u64, StoreError> {
        let text = "SELECT count(*) AS n FROM jobs WHERE lane_id = $1 AND state = 'queued'";
        let row = self.row(sql("count waiting jobs", text).bind(lane)).await?;
        row.map_or(Ok(0), |it| it.count("n"))
    }
}
