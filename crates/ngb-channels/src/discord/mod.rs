//! Discord, by its gateway and the REST API, version 10.
//!
//! ```text
//! gateway  ─▶ known ─▶ wire::read ─▶ Inbox::accept_all ─▶ the sequence number to resume from, acknowledged interactions
//! Outbound ─▶ markup::render ─▶ send::*  ─▶ Sent
//! ```
//!
//! Facts are from <https://docs.discord.com/developers>; each table names its page.

mod api;
mod codes;
mod commands;
mod files;
#[cfg(test)]
mod fuzz;
mod history;
mod known;
mod markup;
mod pace;
mod plain;
mod press;
mod react;
mod receive;
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
use reqwest::Method;

use crate::{
    Answer, Channel, ChannelError, Delivery, Intake, MediaStream, Question,
    discord::{api::Api, commands::Offered, known::Known},
    http::Http,
    session::Sessions,
};

/// Where Discord's REST API is.
pub const DEFAULT_API_URL: &str = "https://discord.com/api/v10";

/// Longest text of a message, in code points (<https://docs.discord.com/developers/resources/message#create-message>).
const MAX_TEXT: Limit = Limit { max: 2_000, unit: Unit::Chars };

/// Longest text that is asked to be sent, in code points of our Markdown: the rest is for escapes.
const TEXT_LIMIT: Limit = Limit { max: 1_800, unit: Unit::Chars };

/// Largest upload, in bytes: what Discord takes from everybody; servers with boosts take more
/// (<https://docs.discord.com/developers/reference#uploading-files>).
const MAX_UPLOAD_BYTES: u64 = 10 << 20;

/// The shortest time between two edits of a message: a channel takes about five in five seconds.
const EDIT_INTERVAL: Duration = Duration::from_millis(1200);

/// One bot.
#[derive(Clone, Debug)]
pub struct DiscordConfig {
    pub account: Account,
    /// The bot's token, from the page Bot.
    pub token: Secret,
    /// Without a slash at the end; [`DEFAULT_API_URL`] or a simulator.
    pub api_url: String,
}

/// A bot on Discord.
pub struct Discord {
    profile: Profile,
    api: Api,
    known: Known,
    sessions: Sessions,
    offered: Offered,
}

impl Discord {
    pub fn new(config: DiscordConfig, http: Http) -> Self {
        let profile = Profile {
            account: config.account.clone(),
            text_limit: TEXT_LIMIT,
            threads: true,
            edits: true,
            edit_interval: EDIT_INTERVAL,
            typing: true,
            buttons: true,
            live_buttons: true,
            max_file_bytes: MAX_UPLOAD_BYTES,
            reactions: Reactions::Any,
            idempotent_sends: true,
            webhook: false,
            returns: Returns::Event,
        };
        Self {
            profile,
            api: Api::new(config, http),
            known: Known::default(),
            sessions: Sessions::default(),
            offered: Offered::default(),
        }
    }
}

#[async_trait]
impl Channel for Discord {
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
                let reply_to = reply_to.as_deref();
                let message =
                    send::Message { text: caption, reply_to, buttons: &[], key: delivery.key };
                self.send_file(to, &files::Upload { path, name, message }).await
            }
            Outbound::React { platform_id, emoji } => {
                self.change(Method::PUT, to, platform_id, emoji).await
            }
            Outbound::Unreact { platform_id, emoji } => {
                self.change(Method::DELETE, to, platform_id, emoji).await
            }
            Outbound::Typing => self.show_typing(to).await,
        }
    }

    async fn fetch(&self, media: &MediaRef) -> Result<MediaStream, ChannelError> {
        self.fetch_file(media).await
    }

    async fn ask(&self, question: &Question) -> Result<Answer, ChannelError> {
        match question {
            Question::WhoAmI => self.who_am_i().await,
            // Its nonce drops a repeat.
            Question::WasSent { .. } => Ok(Answer::CanNot),
        }
    }
}
