//! Files, both ways.

use std::path::Path;

use ngb_core::{
    address::Place,
    message::{MediaRef, Sent},
};
use reqwest::{
    Method,
    multipart::{Form, Part},
};
use serde_json::json;

use super::{Dingtalk, MAX_FILE_BYTES, api::ApiError};
use crate::{
    ChannelError, MediaStream,
    http::{HttpError, stream},
};

/// Largest file that is fetched, in bytes.
const MAX_DOWNLOAD_BYTES: u64 = 100 << 20;

/// A file on its way out.
pub(super) struct Upload<'a> {
    pub(super) path: &'a Path,
    pub(super) name: &'a str,
    pub(super) caption: &'a str,
}

impl Upload<'_> {
    /// Made anew for each try.
    pub(super) async fn form(&self) -> Result<Form, ApiError> {
        let file = tokio::fs::File::open(self.path).await.map_err(HttpError::File)?;
        let facts = file.metadata().await.map_err(HttpError::File)?;
        let size = facts.len();
        if !facts.is_file() || size == 0 || MAX_FILE_BYTES < size {
            let most = MAX_FILE_BYTES >> 20;
            let why = format!("`{}` is no file of 1 byte to {most} MB", self.name);
            return Err(ApiError::unfit(why));
        }
        // No more than was promised in the length, should the file grow meanwhile.
        let bytes = tokio_util::io::ReaderStream::new(tokio::io::AsyncReadExt::take(file, size));
        let part = Part::stream_with_length(reqwest::Body::wrap_stream(bytes), size);
        Ok(Form::new().part("media", part.file_name(self.name.to_owned())))
    }
}

impl Dingtalk {
    pub(super) async fn send_file(
        &self,
        to: &Place,
        upload: &Upload<'_>,
    ) -> Result<Sent, ApiError> {
        let end = end_of(upload.name);
        let is_picture = matches!(end.as_str(), "jpg" | "jpeg" | "png" | "gif" | "bmp");
        let kind = if is_picture { "image" } else { "file" };
        let id = self.api.upload(kind, upload).await?;
        // A file has no caption; its words come before it, so that a repeat repeats words only.
        if !upload.caption.is_empty() {
            self.send_text(to, upload.caption, None).await?;
        }
        let (key, param) = if is_picture {
            ("sampleImageMsg", json!({"photoURL": id}))
        } else {
            ("sampleFile", json!({"mediaId": id, "fileName": upload.name, "fileType": end}))
        };
        let sent = self.post(to.jid.chat(), key, &param).await?;
        self.show_done(to.jid.chat()).await;
        Ok(sent)
    }

    pub(super) async fn fetch_file(&self, media: &MediaRef) -> Result<MediaStream, ChannelError> {
        let doing = format!("fetch `{}`", media.name);
        let response = self.download(media).await.map_err(|it| it.doing(doing.clone()))?;
        Ok(stream(response, MAX_DOWNLOAD_BYTES, doing))
    }

    async fn download(&self, media: &MediaRef) -> Result<reqwest::Response, ApiError> {
        let body = json!({"robotCode": self.robot_code, "downloadCode": media.reference});
        let got = self.api.call(Method::POST, "/v1.0/robot/messageFiles/download", &body).await?;
        let url = got["downloadUrl"].as_str().ok_or(ApiError::Unreadable("downloadUrl"))?;
        // DingTalk names some of its files' addresses without encryption, and has them with it.
        let url = match url.strip_prefix("http://") {
            Some(rest) if !url.starts_with(self.api.url()) => format!("https://{rest}"),
            _ => url.to_owned(),
        };
        let request = self.api.http.get_handed(&url, self.api.url())?;
        Ok(self.api.http.download(request, MAX_DOWNLOAD_BYTES).await?)
    }
}

/// What is behind the last dot; `file` where there is none.
fn end_of(name: &str) -> String {
    let end = name.rsplit_once('.').map(|(_, end)| end.to_ascii_lowercase());
    end.filter(|it| !it.is_empty()).unwrap_or_else(|| "file".to_owned())
}
