//! What each call of the OpenAPI does.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    BOT,
    platform::{Platform, Sent, State},
};

/// How often one message may be answered.
const MOST_ANSWERS: usize = 5;

/// A refusal: its status, its code and its words.
pub(super) type Refusal = (u16, i64, &'static str);

/// A call: its path, its body, and a picture where it was a form.
pub(super) struct Call<'a> {
    pub(super) path: &'a str,
    pub(super) body: Value,
    pub(super) picture: Option<Bytes>,
}

/// The name of a call, for faults.
pub(super) fn name(path: &str) -> &'static str {
    match path {
        "/app/getAppAccessToken" => "getAppAccessToken",
        "/gateway" | "/gateway/bot" => "gateway",
        "/users/@me" => "me",
        it if it.ends_with("/messages") => "sendMessage",
        it if it.ends_with("/files") => "sendFile",
        _ => "unknown",
    }
}

pub(super) fn call(platform: &Platform, call: &Call<'_>) -> Result<Value, Refusal> {
    let config = &platform.config;
    let mut state = platform.lock();
    match call.path {
        "/gateway" => Ok(json!({"url": format!("ws://{}/websocket", platform.host)})),
        "/gateway/bot" => Ok(json!({
            "url": format!("ws://{}/websocket", platform.host), "shards": 1,
            "session_start_limit": {"total": 1000, "remaining": 999, "reset_after": 86_400_000, "max_concurrency": 1},
        })),
        "/users/@me" => Ok(json!({"id": BOT, "username": config.name, "avatar": "", "bot": true})),
        path => {
            let (to, what) = path.rsplit_once('/').unwrap_or_default();
            let is_v2 = to.starts_with("/v2/groups/") || to.starts_with("/v2/users/");
            let is_channel = to.starts_with("/channels/") || to.starts_with("/dms/");
            match what {
                "files" if is_v2 => upload(&mut state, &call.body),
                "messages" if is_v2 => send(&mut state, to, &call.body),
                "messages" if is_channel => say(&mut state, to, call),
                _ => Err((404, 11_260, "no such api")),
            }
        }
    }
}

pub(super) fn token(platform: &Platform, body: &Value) -> Value {
    let config = &platform.config;
    if body["appId"] != *config.app_id || body["clientSecret"] != *config.secret {
        return json!({"code": 100_016, "message": "invalid appid or secret"});
    }
    let mut state = platform.lock();
    let token = format!("token-{}", state.tokens.len());
    state.tokens.push(token.clone());
    // Of all numbers this one is a text.
    json!({"access_token": token, "expires_in": "7200"})
}

fn upload(state: &mut State, body: &Value) -> Result<Value, Refusal> {
    let bytes = STANDARD.decode(body["file_data"].as_str().unwrap_or_default());
    let bytes = bytes.ok().filter(|it| !it.is_empty());
    let has_kind = (1..=4).contains(&body["file_type"].as_u64().unwrap_or_default());
    if !has_kind || (bytes.is_none() && body["url"].as_str().is_none_or(str::is_empty)) {
        return Err((400, 850_018, "富媒体文件格式不支持"));
    }
    let id = format!("file{}", state.number());
    state.files.insert(id.clone(), bytes.unwrap_or_default().into());
    Ok(json!({"file_uuid": id, "file_info": id, "ttl": 600}))
}

/// A message to a group or a person.
fn send(state: &mut State, to: &str, body: &Value) -> Result<Value, Refusal> {
    let kind = body["msg_type"].as_u64().unwrap_or_default();
    let is_said = body["content"].as_str().is_some_and(|it| !it.is_empty());
    let is_file = || {
        let id = body["media"]["file_info"].as_str().unwrap_or_default();
        state.files.contains_key(id)
    };
    let is_good = match kind {
        0 => is_said,
        6 => to.starts_with("/v2/users/") && body["input_notify"]["input_type"] == 1,
        7 => is_file(),
        _ => false,
    };
    if !is_good {
        return Err((400, 40_034_001, "invalid request"));
    }
    let sent = Sent { to: to.to_owned(), body: body.clone() };
    if kind == 6 {
        state.signs.push(sent);
        return Ok(json!({}));
    }
    check_answer(state, body)?;
    if let Some(id) = body["msg_id"].as_str() {
        let number = body["msg_seq"].as_u64().unwrap_or(1);
        if !state.answered.insert((id.to_owned(), number)) {
            return Err((400, 40_054_005, "消息被去重，请检查请求msgseq"));
        }
    }
    finish(state, sent)
}

/// A message to a channel.
fn say(state: &mut State, to: &str, call: &Call<'_>) -> Result<Value, Refusal> {
    let mut body = call.body.clone();
    let is_said = body["content"].as_str().is_some_and(|it| !it.is_empty());
    if !is_said && call.picture.is_none() {
        return Err((400, 50_006, "消息为空"));
    }
    check_answer(state, &body)?;
    if let Some(bytes) = &call.picture {
        let id = format!("file{}", state.number());
        state.files.insert(id.clone(), bytes.clone());
        body["file_image"] = id.into();
    }
    finish(state, Sent { to: to.to_owned(), body })
}

fn check_answer(state: &mut State, body: &Value) -> Result<(), Refusal> {
    let Some(id) = body["msg_id"].as_str().filter(|it| !it.is_empty()) else {
        let refused = (400, 40_034_102, "主动消息失败, 无权限");
        return if state.only_answers { Err(refused) } else { Ok(()) };
    };
    match state.heard.get_mut(id) {
        Some(it) if it.expired || MOST_ANSWERS <= it.answers => {
            Err((400, 40_034_128, "回复的msg_id已过期或超过次数"))
        }
        Some(it) => {
            it.answers += 1;
            Ok(())
        }
        None => Err((400, 40_034_024, "请求参数msg_id无效")),
    }
}

fn finish(state: &mut State, sent: Sent) -> Result<Value, Refusal> {
    let id = format!("ROBOT1.0_s{}", state.number());
    state.sent.push(sent);
    Ok(json!({"id": id, "timestamp": "2023-11-06T13:37:18+08:00"}))
}
