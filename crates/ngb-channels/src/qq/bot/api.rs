//! Calls of the OpenAPI, with the bot's token.

use std::time::Duration;

use ngb_core::{clock::Clock, secret::Secret};
use reqwest::{Method, RequestBuilder, multipart::Form};
use serde_json::{Value, json};
use thiserror::Error;

use super::{BotConfig, codes};
use crate::{
    ChannelError, Retry,
    http::{CALL_LIMIT, Http, HttpError, Reply},
    token::Token,
};

/// How long a token lives whose life is not said.
const TOKEN_LIFE: Duration = Duration::from_secs(7_200);

/// The header with the bot's id.
const APP: &str = "X-Union-Appid";

#[derive(Debug, Error)]
pub(super) enum ApiError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("QQ said {code}: {words}{}", behind(*code))]
    Refused { status: u16, code: i64, words: String },
}

fn behind(code: i64) -> String {
    codes::find(code).map(|it| format!("; {}", it.1)).unwrap_or_default()
}

impl ApiError {
    pub(super) fn unfit(why: impl Into<String>) -> Self {
        HttpError::Unfit(why.into()).into()
    }

    /// Whether QQ refused with one of these codes.
    pub(super) fn is_one_of(&self, codes: &[i64]) -> bool {
        matches!(self, Self::Refused { code, .. } if codes.contains(code))
    }

    fn is_stale_token(&self) -> bool {
        match self {
            Self::Refused { status, code, .. } => {
                codes::STALE.contains(code) || (*status == 401 && codes::find(*code).is_none())
            }
            Self::Http(_) => false,
        }
    }

    /// The same for whoever asked.
    pub(super) fn doing(self, doing: impl Into<String>) -> ChannelError {
        let (retry, maybe_done) = match &self {
            Self::Http(err) => (err.retry(), err.maybe_done()),
            Self::Refused { status: 500.., .. } => (Retry::Backoff, true),
            Self::Refused { code, .. } if codes::STALE.contains(code) => (Retry::Backoff, false),
            Self::Refused { code, .. } => {
                (codes::find(*code).map_or(Retry::Never, |it| it.0), false)
            }
        };
        let source = Box::new(self);
        ChannelError { doing: doing.into(), retry, maybe_done, moved_to: None, source }
    }
}

/// One bot.
pub(super) struct Api {
    url: String,
    token_url: String,
    app_id: String,
    secret: Secret,
    pub(super) http: Http,
    token: Token,
}

impl Api {
    pub(super) fn new(config: BotConfig, http: Http) -> Self {
        Self {
            url: config.api_url.trim_end_matches('/').to_owned(),
            token_url: config.token_url,
            app_id: config.app_id,
            secret: config.secret,
            token: Token::new(http.clock.clone()),
            http,
        }
    }

    /// The address in the settings.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.http.clock
    }

    /// What the gateway and the OpenAPI want to see; a new one when there is none, when it ends soon, or when it is `stale`.
    pub(super) async fn token(&self, stale: Option<&Secret>) -> Result<Secret, ApiError> {
        let ask = async || {
            let body = json!({"appId": self.app_id, "clientSecret": self.secret.expose()});
            let request = self.http.post(&self.token_url).json(&body);
            let got = answer(self.http.json(request, CALL_LIMIT).await?)?;
            let Some(token) = got["access_token"].as_str() else {
                return Err(ApiError::unfit("QQ gave no access token"));
            };
            // A text or a number of seconds.
            let life = &got["expires_in"];
            let life = life.as_u64().or_else(|| life.as_str()?.parse().ok());
            let life = life.map_or(TOKEN_LIFE, Duration::from_secs);
            Ok((Secret::new(format!("QQBot {token}")), life))
        };
        self.token.get(stale, ask).await
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, ApiError> {
        self.call(CALL_LIMIT, || self.http.get(format!("{}{path}", self.url))).await
    }

    pub(super) async fn post(
        &self,
        path: &str,
        body: &Value,
        limit: Duration,
    ) -> Result<Value, ApiError> {
        let url = format!("{}{path}", self.url);
        self.call(limit, || self.http.request(Method::POST, &url).json(body)).await
    }

    /// Sends a form; `form` makes it anew for each try.
    pub(super) async fn post_form(
        &self,
        path: &str,
        form: impl Fn() -> Form,
        limit: Duration,
    ) -> Result<Value, ApiError> {
        let url = format!("{}{path}", self.url);
        self.call(limit, || self.http.request(Method::POST, &url).multipart(form())).await
    }

    /// Calls with a token; once more with a new one when that is what QQ minds.
    async fn call(
        &self,
        limit: Duration,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<Value, ApiError> {
        let mut used = self.token(None).await?;
        let mut renewed = false;
        loop {
            let request =
                request().header("Authorization", used.expose()).header(APP, &self.app_id);
            match answer(self.http.json(request, limit).await?) {
                Err(err) if err.is_stale_token() && !renewed => {
                    renewed = true;
                    used = self.token(Some(&used)).await?;
                }
                done => return done,
            }
        }
    }
}

/// What an answer means: a refusal has a code in any case, and mostly a status as well.
fn answer(reply: Reply) -> Result<Value, ApiError> {
    if let (429, Some(wait)) = (reply.status, reply.retry_after) {
        return Err(HttpError::Status { status: 429, retry_after: Some(wait) }.into());
    }
    let body = &reply.body;
    let code = body["err_code"].as_i64().or(body["code"].as_i64()).unwrap_or_default();
    let is_done = reply.status < 300 && (code == 0 || codes::REVIEWED.contains(&code));
    if is_done {
        return Ok(reply.body);
    }
    if code == 0 {
        return Err(HttpError::Status { status: reply.status, retry_after: None }.into());
    }
    let words = body["message"].as_str().unwrap_or("no reason").to_owned();
    Err(ApiError::Refused { status: reply.status, code, words })
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderMap;

    use super::*;

    #[test]
    fn what_a_refusal_means() {
        let reply =
            |status, body| Reply { status, body, retry_after: None, headers: HeaderMap::new() };
        let minute = Retry::After(Duration::from_secs(60));
        #[rustfmt::skip]
        let table = [
            (400, json!({"code": 40_034_102, "message": "m"}),                     Retry::Never,   false, false),
            (400, json!({"code": 11, "err_code": 40_034_128, "message": "m"}),     Retry::Never,   false, false),
            (400, json!({"code": 22_009, "message": "m"}),                         minute,         false, false),
            (200, json!({"code": 100_016, "message": "invalid appid or secret"}),  Retry::Never,   false, false),
            (401, json!({"code": 11_244, "message": "token expired"}),             Retry::Backoff, false, true),
            (401, json!({"code": 7, "message": "m"}),                              Retry::Never,   false, true),
            (500, json!({"code": 850_012, "message": "m"}),                        Retry::Backoff, true,  false),
            (502, json!({}),                                                       Retry::Backoff, true,  false),
            (404, json!({}),                                                       Retry::Never,   false, false),
        ];
        for (status, body, retry, maybe_done, stale) in table {
            let err = answer(reply(status, body.clone())).unwrap_err();
            assert_eq!(err.is_stale_token(), stale, "{body}");
            let err = err.doing("x");
            assert_eq!((err.retry, err.maybe_done), (retry, maybe_done), "{body}");
        }
        assert!(answer(reply(202, json!({"code": 304_023, "message": "audit"}))).is_ok());
        assert!(answer(reply(200, json!({"id": "m1"}))).is_ok());
    }
}
