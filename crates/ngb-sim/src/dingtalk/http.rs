//! Connections, sockets, and where faults strike.

use axum::{
    body::{Body, to_bytes},
    extract::{
        FromRequest as _, FromRequestParts as _, Multipart, Request, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{
    methods,
    platform::{Order, Platform},
};
use crate::{
    fault::How,
    wire::{self, Cut, half, json_response},
};

/// Largest body of a call, in bytes.
const MAX_BODY_BYTES: usize = 32 << 20;

pub(super) async fn accept(listener: TcpListener, platform: Platform) {
    let clock = platform.config.clock.clone();
    wire::accept(listener, clock, "DingTalk", move |request| answer(platform.clone(), request))
        .await;
}

async fn answer(platform: Platform, request: hyper::Request<Incoming>) -> Result<Response, Cut> {
    let request = request.map(Body::new);
    let path = request.uri().path().to_owned();
    if path == "/connect" {
        return Ok(open(platform, request).await);
    }
    if let Some(code) = path.strip_prefix("/files/") {
        return Ok(match platform.file(code) {
            Some(bytes) => Response::new(Body::from(bytes)),
            None => StatusCode::NOT_FOUND.into_response(),
        });
    }
    if let Some(what) = path.strip_prefix("/sim/") {
        return Ok(control(&platform, what, request).await);
    }
    // The last part of the path, or the two last where one says too little.
    let method = path.trim_start_matches('/').trim_start_matches("v1.0/").to_owned();
    let fault = platform.lock().faults.as_mut().and_then(|it| it.pick(&method));
    match &fault {
        Some(How::TooManyRequests { .. }) => {
            return Ok(methods::refused(403, "Forbidden.AccessDenied.QpsLimitForApi", "slow down"));
        }
        Some(How::Status { code }) if 502 <= *code => {
            let mut page = Response::new(Body::from("<html><body>nginx</body></html>"));
            *page.status_mut() = StatusCode::from_u16(*code).unwrap_or(StatusCode::BAD_GATEWAY);
            return Ok(page);
        }
        Some(How::Status { code }) => {
            return Ok(methods::refused(*code, "unknownError", "something"));
        }
        Some(How::Refuse { code, description }) => {
            return Ok(methods::refused(*code, description, "by script"));
        }
        Some(How::CutBefore) => return Err(Cut),
        Some(How::CutAfter | How::HalfBody | How::BadText | How::Slow { .. }) | None => (),
    }
    let response = take(&platform, &method, request).await;
    platform.touch();
    match fault {
        Some(How::CutAfter) => Err(Cut),
        Some(How::HalfBody) => Ok(half(response).await),
        Some(How::Slow { ms }) => {
            platform.config.clock.sleep(std::time::Duration::from_millis(ms)).await;
            Ok(response)
        }
        _ => Ok(response),
    }
}

async fn take(platform: &Platform, method: &str, request: Request) -> Response {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let headers = request.headers().clone();
    let header = |name: &str| {
        headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default().to_owned()
    };
    let (token, accepts) = (header("x-acs-dingtalk-access-token"), header("accept"));
    if method == "media/upload" {
        return upload(platform, &query, request).await;
    }
    let bytes = to_bytes(request.into_body(), MAX_BODY_BYTES).await.unwrap_or_default();
    let Ok(body) = serde_json::from_slice::<Value>(&bytes) else {
        return methods::refused(400, "invalidParameter", "no JSON");
    };
    if method == "gateway/connections/open" && !accepts.contains("application/json") {
        return Response::new(Body::from("<?xml version=\"1.0\"?><Connection/>"));
    }
    methods::call(platform, method, &token, &query, &body)
}

/// A ticket is good for one socket.
async fn open(platform: Platform, request: Request) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let ticket = query.strip_prefix("ticket=").unwrap_or_default();
    let ticket = ticket.replace("%2B", "+").replace("%2F", "/").replace("%3D", "=");
    if !platform.lock().tickets.remove(&ticket) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let (mut parts, _) = request.into_parts();
    match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => upgrade.on_upgrade(move |it| serve(platform, it)),
        Err(refused) => refused.into_response(),
    }
}

async fn serve(platform: Platform, mut socket: WebSocket) {
    let (number, mut orders) = platform.lock().seat();
    platform.touch();
    loop {
        let is_over = tokio::select! {
            order = orders.recv() => match order {
                Some(Order::Say(text)) => socket.send(Message::text(text)).await.is_err(),
                Some(Order::Cut) | None => true,
            },
            came = socket.recv() => match came {
                Some(Ok(Message::Text(text))) => {
                    platform.lock().acknowledge(serde_json::from_str(&text).unwrap_or_default());
                    platform.touch();
                    false
                }
                Some(Ok(Message::Close(_))) => {
                    // The answer to a close is written by now, and has to go out.
                    _ = futures_util::SinkExt::flush(&mut socket).await;
                    true
                }
                Some(Err(_)) | None => true,
                Some(Ok(_)) => false,
            },
        };
        if is_over {
            break;
        }
    }
    platform.lock().leave(number);
    platform.touch();
}

async fn upload(platform: &Platform, query: &str, request: Request) -> Response {
    let by_number = |code: i64, words: &str| {
        json_response(StatusCode::OK, json!({"errcode": code, "errmsg": words}).to_string())
    };
    let token = query.split('&').find_map(|it| it.strip_prefix("access_token="));
    if platform.lock().tokens.last().is_none_or(|it| Some(it.as_str()) != token) {
        return by_number(40_014, "不合法的access_token");
    }
    let Ok(mut form) = Multipart::from_request(request, &()).await else {
        return by_number(40_035, "no form");
    };
    while let Ok(Some(field)) = form.next_field().await {
        if field.name() == Some("media")
            && let Ok(bytes) = field.bytes().await
        {
            let id = format!("@media{}", platform.lock().number());
            platform.keep(&id, bytes);
            let done = json!({"errcode": 0, "errmsg": "ok", "type": "file", "media_id": id, "created_at": 1});
            return json_response(StatusCode::OK, done.to_string());
        }
    }
    by_number(40_035, "no file")
}

/// The platform's side over HTTP, for who sits in another process: `POST /sim/write {user, text}`,
/// `POST /sim/ask {group, user, text}`, `POST /sim/message {user, group?, message}`, `POST /sim/ping`,
/// `POST /sim/disconnect`, `POST /sim/keep {code, text}`, `GET /sim/said`, `/sim/cards`, `/sim/figures`, `/sim/answer`.
async fn control(platform: &Platform, what: &str, request: Request) -> Response {
    let bytes = to_bytes(request.into_body(), MAX_BODY_BYTES).await.unwrap_or_default();
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let said = |key: &str| body[key].as_str().unwrap_or_default();
    let text = json!({"msgtype": "text", "text": {"content": said("text")}});
    let done = match what {
        "write" => json!({"msgId": platform.writes(said("user"), &text)}),
        "ask" => json!({"msgId": platform.asks(said("group"), said("user"), &text)}),
        "message" => json!({"msgId": match body["group"].as_str() {
            Some(group) => platform.asks(group, said("user"), &body["message"]),
            None => platform.writes(said("user"), &body["message"]),
        }}),
        "ping" => json!({"messageId": platform.ping()}),
        "disconnect" => {
            platform.disconnect();
            json!({})
        }
        "keep" => {
            platform.keep(said("code"), said("text").as_bytes().to_vec());
            json!({})
        }
        "answer" => platform.answer(said("id")).unwrap_or_default(),
        "said" => json!(platform.said()),
        "press" => json!({"messageId": platform.press(said("user"), said("card"), said("label"))}),
        "cards" => json!(platform.cards()),
        "figures" => json!(platform.figures()),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    json_response(StatusCode::OK, done.to_string())
}
