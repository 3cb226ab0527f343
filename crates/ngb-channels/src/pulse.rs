//! What a channel knows of its line: when it last heard from its platform, what failed, and who else is on it.

use std::{collections::VecDeque, time::Duration};

use ngb_core::clock::Timestamp;
use tokio::sync::watch;

/// When a channel last heard from its platform: the last completed poll or frame. User traffic is no measure of life.
///
/// Clones are the same pulse: the adapter beats, whoever shows the account reads.
#[derive(Clone, Debug, Default)]
pub struct Pulse {
    beats: watch::Sender<Beats>,
    notes: watch::Sender<Notes>,
    returned: watch::Sender<VecDeque<String>>,
}

/// How many of our messages that came back are remembered.
const MOST_RETURNED: usize = 64;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Beats {
    last: Timestamp,
    progress: u64,
}

/// What is worth showing of a line besides its beats.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// How often the line was lost, or could not be opened.
    pub failures: u64,
    /// The last time of these, and why.
    pub last_failure: Option<(Timestamp, String)>,
    /// Events that people caused and that were stored.
    pub events: u64,
    pub last_event_at: Option<Timestamp>,
    rival: Option<Rival>,
}

/// Another client on the same account, as far as the platform lets one see it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rival {
    /// What was seen, the likely cause, and what to do.
    why: String,
    /// When it counts as gone, if it is not seen again; none where the adapter says so itself.
    until: Option<Timestamp>,
}

impl Notes {
    /// Why there seems to be another client on the account.
    pub fn rival(&self, now: Timestamp) -> Option<&str> {
        let rival = self.rival.as_ref()?;
        rival.until.is_none_or(|until| now < until).then_some(rival.why.as_str())
    }
}

impl Pulse {
    /// The platform was heard: it knows us, or it pinged.
    pub fn beat(&self, now: Timestamp) {
        self.beats.send_modify(|it| it.last = now);
    }

    /// The line does what it is for: a poll ended well, a heartbeat was answered, an event was stored. A greeting alone
    /// is no progress: a platform that greets and hangs up is tried again ever more slowly.
    pub fn progress(&self, now: Timestamp) {
        self.beats.send_modify(|it| *it = Beats { last: now, progress: it.progress + 1 });
    }

    /// None before the first beat.
    pub fn last(&self) -> Option<Timestamp> {
        Some(self.beats.borrow().last).filter(|it| it.0 != 0)
    }

    /// Changes with each beat from now on.
    pub(crate) fn beats(&self) -> watch::Receiver<Beats> {
        self.beats.subscribe()
    }

    /// How often there was progress.
    pub(crate) fn achieved(&self) -> u64 {
        self.beats.borrow().progress
    }

    /// The line was lost, or could not be opened.
    pub(crate) fn failed(&self, now: Timestamp, why: &str) {
        self.notes.send_modify(|it| {
            it.failures += 1;
            it.last_failure = Some((now, why.to_owned()));
        });
    }

    /// So many events that people caused are on disk.
    pub(crate) fn took(&self, now: Timestamp, events: usize) {
        if events == 0 {
            return;
        }
        self.notes.send_modify(|it| {
            it.events += events as u64;
            it.last_event_at = Some(now);
        });
    }

    /// Another client was seen on the account; it counts as gone when it is not seen again for `lingers`, or, with none,
    /// when [`Pulse::no_rival`] says so.
    pub(crate) fn rival(&self, why: impl Into<String>, now: Timestamp, lingers: Option<Duration>) {
        let rival = Rival { why: why.into(), until: lingers.map(|it| now + it) };
        self.notes.send_modify(|it| it.rival = Some(rival));
    }

    /// The platform says that we are alone.
    pub(crate) fn no_rival(&self) {
        self.notes.send_if_modified(|it| it.rival.take().is_some());
    }

    /// The platform gave back what we sent, by this id: as an event like those of people, or by a receipt.
    pub fn gave_back(&self, platform_id: &str) {
        self.returned.send_modify(|it| {
            if it.len() == MOST_RETURNED {
                it.pop_front();
            }
            it.push_back(platform_id.to_owned());
        });
    }

    /// Returns once the platform has given back what we sent by this id, which may have been a while ago.
    pub async fn returned(&self, platform_id: &str) {
        let is_there = |it: &VecDeque<String>| it.iter().any(|it| it == platform_id);
        // Whoever waits holds the sender, so it does not end before.
        drop(self.returned.subscribe().wait_for(is_there).await);
    }

    /// What is known now, and each change of it.
    pub fn notes(&self) -> watch::Receiver<Notes> {
        self.notes.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rival_counts_until_it_was_not_seen_for_long() {
        let (pulse, minute) = (Pulse::default(), Duration::from_secs(60));
        let seen = |at| pulse.notes.borrow().rival(Timestamp(at)).map(str::to_owned);
        assert_eq!(seen(0), None);
        pulse.rival("another", Timestamp(0), Some(minute));
        assert_eq!((seen(59_999).as_deref(), seen(60_000)), (Some("another"), None));
        pulse.rival("again", Timestamp(60_000), Some(minute));
        assert_eq!(seen(60_000).as_deref(), Some("again"));
        pulse.rival("for good", Timestamp(60_000), None);
        assert_eq!(seen(i64::MAX).as_deref(), Some("for good"));
        pulse.no_rival();
        assert_eq!(seen(60_000), None);
    }
}
