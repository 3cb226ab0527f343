//! Something to see while an answer is made: a status in a thread, else 👀 under the message that asked.
//!
//! Slack has no typing sign for bots; `assistant.threads.setStatus` is for threads only.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use ngb_core::{
    address::Place,
    message::{Addressed, Happening, Inbound, Sent},
};
use serde_json::json;

use super::{Slack, api::ApiError};
use crate::ChannelError;

/// Most places whose last message is remembered; then all are forgotten, which costs a sign.
const MOST: usize = 1_000;

/// The reaction.
const SIGN: &str = "eyes";

/// The last message that somebody wrote to us in each place, and whether it bears our sign.
#[derive(Default)]
pub(super) struct Visible(Mutex<HashMap<Place, (String, bool)>>);

impl Visible {
    /// Somebody wrote.
    pub(super) fn saw(&self, event: &Inbound) {
        let Happening::Message(it) = &event.what else { return };
        if event.sender.is_bot || (it.addressed == Addressed::No && event.place.thread.is_none()) {
            return;
        }
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if MOST <= places.len() {
            places.clear();
        }
        places.insert(event.place.clone(), (it.platform_id.clone(), false));
    }

    /// The message to mark, unless it is marked.
    fn to_mark(&self, place: &Place) -> Option<String> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (id, marked) = places.get_mut(place)?;
        (!std::mem::replace(marked, true)).then(|| id.clone())
    }

    /// The message whose mark is to go.
    fn marked(&self, place: &Place) -> Option<String> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        places.remove(place).filter(|(_, marked)| *marked).map(|(id, _)| id)
    }
}

impl Slack {
    pub(super) async fn show_work(&self, to: &Place) -> Result<Sent, ChannelError> {
        let doing = || format!("show in `{to}` that an answer is being made");
        let channel = to.jid.chat();
        if let Some(thread) = &to.thread {
            let asked =
                json!({"channel_id": channel, "thread_ts": thread, "status": "is working on it…"});
            match self.api.call("assistant.threads.setStatus", &asked).await {
                Ok(_) => return Ok(Sent::default()),
                // An app without the scope, or a workspace without the feature: the reaction will do.
                Err(ApiError::Refused { .. }) => (),
                Err(err) => return Err(err.doing(doing())),
            }
        }
        if let Some(id) = self.visible.to_mark(to) {
            let asked = json!({"channel": channel, "timestamp": id, "name": SIGN});
            match self.api.call("reactions.add", &asked).await {
                Ok(_) => (),
                Err(err) if err.says("already_reacted") => (),
                Err(err) => return Err(err.doing(doing())),
            }
        }
        Ok(Sent::default())
    }

    /// The answer is there, so the sign goes. It is a courtesy, so a failure is only noted.
    pub(super) async fn show_done(&self, to: &Place) {
        let Some(id) = self.visible.marked(to) else { return };
        let asked = json!({"channel": to.jid.chat(), "timestamp": id, "name": SIGN});
        if let Err(err) = self.api.call("reactions.remove", &asked).await {
            tracing::debug!(account = %self.profile.account, "a sign stays under a message: {err}");
        }
    }
}
