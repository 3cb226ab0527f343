//! Files of an AI bot: up in pieces over the socket, down by an encrypted address.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::StreamExt as _;
use md5::{Digest as _, Md5};
use ngb_core::message::{MediaRef, Sent};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;

use super::Bot;
use crate::{
    MediaStream,
    http::{self, HttpError},
    wecom::{
        api::ApiError,
        crypt::{FileKey, Opener},
        send::{Upload, kind_of},
    },
};

/// Bytes of a file in one frame, before they are written in base64 (<https://developer.work.weixin.qq.com/document/path/101463>).
const PIECE_BYTES: usize = 512 << 10;

/// Largest file that is fetched, in bytes.
const MAX_DOWNLOAD_BYTES: u64 = 100 << 20;

impl Bot {
    pub(in crate::wecom) async fn send_file(
        &self,
        chat: &str,
        upload: &Upload<'_>,
    ) -> Result<Sent, ApiError> {
        let (file, size) = upload.open().await?;
        let mut bytes = Vec::new();
        file.take(size).read_to_end(&mut bytes).await.map_err(HttpError::File)?;
        let pieces: Vec<&[u8]> = bytes.chunks(PIECE_BYTES).collect();
        let kind = kind_of(upload.name, size);
        let sum: String = Md5::digest(&bytes).iter().map(|it| format!("{it:02x}")).collect();
        let body = json!({
            "type": kind, "filename": upload.name, "total_size": bytes.len(),
            "total_chunks": pieces.len(), "md5": sum,
        });
        let begun = self.step("init", body).await?;
        let id = text(&begun, "upload_id")?;
        for (at, piece) in pieces.iter().enumerate() {
            let body =
                json!({"upload_id": id, "chunk_index": at, "base64_data": STANDARD.encode(piece)});
            self.step("chunk", body).await?;
        }
        let done = self.step("finish", json!({"upload_id": id})).await?;
        let id = text(&done, "media_id")?;
        self.caption(chat, upload.name, upload.caption).await?;
        let body = json!({"chatid": chat, "msgtype": kind, kind: {"media_id": id}});
        self.call("aibot_send_msg", self.request_id("aibot_send_msg"), body).await?;
        Ok(Sent::default())
    }

    async fn step(&self, step: &str, body: Value) -> Result<Value, ApiError> {
        let cmd = format!("aibot_upload_media_{step}");
        match self.call(&cmd, self.request_id(&cmd), body).await {
            // Nobody sees an upload, so one that is in doubt is simply made again.
            Err(ApiError::Call(err)) => Err(ApiError::Upload(err)),
            done => done,
        }
    }

    /// The plain bytes of a file that somebody sent.
    pub(in crate::wecom) async fn fetch_file(
        &self,
        media: &MediaRef,
        doing: &str,
    ) -> Result<MediaStream, ApiError> {
        let reference: Value = serde_json::from_str(&media.reference).unwrap_or_default();
        let url = reference["url"].as_str();
        let url = url.ok_or_else(|| ApiError::Unfit("the file has no address".into()))?;
        let key = reference["key"].as_str().map(FileKey::read).transpose();
        let key = key.map_err(|err| ApiError::Unfit(err.to_string()))?;
        let request = self.http.get_handed(url, &self.ws_url)?;
        let response = self.http.download(request, MAX_DOWNLOAD_BYTES).await?;
        let stream = http::stream(response, MAX_DOWNLOAD_BYTES, doing.to_owned());
        Ok(match key {
            Some(key) => opened(stream, &key, doing.to_owned()),
            None => stream,
        })
    }
}

fn text(answer: &Value, name: &'static str) -> Result<String, ApiError> {
    answer["body"][name].as_str().map(str::to_owned).ok_or(ApiError::Unreadable(name))
}

/// What an encrypted stream says. That it was whole is known at its end only: then it may still fail.
fn opened(stream: MediaStream, key: &FileKey, doing: String) -> MediaStream {
    let state = (stream, Some(Opener::new(key)), doing);
    Box::pin(futures_util::stream::unfold(state, |(mut stream, mut opener, doing)| async move {
        let step = match (stream.next().await, opener.as_mut()) {
            (_, None) => return None,
            (Some(Ok(bytes)), Some(it)) => Ok(it.push(&bytes).into()),
            (Some(Err(err)), Some(_)) => {
                opener = None;
                Err(err)
            }
            (None, Some(_)) => {
                let rest = opener.take()?.finish();
                let unfit = |_| HttpError::Unfit("the file could not be decrypted".into());
                rest.map(Into::into).map_err(|err| unfit(err).doing(doing.clone()))
            }
        };
        Some((step, (stream, opener, doing)))
    }))
}
