//! Chat platforms: one adapter each, behind one trait.
//!
//! An adapter spawns nothing, stores nothing and decides nothing: it turns the platform's words into
//! [`Inbound`] and [`Outbound`] into the platform's words.

mod asked;
pub mod backoff;
mod calls;
mod dialect;
pub mod dingtalk;
pub mod discord;
mod emoji;
pub mod feishu;
#[cfg(test)]
mod fuzz;
mod grid;
mod hook;
pub mod http;
mod json;
mod lists;
mod marks;
mod pulse;
mod put;
pub mod qq;
mod session;
pub mod setup;
pub mod slack;
pub mod socket;
pub mod supervise;
pub mod telegram;
mod token;
pub mod wecom;
pub mod whatsapp;

use std::{collections::BTreeMap, pin::Pin, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use ngb_core::{
    address::{Jid, Place},
    clock::Clock,
    message::{Inbound, MediaRef, Outbound, Profile, Sent},
};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

pub use self::{
    marks::{Mark, Marks},
    pulse::{Notes, Pulse},
};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// One account on a chat platform.
#[async_trait]
pub trait Channel: Send + Sync + 'static {
    /// What the platform is and what it can do.
    fn profile(&self) -> &Profile;

    /// Receives until `intake.stop` fires. After an `Err` the supervisor calls again, with backoff, unless the error
    /// says never.
    async fn receive(&self, intake: &mut Intake) -> Result<(), ChannelError>;

    /// Does one thing in one place.
    async fn send(&self, delivery: &Delivery<'_>) -> Result<Sent, ChannelError>;

    /// Reads a file that came with a message, after the message was acknowledged.
    async fn fetch(&self, media: &MediaRef) -> Result<MediaStream, ChannelError>;

    /// Answers a question about itself; [`Answer::CanNot`] where the platform has no way to.
    async fn ask(&self, question: &Question) -> Result<Answer, ChannelError>;
}

/// The bytes of a file, as they come.
pub type MediaStream = Pin<Box<dyn Stream<Item = Result<Bytes, ChannelError>> + Send>>;

/// One item on its way out.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    pub to: &'a Place,
    pub item: &'a Outbound,
    /// The same for each try of the same item, and for no other: the platform's idempotency key, where it has one.
    pub key: &'a str,
    /// Whether edits will complete it. A platform whose live answers have to be ended keeps this one open, and ends it
    /// with the edit that is not live any more.
    pub live: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Is the credential good, who are we, and what may we not do?
    WhoAmI,
    /// Did an item with this key arrive in this place?
    WasSent { key: String, to: Place },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The bot's id and name, and what stands in its way (Telegram's privacy mode), one sentence each.
    Me {
        id: String,
        name: String,
        remarks: Vec<String>,
    },
    Sent(Option<Sent>),
    CanNot,
}

/// Everything a channel needs to receive.
pub struct Intake {
    pub inbox: Inbox,
    /// Requests to `/hooks/<channel>/<account>`; nothing comes for channels that poll or hold a socket.
    pub webhooks: mpsc::Receiver<Webhook>,
    /// Fires after the drain: messages are stored until then.
    pub stop: CancellationToken,
    pub pulse: Pulse,
}

/// A request of a platform to us.
#[derive(Debug)]
pub struct Webhook {
    pub method: String,
    /// The raw query string.
    pub query: String,
    /// Header names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Bytes,
    pub reply: oneshot::Sender<WebhookReply>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookReply {
    pub status: u16,
    pub body: String,
}

/// Where channels put messages.
#[derive(Clone, Debug)]
pub struct Inbox {
    offers: mpsc::Sender<Offer>,
    marks: Option<Marks>,
    counted: Option<(Pulse, Clock)>,
}

/// Events of one poll or frame, and who waits for them to be on disk.
#[derive(Debug)]
pub struct Offer {
    pub events: Vec<Inbound>,
    pub accepted: oneshot::Sender<Result<Vec<Accepted>, NotAccepted>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    New,
    Repeat,
    /// It is stored and changes nothing: whoever pressed that button may not answer the question. Where a platform has a
    /// word for that person alone, the adapter says [`ngb_core::notice::Notice::NotYours`].
    NotYours,
}

/// Nothing was stored, so nothing may be acknowledged.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum NotAccepted {
    #[error("the gateway is stopping")]
    Closed,
    /// A poll does not confirm, a socket closes without an acknowledgement, a webhook answers 503.
    #[error("the message could not be stored")]
    NotStored,
}

impl Inbox {
    /// An inbox that holds at most `depth` offers that nobody has taken yet.
    pub fn new(depth: usize) -> (Self, mpsc::Receiver<Offer>) {
        let (offers, rx) = mpsc::channel(depth);
        (Self { offers, marks: None, counted: None }, rx)
    }

    /// The same inbox, which can say where each place of an account stands.
    pub fn with_marks(mut self, marks: Marks) -> Self {
        self.marks = Some(marks);
        self
    }

    /// The same inbox, whose events are counted by the pulse of their account.
    pub fn counted(mut self, pulse: Pulse, clock: Clock) -> Self {
        self.counted = Some((pulse, clock));
        self
    }

    /// Where each place of the account stands, for a platform that keeps a history: what is newer was missed.
    ///
    /// # Errors
    ///
    /// When that can't be read now.
    pub async fn marks(&self) -> Result<Vec<Mark>, NotAccepted> {
        match &self.marks {
            Some(marks) => marks.read().await,
            None => Ok(Vec::new()),
        }
    }

    /// Returns once all events are on disk; one call for all of a poll or frame. Only then may the adapter acknowledge
    /// them to the platform. The answers are in the order of the events.
    pub async fn accept_all(&self, events: Vec<Inbound>) -> Result<Vec<Accepted>, NotAccepted> {
        let events = events.into_iter().map(Inbound::clean).collect();
        // Before it is stored: what answers it may be sent before this goes on, and is not to seem the earlier of the two.
        let counted = self.counted.as_ref().map(|(pulse, clock)| (pulse, clock.now()));
        let (accepted, answer) = oneshot::channel();
        self.offers.send(Offer { events, accepted }).await.map_err(|_| NotAccepted::Closed)?;
        let accepted = answer.await.map_err(|_| NotAccepted::Closed)??;
        if let Some((pulse, came_at)) = counted {
            let new = accepted.iter().filter(|it| **it != Accepted::Repeat).count();
            pulse.took(came_at, new);
        }
        Ok(accepted)
    }
}

/// A channel could not do what it was asked.
#[derive(Debug, Error)]
#[error("could not {doing}")]
pub struct ChannelError {
    /// What was being done, as an infinitive: "send to `telegram@main:42`". Never a token, never a URL with one.
    pub doing: String,
    pub retry: Retry,
    /// Whether the platform may have done it all the same (the connection broke after the request went out).
    pub maybe_done: bool,
    /// The chat's new address, where the platform named one.
    pub moved_to: Option<Jid>,
    #[source]
    pub source: BoxError,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// A wrong token, a chat that is gone: asking again can't help.
    Never,
    /// The platform named a wait (HTTP 429).
    After(Duration),
    Backoff,
}
