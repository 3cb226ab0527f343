//! Reactions, both ways, as NapCat and others add them to OneBot: `set_msg_emoji_like` and `group_msg_emoji_like`. QQ has
//! them in groups only, and names each by the number of its character.

use ngb_core::{
    address::Place,
    message::{Happening, Sent},
    reaction::came_or_went,
};
use serde_json::{Value, json};

use super::{
    Qq,
    api::ApiError,
    send::{number, target},
    wire::{Target, plain},
};

/// The characters among them; the others are pictures of QQ's own
/// (<https://bot.q.qq.com/wiki/develop/api-v2/openapi/emoji/model.html>).
#[rustfmt::skip]
pub(super) const ALLOWED: &[&str] = &[
    "👍", "👌", "👏", "👊", "💪", "🔥", "🎉", "❌", "❔", "✨", "☀", "☕", "☺", "🌹", "🍉", "🍎", "🍓", "🍜", "🍞", "🍧", "🍺", "🍻",
    "🐛", "🐮", "🐳", "🐵", "💓", "💝", "💤", "💦", "💨", "📫", "😁", "😂", "😄", "😊", "😌", "😏", "😒", "😓", "😔", "😘", "😚",
    "😜", "😝", "😭", "😰", "😳",
];

impl Qq {
    pub(super) async fn change(
        &self,
        to: &Place,
        platform_id: &str,
        emoji: &str,
        set: bool,
    ) -> Result<Sent, ApiError> {
        if let Target::Person(_) = target(to)? {
            return Err(ApiError::unfit("QQ has reactions in groups only"));
        }
        let code = emoji.chars().next().map_or(0, u32::from).to_string();
        let asked = json!({"message_id": number(platform_id), "emoji_id": code, "set": set});
        self.wait_for_turn().await;
        self.call("set_msg_emoji_like", asked).await.map(|_| Sent::default())
    }
}

/// What a notice of a reaction says; none when it names no message.
pub(super) fn read(event: &Value) -> Option<Happening> {
    let of = Some(plain(&event["message_id"])).filter(|it| !it.is_empty())?;
    let likes = event["likes"].as_array().into_iter().flatten();
    let names: Vec<String> = likes.map(|it| name(&plain(&it["emoji_id"]))).collect();
    // Who doesn't say is of the time when only what was put there was told.
    Some(came_or_went(&of, &names, event["is_add"] != false))
}

/// The character of that number; the numbers of QQ's own pictures are small.
fn name(code: &str) -> String {
    const FIRST_CHARACTER: u32 = 5_000;
    let number = code.parse::<u32>().ok().filter(|it| FIRST_CHARACTER <= *it);
    number.and_then(char::from_u32).map_or_else(|| format!("[face {code}]"), String::from)
}
