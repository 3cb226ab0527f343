//! QQ's official bots: the gateway or signed callbacks in, the OpenAPI out.
//!
//! ```text
//! gateway  ─▶ receive ─┐
//! callback ─▶ hook ────┴▶ wire::read ─▶ Recent ─▶ Inbox::accept_all
//! Outbound ─▶ Recent: which message it answers, within its window ─▶ send, file ─▶ Sent
//! ```
//!
//! <https://bot.q.qq.com/wiki/develop/api-v2/>. A bot may answer a message for some minutes and some times; speaking of itself is
//! a right that few bots have.

mod api;
mod codes;
mod file;
#[cfg(test)]
mod fuzz;
mod hook;
mod receive;
mod recent;
mod send;
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
use tokio::sync::OnceCell;

use self::{api::Api, recent::Recent, wire::Me};
use crate::{
    Answer, Channel, ChannelError, Delivery, Intake, MediaStream, Question, http::Http,
    session::Sessions,
};

/// Where the OpenAPI is.
pub const DEFAULT_API_URL: &str = "https://api.sgroup.qq.com";

/// Where access tokens are given out.
pub const DEFAULT_TOKEN_URL: &str = "https://bots.qq.com/app/getAppAccessToken";

/// Longest text of a message, in characters. QQ names no number; this is as much as its clients show at once.
const MAX_TEXT: usize = 2_000;

/// Largest file, in bytes: it goes up in base64, in one call.
const MAX_FILE_BYTES: u64 = 10 << 20;

/// A bot of the open platform.
#[derive(Clone, Debug)]
pub struct BotConfig {
    pub account: Account,
    pub app_id: String,
    pub secret: Secret,
    /// Whether QQ calls us, instead of the gateway.
    pub webhook: bool,
    /// Whether the bot is also in channels (频道); who has no right to their events is refused by the gateway.
    pub guilds: bool,
    /// Without a slash at the end.
    pub api_url: String,
    pub token_url: String,
}

/// A bot on QQ.
pub struct QqBot {
    profile: Profile,
    webhook: bool,
    guilds: bool,
    secret: Secret,
    api: Api,
    recent: Recent,
    sessions: Sessions,
    /// Who we are; asked once, before the first event.
    me: OnceCell<Me>,
}

impl QqBot {
    pub fn new(config: BotConfig, http: Http) -> Self {
        let profile = Profile {
            account: config.account.clone(),
            text_limit: Limit { max: MAX_TEXT, unit: Unit::Chars },
            threads: false,
            edits: false,
            edit_interval: Duration::ZERO,
            typing: true,
            buttons: false,
            live_buttons: false,
            max_file_bytes: MAX_FILE_BYTES,
            reactions: Reactions::None,
            // Answers are dropped when they come again, what is said of itself is not.
            idempotent_sends: false,
            webhook: config.webhook,
            returns: Returns::Nothing,
        };
        Self {
            profile,
            webhook: config.webhook,
            guilds: config.guilds,
            secret: config.secret.clone(),
            api: Api::new(config, http),
            recent: Recent::default(),
            sessions: Sessions::default(),
            me: OnceCell::new(),
        }
    }

    /// Who we are, asked of QQ once.
    async fn me(&self) -> Result<&Me, ChannelError> {
        self.me
            .get_or_try_init(async || {
                let got = self.api.get("/users/@me").await;
                Ok(Me::read(&got.map_err(|it| it.doing("ask who the bot is"))?))
            })
            .await
    }
}

#[async_trait]
impl Channel for QqBot {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    async fn receive(&self, intake: &mut Intake) -> Result<(), ChannelError> {
        if self.webhook { self.take_calls(intake).await } else { self.listen(intake).await }
    }

    async fn send(&self, delivery: &Delivery<'_>) -> Result<Sent, ChannelError> {
        let Delivery { to, item, key, .. } = *delivery;
        let (doing, sent) = match item {
            Outbound::Text { text, reply_to, .. } => {
                let sent = self.send_text(to, text, reply_to.as_deref(), key).await;
                (format!("send to `{to}`"), sent)
            }
            Outbound::Edit { platform_id, .. } => {
                let why = api::ApiError::unfit("QQ has no way to edit a message");
                (format!("edit `{platform_id}` in `{to}`"), Err(why))
            }
            Outbound::File { path, name, caption, reply_to } => {
                let upload = file::Upload { path, name, caption, reply_to: reply_to.as_deref() };
                (format!("send `{name}` to `{to}`"), self.send_file(to, &upload, key).await)
            }
            Outbound::React { platform_id, .. } | Outbound::Unreact { platform_id, .. } => {
                let why = api::ApiError::unfit("this version puts no reactions for official bots");
                (format!("react to `{platform_id}` in `{to}`"), Err(why))
            }
            Outbound::Typing => {
                (format!("show in `{to}` that an answer is being made"), self.show_work(to).await)
            }
        };
        sent.map_err(|it| it.doing(doing))
    }

    async fn fetch(&self, media: &MediaRef) -> Result<MediaStream, ChannelError> {
        self.fetch_file(media).await
    }

    async fn ask(&self, question: &Question) -> Result<Answer, ChannelError> {
        match question {
            Question::WhoAmI => {
                let got = self.api.get("/users/@me").await;
                let me = Me::read(&got.map_err(|it| it.doing("ask who the bot is"))?);
                Ok(Answer::Me { id: me.id, name: me.name, remarks: Vec::new() })
            }
            // There is no way to read what was sent; an answer that is sent again is dropped by its number.
            Question::WasSent { .. } => Ok(Answer::CanNot),
        }
    }
}
