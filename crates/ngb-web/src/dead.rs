//! Dead letters: work that was given up.

use axum::{
    Json,
    extract::{Path, State},
};
use ngb_core::{id::JobId, role::Right};
use ngb_gateway::store::JobRow;
use serde_json::{Value, json};

use crate::{App, door::Who, error::ApiError, shape};

/// Dead letters of one page.
const MAX_LETTERS: u32 = 500;

/// The dead letters, the latest first.
pub(crate) async fn list(State(app): State<App>, who: Who) -> Result<Json<Value>, ApiError> {
    let jobs = app.gateway.store().dead(MAX_LETTERS).await?;
    let mine = jobs.iter().filter(|it| who.may_in(it.group, Right::Operate));
    Ok(Json(mine.map(shape::job).collect()))
}

/// The dead letter `id`; one of a group where they may not mend is not there for them.
async fn find(app: &App, who: &Who, id: JobId) -> Result<JobRow, ApiError> {
    let found = app.gateway.store().job(id).await?.filter(|it| it.state == "dead");
    let mine = found.filter(|it| who.may_in(it.group, Right::Operate));
    mine.ok_or_else(|| ApiError::not_found(format_args!("dead letter `{id}`")))
}

/// One of them, with the path of its message.
pub(crate) async fn show(
    State(app): State<App>,
    who: Who,
    Path(id): Path<JobId>,
) -> Result<Json<Value>, ApiError> {
    let job = find(&app, &who, id).await?;
    let why = match job.message {
        Some(message) => shape::why(&app.gateway.store().why(message).await?),
        // A reminder is of no message.
        None => Value::Null,
    };
    Ok(Json(json!({ "job": shape::job(&job), "why": why })))
}

/// Puts one back into its queue.
pub(crate) async fn requeue(
    State(app): State<App>,
    who: Who,
    Path(job): Path<JobId>,
) -> Result<Json<Value>, ApiError> {
    find(&app, &who, job).await?;
    app.gateway.revive(job).await?;
    app.gateway.store().audit(&who.name, "dead letter requeued", &job.to_string()).await?;
    Ok(Json(json!({ "ok": true })))
}

/// Throws one away.
pub(crate) async fn discard(
    State(app): State<App>,
    who: Who,
    Path(job): Path<JobId>,
) -> Result<Json<Value>, ApiError> {
    find(&app, &who, job).await?;
    app.gateway.discard(job).await?;
    app.gateway.store().audit(&who.name, "dead letter dropped", &job.to_string()).await?;
    Ok(Json(json!({ "ok": true })))
}
