//! Files, both ways. They go out in the call itself: the OneBot implementation may be on another machine.

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ngb_core::{
    address::Place,
    message::{MediaRef, Sent},
};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;

use super::{
    MAX_FILE_BYTES, Qq, Way,
    api::ApiError,
    segments,
    send::{number, target},
    wire::Target,
};
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
    pub(super) reply_to: Option<&'a str>,
}

impl Upload<'_> {
    /// All of it, in base64.
    async fn read(&self) -> Result<String, ApiError> {
        let file = tokio::fs::File::open(self.path).await.map_err(HttpError::File)?;
        let facts = file.metadata().await.map_err(HttpError::File)?;
        let size = facts.len();
        if !facts.is_file() || size == 0 || MAX_FILE_BYTES < size {
            let most = MAX_FILE_BYTES >> 20;
            let why = format!("`{}` is no file of 1 byte to {most} MB", self.name);
            return Err(ApiError::unfit(why));
        }
        let mut bytes = Vec::new();
        file.take(MAX_FILE_BYTES).read_to_end(&mut bytes).await.map_err(HttpError::File)?;
        Ok(format!("base64://{}", STANDARD.encode(bytes)))
    }

    fn kind(&self) -> Option<&'static str> {
        let end = self.name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
        match end.as_str() {
            "jpg" | "jpeg" | "png" | "gif" | "webp" | "bmp" => Some("image"),
            "amr" | "silk" | "mp3" | "ogg" | "wav" => Some("record"),
            "mp4" => Some("video"),
            _ => None,
        }
    }
}

impl Qq {
    pub(super) async fn send_file(
        &self,
        to: &Place,
        upload: &Upload<'_>,
    ) -> Result<Sent, ApiError> {
        let to_whom = target(to)?;
        let bytes = upload.read().await?;
        if let Some(kind) = upload.kind() {
            let file = json!({"type": kind, "data": {"file": bytes}});
            // Voice and video stand alone.
            if kind != "image" && !upload.caption.is_empty() {
                self.send_text(to, upload.caption, upload.reply_to).await?;
                return self.post(to, vec![file]).await;
            }
            let mut message: Vec<Value> = Vec::new();
            if kind == "image" {
                message
                    .extend(upload.reply_to.map(|id| json!({"type": "reply", "data": {"id": id}})));
                if !upload.caption.is_empty() {
                    message.push(segments::text(upload.caption));
                }
            }
            message.push(file);
            return self.post(to, message).await;
        }
        // A file has no caption; its words come before it, so that a repeat repeats words only.
        if !upload.caption.is_empty() {
            self.send_text(to, upload.caption, upload.reply_to).await?;
        }
        let (action, mut params) = match to_whom {
            Target::Group(id) => ("upload_group_file", json!({"group_id": number(id)})),
            Target::Person(id) => ("upload_private_file", json!({"user_id": number(id)})),
        };
        params["file"] = bytes.into();
        params["name"] = upload.name.into();
        self.wait_for_turn().await;
        self.call(action, params).await?;
        Ok(Sent::default())
    }

    pub(super) async fn fetch_file(&self, media: &MediaRef) -> Result<MediaStream, ChannelError> {
        let doing = format!("fetch `{}`", media.name);
        let begun = self.begin_fetch(media, &doing).await;
        begun.map_err(|it| it.doing(doing))
    }

    async fn begin_fetch(&self, media: &MediaRef, doing: &str) -> Result<MediaStream, ApiError> {
        let reference: Value = serde_json::from_str(&media.reference).unwrap_or_default();
        if let Some(url) = reference["url"].as_str() {
            match self.download(url, doing).await {
                // Its time is over; the file may be there all the same.
                Err(ApiError::Http(HttpError::Status { .. })) if reference["file"].is_string() => {}
                done => return done,
            }
        }
        let file = reference["file"].as_str();
        let file = file.ok_or_else(|| ApiError::unfit("the file has no address and no name"))?;
        let (action, params) = match reference["kind"].as_str() {
            Some("image") => ("get_image", json!({"file": file})),
            Some("record") => ("get_record", json!({"file": file, "out_format": "mp3"})),
            _ => ("get_file", json!({"file_id": file, "file": file})),
        };
        let got = self.call(action, params).await?;
        if let Some(text) = got["base64"].as_str().filter(|it| !it.is_empty()) {
            let bytes = STANDARD.decode(text.trim_start_matches("base64://"));
            let bytes = bytes.map_err(|_| ApiError::unfit("the file came as no base64"))?;
            return Ok(Box::pin(futures_util::stream::iter([Ok(bytes.into())])));
        }
        match got["url"].as_str().filter(|it| it.starts_with("http")) {
            Some(url) => self.download(url, doing).await,
            None => Err(ApiError::unfit(
                "the OneBot implementation keeps the file on its own disk; let it hand files out (NapCat: enableLocalFile2Url)",
            )),
        }
    }

    async fn download(&self, url: &str, doing: &str) -> Result<MediaStream, ApiError> {
        let base = match &self.way {
            Way::Forward { url } => url.as_str(),
            Way::Reverse { .. } => "",
        };
        let request = self.http.get_handed(url, base)?;
        let response = self.http.download(request, MAX_DOWNLOAD_BYTES).await?;
        Ok(stream(response, MAX_DOWNLOAD_BYTES, doing.to_owned()))
    }
}
