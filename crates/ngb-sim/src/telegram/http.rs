//! Connections, the envelope, and where faults strike.

use axum::{body::Body, extract::Request, http::StatusCode, response::Response};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{
    control, methods,
    params::Params,
    platform::{Call, Platform},
    updates,
};
use crate::{
    fault::{How, is_send},
    wire::{self, Cut, bad_text, half, half_of, json_response},
};

/// What a method returns.
#[derive(Debug)]
pub(super) enum Reply {
    Value(Value),
    /// The message with this place in the list of what was sent.
    Sent {
        message: Value,
        at: usize,
    },
    /// JSON that is already text.
    Raw(String),
}

/// Why a method did nothing.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) code: u16,
    pub(super) description: String,
    pub(super) parameters: Option<Value>,
}

impl Failure {
    pub(super) fn new(code: u16, description: impl Into<String>) -> Self {
        Self { code, description: description.into(), parameters: None }
    }

    /// A 400.
    pub(super) fn bad(what: impl std::fmt::Display) -> Self {
        Self::new(400, format!("Bad Request: {what}"))
    }
}

pub(super) async fn accept(listener: TcpListener, platform: Platform) {
    let clock = platform.clock.clone();
    wire::accept(listener, clock, "Telegram", move |request| answer(platform.clone(), request))
        .await;
}

async fn answer(platform: Platform, request: hyper::Request<Incoming>) -> Result<Response, Cut> {
    let request = request.map(Body::new);
    // The one character of a token that some clients escape in a path.
    let path = request.uri().path().replace("%3A", ":");
    if let Some(rest) = path.strip_prefix("/sim/") {
        return Ok(control::answer(&platform, rest, request).await);
    }
    if let Some(rest) = path.strip_prefix("/file/bot") {
        let Some((token, file)) = rest.split_once('/') else {
            return Ok(failed(&Failure::new(404, "Not Found")));
        };
        return file_bytes(&platform, token, file);
    }
    let named = path.strip_prefix("/bot").and_then(|it| it.split_once('/'));
    let Some((token, method)) = named else {
        return Ok(failed(&Failure::new(404, "Not Found")));
    };
    if token != &*platform.token {
        return Ok(failed(&Failure::new(401, "Unauthorized")));
    }
    call(&platform, method.to_owned(), request).await
}

async fn call(platform: &Platform, method: String, request: Request) -> Result<Response, Cut> {
    let params = match Params::read(request).await {
        Ok(params) => params,
        Err(what) => return Ok(failed(&Failure::bad(what))),
    };
    let flight = is_send(&method).then(|| Flight::begin(platform));
    let fault = {
        let mut state = platform.lock();
        if state.log_calls {
            let files = params.files.iter();
            let files =
                files.map(|(key, it)| (key.clone(), it.name.clone(), it.bytes.len())).collect();
            let at = platform.clock.now();
            let fields = params.fields.clone();
            state.calls.push(Call { method: method.clone(), fields, files, at });
        }
        state.faults.pick(&method)
    };
    match &fault {
        Some(How::TooManyRequests { retry_after_s }) => {
            let description = format!("Too Many Requests: retry after {retry_after_s}");
            let mut failure = Failure::new(429, description);
            failure.parameters = Some(json!({"retry_after": retry_after_s}));
            return Ok(failed(&failure));
        }
        Some(How::Status { code }) => return Ok(status(*code)),
        Some(How::Refuse { code, description }) => {
            return Ok(failed(&Failure::new(*code, description.as_str())));
        }
        Some(How::CutBefore) => return Err(Cut),
        Some(How::CutAfter | How::HalfBody | How::BadText | How::Slow { .. }) | None => (),
    }
    let done = match method.to_ascii_lowercase().as_str() {
        "getupdates" => updates::get_updates(platform, &params).await,
        _ => methods::call(platform, &method, &params),
    };
    platform.touch();
    match fault {
        Some(How::CutAfter) => return Err(Cut),
        Some(How::Slow { ms }) => {
            platform.clock.sleep(std::time::Duration::from_millis(ms)).await;
        }
        _ => (),
    }
    let halved = fault == Some(How::HalfBody);
    let response = match done {
        Err(failure) => failed(&failure),
        Ok(reply) => {
            let (body, at) = match reply {
                Reply::Value(value) => (value.to_string(), None),
                Reply::Sent { message, at } => (message.to_string(), Some(at)),
                Reply::Raw(text) => (text, None),
            };
            if let (Some(at), false) = (at, halved) {
                let now = platform.clock.now();
                if let Some(sent) = platform.lock().sent.get_mut(at) {
                    sent.answered_at.get_or_insert(now);
                }
            }
            json_response(StatusCode::OK, format!(r#"{{"ok":true,"result":{body}}}"#))
        }
    };
    drop(flight);
    match fault {
        Some(How::HalfBody) => Ok(half(response).await),
        Some(How::BadText) => Ok(bad_text(response).await),
        _ => Ok(response),
    }
}

/// Counts one send or edit that has no answer yet, also when its connection is lost.
struct Flight(Platform);

impl Flight {
    fn begin(platform: &Platform) -> Self {
        platform.lock().in_flight += 1;
        Self(platform.clone())
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.lock().in_flight -= 1;
        self.0.touch();
    }
}

fn file_bytes(platform: &Platform, token: &str, file: &str) -> Result<Response, Cut> {
    if token != &*platform.token {
        return Ok(failed(&Failure::new(401, "Unauthorized")));
    }
    let (fault, bytes) = {
        let mut state = platform.lock();
        let id = file.rsplit('/').next().unwrap_or_default();
        (state.faults.pick("file"), state.files.get(id).cloned())
    };
    match (fault, bytes) {
        (Some(How::CutBefore | How::CutAfter), _) => Err(Cut),
        (Some(How::Status { code }), _) => Ok(status(code)),
        (Some(How::HalfBody), Some(bytes)) => Ok(half_of(StatusCode::OK, &bytes)),
        (_, Some(bytes)) => Ok(Response::new(Body::from(bytes))),
        (_, None) => Ok(failed(&Failure::new(404, "Not Found"))),
    }
}

/// A status as Telegram gives it: its own envelope, and a page of its proxy for those that the proxy makes.
fn status(code: u16) -> Response {
    if 502 <= code {
        let page = format!("<html><body><h1>{code}</h1><hr>nginx</body></html>");
        let mut response = Response::new(Body::from(page));
        *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_GATEWAY);
        return response;
    }
    let description = match code {
        401 => "Unauthorized",
        403 => "Forbidden: bot was blocked by the user",
        404 => "Not Found",
        500 => "Internal Server Error",
        _ => "Bad Request: by script",
    };
    failed(&Failure::new(code, description))
}

pub(super) fn failed(failure: &Failure) -> Response {
    let mut body =
        json!({"ok": false, "error_code": failure.code, "description": failure.description});
    if let Some(parameters) = &failure.parameters {
        body["parameters"] = parameters.clone();
    }
    let status = StatusCode::from_u16(failure.code).unwrap_or(StatusCode::BAD_REQUEST);
    json_response(status, body.to_string())
}
