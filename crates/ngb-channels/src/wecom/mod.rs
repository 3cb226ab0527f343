//! WeCom (企业微信): an app of one's own, called with encrypted XML, and robots of groups, which only send.
//!
//! ```text
//! GET  /hooks/wecom/<account> ─▶ signature ─▶ decrypt echostr ─▶ say it back
//! POST /hooks/wecom/<account> ─▶ signature ─▶ decrypt ─▶ xml ─▶ wire::read ─▶ accept_all ─▶ 200, or 503
//! Outbound ─▶ markup::render ─▶ send ─▶ api (token) ─▶ Sent
//! ```

mod api;
mod codes;
mod crypt;
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
    message::{MediaRef, Outbound, Profile, Sent},
    secret::Secret,
    text::{Limit, Unit},
};
use tokio::sync::Mutex;

pub use self::crypt::BadKey;
use self::{
    api::{Api, ApiError, Body},
    crypt::Crypt,
};
use crate::{
    Answer, Channel, ChannelError, Delivery, Intake, MediaStream, Question,
    http::{self, Http},
};

/// Where the API is.
pub const DEFAULT_API_URL: &str = "https://qyapi.weixin.qq.com";

/// Longest text that is asked to be sent, in bytes. WeCom takes 2,048 and cuts off what is more; the rest is for the
/// marks that rendering adds.
const MAX_TEXT: usize = 1_900;

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
    /// A robot of a group (群机器人), which hears nothing.
    Robot { key: Secret },
}

/// An app or a robot on WeCom.
pub struct Wecom {
    profile: Profile,
    clock: Clock,
    way: Way,
}

enum Way {
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
        let profile = Profile {
            account: config.account,
            text_limit: Limit { max: MAX_TEXT, unit: Unit::Bytes },
            threads: false,
            edits: false,
            edit_interval: Duration::ZERO,
            typing: false,
            buttons: false,
            max_file_bytes: MAX_FILE_BYTES,
            idempotent_sends: false,
            webhook: matches!(config.mode, Mode::App { .. }),
        };
        let url = config.api_url.trim_end_matches('/').to_owned();
        let way = match config.mode {
            Mode::App { corp_id, agent_id, secret, token, encoding_aes_key } => {
                Way::App(Box::new(App {
                    crypt: Crypt::new(token, &encoding_aes_key, &corp_id)?,
                    api: Api {
                        url,
                        corp_id: corp_id.clone(),
                        secret,
                        http,
                        clock: clock.clone(),
                        token: Mutex::default(),
                    },
                    corp_id,
                    agent_id,
                }))
            }
            Mode::Robot { key } => Way::Robot(Robot { url, key, http }),
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
            Way::App(app) => self.take_webhooks(app, intake).await,
            Way::Robot(_) => {
                // It hears nothing; there is nothing that could fail.
                intake.pulse.beat(self.clock.now());
                intake.stop.cancelled().await;
                Ok(())
            }
        }
    }

    async fn send(&self, delivery: &Delivery<'_>) -> Result<Sent, ChannelError> {
        let to = delivery.to;
        let (doing, sent) = match delivery.item {
            Outbound::Text { text, buttons, .. } => {
                let text = send::with_options(text, buttons);
                (format!("send to `{to}`"), self.send_text(to, &text).await)
            }
            Outbound::Edit { platform_id, .. } => {
                let why = "WeCom has no way to edit a message".to_owned();
                (format!("edit `{platform_id}` in `{to}`"), Err(ApiError::Unfit(why)))
            }
            Outbound::File { path, name, caption, .. } => {
                let file = send::Upload { path, name, caption };
                (format!("send `{name}` to `{to}`"), self.send_file(to, &file).await)
            }
            Outbound::Typing => return Ok(Sent::default()),
        };
        sent.map_err(|it| it.doing(doing))
    }

    async fn fetch(&self, media: &MediaRef) -> Result<MediaStream, ChannelError> {
        let doing = format!("fetch `{}`", media.name);
        let begun = match &self.way {
            Way::App(app) => app.api.media(&media.reference, MAX_FILE_BYTES).await,
            Way::Robot(_) => Err(ApiError::Unfit("a robot of a group hears nothing".into())),
        };
        let response = begun.map_err(|it| it.doing(doing.clone()))?;
        Ok(http::stream(response, MAX_FILE_BYTES, doing))
    }

    async fn ask(&self, question: &Question) -> Result<Answer, ChannelError> {
        match (question, &self.way) {
            (Question::WhoAmI, Way::App(app)) => {
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
