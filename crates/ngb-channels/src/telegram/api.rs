//! Calls of the Bot API, and what their failures mean.

use std::time::Duration;

use bytes::Bytes;
use ngb_core::{clock::Clock, secret::Secret};
use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

use crate::{ChannelError, Retry};

/// How long a call may take, beyond what a long poll asks for.
const CALL_LIMIT: Duration = Duration::from_secs(30);

/// How long an upload may take: 50 MB over a slow line.
const UPLOAD_LIMIT: Duration = Duration::from_secs(600);

/// Longest wait that is taken from a 429.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Longest answer that is read, in bytes: a hundred updates of the longest messages.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// One bot on one server.
pub(super) struct Api {
    /// `<url>/bot` and `<url>/file/bot`, to which the token is put.
    base: String,
    files: String,
    token: Secret,
    http: reqwest::Client,
    clock: Clock,
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
    #[error("the answer was not what the Bot API says")]
    Unreadable(#[source] serde_json::Error),
    #[error("the answer is longer than {MAX_ANSWER_BYTES} bytes")]
    TooLong,
    #[error("the connection failed before the request was out")]
    NotConnected(#[source] reqwest::Error),
    #[error("the connection broke before the answer was here")]
    Broken(#[source] reqwest::Error),
    #[error(transparent)]
    TimedOut(#[from] ngb_core::clock::TimedOut),
    #[error("could not read the file")]
    File(#[source] std::io::Error),
    #[error("{0}")]
    Unfit(String),
}

impl ApiError {
    /// The same for whoever asked: what was being done, and whether to try again.
    pub(super) fn doing(self, doing: impl Into<String>) -> ChannelError {
        let retry = match &self {
            Self::Unauthorized(_) | Self::Refused { .. } | Self::Unfit(_) | Self::File(_) => {
                Retry::Never
            }
            Self::TooMany(wait) => Retry::After(*wait),
            // The new address is at hand; the item goes there, not here again.
            Self::Moved { .. } => Retry::Never,
            _ => Retry::Backoff,
        };
        // What the Bot API says it did not do was not done; where only a proxy or nobody answered, it may have been.
        let maybe_done = matches!(
            self,
            Self::Server { told: false, .. }
                | Self::Unreadable(_)
                | Self::TooLong
                | Self::Broken(_)
                | Self::TimedOut(_)
        );
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
    pub(super) fn new(url: &str, token: Secret, http: reqwest::Client, clock: Clock) -> Self {
        let url = url.trim_end_matches('/');
        Self { base: format!("{url}/bot"), files: format!("{url}/file/bot"), token, http, clock }
    }

    /// Calls a method; its `result`.
    pub(super) async fn call(
        &self,
        method: &str,
        params: &impl Serialize,
    ) -> Result<Value, ApiError> {
        self.call_for(method, params, CALL_LIMIT).await
    }

    /// Calls a method that may wait for `poll` before it answers.
    pub(super) async fn long_poll(
        &self,
        method: &str,
        params: &impl Serialize,
        poll: Duration,
    ) -> Result<Value, ApiError> {
        self.call_for(method, params, poll + CALL_LIMIT).await
    }

    async fn call_for(
        &self,
        method: &str,
        params: &impl Serialize,
        limit: Duration,
    ) -> Result<Value, ApiError> {
        let url = format!("{}{}/{method}", self.base, self.token.expose());
        let request = self.http.post(url).json(params);
        self.clock.timeout(limit, self.answer(request)).await?
    }

    /// Calls a method with files.
    pub(super) async fn upload(
        &self,
        method: &str,
        form: reqwest::multipart::Form,
    ) -> Result<Value, ApiError> {
        let url = format!("{}{}/{method}", self.base, self.token.expose());
        let request = self.http.post(url).multipart(form);
        self.clock.timeout(UPLOAD_LIMIT, self.answer(request)).await?
    }

    /// Begins the download of a file that `getFile` named.
    pub(super) async fn download(&self, file_path: &str) -> Result<reqwest::Response, ApiError> {
        let url = format!("{}{}/{file_path}", self.files, self.token.expose());
        let sent = self.clock.timeout(CALL_LIMIT, self.http.get(url).send()).await?;
        let response = sent.map_err(lost)?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = read(response).await?;
        Err(failure(status.as_u16(), &serde_json::from_slice(&body).unwrap_or_default()))
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<Value, ApiError> {
        let response = request.send().await.map_err(lost)?;
        let status = response.status().as_u16();
        let body = read(response).await?;
        let mut answer: Value = match serde_json::from_slice(&body) {
            Ok(answer) => answer,
            // A proxy's page, not the Bot API.
            Err(_) if status != 200 => return Err(failure(status, &Value::Null)),
            Err(err) => return Err(ApiError::Unreadable(err)),
        };
        if answer["ok"] == true {
            return Ok(answer["result"].take());
        }
        Err(failure(status, &answer))
    }
}

/// A connection that failed; `without_url`, because the URL holds the token.
fn lost(err: reqwest::Error) -> ApiError {
    let before = err.is_connect() || err.is_builder();
    let err = err.without_url();
    if before { ApiError::NotConnected(err) } else { ApiError::Broken(err) }
}

async fn read(mut response: reqwest::Response) -> Result<Bytes, ApiError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(lost)? {
        if MAX_ANSWER_BYTES < body.len() + chunk.len() {
            return Err(ApiError::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.into())
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
