//! What people do, as the updates that Telegram makes of it.

use ngb_core::{clock::Timestamp, text::Unit};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// One thing a person does. What is left out is made up: a private chat has the id of the person, a chat below zero
/// is a group, below -10^12 a supergroup.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Draft {
    pub chat: i64,
    pub text: String,
    /// The person's id.
    pub from: Option<i64>,
    pub name: Option<String>,
    pub is_bot: bool,
    /// The id of the message that is answered.
    pub reply_to: Option<i64>,
    /// The forum topic.
    pub topic: Option<i64>,
    /// The id of the message whose text this now is.
    pub edit_of: Option<i64>,
    /// A button that is pressed, instead of a message.
    pub press: Option<Press>,
    /// Fields of the message, put over the others: `{"photo": [..], "caption": ".."}`.
    pub more: Map<String, Value>,
    /// How much later than its date the update is there to be polled, in milliseconds.
    pub late_ms: u64,
}

/// A button under a message of the bot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Press {
    pub message_id: i64,
    pub data: String,
}

impl Draft {
    /// `text` in `chat`.
    pub fn text(chat: i64, text: impl Into<String>) -> Self {
        Self { chat, text: text.into(), ..Self::default() }
    }

    /// The update without its `update_id`.
    pub(super) fn update(&self, message_id: i64, bot: &Value, now: Timestamp) -> Value {
        let from = self.person();
        if let Some(press) = &self.press {
            return json!({"callback_query": {
                "id": format!("cb{message_id}"),
                "from": from,
                "chat_instance": "1",
                "data": press.data,
                "message": {
                    "message_id": press.message_id, "date": now.0 / 1000, "chat": chat_facts(self.chat),
                    "from": bot, "text": "...",
                },
            }});
        }
        let mut message = json!({
            "message_id": self.edit_of.unwrap_or(message_id),
            "date": now.0 / 1000,
            "chat": self.chat_facts(),
            "from": from,
        });
        let is_text = self.more.is_empty() || !self.text.is_empty();
        if is_text {
            message["text"] = self.text.as_str().into();
            let found = entities(&self.text);
            if !found.is_empty() {
                message["entities"] = found.into();
            }
        }
        if let Some(id) = self.reply_to {
            message["reply_to_message"] = json!({
                "message_id": id, "date": now.0 / 1000, "chat": chat_facts(self.chat), "from": bot,
                "text": "...",
            });
        }
        if let Some(topic) = self.topic {
            message["message_thread_id"] = topic.into();
            message["is_topic_message"] = true.into();
        }
        if self.edit_of.is_some() {
            message["edit_date"] = (now.0 / 1000).into();
        }
        for (key, value) in &self.more {
            message[key] = value.clone();
        }
        let kind = if self.edit_of.is_some() { "edited_message" } else { "message" };
        json!({kind: message})
    }

    fn person(&self) -> Value {
        let id = self.from.unwrap_or(if 0 < self.chat { self.chat } else { 1000 });
        let name = self.name.as_deref().unwrap_or("Ada");
        json!({"id": id, "is_bot": self.is_bot, "first_name": name, "language_code": "en"})
    }

    fn chat_facts(&self) -> Value {
        let mut facts = chat_facts(self.chat);
        if let (Some(name), true) = (&self.name, 0 < self.chat) {
            facts["first_name"] = name.as_str().into();
        }
        facts
    }
}

/// What is known of a chat by its id alone.
pub(super) fn chat_facts(id: i64) -> Value {
    /// Supergroups and channels lie below this: -100 is put before their own id.
    const SUPERGROUPS: i64 = -1_000_000_000_000;
    if 0 < id {
        json!({"id": id, "type": "private", "first_name": "Ada"})
    } else if id < SUPERGROUPS {
        json!({"id": id, "type": "supergroup", "title": format!("Group {id}")})
    } else {
        json!({"id": id, "type": "group", "title": format!("Group {id}")})
    }
}

/// The mentions and commands of a text, as Telegram's server finds them.
fn entities(text: &str) -> Vec<Value> {
    let mut found = Vec::new();
    let mut at = 0;
    for word in text.split_inclusive(char::is_whitespace) {
        let bare = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let kind = match bare.as_bytes() {
            [b'@', rest @ ..] if 4 < rest.len() => Some("mention"),
            [b'/', first, ..] if first.is_ascii_alphabetic() => Some("bot_command"),
            _ => None,
        };
        if let Some(kind) = kind {
            let (offset, length) = (Unit::Utf16.count(&text[..at]), Unit::Utf16.count(bare));
            found.push(json!({"type": kind, "offset": offset, "length": length}));
        }
        at += word.len();
    }
    found
}
