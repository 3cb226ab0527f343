//! How often bots had an agent answer them lately, so that two that answer each other come to an end.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use ngb_core::{address::Jid, clock::Timestamp};

/// The time in which turns are counted.
const WINDOW: Duration = Duration::from_secs(60 * 60);

/// Turns of each bot in each chat. In memory only: after a restart a loop may go on for as long as it was let before.
#[derive(Debug, Default)]
pub(crate) struct Pairs(Mutex<HashMap<(Jid, String), VecDeque<Timestamp>>>);

impl Pairs {
    fn state(&self) -> MutexGuard<'_, HashMap<(Jid, String), VecDeque<Timestamp>>> {
        self.0.lock().expect("nobody panics while holding it")
    }

    /// How often a bot was answered in a chat within the last hour.
    pub(crate) fn turns(&self, chat: &Jid, bot: &str, now: Timestamp) -> u32 {
        let mut state = self.state();
        state.retain(|_, turns| {
            while turns.front().is_some_and(|it| WINDOW <= now.since(*it)) {
                turns.pop_front();
            }
            !turns.is_empty()
        });
        let turns = state.get(&(chat.clone(), bot.to_owned())).map_or(0, VecDeque::len);
        u32::try_from(turns).unwrap_or(u32::MAX)
    }

    /// It is answered once more.
    pub(crate) fn count(&self, chat: &Jid, bot: &str, now: Timestamp) {
        self.state().entry((chat.clone(), bot.to_owned())).or_default().push_back(now);
    }
}
