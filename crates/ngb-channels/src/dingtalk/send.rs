//! Sends: texts by session webhook or OpenAPI, and the sign that an answer is being made.

use ngb_core::{address::Place, message::Sent};
use reqwest::Method;
use serde_json::{Value, json};
use tracing::{debug, info};

use super::{Dingtalk, api::ApiError, markup, sessions::Mark};

/// Longest parameters of a message, in bytes of their JSON
/// (<https://open.dingtalk.com/document/orgapp/the-robot-sends-a-group-message>).
const MAX_PARAM_BYTES: usize = 15_000;

/// The sign under a message that is being answered: a reaction of words, with the picture that DingTalk's own clients take.
const SIGN: &str = "🤔思考中";
const SIGN_ID: &str = "2659900";
const SIGN_BACKGROUND: &str = "im_bg_1";

/// Whom a chat is with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target<'a> {
    /// `openConversationId`
    Group(&'a str),
    /// `userId`
    Person(&'a str),
}

impl<'a> Target<'a> {
    /// Conversations begin with `cid` and are long; ids of people are the company's.
    pub(super) fn of(chat: &'a str) -> Self {
        let is_group = chat.starts_with("cid") && 20 <= chat.len();
        if is_group { Self::Group(chat) } else { Self::Person(chat) }
    }
}

impl Dingtalk {
    pub(super) async fn send_text(
        &self,
        to: &Place,
        text: &str,
        reply_to: Option<&str>,
    ) -> Result<Sent, ApiError> {
        let chat = to.jid.chat();
        let shown = markup::render(text);
        let title = markup::title(&shown);
        if let Some(url) = self.sessions.address(chat, self.api.http.clock.now()) {
            // Only there can people be named.
            let answered = reply_to.filter(|_| matches!(Target::of(chat), Target::Group(_)));
            let (text, named) = self.sessions.mention(chat, answered, &shown);
            let body = json!({
                "msgtype": "markdown", "markdown": {"title": title, "text": text},
                "at": {"atUserIds": named, "isAtAll": false},
            });
            match self.api.post_session(url.expose(), &body).await {
                Ok(_) => {
                    self.show_done(chat).await;
                    // Such messages have no ids.
                    return Ok(Sent::default());
                }
                Err(err) if err.is_final_refusal() => {
                    info!(account = %self.profile.account, "a session webhook is not good any more, trying the OpenAPI: {err}");
                    self.sessions.forget_address(chat);
                }
                Err(err) => return Err(err),
            }
        }
        let sent =
            self.post(chat, "sampleMarkdown", &json!({"title": title, "text": shown})).await?;
        self.show_done(chat).await;
        Ok(sent)
    }

    /// A message by the OpenAPI, at any time.
    pub(super) async fn post(
        &self,
        chat: &str,
        key: &str,
        param: &Value,
    ) -> Result<Sent, ApiError> {
        let param = param.to_string();
        if MAX_PARAM_BYTES < param.len() {
            let why = format!(
                "the message is longer than the {MAX_PARAM_BYTES} bytes that DingTalk takes"
            );
            return Err(ApiError::unfit(why));
        }
        let mut body = json!({"robotCode": self.robot_code, "msgKey": key, "msgParam": param});
        let path = match Target::of(chat) {
            Target::Group(id) => {
                body["openConversationId"] = id.into();
                "/v1.0/robot/groupMessages/send"
            }
            Target::Person(id) => {
                body["userIds"] = json!([id]);
                "/v1.0/robot/oToMessages/batchSend"
            }
        };
        let got = self.api.call(Method::POST, path, &body).await?;
        // Taken, and for nobody: the only one whom it was for is not of the company.
        if let Some(id) = got["invalidStaffIdList"].as_array().and_then(|it| it.first()) {
            let words = format!("nobody has the id {id}");
            return Err(ApiError::Refused {
                status: 400,
                code: "staffId.notExisted".into(),
                words,
            });
        }
        if got["flowControlledStaffIdList"].as_array().is_some_and(|it| !it.is_empty()) {
            let words = "too many messages to this person".to_owned();
            return Err(ApiError::Refused { status: 429, code: "QpsLimit".into(), words });
        }
        Ok(Sent { platform_id: got["processQueryKey"].as_str().map(str::to_owned) })
    }

    /// Puts our sign under the last message of the chat.
    pub(super) async fn show_work(&self, to: &Place) -> Result<Sent, ApiError> {
        if let Some(mark) = self.sessions.to_mark(to.jid.chat()) {
            let body = self.sign(&mark, SIGN);
            self.api.call(Method::POST, "/v1.0/robot/emotion/reply", &body).await?;
        }
        Ok(Sent::default())
    }

    /// Puts an emoji under a message; DingTalk's robots have reactions of words, and an emoji is one.
    pub(super) async fn change(
        &self,
        how: &str,
        to: &Place,
        platform_id: &str,
        emoji: &str,
    ) -> Result<Sent, ApiError> {
        let Some(conversation) = self.sessions.conversation(to.jid.chat()) else {
            let why = "its conversation is not known: nobody wrote there since the start";
            return Err(ApiError::unfit(why));
        };
        let mark = Mark { message: platform_id.to_owned(), conversation };
        let body = self.sign(&mark, emoji);
        self.api.call(Method::POST, &format!("/v1.0/robot/emotion/{how}"), &body).await?;
        Ok(Sent::default())
    }

    /// The answer is there, so the sign goes. It is a courtesy, so a failure is only noted.
    pub(super) async fn show_done(&self, chat: &str) {
        let Some(mark) = self.sessions.marked(chat) else { return };
        let body = self.sign(&mark, SIGN);
        if let Err(err) = self.api.call(Method::POST, "/v1.0/robot/emotion/recall", &body).await {
            debug!(account = %self.profile.account, "a sign stays under a message: {err}");
        }
    }

    fn sign(&self, mark: &Mark, sign: &str) -> Value {
        json!({
            "robotCode": self.robot_code, "openMsgId": mark.message, "openConversationId": mark.conversation,
            "emotionType": 2, "emotionName": sign,
            "textEmotion": {
                "emotionId": SIGN_ID, "emotionName": sign, "text": sign, "backgroundId": SIGN_BACKGROUND,
            },
        })
    }
}
