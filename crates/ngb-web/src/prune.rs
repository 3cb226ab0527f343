//! Forgetting what is old.

use axum::{Json, extract::State};
use ngb_core::clock::Timestamp;
use ngb_gateway::store::Pruned;
use serde::Deserialize;

use crate::{App, door::Who, error::ApiError, input::Input};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct What {
    /// Milliseconds since 1970 in UTC.
    before_ms: i64,
    #[serde(default)]
    dry_run: bool,
}

/// Forgets rows that are older and not in use; tells how many of each kind.
pub(crate) async fn prune(
    State(app): State<App>,
    who: Who,
    Input(what): Input<What>,
) -> Result<Json<Pruned>, ApiError> {
    let before = Timestamp(what.before_ms);
    let pruned = app.gateway.store().prune(before, what.dry_run).await?;
    if !what.dry_run {
        let detail = format!("before {before}: {} messages", pruned.messages);
        app.gateway.store().audit(&who.name, "pruned", &detail).await?;
    }
    Ok(Json(pruned))
}
