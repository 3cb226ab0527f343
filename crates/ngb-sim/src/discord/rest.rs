//! Calls of the REST API: <https://docs.discord.com/developers/reference>.

use axum::http::Method;
use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    APPLICATION, BOT, DIRECT, GUILD,
    platform::{Answered, Platform, Posted, State, user},
    rules::{Refusal, bad_field, check, refuse},
};

/// A call by its name in the documentation, and the ids of its path.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) name: &'static str,
    pub(super) ids: Vec<String>,
}

impl Call {
    pub(super) fn of(method: &Method, path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.split('/').filter(|it| !it.is_empty()).collect();
        let (name, ids): (_, &[&str]) = match (method.as_str(), parts.as_slice()) {
            ("GET", ["gateway", "bot"]) => ("gatewayBot", &[]),
            ("GET", ["gateway"]) => ("gateway", &[]),
            ("GET", ["users", "@me"]) => ("getMe", &[]),
            ("POST", ["users", "@me", "channels"]) => ("openDirect", &[]),
            ("GET", ["applications", "@me"] | ["oauth2", "applications", "@me"]) => {
                ("getApplication", &[])
            }
            ("GET", ["applications", _, "commands"]) => ("getCommands", &[]),
            ("POST", ["applications", _, "commands"]) => ("addCommand", &[]),
            ("PUT", ["applications", _, "commands"]) => ("setCommands", &[]),
            ("GET", ["guilds", id]) => ("getGuild", &[id]),
            ("GET", ["channels", id]) => ("getChannel", &[id]),
            ("GET", ["channels", id, "messages"]) => ("getMessages", &[id]),
            ("POST", ["channels", id, "messages"]) => ("createMessage", &[id]),
            ("GET", ["channels", id, "messages", it]) => ("getMessage", &[id, it]),
            ("PATCH", ["channels", id, "messages", it]) => ("editMessage", &[id, it]),
            ("PUT", ["channels", id, "messages", it, "reactions", emoji, "@me"]) => {
                ("react", &[id, it, emoji])
            }
            ("DELETE", ["channels", id, "messages", it, "reactions", emoji, "@me"]) => {
                ("unreact", &[id, it, emoji])
            }
            ("POST", ["channels", id, "typing"]) => ("typing", &[id]),
            ("POST", ["channels", id, "threads"]) => ("createPost", &[id]),
            ("POST", ["interactions", id, token, "callback"]) => ("callback", &[id, token]),
            _ => return None,
        };
        Some(Self { name, ids: ids.iter().map(|it| (*it).to_owned()).collect() })
    }
}

pub(super) fn call(
    platform: &Platform,
    call: &Call,
    query: &str,
    body: &Value,
    files: Vec<(String, Bytes)>,
) -> Result<Value, Refusal> {
    let config = &platform.config;
    let mut state = platform.lock();
    let flags = if config.message_content { 1 << 19 } else { 0 };
    match call.name {
        "gatewayBot" => Ok(json!({
            "url": format!("ws://{}/gateway", platform.host), "shards": 1,
            "session_start_limit": {"total": 1000, "remaining": state.sessions_left, "reset_after": 14_400_000, "max_concurrency": 1},
        })),
        "gateway" => Ok(json!({"url": format!("ws://{}/gateway", platform.host)})),
        "getMe" => Ok(user(BOT, &config.name)),
        "openDirect" => Ok(state.channels[DIRECT].clone()),
        "getApplication" => Ok(json!({
            "id": APPLICATION, "name": config.name, "icon": null, "description": "", "bot_public": true, "flags": flags,
            "bot_require_code_grant": false, "verify_key": "00", "owner": user("1", "ann"), "team": null,
        })),
        "getCommands" => Ok(state.commands.clone().into()),
        "addCommand" => {
            let name = body["name"].as_str().unwrap_or_default();
            let good = |c: char| c.is_ascii_lowercase() || c == '-';
            if !(1..=32).contains(&name.len())
                || !name.chars().all(good)
                || body["description"] == Value::Null
            {
                return Err(bad_field("name", "Command name is invalid"));
            }
            let mut command = body.clone();
            command["id"] = state.id(config.clock.now()).into();
            command["application_id"] = APPLICATION.into();
            state.commands.retain(|it| it["name"] != *name);
            state.commands.push(command.clone());
            Ok(command)
        }
        "setCommands" => {
            let mut all = body.as_array().cloned().unwrap_or_default();
            for command in &mut all {
                command["id"] = state.id(config.clock.now()).into();
                command["application_id"] = APPLICATION.into();
                command["version"] = "1".into();
            }
            state.commands = all;
            Ok(state.commands.clone().into())
        }
        "getGuild" => Ok(state.guild()),
        "getChannel" => state.channels.get(&call.ids[0]).cloned().ok_or_else(unknown_channel),
        "getMessages" => {
            check_channel(&state, &call.ids[0])?;
            Ok(history(&state, &call.ids[0], query).into())
        }
        "getMessage" => {
            let found = find(&mut state, &call.ids)?.clone();
            Ok(shown(&state, &platform.host, found))
        }
        "react" => {
            find(&mut state, &call.ids)?;
            state.reactions.push((call.ids[1].clone(), call.ids[2].clone()));
            Ok(Value::Null)
        }
        "unreact" => {
            find(&mut state, &call.ids)?;
            state.reactions.retain(|it| (&it.0, &it.1) != (&call.ids[1], &call.ids[2]));
            Ok(Value::Null)
        }
        "createMessage" => {
            check_channel(&state, &call.ids[0])?;
            if state.channels[&call.ids[0]]["type"] == 15 {
                return Err(refuse(400, 50_008, "Cannot send messages in a non-text channel"));
            }
            check(body, !files.is_empty())?;
            post(platform, &mut state, &call.ids[0], body, files)
        }
        "createPost" => {
            check_channel(&state, &call.ids[0])?;
            let name = body["name"].as_str().unwrap_or_default();
            if !(1..=100).contains(&name.chars().count()) {
                return Err(bad_field("name", "Must be between 1 and 100 in length."));
            }
            check(&body["message"], !files.is_empty())?;
            let id = state.id(config.clock.now());
            let thread = json!({
                "id": id, "type": 11, "name": name, "guild_id": GUILD, "parent_id": call.ids[0], "owner_id": BOT,
                "message_count": 0, "member_count": 1, "flags": 0, "last_message_id": null,
                "thread_metadata": {
                    "archived": false, "auto_archive_duration": 60, "locked": false,
                    "archive_timestamp": "2026-01-01T00:00:00+00:00",
                },
            });
            state.channels.insert(id.clone(), thread.clone());
            state.tell("THREAD_CREATE", thread.clone());
            let message = post(platform, &mut state, &id, &body["message"], files)?;
            let mut thread = thread;
            thread["message"] = message;
            Ok(thread)
        }
        "editMessage" => {
            check(body, true)?;
            edit(&mut state, &call.ids, body, &config.clock.now().to_string())
        }
        "typing" => check_channel(&state, &call.ids[0]).map(|()| Value::Null),
        "callback" => {
            if call.ids[1] != format!("secret-{}", call.ids[0]) {
                return Err(refuse(404, 10_062, "Unknown interaction"));
            }
            if state.answered.iter().any(|it| it.interaction == call.ids[0]) {
                return Err(refuse(400, 40_060, "Interaction has already been acknowledged."));
            }
            if body["type"] == 4 {
                check(&body["data"], false)?;
            }
            state.answered.push(Answered { interaction: call.ids[0].clone(), body: body.clone() });
            Ok(Value::Null)
        }
        _ => Err(refuse(404, 0, "404: Not Found")),
    }
}

fn unknown_channel() -> Refusal {
    refuse(404, 10_003, "Unknown Channel")
}

fn check_channel(state: &State, id: &str) -> Result<(), Refusal> {
    if state.channels.contains_key(id) { Ok(()) } else { Err(unknown_channel()) }
}

/// A page of a channel's messages, the newest first. Fetched ones don't say where they were written.
fn history(state: &State, channel: &str, query: &str) -> Vec<Value> {
    let param = |name: &str| {
        let found = query.split('&').find_map(|it| it.strip_prefix(name)?.strip_prefix('='));
        found.and_then(|it| it.parse::<u64>().ok())
    };
    let id =
        |it: &Value| it["id"].as_str().and_then(|it| it.parse::<u64>().ok()).unwrap_or_default();
    let limit = usize::try_from(param("limit").unwrap_or(50).min(100)).unwrap_or(50);
    let all = state.history.get(channel).map_or(&[][..], Vec::as_slice);
    let mut page: Vec<Value> = match param("after") {
        Some(after) => all.iter().filter(|it| after < id(it)).take(limit).cloned().collect(),
        None => all[all.len().saturating_sub(limit)..].to_vec(),
    };
    page.reverse();
    for message in &mut page {
        if let Some(fields) = message.as_object_mut() {
            fields.remove("guild_id");
            fields.remove("member");
        }
    }
    page
}

fn find<'a>(state: &'a mut State, ids: &[String]) -> Result<&'a mut Value, Refusal> {
    let all = state.history.get_mut(&ids[0]).ok_or_else(unknown_channel)?;
    all.iter_mut()
        .find(|it| it["id"] == *ids[1])
        .ok_or_else(|| refuse(404, 10_008, "Unknown Message"))
}

/// A message with links to its files that are good today.
fn shown(state: &State, host: &str, mut message: Value) -> Value {
    for file in message["attachments"].as_array_mut().into_iter().flatten() {
        let id = file["id"].as_str().unwrap_or_default().to_owned();
        *file = state.attachment(host, &id);
    }
    message
}

fn post(
    platform: &Platform,
    state: &mut State,
    channel: &str,
    body: &Value,
    files: Vec<(String, Bytes)>,
) -> Result<Value, Refusal> {
    // The same nonce again is the same message.
    let nonce = text(&body["nonce"]);
    if body["enforce_nonce"] == true
        && let Some(there) = state.posted.iter().find(|it| it.nonce.is_some() && it.nonce == nonce)
    {
        let ids = [there.channel.clone(), there.id.clone()];
        return find(state, &ids).cloned();
    }
    let reference = &body["message_reference"];
    let reply_to = text(&reference["message_id"]);
    let before = reply_to.as_ref().and_then(|it| {
        state.history.get(channel)?.iter().find(|message| message["id"] == *it).cloned()
    });
    if reply_to.is_some() && before.is_none() && reference["fail_if_not_exists"] != false {
        return Err(bad_field("message_reference", "Unknown message"));
    }
    let now = platform.config.clock.now();
    let id = state.id(now);
    let mut kept = Vec::new();
    for (name, bytes) in files {
        let file = state.id(now);
        let kind = if name.ends_with(".png") { "image/png" } else { "application/octet-stream" };
        state.files.insert(file.clone(), (name.clone(), kind.to_owned(), bytes));
        kept.push((file, name));
    }
    let mut message = state.message(channel, &id, now, user(BOT, &platform.config.name));
    let content = body["content"].as_str().unwrap_or_default();
    message["content"] = content.into();
    if body["components"].is_array() {
        message["components"] = body["components"].clone();
    }
    if !body["nonce"].is_null() {
        message["nonce"] = body["nonce"].clone();
    }
    let attachments = kept.iter().map(|(id, _)| state.attachment(&platform.host, id)).collect();
    message["attachments"] = Value::Array(attachments);
    if let Some(before) = &before {
        message["type"] = 19.into();
        message["message_reference"] =
            json!({"type": 0, "message_id": before["id"], "channel_id": channel});
        message["referenced_message"] = before.clone();
    }
    state.posted.push(Posted {
        channel: channel.to_owned(),
        id,
        content: content.to_owned(),
        reply_to: before.and_then(|it| it["id"].as_str().map(str::to_owned)),
        components: body["components"].clone(),
        allowed_mentions: body["allowed_mentions"].clone(),
        nonce,
        edits: 0,
        files: kept,
    });
    state.tell_message(channel, message.clone());
    Ok(message)
}

fn edit(state: &mut State, ids: &[String], body: &Value, at: &str) -> Result<Value, Refusal> {
    let message = find(state, ids)?;
    if message["author"]["id"] != BOT {
        return Err(refuse(403, 50_005, "Cannot edit a message authored by another user"));
    }
    for field in ["content", "components"] {
        if !body[field].is_null() {
            message[field] = body[field].clone();
        }
    }
    message["edited_timestamp"] = at.into();
    let message = message.clone();
    for posted in state.posted.iter_mut().filter(|it| it.id == ids[1]) {
        message["content"].as_str().unwrap_or_default().clone_into(&mut posted.content);
        posted.components = message["components"].clone();
        posted.edits += 1;
    }
    state.tell("MESSAGE_UPDATE", message.clone());
    Ok(message)
}

/// Numbers are taken for text, as Discord takes them.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(it) => Some(it.clone()),
        Value::Number(it) => Some(it.to_string()),
        _ => None,
    }
}
