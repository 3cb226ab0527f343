//! Reactions, both ways: <https://open.feishu.cn/document/server-docs/im-v1/message-reaction/create>,
//! <https://open.feishu.cn/document/server-docs/im-v1/message-reaction/events/created>.

use ngb_core::{
    address::{Account, Place},
    message::{ChatFacts, ChatKind, Happening, Inbound, Sender, Sent},
    reaction::came_or_went,
};
use serde_json::{Value, json};

use super::{
    Feishu,
    api::ApiError,
    names::NAME_LIMIT,
    wire::{NO_CHAT, instant, place, text},
};
use crate::{ChannelError, emoji};

impl Feishu {
    pub(super) async fn react(
        &self,
        to: &Place,
        platform_id: &str,
        emoji: &str,
    ) -> Result<Sent, ChannelError> {
        let doing = |it: ApiError| it.doing(format!("react to `{platform_id}` in `{to}`"));
        let Some(kind) = emoji::to_feishu(emoji) else {
            return Err(doing(ApiError::unfit(format!("Feishu has no reaction `{emoji}`"))));
        };
        let path = format!("/open-apis/im/v1/messages/{platform_id}/reactions");
        let asked = json!({"reaction_type": {"emoji_type": kind}});
        // Put there twice, it stands there once.
        let found = self.api.post(&path, &[], &asked).await.map_err(doing)?;
        if let Some(reaction) = found["data"]["reaction_id"].as_str() {
            self.put.note(format!("{platform_id}/{emoji}"), reaction.to_owned());
        }
        Ok(Sent::default())
    }

    /// Feishu takes a reaction away by its id, which is known only while it was not long ago.
    pub(super) async fn unreact(
        &self,
        to: &Place,
        platform_id: &str,
        emoji: &str,
    ) -> Result<Sent, ChannelError> {
        if let Some(reaction) = self.put.take(&format!("{platform_id}/{emoji}")) {
            let path = format!("/open-apis/im/v1/messages/{platform_id}/reactions/{reaction}");
            let doing = |it: ApiError| it.doing(format!("react to `{platform_id}` in `{to}`"));
            self.api.delete(&path).await.map_err(doing)?;
        }
        Ok(Sent::default())
    }

    /// The event with its chat, which Feishu doesn't tell of a reaction: it is that of the message. Where that can't be had
    /// the reaction stays without one, and is dropped.
    pub(super) async fn placed(&self, mut event: Inbound) -> Inbound {
        let Happening::Reacted(content) = &event.what else { return event };
        let of = content.reply_to.as_deref().unwrap_or_default();
        let path = format!("/open-apis/im/v1/messages/{of}");
        match self.api.clock().timeout(NAME_LIMIT, self.api.get(&path, &[])).await {
            Ok(Ok(found)) => {
                let message = &found["data"]["items"][0];
                let chat = text(&message["chat_id"]);
                if let Some(found) = place(&chat, None, &self.profile.account) {
                    event.place = found;
                    event.chat.title = chat;
                }
            }
            Ok(Err(err)) => {
                tracing::debug!(account = %self.profile.account, "no chat for a reaction to `{of}`: {err}");
            }
            Err(_) => {
                tracing::debug!(account = %self.profile.account, "no chat for a reaction to `{of}` in time");
            }
        }
        event
    }
}

/// A reaction of a person that came or went; none for those of apps, ours among them.
pub(super) fn read(kind: &str, event: &Value, account: &Account) -> Option<Inbound> {
    if event["operator_type"].as_str().is_some_and(|it| it != "user") {
        return None;
    }
    let (of, at) = (text(&event["message_id"]), text(&event["action_time"]));
    let name = emoji::from_feishu(event["reaction_type"]["emoji_type"].as_str()?);
    let who = &event["user_id"];
    let who = ["open_id", "user_id", "union_id"].into_iter().find_map(|it| who[it].as_str())?;
    let is_put = kind == "im.message.reaction.created_v1";
    let event_key = format!("r:{of}:{who}:{name}:{is_put}:{at}");
    let name = [name];
    Some(Inbound {
        event_key,
        place: place(NO_CHAT, None, account)?,
        chat: ChatFacts { kind: ChatKind::Group, title: NO_CHAT.to_owned() },
        sender: Sender { id: who.to_owned(), name: who.to_owned(), is_bot: false },
        sent_at: instant(&event["action_time"]),
        what: came_or_went(&of, &name, is_put),
    })
}
