//! What Feishu says, in our words.
//!
//! Nothing here fails: an event that can't be understood becomes [`Happening::Unknown`], so that it neither blocks those
//! behind it nor vanishes. Shapes: <https://open.feishu.cn/document/server-docs/im-v1/message/events/receive>.

use ngb_core::{
    address::{Account, Place},
    clock::Timestamp,
    message::{Addressed, ChatFacts, ChatKind, Content, Happening, Inbound, Sender},
    text::shorten,
};
use serde_json::Value;

use super::{
    files, react,
    said::{self, is_everybody},
};

/// The bot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Me {
    /// `ou_…`, as this app knows it.
    pub(super) open_id: String,
    pub(super) app_id: String,
    pub(super) name: String,
}

impl Me {
    pub(super) fn read(found: &Value, app_id: &str) -> Self {
        let bot = &found["bot"];
        Self {
            open_id: text(&bot["open_id"]),
            app_id: app_id.to_owned(),
            name: text(&bot["app_name"]),
        }
    }

    fn is(&self, id: &str) -> bool {
        !id.is_empty() && (id == self.open_id || id == self.app_id)
    }
}

/// Longest kind of an unknown event that is kept, in characters.
const MAX_KIND_CHARS: usize = 60;

/// The chat of an event that names none.
pub(super) const NO_CHAT: &str = "0";

/// What an event holds; none for our own messages. People and chats have their ids for names.
pub(super) fn read(body: &Value, account: &Account, me: &Me) -> Option<Inbound> {
    let (header, event) = (&body["header"], &body["event"]);
    // Events of the first version have their kind inside.
    let kind = header["event_type"].as_str().or(event["type"].as_str()).unwrap_or("no type");
    match kind {
        "im.message.receive_v1" => {
            let message = Said::of_event(event);
            read_message(&message, account, me).unwrap_or_else(|| unknown(kind, body, account))
        }
        "im.message.recalled_v1" => {
            let id = text(&event["message_id"]);
            let what = Happening::Delete { platform_id: id.clone() };
            Some(Inbound {
                event_key: format!("d:{id}"),
                place: place(&text(&event["chat_id"]), None, account)?,
                chat: ChatFacts { kind: ChatKind::Group, title: text(&event["chat_id"]) },
                sender: nobody(),
                sent_at: instant(&event["recall_time"]),
                what,
            })
        }
        "im.message.reaction.created_v1" | "im.message.reaction.deleted_v1" => {
            react::read(kind, event, account)
        }
        "card.action.trigger" => press(body, account).or_else(|| unknown(kind, body, account)),
        _ => unknown(kind, body, account),
    }
}

/// A message, from an event or from the history, which name their parts differently.
pub(super) struct Said<'a> {
    pub(super) message: &'a Value,
    kind: &'a str,
    content: Value,
    sender_id: String,
    is_bot: bool,
    pub(super) is_direct: bool,
}

impl<'a> Said<'a> {
    pub(super) fn of_event(event: &'a Value) -> Self {
        let (message, sender) = (&event["message"], &event["sender"]);
        let ids = &sender["sender_id"];
        let id = ["open_id", "user_id", "union_id"].into_iter().find_map(|it| ids[it].as_str());
        Self {
            message,
            kind: message["message_type"].as_str().unwrap_or_default(),
            content: content(&message["content"]),
            sender_id: id.unwrap_or_default().to_owned(),
            is_bot: sender["sender_type"].as_str().is_some_and(|it| it != "user"),
            is_direct: message["chat_type"] == "p2p",
        }
    }

    pub(super) fn of_history(message: &'a Value, is_direct: bool) -> Self {
        let sender = &message["sender"];
        Self {
            message,
            kind: message["msg_type"].as_str().unwrap_or_default(),
            content: content(&message["body"]["content"]),
            sender_id: text(&sender["id"]),
            is_bot: sender["sender_type"].as_str().is_some_and(|it| it != "user"),
            is_direct,
        }
    }
}

/// A message in our words: nothing for one of ours, and none for one that says nothing.
#[expect(clippy::option_option, reason = "ours, and not understood, are two things")]
pub(super) fn read_message(said: &Said<'_>, account: &Account, me: &Me) -> Option<Option<Inbound>> {
    let message = said.message;
    let id = text(&message["message_id"]);
    let chat_id = text(&message["chat_id"]);
    if me.is(&said.sender_id) {
        return Some(None);
    }
    let shown = said::text(said.kind, &said.content, &message["mentions"], me);
    let media = files::media(&id, said.kind, &said.content);
    if id.is_empty() || (shown.is_empty() && media.is_empty()) || message["deleted"] == true {
        return None;
    }
    let is_mine = |it: &Value| {
        let ids = [&it["id"]["open_id"], &it["id"]];
        !is_everybody(it) && ids.into_iter().any(|it| it.as_str().is_some_and(|it| me.is(it)))
    };
    let addressed = match message["mentions"].as_array() {
        _ if said.is_direct => Addressed::Direct,
        Some(all) if all.iter().any(is_mine) => Addressed::Mention,
        _ => Addressed::No,
    };
    // In a topic every message answers its first one.
    let in_topic = message["thread_id"].as_str().is_some_and(|it| !it.is_empty());
    let root = message["root_id"].as_str().filter(|it| !it.is_empty());
    let thread = in_topic.then(|| root.unwrap_or(&id).to_owned());
    let parent = message["parent_id"].as_str().filter(|it| !it.is_empty());
    let content = Content {
        platform_id: id.clone(),
        text: shown,
        media,
        reply_to: parent.filter(|it| Some(*it) != thread.as_deref()).map(str::to_owned),
        addressed,
        ..Content::default()
    };
    let kind = if said.is_direct { ChatKind::Direct } else { ChatKind::Group };
    let sender_id = if said.sender_id.is_empty() { NO_CHAT } else { &said.sender_id };
    let sender =
        Sender { id: sender_id.to_owned(), name: sender_id.to_owned(), is_bot: said.is_bot };
    Some(Some(Inbound {
        event_key: format!("m:{id}"),
        place: place(&chat_id, thread, account)?,
        chat: ChatFacts { kind, title: chat_id },
        sender,
        sent_at: instant(&message["create_time"]),
        what: Happening::Message(content),
    }))
}

/// A button under one of our cards.
fn press(body: &Value, account: &Account) -> Option<Inbound> {
    let event = &body["event"];
    let id = event["context"]["open_message_id"].as_str()?;
    let value = event["action"]["value"]["v"].as_str()?;
    let who = event["operator"]["open_id"].as_str()?.to_owned();
    let chat = text(&event["context"]["open_chat_id"]);
    Some(Inbound {
        event_key: format!("p:{}", text(&body["header"]["event_id"])),
        place: place(&chat, None, account)?,
        chat: ChatFacts { kind: ChatKind::Group, title: chat },
        sender: Sender { id: who.clone(), name: who, is_bot: false },
        sent_at: event_time(body),
        what: Happening::Pressed { platform_id: id.to_owned(), value: value.to_owned() },
    })
}

fn unknown(kind: &str, body: &Value, account: &Account) -> Option<Inbound> {
    let event = &body["event"];
    let chat = [&event["message"]["chat_id"], &event["chat_id"], &event["open_chat_id"]];
    let chat = chat.into_iter().find_map(|it| it.as_str()).unwrap_or(NO_CHAT);
    let key = match body["header"]["event_id"].as_str().or(body["uuid"].as_str()) {
        Some(id) => format!("x:{id}"),
        None => format!("x:{kind}:{}", text(&event["message"]["message_id"])),
    };
    Some(Inbound {
        event_key: key,
        place: place(chat, None, account)?,
        chat: ChatFacts { kind: ChatKind::Group, title: chat.to_owned() },
        sender: nobody(),
        sent_at: event_time(body),
        what: Happening::Unknown { kind: shorten(kind, MAX_KIND_CHARS) },
    })
}

fn nobody() -> Sender {
    Sender { id: NO_CHAT.to_owned(), name: String::new(), is_bot: false }
}

pub(super) fn place(chat: &str, thread: Option<String>, account: &Account) -> Option<Place> {
    let jid = account.chat(chat).or_else(|_| account.chat(NO_CHAT)).ok()?;
    Some(Place { jid, thread: thread.map(Into::into) })
}

/// The content of a message is JSON in a string.
fn content(value: &Value) -> Value {
    value.as_str().and_then(|it| serde_json::from_str(it).ok()).unwrap_or_default()
}

/// Milliseconds, as a number or a string; events of cards have microseconds.
pub(super) fn instant(value: &Value) -> Timestamp {
    let number: i64 = text(value).parse().unwrap_or_default();
    Timestamp(if number < 100_000_000_000_000 { number } else { number / 1000 })
}

fn event_time(body: &Value) -> Timestamp {
    instant(&body["header"]["create_time"])
}

pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(it) => it.clone(),
        Value::Number(it) => it.to_string(),
        _ => String::new(),
    }
}
