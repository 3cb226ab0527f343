//! QQ, by OneBot 11 (NapCat, Lagrange, …): one WebSocket for events and calls, opened by us or by them. Official bots are in
//! [`bot`].
//!
//! ```text
//! forward: Socket::open ─┐
//! reverse: Door ─────────┴▶ talk ─▶ wire::read ─▶ Inbox::accept_all       (OneBot waits for no acknowledgement)
//! Outbound ─▶ segments ─▶ pace ─▶ Calls ─▶ socket ─▶ the answer, by `echo`
//! ```
//!
//! <https://github.com/botuniverse/onebot-11>. Messages go out as arrays of segments, never as CQ codes: so nothing that an
//! agent writes can become one.

mod api;
pub mod bot;
mod file;
#[cfg(test)]
mod fuzz;
mod react;
mod segments;
mod send;
mod talk;
mod wire;

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Mutex, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use async_trait::async_trait;
use ngb_core::{
    address::Account,
    clock::Timestamp,
    message::{MediaRef, Outbound, Profile, Returns, Sent},
    reaction::Reactions,
    secret::Secret,
    text::{Limit, Unit},
};
use serde_json::json;

use crate::{
    Answer, Channel, ChannelError, Delivery, Intake, MediaStream, Question, calls::Calls,
    http::Http,
};

/// Longest text of a message, in characters. Nothing is specified; longer ones are refused by QQ's risk control.
const MAX_TEXT: usize = 2_000;

/// Largest file, in bytes: in base64 it fits a frame.
const MAX_FILE_BYTES: u64 = 30 << 20;

/// The shortest time between two messages of an account: QQ's risk control minds faster ones.
pub const DEFAULT_PACE: Duration = Duration::from_secs(1);

/// Most messages of ours that are remembered, to know an answer to one of them.
const MOST_SENT: usize = 1_000;

/// One QQ account behind a OneBot implementation.
#[derive(Clone, Debug)]
pub struct QqConfig {
    pub account: Account,
    /// Which side opens the socket.
    pub way: Way,
    /// What both sides know; empty only where both are on this machine.
    pub token: Secret,
    /// The shortest time between two messages.
    pub pace: Duration,
}

/// Which side opens the socket.
#[derive(Clone, Debug)]
pub enum Way {
    /// We do, to this address: `ws://` or `wss://`.
    Forward { url: String },
    /// They do, to a listener of ours.
    Reverse { listen: SocketAddr },
}

/// A QQ account.
pub struct Qq {
    profile: Profile,
    way: Way,
    token: Secret,
    pace: Duration,
    http: Http,
    calls: Calls,
    /// The number of the next call.
    next: AtomicU64,
    /// When the next message may go out. Whoever waits for its turn holds the lock.
    turn: tokio::sync::Mutex<Timestamp>,
    /// The ids of our last messages.
    sent: Mutex<VecDeque<String>>,
}

impl Qq {
    pub fn new(config: QqConfig, http: Http) -> Self {
        let profile = Profile {
            account: config.account,
            text_limit: Limit { max: MAX_TEXT, unit: Unit::Chars },
            threads: false,
            edits: false,
            edit_interval: Duration::ZERO,
            typing: true,
            buttons: false,
            live_buttons: false,
            max_file_bytes: MAX_FILE_BYTES,
            reactions: Reactions::InGroups(react::ALLOWED),
            idempotent_sends: false,
            webhook: false,
            returns: Returns::Answer,
        };
        Self {
            profile,
            way: config.way,
            token: config.token,
            pace: config.pace,
            calls: Calls::new(http.clock.clone()),
            http,
            next: AtomicU64::new(1),
            turn: tokio::sync::Mutex::new(Timestamp::default()),
            sent: Mutex::default(),
        }
    }

    /// Remembers a message of ours.
    fn note_sent(&self, id: &str) {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if sent.len() == MOST_SENT {
            sent.pop_front();
        }
        sent.push_back(id.to_owned());
    }

    fn is_ours(&self, id: &str) -> bool {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|it| it == id)
    }
}

#[async_trait]
impl Channel for Qq {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    async fn receive(&self, intake: &mut Intake) -> Result<(), ChannelError> {
        match &self.way {
            Way::Forward { url } => self.dial(url, intake).await,
            Way::Reverse { listen } => self.wait_for_calls(*listen, intake).await,
        }
    }

    async fn send(&self, delivery: &Delivery<'_>) -> Result<Sent, ChannelError> {
        let to = delivery.to;
        let (doing, sent) = match delivery.item {
            Outbound::Text { text, reply_to, .. } => {
                (format!("send to `{to}`"), self.send_text(to, text, reply_to.as_deref()).await)
            }
            Outbound::Edit { platform_id, .. } => {
                let why = api::ApiError::unfit("QQ has no way to edit a message");
                (format!("edit `{platform_id}` in `{to}`"), Err(why))
            }
            Outbound::File { path, name, caption, reply_to } => {
                let upload = file::Upload { path, name, caption, reply_to: reply_to.as_deref() };
                (format!("send `{name}` to `{to}`"), self.send_file(to, &upload).await)
            }
            Outbound::React { platform_id, emoji } => (
                format!("react to `{platform_id}` in `{to}`"),
                self.change(to, platform_id, emoji, true).await,
            ),
            Outbound::Unreact { platform_id, emoji } => (
                format!("take a reaction to `{platform_id}` away in `{to}`"),
                self.change(to, platform_id, emoji, false).await,
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
                let got = self.call("get_login_info", json!({})).await;
                let got = got.map_err(|it| it.doing("ask who the account is"))?;
                let name = got["nickname"].as_str().unwrap_or_default().to_owned();
                Ok(Answer::Me { id: wire::plain(&got["user_id"]), name, remarks: Vec::new() })
            }
            // There is no idempotency key.
            Question::WasSent { .. } => Ok(Answer::CanNot),
        }
    }
}
