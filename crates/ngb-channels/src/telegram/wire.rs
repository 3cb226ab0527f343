//! What Telegram says, in our words.
//!
//! Nothing here fails: an update that can't be understood becomes [`Happening::Unknown`], so that it neither blocks
//! those behind it nor vanishes.

use ngb_core::{
    address::{Account, Jid, Place},
    clock::Timestamp,
    message::{Addressed, ChatFacts, ChatKind, Content, Happening, Inbound, Sender},
    notice::Lang,
    text::{Unit, shorten},
};
use serde_json::{Value, json};

use super::{media, react};

/// The bot, as `getMe` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Me {
    pub(super) id: i64,
    /// Without the `@`.
    pub(super) username: String,
    /// Whether privacy mode is off.
    pub(super) reads_all: bool,
}

impl Me {
    pub(super) fn read(me: &Value) -> Self {
        Self {
            id: me["id"].as_i64().unwrap_or_default(),
            username: me["username"].as_str().unwrap_or_default().to_owned(),
            reads_all: me["can_read_all_group_messages"].as_bool().unwrap_or(false),
        }
    }
}

/// One batch of updates.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) events: Vec<Inbound>,
    /// One more than the last `update_id`.
    pub(super) next_offset: Option<i64>,
    pub(super) pressed: Vec<Press>,
}

/// A press of a button, which wants an answer.
#[derive(Debug)]
pub(super) struct Press {
    pub(super) id: String,
    /// The place of its event in the batch.
    pub(super) event: usize,
    /// What the app of whoever pressed is set to.
    pub(super) lang: Lang,
}

/// Longest kind of an unknown update that is kept, in characters.
const MAX_KIND_CHARS: usize = 60;

/// Longest quote that is kept, in characters.
const MAX_QUOTE_CHARS: usize = 1_000;

/// Longest name of whom a message was forwarded from, in characters.
const MAX_NAME_CHARS: usize = 100;

/// The chat of an event that names none.
const NO_CHAT: &str = "0";

pub(super) fn read_all(updates: &[Value], account: &Account, me: &Me) -> Read {
    let mut read = Read::default();
    for update in updates {
        let id = update["update_id"].as_i64();
        if let Some(id) = id {
            let next = id.saturating_add(1);
            read.next_offset = Some(read.next_offset.map_or(next, |it| it.max(next)));
        }
        let press = &update["callback_query"];
        if let Some(id) = press["id"].as_str() {
            let tag = press["from"]["language_code"].as_str().unwrap_or_default();
            let lang = if tag.starts_with("zh") { Lang::Zh } else { Lang::En };
            read.pressed.push(Press { id: id.to_owned(), event: read.events.len(), lang });
        }
        let event_key = match id {
            Some(id) => id.to_string(),
            // Without an id it can't be confirmed alone; the same text is the same update.
            None => format!("?{}", shorten(&update.to_string(), 200)),
        };
        read.events.extend(event(update, event_key, account, me));
    }
    read
}

/// The event of one update; none only when an address can't be made of the account, which can't be.
fn event(update: &Value, event_key: String, account: &Account, me: &Me) -> Option<Inbound> {
    let known = KINDS.iter().find_map(|(key, read)| {
        let body = update.get(key).filter(|it| it.is_object())?;
        Some((body, read(body, account, me)?))
    });
    let (message, what) = match known {
        Some((body, what)) if body.get("message").is_some() => (&body["message"], what),
        Some((body, what)) => (body, what),
        None => {
            let kind = kind_of(update);
            (
                update.get(&kind).unwrap_or(&Value::Null),
                Happening::Unknown { kind: shorten(&kind, MAX_KIND_CHARS) },
            )
        }
    };
    // Who pressed a button is not who wrote the message under which it stands.
    let from = match update.get("callback_query") {
        Some(press) => press,
        None => message,
    };
    let place = place(message, account)?;
    let sender = match update.get("message_reaction") {
        Some(it) => sender(&json!({"from": it["user"], "sender_chat": it["actor_chat"]})),
        None => sender(from),
    };
    Some(Inbound {
        event_key,
        place,
        chat: chat_facts(&message["chat"]),
        sender,
        sent_at: sent_at(message),
        what,
    })
}

type ReadKind = fn(&Value, &Account, &Me) -> Option<Happening>;

/// The kinds of updates that are understood. What a kind's reader can't make sense of is unknown.
const KINDS: &[(&str, ReadKind)] = &[
    ("message", read_message),
    ("edited_message", read_edit),
    ("channel_post", read_message),
    ("edited_channel_post", read_edit),
    ("callback_query", read_press),
    ("message_reaction", react::read),
];

fn read_message(message: &Value, account: &Account, me: &Me) -> Option<Happening> {
    if let Some(to) = message["migrate_to_chat_id"].as_i64() {
        let to: Jid = account.chat(&to.to_string()).ok()?;
        return Some(Happening::Moved { to });
    }
    content(message, me).map(Happening::Message)
}

fn read_edit(message: &Value, _: &Account, me: &Me) -> Option<Happening> {
    content(message, me).map(Happening::Edit)
}

fn read_press(press: &Value, _: &Account, _: &Me) -> Option<Happening> {
    Some(Happening::Pressed {
        // Without it the value still says whose button it is.
        platform_id: id_text(&press["message"]["message_id"]).unwrap_or_default(),
        value: press["data"].as_str()?.to_owned(),
    })
}

/// What a message says; none when it says nothing (somebody joined, a title changed).
fn content(message: &Value, me: &Me) -> Option<Content> {
    id_text(&message["chat"]["id"])?;
    let media = media::read(message);
    let mut text =
        message["text"].as_str().or(message["caption"].as_str()).unwrap_or_default().to_owned();
    if let Some(said) = media::in_words(message) {
        text = if text.is_empty() { said } else { format!("{text}\n{said}") };
    }
    if text.is_empty() && media.is_empty() {
        return None;
    }
    if let Some(from) = forwarded_from(message) {
        text = format!("[forwarded from {from}]\n{text}").trim_end().to_owned();
    }
    Some(Content {
        platform_id: id_text(&message["message_id"])?,
        text,
        media,
        reply_to: answered(message).and_then(|it| id_text(&it["message_id"])),
        quote: quote(message),
        album: id_text(&message["media_group_id"]),
        addressed: addressed(message, me),
    })
}

/// The message that is answered. In a topic every message "answers" the one that opened it, which is no answer.
fn answered(message: &Value) -> Option<&Value> {
    let reply = message.get("reply_to_message")?;
    let opens_topic = reply.get("forum_topic_created").is_some()
        || (message["is_topic_message"] == true
            && reply["message_id"] == message["message_thread_id"]);
    (!opens_topic).then_some(reply)
}

/// The words that a message is about: the part that was quoted, or else the text of the message that it answers. One of
/// another chat stands there too, which nobody could look up.
fn quote(message: &Value) -> Option<String> {
    let words = |it: &Value| {
        let text = it["text"].as_str().or(it["caption"].as_str())?;
        (!text.is_empty()).then(|| shorten(text, MAX_QUOTE_CHARS))
    };
    message.get("quote").and_then(words).or_else(|| answered(message).and_then(words))
}

/// Whose message was forwarded, as Telegram's `MessageOrigin` says.
fn forwarded_from(message: &Value) -> Option<String> {
    let origin = message.get("forward_origin")?;
    let title = |chat: &Value| chat["title"].as_str().map(str::to_owned);
    let name = match origin["type"].as_str()? {
        "user" => Some(full_name(&origin["sender_user"])),
        "hidden_user" => origin["sender_user_name"].as_str().map(str::to_owned),
        "chat" => title(&origin["sender_chat"]),
        "channel" => title(&origin["chat"]),
        _ => None,
    };
    // A name is not to look like the end of the mark.
    let name = name.unwrap_or_default().replace(['[', ']', '\n'], " ");
    Some(if name.trim().is_empty() {
        "somebody".to_owned()
    } else {
        shorten(name.trim(), MAX_NAME_CHARS)
    })
}

fn addressed(message: &Value, me: &Me) -> Addressed {
    if message["chat"]["type"] == "private" {
        return Addressed::Direct;
    }
    if mentions(message, me) {
        return Addressed::Mention;
    }
    match answered(message) {
        Some(reply) if me.id != 0 && reply["from"]["id"].as_i64() == Some(me.id) => {
            Addressed::Reply
        }
        _ => Addressed::No,
    }
}

/// Whether an entity names the bot; words that only look like it don't count.
fn mentions(message: &Value, me: &Me) -> bool {
    let (text, entities) = match message["text"].as_str() {
        Some(text) => (text, &message["entities"]),
        None => (message["caption"].as_str().unwrap_or_default(), &message["caption_entities"]),
    };
    let named = |name: &str| !me.username.is_empty() && name.eq_ignore_ascii_case(&me.username);
    entities.as_array().into_iter().flatten().any(|entity| {
        let words = || {
            let offset = usize::try_from(entity["offset"].as_u64()?).ok()?;
            let length = usize::try_from(entity["length"].as_u64()?).ok()?;
            slice(text, offset, length)
        };
        match entity["type"].as_str() {
            Some("mention") => words().and_then(|it| it.strip_prefix('@')).is_some_and(named),
            Some("bot_command") => {
                words().and_then(|it| it.split_once('@')).is_some_and(|(_, name)| named(name))
            }
            Some("text_mention") => me.id != 0 && entity["user"]["id"].as_i64() == Some(me.id),
            _ => false,
        }
    })
}

/// A part of a text by UTF-16 units; none when it isn't there.
fn slice(text: &str, offset: usize, length: usize) -> Option<&str> {
    let end = offset.checked_add(length)?;
    let (mut units, mut from, mut to) = (0, None, None);
    for (at, c) in text.char_indices().chain([(text.len(), '\0')]) {
        if units == offset {
            from.get_or_insert(at);
        }
        if units == end {
            to = Some(at);
            break;
        }
        units += Unit::Utf16.count(c.encode_utf8(&mut [0; 4]));
    }
    text.get(from?..to?)
}

/// Chat and topic. In a group without topics a thread id only means a chain of answers.
fn place(message: &Value, account: &Account) -> Option<Place> {
    let chat = id_text(&message["chat"]["id"]).unwrap_or_else(|| NO_CHAT.to_owned());
    let jid = account.chat(&chat).or_else(|_| account.chat(NO_CHAT)).ok()?;
    let in_topic = message["is_topic_message"] == true;
    let thread = id_text(&message["message_thread_id"]).filter(|_| in_topic);
    Some(Place { jid, thread: thread.map(Into::into) })
}

fn chat_facts(chat: &Value) -> ChatFacts {
    let kind = if chat["type"] == "private" { ChatKind::Direct } else { ChatKind::Group };
    let title = match chat["title"].as_str() {
        Some(title) => title.to_owned(),
        None => full_name(chat),
    };
    ChatFacts { kind, title }
}

/// Who did it: a person, or a chat that speaks for itself (a channel, an anonymous admin).
fn sender(from: &Value) -> Sender {
    let user = &from["from"];
    let chat = &from["sender_chat"];
    // For a post in the name of a chat, `from` is a stand-in that all such posts share.
    if let Some(id) = id_text(&chat["id"]) {
        let name = chat["title"].as_str().unwrap_or_default().to_owned();
        return Sender { id, name, is_bot: false };
    }
    match id_text(&user["id"]) {
        Some(id) => {
            Sender { id, name: full_name(user), is_bot: user["is_bot"].as_bool().unwrap_or(false) }
        }
        None => {
            let name = from["chat"]["title"].as_str().unwrap_or_default().to_owned();
            let id = id_text(&from["chat"]["id"]).unwrap_or_else(|| NO_CHAT.to_owned());
            Sender { id, name, is_bot: false }
        }
    }
}

fn full_name(user: &Value) -> String {
    let part = |key: &str| user[key].as_str().filter(|it| !it.is_empty());
    let name: Vec<&str> = ["first_name", "last_name"].into_iter().filter_map(part).collect();
    match (name.is_empty(), part("username")) {
        (true, Some(username)) => username.to_owned(),
        _ => name.join(" "),
    }
}

/// Telegram's seconds; some servers say milliseconds, which would be a year past 5000.
fn sent_at(message: &Value) -> Timestamp {
    const LATEST_SECONDS: i64 = 100_000_000_000;
    let date = message["edit_date"].as_i64().or(message["date"].as_i64()).unwrap_or_default();
    Timestamp(if date < LATEST_SECONDS { date.saturating_mul(1000) } else { date })
}

/// An id that is a number or a text.
pub(super) fn id_text(id: &Value) -> Option<String> {
    match id {
        Value::Number(it) => Some(it.to_string()),
        Value::String(it) if !it.is_empty() => Some(it.clone()),
        _ => None,
    }
}

/// The name of what an update holds.
fn kind_of(update: &Value) -> String {
    let key = update.as_object().and_then(|it| it.keys().find(|it| *it != "update_id"));
    key.map_or("no update", String::as_str).to_owned()
}
