//! `rate_limiter`: how much a chat and a person may write.

use std::{
    collections::{HashMap, VecDeque},
    sync::Mutex,
    time::Duration,
};

use async_trait::async_trait;
use ngb_core::clock::{Clock, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::settings;
use crate::{
    Config, Plugin, PluginError,
    hook::{Event, Hook, Part, Verdict},
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// Chats and people that are counted at a time; the rest begins anew.
const MAX_COUNTED: usize = 10_000;

/// Its settings: messages per chat, and per person in a chat. What is dropped is not counted.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    per_minute: usize,
    per_hour: usize,
    /// What is said, once a window.
    reply: String,
}

impl Default for Limits {
    fn default() -> Self {
        let reply = "That was a lot at once. Please wait a little.".to_owned();
        Self { per_minute: 10, per_hour: 100, reply }
    }
}

#[derive(Default)]
struct Window {
    /// When messages came, the oldest first; none is older than an hour.
    at: VecDeque<Timestamp>,
    /// Until when it was said that there are too many.
    told_until: Option<Timestamp>,
}

impl Window {
    /// How long there is no room; zero when there is.
    fn full(&mut self, limits: &Limits, now: Timestamp) -> Duration {
        while self.at.front().is_some_and(|it| HOUR <= now.since(*it)) {
            self.at.pop_front();
        }
        let wait = |most: usize, span: Duration| {
            let oldest = self.at.len().checked_sub(most).and_then(|n| self.at.get(n));
            oldest.map_or(Duration::ZERO, |it| span.saturating_sub(now.since(*it)))
        };
        wait(limits.per_minute.max(1), MINUTE).max(wait(limits.per_hour.max(1), HOUR))
    }
}

pub(crate) struct RateLimiter {
    clock: Clock,
    /// By chat, and by chat and person.
    windows: Mutex<HashMap<String, Window>>,
}

impl RateLimiter {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, windows: Mutex::default() }
    }
}

#[async_trait]
impl Plugin for RateLimiter {
    fn name(&self) -> &str {
        "rate_limiter"
    }

    fn version(&self) -> &str {
        env!("CARGO_PKG_VERSION")
    }

    fn hooks(&self) -> &[Hook] {
        &[Hook::MessageReceived]
    }

    async fn ask(&self, event: &Event, config: &Config) -> Result<Verdict, PluginError> {
        let limits: Limits = settings(config.value()).map_err(PluginError::Failed)?;
        let Event::MessageReceived(it) = event else { return Ok(Verdict::Pass) };
        if it.part != Part::Text {
            return Ok(Verdict::Pass);
        }
        let now = self.clock.now();
        let chat = it.place.jid.to_string();
        let keys = [format!("{chat} {}", it.sender_id), chat];
        let mut windows = self.windows.lock().expect("nobody panics while holding it");
        if MAX_COUNTED < windows.len() {
            windows.retain(|_, it| it.at.back().is_some_and(|at| now.since(*at) < HOUR));
        }
        for key in &keys {
            let window = windows.entry(key.clone()).or_default();
            let wait = window.full(&limits, now);
            if wait.is_zero() {
                continue;
            }
            if window.told_until.is_some_and(|it| now < it) {
                return Ok(Verdict::Drop("more than the limit".to_owned()));
            }
            window.told_until = Some(now + wait);
            return Ok(Verdict::Answer(limits.reply));
        }
        for key in keys {
            windows.entry(key).or_default().at.push_back(now);
        }
        Ok(Verdict::Pass)
    }
}
