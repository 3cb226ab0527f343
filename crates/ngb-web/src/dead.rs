//! Dead letters: work that was given up.

use axum::{Json, extract::State};
use ngb_core::{id::JobId, role::Right};
use ngb_gateway::store::JobRow;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    App,
    door::Who,
    error::ApiError,
    input::Path,
    shape::{self, DONE, Done, JobView, WhyView},
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
    let why = match job.message {
        Some(message) => Some(shape::why(&app.gateway.store().why(message).await?)),
        None => None,
    };
    Ok(Json(Letter { job: shape::job(&job), why }))
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
