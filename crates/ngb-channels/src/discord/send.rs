//! Sends: texts with buttons, edits, posts in forums, the typing sign.

use ngb_core::{
    address::Place,
    message::{Button, MAX_BUTTON_BYTES, Sent},
    text::shorten,
};
use serde_json::{Value, json};

use super::{Discord, MAX_TEXT, api::ApiError, markup};
use crate::ChannelError;

/// Longest label of a button, in characters, most buttons in a row, and most rows
/// (<https://docs.discord.com/developers/components/reference#button>).
const MAX_LABEL_CHARS: usize = 80;
const MAX_BUTTONS: usize = 5;
const MAX_ROWS: usize = 5;

/// Longest name of a post, in characters (<https://docs.discord.com/developers/resources/channel>).
const MAX_POST_NAME_CHARS: usize = 100;

/// Longest key that drops a repeat, in bytes.
const MAX_NONCE_BYTES: usize = 25;

/// Links are shown without a preview.
const SUPPRESS_EMBEDS: i64 = 1 << 2;

/// Most people that a message may call by name: Discord's own limit.
const MAX_CALLED: usize = 100;

/// A text on its way out.
pub(super) struct Message<'a> {
    pub(super) text: &'a str,
    pub(super) reply_to: Option<&'a str>,
    pub(super) buttons: &'a [Button],
    pub(super) key: &'a str,
}

impl Discord {
    pub(super) async fn send_text(
        &self,
        to: &Place,
        message: &Message<'_>,
    ) -> Result<Sent, ChannelError> {
        let sent = match self.request(to, message) {
            Ok((path, body)) => self.api.post(&path, &body).await,
            Err(err) => Err(err),
        };
        sent.map(|it| receipt(&it)).map_err(|it| it.doing(format!("send to `{to}`")))
    }

    /// Where a new message is posted, and as what. A forum takes no messages: there it is a post with a name.
    pub(super) fn request(
        &self,
        to: &Place,
        message: &Message<'_>,
    ) -> Result<(String, Value), ApiError> {
        let channel = channel(to)?;
        let mut body = body(message.text, message.buttons)?;
        body["flags"] = SUPPRESS_EMBEDS.into();
        if to.thread.is_none() && self.known.lock().room(channel).is_some_and(|it| it.is_forum) {
            let name = message.text.lines().find(|it| !it.trim().is_empty()).unwrap_or("…");
            let name = shorten(name.trim_start_matches(['#', ' ']), MAX_POST_NAME_CHARS);
            return Ok((
                format!("/channels/{channel}/threads"),
                json!({"name": name, "message": body}),
            ));
        }
        if !message.key.is_empty() && message.key.len() <= MAX_NONCE_BYTES {
            body["nonce"] = message.key.into();
            body["enforce_nonce"] = true.into();
        }
        if let Some(id) = message.reply_to.filter(|it| is_id(it)) {
            body["message_reference"] = json!({"message_id": id, "fail_if_not_exists": false});
        }
        Ok((format!("/channels/{channel}/messages"), body))
    }

    pub(super) async fn edit_text(
        &self,
        to: &Place,
        platform_id: &str,
        text: &str,
        buttons: &[Button],
    ) -> Result<Sent, ChannelError> {
        let doing = |it: ApiError| it.doing(format!("edit `{platform_id}` in `{to}`"));
        let channel = channel(to).map_err(doing)?;
        if !is_id(platform_id) {
            return Err(doing(ApiError::unfit(format!(
                "`{platform_id}` is no message of Discord"
            ))));
        }
        let path = format!("/channels/{channel}/messages/{platform_id}");
        let body = body(text, buttons).map_err(doing)?;
        self.api.patch(&path, &body).await.map(|it| receipt(&it)).map_err(doing)
    }

    pub(super) async fn show_typing(&self, to: &Place) -> Result<Sent, ChannelError> {
        let doing = |it: ApiError| it.doing(format!("show typing in `{to}`"));
        let channel = channel(to).map_err(doing)?;
        // It goes after 10 s, or with the answer.
        let path = format!("/channels/{channel}/typing");
        self.api.post(&path, &json!({})).await.map(|_| Sent::default()).map_err(doing)
    }
}

/// A thread is a channel of its own.
pub(super) fn channel(to: &Place) -> Result<&str, ApiError> {
    let channel = to.thread.as_deref().unwrap_or(to.jid.chat());
    if !is_id(channel) {
        let why = format!("`{channel}` is no channel of Discord; it is a number");
        return Err(ApiError::unfit(why));
    }
    Ok(channel)
}

pub(super) fn is_id(text: &str) -> bool {
    text.parse::<u64>().is_ok()
}

/// Text and buttons; no buttons are said plainly, so that an edit takes them away. Nobody is called who isn't named by
/// id: not `@everyone`, not a role.
fn body(text: &str, buttons: &[Button]) -> Result<Value, ApiError> {
    let long = |it: &&Button| it.value.is_empty() || MAX_BUTTON_BYTES < it.value.len();
    if let Some(it) = buttons.iter().find(long) {
        let why =
            format!("the value of the button `{}` is not 1 to {MAX_BUTTON_BYTES} bytes", it.label);
        return Err(ApiError::unfit(why));
    }
    if MAX_BUTTONS * MAX_ROWS < buttons.len() {
        let why = format!("{} buttons are more than 25", buttons.len());
        return Err(ApiError::unfit(why));
    }
    let rendered = markup::render(text);
    // A wide table may not fit any more; then it goes as it was written.
    let content = if MAX_TEXT.fits(&rendered) { rendered } else { shorten(text, MAX_TEXT.max) };
    let button = |it: &Button| {
        let label = shorten(&it.label, MAX_LABEL_CHARS);
        json!({"type": 2, "style": 2, "label": label, "custom_id": it.value})
    };
    let row = |row: &[Button]| {
        let buttons: Vec<Value> = row.iter().map(button).collect();
        json!({"type": 1, "components": buttons})
    };
    let rows: Vec<Value> = buttons.chunks(MAX_BUTTONS).map(row).collect();
    let called = called(&content);
    Ok(json!({
        "content": content,
        "components": rows,
        "allowed_mentions": {"parse": [], "users": called, "replied_user": true},
    }))
}

/// The people whom a text names by id.
fn called(content: &str) -> Vec<&str> {
    let mut all: Vec<&str> = Vec::new();
    for part in content.split("<@").skip(1) {
        let Some((id, _)) = part.split_once('>') else { continue };
        let id = id.strip_prefix('!').unwrap_or(id);
        if is_id(id) && !all.contains(&id) && all.len() < MAX_CALLED {
            all.push(id);
        }
    }
    all
}

/// A post's message has the id of the post.
pub(super) fn receipt(message: &Value) -> Sent {
    Sent { platform_id: message["id"].as_str().map(str::to_owned) }
}
