//! WeCom (企业微信): an app of one's own, called with encrypted XML; an AI bot on a long connection; robots of groups,
//! which only send.
//!
//! ```text
//! GET  /hooks/wecom/<account> ─▶ signature ─▶ decrypt echostr ─▶ say it back
//! POST /hooks/wecom/<account> ─▶ signature ─▶ decrypt ─▶ xml ─▶ wire::read ─▶ accept_all ─▶ 200, or 503
//! socket of an AI bot            ─▶ bot::wire::read ─▶ accept_all
//! Outbound ─▶ markup::render ─▶ send ─▶ api (token) ─▶ Sent
//! ```

mod api;
mod bot;
mod codes;
mod crypt;
#[cfg(test)]
mod fuzz;
mod hook;
mod markup;
mod send;
mod wire;
mod xml;

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

use self::{
    api::{Api, ApiError, Body},
    bot::{Bot, Text},
    crypt::Crypt,
};
pub use self::{bot::DEFAULT_WS_URL, crypt::BadKey};
use crate::{
    Answer, Channel, ChannelError, Delivery, Intake, MediaStream, Question,
    http::{self, Http},
};

/// Where the API is.
pub const DEFAULT_API_URL: &str = "https://qyapi.weixin.qq.com";

/// Longest text that is asked to be sent, in bytes. WeCom takes 2,048 and cuts off what is more; the rest is for the
/// marks that rendering adds.
const MAX_TEXT: usize = 1_900;

/// The same for an AI bot, whose streams take 20,480 bytes of Markdown as it is.
const MAX_BOT_TEXT: usize = 20_000;

/// The shortest time between two frames of a stream: WeCom takes 30 messages a minute in a chat.
/// <https://developer.work.weixin.qq.com/document/path/101463>
const EDIT_INTERVAL: Duration = Duration::from_secs(3);

/// Largest file, in bytes. <https://developer.work.weixin.qq.com/document/path/90253>
const MAX_FILE_BYTES: u64 = 20 << 20;

/// An account's settings.
#[derive(Clone, Debug)]
pub struct WecomConfig {
    pub account: Account,
    /// Without a slash at the end.
    pub api_url: String,
    pub mode: Mode,
}

/// How an account talks with WeCom.
#[derive(Clone, Debug)]
pub enum Mode {
    /// An app of one's own (自建应用).
    App {
        corp_id: String,
        agent_id: u64,
        secret: Secret,
        /// Token and EncodingAESKey of "receive messages" (接收消息).
        token: Secret,
        encoding_aes_key: Secret,
    },
    /// An AI bot (智能机器人) with a long connection.
    Bot { bot_id: String, secret: Secret, ws_url: String },
    /// A robot of a group (群机器人), which hears nothing.
    Robot { key: Secret },
}

/// An app, a bot or a robot on WeCom.
pub struct Wecom {
    profile: Profile,
    clock: Clock,
    way: Way,
}

enum Way {
    Bot(Box<Bot>),
    Calls(Caller),
}

/// Who sends by calls of the API.
enum Caller {
    App(Box<App>),
    Robot(Robot),
}

struct App {
    api: Api,
    crypt: Crypt,
    corp_id: String,
    agent_id: u64,
}

struct Robot {
    url: String,
    key: Secret,
    http: Http,
}

impl Wecom {
    /// # Errors
    ///
    /// When the EncodingAESKey is none.
    pub fn new(config: WecomConfig, http: Http, clock: Clock) -> Result<Self, BadKey> {
        let is_bot = matches!(config.mode, Mode::Bot { .. });
        let max = if is_bot { MAX_BOT_TEXT } else { MAX_TEXT };
        let profile = Profile {
            account: config.account.clone(),
            text_limit: Limit { max, unit: Unit::Bytes },
            threads: false,
            edits: is_bot,
            edit_interval: if is_bot { EDIT_INTERVAL } else { Duration::ZERO },
            typing: is_bot,
            buttons: is_bot,
            live_buttons: false,
            max_file_bytes: MAX_FILE_BYTES,
            reactions: Reactions::None,
            idempotent_sends: false,
            webhook: matches!(config.mode, Mode::App { .. }),
            returns: if is_bot { Returns::Answer } else { Returns::Nothing },
        };
        let url = config.api_url.trim_end_matches('/').to_owned();
        let way = match config.mode {
            Mode::App { corp_id, agent_id, secret, token, encoding_aes_key } => {
                let crypt = Crypt::new(token, &encoding_aes_key, &corp_id)?;
                let api = Api::new(url, corp_id.clone(), secret, http, clock.clone());
                Way::Calls(Caller::App(Box::new(App { crypt, api, corp_id, agent_id })))
            }
            Mode::Bot { bot_id, secret, ws_url } => {
                Way::Bot(Box::new(Bot::new(config.account, ws_url, bot_id, secret, http)))
            }
            Mode::Robot { key } => Way::Calls(Caller::Robot(Robot { url, key, http })),
        };
        Ok(Self { profile, clock, way })
    }
}

#[async_trait]
impl Channel for Wecom {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    async fn receive(&self, intake: &mut Intake) -> Result<(), ChannelError> {
        match &self.way {
            Way::Bot(bot) => bot.listen(intake).await,
            Way::Calls(Caller::App(app)) => self.take_webhooks(app, intake).await,
            Way::Calls(Caller::Robot(_)) => {
                // It hears nothing; there is nothing that could fail.
                intake.pulse.beat(self.clock.now());
                intake.stop.cancelled().await;
                Ok(())
            }
        }
    }

    async fn send(&self, delivery: &Delivery<'_>) -> Result<Sent, ChannelError> {
        let Delivery { to, item, key, live } = *delivery;
        let chat = to.jid.chat();
        let (doing, sent) = match item {
            Outbound::Text { text, reply_to, buttons } => {
                let reply_to = reply_to.as_deref();
                let sent = match &self.way {
                    Way::Bot(bot) if !buttons.is_empty() => {
                        bot.send_question(chat, text, buttons, key).await
                    }
                    Way::Bot(bot) => bot.send_text(&Text { chat, text, reply_to, key, live }).await,
                    Way::Calls(it) => it.send_text(to, text).await,
                };
                (format!("send to `{to}`"), sent)
            }
            Outbound::Edit { platform_id, text, .. } => {
                let sent = match &self.way {
                    Way::Bot(bot) => bot.edit_text(chat, platform_id, text, live).await,
                    Way::Calls(_) => {
                        Err(ApiError::Unfit("WeCom has no way to edit a message".to_owned()))
                    }
                };
                (format!("edit `{platform_id}` in `{to}`"), sent)
            }
            Outbound::File { path, name, caption, .. } => {
                let file = send::Upload { path, name, caption };
                let sent = match &self.way {
                    Way::Bot(bot) => bot.send_file(chat, &file).await,
                    Way::Calls(it) => it.send_file(to, &file).await,
                };
                (format!("send `{name}` to `{to}`"), sent)
            }
            Outbound::React { platform_id, .. } | Outbound::Unreact { platform_id, .. } => {
                let why = ApiError::Unfit("WeCom has no reactions".to_owned());
                (format!("react to `{platform_id}` in `{to}`"), Err(why))
            }
            Outbound::Typing => {
                let sent = match &self.way {
                    Way::Bot(bot) => bot.show_work(chat).await,
                    Way::Calls(_) => Ok(Sent::default()),
                };
                (format!("show in `{to}` that an answer is being made"), sent)
            }
        };
        sent.map_err(|it| it.doing(doing))
    }

    async fn fetch(&self, media: &MediaRef) -> Result<MediaStream, ChannelError> {
        let doing = format!("fetch `{}`", media.name);
        let begun = match &self.way {
            Way::Bot(bot) => bot.fetch_file(media, &doing).await,
            Way::Calls(Caller::App(app)) => {
                let begun = app.api.media(&media.reference, MAX_FILE_BYTES).await;
                begun.map(|it| http::stream(it, MAX_FILE_BYTES, doing.clone()))
            }
            Way::Calls(Caller::Robot(_)) => {
                Err(ApiError::Unfit("a robot of a group hears nothing".into()))
            }
        };
        begun.map_err(|it| it.doing(doing))
    }

    async fn ask(&self, question: &Question) -> Result<Answer, ChannelError> {
        match (question, &self.way) {
            (Question::WhoAmI, Way::Calls(Caller::App(app))) => {
                let id = app.agent_id.to_string();
                let query = [("agentid", id.as_str())];
                let got = app.api.call("/cgi-bin/agent/get", &query, Body::None).await;
                let got = got.map_err(|it| it.doing("ask who the app is"))?;
                let name = got["name"].as_str().unwrap_or_default().to_owned();
                Ok(Answer::Me { id, name, remarks: Vec::new() })
            }
            // There is no idempotency key, and no way to read what was sent.
            _ => Ok(Answer::CanNot),
        }
    }
}
