//! The methods that answer at once: sends, edits, files, settings.

use std::time::Duration;

use ngb_core::text::Unit;
use serde_json::{Value, json};

use super::{
    draft::chat_facts,
    http::{Failure, Reply},
    markup,
    params::Params,
    platform::{Edit, Hook, Platform, SentFile, SentMessage, State},
};

/// Longest text of a message, in UTF-16 units after markup is parsed.
const MAX_TEXT: usize = 4096;

/// Longest caption, in UTF-16 units after markup is parsed.
const MAX_CAPTION: usize = 1024;

/// Largest file that a bot may download, in bytes.
const MAX_DOWNLOAD_BYTES: usize = 20 << 20;

/// Some of the emoji that may be put under a message, of those in the Bot API's `ReactionTypeEmoji`.
const REACTIONS: &[&str] =
    &["👍", "👎", "❤", "🔥", "🥰", "👏", "😁", "🤔", "🎉", "🙏", "👌", "👀", "💯"];

/// Longest `callback_data`, in bytes.
const MAX_CALLBACK_BYTES: usize = 64;

pub(super) fn call(platform: &Platform, method: &str, params: &Params) -> Result<Reply, Failure> {
    match method.to_ascii_lowercase().as_str() {
        "getme" => Ok(Reply::Value((*platform.bot).clone())),
        "sendmessage" => send(platform, method, params, None),
        "sendphoto" => send(platform, method, params, Some("photo")),
        "senddocument" => send(platform, method, params, Some("document")),
        "sendvoice" => send(platform, method, params, Some("voice")),
        "sendaudio" => send(platform, method, params, Some("audio")),
        "sendvideo" => send(platform, method, params, Some("video")),
        "sendanimation" => send(platform, method, params, Some("animation")),
        "editmessagetext" => edit(platform, params, true),
        "editmessagereplymarkup" => edit(platform, params, false),
        "sendchataction" => {
            let chat = chat(platform, params)?;
            if params.text("action").is_none_or(str::is_empty) {
                return Err(Failure::bad("wrong parameter action in request"));
            }
            tracing::trace!(chat, "chat action");
            Ok(Reply::Value(true.into()))
        }
        "setmessagereaction" => {
            chat(platform, params)?;
            let known = |it: &Value| match it["type"].as_str() {
                Some("emoji") => it["emoji"].as_str().is_some_and(|it| REACTIONS.contains(&it)),
                kind => kind == Some("custom_emoji"),
            };
            match params.json("reaction") {
                Some(Value::Array(all)) if all.len() <= 1 && all.iter().all(known) => {
                    Ok(Reply::Value(true.into()))
                }
                _ => Err(Failure::bad("REACTION_INVALID")),
            }
        }
        "answercallbackquery" => match params.text("callback_query_id") {
            Some(id) if id.starts_with("cb") => Ok(Reply::Value(true.into())),
            _ => Err(Failure::bad(
                "query is too old and response timeout expired or query ID is invalid",
            )),
        },
        "getchat" => {
            let mut facts = chat_facts(chat(platform, params)?);
            facts["accent_color_id"] = 0.into();
            facts["max_reaction_count"] = 11.into();
            facts["accepted_gift_types"] = json!({
                "unlimited_gifts": false, "limited_gifts": false, "unique_gifts": false,
                "premium_subscription": false, "gifts_from_channels": false,
            });
            Ok(Reply::Value(facts))
        }
        "getfile" => get_file(platform, params),
        "setmycommands" => match params.json("commands") {
            Some(Value::Array(_)) => Ok(Reply::Value(true.into())),
            _ => Err(Failure::bad("can't parse commands")),
        },
        "setwebhook" => set_webhook(platform, params),
        "deletewebhook" => {
            let mut state = platform.lock();
            state.webhook = None;
            if params.flag("drop_pending_updates") {
                state.queue.clear();
            }
            Ok(Reply::Value(true.into()))
        }
        "getwebhookinfo" => {
            let state = platform.lock();
            let hook = state.webhook.as_ref();
            let mut info = json!({
                "url": hook.map_or("", |it| &it.url), "has_custom_certificate": false,
                "pending_update_count": state.queue.len(),
            });
            if let Some(error) = hook.and_then(|it| it.last_error.as_deref()) {
                info["last_error_message"] = error.into();
                info["last_error_date"] = (platform.clock.now().0 / 1000).into();
            }
            Ok(Reply::Value(info))
        }
        _ => Err(Failure::new(404, "Not Found")),
    }
}

/// The chat of a call, when the bot may act in it.
fn chat(platform: &Platform, params: &Params) -> Result<i64, Failure> {
    let Some(chat) = params.number("chat_id").filter(|it| *it != 0) else {
        return Err(Failure::bad("chat not found"));
    };
    let state = platform.lock();
    if let Some(to) = state.moved.get(&chat) {
        let mut failure = Failure::bad("group chat was upgraded to a supergroup chat");
        failure.parameters = Some(json!({"migrate_to_chat_id": to}));
        return Err(failure);
    }
    if state.blocked.contains(&chat) {
        return Err(Failure::new(403, "Forbidden: bot was blocked by the user"));
    }
    Ok(chat)
}

fn send(
    platform: &Platform,
    method: &str,
    params: &Params,
    file: Option<&str>,
) -> Result<Reply, Failure> {
    let chat = chat(platform, params)?;
    let (key, listed, max) = match file {
        None => ("text", "entities", MAX_TEXT),
        Some(_) => ("caption", "caption_entities", MAX_CAPTION),
    };
    let (text, entities) = formatted(params, key, listed)?;
    if file.is_none() && text.trim().is_empty() {
        return Err(Failure::bad("message text is empty"));
    }
    if max < Unit::Utf16.count(&text) {
        let what =
            if file.is_none() { "message is too long" } else { "message caption is too long" };
        return Err(Failure::bad(what));
    }
    let reply_markup = reply_markup(params)?;
    let now = platform.clock.now();
    let mut state = platform.lock();
    let file = match file {
        None => None,
        Some(field) => Some(take_file(&mut state, params, field)?),
    };
    let reply_to = replied(&state, params, chat)?;
    let id = state.next_message;
    state.next_message += 1;
    let at = state.sent.len();
    let sent = SentMessage {
        id,
        chat,
        thread: params.number("message_thread_id"),
        method: method.to_owned(),
        text,
        entities,
        reply_to,
        reply_markup,
        file: file.map(|(_, file)| file),
        edits: Vec::new(),
        at: now,
        answered_at: None,
    };
    let message = shown(&sent, &platform.bot);
    state.by_id.insert((chat, id), at);
    state.sent.push(sent);
    Ok(Reply::Sent { message, at })
}

fn edit(platform: &Platform, params: &Params, with_text: bool) -> Result<Reply, Failure> {
    let chat = chat(platform, params)?;
    let (text, entities) = formatted(params, "text", "entities")?;
    if with_text && text.trim().is_empty() {
        return Err(Failure::bad("message text is empty"));
    }
    if MAX_TEXT < Unit::Utf16.count(&text) {
        return Err(Failure::bad("MESSAGE_TOO_LONG"));
    }
    let reply_markup = reply_markup(params)?;
    let now = platform.clock.now();
    let mut state = platform.lock();
    let id = params.number("message_id").unwrap_or(0);
    let Some(at) = state.by_id.get(&(chat, id)).copied() else {
        return Err(Failure::bad("message to edit not found"));
    };
    let sent = &mut state.sent[at];
    let same_text = !with_text || (sent.text == text && sent.entities == entities);
    if same_text && sent.reply_markup == reply_markup {
        return Err(Failure::bad(
            "message is not modified: specified new message content and reply markup are exactly the same as a \
             current content and reply markup of the message",
        ));
    }
    if with_text {
        sent.text.clone_from(&text);
        sent.entities = entities;
        sent.edits.push(Edit { text, at: now });
    }
    sent.reply_markup = reply_markup;
    let mut message = shown(sent, &platform.bot);
    message["edit_date"] = (now.0 / 1000).into();
    Ok(Reply::Sent { message, at })
}

/// Text and entities of a call, from its markup or its list.
fn formatted(params: &Params, key: &str, listed: &str) -> Result<(String, Vec<Value>), Failure> {
    let text = params.text(key).unwrap_or_default();
    let parsed = match params.text("parse_mode").unwrap_or_default().to_lowercase().as_str() {
        "" => {
            let entities = match params.json(listed) {
                Some(Value::Array(entities)) => entities,
                _ => Vec::new(),
            };
            markup::check(text, &entities).map(|()| (text.to_owned(), entities))
        }
        "html" => markup::html(text),
        "markdownv2" => markup::markdown_v2(text),
        // The old dialect is not for new bots.
        _ => return Err(Failure::bad("unsupported parse_mode")),
    };
    parsed.map_err(|why| Failure::bad(format!("can't parse entities: {why}")))
}

fn reply_markup(params: &Params) -> Result<Option<Value>, Failure> {
    let Some(markup) = params.json("reply_markup") else { return Ok(None) };
    let rows = markup["inline_keyboard"].as_array().into_iter().flatten();
    for button in rows.flat_map(|row| row.as_array().into_iter().flatten()) {
        if button["text"].as_str().is_none_or(str::is_empty) {
            return Err(Failure::bad("inline keyboard button text is empty"));
        }
        if let Some(data) = button["callback_data"].as_str()
            && (data.is_empty() || MAX_CALLBACK_BYTES < data.len())
        {
            return Err(Failure::bad("BUTTON_DATA_INVALID"));
        }
    }
    Ok(Some(markup))
}

/// The message that this one answers. What people wrote is not kept, so any id below the newest will do.
fn replied(state: &State, params: &Params, chat: i64) -> Result<Option<i64>, Failure> {
    let reply = params.json("reply_parameters");
    let from_parameters = reply.as_ref().and_then(|it| it["message_id"].as_i64());
    let Some(id) = from_parameters.or_else(|| params.number("reply_to_message_id")) else {
        return Ok(None);
    };
    if 0 < id && id < state.next_message || state.by_id.contains_key(&(chat, id)) {
        return Ok(Some(id));
    }
    let lenient = reply.is_some_and(|it| it["allow_sending_without_reply"] == true);
    if lenient { Ok(None) } else { Err(Failure::bad("message to be replied not found")) }
}

/// The file of a call: uploaded, attached by name, or sent again by its id.
fn take_file(
    state: &mut State,
    params: &Params,
    field: &str,
) -> Result<(String, SentFile), Failure> {
    let named = params.text(field).unwrap_or_default();
    let key = named.strip_prefix("attach://").unwrap_or(field);
    if let Some(part) = params.files.get(key) {
        let file_id = state.add_file(part.bytes.clone());
        let file = SentFile {
            name: part.name.clone(),
            media_type: part.media_type.clone(),
            size_bytes: part.bytes.len(),
            file_id,
        };
        return Ok((field.to_owned(), file));
    }
    match state.files.get(named) {
        Some(bytes) => {
            let size_bytes = bytes.len();
            let file_id = named.to_owned();
            let file = SentFile { name: "file".into(), media_type: None, size_bytes, file_id };
            Ok((field.to_owned(), file))
        }
        None => Err(Failure::bad(format!("there is no {field} in the request"))),
    }
}

fn get_file(platform: &Platform, params: &Params) -> Result<Reply, Failure> {
    let id = params.text("file_id").unwrap_or_default();
    let state = platform.lock();
    let Some(bytes) = state.files.get(id) else {
        return Err(Failure::bad("invalid file_id"));
    };
    if MAX_DOWNLOAD_BYTES < bytes.len() {
        return Err(Failure::bad("file is too big"));
    }
    Ok(Reply::Value(json!({
        "file_id": id, "file_unique_id": format!("u-{id}"), "file_size": bytes.len(),
        "file_path": format!("documents/{id}"),
    })))
}

fn set_webhook(platform: &Platform, params: &Params) -> Result<Reply, Failure> {
    let url = params.text("url").unwrap_or_default().to_owned();
    let secret = params.text("secret_token").map(str::to_owned);
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if secret.as_deref().is_some_and(|it| !(1..=256).contains(&it.len()) || !it.chars().all(plain))
    {
        return Err(Failure::bad("secret token contains unallowed characters"));
    }
    let mut state = platform.lock();
    if let Some(Value::Array(kinds)) = params.json("allowed_updates") {
        let kinds: Vec<String> =
            kinds.iter().filter_map(|it| Some(it.as_str()?.to_owned())).collect();
        state.allowed = Some(kinds).filter(|it| !it.is_empty());
    }
    state.webhook = (!url.is_empty()).then_some(Hook { url, secret, last_error: None });
    Ok(Reply::Value(true.into()))
}

/// A message as the bot gets to see it.
fn shown(sent: &SentMessage, bot: &Value) -> Value {
    let mut message = json!({
        "message_id": sent.id, "date": sent.at.0 / 1000, "chat": chat_facts(sent.chat),
        "from": {
            "id": bot["id"], "is_bot": true, "first_name": bot["first_name"], "username": bot["username"],
        },
    });
    let (text, entities) = match sent.file {
        None => ("text", "entities"),
        Some(_) => ("caption", "caption_entities"),
    };
    if !sent.text.is_empty() {
        message[text] = sent.text.as_str().into();
    }
    if !sent.entities.is_empty() {
        message[entities] = sent.entities.clone().into();
    }
    if let Some(thread) = sent.thread {
        message["message_thread_id"] = thread.into();
        message["is_topic_message"] = true.into();
    }
    if let Some(id) = sent.reply_to {
        message["reply_to_message"] =
            json!({"message_id": id, "date": sent.at.0 / 1000, "chat": chat_facts(sent.chat)});
    }
    if let Some(markup) = &sent.reply_markup {
        message["reply_markup"] = markup.clone();
    }
    if let Some(file) = &sent.file {
        let facts = json!({
            "file_id": file.file_id, "file_unique_id": format!("u-{}", file.file_id),
            "file_size": file.size_bytes, "file_name": file.name, "mime_type": file.media_type,
        });
        match sent.method.to_ascii_lowercase().as_str() {
            "sendphoto" => {
                let mut photo = facts;
                photo["width"] = 1.into();
                photo["height"] = 1.into();
                message["photo"] = json!([photo]);
            }
            "senddocument" => message["document"] = facts,
            other => {
                let mut media = facts;
                media["duration"] = Duration::ZERO.as_secs().into();
                media["width"] = 1.into();
                media["height"] = 1.into();
                message[other.trim_start_matches("send")] = media;
            }
        }
    }
    message
}
