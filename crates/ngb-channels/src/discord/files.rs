//! Files, both ways: <https://docs.discord.com/developers/reference#uploading-files>.
//!
//! The address of an attachment is signed and ends after a day, so a file is remembered by its message, which is asked
//! for a fresh one.

use std::path::Path;

use ngb_core::{
    address::Place,
    message::{MediaKind, MediaRef, Sent},
    text::file_name,
};
use reqwest::multipart::{Form, Part};
use serde_json::Value;

use super::{
    Discord, MAX_UPLOAD_BYTES,
    api::ApiError,
    known::{list, text},
    send::{self, Message},
};
use crate::{
    ChannelError, MediaStream,
    http::{HttpError, stream},
};

/// Largest file that is fetched, in bytes.
const MAX_DOWNLOAD_BYTES: u64 = 100 << 20;

/// The flag of a message that was spoken (<https://docs.discord.com/developers/resources/message#message-object-message-flags>).
const IS_VOICE: i64 = 1 << 13;

/// A file on its way out.
pub(super) struct Upload<'a> {
    pub(super) path: &'a Path,
    pub(super) name: &'a str,
    pub(super) message: Message<'a>,
}

/// The files of a message.
pub(super) fn media(message: &Value) -> Vec<MediaRef> {
    media_of(message, message)
}

/// The files of `inner`, which is or stands in `message`.
pub(super) fn media_of(message: &Value, inner: &Value) -> Vec<MediaRef> {
    let is_voice = inner["flags"].as_i64().unwrap_or_default() & IS_VOICE != 0;
    let (channel, id) = (text(&message["channel_id"]), text(&message["id"]));
    let file = |file: &Value| {
        let media_type = file["content_type"].as_str();
        let kind = match media_type.and_then(|it| it.split('/').next()) {
            Some("image") => MediaKind::Photo,
            Some("audio") if is_voice => MediaKind::Voice,
            Some("audio") => MediaKind::Audio,
            Some("video") => MediaKind::Video,
            _ => MediaKind::Document,
        };
        Some(MediaRef {
            kind,
            reference: format!("{channel}/{id}/{}", file["id"].as_str()?),
            name: file_name(file["filename"].as_str().unwrap_or_default()),
            media_type: media_type.map(str::to_owned),
            size_bytes: file["size"].as_u64(),
        })
    };
    list(&inner["attachments"]).filter_map(file).collect()
}

impl Discord {
    pub(super) async fn send_file(
        &self,
        to: &Place,
        upload: &Upload<'_>,
    ) -> Result<Sent, ChannelError> {
        let sent = self.upload(to, upload).await;
        let sent = sent.map_err(|it| it.doing(format!("send `{}` to `{to}`", upload.name)))?;
        Ok(send::receipt(&sent))
    }

    async fn upload(&self, to: &Place, upload: &Upload<'_>) -> Result<Value, ApiError> {
        let file = tokio::fs::File::open(upload.path).await.map_err(HttpError::File)?;
        let facts = file.metadata().await.map_err(HttpError::File)?;
        let size = facts.len();
        if !facts.is_file() || MAX_UPLOAD_BYTES < size {
            let why = format!("`{}` is no file of at most 10 MB", upload.name);
            return Err(ApiError::unfit(why));
        }
        let (path, body) = self.request(to, &upload.message)?;
        // No more than was promised in the length, should the file grow meanwhile.
        let bytes = tokio_util::io::ReaderStream::new(tokio::io::AsyncReadExt::take(file, size));
        let body_of_file = reqwest::Body::wrap_stream(bytes);
        let part = Part::stream_with_length(body_of_file, size).file_name(upload.name.to_owned());
        let form = Form::new().text("payload_json", body.to_string()).part("files[0]", part);
        self.api.upload(&path, form).await
    }

    pub(super) async fn fetch_file(&self, media: &MediaRef) -> Result<MediaStream, ChannelError> {
        let doing = format!("fetch `{}`", media.name);
        let response = self.download(media).await.map_err(|it| it.doing(doing.clone()))?;
        Ok(stream(response, MAX_DOWNLOAD_BYTES, doing))
    }

    async fn download(&self, media: &MediaRef) -> Result<reqwest::Response, ApiError> {
        let parts: Vec<&str> = media.reference.split('/').collect();
        let [channel, message, file] = parts.as_slice() else {
            return Err(ApiError::unfit(format!("`{}` is no file of Discord", media.reference)));
        };
        let found = self.api.get(&format!("/channels/{channel}/messages/{message}")).await?;
        let inner = list(&found["message_snapshots"]).map(|it| &it["message"]);
        let mut all = std::iter::once(&found).chain(inner).flat_map(|it| list(&it["attachments"]));
        let Some(url) = all.find(|it| it["id"] == *file).and_then(|it| it["url"].as_str()) else {
            return Err(ApiError::unfit("the file is not in its message any more"));
        };
        let request = self.api.http.get_handed(url, self.api.url())?;
        Ok(self.api.http.download(request, MAX_DOWNLOAD_BYTES).await?)
    }
}
