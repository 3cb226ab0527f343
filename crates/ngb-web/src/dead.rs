//! Dead letters: work that was given up, and sends that a platform refused for good.

use axum::{Json, extract::State};
use ngb_core::{
    address::Jid,
    id::{GroupId, JobId, MessageId, OutboxId},
    role::Right,
};
use ngb_gateway::store::{JobRow, UnsentRow};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    App,
    door::Who,
    error::ApiError,
    input::Path,
    shape::{self, DONE, Done, Instant, JobView, WhyView},
};

/// Dead letters of one page.
const MAX_LETTERS: u32 = 500;

/// The dead letters, the latest first.
pub(crate) async fn list(State(app): State<App>, who: Who) -> Result<Json<Vec<JobView>>, ApiError> {
    let jobs = app.gateway.store().dead(MAX_LETTERS).await?;
    let mine = jobs.iter().filter(|it| who.may_in(it.group, Right::Operate));
    Ok(Json(mine.map(shape::job).collect()))
}

/// The dead letter `id`; one of a group where they may not mend is not there for them.
async fn find(app: &App, who: &Who, id: JobId) -> Result<JobRow, ApiError> {
    let found = app.gateway.store().job(id).await?.filter(|it| it.state == "dead");
    let mine = found.filter(|it| who.may_in(it.group, Right::Operate));
    mine.ok_or_else(|| ApiError::missing("dead letter", id))
}

/// A dead letter.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeadLetter")]
pub(crate) struct Letter {
    job: JobView,
    /// None for a reminder, which is of no message.
    why: Option<WhyView>,
}

/// One of them, with the path of its message.
pub(crate) async fn show(
    State(app): State<App>,
    who: Who,
    Path(id): Path<JobId>,
) -> Result<Json<Letter>, ApiError> {
    let job = find(&app, &who, id).await?;
    Ok(Json(Letter { job: shape::job(&job), why: why(&app, job.message).await? }))
}

async fn why(app: &App, message: Option<MessageId>) -> Result<Option<WhyView>, ApiError> {
    match message {
        Some(message) => Ok(Some(shape::why(&app.gateway.store().why(message).await?))),
        None => Ok(None),
    }
}

/// Puts one back into its queue.
pub(crate) async fn requeue(
    State(app): State<App>,
    who: Who,
    Path(job): Path<JobId>,
) -> Result<Json<Done>, ApiError> {
    find(&app, &who, job).await?;
    app.gateway.revive(job).await?;
    app.gateway.store().audit(&who.name, "dead letter requeued", &job.to_string()).await?;
    Ok(Json(DONE))
}

/// Throws one away.
pub(crate) async fn discard(
    State(app): State<App>,
    who: Who,
    Path(job): Path<JobId>,
) -> Result<Json<Done>, ApiError> {
    find(&app, &who, job).await?;
    app.gateway.discard(job).await?;
    app.gateway.store().audit(&who.name, "dead letter dropped", &job.to_string()).await?;
    Ok(Json(DONE))
}

/// What a platform refused for good.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeadSend")]
pub(crate) struct Unsent {
    id: OutboxId,
    group: Option<GroupId>,
    /// The message that it answers.
    message: Option<MessageId>,
    jid: Jid,
    /// The chat, and the thread where there is one.
    place: String,
    /// What was to be said or shown, as words.
    text: Option<String>,
    attempts: u32,
    error: Option<String>,
    created_at: Instant,
}

fn unsent(it: UnsentRow) -> Unsent {
    Unsent {
        id: it.id,
        group: it.group,
        message: it.about,
        jid: it.place.jid.clone(),
        place: it.place.to_string(),
        text: it.item.text().map(str::to_owned),
        attempts: it.attempt,
        error: it.error,
        created_at: Instant(it.created_at),
    }
}

/// What was said in a chat of no group is theirs who may mend everywhere.
fn may_mend(who: &Who, group: Option<GroupId>) -> bool {
    group.map_or_else(|| who.may(Right::Operate), |group| who.may_in(group, Right::Operate))
}

/// The dead sends, the latest first.
pub(crate) async fn sends(State(app): State<App>, who: Who) -> Result<Json<Vec<Unsent>>, ApiError> {
    let rows = app.gateway.store().unsent(MAX_LETTERS).await?;
    let mine = rows.into_iter().filter(|it| may_mend(&who, it.group));
    Ok(Json(mine.map(unsent).collect()))
}

async fn find_send(app: &App, who: &Who, id: OutboxId) -> Result<UnsentRow, ApiError> {
    let found = app.gateway.store().unsent_row(id).await?;
    found.filter(|it| may_mend(who, it.group)).ok_or_else(|| ApiError::missing("dead send", id))
}

/// A dead send.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeadSendPath")]
pub(crate) struct Send {
    send: Unsent,
    /// None for what answers no message.
    why: Option<WhyView>,
}

/// One of them, with the path of the message that it answers.
pub(crate) async fn show_send(
    State(app): State<App>,
    who: Who,
    Path(id): Path<OutboxId>,
) -> Result<Json<Send>, ApiError> {
    let row = find_send(&app, &who, id).await?;
    let why = why(&app, row.about).await?;
    Ok(Json(Send { send: unsent(row), why }))
}

/// Has one sent again.
pub(crate) async fn resend(
    State(app): State<App>,
    who: Who,
    Path(id): Path<OutboxId>,
) -> Result<Json<Done>, ApiError> {
    find_send(&app, &who, id).await?;
    app.gateway.resend(id).await?;
    app.gateway.store().audit(&who.name, "dead send requeued", &id.to_string()).await?;
    Ok(Json(DONE))
}

/// Throws one away.
pub(crate) async fn discard_send(
    State(app): State<App>,
    who: Who,
    Path(id): Path<OutboxId>,
) -> Result<Json<Done>, ApiError> {
    find_send(&app, &who, id).await?;
    app.gateway.store().drop_unsent(id).await?;
    app.gateway.store().audit(&who.name, "dead send dropped", &id.to_string()).await?;
    Ok(Json(DONE))
}
