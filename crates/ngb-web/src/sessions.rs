//! Conversations: what there is, and beginning anew, going back, forking, ending.

use axum::{Json, extract::State};
use ngb_core::{
    id::{GroupId, LaneId},
    role::Right,
};
use ngb_gateway::{
    sessions::{Fork, Transcript},
    store::LaneRow,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    App,
    door::Who,
    error::ApiError,
    groups,
    input::{Input, Path, Query},
    messages::Stopped,
    shape::{DONE, Done, Instant},
};

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "SessionFilter")]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    group: Option<String>,
}

/// A conversation.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Session")]
pub(crate) struct SessionView {
    lane: LaneId,
    group: GroupId,
    group_name: String,
    /// The place, chat or person that shares it.
    key: String,
    /// The driver's name of it; none where the next message begins a new one.
    session: Option<String>,
    entries: u64,
    messages: u64,
    waiting: u64,
    /// Whether an agent works there at this moment.
    working: bool,
    last_at: Option<Instant>,
    /// Those that the driver `builtin` kept, the latest first; only of one conversation that is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    transcripts: Option<Vec<Transcript>>,
}

fn shown(app: &App, it: LaneRow) -> SessionView {
    let snapshot = app.gateway.directory().snapshot();
    let name = snapshot.group(it.group).map(|it| it.name.to_string()).unwrap_or_default();
    SessionView {
        lane: it.lane,
        group: it.group,
        group_name: name,
        key: it.key,
        entries: it.session.as_ref().map_or(0, |it| it.entries),
        session: it.session.map(|it| it.id),
        messages: it.messages,
        waiting: it.waiting,
        working: app.gateway.at_work(it.lane).is_some(),
        last_at: it.last_at.map(Instant),
        transcripts: None,
    }
}

/// The conversations of a group, or of all that one may read, the latest first.
pub(crate) async fn list(
    State(app): State<App>,
    who: Who,
    Query(filter): Query<Filter>,
) -> Result<Json<Vec<SessionView>>, ApiError> {
    let named = |it| groups::find_for(&app, &who, it, Right::Read);
    let group = filter.group.as_deref().map(named).transpose()?;
    let all = app.gateway.store().conversations(group.map(|it| it.id)).await?;
    let mine = all.into_iter().filter(|it| who.may_in(it.group, Right::Read));
    Ok(Json(mine.map(|it| shown(&app, it)).collect()))
}

/// One of them, with the transcripts that are kept.
pub(crate) async fn show(
    State(app): State<App>,
    who: Who,
    Path(lane): Path<LaneId>,
) -> Result<Json<SessionView>, ApiError> {
    let row = find(&app, &who, lane, Right::Read).await?;
    let transcripts = app.gateway.transcripts(&row).await?;
    Ok(Json(SessionView { transcripts: Some(transcripts), ..shown(&app, row) }))
}

/// Has the next message begin a new session.
pub(crate) async fn begin_anew(
    State(app): State<App>,
    who: Who,
    Path(lane): Path<LaneId>,
) -> Result<Json<Done>, ApiError> {
    find(&app, &who, lane, Right::Stop).await?;
    app.gateway.begin_anew(lane).await?;
    app.gateway.store().audit(&who.name, "session begun anew", &format!("lane {lane}")).await?;
    Ok(Json(DONE))
}

/// Stops what runs there, and ends its agent; the conversation stays.
pub(crate) async fn kill(
    State(app): State<App>,
    who: Who,
    Path(lane): Path<LaneId>,
) -> Result<Json<Stopped>, ApiError> {
    find(&app, &who, lane, Right::Stop).await?;
    let interrupted = app.gateway.kill(lane);
    app.gateway.store().audit(&who.name, "session killed", &format!("lane {lane}")).await?;
    Ok(Json(Stopped { success: true, interrupted }))
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "GoBack")]
#[serde(deny_unknown_fields)]
pub(crate) struct GoBack {
    /// The id of a transcript.
    session: String,
}

/// Has the next message go on with an earlier session.
pub(crate) async fn resume(
    State(app): State<App>,
    who: Who,
    Path(lane): Path<LaneId>,
    Input(GoBack { session }): Input<GoBack>,
) -> Result<Json<Done>, ApiError> {
    find(&app, &who, lane, Right::Operate).await?;
    app.gateway.go_back(lane, &session).await?;
    let detail = format!("lane {lane}, session {session}");
    app.gateway.store().audit(&who.name, "session gone back to", &detail).await?;
    Ok(Json(DONE))
}

/// Makes a conversation in the terminal's chat that goes on from where this one stands.
pub(crate) async fn fork(
    State(app): State<App>,
    who: Who,
    Path(lane): Path<LaneId>,
) -> Result<Json<Fork>, ApiError> {
    find(&app, &who, lane, Right::Operate).await?;
    let fork = app.gateway.fork(lane).await?;
    let detail = format!("lane {lane} to lane {}", fork.lane);
    app.gateway.store().audit(&who.name, "session forked", &detail).await?;
    Ok(Json(fork))
}

/// A conversation that `who` may do that with; one that they may not read is not there.
async fn find(app: &App, who: &Who, lane: LaneId, right: Right) -> Result<LaneRow, ApiError> {
    let absent = || ApiError::not_found(format_args!("lane `{lane}`"));
    let row = app.gateway.store().conversation(lane).await?.ok_or_else(absent)?;
    let snapshot = app.gateway.directory().snapshot();
    match snapshot.group(row.group).filter(|it| who.may_in(it.id, Right::Read)) {
        Some(group) => who.need_in(group, right)?,
        None => return Err(absent()),
    }
    Ok(row)
}
