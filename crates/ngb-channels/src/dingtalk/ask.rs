//! Questions as cards with buttons, by the template that DingTalk's own library brings along.
//!
//! ```text
//! send  ─▶ card/instances/createAndDeliver        press ─▶ /v1.0/card/instances/callback ─▶ Inbox::accept_all
//!                                                       ─▶ the acknowledgement changes the card into what was chosen
//! ```
//! <https://open.dingtalk.com/document/orgapp/event-callback-card>

use ngb_core::{
    message::{Button, Sent},
    notice::{Lang, Notice},
    text::shorten,
};
use serde_json::{Value, json};
use tracing::{debug, warn};

use super::{Dingtalk, api::ApiError, markup};
use crate::asked::{self, Card};

/// A public template with a text and buttons (`CarouselCardInstance` of `dingtalk-stream`).
pub(super) const TEMPLATE: &str = "382e4302-551d-4880-bf29-a30acfab2e71.schema";

/// What stands before the name of a card where a message of ours is a question.
pub(super) const ASK: &str = "ask:";

/// The state of a card of this template that is whole.
const FINISHED: &str = "3";

/// Longest label of a button, in characters.
const MAX_LABEL_CHARS: usize = 60;

/// What stands between a button's value and its chat: the callback names no chat that a robot could answer in.
const IN: char = ' ';

impl Dingtalk {
    /// A question with buttons; in words where DingTalk makes no card for this app.
    pub(super) async fn send_question(
        &self,
        chat: &str,
        text: &str,
        buttons: &[Button],
        key: &str,
    ) -> Result<Sent, ApiError> {
        if let Some(why) = asked::unfit(buttons) {
            return Err(ApiError::unfit(why));
        }
        let name = self.card_name(key);
        let card = Card { name, text: text.to_owned(), buttons: buttons.to_vec() };
        let shown: Vec<Value> =
            buttons.iter().map(|it| button(&it.label, &it.value, chat)).collect();
        let params = params(&card.text, &shown);
        let sent = Sent { platform_id: Some(format!("{ASK}{}", card.name)) };
        let name = card.name.clone();
        // Before it goes out: the press may come first.
        self.asked.put(card);
        match self.deliver_card(chat, TEMPLATE, &name, &params).await {
            Ok(()) => Ok(sent),
            Err(err) if err.is_final_refusal() => {
                self.asked.take(&name);
                warn!(account = %self.profile.account, "no card could be made, so a question is put in words: {err}");
                let shown = markup::render(&asked::in_words(text, buttons));
                let title = markup::title(&shown);
                self.post(chat, "sampleMarkdown", &json!({"title": title, "text": shown})).await
            }
            Err(err) => Err(err),
        }
    }

    /// Says to this person alone that the question is not theirs. It is a courtesy, so a failure is only noted.
    pub(super) async fn tell_stranger(&self, user: &str) {
        let word = Notice::NotYours.say(Lang::Zh, None);
        let param = json!({"content": word});
        if let Err(err) = self.post(user, "sampleText", &param).await {
            debug!(account = %self.profile.account, "a stranger was not told: {err}");
        }
    }

    /// What the acknowledgement of a press changes in its card; nothing where the card is not known here.
    pub(super) fn chosen(&self, platform_id: &str, value: &str) -> Value {
        let card = platform_id.strip_prefix(ASK).and_then(|it| self.asked.take(it));
        let shown = card.as_ref().and_then(|it| Some((it, it.label(value)?)));
        let Some((card, label)) = shown else { return json!({"response": {}}) };
        let text = format!("{}\n\n✓ {label}", card.text.trim_end());
        json!({"response": {
            "cardUpdateOptions": {"updateCardDataByKey": true},
            "cardData": {"cardParamMap": params(&text, &[])},
        }})
    }
}

fn params(text: &str, buttons: &[Value]) -> Value {
    let layout = json!({"order": ["staticMsgContent", "msgButtons"], "msgButtons": buttons});
    json!({
        "flowStatus": FINISHED, "staticMsgContent": markup::render(text),
        "sys_full_json_obj": layout.to_string(),
    })
}

fn button(label: &str, value: &str, chat: &str) -> Value {
    let label = shorten(label, MAX_LABEL_CHARS);
    json!({"text": label, "color": "blue", "id": button_id(value, chat), "request": true})
}

/// What a button sends: its value and the chat that it is in.
pub(super) fn button_id(value: &str, chat: &str) -> String {
    format!("{value}{IN}{chat}")
}

/// Value and chat of a button that was pressed.
pub(super) fn read_button(id: &str) -> Option<(&str, &str)> {
    id.split_once(IN).filter(|(value, chat)| !value.is_empty() && !chat.is_empty())
}
