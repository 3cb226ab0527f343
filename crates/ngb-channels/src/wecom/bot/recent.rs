//! The callbacks of late: what a stream can answer, and what became of each stream.
//!
//! It is lost with the process, which costs a stream: what is answered without one is a message of its own.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ngb_core::clock::Timestamp;

/// How long a callback is answered by a stream. WeCom ends streams after 6 minutes; the rest is for the last frame.
pub(super) const STREAM_LIFE: Duration = Duration::from_secs(5 * 60 + 30);

/// Most callbacks that are remembered.
const MOST: usize = 1_000;

#[derive(Default)]
pub(super) struct Recent(Mutex<VecDeque<Callback>>);

struct Callback {
    chat: Box<str>,
    message: Box<str>,
    /// The callback's `req_id`, which its answers bear.
    request: Box<str>,
    at: Timestamp,
    /// The item that it answers with, by its key.
    used_by: Option<Box<str>>,
    /// Whether people see that an answer is being made.
    shown: bool,
    /// Whether its last frame went out, or may have.
    finishing: bool,
    /// One frame at a time may wait for its answer.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Recent {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Callback>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody wrote.
    pub(super) fn heard(&self, chat: &str, message: &str, request: &str, now: Timestamp) {
        let mut all = self.lock();
        if request.is_empty() || all.iter().any(|it| *it.message == *message) {
            return;
        }
        if all.len() == MOST {
            all.pop_front();
        }
        all.push_back(Callback {
            chat: chat.into(),
            message: message.into(),
            request: request.into(),
            at: now,
            used_by: None,
            shown: false,
            finishing: false,
            turn: Arc::default(),
        });
    }

    /// The callback to show in that an answer is being made, unless one shows it: the last one of the chat.
    pub(super) fn to_show(&self, chat: &str, now: Timestamp) -> Option<String> {
        let mut all = self.lock();
        let it = all.iter_mut().rev().find(|it| *it.chat == *chat)?;
        if it.shown || it.used_by.is_some() || STREAM_LIFE <= now.since(it.at) {
            return None;
        }
        it.shown = true;
        Some(it.request.to_string())
    }

    /// The callback that the item `key` answers; the same each time it is sent. It is the one of `message`, else one
    /// that shows that an answer is being made, else the last one.
    pub(super) fn take(
        &self,
        chat: &str,
        message: Option<&str>,
        key: &str,
        now: Timestamp,
    ) -> Option<String> {
        let mut all = self.lock();
        let mut fit: Vec<&mut Callback> = all
            .iter_mut()
            .rev()
            .filter(|it| *it.chat == *chat && now.since(it.at) < STREAM_LIFE)
            .filter(|it| it.used_by.as_deref().is_none_or(|by| by == key))
            .collect();
        let mine = fit.iter().position(|it| it.used_by.is_some());
        let meant = fit.iter().position(|it| message == Some(&*it.message));
        let shown = fit.iter().position(|it| it.shown);
        let at = mine.or(meant).or(shown).unwrap_or(0);
        let it = fit.get_mut(at)?;
        it.used_by = Some(key.into());
        Some(it.request.to_string())
    }

    /// A callback that shows that an answer is being made, and that nothing has answered.
    pub(super) fn left_open(&self, chat: &str) -> Option<String> {
        let all = self.lock();
        let it = all.iter().rev().find(|it| *it.chat == *chat && it.shown)?;
        (it.used_by.is_none() && !it.finishing).then(|| it.request.to_string())
    }

    /// Whose turn it is to send a frame of this stream.
    pub(super) fn turn(&self, request: &str) -> Arc<tokio::sync::Mutex<()>> {
        let all = self.lock();
        all.iter().find(|it| *it.request == *request).map(|it| it.turn.clone()).unwrap_or_default()
    }

    /// Notes that the last frame goes out; whether one did before.
    pub(super) fn finish(&self, request: &str) -> bool {
        let mut all = self.lock();
        let it = all.iter_mut().find(|it| *it.request == *request);
        it.is_some_and(|it| std::mem::replace(&mut it.finishing, true))
    }

    pub(super) fn is_finished(&self, request: &str) -> bool {
        self.lock().iter().any(|it| *it.request == *request && it.finishing)
    }

    /// Whether the stream ends soon, by WeCom's clock. Of a stream that is not known here nobody knows.
    pub(super) fn ends_soon(&self, request: &str, now: Timestamp) -> bool {
        let all = self.lock();
        all.iter().any(|it| *it.request == *request && STREAM_LIFE <= now.since(it.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_has_one_callback_and_keeps_it() {
        let recent = Recent::default();
        let now = Timestamp(1_000);
        recent.heard("ann", "m1", "r1", now);
        recent.heard("bob", "m2", "r2", now);
        recent.heard("ann", "m3", "r3", now);
        recent.heard("ann", "m3", "r9", now);
        assert_eq!(recent.take("ann", Some("m1"), "k1", now).as_deref(), Some("r1"));
        assert_eq!(recent.take("ann", None, "k1", now).as_deref(), Some("r1"), "a second try");
        assert_eq!(recent.to_show("ann", now).as_deref(), Some("r3"));
        assert_eq!(recent.to_show("ann", now), None, "it is shown");
        assert_eq!(recent.left_open("ann").as_deref(), Some("r3"));
        assert_eq!(recent.take("ann", Some("m1"), "k2", now).as_deref(), Some("r3"));
        assert_eq!((recent.take("ann", None, "k3", now), recent.left_open("ann")), (None, None));
        assert_eq!(recent.take("cid", None, "k4", now), None);
        assert_eq!(recent.take("bob", None, "k5", now + STREAM_LIFE), None, "too late");
        assert!(!recent.finish("r3") && recent.finish("r3") && recent.is_finished("r3"));
        assert!(!recent.finish("unknown") && !recent.is_finished("unknown"));
    }
}
