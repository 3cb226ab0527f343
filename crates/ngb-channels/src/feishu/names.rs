//! Display names of people and chats: asked once, kept for an hour, never trusted.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use ngb_core::{
    clock::Timestamp,
    message::{ChatKind, Inbound},
};
use serde_json::Value;

use super::Feishu;

/// How long a name is kept.
const KEEP: Duration = Duration::from_secs(60 * 60);

/// How long an event waits for a name; Feishu wants its acknowledgement within 3 s.
pub(super) const NAME_LIMIT: Duration = Duration::from_millis(800);

/// Most names that are kept; then all are forgotten.
const MOST: usize = 10_000;

/// Names by id. An id whose name can't be had is its own name for as long.
#[derive(Default)]
pub(super) struct Names(Mutex<HashMap<String, (String, Timestamp)>>);

impl Names {
    fn get(&self, id: &str, now: Timestamp) -> Option<String> {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (name, at) = names.get(id)?;
        (now.since(*at) < KEEP).then(|| name.clone())
    }

    fn put(&self, id: &str, name: String, now: Timestamp) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if MOST <= names.len() {
            names.clear();
        }
        names.insert(id.to_owned(), (name, now));
    }
}

impl Feishu {
    /// The event with names where Feishu gives ids.
    pub(super) async fn named(&self, event: Inbound) -> Inbound {
        let mut event = self.placed(event).await;
        if event.sender.id.starts_with("ou_") {
            event.sender.name = self.name_of(&event.sender.id).await;
        }
        event.chat.title = match event.chat.kind {
            ChatKind::Direct => event.sender.name.clone(),
            ChatKind::Group => self.name_of(event.place.jid.chat()).await,
        };
        event
    }

    async fn name_of(&self, id: &str) -> String {
        let clock = self.api.clock();
        if let Some(name) = self.names.get(id, clock.now()) {
            return name;
        }
        let (path, key) = match id.split_once('_') {
            Some(("ou", _)) => (format!("/open-apis/contact/v3/users/{id}"), "user"),
            Some(("oc", _)) => (format!("/open-apis/im/v1/chats/{id}"), ""),
            _ => return id.to_owned(),
        };
        let query = [("user_id_type", "open_id")];
        let name = match clock.timeout(NAME_LIMIT, self.api.get(&path, &query)).await {
            Ok(Ok(found)) => {
                let found: &Value =
                    if key.is_empty() { &found["data"] } else { &found["data"][key] };
                found["name"].as_str().filter(|it| !it.is_empty()).unwrap_or(id).to_owned()
            }
            Ok(Err(err)) => {
                tracing::debug!(account = %self.profile.account, "no name for `{id}`: {err}");
                id.to_owned()
            }
            // Asked again with the next event.
            Err(_) => return id.to_owned(),
        };
        self.names.put(id, name.clone(), clock.now());
        name
    }
}
