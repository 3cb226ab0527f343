//! How the messages of a binding wait for their agent: what becomes of those that come while it works, how many may
//! wait, and when one is too old to be answered without asking.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{clock::Timestamp, notice::Lang};

/// What becomes of a message that comes while the agent of its lane works.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// All that came meanwhile becomes one prompt, after the answer.
    #[default]
    Collect,
    /// It is given to the agent that works, where it can take it; else as [`Mode::Collect`].
    Steer,
    /// Each is a prompt of its own, in the order in which they came.
    Followup,
    /// The agent leaves what it does, and begins with the message.
    Interrupt,
}

impl Mode {
    pub const ALL: [Self; 4] = [Self::Collect, Self::Steer, Self::Followup, Self::Interrupt];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Collect => "collect",
            Self::Steer => "steer",
            Self::Followup => "followup",
            Self::Interrupt => "interrupt",
        }
    }

    /// The mode that [`Mode::as_str`] names.
    pub fn parse(s: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == s)
    }
}

/// What becomes of a message that waited too long.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Stale {
    /// The chat is asked whether it is to be answered.
    #[default]
    Ask,
    /// It is answered like any other.
    Answer,
    /// It is not answered, and nothing is said.
    Drop,
}

/// How the messages of a binding wait. One record, set and shown as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Queue {
    pub mode: Mode,
    /// How long the first message of a burst waits for the others, in milliseconds.
    pub debounce_ms: u32,
    /// Messages that may wait in a lane; one more is refused, and the chat is told.
    pub max_waiting: u32,
    /// How old a message may be when it would start, in seconds.
    pub stale_seconds: u32,
    pub stale: Stale,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            debounce_ms: 0,
            max_waiting: 1_000,
            stale_seconds: 15 * 60,
            stale: Stale::default(),
        }
    }
}

/// Longest that a burst is waited for, in milliseconds.
const MAX_DEBOUNCE_MS: u32 = 60_000;

/// Most messages that a lane may be set to hold.
const MAX_MAX_WAITING: u32 = 100_000;

/// A clock that says that a message took longer to get here is wrong: no platform keeps one for longer.
const MAX_WAY: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A setting of a queue that makes no sense.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BadQueue {
    #[error("`debounce_ms` is {0}; it may be {MAX_DEBOUNCE_MS} at most")]
    Debounce(u32),
    #[error("`max_waiting` is {0}; it may be 1 to {MAX_MAX_WAITING}")]
    MaxWaiting(u32),
    #[error(
        "`stale_seconds` is 0, so every message would be too old; `stale` = `answer` switches it off"
    )]
    Stale,
}

impl Queue {
    /// Itself, if its numbers make sense.
    pub fn checked(self) -> Result<Self, BadQueue> {
        if MAX_DEBOUNCE_MS < self.debounce_ms {
            return Err(BadQueue::Debounce(self.debounce_ms));
        }
        if !(1..=MAX_MAX_WAITING).contains(&self.max_waiting) {
            return Err(BadQueue::MaxWaiting(self.max_waiting));
        }
        if self.stale_seconds == 0 {
            return Err(BadQueue::Stale);
        }
        Ok(self)
    }

    pub fn debounce(&self) -> Duration {
        Duration::from_millis(u64::from(self.debounce_ms))
    }

    /// Whether a message that was written then is too old to be started `now`.
    pub fn is_stale(&self, written_at: Timestamp, now: Timestamp) -> bool {
        Duration::from_secs(u64::from(self.stale_seconds)) < now.since(written_at)
    }
}

/// When a message was written: as its platform says, or when it came here where the platform says nothing that can be.
pub fn written_at(sent_at: Timestamp, received_at: Timestamp) -> Timestamp {
    let can_be = sent_at <= received_at && received_at.since(sent_at) <= MAX_WAY;
    if can_be { sent_at } else { received_at }
}

/// The two buttons under the question whether old messages are to be answered: yes, then no.
pub fn answer_or_skip(lang: Lang) -> [&'static str; 2] {
    match lang {
        Lang::En => ["Answer", "Skip"],
        Lang::Zh => ["回答", "跳过"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_table() {
        let queue = Queue { stale_seconds: 900, ..Queue::default() };
        let day = 24 * 60 * 60;
        #[rustfmt::skip]
        let table = [
            // sent, received, now (seconds), stale
            (100 * day,      100 * day,     100 * day + 900,  false),
            (100 * day,      100 * day,     100 * day + 901,  true),
            (100 * day - 60, 100 * day,     100 * day + 841,  true),
            // No time from the platform, or one that can't be.
            (0,              100 * day,     100 * day + 1,    false),
            (200 * day,      100 * day,     100 * day + 1,    false),
            (200 * day,      100 * day,     100 * day + 901,  true),
        ];
        for (sent, received, now, want) in table {
            let at = |seconds: i64| Timestamp(seconds * 1_000);
            let got = queue.is_stale(written_at(at(sent), at(received)), at(now));
            assert_eq!(got, want, "sent {sent}, received {received}, now {now}");
        }
    }

    #[test]
    fn numbers_are_checked() {
        let table = [
            (Queue::default(), true),
            (Queue { debounce_ms: 60_001, ..Queue::default() }, false),
            (Queue { max_waiting: 0, ..Queue::default() }, false),
            (Queue { stale_seconds: 0, ..Queue::default() }, false),
        ];
        for (queue, want) in table {
            assert_eq!(queue.checked().is_ok(), want, "{queue:?}");
        }
        for mode in Mode::ALL {
            assert_eq!(Mode::parse(mode.as_str()), Some(mode));
        }
    }
}
