//! Files that came with messages.

use ngb_core::message::MediaRef;

use super::{Whatsapp, graph::GraphError};
use crate::{ChannelError, MediaStream, http};

/// Largest file that is fetched, in bytes: WhatsApp's largest document.
const MAX_DOWNLOAD_BYTES: u64 = 100 << 20;

/// Where Meta keeps files; to no other host goes the token.
const FILE_HOSTS: &[&str] = &["fbsbx.com", "fbcdn.net", "facebook.com", "whatsapp.net"];

impl Whatsapp {
    pub(super) async fn fetch_file(&self, media: &MediaRef) -> Result<MediaStream, ChannelError> {
        let doing = format!("fetch `{}`", media.name);
        match self.begin(&media.reference).await {
            Ok(response) => Ok(http::stream(response, MAX_DOWNLOAD_BYTES, doing)),
            Err(err) => Err(err.doing(doing)),
        }
    }

    /// The address of a file holds for five minutes, so it is asked for each time.
    async fn begin(&self, reference: &str) -> Result<reqwest::Response, GraphError> {
        let known = self.graph.media(reference).await?;
        let url = known["url"].as_str().ok_or(GraphError::Unreadable("url"))?;
        if known["file_size"].as_u64().is_some_and(|it| MAX_DOWNLOAD_BYTES < it) {
            let most = MAX_DOWNLOAD_BYTES >> 20;
            return Err(GraphError::Unfit(format!("the file is larger than {most} MB")));
        }
        if !is_metas(url, &self.graph.url) {
            return Err(GraphError::Unfit(
                "WhatsApp named a file on a host that is not its own".into(),
            ));
        }
        let request = self.graph.http.get_handed(url, &self.graph.url)?;
        let request = request.bearer_auth(self.graph.token.expose());
        Ok(self.graph.http.download(request, MAX_DOWNLOAD_BYTES).await?)
    }
}

/// Whether the token may go there: Meta's hosts, and the one of the settings.
fn is_metas(url: &str, base: &str) -> bool {
    let origin = |it: &str| reqwest::Url::parse(it).ok().map(|it| it.origin());
    let host = reqwest::Url::parse(url).ok().and_then(|it| it.host_str().map(str::to_owned));
    let Some(host) = host else { return false };
    let of_meta = |it: &&str| host == **it || host.ends_with(&format!(".{it}"));
    origin(url) == origin(base) || FILE_HOSTS.iter().any(of_meta)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_token_may_go() {
        let base = "https://graph.facebook.com/v23.0";
        #[rustfmt::skip]
        let table = [
            ("https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid=1", true),
            ("https://graph.facebook.com/x",          true),
            ("https://evil-fbsbx.com/x",              false),
            ("https://fbsbx.com.evil.example/x",      false),
            ("https://user@evil.example/fbsbx.com",   false),
            ("no address",                            false),
        ];
        for (url, want) in table {
            assert_eq!(is_metas(url, base), want, "{url}");
        }
        assert!(is_metas("http://127.0.0.1:9/file", "http://127.0.0.1:9/v23.0"));
        assert!(!is_metas("http://127.0.0.1:8/file", "http://127.0.0.1:9/v23.0"));
    }
}
