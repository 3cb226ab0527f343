//! `/hooks/<channel>/<account>`: platforms call us. They authenticate by their signature, which the channel checks.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    Router,
    extract::{Path, Request, State},
    response::{IntoResponse, Response},
    routing::any,
};
use http::{HeaderValue, StatusCode, header};
use ngb_channels::Webhook;
use ngb_core::address::Account;
use tokio::sync::oneshot;

use crate::{App, error::ApiError, input};

/// Largest body of a platform's request.
const MAX_HOOK_BYTES: usize = 4 * 1024 * 1024;

/// Longest that a channel may take for its answer; platforms wait between 3 and 60 s.
const REPLY_LIMIT: Duration = Duration::from_secs(30);

pub(crate) const PATH: &str = "/hooks/{channel}/{account}";

/// The server of `[web] hooks_bind`: nothing but callbacks.
pub(crate) fn router(app: &App) -> Router {
    Router::new().route(PATH, any(take)).with_state(app.clone())
}

/// Hands a request to its channel, and the channel's answer back.
pub(crate) async fn take(
    State(app): State<App>,
    Path((channel, name)): Path<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    let nobody = || ApiError::not_found("such callback");
    let channel = channel.parse().map_err(|_| nobody())?;
    let account = Account::new(channel, &name).map_err(|_| nobody())?;

    let clock = app.gateway.clock();
    let (head, body) = request.into_parts();
    let body = input::read(body, MAX_HOOK_BYTES, clock).await?;
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
        app.gateway.webhook(&account, hook).await.ok_or_else(nobody)?;
        answer.await.map_err(|_| ApiError::stopping())
    };
    let late = |_| {
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too_slow",
            "the channel did not answer in time",
        )
    };
    let reply = clock.timeout(REPLY_LIMIT, asked).await.map_err(late)??;

    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = if reply.body.starts_with('{') { "application/json" } else { "text/plain" };
    let kind = HeaderValue::from_static(kind);
    Ok((status, [(header::CONTENT_TYPE, kind)], reply.body).into_response())
}
