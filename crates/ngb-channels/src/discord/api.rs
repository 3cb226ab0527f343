//! Calls of the REST API: <https://docs.discord.com/developers/reference>.

use std::time::Duration;

use ngb_core::{clock::Timestamp, secret::Secret};
use reqwest::{
    Method, RequestBuilder,
    header::{AUTHORIZATION, CONTENT_LENGTH, USER_AGENT},
    multipart::Form,
};
use serde_json::Value;
use thiserror::Error;

use super::{
    DiscordConfig,
    codes::{PASSING, REMEDIES},
    pace::{Pace, Route},
};
use crate::{
    ChannelError, Retry,
    http::{CALL_LIMIT, Http, HttpError, Reply, UPLOAD_LIMIT},
};

/// Discord shuts out who doesn't name itself like this (<https://docs.discord.com/developers/reference#user-agent>). Its
/// first part may be an address; this program has none that is true for whoever runs it.
const AGENT: &str = concat!("DiscordBot (nanogridbot, ", env!("CARGO_PKG_VERSION"), ")");

/// The longest wait for a budget that is waited here; of a longer one the caller is told.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// A wait that Discord asked for without naming it.
const UNNAMED_WAIT: Duration = Duration::from_secs(1);

/// Why a call did not do what was asked.
#[derive(Debug, Error)]
pub(super) enum ApiError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("Discord asks to wait {0:?}")]
    TooMany(Duration),
    #[error("Discord said {code} `{message}`{}{remedy}", if remedy.is_empty() { "" } else { ": " })]
    Refused { code: i64, message: String, remedy: &'static str, retry_after: Option<Duration> },
    #[error("Discord does not take the token; make a new one on the page Bot and set it")]
    Token,
    #[error("Discord's server failed with {0}")]
    Server(u16),
}

impl ApiError {
    pub(super) fn unfit(why: impl Into<String>) -> Self {
        HttpError::Unfit(why.into()).into()
    }

    /// What next.
    pub(super) fn retry(&self) -> Retry {
        match self {
            Self::Http(err) => err.retry(),
            Self::TooMany(wait) | Self::Refused { retry_after: Some(wait), .. } => {
                Retry::After(*wait)
            }
            Self::Refused { code, .. } if PASSING.contains(code) => Retry::Backoff,
            Self::Refused { .. } | Self::Token => Retry::Never,
            Self::Server(_) => Retry::Backoff,
        }
    }

    /// The same for whoever asked: what was being done, and whether to try again.
    pub(super) fn doing(self, doing: impl Into<String>) -> ChannelError {
        let maybe_done = match &self {
            Self::Http(err) => err.maybe_done(),
            Self::Server(_) => true,
            Self::TooMany(_) | Self::Refused { .. } | Self::Token => false,
        };
        ChannelError {
            doing: doing.into(),
            retry: self.retry(),
            maybe_done,
            moved_to: None,
            source: Box::new(self),
        }
    }
}

/// One bot at one server.
pub(super) struct Api {
    url: String,
    token: Secret,
    pub(super) http: Http,
    pace: Pace,
}

impl Api {
    pub(super) fn new(config: DiscordConfig, http: Http) -> Self {
        let url = config.api_url.trim_end_matches('/').to_owned();
        Self { url, token: config.token, http, pace: Pace::default() }
    }

    /// The address in the settings.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn token(&self) -> &Secret {
        &self.token
    }

    pub(super) fn now(&self) -> Timestamp {
        self.http.clock.now()
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, ApiError> {
        self.exchange(Method::GET, path, CALL_LIMIT, |it| it).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, ApiError> {
        self.exchange(Method::POST, path, CALL_LIMIT, |it| it.json(body)).await
    }

    pub(super) async fn patch(&self, path: &str, body: &Value) -> Result<Value, ApiError> {
        self.exchange(Method::PATCH, path, CALL_LIMIT, |it| it.json(body)).await
    }

    /// A call without a body.
    pub(super) async fn bare(&self, method: Method, path: &str) -> Result<Value, ApiError> {
        self.exchange(method, path, CALL_LIMIT, |it| it.header(CONTENT_LENGTH, 0)).await
    }

    pub(super) async fn upload(&self, path: &str, form: Form) -> Result<Value, ApiError> {
        self.exchange(Method::POST, path, UPLOAD_LIMIT, |it| it.multipart(form)).await
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        limit: Duration,
        fill: impl FnOnce(RequestBuilder) -> RequestBuilder + Send,
    ) -> Result<Value, ApiError> {
        let route = Route::of(method.as_str(), path);
        while let Err(wait) = self.pace.take(&route, self.now()) {
            if LONGEST_WAIT < wait {
                return Err(ApiError::TooMany(wait));
            }
            self.http.clock.sleep(wait).await;
        }
        let request = self.http.request(method, format!("{}{path}", self.url));
        let request = request
            .header(AUTHORIZATION, format!("Bot {}", self.token.expose()))
            .header(USER_AGENT, AGENT);
        let reply = self.http.json(fill(request), limit).await?;
        self.pace.learn(&route, &reply.headers, self.now());
        let done = answer(&reply);
        if let Err(ApiError::TooMany(wait)) = &done {
            let is_global =
                reply.body["global"] == true || reply.headers.contains_key("x-ratelimit-global");
            self.pace.too_much(&route, *wait, is_global, self.now());
        }
        done?;
        Ok(reply.body)
    }
}

/// What an answer means.
fn answer(reply: &Reply) -> Result<(), ApiError> {
    let named = reply.body["retry_after"].as_f64();
    let named = named.and_then(|it| Duration::try_from_secs_f64(it).ok()).or(reply.retry_after);
    match reply.status {
        200..300 => return Ok(()),
        429 => return Err(ApiError::TooMany(named.unwrap_or(UNNAMED_WAIT))),
        401 => return Err(ApiError::Token),
        500.. => return Err(ApiError::Server(reply.status)),
        _ => (),
    }
    let code = reply.body["code"].as_i64().unwrap_or_default();
    let mut message = reply.body["message"].as_str().unwrap_or("no reason").to_owned();
    if let Some(more) = first_message(&reply.body["errors"]) {
        message = format!("{message} ({more})");
    }
    let remedy = REMEDIES.iter().find(|(it, _)| *it == code).map_or("", |(_, remedy)| remedy);
    Err(ApiError::Refused { code, message, remedy, retry_after: named })
}

/// What is wrong with a form, as far as the first field: it is told deep inside, under the field's name.
fn first_message(errors: &Value) -> Option<String> {
    let fields = errors.as_object()?;
    if let Some(said) = fields.get("_errors").and_then(|it| it[0]["message"].as_str()) {
        return Some(said.to_owned());
    }
    fields.iter().find_map(|(name, it)| Some(format!("{name}: {}", first_message(it)?)))
}
