//! What happens, as it happens: for the page, the terminal and whoever waits for an answer.
//!
//! Events live in a ring in memory. A reader's cursor is (instance, number); one that is too old, or of another
//! instance, is told to read the state anew. What matters is in the store, so nothing is lost by that.

use std::{collections::VecDeque, sync::Mutex};

use ngb_core::{
    address::{Account, Place},
    clock::Timestamp,
    frame::Step,
    id::{AskId, GroupId, LaneId, MessageId, RunId},
    message::{Author, Button},
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// Events that the ring holds.
const RING_EVENTS: usize = 4_096;

/// Text of agents' steps that the ring holds, in bytes; what they say is not ours to trust.
const RING_BYTES: usize = 16 << 20;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A message is stored: a person's, the agent's or the gateway's.
    Message {
        message: MessageId,
        place: Place,
        author: Author,
        sender: String,
        text: String,
        in_reply_to: Option<MessageId>,
        group: Option<GroupId>,
        lane: Option<LaneId>,
        at: Timestamp,
    },
    RunStarted {
        run: RunId,
        lane: LaneId,
        group: GroupId,
        place: Place,
        messages: Vec<MessageId>,
    },
    /// One step of the agent's work: text, thinking, a tool that starts or ends.
    Step {
        run: RunId,
        lane: LaneId,
        group: GroupId,
        place: Place,
        step: Step,
    },
    RunFinished {
        run: RunId,
        lane: LaneId,
        group: GroupId,
        place: Place,
        messages: Vec<MessageId>,
        /// answered, interrupted, retry, failed
        outcome: &'static str,
        /// The agent's answer, where there is one.
        answer: Option<MessageId>,
    },
    /// A question with buttons was put in a place.
    Asked {
        ask: AskId,
        place: Place,
        question: String,
        options: Vec<Button>,
    },
    AskAnswered {
        ask: AskId,
        value: String,
    },
    /// A chat asks to be let in.
    PairingOffered {
        account: Account,
        title: String,
    },
    /// A channel is connecting, up, waiting or down.
    Channel {
        account: Account,
        state: &'static str,
        why: String,
    },
    /// Groups, bindings or people changed.
    Settings,
    /// Something an operator should look at.
    Alert {
        text: String,
    },
}

impl Event {
    /// Text of an agent's step, in bytes; all other events are small.
    fn step_bytes(&self) -> usize {
        match self {
            Self::Step { step, .. } => step.len_bytes(),
            _ => 0,
        }
    }
}

/// An event with its place in the stream.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Numbered {
    pub number: u64,
    #[serde(flatten)]
    pub event: Event,
}

/// Where a reader stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Cursor {
    /// Which start of the gateway it is of.
    pub instance: u64,
    /// The last event that was read.
    pub number: u64,
}

/// The stream of events.
#[derive(Debug)]
pub struct Hub {
    instance: u64,
    ring: Mutex<Ring>,
    newest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<Numbered>,
    newest: u64,
    /// Text of the steps in it.
    step_bytes: usize,
}

impl Hub {
    /// `instance` tells this start of the gateway from earlier ones.
    pub fn new(instance: u64) -> Self {
        Self { instance, ring: Mutex::default(), newest: watch::Sender::new(0) }
    }

    pub fn publish(&self, event: Event) {
        let number = {
            let mut ring = self.ring.lock().expect("nobody panics while holding it");
            ring.newest += 1;
            let number = ring.newest;
            ring.step_bytes += event.step_bytes();
            while RING_EVENTS <= ring.events.len()
                || (RING_BYTES < ring.step_bytes && !ring.events.is_empty())
            {
                let gone = ring.events.pop_front();
                ring.step_bytes -= gone.map_or(0, |it| it.event.step_bytes());
            }
            ring.events.push_back(Numbered { number, event });
            number
        };
        self.newest.send_replace(number);
    }

    /// Where the stream stands now.
    pub fn cursor(&self) -> Cursor {
        Cursor { instance: self.instance, number: *self.newest.borrow() }
    }

    /// Reads on from `cursor`, or from now.
    pub fn subscribe(self: &std::sync::Arc<Self>, cursor: Option<Cursor>) -> Subscription {
        let reset = cursor.is_some_and(|it| it.instance != self.instance);
        let number = match cursor {
            Some(it) if !reset => it.number,
            _ => self.cursor().number,
        };
        Subscription { hub: self.clone(), newest: self.newest.subscribe(), number, reset }
    }
}

/// One reader of the stream.
#[derive(Debug)]
pub struct Subscription {
    hub: std::sync::Arc<Hub>,
    newest: watch::Receiver<u64>,
    number: u64,
    reset: bool,
}

/// What a reader gets.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// At least one, in order.
    Events(Vec<Numbered>),
    /// Some were missed: read the state anew, then go on.
    Reset,
}

impl Subscription {
    pub fn cursor(&self) -> Cursor {
        Cursor { instance: self.hub.instance, number: self.number }
    }

    /// Waits for what comes next. It may be dropped at any await and called again.
    pub async fn next(&mut self) -> Next {
        loop {
            if std::mem::take(&mut self.reset) {
                return Next::Reset;
            }
            // Marked as seen before looking, so that an event between the two wakes us.
            self.newest.borrow_and_update();
            if let Some(next) = self.read() {
                return next;
            }
            if self.newest.changed().await.is_err() {
                // The hub lives as long as `self.hub`.
                std::future::pending::<()>().await;
            }
        }
    }

    fn read(&mut self) -> Option<Next> {
        let ring = self.hub.ring.lock().expect("nobody panics while holding it");
        let first = ring.events.front()?.number;
        if self.number + 1 < first || ring.newest < self.number {
            self.number = ring.newest;
            return Some(Next::Reset);
        }
        let skip = usize::try_from(self.number + 1 - first).unwrap_or(usize::MAX);
        let events: Vec<Numbered> = ring.events.iter().skip(skip).cloned().collect();
        self.number = events.last()?.number;
        Some(Next::Events(events))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn alert(n: usize) -> Event {
        Event::Alert { text: n.to_string() }
    }

    fn texts(next: Next) -> Vec<String> {
        let Next::Events(events) = next else { return vec!["reset".into()] };
        let text = |it: Numbered| match it.event {
            Event::Alert { text } => text,
            other => format!("{other:?}"),
        };
        events.into_iter().map(text).collect()
    }

    #[tokio::test]
    async fn a_reader_goes_on_where_it_stood() {
        let hub = Arc::new(Hub::new(7));
        let mut reader = hub.subscribe(None);
        hub.publish(alert(1));
        hub.publish(alert(2));
        assert_eq!(texts(reader.next().await), ["1", "2"]);
        let cursor = reader.cursor();
        drop(reader);
        hub.publish(alert(3));
        assert_eq!(texts(hub.subscribe(Some(cursor)).next().await), ["3"]);
    }

    #[tokio::test]
    async fn one_that_is_too_old_or_of_another_start_is_told() {
        let hub = Arc::new(Hub::new(7));
        let early = hub.cursor();
        for n in 0..=RING_EVENTS {
            hub.publish(alert(n));
        }
        let mut reader = hub.subscribe(Some(early));
        assert_eq!(reader.next().await, Next::Reset);
        hub.publish(alert(9));
        assert_eq!(texts(reader.next().await), ["9"]);
        let stranger = Cursor { instance: 8, number: 1 };
        assert_eq!(hub.subscribe(Some(stranger)).next().await, Next::Reset);
    }
}
