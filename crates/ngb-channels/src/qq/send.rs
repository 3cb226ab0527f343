//! Sends: messages of segments, at the account's pace.

use ngb_core::{address::Place, message::Sent};
use serde_json::{Value, json};

use super::{
    Qq,
    api::ApiError,
    segments,
    wire::{Target, plain},
};
use crate::dialect::{self, Dialect};

/// QQ shows text as it is.
pub(super) const QQ: Dialect =
    Dialect { bold: "", italic: "", struck: "", fence: "", headings: false, links: false };

/// The target of a place.
///
/// # Errors
///
/// When it is no chat of QQ.
pub(super) fn target(to: &Place) -> Result<Target<'_>, ApiError> {
    let chat = to.jid.chat();
    Target::of(chat).ok_or_else(|| {
        let why = format!("`{chat}` is no chat of QQ; it looks like `group_42` or `private_10001`");
        ApiError::unfit(why)
    })
}

/// A number where it fits one, since some implementations want one.
pub(super) fn number(id: &str) -> Value {
    id.parse::<u64>().map_or_else(|_| id.into(), Value::from)
}

impl Qq {
    pub(super) async fn send_text(
        &self,
        to: &Place,
        text: &str,
        reply_to: Option<&str>,
    ) -> Result<Sent, ApiError> {
        let is_group = matches!(target(to)?, Target::Group(_));
        let mut message: Vec<Value> = Vec::new();
        message.extend(reply_to.map(|id| json!({"type": "reply", "data": {"id": id}})));
        message.extend(segments::write(&dialect::render(text, QQ), is_group));
        self.post(to, message).await
    }

    /// Sends a message when it is its turn.
    pub(super) async fn post(&self, to: &Place, message: Vec<Value>) -> Result<Sent, ApiError> {
        let (action, mut params) = match target(to)? {
            Target::Group(id) => ("send_group_msg", json!({"group_id": number(id)})),
            Target::Person(id) => ("send_private_msg", json!({"user_id": number(id)})),
        };
        params["message"] = message.into();
        self.wait_for_turn().await;
        let got = self.call(action, params).await?;
        let id = Some(plain(&got["message_id"])).filter(|it| !it.is_empty());
        if let Some(id) = &id {
            self.note_sent(id);
        }
        Ok(Sent { platform_id: id })
    }

    /// Returns when the next message may go out.
    pub(super) async fn wait_for_turn(&self) {
        let clock = &self.http.clock;
        let mut free_at = self.turn.lock().await;
        clock.sleep_until(*free_at).await;
        *free_at = clock.now() + self.pace;
    }

    /// Shows a person that something is written; groups have no such sign.
    pub(super) async fn show_work(&self, to: &Place) -> Result<Sent, ApiError> {
        if let Target::Person(id) = target(to)? {
            let params = json!({"user_id": id, "event_type": 1});
            match self.call("set_input_status", params).await {
                // An extension of NapCat's; others have none.
                Ok(_) | Err(ApiError::Refused { code: 1_404 | 200, .. }) => (),
                Err(err) => return Err(err),
            }
        }
        Ok(Sent::default())
    }
}
