//! The session of a gateway that can be resumed (Discord's, QQ's): it outlives its sockets.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ngb_core::clock::Timestamp;

/// The shortest time between two identifications (<https://docs.discord.com/developers/events/gateway#rate-limiting>); QQ's
/// gateway, which is made after Discord's, names none.
const IDENTIFY_PAUSE: Duration = Duration::from_secs(5);

/// A session that can be taken up again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) id: String,
    /// Where it is taken up; none after that address failed once.
    pub(crate) url: Option<String>,
    /// Up to here everything is on disk.
    pub(crate) seq: u64,
}

/// The account's session, and when it last identified.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<State>);

#[derive(Default)]
struct State {
    session: Option<Session>,
    identified_at: Option<Timestamp>,
}

impl Sessions {
    pub(crate) fn get(&self) -> Option<Session> {
        self.lock().session.clone()
    }

    pub(crate) fn begin(&self, session: Session) {
        self.lock().session = Some(session);
    }

    pub(crate) fn forget(&self) {
        self.lock().session = None;
    }

    /// Its own address did not answer, so the next try goes by the common one.
    pub(crate) fn forget_url(&self) {
        if let Some(session) = &mut self.lock().session {
            session.url = None;
        }
    }

    /// Everything up to here is on disk.
    pub(crate) fn stored(&self, seq: u64) {
        if let Some(session) = &mut self.lock().session {
            session.seq = session.seq.max(seq);
        }
    }

    /// Notes an identification; how long it has to wait.
    pub(crate) fn identify_in(&self, now: Timestamp) -> Duration {
        let mut state = self.lock();
        let at = state.identified_at.map_or(now, |it| now.max(it + IDENTIFY_PAUSE));
        state.identified_at = Some(at);
        at.since(now)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
