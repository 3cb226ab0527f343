//! Feishu and Lark, by the long connection or by callbacks, and the open API.
//!
//! ```text
//! frames, callbacks ─▶ wire::read ─▶ names ─▶ Inbox::accept_all ─▶ the acknowledgement
//! Outbound ─▶ card::of ─▶ send::*  ─▶ Sent
//! ```
//!
//! Facts are from <https://open.feishu.cn/document>; each table names its page. Every text is a card: only cards show
//! Markdown and buttons, and may be edited as often as an answer grows.

mod api;
mod card;
mod codes;
mod crypt;
mod files;
mod frame;
#[cfg(test)]
mod fuzz;
mod history;
mod hook;
mod names;
mod react;
mod receive;
mod said;
mod send;
mod stream;
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
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::{
    Answer, Channel, ChannelError, Delivery, Intake, MediaStream, Question, emoji,
    feishu::{api::Api, crypt::Crypt, names::Names, stream::Streams, visible::Visible, wire::Me},
    http::Http,
    put::Put,
};

/// Where the open API is: in China, and for Lark elsewhere.
pub const FEISHU_URL: &str = "https://open.feishu.cn";
pub const LARK_URL: &str = "https://open.larksuite.com";

/// Longest text of a card, in characters. A card may have 30 KB of JSON in JSON
/// (<https://open.feishu.cn/document/server-docs/im-v1/message/create>); Chinese takes three bytes a character.
const TEXT_LIMIT: Limit = Limit { max: 4_000, unit: Unit::Chars };

/// Largest upload, in bytes (<https://open.feishu.cn/document/server-docs/im-v1/file/create>); a picture may have 10 MB.
const MAX_UPLOAD_BYTES: u64 = 30 << 20;

/// The shortest time between two edits of a card: a message takes five a second, and so does its chat.
const EDIT_INTERVAL: Duration = Duration::from_millis(1500);

/// One self-built app.
#[derive(Clone, Debug)]
pub struct FeishuConfig {
    pub account: Account,
    /// `cli_…`
    pub app_id: String,
    pub app_secret: Secret,
    /// Without a slash at the end; [`FEISHU_URL`], [`LARK_URL`] or a simulator.
    pub api_url: String,
    /// With it Feishu calls us, and without it we connect to Feishu.
    pub callbacks: Option<Callbacks>,
}

/// What proves that Feishu calls.
#[derive(Clone, Debug)]
pub struct Callbacks {
    pub encrypt_key: Secret,
    /// Checked as well where it is set.
    pub verification_token: Option<Secret>,
}

/// A bot on Feishu or Lark.
pub struct Feishu {
    profile: Profile,
    api: Api,
    crypt: Option<Crypt>,
    names: Names,
    visible: Visible,
    streams: Streams,
    /// The ids of our reactions.
    put: Put,
    /// Who we are; asked once, before the first event.
    me: OnceCell<Me>,
}

impl Feishu {
    pub fn new(config: FeishuConfig, http: Http) -> Self {
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
            reactions: Reactions::These(emoji::FEISHU),
            idempotent_sends: true,
            webhook: config.callbacks.is_some(),
            returns: Returns::Nothing,
        };
        Self {
            profile,
            crypt: config.callbacks.clone().map(Crypt::new),
            api: Api::new(config, http),
            names: Names::default(),
            visible: Visible::default(),
            streams: Streams::default(),
            put: Put::default(),
            me: OnceCell::new(),
        }
    }

    /// Who we are, asked of Feishu once.
    async fn me(&self) -> Result<&Me, ChannelError> {
        self.me
            .get_or_try_init(async || {
                let found = self.api.get("/open-apis/bot/v3/info", &[]).await;
                Ok(Me::read(
                    &found.map_err(|it| it.doing("ask who the bot is"))?,
                    self.api.app_id(),
                ))
            })
            .await
    }

    async fn who_am_i(&self) -> Result<Answer, ChannelError> {
        let doing = |it: api::ApiError| it.doing("ask who the bot is");
        let found: Value = self.api.get("/open-apis/bot/v3/info", &[]).await.map_err(doing)?;
        let me = Me::read(&found, self.api.app_id());
        let mut remarks = Vec::new();
        if found["bot"]["activate_status"].as_i64().is_some_and(|it| it != 2) {
            remarks.push(
                "the app is not in use yet: create a version of it and publish it".to_owned(),
            );
        }
        if self.crypt.is_none()
            && let Err(err) = self.api.endpoint().await
        {
            remarks.push(format!("nothing can be received: {err}"));
        }
        Ok(Answer::Me { id: me.open_id, name: me.name, remarks })
    }
}

#[async_trait]
impl Channel for Feishu {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    async fn receive(&self, intake: &mut Intake) -> Result<(), ChannelError> {
        match &self.crypt {
            Some(crypt) => self.take_calls(crypt, intake).await,
            None => self.listen(intake).await,
        }
    }

    async fn send(&self, delivery: &Delivery<'_>) -> Result<Sent, ChannelError> {
        let (to, key) = (delivery.to, delivery.key);
        match delivery.item {
            Outbound::Text { text, reply_to, buttons } => {
                let reply_to = reply_to.as_deref();
                let message = send::Message { text, reply_to, buttons, key };
                if delivery.live {
                    self.begin_stream(to, &message).await
                } else {
                    self.send_text(to, &message).await
                }
            }
            Outbound::Edit { platform_id, text, buttons } => {
                let edit = send::Edit { id: platform_id, text, buttons };
                self.edit_text(to, &edit, delivery.live).await
            }
            Outbound::File { path, name, caption, reply_to } => {
                let reply_to = reply_to.as_deref();
                let message = send::Message { text: caption, reply_to, buttons: &[], key };
                self.send_file(to, &files::Upload { path, name, message }).await
            }
            Outbound::React { platform_id, emoji } => self.react(to, platform_id, emoji).await,
            Outbound::Unreact { platform_id, emoji } => self.unreact(to, platform_id, emoji).await,
            Outbound::Typing => self.show_work(to).await,
        }
    }

    async fn fetch(&self, media: &MediaRef) -> Result<MediaStream, ChannelError> {
        self.fetch_file(media).await
    }

    async fn ask(&self, question: &Question) -> Result<Answer, ChannelError> {
        match question {
            Question::WhoAmI => self.who_am_i().await,
            // Its `uuid` drops a repeat.
            Question::WasSent { .. } => Ok(Answer::CanNot),
        }
    }
}
