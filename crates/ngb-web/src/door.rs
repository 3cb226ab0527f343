//! Who asks: the door a request came in by, and the person behind it.

use axum::{
    extract::{FromRequestParts, Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, header, request::Parts};
use ngb_core::{
    address::{ChannelKind, Jid, Place},
    group::Group,
    id::{GroupId, UserId},
    role::{Right, Role, role_in, wide_role},
};
use ngb_gateway::{
    registry::{LOCAL_SENDER, Snapshot, sender_of},
    store::StoredMessage,
};
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
    /// For the whole gateway (no group), and for single groups.
    pub(crate) roles: Vec<(Option<GroupId>, Role)>,
    /// The hash of the session, for those who came by one.
    pub(crate) session: Option<String>,
}

impl Who {
    /// Their stable id on our own channels.
    pub(crate) fn sender_id(&self) -> String {
        self.user.map_or_else(|| LOCAL_SENDER.to_owned(), sender_of)
    }

    fn owner(user: Option<UserId>, name: &str) -> Self {
        let roles = vec![(None, Role::Owner)];
        Self { user, name: name.to_owned(), roles, session: None }
    }

    /// The highest role that they have anywhere.
    pub(crate) fn role(&self) -> Option<Role> {
        self.roles.iter().map(|it| it.1).max()
    }

    /// Whether they have `right` for the whole gateway.
    pub(crate) fn may(&self, right: Right) -> bool {
        wide_role(&self.roles).is_some_and(|it| it.may(right))
    }

    pub(crate) fn may_in(&self, group: GroupId, right: Right) -> bool {
        role_in(&self.roles, group).is_some_and(|it| it.may(right))
    }

    /// Refuses who lacks `right` where the route wants it.
    fn need(&self, want: Want) -> Result<(), ApiError> {
        let (has, right) = match want {
            Want::Nothing => return Ok(()),
            Want::Wide(right) => (wide_role(&self.roles), right),
            Want::Within(right) => (self.role(), right),
        };
        if has.is_some_and(|it| it.may(right)) {
            Ok(())
        } else {
            Err(ApiError::forbidden(has, right))
        }
    }

    /// Refuses who lacks `right` in a group. One that they don't belong to is not even told to be there.
    pub(crate) fn need_in(&self, group: &Group, right: Right) -> Result<(), ApiError> {
        let role = role_in(&self.roles, group.id);
        match role {
            Some(it) if it.may(right) => Ok(()),
            Some(it) if it.may(Right::Read) => Err(ApiError::forbidden(role, right)),
            _ => Err(ApiError::not_found("such group")),
        }
    }

    /// Refuses who lacks `right` for a chat: in every group that it belongs to. A chat of no group is nobody's but
    /// theirs who have the right for the whole gateway.
    pub(crate) fn need_for(
        &self,
        jid: &Jid,
        snapshot: &Snapshot,
        right: Right,
    ) -> Result<(), ApiError> {
        if self.may(right) {
            return Ok(());
        }
        let groups: Vec<GroupId> = snapshot.bindings(jid).iter().map(|it| it.group).collect();
        if groups.is_empty() || !groups.iter().any(|it| self.may_in(*it, Right::Read)) {
            return Err(ApiError::not_found(format_args!("chat `{jid}`")));
        }
        match groups.iter().find(|it| !self.may_in(**it, right)) {
            None => Ok(()),
            Some(group) => Err(ApiError::forbidden(role_in(&self.roles, *group), right)),
        }
    }

    /// Whether they may read what is of `group`, or of no group in `place`.
    pub(crate) fn sees(&self, group: Option<GroupId>, place: &Place, snapshot: &Snapshot) -> bool {
        match group {
            Some(group) => self.may_in(group, Right::Read),
            None => self.need_for(&place.jid, snapshot, Right::Read).is_ok(),
        }
    }

    /// Refuses who may not read a message, as if it were not there.
    pub(crate) fn need_message(
        &self,
        message: &StoredMessage,
        snapshot: &Snapshot,
    ) -> Result<(), ApiError> {
        if self.sees(message.group, &message.place, snapshot) {
            return Ok(());
        }
        Err(ApiError::not_found(format_args!("message `{}`", message.id)))
    }

    /// The groups that they may read, for who may not read all.
    pub(crate) fn seen(&self) -> Option<Vec<GroupId>> {
        if self.may(Right::Read) {
            return None;
        }
        let seen = self.roles.iter().filter(|it| it.1.may(Right::Read));
        Some(seen.filter_map(|it| it.0).collect())
    }

    /// Whether a sender of a message is this person.
    pub(crate) fn is(&self, place: &Place, sender: &str, snapshot: &Snapshot) -> bool {
        let account = place.jid.account();
        let ours = matches!(account.channel(), ChannelKind::Web | ChannelKind::Terminal);
        if ours && sender == self.sender_id() {
            return true;
        }
        self.user.is_some() && snapshot.sender(account, sender).map(|it| it.user) == self.user
    }
}

/// What a route wants of whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// Open to everybody.
    Nothing,
    /// A right for the whole gateway.
    Wide(Right),
    /// A right somewhere; what the route then shows or does is only where they have it.
    Within(Right),
}

impl Want {
    pub(crate) fn right(self) -> Option<Right> {
        match self {
            Self::Nothing => None,
            Self::Wide(right) | Self::Within(right) => Some(right),
        }
    }
}

/// A route's doorkeeper.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) app: App,
    pub(crate) door: Door,
    pub(crate) want: Want,
}

/// Lets a request through when the asker has the route's right, and notes who it is.
pub(crate) async fn check(
    State(gate): State<Gate>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if gate.want != Want::Nothing {
        let who = identify(&gate.app, gate.door, request.headers()).await?;
        let Some(who) = who else { return Err(ApiError::login_needed()) };
        who.need(gate.want)?;
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
        return Ok(Some(Who::owner(None, "local")));
    }
    if let Some(shown) = bearer(headers) {
        if !is_token(app, shown) {
            return Ok(None);
        }
        let user = Some(app.gateway.owner().await?);
        return Ok(Some(Who::owner(user, "owner")));
    }
    let Some(value) = cookie(headers, &app.cookie) else { return Ok(None) };
    let hash = login::hash(value);
    let now = app.gateway.clock().now();
    let session = app.gateway.store().session(&hash, now).await?;
    Ok(session.map(|it| Who {
        user: Some(it.user),
        roles: roles_of(app, it.user),
        name: it.name,
        session: Some(hash),
    }))
}

/// What a person may now.
pub(crate) fn roles_of(app: &App, user: UserId) -> Vec<(Option<GroupId>, Role)> {
    let snapshot = app.gateway.directory().snapshot();
    snapshot.person(user).map(|it| it.roles.clone()).unwrap_or_default()
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
