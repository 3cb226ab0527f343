//! Reactions, both ways: <https://core.telegram.org/bots/api#setmessagereaction>. Those of people come in private chats,
//! and in groups where the bot is an administrator.

use ngb_core::{
    address::{Account, Place},
    message::{Happening, Sent},
    reaction::reacted,
};
use serde_json::{Value, json};

use super::{
    Telegram,
    send::{number, target},
    wire::{Me, id_text},
};
use crate::ChannelError;

/// What a bot may put under a message: <https://core.telegram.org/bots/api#reactiontypeemoji>.
#[rustfmt::skip]
pub(super) const ALLOWED: &[&str] = &[
    "❤", "👍", "👎", "🔥", "🥰", "👏", "😁", "🤔", "🤯", "😱", "🤬", "😢", "🎉", "🤩", "🤮", "💩", "🙏", "👌", "🕊", "🤡",
    "🥱", "🥴", "😍", "🐳", "❤‍🔥", "🌚", "🌭", "💯", "🤣", "⚡", "🍌", "🏆", "💔", "🤨", "😐", "🍓", "🍾", "💋", "🖕", "😈",
    "😴", "😭", "🤓", "👻", "👨‍💻", "👀", "🎃", "🙈", "😇", "😨", "🤝", "✍", "🤗", "🫡", "🎅", "🎄", "☃", "💅", "🤪", "🗿",
    "🆒", "💘", "🙉", "🦄", "😘", "💊", "🙊", "😎", "👾", "🤷‍♂", "🤷", "🤷‍♀", "😡",
];

impl Telegram {
    pub(super) async fn react(
        &self,
        to: &Place,
        platform_id: &str,
        emoji: &str,
    ) -> Result<Sent, ChannelError> {
        let done = self.stand(to, platform_id, json!([{"type": "emoji", "emoji": emoji}])).await;
        if done.is_ok() {
            self.put.note(format!("{to}/{platform_id}"), emoji.to_owned());
        }
        done
    }

    /// Takes it away, unless another one stands there since: a bot has one.
    pub(super) async fn unreact(
        &self,
        to: &Place,
        platform_id: &str,
        emoji: &str,
    ) -> Result<Sent, ChannelError> {
        match self.put.take(&format!("{to}/{platform_id}")) {
            Some(last) if last == emoji => self.stand(to, platform_id, json!([])).await,
            _ => Ok(Sent::default()),
        }
    }

    /// Has these reactions of ours stand under a message, and no others.
    async fn stand(
        &self,
        to: &Place,
        platform_id: &str,
        reactions: Value,
    ) -> Result<Sent, ChannelError> {
        let doing = || format!("react to `{platform_id}` in `{to}`");
        let mut params = target(to).map_err(|it| it.doing(doing()))?;
        params.remove("message_thread_id");
        params.insert("message_id".into(), number(platform_id));
        params.insert("reaction".into(), reactions);
        let done = self.api.call("setMessageReaction", &params).await;
        done.map(|_| Sent::default()).map_err(|it| self.moved(it, doing()))
    }
}

/// A `MessageReactionUpdated`: all that stood there before, and all that stands there now.
pub(super) fn read(update: &Value, _: &Account, _: &Me) -> Option<Happening> {
    let of = id_text(&update["message_id"])?;
    let (old, new) = (named(&update["old_reaction"]), named(&update["new_reaction"]));
    let put: Vec<String> = new.iter().filter(|it| !old.contains(it)).cloned().collect();
    let taken: Vec<String> = old.into_iter().filter(|it| !new.contains(it)).collect();
    Some(reacted(&of, &put, &taken))
}

fn named(reactions: &Value) -> Vec<String> {
    let all = reactions.as_array().into_iter().flatten();
    all.map(|it| match it["type"].as_str() {
        Some("emoji") => it["emoji"].as_str().unwrap_or_default().to_owned(),
        Some("custom_emoji") => ":custom:".to_owned(),
        kind => format!(":{}:", kind.unwrap_or("reaction")),
    })
    .collect()
}
