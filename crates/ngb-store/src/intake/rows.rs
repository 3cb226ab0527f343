//! The rows of messages and lanes, for whoever writes some.

use std::collections::HashMap;

use ngb_core::{
    clock::Timestamp,
    id::{GroupId, LaneId},
    message::{Addressed, Author, Content, Inbound},
    role::Role,
};

use crate::{
    StoreError,
    db::Tx,
    sql::{Value, row, sql, thread, to_json},
};

pub(crate) const INSERT_MESSAGES: &str =
    "INSERT INTO messages (jid, thread, platform_id, author, sender_id, sender_name, role, text, media, reply_to,
        quote, album, addressed, group_id, lane_id, state, sent_at, received_at)
     VALUES {values} ON CONFLICT DO NOTHING RETURNING id, jid, platform_id";

/// The platform's id of a message; where it has none, the event's key stands for it.
pub(crate) fn platform_id(inbound: &Inbound, content: &Content) -> String {
    if content.platform_id.is_empty() {
        format!("event:{}", inbound.event_key)
    } else {
        content.platform_id.clone()
    }
}

/// The lanes with these keys; those that are not there are made.
pub(crate) async fn lanes_of(
    tx: &mut Tx,
    wanted: Vec<(GroupId, String)>,
    now: Timestamp,
) -> Result<HashMap<(GroupId, String), LaneId>, StoreError> {
    let mut rows = HashMap::new();
    for (group, key) in &wanted {
        let named = (group.0, key.clone());
        if !tx.cache.lanes.contains_key(&named) {
            rows.insert(named, row![*group, key, now]);
        }
    }
    // Not DO NOTHING, since that would not give the id of a lane that is there already.
    let text = "INSERT INTO lanes (group_id, lane_key, created_at) VALUES {values}
                ON CONFLICT (group_id, lane_key) DO UPDATE SET lane_key = excluded.lane_key
                RETURNING id, group_id, lane_key";
    for row in tx.rows_many(sql("store lanes", text), rows.into_values().collect()).await? {
        tx.cache.lanes.insert((row.int("group_id")?, row.text("lane_key")?), row.int("id")?);
    }
    let known = |(group, key): (GroupId, String)| {
        let lane = tx.cache.lanes.get(&(group.0, key.clone())).copied().map(LaneId)?;
        Some(((group, key), lane))
    };
    Ok(wanted.into_iter().filter_map(known).collect())
}

/// The values of a row of `messages`, in the order of [`MESSAGE_COLUMNS`].
pub(crate) fn message_row(
    inbound: &Inbound,
    content: &Content,
    to: (Option<GroupId>, Option<LaneId>, Option<Role>),
    state: &str,
    now: Timestamp,
) -> Result<Vec<Value>, StoreError> {
    let addressed = match content.addressed {
        Addressed::No => "no",
        Addressed::Mention => "mention",
        Addressed::Reply => "reply",
        Addressed::Direct => "direct",
    };
    let (group, lane, role) = to;
    Ok(row![
        inbound.place.jid.to_string(),
        thread(&inbound.place),
        platform_id(inbound, content),
        Author::User.as_str(),
        &inbound.sender.id,
        &inbound.sender.name,
        role.map(Role::as_str),
        &content.text,
        to_json(&content.media)?,
        content.reply_to.as_deref(),
        content.quote.as_deref(),
        content.album.as_deref(),
        addressed,
        group,
        lane,
        state,
        inbound.sent_at,
        now,
    ])
}

/// Notes that lanes have jobs that are due at the given times; returns the lanes that no run holds.
pub(crate) async fn wake_lanes(
    tx: &mut Tx,
    rows: Vec<Vec<Value>>,
) -> Result<Vec<LaneId>, StoreError> {
    let text = "WITH d (lane, due_at) AS (VALUES {values})
                UPDATE lanes SET due_at = CASE WHEN lanes.due_at < d.due_at THEN lanes.due_at ELSE d.due_at END
                FROM d WHERE lanes.id = d.lane AND lanes.run_id IS NULL RETURNING lanes.id";
    let woken = tx.rows_many(sql("wake lanes", text), rows).await?;
    woken.iter().map(|it| it.int("id").map(LaneId)).collect()
}
