//! Messages and edits about which plugins are asked: stored first, planned once they were.

use ngb_core::{
    id::{GroupId, LaneId, MessageId},
    message::Content,
    role::Role,
};

use super::{Item, PassageId};
use crate::{
    StoreError,
    db::Tx,
    sql::{row, sql, thread, to_json},
};

/// Ends the passages of those that come back from plugins; one that is not there any more came back before.
pub(super) async fn take(tx: &mut Tx, items: &mut [Item<'_>]) -> Result<(), StoreError> {
    for item in items.iter_mut() {
        let Some((PassageId(id), _)) = item.asked else { continue };
        let text = "DELETE FROM passages WHERE id = $1 AND way = 'in' RETURNING id";
        item.fresh = tx.row(sql("end a passage", text).bind(id)).await?.is_some();
    }
    Ok(())
}

/// Keeps what is to be known of an arrival until plugins were asked.
pub(super) async fn wait(tx: &mut Tx, item: &Item<'_>) -> Result<(), StoreError> {
    let inbound = item.inbound();
    let place = &inbound.place;
    let text = "INSERT INTO passages (way, state, message_id, inbound, jid, thread, text, created_at) VALUES {values}";
    let values = row![
        "in",
        "waiting",
        item.message,
        to_json(inbound)?,
        place.jid.to_string(),
        thread(place),
        "",
        item.now,
    ];
    tx.run_many(sql("ask plugins", text), vec![values]).await
}

/// Writes what plugins left of a message that is stored, and what becomes of it.
pub(super) async fn plan_message(
    tx: &mut Tx,
    message: MessageId,
    content: &Content,
    to: (Option<GroupId>, Option<LaneId>, Option<Role>),
    state: &str,
) -> Result<(), StoreError> {
    write_content(tx, message, content).await?;
    let (group, lane, role) = to;
    let text =
        "UPDATE messages SET group_id = $2, lane_id = $3, role = $4, state = $5 WHERE id = $1";
    let query = sql("plan a message", text).bind(message).bind(group).bind(lane);
    tx.run(query.bind(role.map(Role::as_str)).bind(state)).await.map(drop)
}

/// Writes another text over the one that is stored.
pub(crate) async fn write_content(
    tx: &mut Tx,
    message: MessageId,
    content: &Content,
) -> Result<(), StoreError> {
    let text = "UPDATE messages SET text = $2, quote = $3, media = $4 WHERE id = $1
                    AND (text <> $2 OR coalesce(quote, '') <> coalesce($3, '') OR media <> $4) RETURNING id";
    let media = to_json(&content.media)?;
    let query = sql("write what plugins left", text).bind(message).bind(&*content.text);
    let changed = tx.row(query.bind(content.quote.as_deref()).bind(media)).await?;
    if changed.is_some() {
        let text = "INSERT INTO reworded (message_id) VALUES {values} ON CONFLICT DO NOTHING";
        tx.run_many(sql("have words written anew", text), vec![row![message]]).await?;
    }
    Ok(())
}
