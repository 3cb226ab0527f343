//! Sends: texts and files, of an app to a person or of a robot to its group.

use std::path::Path;

use ngb_core::{address::Place, message::Sent};
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use super::{
    App, Caller, MAX_FILE_BYTES, Robot,
    api::{ApiError, Body, answer, media_id},
    markup,
};
use crate::http::{CALL_LIMIT, HttpError, UPLOAD_LIMIT};

/// Longest text of a message, in bytes. WeCom cuts off the rest without a word.
const MAX_BODY_BYTES: usize = 2_048;

/// Smallest file, in bytes. <https://developer.work.weixin.qq.com/document/path/90253>
const MIN_FILE_BYTES: u64 = 6;

/// A file on its way out.
pub(super) struct Upload<'a> {
    pub(super) path: &'a Path,
    pub(super) name: &'a str,
    pub(super) caption: &'a str,
}

impl Upload<'_> {
    /// The file and its size in bytes, where WeCom takes one of that size.
    pub(super) async fn open(&self) -> Result<(tokio::fs::File, u64), ApiError> {
        let file = tokio::fs::File::open(self.path).await.map_err(HttpError::File)?;
        let facts = file.metadata().await.map_err(HttpError::File)?;
        let size = facts.len();
        if !facts.is_file() || size < MIN_FILE_BYTES {
            let why = format!(
                "`{}` is no file, or one of less than {MIN_FILE_BYTES} bytes, which WeCom refuses",
                self.name
            );
            return Err(ApiError::Unfit(why));
        }
        if MAX_FILE_BYTES < size {
            let most = MAX_FILE_BYTES >> 20;
            let why = format!("`{}` is larger than the {most} MB that WeCom takes", self.name);
            return Err(ApiError::Unfit(why));
        }
        Ok((file, size))
    }
}

impl Caller {
    pub(super) async fn send_text(&self, to: &Place, text: &str) -> Result<Sent, ApiError> {
        let shown = markup::render(text);
        let shown = if shown.len() <= MAX_BODY_BYTES { shown } else { text.to_owned() };
        if MAX_BODY_BYTES < shown.len() {
            let why =
                format!("the text is longer than the {MAX_BODY_BYTES} bytes that WeCom shows");
            return Err(ApiError::Unfit(why));
        }
        self.post(to, json!({"msgtype": "markdown", "markdown": {"content": shown}})).await
    }

    pub(super) async fn send_file(
        &self,
        to: &Place,
        upload: &Upload<'_>,
    ) -> Result<Sent, ApiError> {
        let (file, size) = upload.open().await?;
        // No more than was promised in the length, should the file grow meanwhile.
        let bytes = tokio_util::io::ReaderStream::new(tokio::io::AsyncReadExt::take(file, size));
        let part = Part::stream_with_length(reqwest::Body::wrap_stream(bytes), size);
        let form = Form::new().part("media", part.file_name(upload.name.to_owned()));
        let (kind, id) = match self {
            Self::App(app) => {
                let kind = kind_of(upload.name, size);
                (kind, app.api.upload(kind, form).await?)
            }
            Self::Robot(robot) => ("file", robot.upload(form).await?),
        };
        // A file has no caption; its words come before it, so that a repeat repeats words only.
        if !upload.caption.is_empty() {
            self.send_text(to, upload.caption).await?;
        }
        self.post(to, json!({"msgtype": kind, kind: {"media_id": id}})).await
    }

    async fn post(&self, to: &Place, body: Value) -> Result<Sent, ApiError> {
        match self {
            Self::App(app) => app.post(to, body).await,
            Self::Robot(robot) => robot.post(&body).await,
        }
    }
}

impl App {
    async fn post(&self, to: &Place, mut body: Value) -> Result<Sent, ApiError> {
        body["touser"] = to.jid.chat().into();
        body["agentid"] = self.agent_id.into();
        let got = self.api.call("/cgi-bin/message/send", &[], Body::Json(&body)).await?;
        // Taken, and for nobody: the only one whom it was for is not in the app's range.
        if got["invaliduser"].as_str().is_some_and(|it| !it.is_empty()) {
            return Err(ApiError::Refused { code: 81_013, words: "invaliduser".into() });
        }
        Ok(Sent { platform_id: got["msgid"].as_str().map(str::to_owned) })
    }
}

impl Robot {
    async fn post(&self, body: &Value) -> Result<Sent, ApiError> {
        let request = self.http.post(format!("{}/cgi-bin/webhook/send", self.url)).json(body);
        let request = request.query(&[("key", self.key.expose())]);
        answer(&self.http, request, CALL_LIMIT).await?;
        // A robot's messages have no ids.
        Ok(Sent::default())
    }

    async fn upload(&self, form: Form) -> Result<String, ApiError> {
        let request = self.http.post(format!("{}/cgi-bin/webhook/upload_media", self.url));
        let request =
            request.query(&[("key", self.key.expose()), ("type", "file")]).multipart(form);
        media_id(&answer(&self.http, request, UPLOAD_LIMIT).await?)
    }
}

/// How a file is shown; what is larger than its kind may be is a file.
/// <https://developer.work.weixin.qq.com/document/path/90253>
pub(super) fn kind_of(name: &str, size: u64) -> &'static str {
    let end = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    match end.as_str() {
        "jpg" | "jpeg" | "png" if size <= 10 << 20 => "image",
        "amr" if size <= 2 << 20 => "voice",
        "mp4" if size <= 10 << 20 => "video",
        _ => "file",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_files() {
        #[rustfmt::skip]
        let table = [
            ("a.JPG", 9,        "image"),
            ("a.png", 11 << 20, "file"),
            ("a.amr", 9,        "voice"),
            ("a.mp4", 9,        "video"),
            ("a.pdf", 9,        "file"),
            ("noend", 9,        "file"),
        ];
        for (name, size, want) in table {
            assert_eq!(kind_of(name, size), want, "{name}");
        }
    }
}
