//! Conversations: the lanes with their sessions, to be looked at, begun anew, gone back to and forked.

use ngb_core::{
    clock::Timestamp,
    frame::SessionMark,
    id::{GroupId, LaneId, MessageId},
};

use crate::{
    Store, StoreError,
    db::Tx,
    sql::{Row, sql},
};

/// A conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneRow {
    pub lane: LaneId,
    pub group: GroupId,
    /// The lane's place, chat or person; see [`ngb_core::group::Scope`].
    pub key: String,
    /// None where the next prompt begins a new session.
    pub session: Option<SessionMark>,
    pub messages: u64,
    /// When the last of them came.
    pub last_at: Option<Timestamp>,
    /// When its last run began.
    pub served_at: Option<Timestamp>,
    pub waiting: u64,
    pub created_at: Timestamp,
}

fn select(rest: &str) -> String {
    format!(
        "SELECT l.id, l.group_id, l.lane_key, l.session_id, l.session_entries, l.served_at, l.created_at,
            (SELECT count(*) FROM messages m WHERE m.lane_id = l.id) AS messages_n,
            (SELECT m.received_at FROM messages m WHERE m.lane_id = l.id ORDER BY m.id DESC LIMIT 1) AS last_at,
            (SELECT count(*) FROM jobs j WHERE j.lane_id = l.id AND j.state = 'queued') AS waiting_n
         FROM lanes l WHERE {rest}"
    )
}

fn lane(row: &Row) -> Result<LaneRow, StoreError> {
    let session = match (row.opt_text("session_id")?, row.opt_int("session_entries")?) {
        (Some(id), Some(entries)) => {
            Some(SessionMark { id, entries: u64::try_from(entries).unwrap_or(0) })
        }
        _ => None,
    };
    Ok(LaneRow {
        lane: LaneId(row.int("id")?),
        group: GroupId(row.int("group_id")?),
        key: row.text("lane_key")?,
        session,
        messages: row.count("messages_n")?,
        last_at: row.opt_int("last_at")?.map(Timestamp),
        served_at: row.opt_int("served_at")?.map(Timestamp),
        waiting: row.count("waiting_n")?,
        created_at: row.time("created_at")?,
    })
}

/// Where a lane's next run begins. What a run says of its session that is under way now comes too late.
async fn set(
    tx: &mut Tx,
    (lane, session): &(LaneId, Option<SessionMark>),
) -> Result<(), StoreError> {
    let text = "UPDATE lanes SET session_id = $2, session_entries = $3, fresh_after = coalesce(run_id, fresh_after)
                WHERE id = $1";
    let id = session.as_ref().map(|it| it.id.clone());
    let entries = session.as_ref().map(|it| i64::try_from(it.entries).unwrap_or(i64::MAX));
    match tx.run(sql("set a session", text).bind(*lane).bind(id).bind(entries)).await? {
        0 => Err(StoreError::NotFound { what: "lane", name: lane.to_string() }),
        _ => Ok(()),
    }
}

async fn make(tx: &mut Tx, (group, key): &(GroupId, String)) -> Result<LaneId, StoreError> {
    let wanted = (*group, key.clone());
    let now = tx.now;
    let made = crate::intake::lanes_of(tx, vec![wanted.clone()], now).await?;
    made.get(&wanted).copied().ok_or(StoreError::Closed)
}

impl Store {
    /// The conversations of a group, or of all, the one that was written in last first.
    pub async fn conversations(&self, group: Option<GroupId>) -> Result<Vec<LaneRow>, StoreError> {
        let group = group.map_or(0, |it| it.0);
        let text = select(
            "($1 = 0 OR l.group_id = $1) AND EXISTS (SELECT 1 FROM groups g
                WHERE g.id = l.group_id AND g.removed_at IS NULL)",
        );
        let rows = self.rows(sql("read conversations", text).bind(group)).await?;
        let mut all = rows.iter().map(lane).collect::<Result<Vec<_>, _>>()?;
        all.sort_by_key(|it| std::cmp::Reverse((it.last_at, it.lane)));
        Ok(all)
    }

    pub async fn conversation(&self, id: LaneId) -> Result<Option<LaneRow>, StoreError> {
        let row = self.row(sql("read a conversation", select("l.id = $1")).bind(id)).await?;
        row.as_ref().map(lane).transpose()
    }

    /// Has the lane's next run go on with a session, or begin a new one.
    pub async fn set_session(
        &self,
        lane: LaneId,
        session: Option<SessionMark>,
    ) -> Result<(), StoreError> {
        self.write((lane, session), |tx, it| Box::pin(set(tx, it))).await
    }

    /// The lane with that key; it is made where there is none.
    pub async fn make_lane(&self, group: GroupId, key: &str) -> Result<LaneId, StoreError> {
        self.write((group, key.to_owned()), |tx, it| Box::pin(make(tx, it))).await
    }

    /// When the agent last said something in a lane, before a message.
    pub async fn last_answer(
        &self,
        lane: LaneId,
        before: MessageId,
    ) -> Result<Option<Timestamp>, StoreError> {
        let text = "SELECT m.received_at FROM messages m
                    WHERE m.lane_id = $1 AND m.id < $2 AND m.author <> 'user' ORDER BY m.id DESC LIMIT 1";
        let row = self.row(sql("read the last answer", text).bind(lane).bind(before)).await?;
        row.map(|it| it.time("received_at")).transpose()
    }
}
