//! Dead letters: work that was given up.

use axum::{
    Json,
    extract::{Path, State},
};
use ngb_core::id::JobId;
use serde_json::{Value, json};

use crate::{App, door::Who, error::ApiError, shape};

/// Dead letters of one page.
const MAX_LETTERS: u32 = 500;

/// The dead letters, the latest first.
pub(crate) async fn list(State(app): State<App>) -> Result<Json<Value>, ApiError> {
    let jobs = app.gateway.store().dead(MAX_LETTERS).await?;
    Ok(Json(jobs.iter().map(shape::job).collect()))
}

/// One of them, with the path of its message.
pub(crate) async fn show(
    State(app): State<App>,
    Path(id): Path<JobId>,
) -> Result<Json<Value>, ApiError> {
    let store = app.gateway.store();
    let found = store.job(id).await?.filter(|it| it.state == "dead");
    let job = found.ok_or_else(|| ApiError::not_found(format_args!("dead letter `{id}`")))?;
    let why = match job.message {
        Some(message) => shape::why(&store.why(message).await?),
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
    app.gateway.discard(job).await?;
    app.gateway.store().audit(&who.name, "dead letter dropped", &job.to_string()).await?;
    Ok(Json(json!({ "ok": true })))
}
