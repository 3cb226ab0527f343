//! One WebSocket, polled by its adapter: frames, heartbeat, and how it ended.
//!
//! It is opened as a request of [`Http`] that changes its protocol, so that proxy, certificates and resolver are those
//! of every other request. Nothing runs beside whoever calls [`Socket::next`].

mod door;
mod line;

use std::{fmt, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _, future::BoxFuture};
use ngb_core::clock::{Clock, Timestamp};
use reqwest::header::{
    CONNECTION, HeaderMap, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error as WsError, Message, Utf8Bytes,
        error::{CapacityError, ProtocolError},
        handshake::{client::generate_key, derive_accept_key},
        protocol::{CloseFrame, Role, WebSocketConfig},
    },
};

pub use self::{
    door::{Door, Knock},
    line::{Line, Lost, Seat},
};
use crate::{
    ChannelError, Retry,
    http::{Http, HttpError},
};

/// How long the handshake may take, with name, proxy and TLS.
const OPEN_LIMIT: Duration = Duration::from_secs(20);

/// How long one frame may take to go out; a line that takes nothing for that long is dead.
const SEND_LIMIT: Duration = Duration::from_secs(10);

/// How long the other side has to answer a close; some never do.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// Room for reading, in bytes. The library's 128 KiB are for servers, and eight accounts would pay a megabyte.
const READ_BUFFER_BYTES: usize = 8 << 10;

/// Longest refusal of a handshake that is kept, in bytes.
const MAX_REFUSAL_BYTES: usize = 4 << 10;

/// A close without a code (RFC 6455, 7.4.1).
pub const NO_CODE: u16 = 1005;

/// An end without a close (RFC 6455, 7.4.1).
pub const CUT: u16 = 1006;

/// What to open.
#[derive(Clone, Debug)]
pub struct Dial {
    /// `ws`, `wss`, `http` or `https`. An address that a platform handed out goes through [`Dial::handed`] first.
    pub url: String,
    pub headers: HeaderMap,
    pub subprotocol: Option<&'static str>,
    /// Longest message that is taken, in bytes; a longer one ends the socket.
    pub max_message_bytes: usize,
    pub beat: Beat,
}

/// How both sides know that the other one lives. Any frame is a sign of life, and only a sign that was asked for (or
/// promised) can be missed: silence by itself is not death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// We ping, and something must come within `patience`.
    Ping { every: Duration, patience: Duration },
    /// [`Event::BeatDue`] comes, the adapter sends the platform's own frame, and something must come within `patience`.
    Own { every: Duration, patience: Duration },
    /// The platform promised to say something at least this often.
    Theirs { patience: Duration },
}

/// Something that came, or is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Text(Utf8Bytes),
    Binary(Bytes),
    /// A ping or a pong: nothing but a sign of life.
    Alive,
    /// The adapter is to send its heartbeat.
    BeatDue,
}

/// A socket could not be opened, or is over.
#[derive(Debug, Error)]
pub enum SocketError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("the server refused a socket with {status}: {body}")]
    Refused { status: u16, retry_after: Option<Duration>, body: String },
    #[error("the server's handshake has a wrong `{0}`")]
    Handshake(&'static str),
    /// The code is the platform's, [`NO_CODE`] or [`CUT`].
    #[error("the socket was closed with {code}{}{reason}", if reason.is_empty() { "" } else { ": " })]
    Closed { code: u16, reason: String },
    #[error("nothing was heard for {0:?}, so the socket is dead")]
    Silent(Duration),
    #[error("a frame could not be sent within {SEND_LIMIT:?}")]
    Stuck,
    #[error("a frame is longer than {0} bytes")]
    TooLong(usize),
    #[error("the other side broke the WebSocket protocol")]
    Protocol(#[source] Box<WsError>),
}

impl SocketError {
    /// The code that the other side closed with.
    pub fn close_code(&self) -> Option<u16> {
        match self {
            Self::Closed { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// What next, as far as HTTP and WebSocket know; what a platform's own codes mean is its adapter's.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Http(err) => err.retry(),
            Self::Refused { retry_after: Some(wait), .. } => Retry::After(*wait),
            Self::Refused { status: 401 | 403, .. } => Retry::Never,
            _ => Retry::Backoff,
        }
    }

    /// The same for whoever asked.
    pub fn doing(self, doing: impl Into<String>) -> ChannelError {
        let retry = self.retry();
        ChannelError {
            doing: doing.into(),
            retry,
            maybe_done: false,
            moved_to: None,
            source: Box::new(self),
        }
    }
}

impl Dial {
    /// An address that came in an answer, if it may be followed: an encrypted one to a public name, or one on the host
    /// of `base`, the address in the settings.
    ///
    /// # Errors
    ///
    /// [`HttpError::Unfit`] with the reason.
    pub fn handed(url: &str, base: &str) -> Result<String, HttpError> {
        crate::http::handed(url, base).map(String::from)
    }
}

/// What a socket runs over: a request that changed its protocol, or a connection that somebody else opened.
trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

impl fmt::Debug for dyn Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("connection")
    }
}

/// An open WebSocket.
#[derive(Debug)]
pub struct Socket {
    stream: WebSocketStream<Box<dyn Io>>,
    clock: Clock,
    beat: Beat,
    max_message_bytes: usize,
    heard_at: Timestamp,
    /// When we last asked for a sign of life, or began to count.
    beat_at: Timestamp,
    /// The first beat that nothing followed yet.
    asked_at: Option<Timestamp>,
}

impl Socket {
    /// # Errors
    ///
    /// When the server can't be reached or doesn't want to.
    pub async fn open(http: &Http, dial: Dial) -> Result<Self, SocketError> {
        let opened = http.clock.timeout(OPEN_LIMIT, Self::handshake(http, dial)).await;
        opened.map_err(HttpError::from)?
    }

    async fn handshake(http: &Http, dial: Dial) -> Result<Self, SocketError> {
        let key = generate_key();
        // reqwest knows a WebSocket's address only by its other name.
        let url = match dial.url.split_once("://") {
            Some(("ws", rest)) => format!("http://{rest}"),
            Some(("wss", rest)) => format!("https://{rest}"),
            _ => dial.url,
        };
        let mut request = http
            .get(url)
            .headers(dial.headers)
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, &key);
        if let Some(name) = dial.subprotocol {
            request = request.header(SEC_WEBSOCKET_PROTOCOL, name);
        }
        let response = http.send(request).await?;
        let status = response.status().as_u16();
        if status != 101 {
            let retry_after = http.retry_after(response.headers());
            let body = http.read(response, MAX_REFUSAL_BYTES).await.unwrap_or_default();
            let body = String::from_utf8_lossy(&body).trim().to_owned();
            return Err(SocketError::Refused { status, retry_after, body });
        }
        let said = |name| response.headers().get(name).and_then(|it| it.to_str().ok());
        if said(SEC_WEBSOCKET_ACCEPT) != Some(derive_accept_key(key.as_bytes()).as_str()) {
            return Err(SocketError::Handshake("Sec-WebSocket-Accept"));
        }
        // A server may leave the subprotocol unsaid; it may not pick one that was not offered.
        if said(SEC_WEBSOCKET_PROTOCOL).is_some_and(|it| Some(it) != dial.subprotocol) {
            return Err(SocketError::Handshake("Sec-WebSocket-Protocol"));
        }
        let upgraded = response.upgrade().await.map_err(|it| http.lost(it))?;
        let config = Self::config(dial.max_message_bytes);
        let io: Box<dyn Io> = Box::new(upgraded);
        let stream = WebSocketStream::from_raw_socket(io, Role::Client, Some(config)).await;
        Ok(Self::over(stream, http.clock.clone(), dial.beat, dial.max_message_bytes))
    }

    fn config(max_message_bytes: usize) -> WebSocketConfig {
        WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(max_message_bytes))
            .max_frame_size(Some(max_message_bytes))
    }

    fn over(
        stream: WebSocketStream<Box<dyn Io>>,
        clock: Clock,
        beat: Beat,
        max_message_bytes: usize,
    ) -> Self {
        let now = clock.now();
        Self { stream, clock, beat, max_message_bytes, heard_at: now, beat_at: now, asked_at: None }
    }

    /// The platform named another interval (Discord's hello, Feishu's pong).
    pub fn set_beat(&mut self, beat: Beat) {
        self.beat = beat;
        self.beat_at = self.clock.now();
        self.asked_at = None;
    }

    /// What comes next. Nothing is lost when the returned future is dropped.
    ///
    /// # Errors
    ///
    /// When the socket is over; then it stays so.
    pub async fn next(&mut self) -> Result<Event, SocketError> {
        loop {
            let (beat_at, dead_at) = self.deadlines();
            let clock = self.clock.clone();
            let frame = tokio::select! {
                biased;
                frame = self.stream.next() => frame,
                () = at(&clock, dead_at) => {
                    // What is here already counts: the machine may have slept, or we were busy.
                    tokio::task::yield_now().await;
                    match self.stream.next().now_or_never() {
                        Some(frame) => frame,
                        None => {
                            let silence = self.clock.now().since(self.heard_at);
                            return Err(SocketError::Silent(silence));
                        }
                    }
                }
                () = at(&clock, beat_at) => {
                    self.beat_at = self.clock.now();
                    self.asked_at = self.asked_at.or(Some(self.beat_at));
                    match self.beat {
                        Beat::Ping { .. } => self.write(Message::Ping(Bytes::new())).await?,
                        _ => return Ok(Event::BeatDue),
                    }
                    continue;
                }
            };
            self.heard_at = self.clock.now();
            self.asked_at = None;
            if let Some(event) = self.read(frame)? {
                return Ok(event);
            }
        }
    }

    /// When the next beat is due, and when the other side is to be taken for dead.
    fn deadlines(&self) -> (Option<Timestamp>, Option<Timestamp>) {
        match self.beat {
            Beat::Ping { every, patience } | Beat::Own { every, patience } => {
                (Some(self.beat_at + every), self.asked_at.map(|it| it + patience))
            }
            Beat::Theirs { patience } => (None, Some(self.heard_at + patience)),
        }
    }

    fn read(&self, frame: Option<Result<Message, WsError>>) -> Result<Option<Event>, SocketError> {
        let cut = || SocketError::Closed { code: CUT, reason: String::new() };
        Ok(match frame.ok_or_else(cut)?.map_err(|it| self.ended(it))? {
            Message::Text(text) => Some(Event::Text(text)),
            Message::Binary(bytes) => Some(Event::Binary(bytes)),
            Message::Ping(_) | Message::Pong(_) => Some(Event::Alive),
            Message::Close(Some(CloseFrame { code, reason })) => {
                let reason = reason.to_string();
                return Err(SocketError::Closed { code: code.into(), reason });
            }
            Message::Close(None) => {
                return Err(SocketError::Closed { code: NO_CODE, reason: String::new() });
            }
            Message::Frame(_) => None,
        })
    }

    /// # Errors
    ///
    /// When the socket is over.
    pub async fn send_text(&mut self, text: impl Into<String>) -> Result<(), SocketError> {
        self.write(Message::text(text.into())).await
    }

    /// # Errors
    ///
    /// When the socket is over.
    pub async fn send_binary(&mut self, bytes: impl Into<Bytes>) -> Result<(), SocketError> {
        self.write(Message::binary(bytes)).await
    }

    async fn write(&mut self, message: Message) -> Result<(), SocketError> {
        let sent = self.clock.timeout(SEND_LIMIT, self.stream.send(message)).await;
        sent.map_err(|_| SocketError::Stuck)?.map_err(|it| self.ended(it))
    }

    /// Says goodbye with this code and waits a moment for the answer. What still comes is dropped.
    pub async fn close(mut self, code: u16, reason: &str) {
        let frame = CloseFrame { code: code.into(), reason: reason.to_owned().into() };
        let goodbye = async {
            if let Err(err) = self.stream.close(Some(frame)).await {
                tracing::debug!("the socket was over already: {err}");
            }
            while let Some(Ok(_)) = self.stream.next().await {}
        };
        if let Err(late) = self.clock.timeout(CLOSE_LIMIT, goodbye).await {
            tracing::debug!("nobody answered a close: {late}");
        }
    }

    fn ended(&self, err: WsError) -> SocketError {
        match err {
            WsError::Capacity(CapacityError::MessageTooLong { .. }) => {
                SocketError::TooLong(self.max_message_bytes)
            }
            WsError::ConnectionClosed
            | WsError::AlreadyClosed
            | WsError::Protocol(
                ProtocolError::ResetWithoutClosingHandshake | ProtocolError::SendAfterClosing,
            ) => SocketError::Closed { code: CUT, reason: String::new() },
            WsError::Io(err) => SocketError::Closed { code: CUT, reason: err.to_string() },
            other => SocketError::Protocol(Box::new(other)),
        }
    }
}

/// Returns at that time; never, without one.
pub(crate) async fn at(clock: &Clock, when: Option<Timestamp>) {
    match when {
        Some(when) => clock.sleep_until(when).await,
        None => std::future::pending().await,
    }
}

/// The end of the work that runs beside a socket; never, without one.
pub(crate) async fn pending<T>(work: &mut Option<BoxFuture<'_, T>>) -> T {
    match work {
        Some(it) => it.await,
        None => std::future::pending().await,
    }
}
