//! Messages: what came in, what goes out.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    address::{Account, ChannelKind, Jid, Place},
    clock::Timestamp,
    reaction::Reactions,
    text::Limit,
};

/// How long the first part of an album waits for the others, which come as messages of their own.
pub const ALBUM_WAIT: Duration = Duration::from_millis(1_000);

/// Longest text that is kept in the message itself, in bytes; longer text becomes a file beside it.
pub const MAX_TEXT_BYTES: usize = 64 * 1024;

/// Who a message is from, in the conversation with the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Author {
    /// A person.
    User,
    /// The agent.
    Assistant,
    /// The gateway.
    System,
}

impl Author {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::System => "system",
        }
    }

    /// The author that [`Author::as_str`] names.
    pub fn parse(s: &str) -> Option<Self> {
        [Self::User, Self::Assistant, Self::System].into_iter().find(|it| it.as_str() == s)
    }
}

/// One event of a platform, in our words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inbound {
    /// The platform's key of the event, unique in the account (Telegram's `update_id`); it drops repeats.
    pub event_key: String,
    pub place: Place,
    pub chat: ChatFacts,
    pub sender: Sender,
    /// When the platform says that it happened.
    pub sent_at: Timestamp,
    pub what: Happening,
}

impl Inbound {
    /// Who did it, for the audit: `telegram@main#4711`.
    pub fn by(&self) -> String {
        self.place.jid.account().person(&self.sender.id)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Happening {
    /// A new message.
    Message(Content),
    /// The text of an earlier message is now another.
    Edit(Content),
    /// An earlier message is gone.
    Delete { platform_id: String },
    /// The chat has a new address (a Telegram group became a supergroup).
    Moved { to: Jid },
    /// A message of ours that the platform took did not arrive after all (WhatsApp tells so minutes later).
    Undelivered { platform_id: String, why: String },
    /// A button under one of our messages was pressed.
    Pressed { platform_id: String, value: String },
    /// Somebody put a reaction under a message, or took it away: the text says so, `reply_to` names the message. It is
    /// kept for what is asked next, and asks for nothing; see [`crate::reaction::reacted`].
    Reacted(Content),
    /// Something that this version doesn't understand; kept so that `why` can tell.
    Unknown { kind: String },
}

/// What a message says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// The platform's id of the message, unique in the chat.
    pub platform_id: String,
    pub text: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub media: Vec<MediaRef>,
    /// The platform id of the message that this one answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    /// What the platform itself says of that message: the part that was quoted, or else its text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote: Option<String>,
    /// The platform's id of the album that this is a part of: messages sent as one, each with a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub album: Option<String>,
    #[serde(default)]
    pub addressed: Addressed,
}

/// How the platform says that the bot is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Addressed {
    /// It doesn't.
    #[default]
    No,
    /// By name; `@all` is no mention.
    Mention,
    /// By answering one of its messages.
    Reply,
    /// By writing to it alone.
    Direct,
}

/// What the platform says about the chat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatFacts {
    pub kind: ChatKind,
    pub title: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChatKind {
    /// One person and the bot.
    Direct,
    /// Several people.
    Group,
}

/// Who wrote, as the platform says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sender {
    /// The platform's stable id; never a display name.
    pub id: String,
    pub name: String,
    pub is_bot: bool,
}

/// A file that came with a message; its bytes are fetched after the message is acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaRef {
    pub kind: MediaKind,
    /// What the platform wants to be asked for (Telegram's `file_id`).
    pub reference: String,
    /// A clean file name, made by [`crate::text::file_name`].
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaKind {
    Photo,
    Document,
    Voice,
    Audio,
    Video,
    Sticker,
    /// The text of a message that was too long to keep in it.
    LongText,
}

/// One thing to do in one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Outbound {
    /// A new message, in Markdown.
    Text {
        text: String,
        /// The platform id of the message that it answers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply_to: Option<String>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        buttons: Vec<Button>,
    },
    /// The new text of a message that we sent.
    Edit {
        platform_id: String,
        text: String,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        buttons: Vec<Button>,
    },
    /// A file, from the gateway's own folder.
    File {
        path: PathBuf,
        name: String,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        caption: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply_to: Option<String>,
    },
    /// An emoji under somebody's message.
    React { platform_id: String, emoji: String },
    /// Takes a reaction of ours away again. Never stored, may be lost.
    Unreact { platform_id: String, emoji: String },
    /// A sign that an answer is being made. Never stored, may be lost.
    Typing,
}

impl Outbound {
    /// What people read of it.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text { text, .. } | Self::Edit { text, .. } => Some(text),
            Self::File { name, caption, .. } => {
                Some(if caption.is_empty() { name } else { caption })
            }
            Self::React { emoji, .. } => Some(emoji),
            Self::Unreact { .. } | Self::Typing => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Button {
    pub label: String,
    /// What comes back in [`Happening::Pressed`]; at most [`MAX_BUTTON_BYTES`].
    pub value: String,
}

/// Longest value of a button, in bytes. Telegram's `callback_data` holds 64.
pub const MAX_BUTTON_BYTES: usize = 64;

/// What became of an item that was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// The platform's id for it, where there is one.
    pub platform_id: Option<String>,
}

/// What a platform is and what it can do. Capabilities are data, so a new one doesn't touch eight adapters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    pub account: Account,
    /// Longest text in one message.
    pub text_limit: Limit,
    pub threads: bool,
    pub edits: bool,
    /// The shortest time between two edits of one message.
    pub edit_interval: Duration,
    pub typing: bool,
    pub buttons: bool,
    /// Whether buttons may stand under an answer while it is edited, and go with the last edit.
    pub live_buttons: bool,
    /// The largest file that can be sent, in bytes; 0 where none can.
    pub max_file_bytes: u64,
    /// What may be put under a message as a reaction.
    pub reactions: Reactions,
    /// Whether the platform drops a repeated send by a key of ours.
    pub idempotent_sends: bool,
    /// Whether the platform calls us, at `/hooks/<channel>/<account>`.
    pub webhook: bool,
    pub returns: Returns,
}

/// What the platform gives back of what was sent, on the line that brings what people write: proof that both ways are
/// open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returns {
    /// Nothing: that it took what was sent is all there is to see.
    Nothing,
    /// The answer to a send comes on that line.
    Answer,
    /// Our own message, or a receipt for it, comes as an event.
    Event,
}

impl Profile {
    pub fn channel(&self) -> ChannelKind {
        self.account.channel()
    }
}

impl Inbound {
    /// The same event with NULs and other things that no database keeps replaced by U+FFFD.
    ///
    /// Every door calls it once: PostgreSQL refuses a NUL in text, and one bad message must not hold up the others.
    pub fn clean(mut self) -> Self {
        fn clean(text: &mut String) {
            if text.contains('\0') {
                *text = text.replace('\0', "\u{FFFD}");
            }
        }
        clean(&mut self.event_key);
        clean(&mut self.chat.title);
        clean(&mut self.sender.id);
        clean(&mut self.sender.name);
        match &mut self.what {
            Happening::Message(it) | Happening::Edit(it) | Happening::Reacted(it) => {
                clean(&mut it.platform_id);
                clean(&mut it.text);
                [&mut it.reply_to, &mut it.quote, &mut it.album]
                    .into_iter()
                    .flatten()
                    .for_each(clean);
                for media in &mut it.media {
                    clean(&mut media.reference);
                    clean(&mut media.name);
                    media.media_type.iter_mut().for_each(clean);
                }
            }
            Happening::Delete { platform_id } => clean(platform_id),
            Happening::Pressed { platform_id, value } => {
                clean(platform_id);
                clean(value);
            }
            Happening::Undelivered { platform_id, why } => {
                clean(platform_id);
                clean(why);
            }
            Happening::Unknown { kind } => clean(kind),
            Happening::Moved { .. } => (),
        }
        self
    }
}
