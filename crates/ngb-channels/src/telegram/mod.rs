//! Telegram, by the Bot API: long polling or webhook.
//!
//! ```text
//! getUpdates ─▶ wire::read ─▶ Inbox::accept_all ─▶ next offset      (confirmed only once it is on disk)
//! webhook    ─▶ secret ─▶ wire::read ─▶ accept_all ─▶ 200, or 503
//! Outbound   ─▶ markup::render ─▶ send::*  ─▶ Sent
//! ```

mod api;
mod fetch;
#[cfg(test)]
mod fuzz;
mod markup;
mod media;
mod poll;
mod react;
mod send;
mod webhook;
mod wire;

use std::time::Duration;

use async_trait::async_trait;
use ngb_core::{
    address::Account,
    clock::Clock,
    message::{MediaRef, Outbound, Profile, Returns, Sent},
    reaction::Reactions,
    secret::Secret,
    text::{Limit, Unit},
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::{
    Answer, Channel, ChannelError, Delivery, Intake, MediaStream, Question,
    http::Http,
    put::Put,
    telegram::{api::Api, wire::Me},
};

/// Where Telegram's own server is. A Bot API server of one's own has its own address.
pub const DEFAULT_API_URL: &str = "https://api.telegram.org";

/// Longest text of a message, in UTF-16 units after entities are parsed. Our Markdown is never shorter than what
/// is made of it, so the source is counted.
const MAX_TEXT: usize = 4096;

/// Largest upload to Telegram's own server, in bytes.
const MAX_UPLOAD_BYTES: u64 = 50 << 20;

/// The shortest time between two edits of a message; Telegram counts edits as messages, about one a second a chat.
const EDIT_INTERVAL: Duration = Duration::from_millis(1500);

/// One bot.
#[derive(Clone, Debug)]
pub struct TelegramConfig {
    pub account: Account,
    pub token: Secret,
    /// Without a slash at the end; [`DEFAULT_API_URL`] or a server of one's own.
    pub api_url: String,
    /// Updates are posted to us instead of polled.
    pub webhook: Option<WebhookConfig>,
}

/// How Telegram reaches us.
#[derive(Clone, Debug)]
pub struct WebhookConfig {
    /// The whole address of the account's hook, as Telegram sees it: HTTPS on port 443, 80, 88 or 8443.
    pub public_url: String,
    /// 1 to 256 of `A-Za-z0-9_-`, in the header of each update.
    pub secret: Secret,
}

/// A bot on Telegram.
pub struct Telegram {
    profile: Profile,
    api: Api,
    webhook: Option<WebhookConfig>,
    clock: Clock,
    /// Who we are; asked once, when the first message wants to know.
    me: OnceCell<Me>,
    /// Our reactions.
    put: Put,
}

impl Telegram {
    pub fn new(config: TelegramConfig, http: Http, clock: Clock) -> Self {
        let profile = Profile {
            account: config.account,
            text_limit: Limit { max: MAX_TEXT, unit: Unit::Utf16 },
            threads: true,
            edits: true,
            edit_interval: EDIT_INTERVAL,
            typing: true,
            buttons: true,
            live_buttons: true,
            max_file_bytes: MAX_UPLOAD_BYTES,
            reactions: Reactions::These(react::ALLOWED),
            idempotent_sends: false,
            webhook: config.webhook.is_some(),
            returns: Returns::Nothing,
        };
        let api = Api::new(&config.api_url, config.token, http);
        Self {
            profile,
            api,
            webhook: config.webhook,
            clock,
            me: OnceCell::new(),
            put: Put::default(),
        }
    }

    /// Who we are, asked of Telegram once.
    async fn me(&self) -> Result<&Me, ChannelError> {
        self.me
            .get_or_try_init(async || {
                let reply = self.api.call("getMe", &json!({})).await;
                let me = reply.map_err(|it| it.doing("ask who the bot is"))?;
                Ok(Me::read(&me))
            })
            .await
    }
}

#[async_trait]
impl Channel for Telegram {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    async fn receive(&self, intake: &mut Intake) -> Result<(), ChannelError> {
        match &self.webhook {
            None => self.poll(intake).await,
            Some(hook) => self.take_webhooks(hook, intake).await,
        }
    }

    async fn send(&self, delivery: &Delivery<'_>) -> Result<Sent, ChannelError> {
        let to = delivery.to;
        match delivery.item {
            Outbound::Text { text, reply_to, buttons } => {
                self.send_text(to, text, reply_to.as_deref(), buttons).await
            }
            Outbound::Edit { platform_id, text, buttons } => {
                self.edit_text(to, platform_id, text, buttons).await
            }
            Outbound::File { path, name, caption, reply_to } => {
                let file = send::Upload { path, name, caption, reply_to: reply_to.as_deref() };
                self.send_file(to, &file).await
            }
            Outbound::React { platform_id, emoji } => self.react(to, platform_id, emoji).await,
            Outbound::Unreact { platform_id, emoji } => self.unreact(to, platform_id, emoji).await,
            Outbound::Typing => self.typing(to).await,
        }
    }

    async fn fetch(&self, media: &MediaRef) -> Result<MediaStream, ChannelError> {
        self.fetch_file(media).await
    }

    async fn ask(&self, question: &Question) -> Result<Answer, ChannelError> {
        match question {
            Question::WhoAmI => {
                // Asked anew each time: privacy mode may have been changed since.
                let reply = self.api.call("getMe", &json!({})).await;
                let me: Value = reply.map_err(|it| it.doing("ask who the bot is"))?;
                let me = Me::read(&me);
                let mut remarks = Vec::new();
                if !me.reads_all {
                    remarks.push(format!(
                        "privacy mode is on: in groups `@{}` sees only commands, mentions and answers to itself; to \
                         change that, send /setprivacy to @BotFather, choose Disable, then remove the bot from each \
                         group and add it again",
                        me.username
                    ));
                }
                Ok(Answer::Me { id: me.id.to_string(), name: me.username, remarks })
            }
            // Telegram has neither an idempotency key nor a way to read what the bot sent.
            Question::WasSent { .. } => Ok(Answer::CanNot),
        }
    }
}
