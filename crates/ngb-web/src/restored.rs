//! What a gateway would do next that was restored from a backup, and having it go on.

use axum::{Json, extract::State};
use ngb_core::id::{GroupId, JobId, MessageId, OutboxId, TaskId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{App, door::Who, error::ApiError, input::Input, shape::Instant};

/// What is listed of each kind.
const MAX_LISTED: u32 = 100;

/// What waits, the oldest first; up to 100 of each kind.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Waits")]
pub(crate) struct WaitsView {
    sends: Vec<SendView>,
    /// Messages and other work that no agent has done.
    messages: Vec<WorkView>,
    /// Tasks that are due.
    tasks: Vec<TaskView>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WaitingSend")]
struct SendView {
    id: OutboxId,
    place: String,
    /// Nobody knows whether it was sent.
    in_doubt: bool,
    created_at: Instant,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WaitingWork")]
struct WorkView {
    id: JobId,
    group: GroupId,
    message: Option<MessageId>,
    place: String,
    created_at: Instant,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WaitingTask")]
struct TaskView {
    id: TaskId,
    group: GroupId,
    due_at: Instant,
}

/// What waits.
pub(crate) async fn list(State(app): State<App>) -> Result<Json<WaitsView>, ApiError> {
    let waits = app.gateway.store().waits(MAX_LISTED).await?;
    let sends = waits.sends.into_iter().map(|it| SendView {
        id: it.id,
        place: it.place.to_string(),
        in_doubt: it.in_doubt,
        created_at: Instant(it.created_at),
    });
    let messages = waits.jobs.into_iter().map(|it| WorkView {
        id: it.id,
        group: it.group,
        message: it.message,
        place: it.place.to_string(),
        created_at: Instant(it.created_at),
    });
    let tasks = waits.tasks.into_iter().map(|it| TaskView {
        id: it.id,
        group: it.group,
        due_at: Instant(it.due_at),
    });
    Ok(Json(WaitsView {
        sends: sends.collect(),
        messages: messages.collect(),
        tasks: tasks.collect(),
    }))
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "Release")]
#[serde(deny_unknown_fields)]
pub(crate) struct How {
    /// What waits becomes dead letters.
    #[serde(default)]
    give_up: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ReleaseDone")]
pub(crate) struct Released {
    /// False where nothing was held.
    released: bool,
}

/// Has it go on.
pub(crate) async fn release(
    State(app): State<App>,
    who: Who,
    Input(how): Input<How>,
) -> Result<Json<Released>, ApiError> {
    let released = app.gateway.release_restored(how.give_up).await?;
    if released {
        let detail = if how.give_up { "what waited is given up" } else { "what waited goes on" };
        app.gateway.store().audit(&who.name, "restored gateway released", detail).await?;
    }
    Ok(Json(Released { released }))
}
