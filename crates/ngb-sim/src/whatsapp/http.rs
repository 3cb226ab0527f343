//! The Graph API: its calls, its refusals, and where faults strike.

use axum::{
    body::{Body, to_bytes},
    extract::{FromRequest as _, Multipart, Request},
    http::StatusCode,
    response::Response,
};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::platform::{Person, Platform, SentMessage};
use crate::{
    telegram::How,
    wire::{self, Cut, half, json_response},
};

/// Largest body of a call, in bytes.
const MAX_BODY_BYTES: usize = 128 << 20;

pub(super) async fn accept(listener: TcpListener, platform: Platform) {
    let clock = platform.clock().clone();
    wire::accept(listener, clock, "WhatsApp", move |request| answer(platform.clone(), request))
        .await;
}

/// Why a call did nothing.
struct Refusal {
    status: u16,
    code: u32,
    words: String,
}

fn refuse(status: u16, code: u32, words: impl Into<String>) -> Refusal {
    Refusal { status, code, words: words.into() }
}

async fn answer(platform: Platform, request: hyper::Request<Incoming>) -> Result<Response, Cut> {
    let request = request.map(Body::new);
    let path = request.uri().path().to_owned();
    if let Some(what) = path.strip_prefix("/sim/") {
        return Ok(control(&platform, what, request).await);
    }
    let call = path.rsplit('/').next().unwrap_or_default();
    let method = match call {
        "messages" | "media" => call,
        _ if path.starts_with("/files/") => "file",
        _ => "get",
    };
    let fault = platform.lock().faults.pick(method);
    match &fault {
        Some(How::TooManyRequests { .. }) => {
            return Ok(refused(&refuse(429, 130_429, "Rate limit hit")));
        }
        Some(How::Status { code }) if 502 <= *code => {
            let mut page = Response::new(Body::from("<html><body>Sorry</body></html>"));
            *page.status_mut() = StatusCode::from_u16(*code).unwrap_or(StatusCode::BAD_GATEWAY);
            return Ok(page);
        }
        Some(How::Status { code }) => {
            return Ok(refused(&refuse(*code, 131_000, "Something went wrong")));
        }
        Some(How::Refuse { code, description }) => {
            return Ok(refused(&refuse(*code, 131_000, description)));
        }
        Some(How::CutBefore) => return Err(Cut),
        Some(How::CutAfter | How::HalfBody | How::BadText | How::Slow { .. }) | None => (),
    }
    let done = if is_authorized(&platform, &request) {
        handle(&platform, method, &path, request).await
    } else {
        Err(refuse(401, 190, "Error validating access token: Session has expired"))
    };
    platform.touch();
    let response = done.unwrap_or_else(|it| refused(&it));
    match fault {
        Some(How::CutAfter) => Err(Cut),
        Some(How::HalfBody) => Ok(half(response).await),
        Some(How::Slow { ms }) => {
            platform.clock().sleep(std::time::Duration::from_millis(ms)).await;
            Ok(response)
        }
        _ => Ok(response),
    }
}

fn is_authorized(platform: &Platform, request: &Request) -> bool {
    let given = request.headers().get("authorization").and_then(|it| it.to_str().ok());
    given == Some(&format!("Bearer {}", platform.config.access_token))
}

async fn handle(
    platform: &Platform,
    method: &str,
    path: &str,
    request: Request,
) -> Result<Response, Refusal> {
    let config = &platform.config;
    let ok = |value: Value| Ok(json_response(StatusCode::OK, value.to_string()));
    let last = path.rsplit('/').next().unwrap_or_default();
    if matches!(method, "messages" | "media")
        && !path.contains(&format!("/{}/", config.phone_number_id))
    {
        return Err(refuse(400, 33, "Object with this ID does not exist"));
    }
    match method {
        "messages" => {
            let body = json_of(request).await?;
            if body["status"] == "read" {
                platform.lock().marks.push(body);
                return ok(json!({"success": true}));
            }
            ok(send(platform, body)?)
        }
        "media" => {
            let (media_type, bytes) = file_of(request).await?;
            ok(json!({"id": platform.upload(&media_type, bytes)}))
        }
        "file" => {
            let file = platform.file(last).ok_or_else(|| refuse(404, 100, "no such file"))?;
            Ok(Response::new(Body::from(file.bytes)))
        }
        _ if last == config.phone_number_id => ok(json!({
            "id": last, "verified_name": "Nano Test", "quality_rating": "GREEN",
            "display_phone_number": config.display_phone_number,
        })),
        _ => match platform.file(last) {
            Some(file) => ok(json!({
                "messaging_product": "whatsapp", "id": last, "mime_type": file.media_type,
                "file_size": file.bytes.len(), "sha256": "", "url": format!("{}/files/{last}", platform.url),
            })),
            None => Err(refuse(400, 100, "Unsupported get request. Object does not exist")),
        },
    }
}

async fn json_of(request: Request) -> Result<Value, Refusal> {
    let bytes = to_bytes(request.into_body(), MAX_BODY_BYTES).await;
    let bytes = bytes.map_err(|_| refuse(400, 100, "no body"))?;
    serde_json::from_slice(&bytes).map_err(|_| refuse(400, 100, "no JSON"))
}

async fn file_of(request: Request) -> Result<(String, bytes::Bytes), Refusal> {
    let bad = |what: &str| refuse(400, 131_053, what);
    let mut form = Multipart::from_request(request, &()).await.map_err(|_| bad("no form"))?;
    let (mut product, mut found) = (false, None);
    while let Some(field) = form.next_field().await.map_err(|_| bad("half a form"))? {
        match field.name() {
            Some("messaging_product") => {
                product = field.text().await.is_ok_and(|it| it == "whatsapp");
            }
            Some("file") => {
                let media_type = field.content_type().unwrap_or_default().to_owned();
                found = Some((media_type, field.bytes().await.map_err(|_| bad("half a file"))?));
            }
            _ => (),
        }
    }
    if !product {
        return Err(refuse(400, 100, "(#100) The parameter messaging_product is required."));
    }
    found.ok_or_else(|| bad("no file"))
}

/// Checks a message as Meta does, and takes it.
fn send(platform: &Platform, body: Value) -> Result<Value, Refusal> {
    let word = |value: &Value| value.as_str().filter(|it| !it.is_empty()).map(str::to_owned);
    if body["messaging_product"] != "whatsapp" {
        return Err(refuse(400, 100, "(#100) The parameter messaging_product is required."));
    }
    let (to, user) = (word(&body["to"]), word(&body["recipient"]));
    let to = match (&to, &user) {
        (Some(to), None) => to.clone(),
        (None, Some(user)) => user.clone(),
        _ => return Err(refuse(400, 131_008, "exactly one of to and recipient is required")),
    };
    let kind = word(&body["type"]).unwrap_or_else(|| "text".into());
    let too_long =
        |value: &Value, most: usize| most < value.as_str().map_or(0, |it| it.chars().count());
    let bad =
        |what: &str| Err(refuse(400, 131_009, format!("Parameter value is not valid: {what}")));
    let it = &body[kind.as_str()];
    match kind.as_str() {
        "text" if word(&it["body"]).is_none() => return bad("text.body is empty"),
        "text" if too_long(&it["body"], 4096) => return bad("text.body is too long"),
        "interactive" => {
            if word(&it["body"]["text"]).is_none() || too_long(&it["body"]["text"], 1024) {
                return bad("interactive.body");
            }
            let buttons = it["action"]["buttons"].as_array().cloned().unwrap_or_default();
            if 3 < buttons.len() || buttons.iter().any(|it| too_long(&it["reply"]["title"], 20)) {
                return bad("interactive.action.buttons");
            }
        }
        "image" | "video" | "audio" | "document" | "sticker" => {
            let id = word(&it["id"]).unwrap_or_default();
            if platform.file(&id).is_none() {
                return bad("the media id is unknown");
            }
            if too_long(&it["caption"], 1024) {
                return bad("the caption is too long");
            }
        }
        "text" | "reaction" | "location" | "contacts" => (),
        "template" if word(&it["name"]).is_none() || word(&it["language"]["code"]).is_none() => {
            return Err(refuse(404, 132_001, "Template name does not exist in the translation"));
        }
        "template" => {
            let parameter = &it["components"][0]["parameters"][0]["text"];
            if parameter.as_str().unwrap_or_default().contains(['\n', '\t']) {
                return Err(refuse(400, 132_012, "Parameter format does not match format"));
            }
        }
        other => return Err(refuse(400, 131_051, format!("Message type unknown: {other}"))),
    }
    if kind != "template" && platform.lock().closed.contains(&to) {
        let words = "Message failed to send because more than 24 hours have passed since the customer last replied";
        return Err(refuse(400, 131_047, words));
    }
    let id = platform.message_id();
    platform.lock().sent.push(SentMessage { id: id.clone(), to: to.clone(), body });
    let contact = if user.is_some() {
        json!({"input": to, "user_id": to})
    } else {
        json!({"input": to, "wa_id": to})
    };
    Ok(json!({"messaging_product": "whatsapp", "contacts": [contact], "messages": [{"id": id}]}))
}

fn refused(it: &Refusal) -> Response {
    let error = json!({"error": {
        "message": format!("(#{}) {}", it.code, it.words), "type": "OAuthException", "code": it.code,
        "error_data": {"messaging_product": "whatsapp", "details": it.words}, "fbtrace_id": "SIM",
    }});
    let status = StatusCode::from_u16(it.status).unwrap_or(StatusCode::BAD_REQUEST);
    json_response(status, error.to_string())
}

/// The people's side over HTTP, for `nanogridbot sim whatsapp` and the referee: `POST /sim/hook {"url"}`,
/// `POST /sim/say {"phone", "name", "text"}`, `GET /sim/sent`.
async fn control(platform: &Platform, what: &str, request: Request) -> Response {
    let answer = |status: StatusCode, value: Value| json_response(status, value.to_string());
    if what == "sent" {
        let sent: Vec<Value> = platform.sent().into_iter().map(|it| it.body).collect();
        return answer(StatusCode::OK, sent.into());
    }
    let body = match json_of(request).await {
        Ok(body) => body,
        Err(it) => return refused(&it),
    };
    let word = |key: &str| body[key].as_str().unwrap_or_default();
    match what {
        "hook" => match platform.subscribe(word("url")).await {
            Ok(()) => answer(StatusCode::OK, json!({"ok": true})),
            Err(err) => answer(StatusCode::BAD_GATEWAY, json!({"error": format!("{err:#}")})),
        },
        "say" => {
            let user_id = Some(word("user_id").to_owned()).filter(|it| !it.is_empty());
            let who = Person { user_id, ..Person::with_phone(word("phone"), word("name")) };
            answer(StatusCode::OK, json!({"id": platform.texts(&who, word("text"))}))
        }
        _ => answer(StatusCode::NOT_FOUND, json!({"error": "no such control"})),
    }
}
