//! Slack, by Socket Mode and the Web API.
//!
//! ```text
//! socket   ─▶ wire::read ─▶ names ─▶ Inbox::accept_all ─▶ the envelope's acknowledgement
//! Outbound ─▶ markup::render ─▶ send::*  ─▶ Sent
//! ```
//!
//! Facts are from <https://docs.slack.dev>; each table names its page.

mod api;
mod files;
#[cfg(test)]
mod fuzz;
mod history;
mod markup;
mod names;
mod react;
mod receive;
mod send;
mod visible;
mod wire;

use std::time::Duration;

use async_trait::async_trait;
use ngb_core::{
    address::Account,
    message::{MediaRef, Outbound, Profile, Returns, Sent},
    reaction::Reactions,
    secret::Secret,
    text::{Limit, Unit},
};
use serde_json::json;
use tokio::sync::OnceCell;

use crate::{
    Answer, Channel, ChannelError, Delivery, Intake, MediaStream, Question, emoji,
    http::Http,
    slack::{api::Api, names::Names, visible::Visible, wire::Me},
};

/// Where Slack's Web API is.
pub const DEFAULT_API_URL: &str = "https://slack.com/api";

/// Longest text of a message, in characters of our Markdown. Slack asks for 4,000 and cuts at 40,000
/// (<https://docs.slack.dev/reference/methods/chat.postMessage#truncating>); escaping makes a text five times as long at
/// the most.
const MAX_TEXT: usize = 4_000;

/// Largest upload, in bytes: Slack's own limit for a file.
const MAX_UPLOAD_BYTES: u64 = 1 << 30;

/// The shortest time between two edits of a message: `chat.update` is tier 3, 50 a minute.
const EDIT_INTERVAL: Duration = Duration::from_millis(1500);

/// One app in one workspace.
#[derive(Clone, Debug)]
pub struct SlackConfig {
    pub account: Account,
    /// `xoxb-…`: what the bot may do.
    pub bot_token: Secret,
    /// `xapp-…`, with the scope `connections:write`: opens sockets.
    pub app_token: Secret,
    /// Without a slash at the end; [`DEFAULT_API_URL`] or a simulator.
    pub api_url: String,
}

/// A bot on Slack.
pub struct Slack {
    profile: Profile,
    api: Api,
    names: Names,
    visible: Visible,
    /// Who we are; asked once, before the first event.
    me: OnceCell<Me>,
}

impl Slack {
    pub fn new(config: SlackConfig, http: Http) -> Self {
        let profile = Profile {
            account: config.account.clone(),
            text_limit: Limit { max: MAX_TEXT, unit: Unit::Chars },
            threads: true,
            edits: true,
            edit_interval: EDIT_INTERVAL,
            typing: true,
            buttons: true,
            live_buttons: true,
            max_file_bytes: MAX_UPLOAD_BYTES,
            reactions: Reactions::These(emoji::SLACK),
            idempotent_sends: false,
            webhook: false,
            returns: Returns::Event,
        };
        Self {
            profile,
            api: Api::new(config, http),
            names: Names::default(),
            visible: Visible::default(),
            me: OnceCell::new(),
        }
    }

    /// Who we are, asked of Slack once.
    async fn me(&self) -> Result<&Me, ChannelError> {
        self.me
            .get_or_try_init(async || {
                let reply = self.api.call("auth.test", &json!({})).await;
                Ok(Me::read(&reply.map_err(|it| it.doing("ask who the bot is"))?))
            })
            .await
    }
}

#[async_trait]
impl Channel for Slack {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    async fn receive(&self, intake: &mut Intake) -> Result<(), ChannelError> {
        self.listen(intake).await
    }

    async fn send(&self, delivery: &Delivery<'_>) -> Result<Sent, ChannelError> {
        let to = delivery.to;
        match delivery.item {
            Outbound::Text { text, reply_to, buttons } => {
                let reply_to = reply_to.as_deref();
                let message = send::Message { text, reply_to, buttons, key: delivery.key };
                self.send_text(to, &message).await
            }
            Outbound::Edit { platform_id, text, buttons } => {
                self.edit_text(to, platform_id, text, buttons).await
            }
            Outbound::File { path, name, caption, reply_to } => {
                let upload = files::Upload { path, name, caption, reply_to: reply_to.as_deref() };
                self.send_file(to, &upload).await
            }
            Outbound::React { platform_id, emoji } => {
                self.change("reactions.add", "already_reacted", to, platform_id, emoji).await
            }
            Outbound::Unreact { platform_id, emoji } => {
                self.change("reactions.remove", "no_reaction", to, platform_id, emoji).await
            }
            Outbound::Typing => self.show_work(to).await,
        }
    }

    async fn fetch(&self, media: &MediaRef) -> Result<MediaStream, ChannelError> {
        self.fetch_file(media).await
    }

    async fn ask(&self, question: &Question) -> Result<Answer, ChannelError> {
        match question {
            Question::WhoAmI => {
                let reply = self.api.call("auth.test", &json!({})).await;
                let me = Me::read(&reply.map_err(|it| it.doing("ask who the bot is"))?);
                let mut remarks = Vec::new();
                if let Err(err) = self.api.open_connection().await {
                    remarks.push(format!("nothing can be received: {err}"));
                }
                Ok(Answer::Me { id: me.user, name: me.name, remarks })
            }
            Question::WasSent { key, to } => self.find_sent(to, key).await.map(Answer::Sent),
        }
    }
}
