//! Display names of people and channels: asked once, kept for an hour, never trusted.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use ngb_core::{
    clock::Timestamp,
    message::{ChatKind, Happening, Inbound},
};
use serde_json::Value;

use super::{
    Slack,
    wire::{self, Me},
};

/// How long a name is kept.
const KEEP: Duration = Duration::from_secs(60 * 60);

/// How long an event waits for a name; Slack wants its acknowledgement within 3 s.
const NAME_LIMIT: Duration = Duration::from_millis(800);

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

impl Slack {
    /// The event with names where Slack gives ids, and a time where it gives none.
    pub(super) async fn named(&self, mut event: Inbound, me: &Me) -> Inbound {
        if event.sent_at == Timestamp::default() {
            event.sent_at = self.api.http.clock.now();
        }
        if !event.sender.is_bot && event.sender.name == event.sender.id {
            event.sender.name = self.name_of("users.info", "user", &event.sender.id).await;
        }
        event.chat.title = match event.chat.kind {
            ChatKind::Direct => event.sender.name.clone(),
            ChatKind::Group => {
                self.name_of("conversations.info", "channel", event.place.jid.chat()).await
            }
        };
        if let Happening::Message(it) | Happening::Edit(it) = &mut event.what {
            let mut names = HashMap::new();
            for id in wire::people_in(&it.text) {
                let name = if id == me.user {
                    me.name.clone()
                } else {
                    self.name_of("users.info", "user", &id).await
                };
                names.insert(id, name);
            }
            it.text = wire::plain(&it.text, &names);
        }
        event
    }

    async fn name_of(&self, method: &str, key: &str, id: &str) -> String {
        let clock = &self.api.http.clock;
        if let Some(name) = self.names.get(id, clock.now()) {
            return name;
        }
        let name = match clock.timeout(NAME_LIMIT, self.api.get(method, &[(key, id)])).await {
            Ok(Ok(answer)) => read_name(&answer[key]).unwrap_or_else(|| id.to_owned()),
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

fn read_name(it: &Value) -> Option<String> {
    let profile = &it["profile"];
    [&profile["display_name"], &profile["real_name"], &it["real_name"], &it["name"]]
        .into_iter()
        .find_map(|it| it.as_str().filter(|it| !it.is_empty()))
        .map(str::to_owned)
}
