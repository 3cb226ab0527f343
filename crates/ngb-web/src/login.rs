//! Logging in and out: one-time links, the token, sessions.

use std::time::Duration;

use axum::{Extension, Json, extract::State, response::AppendHeaders};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{HeaderName, header};
use ngb_core::{
    id::{GroupId, UserId},
    role::{Right, Role, role_in},
};
use ngb_gateway::{Gateway, handle::HandleError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    App,
    caller::Caller,
    door::{Who, is_token},
    error::ApiError,
    guard::Secure,
    input::Input,
    shape::{DONE, Done},
};

/// How long a one-time link works.
const CODE_LIFE: Duration = Duration::from_secs(10 * 60);

/// How long a login lasts.
const SESSION_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Makes a link that logs in whoever opens it first within ten minutes, as owner.
///
/// The code is in the fragment, which browsers send to nobody.
///
/// # Errors
///
/// When the code can't be stored.
pub async fn login_link(gateway: &Gateway, base_url: &str) -> Result<String, HandleError> {
    let owner = gateway.owner().await?;
    link_for(gateway, base_url, owner).await
}

/// Makes such a link for one person.
pub(crate) async fn link_for(
    gateway: &Gateway,
    base_url: &str,
    user: UserId,
) -> Result<String, HandleError> {
    let code = random();
    let expires_at = gateway.clock().now() + CODE_LIFE;
    gateway.store().add_login_code(&hash(&code), user, expires_at).await?;
    Ok(format!("{}/#login={code}", base_url.trim_end_matches('/')))
}

/// 256 bits that nobody can guess.
fn random() -> String {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the system has random numbers");
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn digest(value: &str) -> [u8; 32] {
    Sha256::digest(value).into()
}

/// What is stored of a code or session: whoever reads the database can't log in with it.
pub(crate) fn hash(value: &str) -> String {
    digest(value).iter().map(|it| format!("{it:02x}")).collect()
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    code: Option<String>,
    token: Option<String>,
}

/// An answer that sets the session's cookie.
type WithCookie = (AppendHeaders<[(HeaderName, String); 1]>, Json<Done>);

/// A link that logs in whoever opens it first.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Link {
    pub(crate) url: String,
}

/// Takes a code or the token, gives a session.
pub(crate) async fn login(
    State(app): State<App>,
    from: Option<Extension<Caller>>,
    secure: Option<Extension<Secure>>,
    Input(login): Input<Login>,
) -> Result<WithCookie, ApiError> {
    let now = app.gateway.clock().now();
    // The local socket has no address; whoever may open it is owner already.
    let from = from.map(|it| it.0.0);
    let store = app.gateway.store();
    let (user, how) = match (&login.code, &login.token) {
        (Some(code), None) => (store.use_login_code(&hash(code), now).await?, "link"),
        (None, Some(token)) if is_token(&app, token) => (Some(app.gateway.owner().await?), "token"),
        (None, Some(_)) => (None, "token"),
        _ => return Err(ApiError::bad("send either `code` or `token`")),
    };
    let shown = from.map_or_else(|| "the local socket".to_owned(), |it| it.to_string());
    let Some(user) = user else {
        // Only wrong ones wait: behind a proxy everybody has one address, and nobody is to lock the others out. What is
        // right can't be guessed at any speed (256 bits, or a token of a length that `Web::bind` checks), so the limit is
        // for the log and the audit.
        if let Some(wait_s) = from.and_then(|it| app.limiter.wait_s(it, now)) {
            return Err(ApiError::too_many(wait_s));
        }
        if let Some(from) = from {
            app.limiter.wrong(from, now);
        }
        store.audit("somebody", "login refused", &format!("by {how} from {shown}")).await?;
        return Err(ApiError::login_refused());
    };
    let snapshot = app.gateway.directory().snapshot();
    let name = snapshot.person(user).map_or("somebody", |it| it.name.as_str());
    let session = random();
    store.add_session(&hash(&session), user, now, now + SESSION_LIFE).await?;
    store.audit(name, "login", &format!("by {how} from {shown}")).await?;
    let cookie = set_cookie(&app, &session, SESSION_LIFE, secure.is_some());
    Ok((AppendHeaders([(header::SET_COOKIE, cookie)]), Json(DONE)))
}

fn set_cookie(app: &App, value: &str, life: Duration, secure: bool) -> String {
    let secure = if secure { "; Secure" } else { "" };
    let name = &app.cookie;
    format!("{name}={value}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict{secure}", life.as_secs())
}

/// Makes a fresh one-time link.
pub(crate) async fn link(State(app): State<App>, who: Who) -> Result<Json<Link>, ApiError> {
    let url = login_link(&app.gateway, &app.base_url).await?;
    app.gateway.store().audit(&who.name, "login link made", "").await?;
    Ok(Json(Link { url }))
}

/// Ends the session that asks.
pub(crate) async fn logout(State(app): State<App>, who: Who) -> Result<WithCookie, ApiError> {
    if let Some(session) = &who.session {
        app.gateway.store().end_session(session).await?;
    }
    let gone = set_cookie(&app, "", Duration::ZERO, false);
    Ok((AppendHeaders([(header::SET_COOKIE, gone)]), Json(DONE)))
}

/// Who one is.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Me {
    /// None for whoever sits at this machine.
    id: Option<UserId>,
    name: String,
    /// The highest anywhere.
    role: Option<Role>,
    /// What one may in the whole gateway.
    rights: Vec<&'static str>,
    groups: Vec<MyGroup>,
    /// What the assistant is called.
    assistant: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct MyGroup {
    id: GroupId,
    role: Option<Role>,
    rights: Vec<&'static str>,
}

/// Who one is, and what one may.
pub(crate) async fn me(State(app): State<App>, who: Who) -> Json<Me> {
    let words = |may: &dyn Fn(Right) -> bool| -> Vec<&'static str> {
        Right::ALL.iter().filter(|it| may(**it)).map(|it| word(*it)).collect()
    };
    let directory = app.gateway.directory().snapshot();
    let groups = directory.groups().filter(|it| who.may_in(it.id, Right::Read));
    let groups = groups.map(|it| MyGroup {
        id: it.id,
        role: role_in(&who.roles, it.id),
        rights: words(&|right| who.may_in(it.id, right)),
    });
    Json(Me {
        id: who.user,
        groups: groups.collect(),
        role: who.role(),
        rights: words(&|right| who.may(right)),
        assistant: app.settings.name.clone(),
        name: who.name,
    })
}

/// The word of a right in the API.
pub(crate) fn word(right: Right) -> &'static str {
    match right {
        Right::Read => "read",
        Right::Speak => "speak",
        Right::StopOwn => "stop_own",
        Right::Command => "command",
        Right::Stop => "stop",
        Right::Schedule => "schedule",
        Right::ApproveTool => "approve_tool",
        Right::ApproveChat => "approve_chat",
        Right::Operate => "operate",
        Right::Configure => "configure",
        Right::Invite => "invite",
        Right::GrantRoles => "grant_roles",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_long_and_never_the_same() {
        let (a, b) = (random(), random());
        assert_eq!(a.len(), 43);
        assert_ne!(a, b);
        assert_eq!(hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
