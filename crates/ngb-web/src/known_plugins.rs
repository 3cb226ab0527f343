//! Plugins that there are: their settings, and how those change.

use axum::{Json, extract::State};
use ngb_gateway::{handle::HandleError, plugins::KnownPlugin, store::PluginChange};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    App,
    door::Who,
    error::ApiError,
    input::{Input, Path},
    shape::{DONE, Done, Instant},
};

/// Versions of settings that are shown.
const MAX_VERSIONS: u32 = 100;

/// A plugin that comes along or is installed.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "KnownPlugin")]
pub(crate) struct KnownView {
    name: String,
    about: String,
    version: String,
    /// False for one that comes along.
    installed: bool,
    /// What it asked for when it was installed. Those that come along ask for nothing.
    grants: Vec<GrantView>,
    /// `enabled`, `order`, `required`, `config`, `groups`: those that count.
    settings: Value,
    /// Whether they were changed here, and are not those of the settings file.
    changed: bool,
    /// What `config` is where nobody says otherwise.
    defaults: Value,
    /// What `config` may be, as a JSON schema.
    schema: Value,
}

/// Something that a plugin asks for, and whether it has it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PluginGrant")]
struct GrantView {
    /// As `plugin.toml` calls it.
    capability: &'static str,
    /// What it allows.
    about: &'static str,
    /// The chats or hosts that it is for; empty where there are none to name.
    names: Vec<String>,
    granted: bool,
}

fn view(it: KnownPlugin) -> KnownView {
    let grants = it.grants.iter().map(|it| GrantView {
        capability: it.capability.as_str(),
        about: it.capability.explained(),
        names: it.names.clone(),
        granted: it.is_granted,
    });
    let grants = grants.collect();
    let KnownPlugin { name, about, version, settings, defaults, schema, .. } = it;
    let (installed, changed) = (it.is_installed, it.is_changed);
    KnownView { name, about, version, installed, grants, settings, changed, defaults, schema }
}

fn find(app: &App, name: &str) -> Result<KnownPlugin, ApiError> {
    let found = app.gateway.known_plugins().into_iter().find(|it| it.name == name);
    found.ok_or_else(|| HandleError::NoPlugin(name.to_owned()).into())
}

/// All of them.
pub(crate) async fn list(State(app): State<App>) -> Result<Json<Vec<KnownView>>, ApiError> {
    Ok(Json(app.gateway.known_plugins().into_iter().map(view).collect()))
}

/// One of them.
pub(crate) async fn show(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<KnownView>, ApiError> {
    Ok(Json(view(find(&app, &name)?)))
}

/// What of a plugin's settings is to be another; the rest stays.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(rename = "PluginChange")]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
    /// Those with a smaller number are asked first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    order: Option<i64>,
    /// Whether what it was asked about is held where it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    required: Option<bool>,
    /// Its own settings, all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    config: Option<Map<String, Value>>,
    /// Groups with other settings: a table for each, or `false` where it is off; all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    groups: Option<Map<String, Value>>,
}

/// Changes settings; they count from the next event on.
pub(crate) async fn change(
    State(app): State<App>,
    who: Who,
    Path(name): Path<String>,
    Input(change): Input<Change>,
) -> Result<Json<KnownView>, ApiError> {
    let mut settings = find(&app, &name)?.settings;
    let change = serde_json::to_value(change).map_err(ApiError::internal)?;
    if let (Value::Object(settings), Value::Object(change)) = (&mut settings, change) {
        settings.extend(change);
    }
    app.gateway.set_plugin(&name, &who.name, Some(settings)).await?;
    Ok(Json(view(find(&app, &name)?)))
}

/// Settings as they were from then on.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PluginVersion")]
pub(crate) struct VersionView {
    /// What `revert` takes.
    version: i64,
    at: Instant,
    who: String,
    /// None: those of the settings file.
    settings: Option<Value>,
}

fn version(it: PluginChange) -> VersionView {
    VersionView { version: it.id, at: Instant(it.at), who: it.who, settings: it.value }
}

/// How the settings changed, the newest first.
pub(crate) async fn history(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<Vec<VersionView>>, ApiError> {
    find(&app, &name)?;
    let history = app.gateway.store().plugin_history(&name, MAX_VERSIONS).await?;
    Ok(Json(history.into_iter().map(version).collect()))
}

/// Which settings to go back to.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "PluginRevert")]
#[serde(deny_unknown_fields)]
pub(crate) struct Revert {
    /// As the history names it; 0 for those of the settings file.
    version: i64,
}

/// Has earlier settings count again.
pub(crate) async fn revert(
    State(app): State<App>,
    who: Who,
    Path(name): Path<String>,
    Input(revert): Input<Revert>,
) -> Result<Json<KnownView>, ApiError> {
    find(&app, &name)?;
    let settings = match revert.version {
        0 => None,
        wanted => {
            let history = app.gateway.store().plugin_history(&name, MAX_VERSIONS).await?;
            let found = history.into_iter().find(|it| it.id == wanted);
            let missing =
                || ApiError::not_found(format_args!("version {wanted} of `{name}`'s settings"));
            found.ok_or_else(missing)?.value
        }
    };
    app.gateway.set_plugin(&name, &who.name, settings).await?;
    Ok(Json(view(find(&app, &name)?)))
}

/// Reads an installed plugin's files anew.
pub(crate) async fn reload(
    State(app): State<App>,
    who: Who,
    Path(name): Path<String>,
) -> Result<Json<Done>, ApiError> {
    app.gateway.reload_plugin(&name).await?;
    app.gateway.store().audit(&who.name, "plugin reloaded", &name).await?;
    Ok(Json(DONE))
}
