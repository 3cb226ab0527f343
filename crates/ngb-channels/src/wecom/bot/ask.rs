//! Questions as template cards: <https://developer.work.weixin.qq.com/document/path/101032>
//!
//! ```text
//! send  ─▶ aibot_send_msg, template_card          press ─▶ template_card_event ─▶ Inbox::accept_all
//!                                                       ─▶ aibot_respond_update_msg within 5 s: what was chosen
//! ```

use ngb_core::{
    message::{Button, Happening, Inbound, Sent},
    notice::{Lang, Notice},
    text::{Limit, Unit, shorten},
};
use serde_json::{Value, json};

use super::{Bot, frame};
use crate::{
    Accepted,
    asked::{self, Card},
    wecom::api::ApiError,
};

/// What stands before a card's task where a message of ours is a card.
pub(super) const CARD: &str = "card:";

/// Longest text of a card, in characters; WeCom asks for no more.
const CARD_TEXT: Limit = Limit { max: 112, unit: Unit::Chars };

/// Longest label of a button, in characters.
const MAX_LABEL_CHARS: usize = 30;

/// Most buttons of a card.
const MAX_BUTTONS: usize = 6;

/// How a button looks: blue, and grey for what was chosen.
const BLUE: u8 = 1;
const GREY: u8 = 2;

impl Bot {
    /// A question with buttons. What is too long for a card stands before it as a message.
    pub(in crate::wecom) async fn send_question(
        &self,
        chat: &str,
        text: &str,
        buttons: &[Button],
        key: &str,
    ) -> Result<Sent, ApiError> {
        if let Some(why) = asked::unfit(buttons) {
            return Err(ApiError::Unfit(why));
        }
        if MAX_BUTTONS < buttons.len() {
            return self.push(chat, &asked::in_words(text, buttons)).await;
        }
        if !CARD_TEXT.fits(text) {
            self.push(chat, text).await?;
        }
        // No bot may have two of one name, also not in two lives of a gateway.
        let name = format!("{key}-{}", self.began_at.0);
        let card = Card { name, text: text.to_owned(), buttons: buttons.to_vec() };
        let shown: Vec<Value> =
            { buttons.iter() }.map(|it| button(&it.label, &it.value, BLUE)).collect();
        let body = json!({"chatid": chat, "msgtype": "template_card", "template_card": shape(&card, &shown)});
        let sent = Sent { platform_id: Some(format!("{CARD}{}", card.name)) };
        // Before it goes out: the press may come first.
        self.asked.put(card);
        self.call("aibot_send_msg", self.request_id("aibot_send_msg"), body).await?;
        Ok(sent)
    }

    /// What WeCom is told of a press that is on disk: the card shows what was chosen, or the stranger is told so, alone.
    pub(super) fn after_press(
        &self,
        request: &str,
        event: &Inbound,
        accepted: Accepted,
    ) -> Option<String> {
        let Happening::Pressed { platform_id, value } = &event.what else { return None };
        if accepted == Accepted::NotYours {
            let word = Notice::NotYours.say(Lang::Zh, None);
            let body = json!({
                "chatid": event.sender.id, "msgtype": "markdown", "markdown": {"content": word},
            });
            return Some(frame("aibot_send_msg", &self.request_id("aibot_send_msg"), body));
        }
        let card = self.asked.take(platform_id.strip_prefix(CARD)?)?;
        let chosen = button(&format!("✓ {}", card.label(value)?), value, GREY);
        let card = shape(&card, &[chosen]);
        let body = json!({"response_type": "update_template_card", "template_card": card});
        Some(frame("aibot_respond_update_msg", request, body))
    }
}

fn shape(card: &Card, buttons: &[Value]) -> Value {
    json!({
        "card_type": "button_interaction", "task_id": card.name, "button_list": buttons,
        "sub_title_text": shorten(&card.text, CARD_TEXT.max),
    })
}

fn button(label: &str, value: &str, style: u8) -> Value {
    json!({"text": shorten(label, MAX_LABEL_CHARS), "key": value, "style": style})
}
