//! Answers that grow: a card of its own kind, whose text Feishu types out
//! (<https://open.feishu.cn/document/cardkit-v1/streaming-updates-openapi-overview>).
//!
//! Where the app may not make such cards, the answer is an ordinary card, which edits change as well.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use ngb_core::{address::Place, message::Sent};
use serde_json::json;
use tracing::debug;

use super::{
    Feishu,
    api::ApiError,
    card::{self, TEXT},
    send::{Edit, Message, Shape},
};
use crate::ChannelError;

/// Most answers that grow at a time; the oldest ones are then edited as ordinary cards.
const MOST: usize = 1_000;

/// Cards that grow, by their messages: the card's id, and the number of its last change.
#[derive(Default)]
pub(super) struct Streams(Mutex<HashMap<String, (String, i64)>>);

impl Streams {
    fn begin(&self, message: &str, card: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if MOST <= all.len() {
            all.clear();
        }
        all.insert(message.to_owned(), (card.to_owned(), 0));
    }

    /// The card of a message, and the number of its next change: each must be larger than the one before.
    fn next(&self, message: &str) -> Option<(String, i64)> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (card, number) = all.get_mut(message)?;
        *number += 1;
        Some((card.clone(), *number))
    }

    fn end(&self, message: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(message);
    }
}

impl Feishu {
    /// The first words of an answer that is still being made.
    pub(super) async fn begin_stream(
        &self,
        to: &Place,
        message: &Message<'_>,
    ) -> Result<Sent, ChannelError> {
        let doing = |it: ApiError| it.doing(format!("send to `{to}`"));
        let content = card::of(message.text, message.buttons, true).map_err(doing)?;
        let asked = json!({"type": "card_json", "data": content.to_string()});
        let made = self.api.post("/open-apis/cardkit/v1/cards", &[], &asked).await;
        let card = match &made {
            Ok(made) => made["data"]["card_id"].as_str(),
            Err(err) => {
                debug!(account = %self.profile.account, "no card that grows: {err}");
                None
            }
        };
        let Some(card) = card else { return self.send_text(to, message).await };
        let content = json!({"type": "card", "data": {"card_id": card}});
        let shape = Shape { kind: "interactive", content };
        let sent = self.post(to, message.reply_to, message.key, &shape).await.map_err(doing)?;
        if let Some(id) = &sent.platform_id {
            self.streams.begin(id, card);
        }
        self.show_done(to).await;
        Ok(sent)
    }

    /// Changes a card that grows; false when the message is none, or none any more.
    pub(super) async fn edit_stream(&self, edit: &Edit<'_>, live: bool) -> Result<bool, ApiError> {
        let Some((card, sequence)) = self.streams.next(edit.id) else { return Ok(false) };
        let path = format!("/open-apis/cardkit/v1/cards/{card}");
        if live {
            let path = format!("{path}/elements/{TEXT}/content");
            let body = json!({"content": card::markdown(edit.text), "sequence": sequence});
            return self.api.put(&path, &body).await.map(|_| true);
        }
        // The whole card, which ends its growing as well.
        let content = card::of(edit.text, edit.buttons, false)?;
        let content = json!({"type": "card_json", "data": content.to_string()});
        let done = self.api.put(&path, &json!({"card": content, "sequence": sequence})).await;
        match done {
            Ok(_) => {
                self.streams.end(edit.id);
                Ok(true)
            }
            // Feishu ended it after ten minutes, or the card's own number is another one.
            Err(err) if err.code().is_some() && err.retry() == crate::Retry::Never => {
                debug!(account = %self.profile.account, "a card does not grow any more: {err}");
                self.streams.end(edit.id);
                Ok(false)
            }
            Err(err) => Err(err),
        }
    }
}
