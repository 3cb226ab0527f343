//! The API: its calls, its refusals, and where faults strike.

use std::collections::BTreeMap;

use axum::{
    body::{Body, to_bytes},
    extract::{FromRequest as _, Multipart, Request},
    http::StatusCode,
    response::Response,
};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{Company, bot};
use crate::{
    fault::How,
    wire::{self, Cut, half, json_response},
};

/// Largest body of a call, in bytes.
const MAX_BODY_BYTES: usize = 32 << 20;

pub(super) async fn accept(listener: TcpListener, company: Company) {
    let clock = company.config.clock.clone();
    wire::accept(listener, clock, "WeCom", move |request| answer(company.clone(), request)).await;
}

async fn answer(company: Company, request: hyper::Request<Incoming>) -> Result<Response, Cut> {
    let request = request.map(Body::new);
    let path = request.uri().path().trim_start_matches("/cgi-bin/").to_owned();
    if path == "/bot" {
        return Ok(bot::open(company, request).await);
    }
    if let Some(id) = path.strip_prefix("/files/") {
        return Ok(match company.file(id) {
            Some(bytes) => Response::new(Body::from(bytes)),
            None => json_response(StatusCode::NOT_FOUND, "{}".to_owned()),
        });
    }
    if let Some(what) = path.strip_prefix("/sim/") {
        return Ok(control(&company, what, request).await);
    }
    let fault = company.lock().faults.pick(&path);
    match &fault {
        Some(How::TooManyRequests { .. }) => {
            return Ok(said(&refused(45_009, "api freq out of limit")));
        }
        Some(How::Status { code }) => {
            let mut page = Response::new(Body::from("<html><body>nginx</body></html>"));
            *page.status_mut() = StatusCode::from_u16(*code).unwrap_or(StatusCode::BAD_GATEWAY);
            return Ok(page);
        }
        Some(How::Refuse { code, description }) => {
            return Ok(said(&refused(i64::from(*code), description)));
        }
        Some(How::CutBefore) => return Err(Cut),
        Some(How::CutAfter | How::HalfBody | How::BadText | How::Slow { .. }) | None => (),
    }
    let response = handle(&company, &path, request).await;
    match fault {
        Some(How::CutAfter) => Err(Cut),
        Some(How::HalfBody) => Ok(half(response).await),
        Some(How::Slow { ms }) => {
            company.config.clock.sleep(std::time::Duration::from_millis(ms)).await;
            Ok(response)
        }
        _ => Ok(response),
    }
}

fn refused(code: i64, words: &str) -> Value {
    let hint =
        "hint: [1], from ip: 127.0.0.1, more info at https://open.work.weixin.qq.com/devtool/query";
    json!({"errcode": code, "errmsg": format!("{words}, {hint}")})
}

fn said(value: &Value) -> Response {
    json_response(StatusCode::OK, value.to_string())
}

async fn handle(company: &Company, path: &str, request: Request) -> Response {
    let config = &company.config;
    let query = request.uri().query().unwrap_or_default();
    let query: BTreeMap<String, String> = query
        .split('&')
        .filter_map(|it| it.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let word = |name: &str| query.get(name).map_or("", String::as_str);
    match path {
        "gettoken" if word("corpid") != config.corp_id => said(&refused(40_013, "invalid corpid")),
        "gettoken" if word("corpsecret") != config.secret => {
            said(&refused(40_001, "invalid credential"))
        }
        "gettoken" => {
            let mut state = company.lock();
            let token = format!("token-{}", state.tokens.len());
            state.tokens.push(token.clone());
            said(&json!({"errcode": 0, "errmsg": "ok", "access_token": token, "expires_in": 7200}))
        }
        "webhook/send" | "webhook/upload_media" if word("key") != config.robot_key => {
            said(&refused(93_000, "invalid webhook url"))
        }
        "webhook/send" => send(company, request, false).await,
        "webhook/upload_media" => upload(company, request).await,
        _ if company.lock().tokens.last().is_none_or(|it| it != word("access_token")) => {
            said(&refused(42_001, "access_token expired"))
        }
        "message/send" => send(company, request, true).await,
        "media/upload" => upload(company, request).await,
        "media/get" => match company.file(word("media_id")) {
            Some(bytes) => Response::new(Body::from(bytes)),
            None => said(&refused(40_007, "invalid media_id")),
        },
        "agent/get" => {
            said(&json!({"errcode": 0, "errmsg": "ok", "agentid": config.agent_id, "name": "Nano"}))
        }
        _ => said(&refused(40_000, "no such call")),
    }
}

/// WeCom's side over HTTP, for who sits in another process: `POST /sim/say {hook, user, id, text}` calls `hook`,
/// `POST /sim/bot {user, chat, text}` says something to the AI bot, `GET /sim/sent` is what apps, robots and bots sent,
/// `GET /sim/streams` what streams of the bot show.
async fn control(company: &Company, what: &str, request: Request) -> Response {
    let bytes = to_bytes(request.into_body(), MAX_BODY_BYTES).await.unwrap_or_default();
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let said = |key: &str| body[key].as_str().unwrap_or_default();
    match what {
        "say" => {
            let call = company.text(said("user"), said("id"), said("text"));
            match company.post(said("hook"), &call).await {
                Ok(answer) => {
                    json_response(StatusCode::OK, json!({"status": answer.status}).to_string())
                }
                Err(err) => json_response(
                    StatusCode::BAD_GATEWAY,
                    json!({"error": err.to_string()}).to_string(),
                ),
            }
        }
        "bot" => {
            let chat = Some(said("chat")).filter(|it| !it.is_empty());
            let id = company.says(
                said("user"),
                chat,
                &json!({"msgtype": "text", "text": {"content": said("text")}}),
            );
            json_response(StatusCode::OK, json!({"req_id": id}).to_string())
        }
        "takeover" => {
            company.take_over();
            json_response(StatusCode::OK, "{}".to_owned())
        }
        "file" => {
            let file =
                company.bot_file(&format!("http://{}", said("host")), said("text").as_bytes());
            company.says(said("user"), None, &json!({"msgtype": "file", "file": file}));
            json_response(StatusCode::OK, file.to_string())
        }
        "streams" => json_response(StatusCode::OK, json!(company.streams()).to_string()),
        "sent" => json_response(StatusCode::OK, json!(company.sent()).to_string()),
        _ => json_response(StatusCode::NOT_FOUND, "{}".to_owned()),
    }
}

/// Checks a message as WeCom does, and takes it.
async fn send(company: &Company, request: Request, of_app: bool) -> Response {
    let bytes = to_bytes(request.into_body(), MAX_BODY_BYTES).await.unwrap_or_default();
    let Ok(body) = serde_json::from_slice::<Value>(&bytes) else {
        return said(&refused(47_001, "data format error"));
    };
    if of_app && body["agentid"] != company.config.agent_id {
        return said(&refused(40_056, "invalid agentid"));
    }
    let kind = body["msgtype"].as_str().unwrap_or_default().to_owned();
    let text = body[&kind]["content"].as_str();
    match kind.as_str() {
        "text" | "markdown" if text.is_none_or(str::is_empty) => {
            return said(&refused(44_004, "empty content"));
        }
        // The real one cuts it off without a word.
        "text" | "markdown" if text.is_some_and(|it| 2048 < it.len()) => {
            return said(&refused(45_002, "content size out of limit"));
        }
        "text" | "markdown" => (),
        "image" | "voice" | "video" | "file" => {
            if company.file(body[&kind]["media_id"].as_str().unwrap_or_default()).is_none() {
                return said(&refused(40_007, "invalid media_id"));
            }
        }
        _ => return said(&refused(40_008, "invalid message type")),
    }
    if of_app && body["touser"] == "nobody" {
        return said(&json!({"errcode": 0, "errmsg": "ok", "invaliduser": "nobody"}));
    }
    let id = {
        let mut state = company.lock();
        state.next += 1;
        state.sent.push(body);
        format!("msg-{}", state.next)
    };
    company.touch();
    match of_app {
        true => said(&json!({"errcode": 0, "errmsg": "ok", "msgid": id})),
        false => said(&json!({"errcode": 0, "errmsg": "ok"})),
    }
}

async fn upload(company: &Company, request: Request) -> Response {
    let Ok(mut form) = Multipart::from_request(request, &()).await else {
        return said(&refused(41_005, "media data missing"));
    };
    while let Ok(Some(field)) = form.next_field().await {
        if field.name() == Some("media")
            && let Ok(bytes) = field.bytes().await
        {
            let id = company.upload(bytes);
            return said(&json!({"errcode": 0, "errmsg": "ok", "media_id": id, "type": "file"}));
        }
    }
    said(&refused(41_005, "media data missing"))
}
