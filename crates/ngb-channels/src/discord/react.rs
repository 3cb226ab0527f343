//! Reactions, both ways: <https://docs.discord.com/developers/resources/message#create-reaction>,
//! <https://docs.discord.com/developers/events/gateway-events#message-reaction-add>.

use ngb_core::{
    address::{Account, Place},
    message::{Inbound, Sent},
    reaction::came_or_went,
};
use reqwest::Method;
use serde_json::Value;

use super::{
    Discord,
    api::ApiError,
    known::{Facts, text},
    send::{channel, is_id},
    wire,
};
use crate::ChannelError;

impl Discord {
    /// Puts a reaction there or takes it away.
    pub(super) async fn change(
        &self,
        method: Method,
        to: &Place,
        platform_id: &str,
        emoji: &str,
    ) -> Result<Sent, ChannelError> {
        let doing = |it: ApiError| it.doing(format!("react to `{platform_id}` in `{to}`"));
        let channel = channel(to).map_err(doing)?;
        if !is_id(platform_id) {
            let why = format!("`{platform_id}` is no message of Discord");
            return Err(doing(ApiError::unfit(why)));
        }
        let emoji: String = emoji.bytes().map(|it| format!("%{it:02X}")).collect();
        let path = format!("/channels/{channel}/messages/{platform_id}/reactions/{emoji}/@me");
        self.api.bare(method, &path).await.map(|_| Sent::default()).map_err(doing)
    }
}

/// A `MESSAGE_REACTION_ADD` or `MESSAGE_REACTION_REMOVE`; none for our own. It has neither an id nor a time: the same
/// reaction of the same person under the same message is told once.
pub(super) fn read(kind: &str, event: &Value, account: &Account, facts: &Facts) -> Option<Inbound> {
    let (of, who) = (text(&event["message_id"]), text(&event["user_id"]));
    if who == facts.me.id {
        return None;
    }
    let emoji = &event["emoji"];
    let name = emoji["name"].as_str().unwrap_or("reaction");
    let name = [if emoji["id"].is_null() { name.to_owned() } else { format!(":{name}:") }];
    let is_put = kind == "MESSAGE_REACTION_ADD";
    let key = format!("r:{of}:{who}:{}:{is_put}", name[0]);
    wire::inbound(key, event, account, facts, came_or_went(&of, &name, is_put))
}
