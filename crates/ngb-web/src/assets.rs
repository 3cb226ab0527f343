//! The dashboard's files, inside the executable.

use std::{
    io::{self, Write as _},
    sync::{LazyLock, OnceLock},
};

use axum::response::{IntoResponse, Response};
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, StatusCode, header};
use sha2::{Digest as _, Sha256};

struct Asset {
    path: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
    /// The same as gzip, once somebody asked for it.
    packed: OnceLock<Vec<u8>>,
    etag: String,
}

impl Asset {
    fn packed(&self) -> &[u8] {
        self.packed.get_or_init(|| gzip(self.bytes).expect("memory can be written to"))
    }
}

fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes)?;
    encoder.finish()
}

macro_rules! assets {
    ($($path:literal $kind:expr;)+) => {
        static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| vec![$({
            let bytes: &'static [u8] =
                include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../dashboard/", $path));
            let packed = OnceLock::new();
            Asset { path: concat!("/", $path), kind: $kind, bytes, packed, etag: etag(bytes) }
        }),+]);
    };
}

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

assets! {
    "index.html" HTML;
    "app.css" STYLE;
    "icon.svg" "image/svg+xml";
    "theme.js" SCRIPT;
    "app.js" SCRIPT;
    "api.js" SCRIPT;
    "i18n.js" SCRIPT;
    "icons.js" SCRIPT;
    "live.js" SCRIPT;
    "markdown.js" SCRIPT;
    "reader.html" HTML;
    "reader.css" STYLE;
    "reader.js" SCRIPT;
    "store.js" SCRIPT;
    "ui.js" SCRIPT;
    "pages/approvals.js" SCRIPT;
    "pages/channels.js" SCRIPT;
    "pages/chat.js" SCRIPT;
    "pages/groups.js" SCRIPT;
    "pages/home.js" SCRIPT;
    "pages/logs.js" SCRIPT;
    "pages/messages.js" SCRIPT;
    "pages/people.js" SCRIPT;
    "pages/plugins.js" SCRIPT;
    "pages/state.js" SCRIPT;
    "pages/tasks.js" SCRIPT;
    "pages/usage.js" SCRIPT;
    "pages/why.js" SCRIPT;
    "vendor/htm-preact.js" SCRIPT;
    "vendor/marked.js" SCRIPT;
    "vendor/purify.js" SCRIPT;
    "vendor/LICENSES.txt" TEXT;
}

fn etag(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let short: String = digest[..12].iter().map(|it| format!("{it:02x}")).collect();
    // Weak: the same file, packed or not.
    format!("W/\"{short}\"")
}

/// The file at `path`; none when there is no such one. A browser asks each time, and gets 304 while nothing changed,
/// so that a new version is never shown with pieces of an old one. It goes as gzip to whoever takes that.
pub(crate) fn serve(path: &str, headers: &HeaderMap) -> Option<Response> {
    let path = if path == "/" { "/index.html" } else { path };
    let asset = ASSETS.iter().find(|it| it.path == path)?;
    let text = |name| headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let caching = [
        (header::ETAG, asset.etag.as_str()),
        (header::CACHE_CONTROL, "no-cache"),
        (header::VARY, "accept-encoding"),
    ];
    let kind = [(header::CONTENT_TYPE, asset.kind)];
    let is_known = text(header::IF_NONE_MATCH).split(',').any(|it| it.trim() == asset.etag);
    let takes_gzip = text(header::ACCEPT_ENCODING).split(',').any(|it| it.trim() == "gzip");
    Some(if is_known {
        (StatusCode::NOT_MODIFIED, caching).into_response()
    } else if takes_gzip {
        (caching, kind, [(header::CONTENT_ENCODING, "gzip")], asset.packed()).into_response()
    } else {
        (caching, kind, asset.bytes).into_response()
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The first view, as it goes over the wire.
    const MAX_FIRST_VIEW_BYTES: usize = 300 * 1024;

    fn files(under: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(under).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files(&path, found);
            } else {
                found.push(path.to_str().unwrap().to_owned());
            }
        }
    }

    #[test]
    fn every_file_is_in_the_table() {
        let dashboard = concat!(env!("CARGO_MANIFEST_DIR"), "/../../dashboard");
        let mut found = Vec::new();
        files(Path::new(dashboard), &mut found);
        let mut found: Vec<&str> = found.iter().map(|it| &it[dashboard.len()..]).collect();
        found.sort_unstable();
        let mut known: Vec<&str> = ASSETS.iter().map(|it| it.path).collect();
        known.sort_unstable();
        assert_eq!(found, known);
    }

    #[test]
    fn the_first_view_is_small() {
        // The API's reader is a page of its own.
        let is_shown = |it: &&Asset| it.kind != TEXT && !it.path.starts_with("/reader.");
        let pages = ASSETS.iter().filter(is_shown);
        let bytes: usize = pages.map(|it| it.packed().len()).sum();
        assert!(bytes < MAX_FIRST_VIEW_BYTES, "{bytes}");
    }

    #[test]
    fn modules_import_by_relative_path_and_nothing_is_inline() {
        for asset in ASSETS.iter() {
            let text = std::str::from_utf8(asset.bytes).unwrap();
            if asset.kind == SCRIPT && !asset.path.starts_with("/vendor/") {
                for line in text.lines().filter(|it| it.starts_with("import ")) {
                    assert!(
                        line.contains("\"./") || line.contains("\"../"),
                        "{}: {line}",
                        asset.path
                    );
                }
            }
            if asset.kind == HTML {
                assert!(
                    !text.contains("<style")
                        && !text.contains(" style=")
                        && !text.contains("<script>")
                );
            }
        }
    }

    #[test]
    fn what_is_known_is_not_sent_again() {
        let first = serve("/", &HeaderMap::new()).unwrap();
        assert_eq!(first.status(), StatusCode::OK);
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
        assert_eq!(serve("/index.html", &headers).unwrap().status(), StatusCode::NOT_MODIFIED);
        assert!(serve("/../Cargo.toml", &headers).is_none());
    }

    #[tokio::test]
    async fn it_is_packed_for_whoever_takes_that() {
        let asked = async |how: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, http::HeaderValue::from_static(how));
            let (head, body) = serve("/app.css", &headers).unwrap().into_parts();
            let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            (head.headers.get(header::CONTENT_ENCODING).cloned(), bytes)
        };
        let (encoding, plain) = asked("identity").await;
        assert_eq!(encoding, None);
        let (encoding, packed) = asked("br, gzip").await;
        assert_eq!(encoding.unwrap(), "gzip");
        let mut unpacked = Vec::new();
        let mut decoder = flate2::read::GzDecoder::new(&*packed);
        io::Read::read_to_end(&mut decoder, &mut unpacked).unwrap();
        assert_eq!(unpacked, plain);
        assert!(packed.len() < plain.len());
    }
}
