//! HTTP over the broker's socket: the only way out of a sandbox.

use std::path::Path;

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use ngb_core::tasks::Crew;
use thiserror::Error;
use tokio::net::UnixStream;

/// The broker's own refusals have this header; see `ngb_broker::REFUSED`.
const REFUSED: &str = "x-ngb-refused";

/// Longest answer that is read in one piece, in bytes.
const MAX_WHOLE_BYTES: usize = 4 * 1024 * 1024;

/// There is no way out.
#[derive(Debug, Error)]
pub(crate) enum NoWayOut {
    #[error("there is no way out: the broker's socket: {0}")]
    Socket(#[from] std::io::Error),
    #[error("the broker's socket broke: {0}")]
    Http(#[from] hyper::Error),
    #[error("`{url}` is no address")]
    BadUrl { url: String },
}

/// An answer whose body is still coming.
pub(crate) struct Streamed {
    pub(crate) status: u16,
    /// Why the broker itself refused.
    pub(crate) refused: Option<String>,
    /// The wait that the provider names, in seconds.
    pub(crate) retry_after: Option<u64>,
    content_type: String,
    body: Incoming,
    /// Drives the connection; dropping it closes it.
    _connection: Crew,
}

/// An answer that came whole.
pub(crate) struct Whole {
    pub(crate) status: u16,
    pub(crate) refused: Option<String>,
    pub(crate) content_type: String,
    pub(crate) body: Vec<u8>,
}

impl Streamed {
    /// The next piece, or `None` at the end.
    ///
    /// # Errors
    ///
    /// When the connection broke before the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, NoWayOut> {
        loop {
            match self.body.frame().await.transpose()? {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    pub(crate) async fn whole(mut self) -> Result<Whole, NoWayOut> {
        let mut body = Vec::new();
        while let Some(piece) = self.next().await? {
            body.extend_from_slice(&piece);
            if MAX_WHOLE_BYTES < body.len() {
                body.truncate(MAX_WHOLE_BYTES);
                break;
            }
        }
        let Self { status, refused, content_type, .. } = self;
        Ok(Whole { status, refused, content_type, body })
    }
}

/// Posts JSON to a path of the broker.
pub(crate) async fn post(broker: &Path, path: &str, body: Bytes) -> Result<Streamed, NoWayOut> {
    let request = Request::post(path)
        .header(header::HOST, "broker")
        .header(header::CONTENT_TYPE, "application/json")
        .header("anthropic-version", "2023-06-01")
        .body(Full::new(body));
    send(broker, request, path).await
}

/// Gets `url`, in the clear to the broker, which speaks TLS where the address says so.
pub(crate) async fn get(broker: &Path, url: &str) -> Result<Whole, NoWayOut> {
    let host = url.parse::<http::Uri>().ok().and_then(|it| it.authority().map(ToString::to_string));
    let Some(host) = host else { return Err(NoWayOut::BadUrl { url: url.to_owned() }) };
    let request = Request::get(url).header(header::HOST, host).body(Full::default());
    send(broker, request, url).await?.whole().await
}

async fn send(
    broker: &Path,
    request: http::Result<Request<Full<Bytes>>>,
    url: &str,
) -> Result<Streamed, NoWayOut> {
    let request = request.map_err(|_| NoWayOut::BadUrl { url: url.to_owned() })?;
    let stream = UnixStream::connect(broker).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let mut crew = Crew::default();
    crew.spawn("broker", async move {
        // How it ended is seen at the body.
        connection.await.ok();
    });
    let answer: Response<Incoming> = sender.send_request(request).await?;
    let (head, body) = answer.into_parts();
    let text = |name: &str| head.headers.get(name).and_then(|it| it.to_str().ok());
    Ok(Streamed {
        status: head.status.as_u16(),
        refused: text(REFUSED).map(str::to_owned),
        retry_after: text("retry-after").and_then(|it| it.trim().parse().ok()),
        content_type: text("content-type").unwrap_or_default().to_owned(),
        body,
        _connection: crew,
    })
}

/// What an error's body says, in any of the shapes that are around.
pub(crate) fn message_of(body: &str) -> String {
    let json = serde_json::from_str::<serde_json::Value>(body).unwrap_or_default();
    let error = &json["error"];
    let said = error["message"].as_str().or(error.as_str()).or(json["message"].as_str());
    let text = said.unwrap_or(body).trim();
    ngb_core::text::shorten(if text.is_empty() { "no reason given" } else { text }, 500)
}
