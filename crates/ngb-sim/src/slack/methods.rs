//! Methods of the Web API: <https://docs.slack.dev/reference/methods>.

use serde_json::{Map, Value, json};

use super::{
    BOT, BOT_USER,
    platform::{Platform, Posted, State, TEAM, file_json},
};

type Answer = Result<Map<String, Value>, String>;

/// Longest text of a section and of a button, in characters, and most blocks.
const MAX_SECTION_CHARS: usize = 3_000;
const MAX_LABEL_CHARS: usize = 75;
const MAX_BLOCKS: usize = 50;

pub(super) fn call(platform: &Platform, method: &str, token: &str, params: &Value) -> Answer {
    let config = &platform.config;
    let mut state = platform.lock();
    if method == "apps.connections.open" {
        return match token {
            "" => Err("not_authed".into()),
            it if it == config.bot_token => Err("not_allowed_token_type".into()),
            it if it != config.app_token => Err("invalid_auth".into()),
            _ => open(platform, &mut state),
        };
    }
    match token {
        "" => return Err("not_authed".into()),
        it if it != config.bot_token => return Err("invalid_auth".into()),
        _ => (),
    }
    if let Some(code) = state.refused.get(method) {
        return Err(code.clone());
    }
    let said = |key: &str| params[key].as_str().unwrap_or_default().to_owned();
    match method {
        "api.test" => Ok(Map::new()),
        "auth.test" => object(json!({
            "url": "https://sim.slack.com/", "team": "Sim", "team_id": TEAM, "user": config.name,
            "user_id": BOT_USER, "bot_id": BOT, "is_enterprise_install": false,
        })),
        "users.info" => {
            let id = said("user");
            let name = state.names.get(&id).cloned().ok_or("user_not_found")?;
            object(json!({"user": {
                "id": id, "name": name.to_lowercase(), "is_bot": false,
                "profile": {"display_name": name, "real_name": name},
            }}))
        }
        "conversations.info" => {
            let id = said("channel");
            let name = state.names.get(&id).cloned().ok_or("channel_not_found")?;
            object(json!({"channel": {"id": id, "name": name, "is_channel": true}}))
        }
        "chat.postMessage" => post(&mut state, params),
        "chat.update" => update(&mut state, params),
        "conversations.history" | "conversations.replies" => history(&state, params),
        "reactions.add" => {
            let it = (said("channel"), said("timestamp"), said("name"));
            if state.reactions.insert(it) { Ok(Map::new()) } else { Err("already_reacted".into()) }
        }
        "reactions.remove" => {
            let it = (said("channel"), said("timestamp"), said("name"));
            if state.reactions.remove(&it) { Ok(Map::new()) } else { Err("no_reaction".into()) }
        }
        "assistant.threads.setStatus" | "chat.postEphemeral" => Ok(Map::new()),
        "files.getUploadURLExternal" => {
            let length = match &params["length"] {
                Value::String(it) => it.parse().ok(),
                it => it.as_u64(),
            };
            let length = length.filter(|it| 0 < *it).ok_or("invalid_arguments")?;
            let name = said("filename");
            if name.is_empty() {
                return Err("invalid_arguments".into());
            }
            let id = format!("F{:08}", state.number());
            let length = usize::try_from(length).map_err(|_| "invalid_arguments")?;
            state.uploads.insert(id.clone(), (name, length));
            let url = format!("{}/upload/{id}", platform.own);
            object(json!({"upload_url": url, "file_id": id}))
        }
        "files.completeUploadExternal" => share(platform, &mut state, params),
        "files.info" => {
            let id = said("file");
            let (name, kind, bytes) = state.files.get(&id).ok_or("file_not_found")?;
            object(json!({"file": file_json(&platform.own, &id, name, kind, bytes.len())}))
        }
        _ => Err("unknown_method".into()),
    }
}

/// A page of a channel, the newest first, or of a thread, the oldest first, with its root.
fn history(state: &State, params: &Value) -> Answer {
    let said = |key: &str| params[key].as_str().unwrap_or_default();
    if state.gone.contains(said("channel")) {
        return Err("not_in_channel".into());
    }
    let thread = params["ts"].as_str();
    let oldest = said("oldest");
    let is_of = |channel: &Value, ts: &Value, of: &Value| {
        let root = thread.is_some() && ts.as_str() == thread;
        let here = match thread {
            Some(_) => of.as_str() == thread || root,
            None => of.is_null() || of == ts,
        };
        *channel == *said("channel") && here && (root || oldest <= ts.as_str().unwrap_or_default())
    };
    let mut found: Vec<Value> = { state.said.iter() }
        .filter(|it| is_of(&it["channel"], &it["ts"], &it["thread_ts"]))
        .map(|it| without(it.clone(), "channel"))
        .collect();
    for posted in &state.posted {
        let it = message(posted);
        if is_of(&posted.channel.as_str().into(), &it["ts"], &it["thread_ts"]) {
            let with_metadata = params["include_all_metadata"] == "true";
            found.push(if with_metadata { it } else { without(it, "metadata") });
        }
    }
    found.sort_by(|a, b| a["ts"].as_str().cmp(&b["ts"].as_str()));
    if thread.is_none() {
        found.reverse();
    }
    let from: usize = said("cursor").parse().unwrap_or_default();
    let limit = params["limit"].as_str().and_then(|it| it.parse().ok()).unwrap_or(100_usize);
    let page: Vec<Value> = found.iter().skip(from).take(limit).cloned().collect();
    let has_more = from + page.len() < found.len();
    let cursor = if has_more { (from + limit).to_string() } else { String::new() };
    object(json!({
        "messages": page, "has_more": has_more, "response_metadata": {"next_cursor": cursor},
    }))
}

fn without(mut message: Value, key: &str) -> Value {
    if let Some(fields) = message.as_object_mut() {
        fields.remove(key);
    }
    message
}

fn open(platform: &Platform, state: &mut State) -> Answer {
    if let Some(code) = state.refused.get("apps.connections.open") {
        return Err(code.clone());
    }
    let ticket = format!("t{}", state.number());
    state.tickets.insert(ticket.clone());
    let own = platform.own.replacen("http", "ws", 1);
    object(json!({"url": format!("{own}/socket?ticket={ticket}")}))
}

fn check_place(state: &State, params: &Value) -> Result<(String, Option<String>), String> {
    let channel = params["channel"].as_str().or(params["channel_id"].as_str()).unwrap_or_default();
    if channel.is_empty() || !channel.starts_with(['C', 'D', 'G', 'U']) {
        return Err("channel_not_found".into());
    }
    if state.gone.contains(channel) {
        return Err("not_in_channel".into());
    }
    let thread = params["thread_ts"].as_str().map(str::to_owned);
    let is_ts =
        |it: &String| it.split_once('.').is_some_and(|(a, b)| a.len() == 10 && b.len() == 6);
    if thread.as_ref().is_some_and(|it| !is_ts(it)) {
        return Err("invalid_thread_ts".into());
    }
    Ok((channel.to_owned(), thread))
}

fn check_blocks(blocks: &Value) -> Result<(), String> {
    let blocks = blocks.as_array().map_or(&[][..], Vec::as_slice);
    let chars = |it: &Value| it["text"]["text"].as_str().unwrap_or_default().chars().count();
    let is_good = |it: &Value| match it["type"].as_str() {
        Some("section") => (1..=MAX_SECTION_CHARS).contains(&chars(it)),
        Some("actions") => it["elements"].as_array().is_some_and(|all| {
            (1..=25).contains(&all.len())
                && all.iter().all(|it| (1..=MAX_LABEL_CHARS).contains(&chars(it)))
        }),
        _ => false,
    };
    let fits = blocks.len() <= MAX_BLOCKS && blocks.iter().all(is_good);
    if fits { Ok(()) } else { Err("invalid_blocks".into()) }
}

fn post(state: &mut State, params: &Value) -> Answer {
    let (channel, thread_ts) = check_place(state, params)?;
    check_blocks(&params["blocks"])?;
    let text = params["text"].as_str().unwrap_or_default();
    if text.is_empty() && params["blocks"].as_array().is_none_or(Vec::is_empty) {
        return Err("no_text".into());
    }
    let posted = Posted {
        ts: state.next_ts(),
        channel,
        thread_ts,
        text: text.to_owned(),
        blocks: params["blocks"].clone(),
        metadata: params["metadata"].clone(),
        edits: 0,
        file: None,
    };
    state.posted.push(posted.clone());
    object(json!({"channel": posted.channel, "ts": posted.ts, "message": message(&posted)}))
}

fn update(state: &mut State, params: &Value) -> Answer {
    check_blocks(&params["blocks"])?;
    let (channel, ts) = (&params["channel"], &params["ts"]);
    let found = state.posted.iter_mut().find(|it| *channel == *it.channel && *ts == *it.ts);
    let posted = found.ok_or("message_not_found")?;
    posted.text = params["text"].as_str().unwrap_or_default().to_owned();
    if !params["blocks"].is_null() {
        posted.blocks = params["blocks"].clone();
    }
    posted.edits += 1;
    object(json!({"channel": posted.channel, "ts": posted.ts, "text": posted.text}))
}

fn share(platform: &Platform, state: &mut State, params: &Value) -> Answer {
    let (channel, thread_ts) = check_place(state, params)?;
    let files = params["files"].as_array().ok_or("invalid_arguments")?;
    let mut shown = Vec::new();
    for file in files {
        let id = file["id"].as_str().unwrap_or_default();
        let (name, kind, bytes) = state.files.get(id).ok_or("file_not_found")?;
        shown.push(file_json(&platform.own, id, name, kind, bytes.len()));
        let posted = Posted {
            ts: state.next_ts(),
            channel: channel.clone(),
            thread_ts: thread_ts.clone(),
            text: params["initial_comment"].as_str().unwrap_or_default().to_owned(),
            blocks: Value::Null,
            metadata: Value::Null,
            edits: 0,
            file: Some((id.to_owned(), file["title"].as_str().unwrap_or_default().to_owned())),
        };
        state.posted.push(posted);
    }
    object(json!({"files": shown}))
}

fn message(it: &Posted) -> Value {
    json!({
        "type": "message", "user": BOT_USER, "bot_id": BOT, "ts": it.ts, "thread_ts": it.thread_ts,
        "text": it.text, "blocks": it.blocks, "metadata": it.metadata, "team": TEAM,
    })
}

fn object(value: Value) -> Answer {
    match value {
        Value::Object(fields) => Ok(fields),
        _ => Ok(Map::new()),
    }
}
