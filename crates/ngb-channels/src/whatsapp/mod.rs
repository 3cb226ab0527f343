//! WhatsApp, by Meta's Cloud API: webhooks in, Graph calls out.
//!
//! ```text
//! GET  /hooks/whatsapp/<account> ─▶ verify token ─▶ the challenge
//! POST /hooks/whatsapp/<account> ─▶ X-Hub-Signature-256 ─▶ wire::read ─▶ accept_all ─▶ 200, or 503
//! Outbound ─▶ markup::render ─▶ send::* ─▶ graph ─▶ Sent          (a late `failed` comes by webhook)
//! ```

mod codes;
mod fetch;
#[cfg(test)]
mod fuzz;
mod graph;
mod hook;
mod markup;
mod send;
mod wire;

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use ngb_core::{
    address::Account,
    clock::Clock,
    message::{MediaRef, Outbound, Profile, Returns, Sent},
    reaction::Reactions,
    secret::Secret,
    text::{Limit, Unit},
};

use crate::{
    Answer, Channel, ChannelError, Delivery, Intake, MediaStream, Question, http::Http, put::Put,
    whatsapp::graph::Graph,
};

/// Where the Graph API is.
pub const DEFAULT_API_URL: &str = "https://graph.facebook.com";

/// The version of the Graph API that is asked for.
pub const DEFAULT_API_VERSION: &str = "v23.0";

/// Longest text that is asked to be sent, in characters. WhatsApp takes 4,096; the rest is for the marks around a table.
const MAX_TEXT: usize = 4_000;

/// Largest file that WhatsApp takes, in bytes: a document.
/// <https://developers.facebook.com/docs/whatsapp/cloud-api/reference/media#supported-media-types>
const MAX_UPLOAD_BYTES: u64 = 100 << 20;

/// Chats whose last message is remembered, for read marks and typing.
const MAX_RECENT: usize = 1_000;

/// One business number.
#[derive(Clone, Debug)]
pub struct WhatsappConfig {
    pub account: Account,
    /// Of a system user, so that it doesn't expire.
    pub access_token: Secret,
    /// The number's id in the Graph API, which is not the number.
    pub phone_number_id: String,
    /// The app's; webhooks are signed with it.
    pub app_secret: Secret,
    /// Made up by the operator, and pasted into the app's dashboard.
    pub verify_token: Secret,
    /// Without a slash at the end.
    pub api_url: String,
    pub api_version: String,
    /// What is sent where only a template may be.
    pub template: Option<Template>,
}

/// A message template that Meta approved, whose body is one parameter.
#[derive(Clone, Debug)]
pub struct Template {
    pub name: String,
    /// `en_US`
    pub language: String,
}

/// A business number on WhatsApp.
pub struct Whatsapp {
    profile: Profile,
    graph: Graph,
    hook: hook::Keys,
    template: Option<Template>,
    clock: Clock,
    /// Chats and the last message of each, the latest last.
    recent: Mutex<VecDeque<(String, String)>>,
    /// Our reactions.
    put: Put,
}

impl Whatsapp {
    pub fn new(config: WhatsappConfig, http: Http, clock: Clock) -> Self {
        let profile = Profile {
            account: config.account,
            text_limit: Limit { max: MAX_TEXT, unit: Unit::Chars },
            threads: false,
            edits: false,
            edit_interval: Duration::ZERO,
            typing: true,
            buttons: true,
            live_buttons: false,
            max_file_bytes: MAX_UPLOAD_BYTES,
            reactions: Reactions::Any,
            idempotent_sends: false,
            webhook: true,
            returns: Returns::Event,
        };
        let graph = Graph {
            url: format!("{}/{}", config.api_url.trim_end_matches('/'), config.api_version),
            number: config.phone_number_id,
            token: config.access_token,
            http,
        };
        let hook = hook::Keys::new(&config.app_secret, config.verify_token);
        let (template, recent) = (config.template, Mutex::default());
        Self { profile, graph, hook, template, clock, recent, put: Put::default() }
    }

    fn recent(&self) -> MutexGuard<'_, VecDeque<(String, String)>> {
        self.recent.lock().expect("nobody panics while holding it")
    }

    /// Notes the last message of a chat.
    fn heard(&self, chat: &str, message: &str) {
        let mut recent = self.recent();
        recent.retain(|it| it.0 != chat);
        if recent.len() == MAX_RECENT {
            recent.pop_front();
        }
        recent.push_back((chat.to_owned(), message.to_owned()));
    }
}

#[async_trait]
impl Channel for Whatsapp {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    async fn receive(&self, intake: &mut Intake) -> Result<(), ChannelError> {
        let pulse = intake.pulse.clone();
        tokio::select! {
            taken = self.take_webhooks(intake) => taken,
            err = self.introduce(pulse) => Err(err),
        }
    }

    async fn send(&self, delivery: &Delivery<'_>) -> Result<Sent, ChannelError> {
        let to = delivery.to;
        let (doing, sent) = match delivery.item {
            Outbound::Text { text, reply_to, buttons } => (
                format!("send to `{to}`"),
                self.send_text(to, text, reply_to.as_deref(), buttons).await,
            ),
            Outbound::Edit { platform_id, .. } => {
                (format!("edit `{platform_id}` in `{to}`"), Err(graph::GraphError::no_edits()))
            }
            Outbound::File { path, name, caption, reply_to } => {
                let file = send::Upload { path, name, caption, reply_to: reply_to.as_deref() };
                (format!("send `{name}` to `{to}`"), self.send_file(to, &file).await)
            }
            Outbound::React { platform_id, emoji } => (
                format!("react to `{platform_id}` in `{to}`"),
                self.react(to, platform_id, emoji).await,
            ),
            Outbound::Unreact { platform_id, emoji } => (
                format!("take a reaction to `{platform_id}` away in `{to}`"),
                self.unreact(to, platform_id, emoji).await,
            ),
            Outbound::Typing => (format!("show typing in `{to}`"), self.typing(to).await),
        };
        sent.map_err(|it| it.doing(doing))
    }

    async fn fetch(&self, media: &MediaRef) -> Result<MediaStream, ChannelError> {
        self.fetch_file(media).await
    }

    async fn ask(&self, question: &Question) -> Result<Answer, ChannelError> {
        match question {
            Question::WhoAmI => {
                let me = self.graph.me().await.map_err(|it| it.doing("ask who the number is"))?;
                Ok(Answer::Me { id: self.graph.number.clone(), name: me.name, remarks: me.remarks })
            }
            // There is no idempotency key, and no way to read what was sent.
            Question::WasSent { .. } => Ok(Answer::CanNot),
        }
    }
}
