//! Something to see while an answer is made: a reaction under the message that asked, since Feishu has no typing sign
//! (<https://open.feishu.cn/document/server-docs/im-v1/message-reaction/create>).

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use ngb_core::{
    address::Place,
    message::{Addressed, Happening, Inbound, Sent},
};
use serde_json::json;

use super::Feishu;
use crate::ChannelError;

/// Most places whose last message is remembered; then all are forgotten, which costs a sign.
const MOST: usize = 1_000;

/// The reaction.
const SIGN: &str = "Typing";

/// The last message that somebody wrote to us in each place, and our sign under it.
#[derive(Default)]
pub(super) struct Visible(Mutex<HashMap<Place, (String, Sign)>>);

enum Sign {
    None,
    /// Being put there.
    Begun,
    Put(String),
}

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
        places.insert(event.place.clone(), (it.platform_id.clone(), Sign::None));
    }

    /// The message to mark, unless it is marked.
    fn to_mark(&self, place: &Place) -> Option<String> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (id, sign) = places.get_mut(place)?;
        match sign {
            Sign::None => {
                *sign = Sign::Begun;
                Some(id.clone())
            }
            Sign::Begun | Sign::Put(_) => None,
        }
    }

    fn marked(&self, place: &Place, message: &str, reaction: &str) {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((id, sign)) = places.get_mut(place)
            && id == message
        {
            *sign = Sign::Put(reaction.to_owned());
        }
    }

    /// The message and the reaction that is to go.
    fn to_clear(&self, place: &Place) -> Option<(String, String)> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match places.remove(place)? {
            (id, Sign::Put(reaction)) => Some((id, reaction)),
            _ => None,
        }
    }
}

impl Feishu {
    pub(super) async fn show_work(&self, to: &Place) -> Result<Sent, ChannelError> {
        if let Some(id) = self.visible.to_mark(to) {
            let path = format!("/open-apis/im/v1/messages/{id}/reactions");
            let asked = json!({"reaction_type": {"emoji_type": SIGN}});
            let found =
                self.api.post(&path, &[], &asked).await.map_err(|it| {
                    it.doing(format!("show in `{to}` that an answer is being made"))
                })?;
            if let Some(reaction) = found["data"]["reaction_id"].as_str() {
                self.visible.marked(to, &id, reaction);
            }
        }
        Ok(Sent::default())
    }

    /// The answer is there, so the sign goes. It is a courtesy, so a failure is only noted.
    pub(super) async fn show_done(&self, to: &Place) {
        let Some((id, reaction)) = self.visible.to_clear(to) else { return };
        let path = format!("/open-apis/im/v1/messages/{id}/reactions/{reaction}");
        if let Err(err) = self.api.delete(&path).await {
            tracing::debug!(account = %self.profile.account, "a sign stays under a message: {err}");
        }
    }
}
