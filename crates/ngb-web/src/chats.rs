//! Chats that wrote, and those that ask to be let in.

use axum::{
    Json,
    extract::{Path, Query, State},
};
use ngb_gateway::handle::Approve;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{App, door::Who, error::ApiError, groups, input::Input, messages::now, shape};

/// Chats of one page when nobody says how many, and the most.
const MAX_CHATS: u32 = 500;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    limit: Option<u32>,
}

/// Chats that wrote, the latest first.
pub(crate) async fn list(
    State(app): State<App>,
    Query(page): Query<Page>,
) -> Result<Json<Value>, ApiError> {
    let limit = page.limit.unwrap_or(MAX_CHATS).clamp(1, MAX_CHATS);
    let chats = app.gateway.store().chats(limit).await?;
    Ok(Json(chats.iter().map(shape::chat).collect()))
}

/// Codes that wait for somebody to decide.
pub(crate) async fn pairings(State(app): State<App>) -> Result<Json<Value>, ApiError> {
    let open = app.gateway.store().pairings(now(&app)).await?;
    Ok(Json(open.iter().map(shape::pairing).collect()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct How {
    #[serde(default)]
    me: bool,
    group: Option<Value>,
}

/// Lets a chat in.
pub(crate) async fn approve(
    State(app): State<App>,
    who: Who,
    Path(code): Path<String>,
    Input(how): Input<How>,
) -> Result<Json<Value>, ApiError> {
    let group = match how.group {
        None | Some(Value::Null) => None,
        Some(Value::String(name)) => Some(groups::find(&app, &name)?.id),
        Some(other) => Some(groups::find(&app, &other.to_string())?.id),
    };
    let by = who.name;
    let pairing = app.gateway.approve(&code, Approve { group, me: how.me, by }).await?;
    Ok(Json(shape::pairing(&pairing)))
}

/// Refuses a chat.
pub(crate) async fn deny(
    State(app): State<App>,
    who: Who,
    Path(code): Path<String>,
) -> Result<Json<Value>, ApiError> {
    app.gateway.deny(&code).await?;
    app.gateway.store().audit(&who.name, "denied", &code).await?;
    Ok(Json(json!({ "ok": true })))
}
