//! Groups and bindings.

use std::fmt;

use axum::{Json, extract::State};
use ngb_core::{
    address::{Account, ChannelKind, Jid, Place},
    group::{Engage, Exceptions, Group, Limits, Scope, Senders},
    id::{GroupId, LaneId},
    queue::Queue,
    role::Right,
};
use ngb_gateway::{
    handle::{Bind, HandleError},
    memory::Memory,
    store::GroupChange,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    App,
    door::Who,
    error::ApiError,
    input::{Input, Path, Query},
    shape::{self, DONE, Done, GroupView},
};

/// The group's chat on the page.
pub(crate) fn page_jid(group: &Group) -> Jid {
    let page = Account::new(ChannelKind::Web, Account::DEFAULT_NAME);
    let jid = page.and_then(|it| it.chat(group.folder.as_str()));
    jid.expect("a folder's name is a chat's, and the default name is an account's")
}

/// A group as people name it: its number, name or folder.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "GroupName")]
pub(crate) enum Name {
    Number(GroupId),
    Text(String),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(it) => it.fmt(f),
            Self::Text(it) => f.write_str(it),
        }
    }
}

/// The group of that number, name or folder, or with that chat on the page.
pub(crate) fn find(app: &App, name: &str) -> Result<Group, ApiError> {
    let directory = app.gateway.directory().snapshot();
    let by_number = name.parse().ok().and_then(|it: GroupId| directory.group(it).cloned());
    if let Some(group) = by_number {
        return Ok(group);
    }
    let folder = name.strip_prefix("group:").or_else(|| name.strip_prefix("web@main:"));
    let found = app.gateway.group(folder.unwrap_or(name));
    Ok(found.map_err(|_| HandleError::NoGroup(name.to_owned()))?)
}

/// The group of that name, for somebody who has `right` in it.
pub(crate) fn find_for(app: &App, who: &Who, name: &str, right: Right) -> Result<Group, ApiError> {
    let group = find(app, name)?;
    if !who.may_in(group.id, Right::Read) {
        // In the words of one that is not there, whichever of its names was asked for.
        return Err(HandleError::NoGroup(name.to_owned()).into());
    }
    who.need_in(&group, right)?;
    Ok(group)
}

/// An address as people write it; the original's `group:<folder>` is the group's chat on the page.
pub(crate) fn resolve(app: &App, address: &str) -> Result<Jid, ApiError> {
    match address.strip_prefix("group:") {
        Some(_) => Ok(page_jid(&find(app, address)?)),
        None => Ok(app.gateway.resolve(address)?),
    }
}

/// Every group that one belongs to, the main one first.
pub(crate) async fn list(State(app): State<App>, who: Who) -> Json<Vec<GroupView>> {
    let directory = app.gateway.directory().snapshot();
    let active = app.live.active();
    let mine = |it: &&Group| who.may_in(it.id, Right::Read);
    let mut groups: Vec<&Group> = directory.groups().filter(mine).collect();
    groups.sort_by_key(|it| (!it.is_main, it.id));
    let shown = groups.into_iter().map(|it| shape::group(it, &directory, active.contains(&it.id)));
    Json(shown.collect())
}

/// One group.
pub(crate) async fn show(
    State(app): State<App>,
    who: Who,
    Path(id): Path<String>,
) -> Result<Json<GroupView>, ApiError> {
    Ok(Json(shown(&app, find_for(&app, &who, &id, Right::Read)?.id)?))
}

fn shown(app: &App, id: GroupId) -> Result<GroupView, ApiError> {
    let directory = app.gateway.directory().snapshot();
    let group = directory.group(id);
    let group = group.ok_or_else(|| ApiError::missing("group", id))?;
    Ok(shape::group(group, &directory, app.live.active().contains(&id)))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewGroup {
    name: String,
    folder: Option<String>,
}

/// Makes a group.
pub(crate) async fn add(
    State(app): State<App>,
    who: Who,
    Input(new): Input<NewGroup>,
) -> Result<Json<GroupView>, ApiError> {
    let id = app.gateway.add_group(&new.name, new.folder.as_deref(), false).await?;
    app.gateway.store().audit(&who.name, "group added", &new.name).await?;
    Ok(Json(shown(&app, id)?))
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "GroupChange")]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    name: Option<String>,
    /// Only those that change.
    limits: Option<serde_json::Map<String, Value>>,
    /// Whether its agent is to rest.
    paused: Option<bool>,
}

/// Renames a group, changes its limits, has its agent rest or go on.
pub(crate) async fn change(
    State(app): State<App>,
    who: Who,
    Path(id): Path<String>,
    Input(change): Input<Change>,
) -> Result<Json<GroupView>, ApiError> {
    let group = find(&app, &id)?;
    let limits = change.limits.map(|it| overlay(&group.limits, it)).transpose()?;
    let name = change.name.map(|it| it.parse()).transpose()?;
    app.gateway.change_group(group.id, GroupChange { name, limits, paused: change.paused }).await?;
    app.gateway.store().audit(&who.name, "group changed", group.name.as_str()).await?;
    Ok(Json(shown(&app, group.id)?))
}

/// `old` with what `new` names; a limit of 0 would stop everything, and is a slip.
fn overlay(old: &Limits, new: serde_json::Map<String, Value>) -> Result<Limits, ApiError> {
    if let Some((key, _)) = new.iter().find(|it| it.1.as_u64() == Some(0)) {
        return Err(ApiError::bad(format!("the limit `{key}` can't be 0")));
    }
    let mut all = serde_json::to_value(old).expect("limits have only string keys");
    for (key, value) in new {
        let Some(limit) = all.get_mut(&key) else {
            let known: Vec<&String> =
                all.as_object().into_iter().flat_map(|it| it.keys()).collect();
            let known = known.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            return Err(ApiError::bad(format!("there is no limit `{key}`; there are: {known}")));
        };
        *limit = value;
    }
    serde_json::from_value(all).map_err(|err| ApiError::bad(format!("these are no limits: {err}")))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Removal {
    #[serde(default)]
    purge: bool,
}

/// Removes a group; its folder is kept aside unless `purge`.
pub(crate) async fn remove(
    State(app): State<App>,
    who: Who,
    Path(id): Path<String>,
    Query(how): Query<Removal>,
) -> Result<Json<Done>, ApiError> {
    let group = find(&app, &id)?;
    app.gateway.remove_group(group.id, how.purge).await?;
    app.gateway.store().audit(&who.name, "group removed", group.name.as_str()).await?;
    Ok(Json(DONE))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewBinding {
    jid: String,
    thread: Option<String>,
    /// mention, always, trigger, never
    engage: Option<String>,
    /// The pattern of `trigger`.
    pattern: Option<String>,
    scope: Option<Scope>,
    senders: Option<Senders>,
    /// How messages wait; what it doesn't name is as usual.
    #[serde(default)]
    queue: Queue,
    /// Who is heard in another way than the rest.
    #[serde(default)]
    exceptions: Exceptions,
}

/// Binds a chat to a group.
pub(crate) async fn bind(
    State(app): State<App>,
    who: Who,
    Path(id): Path<String>,
    Input(new): Input<NewBinding>,
) -> Result<Json<GroupView>, ApiError> {
    let group = find(&app, &id)?;
    let engage = match (new.engage.as_deref().unwrap_or("mention"), &new.pattern) {
        ("trigger", None) => return Err(ApiError::bad("`trigger` needs a `pattern`")),
        ("mention" | "always" | "trigger" | "never", pattern) => {
            Engage::from_parts(new.engage.as_deref().unwrap_or("mention"), pattern.as_deref())?
        }
        (other, _) => {
            let message =
                format!("unknown `engage`: `{other}`; known: mention, always, trigger, never");
            return Err(ApiError::bad(message));
        }
    };
    let place = Place { jid: resolve(&app, &new.jid)?, thread: new.thread.map(Into::into) };
    let detail = format!("{place} to {}", group.name);
    app.gateway
        .bind(Bind {
            place,
            group: group.id,
            engage,
            scope: new.scope.unwrap_or_default(),
            senders: new.senders.unwrap_or_default(),
            exceptions: new.exceptions,
            queue: new.queue.checked().map_err(|err| ApiError::bad(err.to_string()))?,
        })
        .await?;
    app.gateway.store().audit(&who.name, "bound", &detail).await?;
    Ok(Json(shown(&app, group.id)?))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OldBinding {
    jid: String,
    thread: Option<String>,
}

/// Takes a chat from a group.
pub(crate) async fn unbind(
    State(app): State<App>,
    who: Who,
    Path(id): Path<String>,
    Input(old): Input<OldBinding>,
) -> Result<Json<GroupView>, ApiError> {
    let group = find(&app, &id)?;
    let place = Place { jid: resolve(&app, &old.jid)?, thread: old.thread.map(Into::into) };
    app.gateway.unbind(&place, group.id).await?;
    let detail = format!("{place} from {}", group.name);
    app.gateway.store().audit(&who.name, "unbound", &detail).await?;
    Ok(Json(shown(&app, group.id)?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn limits_are_overlaid() {
        #[rustfmt::skip]
        let table = [
            (json!({ "memory_mib": 256 }),          Ok((256, 256))),
            (json!({ "pids": 64 }),                 Ok((512, 64))),
            (json!({ "pids": 0 }),                  Err("can't be 0")),
            (json!({ "pid": 1 }),                   Err("no limit `pid`")),
            (json!({ "pids": "many" }),             Err("invalid type")),
        ];
        for (new, want) in table {
            let got = overlay(&Limits::default(), new.as_object().unwrap().clone());
            match want {
                Ok(want) => assert_eq!(got.map(|it| (it.memory_mib, it.pids)).unwrap(), want),
                Err(needle) => {
                    let err = got.unwrap_err().message;
                    assert!(err.contains(needle), "{err}");
                }
            }
        }
    }
}

/// What lanes remember.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Memories {
    lanes: Vec<Memory>,
}

/// What the group's lanes remember.
pub(crate) async fn memory(
    State(app): State<App>,
    who: Who,
    Path(id): Path<String>,
) -> Result<Json<Memories>, ApiError> {
    let group = find_for(&app, &who, &id, Right::Operate)?;
    let lanes = app.gateway.memories(group.id).await?;
    Ok(Json(Memories { lanes }))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PutBack {
    version: u64,
}

/// Puts back what a lane remembered before.
pub(crate) async fn put_memory_back(
    State(app): State<App>,
    who: Who,
    Path(lane): Path<LaneId>,
    Input(PutBack { version }): Input<PutBack>,
) -> Result<Json<Done>, ApiError> {
    let group = app.gateway.store().group_of_lane(lane).await?;
    let snapshot = app.gateway.directory().snapshot();
    match group.and_then(|it| snapshot.group(it)).filter(|it| who.may_in(it.id, Right::Read)) {
        Some(group) => who.need_in(group, Right::Operate)?,
        // In the words of one that is not there.
        None => return Err(ApiError::not_found(format_args!("lane `{lane}`"))),
    }
    app.gateway.put_memory_back(lane, version).await?;
    let detail = format!("lane {lane}, version {version}");
    app.gateway.store().audit(&who.name, "memory put back", &detail).await?;
    Ok(Json(DONE))
}
