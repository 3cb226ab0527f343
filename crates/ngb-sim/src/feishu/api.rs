//! Calls of the open API: <https://open.feishu.cn/document/server-docs/api-call-guide/server-api-list>.

use axum::http::Method;
use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    BOT,
    platform::{Platform, Posted, State},
};

/// Longest content of a card and of any message, in bytes.
const MAX_CARD_BYTES: usize = 30 << 10;
const MAX_CONTENT_BYTES: usize = 150 << 10;

/// A call by a short name, and the ids of its path.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) name: &'static str,
    ids: Vec<String>,
}

/// What was made.
pub(super) enum Done {
    Json(Value),
    File(Bytes),
}

impl Asked {
    pub(super) fn of(method: &Method, path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.split('/').filter(|it| !it.is_empty()).collect();
        let inner = parts.strip_prefix(&["open-apis"]).unwrap_or(&parts);
        let (name, ids): (_, &[&str]) = match (method.as_str(), inner) {
            ("POST", ["callback", "ws", "endpoint"]) => ("endpoint", &[]),
            ("POST", ["auth", "v3", "tenant_access_token", "internal"]) => ("token", &[]),
            ("GET", ["bot", "v3", "info"]) => ("bot", &[]),
            ("GET", ["contact", "v3", "users", id]) => ("user", &[id]),
            ("GET", ["im", "v1", "chats", id]) => ("chat", &[id]),
            ("POST", ["im", "v1", "messages"]) => ("sendMessage", &[]),
            ("GET", ["im", "v1", "messages"]) => ("listMessages", &[]),
            ("GET", ["im", "v1", "messages", id]) => ("message", &[id]),
            ("PATCH", ["im", "v1", "messages", id]) => ("editMessage", &[id]),
            ("POST", ["im", "v1", "messages", id, "reply"]) => ("sendReply", &[id]),
            ("POST", ["im", "v1", "messages", id, "reactions"]) => ("react", &[id]),
            ("DELETE", ["im", "v1", "messages", id, "reactions", it]) => ("unreact", &[id, it]),
            ("GET", ["im", "v1", "messages", id, "resources", key]) => ("resource", &[id, key]),
            ("POST", ["im", "v1", "images"]) => ("uploadImage", &[]),
            ("POST", ["im", "v1", "files"]) => ("uploadFile", &[]),
            ("POST", ["cardkit", "v1", "cards"]) => ("makeCard", &[]),
            ("PUT", ["cardkit", "v1", "cards", id]) => ("updateCard", &[id]),
            ("PUT", ["cardkit", "v1", "cards", id, "elements", it, "content"]) => {
                ("streamCard", &[id, it])
            }
            _ => return None,
        };
        Some(Self { name, ids: ids.iter().map(|it| (*it).to_owned()).collect() })
    }
}

pub(super) fn call(
    platform: &Platform,
    asked: &Asked,
    query: &str,
    token: &str,
    body: &Value,
    file: Option<(String, Bytes)>,
) -> Result<Done, i64> {
    let config = &platform.config;
    let mut state = platform.lock();
    if let Some(code) = state.refused.get(asked.name) {
        return Err(*code);
    }
    match asked.name {
        "endpoint" => {
            if body["AppID"] != *config.app_id || body["AppSecret"] != *config.app_secret {
                return Err(514);
            }
            let ticket = format!("t{}", state.number());
            state.tickets.insert(ticket.clone());
            let url = format!("ws://{}/socket?device_id={ticket}&service_id=7", platform.host);
            let client = json!({"ReconnectCount": -1, "ReconnectInterval": 1, "ReconnectNonce": 0, "PingInterval": config.ping_s});
            return Ok(Done::Json(json!({"data": {"URL": url, "ClientConfig": client}})));
        }
        "token" => {
            if body["app_id"] != *config.app_id {
                return Err(10_003);
            }
            if body["app_secret"] != *config.app_secret {
                return Err(10_014);
            }
            state.figures.tokens += 1;
            let token = format!("t-{}", state.number());
            state.token = Some(token.clone());
            return Ok(Done::Json(json!({"tenant_access_token": token, "expire": 7200})));
        }
        _ if state.token.as_deref() != Some(token) => return Err(99_991_663),
        _ => (),
    }
    let id = asked.ids.first().map_or("", String::as_str);
    let param = |name: &str| {
        let found = query.split('&').find_map(|it| it.strip_prefix(name)?.strip_prefix('='));
        found.unwrap_or_default().to_owned()
    };
    let data = match asked.name {
        "bot" => {
            let bot = json!({"activate_status": if state.unpublished { 1 } else { 2 }, "app_name": config.name, "open_id": BOT, "avatar_url": ""});
            return Ok(Done::Json(json!({"bot": bot})));
        }
        "user" => {
            let name = state.names.get(id).ok_or(41_050)?;
            json!({"user": {"open_id": id, "name": name}})
        }
        "chat" => {
            let mode = if id.starts_with("oc_p") { "p2p" } else { "group" };
            let name = state.names.get(id).map_or("a chat", String::as_str);
            json!({"name": name, "chat_mode": mode})
        }
        "sendMessage" => {
            let (kind, to) =
                (param("receive_id_type"), body["receive_id"].as_str().unwrap_or_default());
            let fits = match kind.as_str() {
                "chat_id" => to.starts_with("oc_"),
                "open_id" => to.starts_with("ou_"),
                "union_id" => to.starts_with("on_"),
                "email" => to.contains('@'),
                "user_id" => !to.is_empty(),
                _ => false,
            };
            if !fits {
                return Err(230_001);
            }
            post(&mut state, body, to, &kind, None)?
        }
        "sendReply" => {
            if state.gone.contains(id) {
                return Err(230_011);
            }
            let parent = state.history.iter().find(|it| it["message_id"] == *id);
            let chat = parent.and_then(|it| it["chat_id"].as_str()).unwrap_or_default().to_owned();
            post(&mut state, body, &chat, "", Some(id))?
        }
        "editMessage" => edit(&mut state, id, body)?,
        "message" => {
            let found: Vec<&Value> =
                state.history.iter().filter(|it| it["message_id"] == *id).collect();
            if found.is_empty() {
                return Err(230_002);
            }
            json!({"items": found})
        }
        "listMessages" => list(&state, &param),
        "react" => {
            let reaction = format!("r{}", state.number());
            state.reactions.insert(reaction.clone(), id.to_owned());
            json!({"reaction_id": reaction})
        }
        "unreact" => {
            state.reactions.remove(&asked.ids[1]).ok_or(231_003)?;
            json!({})
        }
        "resource" => {
            let kind = param("type");
            let found = state.files.get(&asked.ids[1]).ok_or(234_003)?;
            if kind != "image" && kind != "file" {
                return Err(234_001);
            }
            return Ok(Done::File(found.1.clone()));
        }
        "uploadImage" | "uploadFile" => {
            let is_image = asked.name == "uploadImage";
            let (name, bytes) = file.ok_or(234_001)?;
            let field = if is_image { "image_type" } else { "file_type" };
            let named = is_image || body["file_name"].is_string();
            if body[field].is_null() || !named || bytes.is_empty() {
                return Err(234_001);
            }
            let key = format!("{}_{}", if is_image { "img" } else { "file" }, state.number());
            state.files.insert(key.clone(), (name, bytes));
            json!({if is_image { "image_key" } else { "file_key" }: key})
        }
        "makeCard" => {
            let card = card(&body["data"])?;
            let id = format!("card_{}", state.number());
            state.cards.insert(id.clone(), (card, 0));
            json!({"card_id": id})
        }
        "updateCard" | "streamCard" => {
            let sequence = body["sequence"].as_i64().ok_or(200_860)?;
            let (shown, last) = state.cards.get_mut(id).ok_or(200_740)?;
            if sequence <= *last {
                return Err(300_317);
            }
            *last = sequence;
            if asked.name == "updateCard" {
                *shown = card(&body["card"]["data"])?;
            } else {
                if shown["config"]["streaming_mode"] != true {
                    return Err(300_309);
                }
                let element = &mut shown["body"]["elements"][0];
                if element["element_id"] != *asked.ids[1] {
                    return Err(300_313);
                }
                element["content"] = body["content"].clone();
            }
            let shown = shown.clone();
            for posted in state.posted.iter_mut().filter(|it| it.card.as_deref() == Some(id)) {
                posted.content = shown.clone();
                posted.edits += 1;
            }
            json!({})
        }
        _ => return Err(404),
    };
    Ok(Done::Json(json!({"data": data})))
}

/// A card, if it is one of the second kind.
fn card(data: &Value) -> Result<Value, i64> {
    let text = data.as_str().ok_or(200_621)?;
    let card: Value = serde_json::from_str(text).map_err(|_| 200_621)?;
    let elements = card["body"]["elements"].as_array().ok_or(200_621)?;
    let good = |it: &Value| match it["tag"].as_str() {
        Some("markdown") => it["content"].is_string(),
        Some("button") => {
            it["text"]["content"].is_string() && it["behaviors"][0]["value"].is_object()
        }
        _ => false,
    };
    if MAX_CARD_BYTES < text.len() || card["schema"] != "2.0" || !elements.iter().all(good) {
        return Err(230_099);
    }
    Ok(card)
}

fn post(
    state: &mut State,
    body: &Value,
    to: &str,
    to_kind: &str,
    reply_to: Option<&str>,
) -> Result<Value, i64> {
    let kind = body["msg_type"].as_str().ok_or(230_001)?;
    let text = body["content"].as_str().ok_or(230_001)?;
    if MAX_CONTENT_BYTES < text.len() {
        return Err(230_025);
    }
    let uuid = body["uuid"].as_str().map(str::to_owned);
    if uuid.as_ref().is_some_and(|it| 50 < it.len()) {
        return Err(230_001);
    }
    let there = state.posted.iter().find(|it| uuid.is_some() && it.uuid == uuid);
    if let Some(there) = there {
        return Ok(json!({"message_id": there.id}));
    }
    let given: Value = serde_json::from_str(text).map_err(|_| 230_001)?;
    let mut by_id = None;
    let content = match kind {
        "interactive" if given["type"] == "card" => {
            let id = given["data"]["card_id"].as_str().ok_or(230_099)?;
            by_id = Some(id.to_owned());
            state.cards.get(id).map(|it| it.0.clone()).ok_or(200_740)?
        }
        "interactive" => card(&body["content"])?,
        "text" if given["text"].as_str().is_none_or(str::is_empty) => return Err(230_001),
        // What is sent has its languages outside, and nothing around them.
        "post"
            if !given
                .as_object()
                .is_some_and(|it| it.values().all(|it| it["content"].is_array())) =>
        {
            return Err(230_001);
        }
        "text" | "post" | "image" | "file" | "audio" | "media" => given,
        _ => return Err(230_001),
    };
    let id = format!("om_{}", state.number());
    state.posted.push(Posted {
        id: id.clone(),
        to: to.to_owned(),
        to_kind: to_kind.to_owned(),
        reply_to: reply_to.map(str::to_owned),
        in_thread: body["reply_in_thread"] == true,
        kind: kind.to_owned(),
        content,
        uuid,
        edits: 0,
        card: by_id,
    });
    Ok(json!({"message_id": id, "chat_id": to, "msg_type": kind}))
}

fn edit(state: &mut State, id: &str, body: &Value) -> Result<Value, i64> {
    let card = card(&body["content"])?;
    let posted = state.posted.iter_mut().find(|it| it.id == id).ok_or(230_002)?;
    if posted.kind != "interactive" {
        return Err(230_001);
    }
    posted.content = card;
    posted.edits += 1;
    Ok(json!({}))
}

/// A page of the history: what a chat shows by itself, or a topic.
fn list(state: &State, param: &impl Fn(&str) -> String) -> Value {
    let container = param("container_id");
    let start: i64 = param("start_time").parse().unwrap_or_default();
    let from: usize = param("page_token").parse().unwrap_or_default();
    let size: usize = param("page_size").parse().unwrap_or(20);
    let of = |it: &&Value| {
        let created: i64 =
            it["create_time"].as_str().and_then(|it| it.parse().ok()).unwrap_or_default();
        let is_root = it["root_id"].is_null();
        match param("container_id_type").as_str() {
            "thread" => it["thread_id"] == *container,
            _ => it["chat_id"] == *container && is_root && start <= created / 1000,
        }
    };
    let all: Vec<&Value> = state.history.iter().filter(of).collect();
    let page: Vec<&Value> = all.iter().skip(from).take(size).copied().collect();
    let has_more = from + page.len() < all.len();
    json!({"items": page, "has_more": has_more, "page_token": (from + page.len()).to_string()})
}
