//! Connections, the token, budgets, and where faults strike.

use std::time::Duration;

use axum::{
    body::{Body, to_bytes},
    extract::{FromRequest as _, FromRequestParts as _, Multipart, Request, WebSocketUpgrade},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{
    platform::Platform,
    rest::{self, Call},
    rules::{Refusal, refuse},
    socket,
};
use crate::{
    fault::How,
    wire::{self, Cut, half, json_response},
};

/// Longest body that is read, in bytes.
const MAX_BODY_BYTES: usize = 64 << 20;

/// What the page says of budgets that no script changed.
const BUDGET: u32 = 5;

pub(super) async fn accept(listener: TcpListener, platform: Platform) {
    let clock = platform.config.clock.clone();
    wire::accept(listener, clock, "Discord", move |request| answer(platform.clone(), request))
        .await;
}

async fn answer(platform: Platform, request: hyper::Request<Incoming>) -> Result<Response, Cut> {
    let request = request.map(Body::new);
    let path = request.uri().path().to_owned();
    if matches!(path.as_str(), "/gateway" | "/gateway/" | "/resume" | "/resume/") {
        let (mut parts, _) = request.into_parts();
        return Ok(match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
            Ok(upgrade) => upgrade.on_upgrade(move |it| socket::serve(platform, it)),
            Err(refused) => refused.into_response(),
        });
    }
    if let Some(file) = path.strip_prefix("/attachments/") {
        return Ok(give_file(&platform, file, request.uri().query().unwrap_or_default()));
    }
    if let Some(what) = path.strip_prefix("/sim/") {
        return Ok(control(&platform, what, request).await);
    }
    match path.strip_prefix("/api/v10") {
        Some(path) => call(&platform, path.to_owned(), request).await,
        None => Ok(StatusCode::NOT_FOUND.into_response()),
    }
}

async fn call(platform: &Platform, path: String, request: Request) -> Result<Response, Cut> {
    let method = request.method().clone();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let headers = request.headers().clone();
    let (body, files) = match read(request).await {
        Ok(read) => read,
        Err(refusal) => return Ok(refused(&refusal)),
    };
    let Some(call) = Call::of(&method, &path) else {
        return Ok(refused(&refuse(404, 0, "404: Not Found")));
    };
    let fault = {
        let mut state = platform.lock();
        state.calls.push((call.name.to_owned(), body.clone()));
        state.faults.pick(call.name)
    };
    platform.touch();
    match &fault {
        Some(How::TooManyRequests { retry_after_s }) => {
            return Ok(too_many(f64::from(*retry_after_s)));
        }
        Some(How::Status { code }) => {
            let status = StatusCode::from_u16(*code).unwrap_or(StatusCode::BAD_GATEWAY);
            return Ok((status, "<html>no</html>").into_response());
        }
        Some(How::CutBefore) => return Err(Cut),
        _ => (),
    }
    if let Err(refusal) = check_who(platform, &method, &call, &headers) {
        return Ok(refused(&refusal));
    }
    let budget = match take_budget(platform, &call) {
        Ok(budget) => budget,
        Err(response) => return Ok(*response),
    };
    let done = rest::call(platform, &call, &query, &body, files);
    platform.touch();
    let mut response = match done {
        Ok(Value::Null) => StatusCode::NO_CONTENT.into_response(),
        Ok(body) => json_response(StatusCode::OK, body.to_string()),
        Err(refusal) => refused(&refusal),
    };
    response.headers_mut().extend(budget);
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

/// The body, and the files of a form.
async fn read(request: Request) -> Result<(Value, Vec<(String, Bytes)>), Refusal> {
    let kind = request.headers().get(header::CONTENT_TYPE).cloned();
    let kind = kind.as_ref().and_then(|it| it.to_str().ok()).unwrap_or_default();
    let bad = || refuse(400, 50_109, "The request body contains invalid JSON.");
    if !kind.starts_with("multipart/form-data") {
        let bytes = to_bytes(request.into_body(), MAX_BODY_BYTES).await.map_err(|_| bad())?;
        if bytes.is_empty() {
            return Ok((Value::Null, Vec::new()));
        }
        return Ok((serde_json::from_slice(&bytes).map_err(|_| bad())?, Vec::new()));
    }
    let mut form = Multipart::from_request(request, &()).await.map_err(|_| bad())?;
    let (mut body, mut files) = (Value::Null, Vec::new());
    while let Some(field) = form.next_field().await.map_err(|_| bad())? {
        let name = field.file_name().map(str::to_owned);
        let is_body = field.name() == Some("payload_json");
        let bytes = field.bytes().await.map_err(|_| bad())?;
        match name {
            _ if is_body => body = serde_json::from_slice(&bytes).map_err(|_| bad())?,
            Some(name) => files.push((name, bytes)),
            None => return Err(bad()),
        }
    }
    Ok((body, files))
}

fn check_who(
    platform: &Platform,
    method: &Method,
    call: &Call,
    headers: &HeaderMap,
) -> Result<(), Refusal> {
    let said = |name: header::HeaderName| {
        headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default()
    };
    if !said(header::USER_AGENT).starts_with("DiscordBot (") {
        return Err(refuse(403, 40_333, "internal network error"));
    }
    let is_open = call.name == "callback" && method == Method::POST;
    if !is_open && said(header::AUTHORIZATION) != format!("Bot {}", platform.config.token) {
        return Err(refuse(401, 0, "401: Unauthorized"));
    }
    match platform.lock().refused.get(call.name) {
        Some((code, message)) => {
            Err(refuse(if *code < 50_000 { 404 } else { 403 }, *code, message))
        }
        None => Ok(()),
    }
}

/// The budget of new messages in a channel, as its headers say.
fn take_budget(platform: &Platform, call: &Call) -> Result<HeaderMap, Box<Response>> {
    let mut headers = HeaderMap::new();
    if call.name != "createMessage" {
        return Ok(headers);
    }
    let mut state = platform.lock();
    let (left, seconds) = match state.budgets.get_mut(&call.ids[0]) {
        Some((0, seconds)) => return Err(Box::new(too_many(*seconds))),
        Some((left, seconds)) => {
            *left -= 1;
            (*left, *seconds)
        }
        None => (BUDGET, 1.0),
    };
    let mut put = |name, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(header::HeaderName::from_static(name), value);
        }
    };
    put("x-ratelimit-bucket", "messages".to_owned());
    put("x-ratelimit-limit", BUDGET.to_string());
    put("x-ratelimit-remaining", left.to_string());
    put("x-ratelimit-reset-after", format!("{seconds:.3}"));
    let now_s = platform.config.clock.now().0 as f64 / 1000.0;
    put("x-ratelimit-reset", format!("{:.3}", now_s + seconds));
    Ok(headers)
}

fn too_many(seconds: f64) -> Response {
    let body =
        json!({"message": "You are being rate limited.", "retry_after": seconds, "global": false});
    let mut response = json_response(StatusCode::TOO_MANY_REQUESTS, body.to_string());
    if let Ok(value) = HeaderValue::from_str(&format!("{}", seconds.ceil())) {
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    // Who is not told that it came from Discord itself takes it for a wall before it.
    response.headers_mut().insert(header::VIA, HeaderValue::from_static("1.1 google"));
    response
}

fn refused(refusal: &Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
    json_response(status, refusal.body.to_string())
}

/// Whoever has the link gets the file, for a day.
fn give_file(platform: &Platform, file: &str, query: &str) -> Response {
    let state = platform.lock();
    let id = file.split('/').nth(1).unwrap_or_default();
    let is_signed = query.split('&').any(|it| it == format!("hm={}", state.generation));
    match state.files.get(id).filter(|_| is_signed) {
        Some((_, kind, bytes)) => {
            ([(header::CONTENT_TYPE, kind.clone())], bytes.clone()).into_response()
        }
        None => (StatusCode::NOT_FOUND, "This content is no longer available.").into_response(),
    }
}

/// The platform's side over HTTP, for who sits in another process: `POST /sim/say {channel, user, text}`,
/// `POST /sim/event {type, event}`, `POST /sim/interact {channel, user, kind, event}`, `POST /sim/close {code}`,
/// `POST /sim/frame {..}`, `GET /sim/posted`, `GET /sim/answered`, `GET /sim/commands`, `GET /sim/figures`.
async fn control(platform: &Platform, what: &str, request: Request) -> Response {
    let bytes = to_bytes(request.into_body(), MAX_BODY_BYTES).await.unwrap_or_default();
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let said = |key: &str| body[key].as_str().unwrap_or_default();
    let done = match what {
        "say" => json!({"id": platform.say(said("channel"), said("user"), said("text"))}),
        "event" => {
            platform.event(said("type"), body["event"].clone());
            json!({})
        }
        "interact" => {
            let kind = body["kind"].as_u64().unwrap_or(2);
            json!({"id": platform.interact(said("channel"), said("user"), kind, body["event"].clone())})
        }
        "close" => {
            platform.close(body["code"].as_u64().and_then(|it| u16::try_from(it).ok()));
            json!({})
        }
        "frame" => {
            platform.frame(body.to_string());
            json!({})
        }
        "posted" => json!(platform.posted()),
        "answered" => json!(platform.answered()),
        "commands" => json!(platform.commands()),
        "figures" => json!(platform.figures()),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    json_response(StatusCode::OK, done.to_string())
}
