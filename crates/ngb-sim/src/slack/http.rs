//! Connections, tokens, and where faults strike.

use std::collections::BTreeMap;

use axum::{
    body::Body,
    extract::{FromRequestParts as _, Query, Request, WebSocketUpgrade},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use hyper::body::Incoming;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

use super::{
    methods,
    platform::{Call, Platform},
    socket,
};
use crate::{
    fault::How,
    wire::{self, Cut},
};

/// Longest body that is read, in bytes.
const MAX_BODY_BYTES: usize = 64 << 20;

pub(super) async fn accept(listener: TcpListener, platform: Platform) {
    let clock = platform.config.clock.clone();
    wire::accept(listener, clock, "Slack", move |request| answer(platform.clone(), request)).await;
}

async fn answer(platform: Platform, request: hyper::Request<Incoming>) -> Result<Response, Cut> {
    let request = request.map(Body::new);
    let path = request.uri().path().to_owned();
    if path == "/socket" {
        return Ok(open(platform, request).await);
    }
    if let Some(method) = path.strip_prefix("/api/") {
        return call(&platform, method.to_owned(), request).await;
    }
    if let Some(id) = path.strip_prefix("/upload/") {
        return Ok(take_upload(&platform, id, request).await);
    }
    if let Some(file) = path.strip_prefix("/files/") {
        return Ok(give_file(&platform, file, request.headers()));
    }
    if let Some(what) = path.strip_prefix("/sim/") {
        return Ok(control(&platform, what, request).await);
    }
    Ok(StatusCode::NOT_FOUND.into_response())
}

/// A ticket is good for one socket.
async fn open(platform: Platform, request: Request) -> Response {
    let ticket =
        request.uri().query().and_then(|it| it.strip_prefix("ticket=")).unwrap_or_default();
    if !platform.lock().tickets.remove(ticket) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let (mut parts, _) = request.into_parts();
    match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => upgrade.on_upgrade(move |it| socket::serve(platform, it)),
        Err(refused) => refused.into_response(),
    }
}

async fn call(platform: &Platform, method: String, request: Request) -> Result<Response, Cut> {
    let token = bearer(request.headers());
    let params = match params(request).await {
        Ok(params) => params,
        Err(what) => return Ok(refusal(&what)),
    };
    let token = token.or(params["token"].as_str().map(str::to_owned)).unwrap_or_default();
    let fault = {
        let mut state = platform.lock();
        state.calls.push(Call { method: method.clone(), params: params.clone() });
        state.faults.pick(&method)
    };
    platform.touch();
    match &fault {
        Some(How::TooManyRequests { retry_after_s }) => {
            let mut response = refusal("ratelimited");
            *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(*retry_after_s));
            return Ok(response);
        }
        Some(How::Status { code }) => {
            let status = StatusCode::from_u16(*code).unwrap_or(StatusCode::BAD_GATEWAY);
            return Ok((status, "<html>no</html>").into_response());
        }
        Some(How::CutBefore) => return Err(Cut),
        _ => (),
    }
    let done = methods::call(platform, &method, &token, &params);
    platform.touch();
    let body = match done {
        Ok(mut body) => {
            body.insert("ok".into(), true.into());
            Value::Object(body).to_string()
        }
        Err(code) => return Ok(refusal(&code)),
    };
    match fault {
        Some(How::CutAfter) => Err(Cut),
        Some(How::HalfBody) => {
            let half = Bytes::copy_from_slice(&body.as_bytes()[..body.len() / 2]);
            let steps = futures_util::stream::iter([Ok(half), Err(Cut)]);
            let mut response = Response::new(Body::from_stream(steps));
            let length = HeaderValue::from(body.len());
            response.headers_mut().insert(header::CONTENT_LENGTH, length);
            Ok(response)
        }
        Some(How::Slow { ms }) => {
            platform.config.clock.sleep(std::time::Duration::from_millis(ms)).await;
            Ok(json_response(body))
        }
        _ => Ok(json_response(body)),
    }
}

/// Query, form or JSON, as the Web API takes them.
async fn params(request: Request) -> Result<Value, String> {
    let query: Query<BTreeMap<String, String>> =
        Query::try_from_uri(request.uri()).map_err(|_| "invalid_arguments")?;
    let mut all: Map<String, Value> = query.0.into_iter().map(|(k, v)| (k, v.into())).collect();
    let kind = request.headers().get(header::CONTENT_TYPE).cloned();
    let kind = kind.as_ref().and_then(|it| it.to_str().ok()).unwrap_or_default();
    let bytes = axum::body::to_bytes(request.into_body(), MAX_BODY_BYTES).await;
    let bytes = bytes.map_err(|_| "invalid_post_type")?;
    if bytes.is_empty() {
        // Some clients name a kind for what they don't send.
    } else if kind.starts_with("application/json") {
        let body: Map<String, Value> =
            serde_json::from_slice(&bytes).map_err(|_| "invalid_json")?;
        all.extend(body);
    } else if kind.starts_with("application/x-www-form-urlencoded") {
        // A form is a query in the body.
        let uri = format!("/?{}", String::from_utf8_lossy(&bytes)).parse();
        let form: Query<BTreeMap<String, String>> =
            Query::try_from_uri(&uri.map_err(|_| "invalid_form_data")?)
                .map_err(|_| "invalid_form_data")?;
        all.extend(form.0.into_iter().map(|(key, value)| {
            // Lists and objects come as JSON.
            let nested = value.starts_with(['[', '{']).then(|| serde_json::from_str(&value).ok());
            (key, nested.flatten().unwrap_or(Value::String(value)))
        }));
    }
    Ok(Value::Object(all))
}

async fn take_upload(platform: &Platform, id: &str, request: Request) -> Response {
    let bytes = axum::body::to_bytes(request.into_body(), MAX_BODY_BYTES).await.unwrap_or_default();
    let mut state = platform.lock();
    let Some((name, length)) = state.uploads.remove(id) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if bytes.len() != length {
        return StatusCode::BAD_REQUEST.into_response();
    }
    let kind = if name.ends_with(".png") { "image/png" } else { "application/octet-stream" };
    state.files.insert(id.to_owned(), (name, kind.into(), bytes));
    format!("OK - {length}").into_response()
}

/// A file wants the bot's token; who has none is shown the login page, with 200.
fn give_file(platform: &Platform, file: &str, headers: &HeaderMap) -> Response {
    let mut state = platform.lock();
    let is_ours = bearer(headers).as_deref() == Some(platform.config.bot_token.as_str());
    if !is_ours || state.login_page {
        let page = "<!DOCTYPE html><html>Sign in to Slack</html>";
        return ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response();
    }
    if let Some(How::Status { code }) = state.faults.pick("file") {
        return StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_GATEWAY).into_response();
    }
    let id = file.split('/').next().unwrap_or_default();
    match state.files.get(id) {
        Some((_, kind, bytes)) => {
            ([(header::CONTENT_TYPE, kind.clone())], bytes.clone()).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The platform's side over HTTP, for who sits in another process: `POST /sim/say {channel, user, text}`,
/// `POST /sim/event {..}`, `POST /sim/envelope {type, payload}`, `POST /sim/disconnect {reason}`,
/// `GET /sim/posted`, `GET /sim/figures`.
async fn control(platform: &Platform, what: &str, request: Request) -> Response {
    let bytes = axum::body::to_bytes(request.into_body(), MAX_BODY_BYTES).await.unwrap_or_default();
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let said = |key: &str| body[key].as_str().unwrap_or_default();
    let done = match what {
        "say" => json!({"ts": platform.say(said("channel"), said("user"), said("text"))}),
        "event" => json!({"envelope_id": platform.event(body)}),
        "envelope" => {
            json!({"envelope_id": platform.envelope(said("type"), body["payload"].clone())})
        }
        "disconnect" => {
            platform.disconnect(said("reason"));
            json!({})
        }
        "posted" => json!(platform.posted()),
        "figures" => json!(platform.figures()),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    json_response(done.to_string())
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    value.strip_prefix("Bearer ").map(str::to_owned)
}

fn refusal(code: &str) -> Response {
    json_response(json!({"ok": false, "error": code}).to_string())
}

fn json_response(body: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json; charset=utf-8")], body).into_response()
}
