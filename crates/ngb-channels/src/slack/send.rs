//! Sends: texts with buttons, edits, and the search for one whose outcome is unknown.

use std::time::Duration;

use ngb_core::{
    address::Place,
    message::{Button, MAX_BUTTON_BYTES, Sent},
    notice::{Lang, Notice},
    text::{Limit, Unit, shorten, split},
};
use serde_json::{Map, Value, json};

use super::{Slack, api::ApiError, markup, wire};
use crate::ChannelError;

/// Longest text of a section, in characters (<https://docs.slack.dev/reference/block-kit/blocks/section-block>).
const SECTION: Limit = Limit { max: 3_000, unit: Unit::Chars };

/// Longest label of a button, in characters (<https://docs.slack.dev/reference/block-kit/block-elements/button-element>).
const MAX_LABEL_CHARS: usize = 75;

/// Most buttons in one row (<https://docs.slack.dev/reference/block-kit/blocks/actions-block>).
const MAX_BUTTONS: usize = 25;

/// What our key stands under in a message's metadata.
const METADATA: &str = "nanogridbot";

/// How far back a send in doubt is looked for: a gateway that died may have been away for a while.
const LOOK_BACK: Duration = Duration::from_secs(60 * 60);

/// Most messages of a place in that time that are looked through, which is also the most that Slack gives at a time.
const MOST_LOOKED_AT: &str = "200";

/// A text on its way out.
pub(super) struct Message<'a> {
    pub(super) text: &'a str,
    pub(super) reply_to: Option<&'a str>,
    pub(super) buttons: &'a [Button],
    pub(super) key: &'a str,
}

impl Slack {
    pub(super) async fn send_text(
        &self,
        to: &Place,
        message: &Message<'_>,
    ) -> Result<Sent, ChannelError> {
        let doing = || format!("send to `{to}`");
        let mut params = target(to, message.reply_to).map_err(|it| it.doing(doing()))?;
        params.extend(body(message.text, message.buttons).map_err(|it| it.doing(doing()))?);
        if !message.key.is_empty() {
            let metadata = json!({"event_type": METADATA, "event_payload": {"key": message.key}});
            params.insert("metadata".into(), metadata);
        }
        params.insert("unfurl_links".into(), false.into());
        params.insert("unfurl_media".into(), false.into());
        let sent = self.call_formatted("chat.postMessage", params, message.text).await;
        let sent = sent.map_err(|it| it.doing(doing()))?;
        self.show_done(to).await;
        Ok(receipt(&sent))
    }

    pub(super) async fn edit_text(
        &self,
        to: &Place,
        platform_id: &str,
        text: &str,
        buttons: &[Button],
    ) -> Result<Sent, ChannelError> {
        let doing = || format!("edit `{platform_id}` in `{to}`");
        let mut params = target(to, None).map_err(|it| it.doing(doing()))?;
        params.remove("thread_ts");
        params.insert("ts".into(), platform_id.into());
        params.extend(body(text, buttons).map_err(|it| it.doing(doing()))?);
        let done = self.call_formatted("chat.update", params, text).await;
        done.map(|it| receipt(&it)).map_err(|it| it.doing(doing()))
    }

    /// Says to this person alone that the question is not theirs. It is a courtesy, so a failure is only noted.
    pub(super) async fn tell_stranger(&self, place: &Place, user: &str) {
        let word = Notice::NotYours.say(Lang::En, None);
        let mut asked = json!({"channel": place.jid.chat(), "user": user, "text": word});
        if let Some(thread) = &place.thread {
            asked["thread_ts"] = thread.as_ref().into();
        }
        if let Err(err) = self.api.call("chat.postEphemeral", &asked).await {
            tracing::debug!(account = %self.profile.account, "a stranger was not told: {err}");
        }
    }

    /// Calls with blocks; when Slack doesn't like those, once more with the bare text.
    async fn call_formatted(
        &self,
        method: &str,
        mut params: Map<String, Value>,
        text: &str,
    ) -> Result<Value, ApiError> {
        match self.api.call(method, &params).await {
            Err(err) if err.says("invalid_blocks") || err.says("invalid_blocks_format") => {
                tracing::warn!("Slack did not take our blocks, sending plain text: {err}");
                params.insert("blocks".into(), json!([]));
                params.insert("text".into(), markup::escape(text).into());
                params.insert("mrkdwn".into(), false.into());
                self.api.call(method, &params).await
            }
            done => done,
        }
    }

    /// The message with this key, if it is in the place: Slack has no key of its own that drops a repeat.
    pub(super) async fn find_sent(
        &self,
        to: &Place,
        key: &str,
    ) -> Result<Option<Sent>, ChannelError> {
        let since = self.api.http.clock.now() - LOOK_BACK;
        let oldest = format!("{}.000000", since.0 / 1000);
        let more = [
            ("channel", to.jid.chat()),
            ("limit", MOST_LOOKED_AT),
            ("include_all_metadata", "true"),
            ("oldest", oldest.as_str()),
        ];
        let found = match &to.thread {
            Some(thread) => {
                let query = [more.as_slice(), &[("ts", thread)]].concat();
                self.api.get("conversations.replies", &query).await
            }
            None => self.api.get("conversations.history", &more).await,
        };
        let found = found.map_err(|it| it.doing(format!("look for a send in doubt in `{to}`")))?;
        let messages = found["messages"].as_array().into_iter().flatten();
        let mine = |it: &&Value| {
            it["metadata"]["event_type"] == METADATA
                && it["metadata"]["event_payload"]["key"] == key
        };
        Ok({ messages }.find(mine).map(receipt))
    }
}

/// Chat and thread. The answer to a message that stands in no thread begins one under it.
pub(super) fn target(to: &Place, reply_to: Option<&str>) -> Result<Map<String, Value>, ApiError> {
    let chat = to.jid.chat();
    let plain = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit();
    if !chat.starts_with(['C', 'D', 'G', 'U', 'W']) || !chat.chars().all(plain) {
        let why = format!("`{chat}` is no chat of Slack; it looks like `C0123ABCD` or `D0123ABCD`");
        return Err(ApiError::unfit(why));
    }
    let mut params = Map::from_iter([("channel".to_owned(), chat.into())]);
    let reply_to = reply_to.filter(|it| wire::is_ts(it));
    if let Some(thread) = to.thread.as_deref().or(reply_to) {
        params.insert("thread_ts".into(), thread.into());
    }
    Ok(params)
}

/// Text, and blocks where there are buttons. No blocks are said plainly, so that an edit takes the buttons away.
fn body(text: &str, buttons: &[Button]) -> Result<Map<String, Value>, ApiError> {
    let rendered = markup::render(text);
    let mut blocks = Vec::new();
    if !buttons.is_empty() {
        let long = |it: &&Button| it.value.is_empty() || MAX_BUTTON_BYTES < it.value.len();
        if let Some(it) = buttons.iter().find(long) {
            let why = format!(
                "the value of the button `{}` is not 1 to {MAX_BUTTON_BYTES} bytes",
                it.label
            );
            return Err(ApiError::unfit(why));
        }
        for part in split(&rendered, SECTION) {
            blocks.push(json!({"type": "section", "text": {"type": "mrkdwn", "text": part}}));
        }
        let element = |(at, it): (usize, &Button)| {
            let label = json!({"type": "plain_text", "text": shorten(&it.label, MAX_LABEL_CHARS)});
            json!({"type": "button", "action_id": format!("b{at}"), "text": label, "value": it.value})
        };
        for row in buttons.chunks(MAX_BUTTONS) {
            let elements: Vec<Value> = row.iter().enumerate().map(element).collect();
            blocks.push(json!({"type": "actions", "elements": elements}));
        }
    }
    Ok(Map::from_iter([("text".to_owned(), rendered.into()), ("blocks".to_owned(), blocks.into())]))
}

fn receipt(message: &Value) -> Sent {
    Sent { platform_id: message["ts"].as_str().map(str::to_owned) }
}
