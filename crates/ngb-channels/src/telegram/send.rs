//! Sends: texts, edits, files, and the sign that somebody types.

use std::path::Path;

use ngb_core::{
    address::Place,
    message::{Button, MAX_BUTTON_BYTES, Sent},
    text::{Limit, Unit, split},
};
use reqwest::multipart::{Form, Part};
use serde_json::{Map, Value, json};

use super::{MAX_UPLOAD_BYTES, Telegram, api::ApiError, markup};
use crate::{ChannelError, http::HttpError};

/// Largest image that is sent as a photo, in bytes; a larger one goes as a document.
const MAX_PHOTO_BYTES: u64 = 10 << 20;

/// Longest caption, in UTF-16 units.
const CAPTION: Limit = Limit { max: 1024, unit: Unit::Utf16 };

/// A file on its way out.
pub(super) struct Upload<'a> {
    pub(super) path: &'a Path,
    pub(super) name: &'a str,
    pub(super) caption: &'a str,
    pub(super) reply_to: Option<&'a str>,
}

impl Telegram {
    pub(super) async fn send_text(
        &self,
        to: &Place,
        text: &str,
        reply_to: Option<&str>,
        buttons: &[Button],
    ) -> Result<Sent, ChannelError> {
        let doing = || format!("send to `{to}`");
        let mut params = target(to).map_err(|it| it.doing(doing()))?;
        params.extend(reply(reply_to));
        params.extend(keyboard(buttons).map_err(|it| it.doing(doing()))?);
        let sent = self.call_formatted("sendMessage", params, text).await;
        sent.map(|it| receipt(&it)).map_err(|it| self.moved(it, doing()))
    }

    pub(super) async fn edit_text(
        &self,
        to: &Place,
        platform_id: &str,
        text: &str,
        buttons: &[Button],
    ) -> Result<Sent, ChannelError> {
        let doing = || format!("edit `{platform_id}` in `{to}`");
        let mut params = target(to).map_err(|it| it.doing(doing()))?;
        params.remove("message_thread_id");
        params.insert("message_id".into(), number(platform_id));
        params.extend(keyboard(buttons).map_err(|it| it.doing(doing()))?);
        match self.call_formatted("editMessageText", params, text).await {
            Ok(it) => Ok(receipt(&it)),
            // It says already what it should.
            Err(err) if err.says("message is not modified") => {
                Ok(Sent { platform_id: Some(platform_id.to_owned()) })
            }
            Err(err) => Err(self.moved(err, doing())),
        }
    }

    /// Calls with entities; when Telegram can't parse those, once more with the bare text.
    async fn call_formatted(
        &self,
        method: &str,
        mut params: Map<String, Value>,
        text: &str,
    ) -> Result<Value, ApiError> {
        let rendered = markup::render(text);
        params.insert("text".into(), rendered.text.into());
        let with_entities = !rendered.entities.is_empty();
        if with_entities {
            params.insert("entities".into(), rendered.entities.into());
        }
        match self.api.call(method, &params).await {
            Err(err) if with_entities && err.says("can't parse entities") => {
                tracing::warn!("Telegram could not parse our entities, sending plain text: {err}");
                params.remove("entities");
                params.insert("text".into(), text.into());
                self.api.call(method, &params).await
            }
            done => done,
        }
    }

    pub(super) async fn send_file(
        &self,
        to: &Place,
        upload: &Upload<'_>,
    ) -> Result<Sent, ChannelError> {
        let doing = || format!("send `{}` to `{to}`", upload.name);
        let mut form = FileForm { kind: FileKind::of(upload.name), formatted: true };
        loop {
            match self.upload(to, upload, form).await {
                Ok(it) => return Ok(receipt(&it)),
                // A picture with sides that Telegram doesn't like, a voice that somebody doesn't want: still a document.
                Err(err) if form.kind != FileKind::Document && is_about_the_file(&err) => {
                    tracing::debug!("`{}` goes as a document: {err}", upload.name);
                    form.kind = FileKind::Document;
                }
                Err(err) if form.formatted && err.says("can't parse entities") => {
                    tracing::warn!(
                        "Telegram could not parse our entities, sending plain text: {err}"
                    );
                    form.formatted = false;
                }
                Err(err) => return Err(self.moved(err, doing())),
            }
        }
    }

    async fn upload(
        &self,
        to: &Place,
        upload: &Upload<'_>,
        how: FileForm,
    ) -> Result<Value, ApiError> {
        let file = tokio::fs::File::open(upload.path).await.map_err(HttpError::File)?;
        let facts = file.metadata().await.map_err(HttpError::File)?;
        if !facts.is_file() {
            return Err(ApiError::Unfit(format!("`{}` is no file", upload.name)));
        }
        let size = facts.len();
        if MAX_UPLOAD_BYTES < size {
            let most = MAX_UPLOAD_BYTES >> 20;
            let why = format!("`{}` is larger than the {most} MB that Telegram takes", upload.name);
            return Err(ApiError::Unfit(why));
        }
        if size == 0 {
            return Err(ApiError::Unfit(format!(
                "`{}` is empty, which Telegram refuses",
                upload.name
            )));
        }
        let too_large = how.kind == FileKind::Photo && MAX_PHOTO_BYTES < size;
        let (method, field) = if too_large { FileKind::Document } else { how.kind }.method();

        let mut form = Form::new();
        let mut params = target(to)?;
        params.extend(reply(upload.reply_to));
        if let Some(head) = split(upload.caption, CAPTION).first() {
            if how.formatted {
                let rendered = markup::render(head);
                params.insert("caption".into(), rendered.text.into());
                if !rendered.entities.is_empty() {
                    params.insert("caption_entities".into(), rendered.entities.into());
                }
            } else {
                params.insert("caption".into(), head.as_str().into());
            }
        }
        for (key, value) in params {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            form = form.text(key, text);
        }
        // No more than was promised in the length, should the file grow meanwhile.
        let bytes = tokio_util::io::ReaderStream::new(tokio::io::AsyncReadExt::take(file, size));
        let body = reqwest::Body::wrap_stream(bytes);
        let part = Part::stream_with_length(body, size).file_name(upload.name.to_owned());
        self.api.upload(method, form.part(field, part)).await
    }

    pub(super) async fn typing(&self, to: &Place) -> Result<Sent, ChannelError> {
        let doing = || format!("show typing in `{to}`");
        let mut params = target(to).map_err(|it| it.doing(doing()))?;
        params.insert("action".into(), "typing".into());
        let done = self.api.call("sendChatAction", &params).await;
        done.map(|_| Sent::default()).map_err(|it| self.moved(it, doing()))
    }

    /// The error with the chat's new address, where Telegram named one.
    pub(super) fn moved(&self, err: ApiError, doing: String) -> ChannelError {
        let to = match &err {
            ApiError::Moved { to } => self.profile.account.chat(&to.to_string()).ok(),
            _ => None,
        };
        ChannelError { moved_to: to, ..err.doing(doing) }
    }
}

/// Chat and topic. A chat is a number, or the `@name` of a public channel.
pub(super) fn target(to: &Place) -> Result<Map<String, Value>, ApiError> {
    let chat = to.jid.chat();
    if chat.parse::<i64>().is_err() && !chat.starts_with('@') {
        return Err(ApiError::Unfit(format!("`{chat}` is no chat of Telegram; it is a number")));
    }
    let mut params = Map::from_iter([("chat_id".to_owned(), number(chat))]);
    if let Some(thread) = &to.thread {
        params.insert("message_thread_id".into(), number(thread));
    }
    Ok(params)
}

pub(super) fn number(id: &str) -> Value {
    id.parse::<i64>().map_or_else(|_| id.into(), Into::into)
}

/// The message that is answered. When it is gone meanwhile, the answer is still sent.
fn reply(reply_to: Option<&str>) -> Option<(String, Value)> {
    let id = reply_to?;
    let reply = json!({"message_id": number(id), "allow_sending_without_reply": true});
    Some(("reply_parameters".to_owned(), reply))
}

/// One row a button, since labels are sentences.
fn keyboard(buttons: &[Button]) -> Result<Option<(String, Value)>, ApiError> {
    if buttons.is_empty() {
        return Ok(None);
    }
    if let Some(long) =
        buttons.iter().find(|it| it.value.is_empty() || MAX_BUTTON_BYTES < it.value.len())
    {
        let why = format!(
            "the value of the button `{}` is not 1 to {MAX_BUTTON_BYTES} bytes",
            long.label
        );
        return Err(ApiError::Unfit(why));
    }
    let row = |it: &Button| json!([{"text": it.label, "callback_data": it.value}]);
    let rows: Vec<Value> = buttons.iter().map(row).collect();
    Ok(Some(("reply_markup".to_owned(), json!({"inline_keyboard": rows}))))
}

fn receipt(message: &Value) -> Sent {
    Sent { platform_id: message["message_id"].as_i64().map(|it| it.to_string()) }
}

/// How a file is shown in a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileKind {
    Photo,
    Animation,
    Video,
    /// Telegram plays Opus in an OGG as a voice message, and shows any other as a file.
    Voice,
    Audio,
    Document,
}

/// How a file goes out.
#[derive(Clone, Copy, Debug)]
struct FileForm {
    kind: FileKind,
    /// Whether its caption is rendered.
    formatted: bool,
}

impl FileKind {
    /// By the end of its name: what the Bot API says that each method takes.
    fn of(name: &str) -> Self {
        let end = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
        match end.as_str() {
            "jpg" | "jpeg" | "png" | "webp" => Self::Photo,
            "gif" => Self::Animation,
            "mp4" => Self::Video,
            "ogg" | "oga" | "opus" => Self::Voice,
            "mp3" | "m4a" => Self::Audio,
            _ => Self::Document,
        }
    }

    /// The method and the name of its field.
    fn method(self) -> (&'static str, &'static str) {
        match self {
            Self::Photo => ("sendPhoto", "photo"),
            Self::Animation => ("sendAnimation", "animation"),
            Self::Video => ("sendVideo", "video"),
            Self::Voice => ("sendVoice", "voice"),
            Self::Audio => ("sendAudio", "audio"),
            Self::Document => ("sendDocument", "document"),
        }
    }
}

/// Whether Telegram refused what a file is, and not where it goes: `PHOTO_INVALID_DIMENSIONS`, `IMAGE_PROCESS_FAILED`,
/// `VOICE_MESSAGES_FORBIDDEN`, `wrong file identifier`, ...
fn is_about_the_file(err: &ApiError) -> bool {
    let words =
        ["PHOTO_", "IMAGE_PROCESS", "VIDEO_", "VOICE_", "AUDIO_", "wrong file", "wrong type"];
    words.iter().any(|it| err.says(it))
}
