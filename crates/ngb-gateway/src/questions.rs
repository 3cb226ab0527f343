//! Which chats have an open question, so that only there a message is looked at as an answer.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard},
};

use ngb_core::{
    address::Jid,
    ask::OpenQuestion,
    clock::Timestamp,
    message::{Happening, Inbound},
};
use ngb_store::{Store, StoreError};

/// Chats where a question may be open: more than there are, never less.
#[derive(Debug)]
pub(crate) struct Questions(Mutex<HashSet<Jid>>);

impl Questions {
    pub(crate) async fn load(store: &Store, now: Timestamp) -> Result<Self, StoreError> {
        Ok(Self(Mutex::new(store.asked_chats(now).await?.into_iter().collect())))
    }

    fn chats(&self) -> MutexGuard<'_, HashSet<Jid>> {
        self.0.lock().expect("nobody panics while holding it")
    }

    /// A question was put in a chat.
    pub(crate) fn asked(&self, chat: &Jid) {
        self.chats().insert(chat.clone());
    }

    /// A chat has a new address.
    pub(crate) fn moved(&self, from: &Jid, to: &Jid) {
        let mut chats = self.chats();
        if chats.remove(from) {
            chats.insert(to.clone());
        }
    }

    /// The open questions that an event may answer. Only where one was asked, or a button was pressed, the store is read.
    pub(crate) async fn open(
        &self,
        store: &Store,
        inbound: &Inbound,
        now: Timestamp,
    ) -> Result<Vec<OpenQuestion>, StoreError> {
        let chat = &inbound.place.jid;
        let look = match inbound.what {
            Happening::Pressed { .. } => true,
            Happening::Message(_) => self.chats().contains(chat),
            _ => false,
        };
        if !look {
            return Ok(Vec::new());
        }
        // Whoever asks meanwhile puts the chat back.
        self.chats().remove(chat);
        let open = store.open_questions(chat, now).await;
        if open.as_ref().map_or(true, |it| !it.is_empty()) {
            self.asked(chat);
        }
        open
    }
}
