//! Plugins: how they fare, and what they hold until somebody decides.

use std::{collections::BTreeMap, time::Duration};

use axum::{Json, extract::State};
use ngb_core::{
    address::Jid,
    id::{MessageId, PassageId},
    message::Happening,
};
use ngb_gateway::{
    plugin_state::{PluginLine, PluginState},
    store::{Passage, Way},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    App,
    door::Who,
    error::ApiError,
    input::{Path, Query},
    shape::{DONE, Done, Instant},
};

/// Held messages of one page.
const MAX_HELD: u32 = 500;

/// A plugin that is on.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Plugin")]
pub(crate) struct PluginView {
    name: String,
    version: String,
    /// Where it is asked.
    hooks: Vec<&'static str>,
    /// Whether what it fails at is held.
    required: bool,
    /// Whether it failed so often that it is asked no more.
    switched_off: bool,
    calls: u64,
    failures: u64,
    /// What it counts itself, since the start.
    metrics: BTreeMap<String, f64>,
    /// Why what is installed can't be used; an older version may go on.
    error: Option<String>,
}

fn view(it: PluginState) -> PluginView {
    PluginView {
        name: it.name,
        version: it.version,
        hooks: it.hooks.into_iter().map(|it| it.as_str()).collect(),
        required: it.required,
        switched_off: it.off,
        calls: it.calls,
        failures: it.failures,
        metrics: it.metrics,
        error: it.error,
    }
}

/// The plugins that are on, in the order in which they are asked.
pub(crate) async fn list(State(app): State<App>) -> Result<Json<Vec<PluginView>>, ApiError> {
    Ok(Json(app.gateway.plugins().into_iter().map(view).collect()))
}

/// Longest that somebody waits for the next line; most plugins write none for hours.
const MAX_WAIT: Duration = Duration::from_secs(5);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WhichLines {
    /// Of this plugin only.
    plugin: Option<String>,
    /// Behind the line with this number.
    #[serde(default)]
    after: u64,
    /// Where there is none yet, the answer comes with the first, or after so many seconds; 5 at most.
    #[serde(default)]
    wait_s: u64,
}

/// Something that a plugin wrote to its log, or that it failed at.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PluginLine")]
pub(crate) struct LineView {
    /// Grows by one with each line of any plugin, since the start.
    number: u64,
    at: Instant,
    plugin: String,
    /// `debug`, `info`, `warn` or `error`
    level: &'static str,
    text: String,
}

/// The newest lines of plugins, the oldest first.
pub(crate) async fn lines(
    State(app): State<App>,
    Query(which): Query<WhichLines>,
) -> Result<Json<Vec<LineView>>, ApiError> {
    let plugin = which.plugin.as_deref();
    let wait = Duration::from_secs(which.wait_s).min(MAX_WAIT);
    if !wait.is_zero() {
        let next = app.gateway.next_plugin_line(which.after, plugin);
        if app.gateway.clock().timeout(wait, next).await.is_err() {
            return Ok(Json(Vec::new()));
        }
    }
    let view = |it: PluginLine| LineView {
        number: it.number,
        at: Instant(it.at),
        plugin: it.plugin,
        level: it.level,
        text: it.text,
    };
    Ok(Json(app.gateway.plugin_lines(which.after, plugin).into_iter().map(view).collect()))
}

/// Something that a plugin holds.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Held")]
pub(crate) struct HeldView {
    id: PassageId,
    /// `in` for what somebody wrote, `out` for what an agent says.
    way: &'static str,
    chat_jid: Jid,
    thread: Option<String>,
    /// The message that came in, or the one that the text is about.
    message: Option<MessageId>,
    text: String,
    /// Who holds it.
    plugin: String,
    why: String,
    created_at: Instant,
}

fn held_view(it: Passage) -> HeldView {
    let (way, text) = match it.way {
        Way::In(inbound) => match &inbound.what {
            Happening::Message(it) | Happening::Edit(it) => ("in", it.text.clone()),
            _ => ("in", String::new()),
        },
        Way::Out { text, .. } => ("out", text),
    };
    let (plugin, why) = it.held.unwrap_or_default();
    HeldView {
        id: it.id,
        way,
        chat_jid: it.place.jid,
        thread: it.place.thread.map(|it| it.to_string()),
        message: it.message,
        text,
        plugin,
        why,
        created_at: Instant(it.created_at),
    }
}

/// What plugins hold, the oldest first.
pub(crate) async fn held(State(app): State<App>) -> Result<Json<Vec<HeldView>>, ApiError> {
    let held = app.gateway.store().held_passages(MAX_HELD).await?;
    Ok(Json(held.into_iter().map(held_view).collect()))
}

/// Lets one go.
pub(crate) async fn release(
    State(app): State<App>,
    who: Who,
    Path(id): Path<PassageId>,
) -> Result<Json<Done>, ApiError> {
    app.gateway.release(id).await?;
    app.gateway.store().audit(&who.name, "held message released", &id.to_string()).await?;
    Ok(Json(DONE))
}

/// Throws one away.
pub(crate) async fn discard(
    State(app): State<App>,
    who: Who,
    Path(id): Path<PassageId>,
) -> Result<Json<Done>, ApiError> {
    app.gateway.throw_away(id).await?;
    app.gateway.store().audit(&who.name, "held message dropped", &id.to_string()).await?;
    Ok(Json(DONE))
}
