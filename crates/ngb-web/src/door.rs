//! Who asks: the door a request came in by, and the person behind it.

use axum::{
    extract::{FromRequestParts, Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, header, request::Parts};
use ngb_core::{
    id::UserId,
    role::{Right, Role},
};
use ngb_gateway::registry::{LOCAL_SENDER, sender_of};
use subtle::ConstantTimeEq as _;

use crate::{App, error::ApiError, login};

/// How a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Network,
    /// The local socket: whoever may open the file is owner.
    Socket,
}

/// Whoever asks.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    /// None for whoever sits at this machine.
    pub(crate) user: Option<UserId>,
    pub(crate) name: String,
    pub(crate) role: Role,
    /// The hash of the session, for those who came by one.
    pub(crate) session: Option<String>,
}

impl Who {
    /// Their stable id on our own channels.
    pub(crate) fn sender_id(&self) -> String {
        self.user.map_or_else(|| LOCAL_SENDER.to_owned(), sender_of)
    }

    /// Refuses who lacks `right`.
    pub(crate) fn need(&self, right: Right) -> Result<(), ApiError> {
        if self.role.may(right) { Ok(()) } else { Err(ApiError::forbidden(self.role, right)) }
    }
}

/// What a route wants of whoever asks.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) app: App,
    pub(crate) door: Door,
    /// None: open to everybody.
    pub(crate) right: Option<Right>,
}

/// Lets a request through when the asker has the route's right, and notes who it is.
pub(crate) async fn check(
    State(gate): State<Gate>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if let Some(right) = gate.right {
        let who = identify(&gate.app, gate.door, request.headers()).await?;
        let Some(who) = who else { return Err(ApiError::login_needed()) };
        who.need(right)?;
        request.extensions_mut().insert(who);
    }
    Ok(next.run(request).await)
}

/// Who sent this; none for a stranger.
pub(crate) async fn identify(
    app: &App,
    door: Door,
    headers: &HeaderMap,
) -> Result<Option<Who>, ApiError> {
    if door == Door::Socket {
        let name = "local".to_owned();
        return Ok(Some(Who { user: None, name, role: Role::Owner, session: None }));
    }
    if let Some(shown) = bearer(headers) {
        if !is_token(app, shown) {
            return Ok(None);
        }
        let user = Some(app.gateway.owner().await?);
        return Ok(Some(Who { user, name: "owner".into(), role: Role::Owner, session: None }));
    }
    let Some(value) = cookie(headers, &app.cookie) else { return Ok(None) };
    let hash = login::hash(value);
    let now = app.gateway.clock().now();
    let session = app.gateway.store().session(&hash, now).await?;
    Ok(session.filter(|it| now < it.expires_at).map(|it| Who {
        user: Some(it.user),
        name: it.name,
        role: it.role,
        session: Some(hash),
    }))
}

/// Whether `shown` is the token of the settings; takes the same time whatever it is.
pub(crate) fn is_token(app: &App, shown: &str) -> bool {
    let Some(token) = &app.settings.token else { return false };
    let (want, got) = (login::digest(token.expose()), login::digest(shown));
    bool::from(want.ct_eq(&got))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(header::COOKIE).into_iter();
    let pairs = all.filter_map(|it| it.to_str().ok()).flat_map(|it| it.split(';'));
    pairs.filter_map(|it| it.trim().split_once('=')).find(|it| it.0 == name).map(|it| it.1)
}

impl<S: Sync> FromRequestParts<S> for Who {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get::<Self>().cloned().ok_or_else(ApiError::login_needed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_in_headers() {
        #[rustfmt::skip]
        let table = [
            ("cookie",        "a=1; ngb_80=x",     None,         Some("x")),
            ("cookie",        "xngb_80=1",         None,         None),
            ("authorization", "Bearer  t1",        Some("t1"),   None),
            ("authorization", "bearer t1",         Some("t1"),   None),
            ("authorization", "Basic t1",          None,         None),
        ];
        for (name, value, token, session) in table {
            let mut headers = HeaderMap::new();
            headers.insert(http::HeaderName::from_static(name), value.parse().unwrap());
            assert_eq!(bearer(&headers), token, "{value}");
            assert_eq!(cookie(&headers, "ngb_80"), session, "{value}");
        }
    }
}
