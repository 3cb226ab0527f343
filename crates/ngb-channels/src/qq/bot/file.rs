//! Files, both ways. Up they go in the call itself, and the message names what came of it.

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ngb_core::{
    address::Place,
    message::{MediaRef, Sent},
};
use reqwest::multipart::{Form, Part};
use serde_json::json;
use tokio::io::AsyncReadExt as _;

use super::{
    MAX_FILE_BYTES, QqBot,
    api::ApiError,
    send::{MEDIA, receipt, target},
    wire::Target,
};
use crate::{
    ChannelError, MediaStream,
    http::{HttpError, UPLOAD_LIMIT, stream},
};

/// Largest file that is fetched, in bytes.
const MAX_DOWNLOAD_BYTES: u64 = 100 << 20;

/// Kinds of files (<https://bot.q.qq.com/wiki/develop/api-v2/server-inter/message/send-receive/rich-media.html>).
const PICTURE: u8 = 1;
const VIDEO: u8 = 2;
const VOICE: u8 = 3;
const FILE: u8 = 4;

/// A file on its way out.
pub(super) struct Upload<'a> {
    pub(super) path: &'a Path,
    pub(super) name: &'a str,
    pub(super) caption: &'a str,
    pub(super) reply_to: Option<&'a str>,
}

impl Upload<'_> {
    async fn read(&self) -> Result<Vec<u8>, ApiError> {
        let file = tokio::fs::File::open(self.path).await.map_err(HttpError::File)?;
        let facts = file.metadata().await.map_err(HttpError::File)?;
        if !facts.is_file() || facts.len() == 0 || MAX_FILE_BYTES < facts.len() {
            let most = MAX_FILE_BYTES >> 20;
            let why = format!("`{}` is no file of 1 byte to {most} MB", self.name);
            return Err(ApiError::unfit(why));
        }
        let mut bytes = Vec::new();
        file.take(MAX_FILE_BYTES).read_to_end(&mut bytes).await.map_err(HttpError::File)?;
        Ok(bytes)
    }

    fn kind(&self) -> u8 {
        let end = self.name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
        match end.as_str() {
            "jpg" | "jpeg" | "png" => PICTURE,
            "mp4" => VIDEO,
            "silk" => VOICE,
            _ => FILE,
        }
    }
}

impl QqBot {
    pub(super) async fn send_file(
        &self,
        to: &Place,
        upload: &Upload<'_>,
        key: &str,
    ) -> Result<Sent, ApiError> {
        let target = target(to)?;
        let (bytes, kind) = (upload.read().await?, upload.kind());
        if !target.is_v2() {
            return self.send_picture(to, target, upload, bytes, key).await;
        }
        // Only pictures stand beside words; others have them before, so that a repeat repeats words only.
        if kind != PICTURE && !upload.caption.is_empty() {
            let key = format!("{key}-caption");
            self.send_text(to, upload.caption, upload.reply_to, &key).await?;
        }
        let mut body = json!({
            "file_type": kind, "file_data": STANDARD.encode(bytes), "srv_send_msg": false,
        });
        if kind == FILE {
            body["file_name"] = upload.name.into();
        }
        let got = self.api.post(&format!("{}/files", target.path()), &body, UPLOAD_LIMIT).await?;
        let Some(info) = got["file_info"].as_str() else {
            return Err(ApiError::unfit("QQ took the file and named it by nothing"));
        };
        // QQ wants some words beside a file.
        let words =
            if kind == PICTURE && !upload.caption.is_empty() { upload.caption } else { " " };
        let body = json!({"msg_type": MEDIA, "content": words, "media": {"file_info": info}});
        self.post(to, target, body, upload.reply_to, key).await
    }

    /// Channels take pictures only, in a form.
    async fn send_picture(
        &self,
        to: &Place,
        target: Target<'_>,
        upload: &Upload<'_>,
        bytes: Vec<u8>,
        key: &str,
    ) -> Result<Sent, ApiError> {
        if upload.kind() != PICTURE {
            let why = format!(
                "`{}` is no picture, and a channel of QQ takes no other files",
                upload.name
            );
            return Err(ApiError::unfit(why));
        }
        let now = self.api.clock().now();
        let anchor = self.recent.anchor(target, to.jid.chat(), upload.reply_to, key, now);
        let form = || {
            let picture = Part::bytes(bytes.clone()).file_name(upload.name.to_owned());
            let mut form = Form::new().part("file_image", picture);
            if !upload.caption.is_empty() {
                form = form.text("content", upload.caption.to_owned());
            }
            match &anchor {
                Some(id) => form.text("msg_id", id.clone()),
                None => form,
            }
        };
        let path = format!("{}/messages", target.path());
        Ok(receipt(&self.api.post_form(&path, form, UPLOAD_LIMIT).await?))
    }

    pub(super) async fn fetch_file(&self, media: &MediaRef) -> Result<MediaStream, ChannelError> {
        let doing = format!("fetch `{}`", media.name);
        let begun = async {
            let request = self.api.http.get_handed(&media.reference, self.api.url())?;
            let response = self.api.http.download(request, MAX_DOWNLOAD_BYTES).await?;
            Ok(stream(response, MAX_DOWNLOAD_BYTES, doing.clone()))
        };
        begun.await.map_err(|it: HttpError| it.doing(doing.clone()))
    }
}
