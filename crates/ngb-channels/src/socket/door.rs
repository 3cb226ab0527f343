//! Sockets that others open to us: a door is a listener of our own, which lets in who shows what the adapter wants.

use std::{net::SocketAddr, time::Duration};

use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use ngb_core::clock::Clock;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{
    accept_hdr_async_with_config,
    tungstenite::handshake::server::{ErrorResponse, Request, Response},
};
use tracing::{debug, warn};

use super::{Beat, Io, Socket};

/// How long the handshake of who knocks may take.
const KNOCK_LIMIT: Duration = Duration::from_secs(5);

/// Most handshakes at a time; whoever comes besides waits in the system's queue.
const MOST_KNOCKING: usize = 16;

/// Wait after the system could not hand out a connection.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// What somebody shows who wants in.
#[derive(Clone, Debug)]
pub struct Knock {
    /// With the query.
    pub path: String,
    pub headers: reqwest::header::HeaderMap,
}

/// A listener, and those who knock.
pub struct Door<'a> {
    listener: TcpListener,
    clock: Clock,
    beat: Beat,
    max_message_bytes: usize,
    /// None lets in, a status keeps out.
    check: &'a (dyn Fn(&Knock) -> Option<u16> + Sync),
    knocking: FuturesUnordered<BoxFuture<'a, Option<(Socket, Knock)>>>,
}

impl<'a> Door<'a> {
    /// # Errors
    ///
    /// When the address can't be bound.
    pub async fn open(
        addr: SocketAddr,
        clock: Clock,
        beat: Beat,
        max_message_bytes: usize,
        check: &'a (dyn Fn(&Knock) -> Option<u16> + Sync),
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let knocking = FuturesUnordered::new();
        Ok(Self { listener, clock, beat, max_message_bytes, check, knocking })
    }

    /// Where it is.
    pub fn addr(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// The next one who was let in. Nothing is lost when the returned future is dropped.
    pub async fn next(&mut self) -> (Socket, Knock) {
        loop {
            tokio::select! {
                Some(came) = self.knocking.next(), if !self.knocking.is_empty() => {
                    if let Some(socket) = came {
                        return socket;
                    }
                }
                accepted = self.listener.accept(), if self.knocking.len() < MOST_KNOCKING => {
                    match accepted {
                        Ok((stream, _)) => self.greet(stream),
                        Err(err) => {
                            warn!("a door could not take a connection: {err}");
                            self.clock.sleep(ACCEPT_AGAIN).await;
                        }
                    }
                }
            }
        }
    }

    fn greet(&mut self, stream: TcpStream) {
        let (clock, beat, max, check) =
            (self.clock.clone(), self.beat, self.max_message_bytes, self.check);
        self.knocking.push(Box::pin(async move {
            let mut shown = None;
            let limit = clock.clone();
            let greeted = limit.timeout(KNOCK_LIMIT, shake_hands(stream, max, check, &mut shown));
            match greeted.await {
                Ok(Ok(stream)) => Some((Socket::over(stream, clock, beat, max), shown?)),
                Ok(Err(err)) => {
                    debug!("somebody was not let in: {err}");
                    None
                }
                Err(late) => {
                    debug!("somebody knocked and said nothing: {late}");
                    None
                }
            }
        }));
    }
}

async fn shake_hands(
    stream: TcpStream,
    max_message_bytes: usize,
    check: &(dyn Fn(&Knock) -> Option<u16> + Sync),
    shown: &mut Option<Knock>,
) -> Result<tokio_tungstenite::WebSocketStream<Box<dyn Io>>, super::WsError> {
    let io: Box<dyn Io> = Box::new(stream);
    // The type of a refusal is the library's.
    #[expect(clippy::result_large_err, reason = "the library wants it so")]
    let callback = |request: &Request, response: Response| {
        let path = request.uri().path_and_query().map_or("/", |it| it.as_str()).to_owned();
        let knock = Knock { path, headers: request.headers().clone() };
        let Some(status) = check(&knock) else {
            *shown = Some(knock);
            return Ok(response);
        };
        let mut refusal = ErrorResponse::new(None);
        *refusal.status_mut() = status.try_into().unwrap_or(reqwest::StatusCode::FORBIDDEN);
        Err(refusal)
    };
    accept_hdr_async_with_config(io, callback, Some(Socket::config(max_message_bytes))).await
}
