//! Calls: the token that all of them need, and what DingTalk's refusals mean.

use std::time::Duration;

use ngb_core::secret::Secret;
use reqwest::{Method, RequestBuilder, header::ACCEPT};
use serde_json::{Value, json};
use thiserror::Error;

use super::{DingtalkConfig, file::Upload};
use crate::{
    ChannelError, Retry,
    http::{CALL_LIMIT, Http, HttpError, Reply},
    token::Token,
};

/// Where robots' messages come on the socket.
pub(super) const MESSAGES: &str = "/v1.0/im/bot/messages/get";

/// Presses of buttons on cards (<https://open.dingtalk.com/document/orgapp/event-callback-card>).
pub(super) const PRESSES: &str = "/v1.0/card/instances/callback";

/// The header with the token.
const TOKEN: &str = "x-acs-dingtalk-access-token";

/// Codes of the OpenAPI, by what they begin with or hold: what next, and what it means; empty where DingTalk's own words
/// suffice. <https://open.dingtalk.com/document/orgapp/error-code-1>
#[rustfmt::skip]
const CODES: &[(&str, Retry, &str)] = &[
    ("QpsLimit",                    Retry::Backoff, "too many calls"),
    ("Throttling",                  Retry::Backoff, "too many calls"),
    ("InvalidAuthentication",       Retry::Backoff, "the access token is not good any more"),
    ("AccessTokenPermissionDenied", Retry::Never,   "the app lacks a permission: add it on the app's page under permissions (权限管理) and publish a version"),
    ("authFailed",                  Retry::Never,   "Client ID or Client Secret is not that of the app"),
    ("invalidClientIdOrSecret",     Retry::Never,   "Client ID or Client Secret is not that of the app"),
    ("staffId.notExisted",          Retry::Never,   "there is no such person in the company; somebody from outside can be answered only for a while after they wrote"),
    ("resource.not.found",          Retry::Never,   "there is no such chat, or the robot is not in it"),
    ("robot.notExist",              Retry::Never,   "there is no robot with this `robot_code`; add one on the app's page (添加应用能力 > 机器人) and publish a version"),
    ("ServiceUnavailable",          Retry::Backoff, ""),
    ("unknownError",                Retry::Backoff, ""),
    ("systemError",                 Retry::Backoff, ""),
];

/// Numbers of the API before it, and of session webhooks. <https://open.dingtalk.com/document/orgapp/server-api-error-codes-1>
#[rustfmt::skip]
const NUMBERS: &[(i64, Retry, &str)] = &[
    (-1,      Retry::Backoff,                         "DingTalk is busy"),
    (40_014,  Retry::Backoff,                         "the access token is not good"),
    (42_001,  Retry::Backoff,                         "the access token has expired"),
    (90_018,  Retry::After(Duration::from_secs(1)),   "too many calls"),
    (130_101, Retry::After(Duration::from_secs(600)), "too many messages; DingTalk takes none for 10 minutes"),
    (410_100, Retry::After(Duration::from_secs(60)),  "too many messages"),
    (400_102, Retry::Never,                           "the robot is turned off"),
];

/// Numbers that say that the token is no longer good.
const STALE_NUMBERS: &[i64] = &[40_014, 42_001];

/// Why a call did not do what was asked. No variant holds an address: some hold a token.
#[derive(Debug, Error)]
pub(super) enum ApiError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("DingTalk said `{code}`: {words}{}", behind(Code::of(code).1))]
    Refused { status: u16, code: String, words: String },
    #[error("DingTalk said {code}: {words}{}", behind(number(*code).1))]
    RefusedByNumber { code: i64, words: String },
    #[error("the answer is not what DingTalk's API says: no `{0}`")]
    Unreadable(&'static str),
}

struct Code;

impl Code {
    fn of(code: &str) -> (Retry, &'static str) {
        let known = CODES.iter().find(|it| code.contains(it.0));
        known.map_or((Retry::Never, ""), |it| (it.1, it.2))
    }
}

fn number(code: i64) -> (Retry, &'static str) {
    let known = NUMBERS.iter().find(|it| it.0 == code);
    known.map_or((Retry::Never, ""), |it| (it.1, it.2))
}

fn behind(hint: &str) -> String {
    if hint.is_empty() { String::new() } else { format!("; {hint}") }
}

impl ApiError {
    pub(super) fn unfit(why: impl Into<String>) -> Self {
        HttpError::Unfit(why.into()).into()
    }

    /// What next.
    pub(super) fn retry(&self) -> Retry {
        match self {
            Self::Http(err) => err.retry(),
            Self::Refused { status: 429 | 500.., .. } | Self::Unreadable(_) => Retry::Backoff,
            Self::Refused { code, .. } => Code::of(code).0,
            Self::RefusedByNumber { code, .. } => number(*code).0,
        }
    }

    /// The same for whoever asked.
    pub(super) fn doing(self, doing: impl Into<String>) -> ChannelError {
        let maybe_done = match &self {
            Self::Http(err) => err.maybe_done(),
            Self::Refused { status, .. } => 500 <= *status,
            Self::Unreadable(_) => true,
            Self::RefusedByNumber { .. } => false,
        };
        ChannelError {
            doing: doing.into(),
            retry: self.retry(),
            maybe_done,
            moved_to: None,
            source: Box::new(self),
        }
    }

    /// Whether DingTalk said that it did nothing, and not that it is a matter of waiting.
    pub(super) fn is_final_refusal(&self) -> bool {
        let refused = matches!(self, Self::Refused { .. } | Self::RefusedByNumber { .. });
        refused && self.retry() == Retry::Never
    }

    fn is_stale_token(&self) -> bool {
        match self {
            Self::Refused { status, code, .. } => {
                *status == 401 || code.contains("InvalidAuthentication")
            }
            Self::RefusedByNumber { code, .. } => STALE_NUMBERS.contains(code),
            Self::Http(_) | Self::Unreadable(_) => false,
        }
    }
}

/// One app.
pub(super) struct Api {
    url: String,
    upload_url: String,
    client_id: String,
    client_secret: Secret,
    pub(super) http: Http,
    token: Token,
}

/// Where a socket is, and the ticket that opens it, once.
pub(super) struct Connection {
    pub(super) endpoint: String,
    pub(super) ticket: String,
}

impl Api {
    pub(super) fn new(config: DingtalkConfig, http: Http) -> Self {
        let bare = |it: &str| it.trim_end_matches('/').to_owned();
        Self {
            url: bare(&config.api_url),
            upload_url: bare(&config.upload_url),
            client_id: config.client_id,
            client_secret: config.client_secret,
            token: Token::new(http.clock.clone()),
            http,
        }
    }

    /// The address in the settings.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// A ticket for a socket.
    pub(super) async fn open_connection(&self) -> Result<Connection, ApiError> {
        let body = json!({
            "clientId": self.client_id,
            "clientSecret": self.client_secret.expose(),
            "subscriptions": [
                {"type": "CALLBACK", "topic": MESSAGES},
                {"type": "CALLBACK", "topic": PRESSES},
            ],
            "ua": concat!("nanogridbot/", env!("CARGO_PKG_VERSION")),
        });
        let request = self.http.post(format!("{}/v1.0/gateway/connections/open", self.url));
        // Without it DingTalk answers in XML.
        let request = request.header(ACCEPT, "application/json").json(&body);
        let got = answer(self.http.json(request, CALL_LIMIT).await?)?;
        let text = |name: &'static str| {
            got[name].as_str().map(str::to_owned).ok_or(ApiError::Unreadable(name))
        };
        Ok(Connection { endpoint: text("endpoint")?, ticket: text("ticket")? })
    }

    /// Calls the OpenAPI with a token; once more with a new one when that is what DingTalk minds.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<Value, ApiError> {
        let mut used = self.token(None).await?;
        let mut renewed = false;
        loop {
            let request = self.http.request(method.clone(), format!("{}{path}", self.url));
            let request = request.header(TOKEN, used.expose()).json(body);
            match answer(self.http.json(request, CALL_LIMIT).await?) {
                Err(err) if err.is_stale_token() && !renewed => {
                    renewed = true;
                    used = self.token(Some(&used)).await?;
                }
                done => return done,
            }
        }
    }

    /// Sends a file up; its id.
    pub(super) async fn upload(&self, kind: &str, file: &Upload<'_>) -> Result<String, ApiError> {
        let mut used = self.token(None).await?;
        let mut renewed = false;
        loop {
            let request = self.http.post(format!("{}/media/upload", self.upload_url));
            let request = request.query(&[("access_token", used.expose()), ("type", kind)]);
            let request = request.multipart(file.form().await?);
            let reply = self.http.json(request, crate::http::UPLOAD_LIMIT).await?;
            match answer(reply) {
                Err(err) if err.is_stale_token() && !renewed => {
                    renewed = true;
                    used = self.token(Some(&used)).await?;
                }
                done => {
                    let got = done?;
                    let id = got["media_id"].as_str().ok_or(ApiError::Unreadable("media_id"))?;
                    return Ok(id.to_owned());
                }
            }
        }
    }

    /// Posts to an address that came with a message; it wants no token.
    pub(super) async fn post_session(&self, url: &str, body: &Value) -> Result<Value, ApiError> {
        let request = self.session(url)?.json(body);
        answer(self.http.json(request, CALL_LIMIT).await?)
    }

    /// Only DingTalk's own hosts: what is said there is said for the robot.
    fn session(&self, url: &str) -> Result<RequestBuilder, ApiError> {
        let host_of =
            |it: &str| reqwest::Url::parse(it).ok().and_then(|it| it.host_str().map(str::to_owned));
        let host = host_of(url).unwrap_or_default();
        let suffixes = [".dingtalk.com", ".dingtalk.io"];
        if Some(&host) == host_of(&self.url).as_ref()
            || suffixes.iter().any(|it| host.ends_with(it))
        {
            return Ok(self.http.post_handed(url, &self.url)?);
        }
        Err(ApiError::unfit("the address to answer at is not DingTalk's"))
    }

    /// The token; a new one when there is none, when it ends soon, or when it is `stale`.
    pub(super) async fn token(&self, stale: Option<&Secret>) -> Result<Secret, ApiError> {
        let ask = async || {
            let body = json!({"appKey": self.client_id, "appSecret": self.client_secret.expose()});
            let request =
                self.http.post(format!("{}/v1.0/oauth2/accessToken", self.url)).json(&body);
            let got = answer(self.http.json(request, CALL_LIMIT).await?)?;
            let value = got["accessToken"].as_str().ok_or(ApiError::Unreadable("accessToken"))?;
            let life = Duration::from_secs(got["expireIn"].as_u64().unwrap_or(7200));
            Ok((Secret::new(value), life))
        };
        self.token.get(stale, ask).await
    }
}

/// What an answer means: the OpenAPI refuses by status, the API before it by a number in an answer that is 200.
fn answer(reply: Reply) -> Result<Value, ApiError> {
    let words = |name: &str| reply.body[name].as_str().unwrap_or("no reason").to_owned();
    if let Some(code) = reply.body["errcode"].as_i64().filter(|it| *it != 0) {
        return Err(ApiError::RefusedByNumber { code, words: words("errmsg") });
    }
    if reply.status < 400 {
        return Ok(reply.body);
    }
    if let (429, Some(wait)) = (reply.status, reply.retry_after) {
        return Err(HttpError::Status { status: 429, retry_after: Some(wait) }.into());
    }
    let code = reply.body["code"].as_str().unwrap_or("no code").to_owned();
    Err(ApiError::Refused { status: reply.status, code, words: words("message") })
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderMap;

    use super::*;

    #[test]
    fn what_a_refusal_means() {
        let reply =
            |status, body| Reply { status, body, retry_after: None, headers: HeaderMap::new() };
        #[rustfmt::skip]
        let table = [
            (403, json!({"code": "Forbidden.AccessDenied.QpsLimitForApi", "message": "m"}),              Retry::Backoff, false, false),
            (403, json!({"code": "Forbidden.AccessDenied.AccessTokenPermissionDenied", "message": "m"}), Retry::Never,   false, false),
            (401, json!({"code": "InvalidAuthentication", "message": "m"}),                              Retry::Backoff, false, true),
            (400, json!({"code": "staffId.notExisted", "message": "m"}),                                 Retry::Never,   false, false),
            (500, json!({"code": "unknownError", "message": "m"}),                                       Retry::Backoff, true,  false),
            (503, json!({}),                                                                             Retry::Backoff, true,  false),
            (200, json!({"errcode": 42001, "errmsg": "m"}),                                              Retry::Backoff, false, true),
            (200, json!({"errcode": 130101, "errmsg": "m"}), Retry::After(Duration::from_secs(600)), false, false),
            (200, json!({"errcode": 7, "errmsg": "m"}),                                                  Retry::Never,   false, false),
        ];
        for (status, body, retry, maybe_done, stale) in table {
            let err = answer(reply(status, body.clone())).unwrap_err();
            assert_eq!(err.is_stale_token(), stale, "{body}");
            let err = err.doing("x");
            assert_eq!((err.retry, err.maybe_done), (retry, maybe_done), "{body}");
        }
        assert!(answer(reply(200, json!({"errcode": 0}))).is_ok());
    }
}
