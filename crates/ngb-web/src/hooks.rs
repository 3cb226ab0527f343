//! `/hooks/<channel>/<account>`: platforms call us. They authenticate by their signature, which the channel checks on
//! the raw bytes before it reads them; until then nothing of a request is believed or said back.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Extension, Router,
    extract::{Path, Request, State},
    response::{IntoResponse, Response},
    routing::any,
};
use http::{HeaderValue, Method, StatusCode, header};
use ngb_channels::Webhook;
use ngb_core::{address::Account, clock::Timestamp};
use ngb_gateway::handle::Unheard;
use tokio::sync::{Semaphore, oneshot};
use tracing::warn;

use crate::{App, caller::Caller, error::ApiError, input};

/// Largest body of a platform's request, in bytes; Meta's are the largest, at 3 MB.
const MAX_HOOK_BYTES: usize = 4 * 1024 * 1024;

/// Longest that a body may take to arrive.
const BODY_LIMIT: Duration = Duration::from_secs(10);

/// Longest that a channel may take for its answer; platforms wait between 3 and 60 s.
const REPLY_LIMIT: Duration = Duration::from_secs(30);

/// Requests to one account at a time: their bodies, read before anybody knows who sent them, stay below 128 MiB. More
/// wait, unread.
const MAX_AT_ONCE: usize = 32;

/// Longest that a request waits for its turn.
const TURN_LIMIT: Duration = Duration::from_secs(10);

/// The shortest time between two warnings about refused requests to one account: whoever sends them must not fill
/// the log.
const WARN_EVERY: Duration = Duration::from_secs(60);

pub(crate) const PATH: &str = "/hooks/{channel}/{account}";

/// Where the platform of `account` reaches us, under the public address of this gateway.
pub fn address(public_url: &str, account: &Account) -> String {
    let public_url = public_url.trim_end_matches('/');
    format!("{public_url}/hooks/{}/{}", account.channel(), account.name())
}

/// What is kept of each account that is called.
#[derive(Debug, Default)]
pub(crate) struct Hooks(Mutex<BTreeMap<Account, Arc<Called>>>);

#[derive(Debug)]
struct Called {
    turns: Semaphore,
    refused: Mutex<Refused>,
}

/// Requests that the channel refused since the last warning.
#[derive(Clone, Copy, Debug, Default)]
struct Refused {
    count: u64,
    warned_at: Option<Timestamp>,
}

impl Hooks {
    /// Only for accounts that there are, so that strangers' words can't fill it.
    fn of(&self, account: &Account) -> Arc<Called> {
        let mut all = self.0.lock().expect("nobody panics while holding it");
        let new = || Called { turns: Semaphore::new(MAX_AT_ONCE), refused: Mutex::default() };
        all.entry(account.clone()).or_insert_with(|| Arc::new(new())).clone()
    }
}

impl Called {
    /// Notes a refused request; how many there were since the last warning, when it is time for one.
    fn refuse(&self, now: Timestamp) -> Option<u64> {
        let mut refused = self.refused.lock().expect("nobody panics while holding it");
        refused.count += 1;
        if refused.warned_at.is_some_and(|it| now < it + WARN_EVERY) {
            return None;
        }
        let count = refused.count;
        *refused = Refused { count: 0, warned_at: Some(now) };
        Some(count)
    }
}

/// The server of `[web] hooks_bind`: nothing but callbacks.
pub(crate) fn router(app: &App) -> Router {
    Router::new().route(PATH, any(take)).with_state(app.clone())
}

/// Hands a request to its channel, and the channel's answer back.
async fn take(
    State(app): State<App>,
    Path((channel, name)): Path<(String, String)>,
    caller: Option<Extension<Caller>>,
    request: Request,
) -> Response {
    let caller = caller.map(|it| it.0.0);
    let mut response = match answer(&app, (&channel, &name), caller, request).await {
        Ok(it) => it,
        Err(err) => err.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn answer(
    app: &App,
    (channel, name): (&str, &str),
    caller: Option<IpAddr>,
    request: Request,
) -> Result<Response, ApiError> {
    let nobody = || ApiError::not_found("such callback");
    let channel = channel.parse().map_err(|_| nobody())?;
    let account = Account::new(channel, name).map_err(|_| nobody())?;
    if !app.gateway.takes_webhooks(&account) {
        return Err(nobody());
    }
    if ![Method::GET, Method::POST].contains(request.method()) {
        return Err(ApiError::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "wrong_method",
            "no such callback",
        ));
    }
    let clock = app.gateway.clock();
    let busy = |_| {
        let message = "too many requests at a time";
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "too_many", message)
    };
    let called = app.hooks.of(&account);
    let turn = clock.timeout(TURN_LIMIT, called.turns.acquire()).await.map_err(busy)?;
    let _turn = turn.expect("nobody closes it");

    let (head, body) = request.into_parts();
    let body = input::read(body, MAX_HOOK_BYTES, BODY_LIMIT, clock).await?;
    let mut headers = BTreeMap::new();
    for (name, value) in &head.headers {
        if let Ok(value) = value.to_str() {
            headers.insert(name.as_str().to_owned(), value.to_owned());
        }
    }
    let (reply, answer) = oneshot::channel();
    let hook = Webhook {
        method: head.method.to_string(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers,
        body,
        reply,
    };
    let asked = async {
        app.gateway.webhook(&account, hook).await.map_err(|err| match err {
            Unheard::NoSuchAccount => nobody(),
            Unheard::Stopping => ApiError::stopping(),
        })?;
        answer.await.map_err(|_| ApiError::stopping())
    };
    let late = |_| {
        let message = "the channel did not answer in time";
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "too_slow", message)
    };
    let reply = clock.timeout(REPLY_LIMIT, asked).await.map_err(late)??;

    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
        && let Some(count) = called.refuse(clock.now())
    {
        let from = caller.map_or_else(|| "nowhere".to_owned(), |it| it.to_string());
        warn!(%account, "{count} requests to `{account}` were not the platform's, the last from {from}");
    }
    let kind = if reply.body.starts_with('{') { "application/json" } else { "text/plain" };
    let kind = HeaderValue::from_static(kind);
    Ok((status, [(header::CONTENT_TYPE, kind)], reply.body).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_counted_and_told_once_a_minute() {
        let called = Called { turns: Semaphore::new(1), refused: Mutex::default() };
        let told = [0, 1, 59_999, 60_000, 60_001].map(|at| called.refuse(Timestamp(at)));
        assert_eq!(told, [Some(1), None, None, Some(3), None]);
    }

    #[test]
    fn the_address_to_paste() {
        let account: Account = "whatsapp@main".parse().unwrap();
        for url in ["https://bot.example.org", "https://bot.example.org/"] {
            assert_eq!(address(url, &account), "https://bot.example.org/hooks/whatsapp/main");
        }
    }
}
