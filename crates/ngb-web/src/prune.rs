//! Forgetting what is old.

use axum::{Json, extract::State};
use ngb_core::clock::Timestamp;
use ngb_gateway::retention::Forgotten;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{App, door::Who, error::ApiError, input::Input};

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "Prune")]
#[serde(deny_unknown_fields)]
pub(crate) struct What {
    /// Milliseconds since 1970 in UTC.
    before_ms: i64,
    #[serde(default)]
    dry_run: bool,
}

/// Forgets what is older and not in use; tells how much of each kind.
pub(crate) async fn prune(
    State(app): State<App>,
    who: Who,
    Input(what): Input<What>,
) -> Result<Json<Forgotten>, ApiError> {
    let before = Timestamp(what.before_ms);
    let gone = app.gateway.prune(before.into(), what.dry_run).await?;
    if !what.dry_run {
        let detail = format!("before {before}: {} messages", gone.rows.messages);
        app.gateway.store().audit(&who.name, "pruned", &detail).await?;
    }
    Ok(Json(gone))
}
