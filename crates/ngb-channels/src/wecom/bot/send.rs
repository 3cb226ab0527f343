//! Sends of an AI bot: streams that answer callbacks, messages where there is nothing to answer.

use ngb_core::message::Sent;
use serde_json::json;

use super::{Bot, ask::CARD};
use crate::wecom::{api::ApiError, markup};

/// Longest content of a stream, in bytes (<https://developer.work.weixin.qq.com/document/path/101463>).
const MAX_BODY_BYTES: usize = 20_480;

/// What WeCom shows moving until there is something else to see.
const THINKING: &str = "<think></think>";

/// Codes that say that a stream is over: too late, or nobody knows the callback.
const OVER: &[i64] = &[846_605, 846_608];

/// What stands before a callback's id where a message of ours is the stream that answers it.
const STREAM: &str = "stream:";

/// A text on its way out.
pub(in crate::wecom) struct Text<'a> {
    pub(in crate::wecom) chat: &'a str,
    pub(in crate::wecom) text: &'a str,
    pub(in crate::wecom) reply_to: Option<&'a str>,
    pub(in crate::wecom) key: &'a str,
    pub(in crate::wecom) live: bool,
}

impl Bot {
    pub(in crate::wecom) async fn send_text(&self, it: &Text<'_>) -> Result<Sent, ApiError> {
        fits(it.text)?;
        let Some(request) = self.recent.take(it.chat, it.reply_to, it.key, self.http.clock.now())
        else {
            // What can't be edited later is shown when it is whole.
            return if it.live { Ok(Sent::default()) } else { self.push(it.chat, it.text).await };
        };
        match self.stream(&request, it.text, !it.live).await {
            Ok(()) => Ok(Sent { platform_id: Some(format!("{STREAM}{request}")) }),
            Err(err) if is_over(&err) && it.live => Ok(Sent::default()),
            Err(err) if is_over(&err) => self.push(it.chat, it.text).await,
            Err(err) => Err(err),
        }
    }

    /// The next state of a stream, or with `live` false its last.
    pub(in crate::wecom) async fn edit_text(
        &self,
        chat: &str,
        platform_id: &str,
        text: &str,
        live: bool,
    ) -> Result<Sent, ApiError> {
        if platform_id.starts_with(CARD) {
            // A card can be changed only within 5 s of a press, which has been done by then.
            return if live { Ok(Sent::default()) } else { self.push(chat, text).await };
        }
        let Some(request) = platform_id.strip_prefix(STREAM) else {
            return Err(ApiError::Unfit(format!("`{platform_id}` is no stream of this bot")));
        };
        fits(text)?;
        let same = Sent { platform_id: Some(platform_id.to_owned()) };
        if live {
            if !self.recent.is_finished(request) {
                // WeCom would end it without a word; the whole answer will be a message of its own.
                let ends = self.recent.ends_soon(request, self.http.clock.now());
                self.stream(request, text, ends).await?;
            }
            return Ok(same);
        }
        let ended_early = self.recent.ends_soon(request, self.http.clock.now());
        if ended_early {
            return self.push(chat, text).await;
        }
        match self.stream(request, text, true).await {
            Ok(()) => Ok(same),
            Err(err) if is_over(&err) => self.push(chat, text).await,
            Err(err) => Err(err),
        }
    }

    /// Shows that an answer is being made, where there is a callback to answer.
    pub(in crate::wecom) async fn show_work(&self, chat: &str) -> Result<Sent, ApiError> {
        if let Some(request) = self.recent.to_show(chat, self.http.clock.now()) {
            self.stream(&request, THINKING, false).await?;
        }
        Ok(Sent::default())
    }

    /// Says what a file is about: what is shown moving stops with these words, or they are a message of their own.
    pub(super) async fn caption(
        &self,
        chat: &str,
        name: &str,
        words: &str,
    ) -> Result<(), ApiError> {
        match self.recent.left_open(chat) {
            Some(request) => {
                let words = if words.is_empty() { name } else { words };
                match self.stream(&request, words, true).await {
                    Err(err) if is_over(&err) => Ok(()),
                    done => done,
                }
            }
            None if words.is_empty() => Ok(()),
            None => self.push(chat, words).await.map(drop),
        }
    }

    /// One frame of the stream that answers a callback; `text` is all of it, never what was added.
    async fn stream(&self, request: &str, text: &str, finish: bool) -> Result<(), ApiError> {
        let turn = self.recent.turn(request);
        let _turn = if finish {
            turn.lock().await
        } else {
            // A later frame holds all that this one would have said.
            match turn.try_lock() {
                Ok(turn) => turn,
                Err(_) => return Ok(()),
            }
        };
        let again = finish && self.recent.finish(request);
        let text = markup::tame(text);
        let stream = json!({"id": format!("ngb-{request}"), "finish": finish, "content": text});
        let body = json!({"msgtype": "stream", "stream": stream});
        match self.call("aibot_respond_msg", request.to_owned(), body).await {
            // The first try arrived, and only its answer did not.
            Err(err) if again && is_over(&err) => Ok(()),
            done => done.map(drop),
        }
    }

    /// A message that answers nothing.
    pub(super) async fn push(&self, chat: &str, text: &str) -> Result<Sent, ApiError> {
        let body = json!({"chatid": chat, "msgtype": "markdown", "markdown": {"content": markup::tame(text)}});
        self.call("aibot_send_msg", self.request_id("aibot_send_msg"), body).await?;
        // Such messages have no ids.
        Ok(Sent::default())
    }
}

fn fits(text: &str) -> Result<(), ApiError> {
    if text.len() <= MAX_BODY_BYTES {
        return Ok(());
    }
    let why = format!("the text is longer than the {MAX_BODY_BYTES} bytes that WeCom takes");
    Err(ApiError::Unfit(why))
}

fn is_over(err: &ApiError) -> bool {
    matches!(err, ApiError::Refused { code, .. } if OVER.contains(code))
}
