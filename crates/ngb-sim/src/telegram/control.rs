//! The platform's side over HTTP, for a test or bench in another process.
//!
//! | call | body or query | answer |
//! |---|---|---|
//! | `POST /sim/push` | `{"drafts": [Draft], "raw": [update]}` | `{"message_ids": [..]}` |
//! | `POST /sim/fault` | `Fault` | `{}` |
//! | `POST /sim/set` | any of `clear_faults`, `repeat_updates`, `log_calls`: bool; `block`: chat; `migrate`: [from, to] | `{}` |
//! | `POST /sim/file` | the bytes | `{"file_id": ".."}` |
//! | `GET /sim/sent?first=N` | | `[SentMessage]` |
//! | `GET /sim/calls?method=NAME` | | `[Call]` |
//! | `GET /sim/figures` | | `Figures` |
//! | `GET /sim/wait?sent=N&polls=N&pending=N&ms=LIMIT` | at least N sent, at least N polls, at most N pending | `Figures`, also when the limit passes (default 30,000) |

use std::{collections::BTreeMap, time::Duration};

use axum::{
    extract::{Query, Request},
    http::{Method, StatusCode},
    response::Response,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    draft::Draft,
    params::MAX_BODY_BYTES,
    platform::{Figures, Platform},
};
use crate::{fault::Fault, wire::json_response};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Pushed {
    drafts: Vec<Draft>,
    raw: Vec<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    clear_faults: bool,
    repeat_updates: Option<bool>,
    log_calls: Option<bool>,
    block: Option<i64>,
    migrate: Option<(i64, i64)>,
}

pub(super) async fn answer(platform: &Platform, what: &str, request: Request) -> Response {
    match act(platform, what, request).await {
        Ok(Some(value)) => json_response(StatusCode::OK, value.to_string()),
        Ok(None) => json_response(StatusCode::NOT_FOUND, "{}".into()),
        Err(why) => json_response(StatusCode::BAD_REQUEST, json!({"error": why}).to_string()),
    }
}

async fn act(platform: &Platform, what: &str, request: Request) -> Result<Option<Value>, String> {
    let query: Query<BTreeMap<String, String>> =
        Query::try_from_uri(request.uri()).map_err(|it| it.to_string())?;
    let number = |key: &str| query.get(key).and_then(|it| it.parse::<u64>().ok());
    let done = match (request.method(), what) {
        (&Method::POST, "push") => {
            let pushed: Pushed = body(request).await?;
            let message_ids = platform.push(&pushed.drafts);
            platform.push_raw(pushed.raw);
            json!({"message_ids": message_ids})
        }
        (&Method::POST, "fault") => {
            platform.fault(body::<Fault>(request).await?);
            json!({})
        }
        (&Method::POST, "set") => {
            apply(platform, &body(request).await?);
            json!({})
        }
        (&Method::POST, "file") => {
            let bytes = axum::body::to_bytes(request.into_body(), MAX_BODY_BYTES).await;
            json!({"file_id": platform.add_file(bytes.map_err(|it| it.to_string())?)})
        }
        (&Method::GET, "sent") => {
            let first = number("first").and_then(|it| usize::try_from(it).ok()).unwrap_or(0);
            json!(platform.sent(first))
        }
        (&Method::GET, "calls") => {
            json!(platform.calls(query.get("method").map_or("", String::as_str)))
        }
        (&Method::GET, "figures") => json!(platform.figures()),
        (&Method::GET, "wait") => {
            let count = |it: usize| u64::try_from(it).unwrap_or(u64::MAX);
            let (sent, polls, pending) = (number("sent"), number("polls"), number("pending"));
            let done = |it: &Figures| {
                sent.is_none_or(|want| want <= count(it.sent))
                    && polls.is_none_or(|want| want <= it.polls)
                    && pending.is_none_or(|want| count(it.pending) <= want)
            };
            let limit = Duration::from_millis(number("ms").unwrap_or(30_000));
            match platform.clock.timeout(limit, platform.wait(done)).await {
                Ok(figures) => json!(figures),
                Err(_) => json!(platform.figures()),
            }
        }
        _ => return Ok(None),
    };
    Ok(Some(done))
}

fn apply(platform: &Platform, settings: &Settings) {
    if settings.clear_faults {
        platform.clear_faults();
    }
    if let Some(on) = settings.repeat_updates {
        platform.repeat_updates(on);
    }
    if let Some(on) = settings.log_calls {
        platform.log_calls(on);
    }
    if let Some(chat) = settings.block {
        platform.block(chat);
    }
    if let Some((from, to)) = settings.migrate {
        platform.migrate(from, to);
    }
}

async fn body<T: DeserializeOwned>(request: Request) -> Result<T, String> {
    let bytes = axum::body::to_bytes(request.into_body(), MAX_BODY_BYTES).await;
    serde_json::from_slice(&bytes.map_err(|it| it.to_string())?).map_err(|it| it.to_string())
}
