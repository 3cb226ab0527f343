//! The answer while it is made: an AI card, whose one variable is streamed.
//!
//! <https://open.dingtalk.com/document/orgapp/ai-card-streaming-update>

use ngb_core::{address::Place, message::Sent};
use reqwest::Method;
use serde_json::{Value, json};
use tracing::{debug, warn};

use super::{
    Dingtalk,
    api::ApiError,
    ask::{self, ASK},
    send::Target,
};

/// What stands before the name of a card where a message of ours is one.
const CARD: &str = "card:";

impl Dingtalk {
    /// Makes a card and shows in it what there is. Where no card can be made, the answer is shown when it is whole.
    pub(super) async fn begin_card(
        &self,
        to: &Place,
        text: &str,
        stop: Option<&str>,
        key: &str,
    ) -> Result<Sent, ApiError> {
        let Some(template) = &self.card else { return Ok(Sent::default()) };
        let name = self.card_name(key);
        let mut params = json!({template.key.as_str(): ""});
        if let (Some(variable), Some(value)) = (&template.stop_key, stop) {
            params[variable] = ask::button_id(value, to.jid.chat()).into();
        }
        match self.deliver_card(to.jid.chat(), &template.id, &name, &params).await {
            Ok(()) => (),
            Err(err) if err.is_final_refusal() => {
                warn!(account = %self.profile.account, "no card could be made, so the answer is shown when it is whole: {err}");
                return Ok(Sent::default());
            }
            Err(err) => return Err(err),
        }
        self.stream(&name, text, false).await?;
        Ok(Sent { platform_id: Some(format!("{CARD}{name}")) })
    }

    /// The name of a card of ours: the same for each try, so that one that is there already is not made twice.
    pub(super) fn card_name(&self, key: &str) -> String {
        format!("ngb-{}-{}-{key}", self.profile.account.name(), self.began_at.0)
    }

    /// Makes a card of a template and puts it into a chat.
    pub(super) async fn deliver_card(
        &self,
        chat: &str,
        template: &str,
        name: &str,
        params: &Value,
    ) -> Result<(), ApiError> {
        let mut body = json!({
            "cardTemplateId": template, "outTrackId": name, "callbackType": "STREAM", "userIdType": 1,
            "cardData": {"cardParamMap": params},
            "imGroupOpenSpaceModel": {"supportForward": true},
            "imRobotOpenSpaceModel": {"supportForward": true},
        });
        match Target::of(chat) {
            Target::Group(id) => {
                body["openSpaceId"] = format!("dtv1.card//IM_GROUP.{id}").into();
                body["imGroupOpenDeliverModel"] = json!({"robotCode": self.robot_code});
            }
            Target::Person(id) => {
                body["openSpaceId"] = format!("dtv1.card//IM_ROBOT.{id}").into();
                body["imRobotOpenDeliverModel"] =
                    json!({"spaceType": "IM_ROBOT", "robotCode": self.robot_code});
            }
        }
        self.api.call(Method::POST, "/v1.0/card/instances/createAndDeliver", &body).await.map(drop)
    }

    /// The next state of a card, or its last. A last one that no card takes any more is a message.
    pub(super) async fn stream_card(
        &self,
        to: &Place,
        platform_id: &str,
        text: &str,
        is_last: bool,
    ) -> Result<Sent, ApiError> {
        if platform_id.starts_with(ASK) {
            // Its buttons are gone by the press; what is said later is a message.
            return if is_last {
                self.send_text(to, text, None).await
            } else {
                Ok(Sent::default())
            };
        }
        let Some(name) = platform_id.strip_prefix(CARD) else {
            return Err(ApiError::unfit(format!("`{platform_id}` is no card of this robot")));
        };
        match self.stream(name, text, is_last).await {
            Err(err) if is_last && err.is_final_refusal() => {
                warn!(account = %self.profile.account, "a card takes no text any more, so the answer is a message: {err}");
                return self.send_text(to, text, None).await;
            }
            done => done?,
        }
        if is_last {
            self.show_done(to.jid.chat()).await;
            self.take_stop_away(name).await;
        }
        Ok(Sent { platform_id: Some(platform_id.to_owned()) })
    }

    /// A whole answer has nothing to stop. The button is a courtesy, so a failure is only noted: it would stop nothing.
    async fn take_stop_away(&self, name: &str) {
        let Some(variable) = self.card.as_ref().and_then(|it| it.stop_key.as_deref()) else {
            return;
        };
        let body = json!({
            "outTrackId": name, "cardUpdateOptions": {"updateCardDataByKey": true},
            "cardData": {"cardParamMap": {variable: ""}},
        });
        if let Err(err) = self.api.call(Method::PUT, "/v1.0/card/instances", &body).await {
            debug!(account = %self.profile.account, "a button stays under an answer: {err}");
        }
    }

    /// `text` is all of it, never what was added.
    async fn stream(&self, name: &str, text: &str, is_last: bool) -> Result<(), ApiError> {
        let Some(template) = &self.card else {
            return Err(ApiError::unfit("`card_template_id` is not set any more"));
        };
        // DingTalk drops a repeat by the guid.
        let guid = format!("{name}-{:x}", digest(text, is_last));
        let body = json!({
            "outTrackId": name, "guid": guid, "key": template.key, "content": text,
            "isFull": true, "isFinalize": is_last, "isError": false,
        });
        self.api.call(Method::PUT, "/v1.0/card/streaming", &body).await.map(drop)
    }
}

/// What tells two states of a card apart.
fn digest(text: &str, is_last: bool) -> u128 {
    let text = format!("{is_last}:{text}");
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().take(16).fold(0, |sum, it| sum << 8 | u128::from(*it))
}
