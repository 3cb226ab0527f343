//! Waiting for what becomes of a message.

use std::collections::VecDeque;

use ngb_core::{
    address::Place,
    id::{MessageId, RunId},
    message::Author,
};
use ngb_gateway::{
    Gateway,
    events::{Event, Next, Numbered, Subscription},
    store::{MAX_PAGE, MessageFilter, StoreError, StoredMessage},
};

/// Follows one message until it is settled.
pub(crate) struct Waiter {
    gateway: Gateway,
    events: Subscription,
    read: VecDeque<Numbered>,
    message: MessageId,
    place: Place,
    run: Option<RunId>,
    /// Whether the store is to be asked first: the message was posted before, or events were missed.
    look: bool,
}

/// What comes next.
#[derive(Debug)]
pub(crate) enum Heard {
    /// Something about the message: its run begins, a step of it, a question.
    Event(Event),
    Settled(Box<Settled>),
}

/// What became of the message.
#[derive(Debug)]
pub(crate) struct Settled {
    /// answered, interrupted, failed; `said` for what the gateway itself answered, `unanswered` when nobody is to.
    pub(crate) outcome: &'static str,
    pub(crate) answer: Option<StoredMessage>,
}

impl Waiter {
    /// `events` must have been subscribed before the message was posted.
    pub(crate) fn new(
        gateway: Gateway,
        events: Subscription,
        message: MessageId,
        place: Place,
        repeat: bool,
    ) -> Self {
        Self { gateway, events, read: VecDeque::new(), message, place, run: None, look: repeat }
    }

    /// Waits for what comes next. It may be dropped at any await and called again.
    pub(crate) async fn next(&mut self) -> Result<Heard, StoreError> {
        loop {
            if self.look {
                if let Some(settled) = self.settled().await? {
                    return Ok(Heard::Settled(Box::new(settled)));
                }
                self.look = false;
            }
            let Some(event) = self.read.front() else {
                match self.events.next().await {
                    Next::Events(events) => self.read.extend(events),
                    Next::Reset => self.look = true,
                }
                continue;
            };
            let heard = match &event.event {
                Event::RunFinished { messages, outcome, answer, .. }
                    if messages.contains(&self.message) && *outcome != "retry" =>
                {
                    let answer = match answer {
                        Some(id) => self.gateway.store().message(*id).await?,
                        None => None,
                    };
                    Some(Heard::Settled(Box::new(Settled { outcome, answer })))
                }
                Event::RunStarted { run, messages, .. } => {
                    messages.contains(&self.message).then(|| {
                        self.run = Some(*run);
                        Heard::Event(event.event.clone())
                    })
                }
                Event::Message { author: Author::System, in_reply_to, .. }
                    if *in_reply_to == Some(self.message) =>
                {
                    // The gateway may have answered by itself, and no run follows.
                    self.look = true;
                    None
                }
                Event::Message { message, author: Author::User, lane: None, .. }
                    if *message == self.message =>
                {
                    // A plugin dropped it or answered it, and no run follows.
                    self.look = true;
                    None
                }
                Event::Step { run, .. } if Some(*run) == self.run => {
                    Some(Heard::Event(event.event.clone()))
                }
                Event::Asked { place, .. } if self.run.is_some() && *place == self.place => {
                    Some(Heard::Event(event.event.clone()))
                }
                _ => None,
            };
            self.read.pop_front();
            if let Some(heard) = heard {
                return Ok(heard);
            }
        }
    }

    /// What the store knows of the end; none while it is under way.
    async fn settled(&self) -> Result<Option<Settled>, StoreError> {
        let store = self.gateway.store();
        let why = store.why(self.message).await?;
        if why.jobs.iter().any(|it| matches!(it.state.as_str(), "queued" | "running")) {
            return Ok(None);
        }
        let filter = MessageFilter {
            jid: Some(self.place.jid.clone()),
            after: Some(self.message),
            limit: MAX_PAGE,
            ..MessageFilter::default()
        };
        let run = why.message.run;
        let later = store.messages(filter).await?;
        let answer = later.into_iter().rfind(|it| {
            let ours = it.in_reply_to == Some(self.message) || (run.is_some() && it.run == run);
            ours && it.author != Author::User
        });
        let outcome = match (why.jobs.last().map(|it| it.state.as_str()), &answer) {
            (None, Some(_)) => "said",
            (None, None) => "unanswered",
            (Some("dead"), _) => "failed",
            (Some("cancelled"), _) => "interrupted",
            (Some(_), _) => "answered",
        };
        Ok(Some(Settled { outcome, answer }))
    }
}
