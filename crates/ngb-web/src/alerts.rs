//! Alerts: what an operator should know of.

use std::time::Duration;

use axum::{Json, extract::State};
use ngb_core::{address::Place, schedule::parse_interval};
use ngb_gateway::alerts::AlertRow;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    App,
    door::Who,
    error::ApiError,
    input::Input,
    shape::{DONE, Done, Instant},
};

/// Longest that an alert may be muted.
const MAX_MUTE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Longest name of an alert, in bytes.
const MAX_KEY_BYTES: usize = 200;

/// Something that is not as it should be.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Alert")]
pub(crate) struct AlertView {
    /// Names it, as `account:telegram@main`.
    key: String,
    since: Instant,
    says: String,
    /// What to do about it.
    remedy: String,
    /// None while it has to last longer before anybody is told, and where it is told in other words.
    told_at: Option<Instant>,
    muted_until: Option<Instant>,
}

impl From<AlertRow> for AlertView {
    fn from(it: AlertRow) -> Self {
        let AlertRow { key, open, muted_until } = it;
        Self {
            key,
            since: Instant(open.since),
            says: open.says,
            remedy: open.remedy,
            told_at: open.told_at.map(Instant),
            muted_until: muted_until.map(Instant),
        }
    }
}

/// What is not as it should be, as of the last look.
pub(crate) async fn list(State(app): State<App>) -> Result<Json<Vec<AlertView>>, ApiError> {
    let rows = app.gateway.alerts().await;
    Ok(Json(rows.into_iter().map(AlertView::from).collect()))
}

/// Where a test was said.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AlertTest {
    to: Vec<String>,
}

/// Says a test wherever alerts go.
pub(crate) async fn test(State(app): State<App>) -> Result<Json<AlertTest>, ApiError> {
    let places = app.gateway.test_alert().await?;
    Ok(Json(AlertTest { to: places.iter().map(Place::to_string).collect() }))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "AlertMute")]
#[serde(deny_unknown_fields)]
pub(crate) struct Mute {
    key: String,
    /// `90s`, `15m`, `2h`, `1d`; at most 30 days.
    r#for: String,
}

/// Has an alert be told no more for a while; it is shown all the same.
pub(crate) async fn mute(
    State(app): State<App>,
    who: Who,
    Input(mute): Input<Mute>,
) -> Result<Json<Done>, ApiError> {
    let Mute { key, r#for } = mute;
    let long = parse_interval(&r#for)?;
    if MAX_MUTE < long || long.is_zero() {
        return Err(ApiError::bad("`for` is from 1s to 30d"));
    }
    if key.is_empty() || MAX_KEY_BYTES < key.len() {
        return Err(ApiError::bad(format!("`key` has 1 to {MAX_KEY_BYTES} bytes")));
    }
    app.gateway.mute_alert(&key, app.gateway.clock().now() + long).await?;
    app.gateway.store().audit(&who.name, "alert muted", &format!("{key} for {}", r#for)).await?;
    Ok(Json(DONE))
}
