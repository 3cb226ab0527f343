//! Sends: answers within their window, and what the bot says of itself.

use ngb_core::{address::Place, message::Sent};
use serde_json::{Value, json};
use tracing::{debug, info};

use super::{
    QqBot,
    api::ApiError,
    codes::{DUPLICATE, WINDOW_OVER},
    wire::Target,
};
use crate::{dialect, http::CALL_LIMIT, qq::send::QQ};

/// Kinds of messages (<https://bot.q.qq.com/wiki/develop/api-v2/server-inter/message/send-receive/send.html>).
const TEXT: u8 = 0;
const INPUT: u8 = 6;
pub(super) const MEDIA: u8 = 7;

/// How long one sign of work is shown, in seconds; the next one comes before its end.
const INPUT_SECONDS: u8 = 10;

/// The target of a place.
///
/// # Errors
///
/// When it is no chat of a bot.
pub(super) fn target(to: &Place) -> Result<Target<'_>, ApiError> {
    let chat = to.jid.chat();
    Target::of(chat).ok_or_else(|| {
        let why = format!(
            "`{chat}` is no chat of a QQ bot; it looks like `group_…`, `private_…`, `channel_…` or `dms_…`"
        );
        ApiError::unfit(why)
    })
}

/// The number of an answer: the same for each try of the same item, so that QQ drops a repeat.
fn number(key: &str) -> u32 {
    let digest = ring::digest::digest(&ring::digest::SHA256, key.as_bytes());
    let first = digest.as_ref().iter().take(4).fold(0, |sum, it| sum << 8 | u32::from(*it));
    // A positive number of 32 bits.
    first >> 1 | 1
}

impl QqBot {
    pub(super) async fn send_text(
        &self,
        to: &Place,
        text: &str,
        reply_to: Option<&str>,
        key: &str,
    ) -> Result<Sent, ApiError> {
        let target = target(to)?;
        let mut body = json!({"content": dialect::render(text, QQ)});
        if target.is_v2() {
            body["msg_type"] = TEXT.into();
        } else if let Some(id) = reply_to {
            body["message_reference"] = json!({"message_id": id, "ignore_get_message_error": true});
        }
        self.post(to, target, body, reply_to, key).await
    }

    /// Posts a message as an answer where there is one that may be answered, else of the bot's own accord.
    pub(super) async fn post(
        &self,
        to: &Place,
        target: Target<'_>,
        mut body: Value,
        reply_to: Option<&str>,
        key: &str,
    ) -> Result<Sent, ApiError> {
        let chat = to.jid.chat();
        let path = format!("{}/messages", target.path());
        let anchor = self.recent.anchor(target, chat, reply_to, key, self.api.clock().now());
        if let Some(anchor) = &anchor {
            body["msg_id"] = anchor.as_str().into();
        }
        if target.is_v2() {
            body["msg_seq"] = number(key).into();
        }
        match self.api.post(&path, &body, CALL_LIMIT).await {
            Ok(got) => Ok(receipt(&got)),
            // The first try arrived, and only its answer did not.
            Err(err) if err.is_one_of(&[DUPLICATE]) => {
                debug!(account = %self.profile.account, "an answer was there already: {err}");
                Ok(Sent::default())
            }
            Err(err) if err.is_one_of(WINDOW_OVER) && anchor.is_some() => {
                info!(account = %self.profile.account, "an answer comes too late, so it is said of itself: {err}");
                if let Some(fields) = body.as_object_mut() {
                    fields.remove("msg_id");
                }
                Ok(receipt(&self.api.post(&path, &body, CALL_LIMIT).await?))
            }
            Err(err) => Err(err),
        }
    }

    /// Shows a person that something is written; groups and channels have no such sign.
    pub(super) async fn show_work(&self, to: &Place) -> Result<Sent, ApiError> {
        let target @ Target::Person(_) = target(to)? else { return Ok(Sent::default()) };
        let now = self.api.clock().now();
        let Some(id) = self.recent.newest(target, to.jid.chat(), now) else {
            return Ok(Sent::default());
        };
        let body = json!({
            "msg_type": INPUT, "msg_id": id, "msg_seq": number(&format!("typing {}", now.0)),
            "input_notify": {"input_type": 1, "input_second": INPUT_SECONDS},
        });
        let path = format!("{}/messages", target.path());
        self.api.post(&path, &body, CALL_LIMIT).await.map(|_| Sent::default())
    }
}

/// A message that waits for review has no id yet.
pub(super) fn receipt(got: &Value) -> Sent {
    Sent { platform_id: got["id"].as_str().map(str::to_owned) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_their_keys() {
        assert_eq!(number("ngb-1"), number("ngb-1"));
        assert_ne!(number("ngb-1"), number("ngb-2"));
        assert!((1..1 << 31).contains(&number("")));
    }
}
