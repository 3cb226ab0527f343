//! Connections, the token, and where faults strike.

use std::time::Duration;

use axum::{
    body::{Body, to_bytes},
    extract::{FromRequest as _, FromRequestParts as _, Multipart, Request, WebSocketUpgrade},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use hyper::body::Incoming;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

use super::{
    platform::Platform,
    rest::{self, Call},
    socket,
};
use crate::{
    fault::How,
    wire::{self, Cut, half, json_response},
};

/// Longest body that is read, in bytes.
const MAX_BODY_BYTES: usize = 32 << 20;

pub(super) async fn accept(listener: TcpListener, platform: Platform) {
    let clock = platform.config.clock.clone();
    wire::accept(listener, clock, "QQ bot", move |request| answer(platform.clone(), request)).await;
}

async fn answer(platform: Platform, request: hyper::Request<Incoming>) -> Result<Response, Cut> {
    let request = request.map(Body::new);
    let path = request.uri().path().to_owned();
    if path.trim_end_matches('/') == "/websocket" {
        let (mut parts, _) = request.into_parts();
        return Ok(match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
            Ok(upgrade) => upgrade.on_upgrade(move |it| socket::serve(platform, it)),
            Err(refused) => refused.into_response(),
        });
    }
    if let Some(id) = path.strip_prefix("/files/") {
        return Ok(match platform.file(id) {
            Some(bytes) => bytes.into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        });
    }
    if let Some(what) = path.strip_prefix("/sim/") {
        return Ok(control(&platform, what, request).await);
    }
    call(&platform, &path, request).await
}

async fn call(platform: &Platform, path: &str, request: Request) -> Result<Response, Cut> {
    let headers = request.headers().clone();
    let Some((body, picture)) = read(request).await else {
        return Ok(refused((400, 11_253, "parse params failed")));
    };
    let fault = platform.lock().faults.pick(rest::name(path));
    match &fault {
        Some(How::TooManyRequests { retry_after_s }) => {
            let mut response = refused((429, 22_009, "msg limit exceed"));
            response.headers_mut().insert(header::RETRY_AFTER, (*retry_after_s).into());
            return Ok(response);
        }
        Some(How::Status { code }) => {
            let status = StatusCode::from_u16(*code).unwrap_or(StatusCode::BAD_GATEWAY);
            return Ok((status, "<html>no</html>").into_response());
        }
        Some(How::CutBefore) => return Err(Cut),
        _ => (),
    }
    let done = match path {
        "/app/getAppAccessToken" => Ok(rest::token(platform, &body)),
        _ if !is_known(platform, &headers) => Err((401, 11_244, "token not exist or expire")),
        _ => rest::call(platform, &Call { path, body, picture }),
    };
    platform.touch();
    let response = match done {
        Ok(body) => json_response(StatusCode::OK, body.to_string()),
        Err(refusal) => refused(refusal),
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

fn is_known(platform: &Platform, headers: &HeaderMap) -> bool {
    let said = headers.get(header::AUTHORIZATION).and_then(|it| it.to_str().ok());
    platform.lock().tokens.last().is_some_and(|it| said == Some(&format!("QQBot {it}")))
}

fn refused((status, code, words): rest::Refusal) -> Response {
    let body = json!({"message": words, "code": code, "err_code": code, "trace_id": "sim"});
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    json_response(status, body.to_string())
}

/// The body, and the picture of a form.
async fn read(request: Request) -> Option<(Value, Option<Bytes>)> {
    let kind = request.headers().get(header::CONTENT_TYPE).cloned();
    let kind = kind.as_ref().and_then(|it| it.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("multipart/form-data") {
        let bytes = to_bytes(request.into_body(), MAX_BODY_BYTES).await.ok()?;
        let body =
            if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).ok()? };
        return Some((body, None));
    }
    let mut form = Multipart::from_request(request, &()).await.ok()?;
    let (mut body, mut picture) = (Map::new(), None);
    while let Some(field) = form.next_field().await.ok()? {
        let name = field.name().unwrap_or_default().to_owned();
        match name.as_str() {
            "file_image" => picture = Some(field.bytes().await.ok()?),
            _ => _ = body.insert(name, field.text().await.ok()?.into()),
        }
    }
    Some((body.into(), picture))
}

/// What a script or a referee asks of the platform's other side.
async fn control(platform: &Platform, what: &str, request: Request) -> Response {
    let body = to_bytes(request.into_body(), MAX_BODY_BYTES).await.unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let said = |name: &str| body[name].as_str().unwrap_or_default();
    let done = match what {
        "write" => json!({"id": platform.writes(said("user"), said("text"))}),
        "ask" => json!({"id": platform.asks(said("group"), said("user"), said("text"))}),
        "call" => json!({"id": platform.calls(said("channel"), said("user"), said("text"))}),
        "close" => {
            platform.close(body["code"].as_u64().and_then(|it| u16::try_from(it).ok()));
            json!({})
        }
        "sent" => json!(platform.sent()),
        "figures" => json!(platform.figures()),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    json_response(StatusCode::OK, done.to_string())
}
