//! The messages of late, which a bot may answer: for how long, and how often.
//!
//! It is lost with the process, which costs little: what is answered is named by what is sent.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use ngb_core::clock::Timestamp;

use super::wire::Target;

/// Most messages that are remembered.
const MOST: usize = 2_000;

/// How often one message may be answered
/// (<https://bot.q.qq.com/wiki/develop/api-v2/server-inter/message/send-receive/send.html>).
const MOST_ANSWERS: usize = 5;

/// How long a message may be answered: an hour where it was said to the bot alone, else five minutes. Something is taken off
/// for the way.
pub(super) fn window(to: Target<'_>) -> Duration {
    match to {
        Target::Person(_) => Duration::from_secs(59 * 60),
        Target::Group(_) | Target::Channel(_) | Target::Direct(_) => {
            Duration::from_secs(4 * 60 + 50)
        }
    }
}

#[derive(Default)]
pub(super) struct Recent(Mutex<VecDeque<Heard>>);

struct Heard {
    chat: Box<str>,
    message: Box<str>,
    at: Timestamp,
    /// The keys of what answers it.
    answers: Vec<Box<str>>,
}

impl Recent {
    /// Somebody wrote.
    pub(super) fn heard(&self, chat: &str, message: &str, now: Timestamp) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.iter().any(|it| *it.message == *message && *it.chat == *chat) {
            return;
        }
        if all.len() == MOST {
            all.pop_front();
        }
        let (chat, message) = (chat.into(), message.into());
        all.push_back(Heard { chat, message, at: now, answers: Vec::new() });
    }

    /// The message that the item `key` answers, the same each time it is sent: the one that it is meant for while that may
    /// be answered, else the newest one that may. Of a message that nobody here remembers QQ knows better.
    pub(super) fn anchor(
        &self,
        to: Target<'_>,
        chat: &str,
        meant: Option<&str>,
        key: &str,
        now: Timestamp,
    ) -> Option<String> {
        let window = window(to);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let answers = |it: &Heard| it.answers.iter().any(|it| **it == *key);
        if let Some(it) = all.iter().find(|it| *it.chat == *chat && answers(it)) {
            return Some(it.message.to_string());
        }
        if let Some(meant) = meant
            && !all.iter().any(|it| *it.chat == *chat && *it.message == *meant)
        {
            return Some(meant.to_owned());
        }
        let mut open: Vec<&mut Heard> = all
            .iter_mut()
            .rev()
            .filter(|it| *it.chat == *chat && now.since(it.at) < window)
            .filter(|it| it.answers.len() < MOST_ANSWERS)
            .collect();
        let at = open.iter().position(|it| meant == Some(&*it.message)).unwrap_or(0);
        let it = open.get_mut(at)?;
        it.answers.push(key.into());
        Some(it.message.to_string())
    }

    /// The newest message of the chat that may be answered.
    pub(super) fn newest(&self, to: Target<'_>, chat: &str, now: Timestamp) -> Option<String> {
        let window = window(to);
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let it = all.iter().rev().find(|it| *it.chat == *chat && now.since(it.at) < window)?;
        Some(it.message.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_answered() {
        let recent = Recent::default();
        let group = Target::Group("g");
        let anchor = |meant: Option<&str>, key: &str, at| {
            recent.anchor(group, "group_g", meant, key, Timestamp(at))
        };
        assert_eq!(anchor(None, "k0", 0), None);
        recent.heard("group_g", "m1", Timestamp(0));
        recent.heard("group_h", "m9", Timestamp(0));
        recent.heard("group_g", "m2", Timestamp(1_000));
        assert_eq!(anchor(Some("m1"), "k1", 2_000).as_deref(), Some("m1"));
        assert_eq!(anchor(None, "k2", 2_000).as_deref(), Some("m2"), "the newest");
        assert_eq!(anchor(None, "k1", 2_000).as_deref(), Some("m1"), "the same each time");
        for n in 3..7 {
            assert_eq!(anchor(Some("m1"), &format!("k{n}"), 2_000).as_deref(), Some("m1"));
        }
        assert_eq!(anchor(Some("m1"), "k7", 2_000).as_deref(), Some("m2"), "five times");
        assert_eq!(anchor(Some("m0"), "k8", 2_000).as_deref(), Some("m0"), "QQ may know it");
        assert_eq!(anchor(None, "k9", 400_000), None, "five minutes are over");
        let person = Target::Person("g");
        assert!(recent.newest(person, "group_g", Timestamp(400_000)).is_some(), "an hour");
        assert!(recent.newest(person, "group_g", Timestamp(3_600_000)).is_none());
    }
}
