//! Chats that wrote, and those that ask to be let in.

use axum::{Json, extract::State};
use ngb_core::role::Right;
use ngb_gateway::handle::Approve;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    App,
    door::Who,
    error::ApiError,
    groups::{self, Name},
    input::{Input, Path, Query},
    messages::now,
    shape::{self, ChatView, DONE, Done, PairingView, ThreadView},
};

/// Chats of one page when nobody says how many, and the most.
const MAX_CHATS: u32 = 500;

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "ChatsPage")]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    limit: Option<u32>,
}

/// Chats that wrote, the latest first.
pub(crate) async fn list(
    State(app): State<App>,
    who: Who,
    Query(page): Query<Page>,
) -> Result<Json<Vec<ChatView>>, ApiError> {
    let limit = page.limit.unwrap_or(MAX_CHATS).clamp(1, MAX_CHATS);
    let chats = app.gateway.store().chats(limit).await?;
    let snapshot = app.gateway.directory().snapshot();
    let mine = chats.iter().filter(|it| who.need_for(&it.jid, &snapshot, Right::Read).is_ok());
    Ok(Json(mine.map(shape::chat).collect()))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OfChat {
    #[serde(alias = "chatJid", alias = "jid")]
    chat_jid: String,
}

/// The threads of a chat, the latest first.
pub(crate) async fn threads(
    State(app): State<App>,
    who: Who,
    Query(of): Query<OfChat>,
) -> Result<Json<Vec<ThreadView>>, ApiError> {
    let jid = groups::resolve(&app, &of.chat_jid)?;
    who.need_for(&jid, &app.gateway.directory().snapshot(), Right::Read)?;
    let threads = app.gateway.store().threads(&jid, MAX_CHATS).await?;
    Ok(Json(threads.iter().map(shape::thread).collect()))
}

/// Codes that wait for somebody to decide.
pub(crate) async fn pairings(State(app): State<App>) -> Result<Json<Vec<PairingView>>, ApiError> {
    let open = app.gateway.store().pairings(now(&app)).await?;
    Ok(Json(open.iter().map(shape::pairing).collect()))
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "Approval")]
#[serde(deny_unknown_fields)]
pub(crate) struct How {
    #[serde(default)]
    me: bool,
    /// Its number, name or folder.
    group: Option<Name>,
}

/// Lets a chat in.
pub(crate) async fn approve(
    State(app): State<App>,
    who: Who,
    Path(code): Path<String>,
    Input(how): Input<How>,
) -> Result<Json<PairingView>, ApiError> {
    let group = how.group.map(|it| groups::find(&app, &it.to_string())).transpose()?;
    let group = group.map(|it| it.id);
    let me = match how.me {
        // Whoever comes by the local socket is the owner.
        true => Some(match who.user {
            Some(user) => user,
            None => app.gateway.owner().await?,
        }),
        false => None,
    };
    let by = who.name.clone();
    let pairing = app.gateway.approve(&code, Approve { group, me, by: who.name }).await?;
    let detail = format!("{code}: {}", pairing.place);
    app.gateway.store().audit(&by, "chat approved", &detail).await?;
    Ok(Json(shape::pairing(&pairing)))
}

/// Refuses a chat.
pub(crate) async fn deny(
    State(app): State<App>,
    who: Who,
    Path(code): Path<String>,
) -> Result<Json<Done>, ApiError> {
    app.gateway.deny(&code).await?;
    app.gateway.store().audit(&who.name, "chat denied", &code).await?;
    Ok(Json(DONE))
}
