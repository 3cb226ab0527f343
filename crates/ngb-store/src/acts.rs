//! What commands in a chat change, in the transaction that keeps the message.

use ngb_core::id::{GroupId, MessageId};

use crate::{Act, StoreError, db::Tx, forget, groups, sql::sql};

pub(crate) async fn act(
    tx: &mut Tx,
    act: &Act,
    message: Option<MessageId>,
) -> Result<(), StoreError> {
    match act {
        Act::NewSession { group, lane_key } => new_session(tx, *group, lane_key, message).await,
        Act::Pause { group, paused } => groups::pause(tx, *group, *paused).await,
        Act::Forget { account, sender_id, place, lang } => {
            forget::wish(tx, account, sender_id, place, *lang).await
        }
    }
}

/// A lane that has no row yet has no session either.
async fn new_session(
    tx: &mut Tx,
    group: GroupId,
    lane_key: &str,
    message: Option<MessageId>,
) -> Result<(), StoreError> {
    let text = "UPDATE lanes SET session_id = NULL, session_entries = NULL,
                    fresh_after = coalesce(run_id, fresh_after), context_after = coalesce($3, context_after)
                WHERE group_id = $1 AND lane_key = $2";
    tx.run(sql("begin a new session", text).bind(group).bind(lane_key).bind(message))
        .await
        .map(drop)
}
