//! The last message of each chat: where it may be answered, and what bears the sign that an answer is being made.
//!
//! It is lost with the process, which costs nothing but the sign: answers then go by the OpenAPI.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ngb_core::{clock::Timestamp, secret::Secret};

/// How long before its end an address is no longer used.
const MARGIN: Duration = Duration::from_secs(60);

/// Most chats that are remembered.
const MOST: usize = 1_000;

/// Most people of a chat whose names are remembered.
const MOST_PEOPLE: usize = 200;

/// Most messages of a chat whose writers are remembered.
const MOST_WRITERS: usize = 50;

#[derive(Default)]
pub(super) struct Sessions(Mutex<State>);

#[derive(Default)]
struct State {
    chats: HashMap<String, Session>,
    /// The oldest first.
    order: VecDeque<String>,
}

/// What a message says about its chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) chat: String,
    pub(super) message: String,
    /// The conversation's id, also where the chat is a person.
    pub(super) conversation: String,
    /// The writer's id and name.
    pub(super) writer: (String, String),
    /// The address to answer at, and until when.
    pub(super) address: Option<(Secret, Timestamp)>,
}

#[derive(Default)]
struct Session {
    message: String,
    conversation: String,
    address: Option<(Secret, Timestamp)>,
    people: HashMap<String, String>,
    writers: VecDeque<(String, String)>,
    /// The message that bears our sign.
    marked: Option<String>,
}

/// A message, as reactions name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) message: String,
    pub(super) conversation: String,
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn heard(&self, heard: Heard) {
        let mut state = self.lock();
        if !state.chats.contains_key(&heard.chat) {
            if state.order.len() == MOST
                && let Some(oldest) = state.order.pop_front()
            {
                state.chats.remove(&oldest);
            }
            state.order.push_back(heard.chat.clone());
        }
        let it = state.chats.entry(heard.chat).or_default();
        if it.people.len() < MOST_PEOPLE || it.people.contains_key(&heard.writer.0) {
            it.people.insert(heard.writer.0.clone(), heard.writer.1);
        }
        if it.writers.len() == MOST_WRITERS {
            it.writers.pop_front();
        }
        it.writers.push_back((heard.message.clone(), heard.writer.0));
        it.message = heard.message;
        it.conversation = heard.conversation;
        it.address = heard.address.or(it.address.take());
    }

    /// The conversation of a chat, as reactions name it.
    pub(super) fn conversation(&self, chat: &str) -> Option<String> {
        self.lock().chats.get(chat).map(|it| it.conversation.clone()).filter(|it| !it.is_empty())
    }

    /// Where the chat may be answered now.
    pub(super) fn address(&self, chat: &str, now: Timestamp) -> Option<Secret> {
        let state = self.lock();
        let (url, until) = state.chats.get(chat)?.address.as_ref()?;
        (now + MARGIN < *until).then(|| url.clone())
    }

    /// The address is not good any more.
    pub(super) fn forget_address(&self, chat: &str) {
        if let Some(it) = self.lock().chats.get_mut(chat) {
            it.address = None;
        }
    }

    /// The text with the people whom it names as `@id`, and their ids: who wrote `answered`, and whoever stands in it with
    /// `@` and their name or id.
    pub(super) fn mention(
        &self,
        chat: &str,
        answered: Option<&str>,
        text: &str,
    ) -> (String, Vec<String>) {
        let state = self.lock();
        let Some(session) = state.chats.get(chat) else { return (text.to_owned(), Vec::new()) };
        let mut text = text.to_owned();
        let mut ids = Vec::new();
        // The longest name first: one may begin with another.
        let mut people: Vec<(&String, &String)> = session.people.iter().collect();
        people.sort_by_key(|(id, name)| (std::cmp::Reverse(name.len()), id.as_str()));
        for (id, name) in people {
            let (by_name, by_id) = (format!("@{name}"), format!("@{id}"));
            if !name.is_empty() && text.contains(&by_name) {
                text = text.replace(&by_name, &by_id);
            }
            if text.contains(&by_id) {
                ids.push(id.clone());
            }
        }
        let writer = answered.and_then(|it| session.writers.iter().find(|(id, _)| id == it));
        if let Some((_, id)) = writer
            && !ids.contains(id)
        {
            text = format!("@{id} {text}");
            ids.push(id.clone());
        }
        (text, ids)
    }

    /// The message to mark, unless it is marked.
    pub(super) fn to_mark(&self, chat: &str) -> Option<Mark> {
        let mut state = self.lock();
        let it = state.chats.get_mut(chat)?;
        if it.marked.is_some() {
            return None;
        }
        it.marked = Some(it.message.clone());
        Some(Mark { message: it.message.clone(), conversation: it.conversation.clone() })
    }

    /// The message whose mark is to go.
    pub(super) fn marked(&self, chat: &str) -> Option<Mark> {
        let mut state = self.lock();
        let it = state.chats.get_mut(chat)?;
        let message = it.marked.take()?;
        Some(Mark { message, conversation: it.conversation.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(chat: &str, message: &str, id: &str, name: &str, until: i64) -> Heard {
        Heard {
            chat: chat.into(),
            message: message.into(),
            conversation: "cid1".into(),
            writer: (id.into(), name.into()),
            address: (0 < until).then(|| (Secret::new("url"), Timestamp(until))),
        }
    }

    #[test]
    fn an_address_is_used_while_it_lasts() {
        let sessions = Sessions::default();
        sessions.heard(heard("cid1", "m1", "7", "Ann", 100_000));
        sessions.heard(heard("cid1", "m2", "7", "Ann", 0));
        assert!(sessions.address("cid1", Timestamp(39_999)).is_some());
        assert!(sessions.address("cid1", Timestamp(40_000)).is_none(), "it ends soon");
        assert!(sessions.address("cid2", Timestamp(0)).is_none());
        sessions.forget_address("cid1");
        assert!(sessions.address("cid1", Timestamp(0)).is_none());
    }

    #[test]
    fn people_are_named_when_they_are_meant() {
        let sessions = Sessions::default();
        sessions.heard(heard("cid1", "m1", "7", "Ann", 0));
        sessions.heard(heard("cid1", "m2", "8", "Ann Lee", 0));
        #[rustfmt::skip]
        let table: [(&str, Option<&str>, &str, &[&str]); 6] = [
            ("hi",                 None,       "hi",               &[]),
            ("hi @Ann",            None,       "hi @7",            &["7"]),
            ("@Ann Lee and @Ann",  None,       "@8 and @7",        &["8", "7"]),
            ("hi",                 Some("m2"), "@8 hi",            &["8"]),
            ("@8 hi",              Some("m2"), "@8 hi",            &["8"]),
            ("a@b.c @all",         Some("m9"), "a@b.c @all",       &[]),
        ];
        for (text, answered, want, ids) in table {
            let (got, named) = sessions.mention("cid1", answered, text);
            assert_eq!(
                (got.as_str(), named.iter().map(String::as_str).collect::<Vec<_>>()),
                (want, ids.to_vec()),
                "{text}"
            );
        }
    }

    #[test]
    fn one_message_bears_the_sign() {
        let sessions = Sessions::default();
        assert_eq!(sessions.to_mark("cid1"), None);
        sessions.heard(heard("cid1", "m1", "7", "Ann", 0));
        assert_eq!(sessions.to_mark("cid1").map(|it| it.message).as_deref(), Some("m1"));
        sessions.heard(heard("cid1", "m2", "7", "Ann", 0));
        assert_eq!(sessions.to_mark("cid1"), None);
        assert_eq!(sessions.marked("cid1").map(|it| it.message).as_deref(), Some("m1"));
        assert_eq!(sessions.marked("cid1"), None);
    }

    #[test]
    fn the_oldest_chat_is_forgotten() {
        let sessions = Sessions::default();
        for n in 0..=MOST {
            sessions.heard(heard(&format!("c{n}"), "m", "7", "Ann", 100_000));
        }
        assert!(sessions.address("c0", Timestamp(0)).is_none());
        assert!(sessions.address("c1", Timestamp(0)).is_some());
    }
}
