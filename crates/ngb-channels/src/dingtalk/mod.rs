//! DingTalk (钉钉), by Stream mode: a socket in, session webhooks and the OpenAPI out.
//!
//! ```text
//! socket   ─▶ wire::read ─▶ Sessions ─▶ Inbox::accept_all ─▶ the frame's acknowledgement
//! Outbound ─▶ markup::render ─▶ session webhook, while it lasts, else OpenAPI ─▶ Sent
//! live     ─▶ a card, streamed
//! ```
//!
//! Facts are from <https://open.dingtalk.com> and from DingTalk's own `dingtalk-stream`.

mod api;
mod ask;
mod card;
mod file;
#[cfg(test)]
mod fuzz;
mod markup;
mod receive;
mod send;
mod sessions;
mod wire;

use std::time::Duration;

use async_trait::async_trait;
use ngb_core::{
    address::Account,
    clock::{Clock, Timestamp},
    message::{MediaRef, Outbound, Profile, Returns, Sent},
    reaction::Reactions,
    secret::Secret,
    text::{Limit, Unit},
};

use self::{api::Api, sessions::Sessions};
use crate::{
    Answer, Channel, ChannelError, Delivery, Intake, MediaStream, Question, asked::Asked,
    http::Http,
};

/// Where the OpenAPI is.
pub const DEFAULT_API_URL: &str = "https://api.dingtalk.com";

/// Where files go up: the API before the OpenAPI.
pub const DEFAULT_UPLOAD_URL: &str = "https://oapi.dingtalk.com";

/// Longest text that is asked to be sent, in bytes. A message's parameters may have 15,000 in JSON
/// (<https://open.dingtalk.com/document/orgapp/the-robot-sends-a-group-message>); the rest is for escapes and marks.
const MAX_TEXT: usize = 9_000;

/// The shortest time between two states of a card.
const EDIT_INTERVAL: Duration = Duration::from_secs(1);

/// Largest file, in bytes (<https://open.dingtalk.com/document/orgapp/upload-media-files>).
const MAX_FILE_BYTES: u64 = 20 << 20;

/// A robot of an app.
#[derive(Clone, Debug)]
pub struct DingtalkConfig {
    pub account: Account,
    /// The app's Client ID (AppKey).
    pub client_id: String,
    /// The app's Client Secret (AppSecret).
    pub client_secret: Secret,
    /// The robot's code; the same as the client id, for an app's own robot.
    pub robot_code: String,
    /// The AI card that shows an answer while it is made; without one an answer is shown when it is whole.
    pub card: Option<CardTemplate>,
    /// Without a slash at the end.
    pub api_url: String,
    /// Without a slash at the end.
    pub upload_url: String,
}

/// A template of an AI card.
#[derive(Clone, Debug)]
pub struct CardTemplate {
    /// `….schema`
    pub id: String,
    /// The variable in it that is streamed.
    pub key: String,
    /// The variable that its stop button sends, empty while there is nothing to stop; none where it has no such button.
    pub stop_key: Option<String>,
}

/// A robot on DingTalk.
pub struct Dingtalk {
    profile: Profile,
    api: Api,
    robot_code: String,
    card: Option<CardTemplate>,
    sessions: Sessions,
    asked: Asked,
    /// Cards of this process bear it, so that no other process makes one with the same name.
    began_at: Timestamp,
}

impl Dingtalk {
    pub fn new(config: DingtalkConfig, http: Http, clock: &Clock) -> Self {
        let profile = Profile {
            account: config.account.clone(),
            text_limit: Limit { max: MAX_TEXT, unit: Unit::Bytes },
            threads: false,
            edits: config.card.is_some(),
            edit_interval: EDIT_INTERVAL,
            typing: true,
            buttons: true,
            live_buttons: config.card.as_ref().is_some_and(|it| it.stop_key.is_some()),
            max_file_bytes: MAX_FILE_BYTES,
            reactions: Reactions::Any,
            idempotent_sends: false,
            webhook: false,
            returns: Returns::Nothing,
        };
        Self {
            profile,
            robot_code: config.robot_code.clone(),
            card: config.card.clone(),
            api: Api::new(config, http),
            sessions: Sessions::default(),
            asked: Asked::default(),
            began_at: clock.now(),
        }
    }
}

#[async_trait]
impl Channel for Dingtalk {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    async fn receive(&self, intake: &mut Intake) -> Result<(), ChannelError> {
        self.listen(intake).await
    }

    async fn send(&self, delivery: &Delivery<'_>) -> Result<Sent, ChannelError> {
        let Delivery { to, item, key, live } = *delivery;
        let (doing, sent) = match item {
            Outbound::Text { text, buttons, .. } if live => {
                let stop = buttons.first().map(|it| it.value.as_str());
                (format!("show an answer in `{to}`"), self.begin_card(to, text, stop, key).await)
            }
            Outbound::Text { text, buttons, .. } if !buttons.is_empty() => {
                let sent = self.send_question(to.jid.chat(), text, buttons, key).await;
                (format!("ask in `{to}`"), sent)
            }
            Outbound::Text { text, reply_to, .. } => {
                (format!("send to `{to}`"), self.send_text(to, text, reply_to.as_deref()).await)
            }
            Outbound::Edit { platform_id, text, .. } => {
                let sent = self.stream_card(to, platform_id, text, !live).await;
                (format!("edit `{platform_id}` in `{to}`"), sent)
            }
            Outbound::File { path, name, caption, .. } => {
                let file = file::Upload { path, name, caption };
                (format!("send `{name}` to `{to}`"), self.send_file(to, &file).await)
            }
            Outbound::React { platform_id, emoji } => (
                format!("react to `{platform_id}` in `{to}`"),
                self.change("reply", to, platform_id, emoji).await,
            ),
            Outbound::Unreact { platform_id, emoji } => (
                format!("take a reaction to `{platform_id}` away in `{to}`"),
                self.change("recall", to, platform_id, emoji).await,
            ),
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
                let token = self.api.token(None).await;
                token.map_err(|it| it.doing("ask for an access token"))?;
                let id = self.robot_code.clone();
                // DingTalk tells a robot no name.
                Ok(Answer::Me { name: id.clone(), id, remarks: Vec::new() })
            }
            // There is no idempotency key, and no way to read what was sent.
            Question::WasSent { .. } => Ok(Answer::CanNot),
        }
    }
}
