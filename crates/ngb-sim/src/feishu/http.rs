//! Connections, tokens, and where faults strike.

use std::time::Duration;

use axum::{
    body::{Body, to_bytes},
    extract::{FromRequest as _, FromRequestParts as _, Multipart, Request, WebSocketUpgrade},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use hyper::body::Incoming;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

use super::{
    api::{self, Asked},
    platform::Platform,
    socket,
};
use crate::{
    fault::How,
    wire::{self, Cut, half, json_response},
};

/// Longest body that is read, in bytes.
const MAX_BODY_BYTES: usize = 64 << 20;

pub(super) async fn accept(listener: TcpListener, platform: Platform) {
    let clock = platform.config.clock.clone();
    wire::accept(listener, clock, "Feishu", move |request| answer(platform.clone(), request)).await;
}

async fn answer(platform: Platform, request: hyper::Request<Incoming>) -> Result<Response, Cut> {
    let request = request.map(Body::new);
    let path = request.uri().path().to_owned();
    if path == "/socket" {
        return Ok(open(platform, request).await);
    }
    if let Some(what) = path.strip_prefix("/sim/") {
        return Ok(control(&platform, what, request).await);
    }
    call(&platform, &path, request).await
}

/// An address is good for one connection.
async fn open(platform: Platform, request: Request) -> Response {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let ticket = query.split('&').find_map(|it| it.strip_prefix("device_id=")).unwrap_or_default();
    if !platform.lock().tickets.remove(ticket) {
        let mut refused = StatusCode::FORBIDDEN.into_response();
        let head = refused.headers_mut();
        head.insert("handshake-status", HeaderValue::from_static("403"));
        head.insert("handshake-msg", HeaderValue::from_static("the ticket is used"));
        return refused;
    }
    let (mut parts, _) = request.into_parts();
    match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => upgrade.on_upgrade(move |it| socket::serve(platform, it)),
        Err(refused) => refused.into_response(),
    }
}

async fn call(platform: &Platform, path: &str, request: Request) -> Result<Response, Cut> {
    let method = request.method().clone();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let token = bearer(request.headers());
    let (body, file) = read(request).await;
    let Some(asked) = Asked::of(&method, path) else {
        return Ok((StatusCode::NOT_FOUND, "404 page not found").into_response());
    };
    let fault = {
        let mut state = platform.lock();
        state.calls.push((asked.name.to_owned(), body.clone()));
        state.faults.pick(asked.name)
    };
    platform.touch();
    match &fault {
        Some(How::TooManyRequests { retry_after_s }) => {
            let refusal = refusal(99_991_400, "request trigger frequency limit");
            let mut response = json_response(StatusCode::TOO_MANY_REQUESTS, refusal);
            let value = HeaderValue::from(*retry_after_s);
            response.headers_mut().insert("x-ogw-ratelimit-reset", value);
            return Ok(response);
        }
        Some(How::Status { code }) => {
            let status = StatusCode::from_u16(*code).unwrap_or(StatusCode::BAD_GATEWAY);
            return Ok((status, "<html>no</html>").into_response());
        }
        Some(How::CutBefore) => return Err(Cut),
        _ => (),
    }
    let done = api::call(platform, &asked, &query, &token, &body, file);
    platform.touch();
    let response = match done {
        Ok(api::Done::Json(mut body)) => {
            body["code"] = 0.into();
            body["msg"] = "success".into();
            json_response(StatusCode::OK, body.to_string())
        }
        Ok(api::Done::File(bytes)) => {
            ([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response()
        }
        // What is wrong with a call comes with 400, what is wrong with who calls with 200.
        Err(code) => {
            let status = if code < 1000 { StatusCode::OK } else { StatusCode::BAD_REQUEST };
            json_response(status, refusal(code, "refused by the simulator"))
        }
    };
    match fault {
        Some(How::CutAfter) => Err(Cut),
        Some(How::HalfBody) => Ok(half(response).await),
        Some(How::Slow { ms }) => {
            platform.config.clock.sleep(Duration::from_millis(ms)).await;
            Ok(response)
        }
        _ => Ok(response),
    }
}

/// The body, or the fields of a form and its file.
async fn read(request: Request) -> (Value, Option<(String, Bytes)>) {
    let kind = request.headers().get(header::CONTENT_TYPE).cloned();
    let kind = kind.as_ref().and_then(|it| it.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("multipart/form-data") {
        let bytes = to_bytes(request.into_body(), MAX_BODY_BYTES).await.unwrap_or_default();
        return (serde_json::from_slice(&bytes).unwrap_or_default(), None);
    }
    let Ok(mut form) = Multipart::from_request(request, &()).await else {
        return (Value::Null, None);
    };
    let (mut fields, mut file) = (Map::new(), None);
    while let Ok(Some(field)) = form.next_field().await {
        let key = field.name().unwrap_or_default().to_owned();
        let name = field.file_name().map(str::to_owned);
        let bytes = field.bytes().await.unwrap_or_default();
        match name {
            Some(name) => file = Some((name, bytes)),
            // Feishu's own kit names no file.
            None if matches!(key.as_str(), "file" | "image") => file = Some((key, bytes)),
            None => {
                fields.insert(key, String::from_utf8_lossy(&bytes).into_owned().into());
            }
        }
    }
    (Value::Object(fields), file)
}

/// The platform's side over HTTP, for who sits in another process: `POST /sim/say {chat, user, text}`,
/// `POST /sim/event {type, event}`, `POST /sim/split {parts}`, `POST /sim/close {}`, `POST /sim/repeat {}`,
/// `GET /sim/posted`, `GET /sim/answers`, `GET /sim/figures`.
async fn control(platform: &Platform, what: &str, request: Request) -> Response {
    let bytes = to_bytes(request.into_body(), MAX_BODY_BYTES).await.unwrap_or_default();
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let said = |key: &str| body[key].as_str().unwrap_or_default();
    let done = match what {
        "say" => json!({"message_id": platform.say(said("chat"), said("user"), said("text"))}),
        "event" => json!({"id": platform.event(said("type"), body["event"].clone())}),
        "split" => {
            platform
                .split(body["parts"].as_u64().and_then(|it| usize::try_from(it).ok()).unwrap_or(1));
            json!({})
        }
        "close" => {
            platform.close(None);
            json!({})
        }
        "repeat" => {
            platform.repeat();
            json!({})
        }
        "posted" => json!(platform.posted()),
        "answers" => json!(platform.answers()),
        "figures" => json!(platform.figures()),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    json_response(StatusCode::OK, done.to_string())
}

fn bearer(headers: &HeaderMap) -> String {
    let value = headers.get(header::AUTHORIZATION).and_then(|it| it.to_str().ok());
    value.and_then(|it| it.strip_prefix("Bearer ")).unwrap_or_default().to_owned()
}

fn refusal(code: i64, words: &str) -> String {
    json!({"code": code, "msg": words, "error": {"log_id": "sim"}}).to_string()
}
