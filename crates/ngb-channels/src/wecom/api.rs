//! Calls of WeCom's API: the token that all of them need, and what their failures mean.

use std::time::Duration;

use ngb_core::{clock::Clock, secret::Secret};
use reqwest::RequestBuilder;
use serde_json::Value;
use thiserror::Error;

use super::codes::{self, STALE_TOKEN};
use crate::{
    ChannelError, Retry,
    calls::CallError,
    http::{CALL_LIMIT, Http, HttpError, UPLOAD_LIMIT},
    token::Token,
};

/// Why a call did not do what was asked. No variant holds the address, which holds the token.
#[derive(Debug, Error)]
pub(super) enum ApiError {
    #[error("WeCom said {code}: {words}{}", hint(*code))]
    Refused { code: i64, words: String },
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("the answer is not what WeCom's API says: no `{0}`")]
    Unreadable(&'static str),
    #[error("{0}")]
    Unfit(String),
    #[error(transparent)]
    Call(#[from] CallError),
    /// Of a file that nobody sees yet.
    #[error("the file could not be sent up")]
    Upload(#[source] CallError),
}

fn hint(code: i64) -> String {
    match codes::find(code).1 {
        "" => String::new(),
        it => format!("; {it}"),
    }
}

impl ApiError {
    /// The same for whoever asked.
    pub(super) fn doing(self, doing: impl Into<String>) -> ChannelError {
        let (retry, maybe_done) = match &self {
            // What WeCom says it did not do was not done.
            Self::Refused { code, .. } => (codes::find(*code).0, false),
            Self::Http(err) => (err.retry(), err.maybe_done()),
            Self::Unreadable(_) => (Retry::Backoff, true),
            Self::Unfit(_) => (Retry::Never, false),
            Self::Call(err) => (Retry::Backoff, err.maybe_done()),
            Self::Upload(_) => (Retry::Backoff, false),
        };
        let source = Box::new(self);
        ChannelError { doing: doing.into(), retry, maybe_done, moved_to: None, source }
    }

    fn is_stale_token(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if STALE_TOKEN.contains(code))
    }
}

/// What a call sends.
pub(super) enum Body<'a> {
    None,
    Json(&'a Value),
}

/// One app of one company.
pub(super) struct Api {
    /// Without a slash at the end.
    url: String,
    corp_id: String,
    secret: Secret,
    http: Http,
    token: Token,
}

impl Api {
    pub(super) fn new(
        url: String,
        corp_id: String,
        secret: Secret,
        http: Http,
        clock: Clock,
    ) -> Self {
        Self { url, corp_id, secret, http, token: Token::new(clock) }
    }

    /// Calls `path` with a token; once more with a new one when that is what WeCom minds.
    pub(super) async fn call(
        &self,
        path: &str,
        query: &[(&str, &str)],
        body: Body<'_>,
    ) -> Result<Value, ApiError> {
        let mut used = self.token(None).await?;
        let mut renewed = false;
        loop {
            let request = match &body {
                Body::None => self.http.get(self.address(path)),
                Body::Json(it) => self.http.post(self.address(path)).json(it),
            };
            let request = request.query(query).query(&[("access_token", used.expose())]);
            match answer(&self.http, request, CALL_LIMIT).await {
                Err(err) if err.is_stale_token() && !renewed => {
                    renewed = true;
                    used = self.token(Some(&used)).await?;
                }
                done => return done,
            }
        }
    }

    /// Uploads a file for three days; its id.
    pub(super) async fn upload(
        &self,
        kind: &str,
        form: reqwest::multipart::Form,
    ) -> Result<String, ApiError> {
        let token = self.token(None).await?;
        let request = self.http.post(self.address("/cgi-bin/media/upload")).multipart(form);
        let request = request.query(&[("access_token", token.expose()), ("type", kind)]);
        media_id(&answer(&self.http, request, UPLOAD_LIMIT).await?)
    }

    /// Begins the download of a file that somebody sent.
    pub(super) async fn media(
        &self,
        id: &str,
        max_bytes: u64,
    ) -> Result<reqwest::Response, ApiError> {
        let token = self.token(None).await?;
        let request = self.http.get(self.address("/cgi-bin/media/get"));
        let request = request.query(&[("access_token", token.expose()), ("media_id", id)]);
        let response = self.http.download(request, max_bytes).await?;
        let kind = response.headers().get(reqwest::header::CONTENT_TYPE);
        // A refusal is JSON, with the status of a success.
        if kind.and_then(|it| it.to_str().ok()).is_some_and(|it| it.starts_with("application/json"))
        {
            let words = "WeCom gives this file no more; it keeps files for three days".to_owned();
            return Err(ApiError::Unfit(words));
        }
        Ok(response)
    }

    fn address(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// The token; a new one when there is none, when it ends soon, or when it is `stale`.
    pub(super) async fn token(&self, stale: Option<&Secret>) -> Result<Secret, ApiError> {
        let ask = async || {
            let request = self.http.get(self.address("/cgi-bin/gettoken"));
            let request = request
                .query(&[("corpid", self.corp_id.as_str()), ("corpsecret", self.secret.expose())]);
            let got = answer(&self.http, request, CALL_LIMIT).await?;
            let value = got["access_token"].as_str().ok_or(ApiError::Unreadable("access_token"))?;
            let life = Duration::from_secs(got["expires_in"].as_u64().unwrap_or(7200));
            Ok((Secret::new(value), life))
        };
        self.token.get(stale, ask).await
    }
}

pub(super) fn media_id(answer: &Value) -> Result<String, ApiError> {
    answer["media_id"].as_str().map(str::to_owned).ok_or(ApiError::Unreadable("media_id"))
}

/// The answer to a request; WeCom refuses with the status of a success.
pub(super) async fn answer(
    http: &Http,
    request: RequestBuilder,
    limit: Duration,
) -> Result<Value, ApiError> {
    let reply = http.json(request, limit).await?;
    let code = reply.body["errcode"].as_i64().unwrap_or_default();
    if code != 0 {
        // Behind the words stands an address of their page for this very request.
        let words = reply.body["errmsg"].as_str().unwrap_or("no reason");
        let words = words.split(", more info at").next().unwrap_or(words).to_owned();
        return Err(ApiError::Refused { code, words });
    }
    if 400 <= reply.status {
        let (status, retry_after) = (reply.status, reply.retry_after);
        return Err(HttpError::Status { status, retry_after }.into());
    }
    Ok(reply.body)
}
