//! Files that came with messages.

use ngb_core::message::MediaRef;
use serde_json::json;

use super::{Telegram, api::ApiError};
use crate::{ChannelError, MediaStream, http::stream};

/// Largest file that Telegram's own server gives to a bot, in bytes.
const MAX_DOWNLOAD_BYTES: u64 = 20 << 20;

impl Telegram {
    pub(super) async fn fetch_file(&self, media: &MediaRef) -> Result<MediaStream, ChannelError> {
        let doing = || format!("fetch `{}`", media.name);
        let too_big = || {
            ApiError::Unfit(format!(
                "`{}` is larger than the {} MB that Telegram gives to a bot",
                media.name,
                MAX_DOWNLOAD_BYTES >> 20
            ))
        };
        if media.size_bytes.is_some_and(|it| MAX_DOWNLOAD_BYTES < it) {
            return Err(too_big().doing(doing()));
        }
        let asked = json!({"file_id": media.reference});
        let file = self.api.call("getFile", &asked).await.map_err(|err| {
            if err.says("file is too big") { too_big().doing(doing()) } else { err.doing(doing()) }
        })?;
        let path = file["file_path"].as_str().unwrap_or_default();
        // The path goes into a URL beside the token: only what Telegram's own paths are made of.
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
        if path.is_empty() || path.contains("..") || !path.chars().all(plain) {
            let err = ApiError::Unfit("Telegram named no file that can be fetched".into());
            return Err(err.doing(doing()));
        }
        let response = self.api.download(path, MAX_DOWNLOAD_BYTES).await;
        let response = response.map_err(|it| it.doing(doing()))?;
        Ok(stream(response, MAX_DOWNLOAD_BYTES, doing()))
    }
}
