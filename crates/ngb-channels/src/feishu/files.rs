//! Files, both ways: <https://open.feishu.cn/document/server-docs/im-v1/file/create>.

use std::path::Path;

use ngb_core::{
    address::Place,
    message::{MediaKind, MediaRef, Sent},
    text::file_name,
};
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use super::{
    Feishu, MAX_UPLOAD_BYTES,
    api::ApiError,
    card,
    send::{Message, Shape},
};
use crate::{
    ChannelError, MediaStream,
    http::{HttpError, stream},
};

/// Largest file that is fetched, in bytes: Feishu gives 100 MB at the most.
const MAX_DOWNLOAD_BYTES: u64 = 100 << 20;

/// Largest picture that is sent as one, in bytes; a larger one is a file.
const MAX_PICTURE_BYTES: u64 = 10 << 20;

/// A file on its way out.
pub(super) struct Upload<'a> {
    pub(super) path: &'a Path,
    pub(super) name: &'a str,
    pub(super) message: Message<'a>,
}

/// The files of a message; a rich text may have several.
pub(super) fn media(message: &str, kind: &str, content: &Value) -> Vec<MediaRef> {
    let one = |kind: MediaKind, what: &str, key: &Value, name: &str| {
        Some(MediaRef {
            kind,
            reference: format!("{message}/{what}/{}", key.as_str().filter(|it| !it.is_empty())?),
            name: file_name(name),
            media_type: None,
            size_bytes: None,
        })
    };
    let key = &content["file_key"];
    let name = content["file_name"].as_str().unwrap_or_default();
    let found = match kind {
        "image" => one(MediaKind::Photo, "image", &content["image_key"], "picture.png"),
        "file" => one(MediaKind::Document, "file", key, name),
        "audio" => one(MediaKind::Voice, "file", key, "voice.opus"),
        "media" => {
            one(MediaKind::Video, "file", key, if name.is_empty() { "video.mp4" } else { name })
        }
        "post" => {
            let inner = match &content["content"] {
                Value::Array(_) => content,
                _ => content.as_object().and_then(|it| it.values().next()).unwrap_or(content),
            };
            let lines = inner["content"].as_array().into_iter().flatten();
            let pieces = lines.filter_map(Value::as_array).flatten();
            return pieces
                .filter_map(|it| match it["tag"].as_str() {
                    Some("img") => one(MediaKind::Photo, "image", &it["image_key"], "picture.png"),
                    Some("media") => one(MediaKind::Video, "file", &it["file_key"], "video.mp4"),
                    _ => None,
                })
                .collect();
        }
        _ => None,
    };
    found.into_iter().collect()
}

/// The kind of a file for the upload, and that of its message.
fn kinds(name: &str) -> (&'static str, &'static str) {
    let end = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    match end.as_str() {
        "opus" => ("opus", "audio"),
        "mp4" => ("mp4", "media"),
        "pdf" => ("pdf", "file"),
        "doc" | "docx" => ("doc", "file"),
        "xls" | "xlsx" => ("xls", "file"),
        "ppt" | "pptx" => ("ppt", "file"),
        _ => ("stream", "file"),
    }
}

impl Feishu {
    pub(super) async fn send_file(
        &self,
        to: &Place,
        upload: &Upload<'_>,
    ) -> Result<Sent, ChannelError> {
        let sent = self.upload(to, upload).await;
        let sent = sent.map_err(|it| it.doing(format!("send `{}` to `{to}`", upload.name)))?;
        self.show_done(to).await;
        Ok(sent)
    }

    async fn upload(&self, to: &Place, upload: &Upload<'_>) -> Result<Sent, ApiError> {
        let file = tokio::fs::File::open(upload.path).await.map_err(HttpError::File)?;
        let facts = file.metadata().await.map_err(HttpError::File)?;
        let size = facts.len();
        if !facts.is_file() || size == 0 || MAX_UPLOAD_BYTES < size {
            let why = format!("`{}` is no file of 1 byte to 30 MB", upload.name);
            return Err(ApiError::unfit(why));
        }
        // No more than was promised in the length, should the file grow meanwhile.
        let bytes = tokio_util::io::ReaderStream::new(tokio::io::AsyncReadExt::take(file, size));
        let body = reqwest::Body::wrap_stream(bytes);
        let part = Part::stream_with_length(body, size).file_name(upload.name.to_owned());
        let end = upload.name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
        let is_picture = matches!(end.as_str(), "png" | "jpg" | "jpeg" | "gif" | "webp" | "bmp");
        let Message { text: caption, reply_to, key, .. } = upload.message;
        if is_picture && size <= MAX_PICTURE_BYTES {
            let form = Form::new().text("image_type", "message").part("image", part);
            let made = self.api.upload("/open-apis/im/v1/images", form).await?;
            let image = json!({"tag": "img", "image_key": made["data"]["image_key"]});
            let mut rows = vec![json!([image])];
            if !caption.is_empty() {
                rows.push(json!([{"tag": "md", "text": card::markdown(caption)}]));
            }
            let content = json!({"zh_cn": {"content": rows}});
            return self.post(to, reply_to, key, &Shape { kind: "post", content }).await;
        }
        let (file_type, kind) = kinds(upload.name);
        let form = Form::new()
            .text("file_type", file_type)
            .text("file_name", upload.name.to_owned())
            .part("file", part);
        let made = self.api.upload("/open-apis/im/v1/files", form).await?;
        let content = json!({"file_key": made["data"]["file_key"]});
        let sent = self.post(to, reply_to, key, &Shape { kind, content }).await?;
        if !caption.is_empty() {
            // A file has no room for words.
            let shape = Shape { kind: "interactive", content: card::of(caption, &[], false)? };
            self.post(to, None, &format!("{key}-c"), &shape).await?;
        }
        Ok(sent)
    }

    pub(super) async fn fetch_file(&self, media: &MediaRef) -> Result<MediaStream, ChannelError> {
        let doing = format!("fetch `{}`", media.name);
        let parts: Vec<&str> = media.reference.split('/').collect();
        let [message, what, key] = parts.as_slice() else {
            let why = format!("`{}` is no file of Feishu", media.reference);
            return Err(ApiError::unfit(why).doing(doing));
        };
        let path = format!("/open-apis/im/v1/messages/{message}/resources/{key}");
        let found = self.api.download(&path, &[("type", what)], MAX_DOWNLOAD_BYTES).await;
        let response = found.map_err(|it| it.doing(doing.clone()))?;
        Ok(stream(response, MAX_DOWNLOAD_BYTES, doing))
    }
}
