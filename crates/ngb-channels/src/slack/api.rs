//! Calls of the Web API, and what Slack's error codes mean.

use std::time::Duration;

use ngb_core::secret::Secret;
use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

use super::SlackConfig;
use crate::{
    ChannelError, Retry,
    http::{CALL_LIMIT, Http, HttpError, Reply},
};

/// Codes after which the same call may succeed: <https://docs.slack.dev/reference/methods/chat.postMessage#errors> and
/// the same table of the other methods. Every other code is a refusal that asking again doesn't change.
const PASSING: &[&str] = &[
    "accesslimited",
    "fatal_error",
    "internal_error",
    "message_limit_exceeded",
    "rate_limited",
    "ratelimited",
    "request_timeout",
    "service_unavailable",
    "team_added_to_org",
    "too_many_websockets",
];

/// Codes after which the call may have had its effect all the same; Slack says so of these.
const MAYBE_DONE: &[&str] = &["fatal_error", "internal_error", "request_timeout"];

/// What to do about a refusal, where it can be said.
const REMEDIES: &[(&str, &str)] = &[
    ("invalid_auth", "take the token anew from the app's page"),
    ("not_authed", "the token is empty"),
    (
        "account_inactive",
        "the token belongs to a bot that was removed; install the app again and take the new token",
    ),
    ("token_revoked", "install the app again and take the new token"),
    ("token_expired", "turn token rotation off for the app, and take a new token"),
    (
        "not_allowed_token_type",
        "`app_token` is the one that begins with `xapp-`, `bot_token` the one with `xoxb-`",
    ),
    ("missing_scope", "add the scope on the app's page (OAuth & Permissions) and install it again"),
    (
        "not_in_channel",
        "invite the bot with /invite in that channel, or give the app the scope `chat:write.public`",
    ),
    ("channel_not_found", "a private channel is found only by a bot that is in it"),
    ("is_archived", "the channel is archived"),
    ("restricted_action", "the workspace doesn't let this app write there"),
    ("link_disabled", "turn Socket Mode on for the app"),
];

/// Why a call did not do what was asked.
#[derive(Debug, Error)]
pub(super) enum ApiError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("Slack asks to wait {0:?}")]
    TooMany(Duration),
    #[error("Slack said `{code}`{}{more}", if more.is_empty() { "" } else { ": " })]
    Refused { code: String, more: String },
    #[error("Slack's server failed with {0}")]
    Server(u16),
}

impl ApiError {
    pub(super) fn unfit(why: impl Into<String>) -> Self {
        HttpError::Unfit(why.into()).into()
    }

    /// Whether Slack refused with this code.
    pub(super) fn says(&self, what: &str) -> bool {
        matches!(self, Self::Refused { code, .. } if code == what)
    }

    /// The same for whoever asked: what was being done, and whether to try again.
    pub(super) fn doing(self, doing: impl Into<String>) -> ChannelError {
        let retry = match &self {
            Self::Http(err) => err.retry(),
            Self::TooMany(wait) => Retry::After(*wait),
            Self::Refused { code, .. } if PASSING.contains(&code.as_str()) => Retry::Backoff,
            Self::Refused { .. } => Retry::Never,
            Self::Server(_) => Retry::Backoff,
        };
        let maybe_done = match &self {
            Self::Http(err) => err.maybe_done(),
            Self::Refused { code, .. } => MAYBE_DONE.contains(&code.as_str()),
            Self::Server(_) => true,
            Self::TooMany(_) => false,
        };
        ChannelError {
            doing: doing.into(),
            retry,
            maybe_done,
            moved_to: None,
            source: Box::new(self),
        }
    }
}

/// One app at one server.
pub(super) struct Api {
    url: String,
    bot_token: Secret,
    app_token: Secret,
    pub(super) http: Http,
}

impl Api {
    pub(super) fn new(config: SlackConfig, http: Http) -> Self {
        let url = config.api_url.trim_end_matches('/').to_owned();
        Self { url, bot_token: config.bot_token, app_token: config.app_token, http }
    }

    /// The address in the settings.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Calls a method with JSON.
    pub(super) async fn call(
        &self,
        method: &str,
        params: &impl Serialize,
    ) -> Result<Value, ApiError> {
        let request = self.http.post(format!("{}/{method}", self.url));
        let request = request.bearer_auth(self.bot_token.expose()).json(params);
        answer(self.http.json(request, CALL_LIMIT).await?)
    }

    /// Calls a method that takes no JSON: most of those that only read.
    pub(super) async fn get(
        &self,
        method: &str,
        query: &[(&str, &str)],
    ) -> Result<Value, ApiError> {
        let request = self.http.get(format!("{}/{method}", self.url)).query(query);
        let request = request.bearer_auth(self.bot_token.expose());
        answer(self.http.json(request, CALL_LIMIT).await?)
    }

    /// The address of a new socket; it is good for one.
    pub(super) async fn open_connection(&self) -> Result<String, ApiError> {
        let request = self.http.post(format!("{}/apps.connections.open", self.url));
        let request = request.bearer_auth(self.app_token.expose());
        let opened = answer(self.http.json(request, CALL_LIMIT).await?)?;
        match opened["url"].as_str() {
            Some(url) => Ok(url.to_owned()),
            None => Err(ApiError::unfit("Slack named no address for a socket")),
        }
    }

    /// A request for a file: the token goes only to Slack's own hosts.
    pub(super) fn get_file(&self, url: &str) -> Result<reqwest::RequestBuilder, ApiError> {
        let host = reqwest::Url::parse(url).ok();
        let host = host.as_ref().and_then(reqwest::Url::host_str).unwrap_or_default();
        let own = reqwest::Url::parse(&self.url).ok();
        let is_own = own.as_ref().and_then(reqwest::Url::host_str) == Some(host);
        let request = self.http.get_handed(url, &self.url)?;
        Ok(if is_own || host == "slack.com" || host.ends_with(".slack.com") {
            request.bearer_auth(self.bot_token.expose())
        } else {
            request
        })
    }
}

/// What an answer means: <https://docs.slack.dev/apis/web-api/#responses>.
fn answer(reply: Reply) -> Result<Value, ApiError> {
    if reply.status == 429 {
        let wait = reply.retry_after.unwrap_or(Duration::from_secs(1));
        return Err(ApiError::TooMany(wait));
    }
    if reply.body["ok"] == true {
        return Ok(reply.body);
    }
    let Some(code) = reply.body["error"].as_str() else {
        return Err(ApiError::Server(reply.status));
    };
    let mut more: Vec<String> = Vec::new();
    if let Some(needed) = reply.body["needed"].as_str() {
        more.push(format!("it needs `{needed}`"));
    }
    let remedy = REMEDIES.iter().find(|(it, _)| *it == code);
    more.extend(remedy.map(|(_, remedy)| (*remedy).to_owned()));
    Err(ApiError::Refused { code: code.to_owned(), more: more.join("; ") })
}
