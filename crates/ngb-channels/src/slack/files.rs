//! Files, both ways.
//!
//! Up: <https://docs.slack.dev/messaging/working-with-files#upload> in three steps. Down: `files.info` names the
//! address, which wants the bot's token.

use std::path::Path;

use ngb_core::{
    address::Place,
    message::{MediaRef, Sent},
};
use reqwest::header::CONTENT_TYPE;
use serde_json::json;

use super::{MAX_UPLOAD_BYTES, Slack, api::ApiError, markup, send::target};
use crate::{
    ChannelError, MediaStream,
    http::{HttpError, UPLOAD_LIMIT, stream},
};

/// Largest file that is fetched, in bytes.
const MAX_DOWNLOAD_BYTES: u64 = 100 << 20;

/// A file on its way out.
pub(super) struct Upload<'a> {
    pub(super) path: &'a Path,
    pub(super) name: &'a str,
    pub(super) caption: &'a str,
    pub(super) reply_to: Option<&'a str>,
}

impl Slack {
    pub(super) async fn send_file(
        &self,
        to: &Place,
        upload: &Upload<'_>,
    ) -> Result<Sent, ChannelError> {
        let sent = self.upload(to, upload).await;
        sent.map_err(|it| it.doing(format!("send `{}` to `{to}`", upload.name)))?;
        self.show_done(to).await;
        // Slack makes the message later and doesn't say which one.
        Ok(Sent::default())
    }

    async fn upload(&self, to: &Place, upload: &Upload<'_>) -> Result<(), ApiError> {
        let file = tokio::fs::File::open(upload.path).await.map_err(HttpError::File)?;
        let facts = file.metadata().await.map_err(HttpError::File)?;
        let size = facts.len();
        if !facts.is_file() || size == 0 || MAX_UPLOAD_BYTES < size {
            let why = format!("`{}` is no file of 1 byte to 1 GB", upload.name);
            return Err(ApiError::unfit(why));
        }
        let length = size.to_string();
        let query = [("filename", upload.name), ("length", length.as_str())];
        let place = self.api.get("files.getUploadURLExternal", &query).await?;
        let (Some(url), Some(id)) = (place["upload_url"].as_str(), place["file_id"].as_str())
        else {
            return Err(ApiError::unfit("Slack named no address for an upload"));
        };
        // No more than was promised in the length, should the file grow meanwhile.
        let bytes = tokio_util::io::ReaderStream::new(tokio::io::AsyncReadExt::take(file, size));
        let request = self.api.http.post_handed(url, self.api.url())?;
        let request = request
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(reqwest::header::CONTENT_LENGTH, size)
            .body(reqwest::Body::wrap_stream(bytes));
        let clock = &self.api.http.clock;
        let sent = clock.timeout(UPLOAD_LIMIT, self.api.http.send(request)).await;
        let status = sent.map_err(HttpError::from)??.status().as_u16();
        if status != 200 {
            return Err(HttpError::Status { status, retry_after: None }.into());
        }
        let mut params = target(to, upload.reply_to)?;
        let channel = params.remove("channel");
        params.insert("channel_id".into(), channel.unwrap_or_default());
        params.insert("files".into(), json!([{"id": id, "title": upload.name}]));
        if !upload.caption.is_empty() {
            params.insert("initial_comment".into(), markup::render(upload.caption).into());
        }
        self.api.call("files.completeUploadExternal", &params).await.map(drop)
    }

    pub(super) async fn fetch_file(&self, media: &MediaRef) -> Result<MediaStream, ChannelError> {
        let doing = format!("fetch `{}`", media.name);
        let response = self.download(media).await.map_err(|it| it.doing(doing.clone()))?;
        Ok(stream(response, MAX_DOWNLOAD_BYTES, doing))
    }

    async fn download(&self, media: &MediaRef) -> Result<reqwest::Response, ApiError> {
        let found = self.api.get("files.info", &[("file", &media.reference)]).await?;
        let file = &found["file"];
        let url = file["url_private_download"].as_str().or(file["url_private"].as_str());
        let Some(url) = url.filter(|_| file["is_external"] != true) else {
            return Err(ApiError::unfit("the file is not kept by Slack"));
        };
        let asked = self.api.http.download(self.api.get_file(url)?, MAX_DOWNLOAD_BYTES).await;
        let login = || {
            ApiError::unfit(
                "Slack showed its login page instead of the file: give the app the scope `files:read` and install it again",
            )
        };
        let response = match asked {
            // To the login page.
            Err(HttpError::Status { status: 300..400, .. }) => return Err(login()),
            other => other?,
        };
        let kind = response.headers().get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
        let is_page = kind.is_some_and(|it| it.starts_with("text/html"));
        let should_be = file["mimetype"].as_str() == Some("text/html");
        if is_page && !should_be { Err(login()) } else { Ok(response) }
    }
}
