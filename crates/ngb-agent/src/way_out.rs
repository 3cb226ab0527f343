//! HTTP over the broker's socket: the only way out of a sandbox.

use std::{
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, client::conn::http1::SendRequest};
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

/// The way to the broker, which keeps one connection for the next request.
pub(crate) struct WayOut {
    broker: PathBuf,
    idle: Mutex<Option<Connection>>,
}

struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// Drives it; dropping it closes it.
    _driver: Crew,
}

/// An answer whose body is still coming.
pub(crate) struct Streamed<'a> {
    pub(crate) status: u16,
    /// Why the broker itself refused.
    pub(crate) refused: Option<String>,
    /// The wait that the provider names, in seconds.
    pub(crate) retry_after: Option<u64>,
    headers: HeaderMap,
    body: Incoming,
    /// Goes back when the body was read to its end; a body that is dropped before closes it.
    connection: Option<Connection>,
    way_out: &'a WayOut,
}

/// An answer that came whole.
pub(crate) struct Whole {
    pub(crate) status: u16,
    pub(crate) refused: Option<String>,
    pub(crate) content_type: String,
    pub(crate) body: Vec<u8>,
}

impl Streamed<'_> {
    /// The next piece, or `None` at the end.
    ///
    /// # Errors
    ///
    /// When the connection broke before the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, NoWayOut> {
        loop {
            match self.body.frame().await.transpose()? {
                None => {
                    if let Some(it) = self.connection.take() {
                        *self.way_out.idle() = Some(it);
                    }
                    return Ok(None);
                }
                Some(frame) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name).and_then(|it| it.to_str().ok()).map(str::to_owned)
    }

    pub(crate) fn content_type(&self) -> &str {
        self.headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default()
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
        let content_type = self.content_type().to_owned();
        let Self { status, refused, .. } = self;
        Ok(Whole { status, refused, content_type, body })
    }
}

impl WayOut {
    pub(crate) fn new(broker: PathBuf) -> Self {
        Self { broker, idle: Mutex::default() }
    }

    /// Posts JSON to a path of the broker.
    ///
    /// # Errors
    ///
    /// When the socket is not there or breaks before the answer's head.
    pub(crate) async fn post(&self, path: &str, body: Bytes) -> Result<Streamed<'_>, NoWayOut> {
        let request = Request::post(path)
            .header(header::HOST, "broker")
            .header(header::CONTENT_TYPE, "application/json")
            .header("anthropic-version", "2023-06-01")
            .body(Full::new(body));
        self.send(request, path).await
    }

    /// Gets `url`, in the clear to the broker, which speaks TLS where the address says so.
    ///
    /// # Errors
    ///
    /// When `url` is no address, or the socket breaks before the end.
    pub(crate) async fn get(&self, url: &str) -> Result<Whole, NoWayOut> {
        let request = Request::get(url).header(header::HOST, host_of(url)?).body(Full::default());
        self.send(request, url).await?.whole().await
    }

    /// Posts JSON to `url`, as [`WayOut::get`] gets it.
    ///
    /// # Errors
    ///
    /// When `url` is no address, or the socket breaks before the answer's head.
    pub(crate) async fn post_out(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        body: Bytes,
    ) -> Result<Streamed<'_>, NoWayOut> {
        let mut request = Request::post(url)
            .header(header::HOST, host_of(url)?)
            .header(header::CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        self.send(request.body(Full::new(body)), url).await
    }

    fn idle(&self) -> MutexGuard<'_, Option<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send(
        &self,
        request: http::Result<Request<Full<Bytes>>>,
        url: &str,
    ) -> Result<Streamed<'_>, NoWayOut> {
        let mut request = request.map_err(|_| NoWayOut::BadUrl { url: url.to_owned() })?;
        let kept = self.idle().take();
        if let Some(mut connection) = kept
            && connection.sender.ready().await.is_ok()
        {
            match connection.sender.try_send_request(request).await {
                Ok(answer) => return Ok(self.streamed(answer, connection)),
                Err(mut err) => match err.take_message() {
                    // The broker had closed it, and has seen nothing of this.
                    Some(unsent) => request = unsent,
                    None => return Err(err.into_error().into()),
                },
            }
        }
        let mut connection = self.connect().await?;
        let answer = connection.sender.send_request(request).await?;
        Ok(self.streamed(answer, connection))
    }

    async fn connect(&self) -> Result<Connection, NoWayOut> {
        let stream = UnixStream::connect(&self.broker).await?;
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let mut driver = Crew::default();
        driver.spawn("broker", async move {
            // How it ended is seen at the body.
            connection.await.ok();
        });
        Ok(Connection { sender, _driver: driver })
    }

    fn streamed(&self, answer: Response<Incoming>, connection: Connection) -> Streamed<'_> {
        let (head, body) = answer.into_parts();
        let text = |name: &str| head.headers.get(name).and_then(|it| it.to_str().ok());
        Streamed {
            status: head.status.as_u16(),
            refused: text(REFUSED).map(str::to_owned),
            retry_after: text("retry-after").and_then(|it| it.trim().parse().ok()),
            headers: head.headers,
            body,
            connection: Some(connection),
            way_out: self,
        }
    }
}

fn host_of(url: &str) -> Result<String, NoWayOut> {
    let host = url.parse::<http::Uri>().ok().and_then(|it| it.authority().map(ToString::to_string));
    host.ok_or_else(|| NoWayOut::BadUrl { url: url.to_owned() })
}

/// What an error's body says, in any of the shapes that are around.
pub(crate) fn message_of(body: &str) -> String {
    let json = serde_json::from_str::<serde_json::Value>(body).unwrap_or_default();
    let error = &json["error"];
    let said = error["message"].as_str().or(error.as_str()).or(json["message"].as_str());
    let text = said.unwrap_or(body).trim();
    ngb_core::text::shorten(if text.is_empty() { "no reason given" } else { text }, 500)
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::UnixListener,
    };

    use super::*;

    /// Answers `count` requests on one connection, then closes it.
    async fn serve(listener: &UnixListener, count: usize) {
        let (mut stream, _) = listener.accept().await.unwrap();
        for _ in 0..count {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\nhello") {
                head.push(stream.read_u8().await.unwrap());
            }
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_connection_is_used_again_until_the_broker_closes_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("broker.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let way_out = WayOut::new(path);
        let asked = async {
            for _ in 0..3 {
                let answer = way_out.post("/x", Bytes::from_static(b"hello")).await.unwrap();
                assert_eq!(answer.whole().await.unwrap().body, b"hi");
            }
            // One that is not read to its end is of no use to the next.
            drop(way_out.post("/x", Bytes::from_static(b"hello")).await.unwrap());
            way_out.post("/x", Bytes::from_static(b"hello")).await.unwrap().whole().await.unwrap();
        };
        let served = async {
            for count in [2, 2, 1] {
                serve(&listener, count).await;
            }
        };
        tokio::join!(asked, served);
    }
}
