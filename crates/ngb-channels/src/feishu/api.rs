//! Calls of the open API: the token that all of them need, and what their failures mean.

use std::time::Duration;

use ngb_core::{
    clock::{Clock, Timestamp},
    secret::Secret,
};
use reqwest::{Method, RequestBuilder, multipart::Form};
use serde_json::{Value, json};
use thiserror::Error;
use tokio::sync::Mutex;

use super::{
    FeishuConfig,
    codes::{self, STALE_TOKEN},
};
use crate::{
    ChannelError, Retry,
    http::{CALL_LIMIT, Http, HttpError, UPLOAD_LIMIT},
};

/// How long before its end a token is renewed.
const RENEW_BEFORE: Duration = Duration::from_secs(10 * 60);

/// Why a call did not do what was asked.
#[derive(Debug, Error)]
pub(super) enum ApiError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("Feishu asks to wait {0:?}")]
    TooMany(Duration),
    #[error("Feishu said {code} `{words}`{}", remedy(*code))]
    Refused { code: i64, words: String },
    #[error("Feishu's server failed with {0}")]
    Server(u16),
}

fn remedy(code: i64) -> String {
    match codes::find(code).1 {
        "" => String::new(),
        it => format!(": {it}"),
    }
}

impl ApiError {
    pub(super) fn unfit(why: impl Into<String>) -> Self {
        HttpError::Unfit(why.into()).into()
    }

    pub(super) fn code(&self) -> Option<i64> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }

    pub(super) fn is_one_of(&self, codes: &[i64]) -> bool {
        self.code().is_some_and(|it| codes.contains(&it))
    }

    pub(super) fn retry(&self) -> Retry {
        match self {
            Self::Http(err) => err.retry(),
            Self::TooMany(wait) => Retry::After(*wait),
            // A new token was refused as well.
            Self::Refused { code, .. } if STALE_TOKEN.contains(code) => Retry::Backoff,
            Self::Refused { code, .. } => codes::find(*code).0,
            Self::Server(_) => Retry::Backoff,
        }
    }

    /// The same for whoever asked: what was being done, and whether to try again.
    pub(super) fn doing(self, doing: impl Into<String>) -> ChannelError {
        let maybe_done = match &self {
            Self::Http(err) => err.maybe_done(),
            Self::Server(_) => true,
            Self::TooMany(_) | Self::Refused { .. } => false,
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

#[derive(Clone, Debug)]
struct Token {
    value: Secret,
    until: Timestamp,
}

/// Where the long connection is opened, and how it is to be kept.
pub(super) struct Endpoint {
    pub(super) url: String,
    pub(super) config: Value,
}

/// One app.
pub(super) struct Api {
    url: String,
    app_id: String,
    app_secret: Secret,
    pub(super) http: Http,
    /// Whoever renews it holds the lock, so that it is renewed once, by one flight.
    token: Mutex<Option<Token>>,
}

impl Api {
    pub(super) fn new(config: FeishuConfig, http: Http) -> Self {
        let url = config.api_url.trim_end_matches('/').to_owned();
        let (app_id, app_secret) = (config.app_id, config.app_secret);
        Self { url, app_id, app_secret, http, token: Mutex::default() }
    }

    /// The address in the settings.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn app_id(&self) -> &str {
        &self.app_id
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.http.clock
    }

    pub(super) async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, ApiError> {
        self.call(Method::GET, path, |it| it.query(query)).await
    }

    pub(super) async fn post(
        &self,
        path: &str,
        query: &[(&str, &str)],
        body: &Value,
    ) -> Result<Value, ApiError> {
        self.call(Method::POST, path, |it| it.query(query).json(body)).await
    }

    pub(super) async fn patch(&self, path: &str, body: &Value) -> Result<Value, ApiError> {
        self.call(Method::PATCH, path, |it| it.json(body)).await
    }

    pub(super) async fn put(&self, path: &str, body: &Value) -> Result<Value, ApiError> {
        self.call(Method::PUT, path, |it| it.json(body)).await
    }

    pub(super) async fn delete(&self, path: &str) -> Result<Value, ApiError> {
        self.call(Method::DELETE, path, |it| it).await
    }

    /// A call; once more with a new token when that is what Feishu minds.
    async fn call(
        &self,
        method: Method,
        path: &str,
        fill: impl Fn(RequestBuilder) -> RequestBuilder + Send,
    ) -> Result<Value, ApiError> {
        let mut used = self.token(None).await?;
        let mut renewed = false;
        loop {
            let request = self.http.request(method.clone(), format!("{}{path}", self.url));
            let request = fill(request).bearer_auth(used.expose());
            match self.answer(request, CALL_LIMIT).await {
                Err(err) if err.is_one_of(STALE_TOKEN) && !renewed => {
                    renewed = true;
                    used = self.token(Some(&used)).await?;
                }
                done => return done,
            }
        }
    }

    /// A form can't be sent twice, so a token that has just ended costs a try.
    pub(super) async fn upload(&self, path: &str, form: Form) -> Result<Value, ApiError> {
        let token = self.token(None).await?;
        let request = self.http.post(format!("{}{path}", self.url)).multipart(form);
        let done = self.answer(request.bearer_auth(token.expose()), UPLOAD_LIMIT).await;
        if done.as_ref().is_err_and(|it| it.is_one_of(STALE_TOKEN)) {
            self.token(Some(&token)).await?;
        }
        done
    }

    /// Begins a download.
    pub(super) async fn download(
        &self,
        path: &str,
        query: &[(&str, &str)],
        max_bytes: u64,
    ) -> Result<reqwest::Response, ApiError> {
        let token = self.token(None).await?;
        let request = self.http.get(format!("{}{path}", self.url)).query(query);
        Ok(self.http.download(request.bearer_auth(token.expose()), max_bytes).await?)
    }

    /// Where a long connection may be opened; the address is good for one.
    pub(super) async fn endpoint(&self) -> Result<Endpoint, ApiError> {
        let request = self.http.post(format!("{}/callback/ws/endpoint", self.url));
        let asked = json!({"AppID": self.app_id, "AppSecret": self.app_secret.expose()});
        let found = self.answer(request.header("locale", "zh").json(&asked), CALL_LIMIT).await?;
        match found["data"]["URL"].as_str() {
            Some(url) => {
                Ok(Endpoint { url: url.to_owned(), config: found["data"]["ClientConfig"].clone() })
            }
            None => Err(ApiError::unfit("Feishu named no address for a connection")),
        }
    }

    /// The token that is good now; another one than `stale`.
    async fn token(&self, stale: Option<&Secret>) -> Result<Secret, ApiError> {
        let mut token = self.token.lock().await;
        let now = self.clock().now();
        if let Some(it) = token.as_ref()
            && now < it.until
            && stale.is_none_or(|stale| stale.expose() != it.value.expose())
        {
            return Ok(it.value.clone());
        }
        let path = "/open-apis/auth/v3/tenant_access_token/internal";
        let request = self.http.post(format!("{}{path}", self.url));
        let asked = json!({"app_id": self.app_id, "app_secret": self.app_secret.expose()});
        let found = self.answer(request.json(&asked), CALL_LIMIT).await?;
        let Some(value) = found["tenant_access_token"].as_str() else {
            return Err(ApiError::unfit("Feishu gave no token"));
        };
        let life = Duration::from_secs(found["expire"].as_u64().unwrap_or_default());
        let until = now + life.saturating_sub(RENEW_BEFORE);
        let value = Secret::new(value);
        *token = Some(Token { value: value.clone(), until });
        Ok(value)
    }

    /// What an answer means. Most refusals come with status 200, some with 400, and some waits with 429.
    async fn answer(&self, request: RequestBuilder, limit: Duration) -> Result<Value, ApiError> {
        let reply = self.http.json(request, limit).await?;
        let reset = reply.headers.get("x-ogw-ratelimit-reset").and_then(|it| it.to_str().ok());
        let reset = reset.and_then(|it| it.parse().ok()).map(Duration::from_secs);
        if reply.status == 429 {
            let wait = reply.retry_after.or(reset).unwrap_or(Duration::from_secs(1));
            return Err(ApiError::TooMany(wait));
        }
        match reply.body["code"].as_i64() {
            Some(0) => Ok(reply.body),
            Some(code) => {
                let words = reply.body["msg"].as_str().unwrap_or("no reason").to_owned();
                Err(ApiError::Refused { code, words })
            }
            None => Err(ApiError::Server(reply.status)),
        }
    }
}
