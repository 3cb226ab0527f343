//! People: who has which role, inviting them, and letting them go.

use axum::{Json, extract::State};
use http::StatusCode;
use ngb_core::{
    address::{Account, ChannelKind},
    id::{GroupId, UserId},
    role::{Right, Role, wide_role},
};
use ngb_gateway::{forget::Forgot, store::Person};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    App,
    door::Who,
    error::ApiError,
    groups::{self, Name},
    input::{Input, Path, Query},
    login::{self, Link},
    shape::{DONE, Done},
};

/// Longest name of a person, in characters.
const MAX_NAME_CHARS: usize = 60;

/// Everybody who has a role, or several addresses.
pub(crate) async fn list(State(app): State<App>) -> Json<Vec<PersonView>> {
    let snapshot = app.gateway.directory().snapshot();
    let people = snapshot.people().iter().filter(|it| is_known(it));
    Json(people.map(shown).collect())
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Person")]
pub(crate) struct PersonView {
    id: UserId,
    name: String,
    /// For the whole gateway.
    role: Option<Role>,
    groups: Vec<RoleView>,
    /// `<channel>@<account>#<id>`, as platforms know them.
    addresses: Vec<String>,
}

/// A role in one group.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RoleInGroup")]
struct RoleView {
    id: GroupId,
    role: Role,
}

fn shown(it: &Person) -> PersonView {
    let of_groups =
        it.roles.iter().filter_map(|(group, role)| Some(RoleView { id: (*group)?, role: *role }));
    PersonView {
        id: it.user,
        name: it.name.to_string(),
        role: wide_role(&it.roles),
        groups: of_groups.collect(),
        addresses: it.identities.iter().map(|(account, sender)| account.person(sender)).collect(),
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Invite {
    name: String,
    role: Role,
    /// Where the role counts; none for the whole gateway.
    groups: Option<Vec<Name>>,
}

/// Somebody who was invited.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Invited {
    id: UserId,
    /// Logs them in, once.
    url: String,
}

/// Makes a person, and a link that logs them in.
pub(crate) async fn invite(
    State(app): State<App>,
    who: Who,
    Input(new): Input<Invite>,
) -> Result<Json<Invited>, ApiError> {
    let name = new.name.trim();
    if name.is_empty() || MAX_NAME_CHARS < name.chars().count() || name.contains(char::is_control) {
        return Err(ApiError::bad(format!("a name has 1 to {MAX_NAME_CHARS} characters")));
    }
    let roles = roles(&app, new.role, new.groups)?;
    need_to_give(&who, &roles)?;
    let user = app.gateway.add_person(name, roles).await?;
    let detail = format!("{name} as {}", new.role);
    app.gateway.store().audit(&who.name, "invited", &detail).await?;
    let url = login::link_for(&app.gateway, &app.base_url, user).await?;
    Ok(Json(Invited { id: user, url }))
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "PersonChange")]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    /// The role everywhere, or in `groups`.
    role: Option<Role>,
    groups: Option<Vec<Name>>,
    /// Instead of these: each role with where it counts.
    roles: Option<Vec<RoleWhere>>,
}

/// A role, and where it counts.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RoleWhere {
    role: Role,
    /// None for the whole gateway.
    group: Option<Name>,
}

impl Change {
    fn roles(self, app: &App) -> Result<Vec<(Option<GroupId>, Role)>, ApiError> {
        match (self.role, self.roles) {
            (Some(role), None) => roles(app, role, self.groups),
            (None, Some(all)) if self.groups.is_none() => {
                let of = |it: RoleWhere| {
                    let group =
                        it.group.map(|it| groups::find(app, &it.to_string())).transpose()?;
                    Ok((group.map(|it| it.id), it.role))
                };
                let all: Result<Vec<_>, ApiError> = all.into_iter().map(of).collect();
                let mut all = all?;
                // One role a group: the highest.
                all.sort_by_key(|it: &(Option<GroupId>, Role)| (it.0, std::cmp::Reverse(it.1)));
                all.dedup_by_key(|it| it.0);
                Ok(all)
            }
            _ => Err(ApiError::bad("give either `role`, with or without `groups`, or `roles`")),
        }
    }
}

/// Gives a person other roles than they had.
pub(crate) async fn change(
    State(app): State<App>,
    who: Who,
    Path(id): Path<UserId>,
    Input(change): Input<Change>,
) -> Result<Json<Done>, ApiError> {
    let person = find(&app, &who, id)?;
    let roles = change.roles(&app)?;
    need_to_give(&who, &roles)?;
    let said: Vec<&str> = roles.iter().map(|it| it.1.as_str()).collect();
    let detail = format!("{} is {}", person.name, said.join(", "));
    if !roles.contains(&(None, Role::Owner)) {
        need_another_owner(&app, id)?;
    }
    app.gateway.set_roles(id, roles).await?;
    app.gateway.store().audit(&who.name, "roles changed", &detail).await?;
    Ok(Json(DONE))
}

/// Takes every role of a person, and ends their logins.
pub(crate) async fn remove(
    State(app): State<App>,
    who: Who,
    Path(id): Path<UserId>,
) -> Result<Json<Done>, ApiError> {
    let person = find(&app, &who, id)?;
    need_another_owner(&app, id)?;
    app.gateway.let_go(id).await?;
    app.gateway.store().audit(&who.name, "person removed", &person.name).await?;
    Ok(Json(DONE))
}

/// Makes a fresh link for a person, who lost theirs or has another device.
pub(crate) async fn link(
    State(app): State<App>,
    who: Who,
    Path(id): Path<UserId>,
) -> Result<Json<Link>, ApiError> {
    let person = find(&app, &who, id)?;
    let url = login::link_for(&app.gateway, &app.base_url, id).await?;
    app.gateway.store().audit(&who.name, "login link made", &person.name).await?;
    Ok(Json(Link { url }))
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "PersonAddress")]
#[serde(deny_unknown_fields)]
pub(crate) struct OfAddress {
    /// `<channel>@<account>#<id>`, by the platform's stable id.
    address: String,
}

/// Says that an address is a person's. Whose it was before must be somebody whom `who` may change, too.
pub(crate) async fn add_address(
    State(app): State<App>,
    who: Who,
    Path(id): Path<UserId>,
    Input(of): Input<OfAddress>,
) -> Result<Json<Done>, ApiError> {
    let person = find(&app, &who, id)?;
    let (account, sender) = address(&of.address)?;
    let snapshot = app.gateway.directory().snapshot();
    if let Some(before) = snapshot.sender(&account, &sender) {
        need_to_give(&who, &before.roles)?;
    }
    app.gateway.link(id, &account, &sender).await?;
    let detail = format!("{} is {}", of.address, person.name);
    app.gateway.store().audit(&who.name, "address linked", &detail).await?;
    Ok(Json(DONE))
}

/// Says that an address is a person's no more.
pub(crate) async fn remove_address(
    State(app): State<App>,
    who: Who,
    Path(id): Path<UserId>,
    Query(of): Query<OfAddress>,
) -> Result<Json<Done>, ApiError> {
    let person = find(&app, &who, id)?;
    let (account, sender) = address(&of.address)?;
    if !app.gateway.unlink(id, &account, &sender).await? {
        let what = format!("address `{}` of {}", of.address, person.name);
        return Err(ApiError::not_found(format_args!("{what}")));
    }
    let detail = format!("{} is no longer {}", of.address, person.name);
    app.gateway.store().audit(&who.name, "address unlinked", &detail).await?;
    Ok(Json(DONE))
}

/// Forgets whoever has an address: what they said, what was answered, and what was made of it.
pub(crate) async fn forget(
    State(app): State<App>,
    Input(of): Input<OfAddress>,
) -> Result<Json<Forgot>, ApiError> {
    let (account, sender) = any_address(&of.address)?;
    Ok(Json(app.gateway.forget(&account, &sender).await?))
}

/// Account and the platform's id, out of `telegram@main#4711`.
fn address(text: &str) -> Result<(Account, String), ApiError> {
    let (account, sender) = any_address(text)?;
    if matches!(account.channel(), ChannelKind::Web | ChannelKind::Terminal) {
        let why = format!("`{account}` is a door of our own, where people log in");
        return Err(ApiError::bad(why));
    }
    Ok((account, sender))
}

/// The same, also of our own doors: `web@main#user:5`.
fn any_address(text: &str) -> Result<(Account, String), ApiError> {
    let parts = text.split_once('#').filter(|it| !it.1.trim().is_empty());
    let parsed = parts.and_then(|(account, sender)| Some((account.parse().ok()?, sender)));
    let (account, sender): (Account, &str) = parsed.ok_or_else(|| {
        ApiError::bad(format!("`{text}` is no address of a person"))
            .hint("write it like `telegram@main#4711`: account, `#`, and the platform's id")
    })?;
    Ok((account, sender.to_owned()))
}

/// Whether there is something to say of a person: those who were let go and have no address are history.
fn is_known(it: &Person) -> bool {
    !it.roles.is_empty() || !it.identities.is_empty()
}

/// A person whom `who` may change: nobody ends or takes over a login of somebody as high as themselves, but an owner.
fn find(app: &App, who: &Who, id: UserId) -> Result<Person, ApiError> {
    let snapshot = app.gateway.directory().snapshot();
    let person = snapshot.person(id).filter(|it| is_known(it));
    let person = person.ok_or_else(|| ApiError::missing("person", id))?;
    need_to_give(who, &person.roles)?;
    Ok(person.clone())
}

/// The last owner stays one: without them nobody could make another.
fn need_another_owner(app: &App, id: UserId) -> Result<(), ApiError> {
    let snapshot = app.gateway.directory().snapshot();
    let owns = |it: &&Person| it.roles.contains(&(None, Role::Owner));
    let mut owners = snapshot.people().iter().filter(owns).map(|it| it.user);
    if owners.next() == Some(id) && owners.next().is_none() {
        let message = "this is the only owner; make another one first";
        return Err(ApiError::new(StatusCode::CONFLICT, "last_owner", message));
    }
    Ok(())
}

/// Admins and owners are made, changed and unmade by owners.
fn need_to_give(who: &Who, roles: &[(Option<GroupId>, Role)]) -> Result<(), ApiError> {
    let highest = roles.iter().map(|it| it.1).max();
    if highest.is_some_and(|it| Role::Admin <= it) && !who.may(Right::GrantRoles) {
        return Err(ApiError::forbidden(who.role(), Right::GrantRoles));
    }
    Ok(())
}

fn roles(
    app: &App,
    role: Role,
    of: Option<Vec<Name>>,
) -> Result<Vec<(Option<GroupId>, Role)>, ApiError> {
    let Some(of) = of else { return Ok(vec![(None, role)]) };
    if of.is_empty() {
        return Err(ApiError::bad("`groups` names no group; leave it out for the whole gateway"));
    }
    let find = |it: Name| Ok((Some(groups::find(app, &it.to_string())?.id), role));
    of.into_iter().map(find).collect()
}
