//! Calls of the Bot API, and what their failures mean.

use std::time::Duration;

use ngb_core::secret::Secret;
use reqwest::{RequestBuilder, Response, multipart::Form};
use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

use crate::{
    ChannelError, Retry,
    http::{CALL_LIMIT, Http, HttpError, UPLOAD_LIMIT},
};

/// Longest wait that is taken from a 429.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// One bot on one server.
pub(super) struct Api {
    /// `<url>/bot` and `<url>/file/bot`, to which the token is put.
    base: String,
    files: String,
    token: Secret,
    http: Http,
}

/// Why a call did not do what was asked. No variant holds the URL, which holds the token.
#[derive(Debug, Error)]
pub(super) enum ApiError {
    #[error("Telegram refused the token: {0}; take a new one from @BotFather")]
    Unauthorized(String),
    #[error(
        "a webhook is set for this bot, and then Telegram refuses polling; delete the webhook, or set \
         `webhook` for the account"
    )]
    WebhookSet,
    #[error(
        "another program polls with the same token; stop it, or take a new token from @BotFather with /revoke"
    )]
    OtherPoller,
    #[error("Telegram asks to wait {0:?}")]
    TooMany(Duration),
    #[error("the group is now the supergroup {to}")]
    Moved { to: i64 },
    #[error("Telegram said {code}: {description}")]
    Refused { code: u16, description: String },
    #[error("Telegram's server failed with {code}")]
    Server {
        code: u16,
        /// Whether the Bot API itself said that it failed; else a proxy before it gave up, and nobody knows.
        told: bool,
    },
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("{0}")]
    Unfit(String),
}

impl ApiError {
    /// The same for whoever asked: what was being done, and whether to try again.
    pub(super) fn doing(self, doing: impl Into<String>) -> ChannelError {
        let retry = match &self {
            Self::Http(err) => err.retry(),
            Self::Unauthorized(_) | Self::Refused { .. } | Self::Unfit(_) => Retry::Never,
            Self::TooMany(wait) => Retry::After(*wait),
            // The new address is at hand; the item goes there, not here again.
            Self::Moved { .. } => Retry::Never,
            Self::WebhookSet | Self::OtherPoller | Self::Server { .. } => Retry::Backoff,
        };
        // What the Bot API says it did not do was not done; where only a proxy or nobody answered, it may have been.
        let maybe_done = match &self {
            Self::Http(err) => err.maybe_done(),
            other => matches!(other, Self::Server { told: false, .. }),
        };
        ChannelError {
            doing: doing.into(),
            retry,
            maybe_done,
            moved_to: None,
            source: Box::new(self),
        }
    }

    /// Whether a 400 says this.
    pub(super) fn says(&self, what: &str) -> bool {
        matches!(self, Self::Refused { code: 400, description } if description.contains(what))
    }
}

impl Api {
    pub(super) fn new(url: &str, token: Secret, http: Http) -> Self {
        let url = url.trim_end_matches('/');
        Self { base: format!("{url}/bot"), files: format!("{url}/file/bot"), token, http }
    }

    /// Calls a method; its `result`.
    pub(super) async fn call(
        &self,
        method: &str,
        params: &impl Serialize,
    ) -> Result<Value, ApiError> {
        self.answer(self.method(method).json(params), CALL_LIMIT).await
    }

    /// Calls a method that may wait for `poll` before it answers.
    pub(super) async fn long_poll(
        &self,
        method: &str,
        params: &impl Serialize,
        poll: Duration,
    ) -> Result<Value, ApiError> {
        self.answer(self.method(method).json(params), poll + CALL_LIMIT).await
    }

    /// Calls a method with files.
    pub(super) async fn upload(&self, method: &str, form: Form) -> Result<Value, ApiError> {
        self.answer(self.method(method).multipart(form), UPLOAD_LIMIT).await
    }

    /// Begins the download of a file that `getFile` named; more than `max_bytes` of it is an error.
    pub(super) async fn download(
        &self,
        file_path: &str,
        max_bytes: u64,
    ) -> Result<Response, ApiError> {
        let url = format!("{}{}/{file_path}", self.files, self.token.expose());
        self.http.download(self.http.get(url), max_bytes).await.map_err(known)
    }

    fn method(&self, method: &str) -> RequestBuilder {
        self.http.post(format!("{}{}/{method}", self.base, self.token.expose()))
    }

    async fn answer(&self, request: RequestBuilder, limit: Duration) -> Result<Value, ApiError> {
        let mut reply = self.http.json(request, limit).await.map_err(known)?;
        if reply.body["ok"] == true {
            return Ok(reply.body["result"].take());
        }
        Err(failure(reply.status, &reply.body))
    }
}

/// A status without an answer of the Bot API means what it means with one.
fn known(err: HttpError) -> ApiError {
    match err {
        HttpError::Status { status, .. } => failure(status, &Value::Null),
        other => other.into(),
    }
}

/// What an answer that isn't ok means.
fn failure(status: u16, answer: &Value) -> ApiError {
    let code =
        answer["error_code"].as_u64().and_then(|it| u16::try_from(it).ok()).unwrap_or(status);
    let description = answer["description"].as_str().unwrap_or("no reason").to_owned();
    if let Some(to) = answer["parameters"]["migrate_to_chat_id"].as_i64() {
        return ApiError::Moved { to };
    }
    match code {
        // A token that never was is 404 on Telegram's own server.
        401 => ApiError::Unauthorized(description),
        404 if description == "Not Found" => ApiError::Unauthorized(description),
        409 if description.contains("webhook") => ApiError::WebhookSet,
        409 => ApiError::OtherPoller,
        429 => {
            let named = answer["parameters"]["retry_after"].as_u64().unwrap_or(1);
            ApiError::TooMany(Duration::from_secs(named).min(LONGEST_RETRY_AFTER))
        }
        500.. => ApiError::Server { code, told: answer["ok"] == false },
        _ => ApiError::Refused { code, description },
    }
}
