//! Connections: how many at a time, how long a request's head may take, and their end.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::Router;
use futures_util::future::BoxFuture;
use http::Request;
use hyper::{
    body::Incoming,
    rt::{Sleep, Timer},
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use ngb_core::{clock::Clock, tasks::Crew};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::caller::{Caller, Subnet};

/// Connections that one listener serves at a time; the next ones wait in the kernel's queue. Each costs a task and a
/// read buffer, some 20 KiB.
pub(crate) const MAX_CONNECTIONS: usize = 512;

/// Longest that the head of a request may take to arrive, and that a connection may wait for its next request.
pub(crate) const HEAD_LIMIT: Duration = Duration::from_secs(10);

/// Largest head of a request, in bytes. Browsers and platforms stay below 16 KiB.
const MAX_HEAD_BYTES: usize = 32 * 1024;

/// Pause after `accept` failed, which it does when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where connections come from.
pub(crate) trait Listener {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection, and who is at its other end where that has an address.
    fn next(&self) -> impl Future<Output = io::Result<(Self::Stream, Option<SocketAddr>)>> + Send;
}

impl Listener for TcpListener {
    type Stream = tokio::net::TcpStream;

    async fn next(&self) -> io::Result<(Self::Stream, Option<SocketAddr>)> {
        let (stream, from) = self.accept().await?;
        // Answers are small and somebody waits for each.
        if let Err(err) = stream.set_nodelay(true) {
            debug!("could not set TCP_NODELAY: {err}");
        }
        Ok((stream, Some(from)))
    }
}

impl Listener for UnixListener {
    type Stream = tokio::net::UnixStream;

    async fn next(&self) -> io::Result<(Self::Stream, Option<SocketAddr>)> {
        Ok((self.accept().await?.0, None))
    }
}

/// What all listeners share.
#[derive(Clone, Debug)]
pub(crate) struct Serving {
    pub(crate) clock: Clock,
    /// Proxies whose word on who calls counts.
    pub(crate) proxies: Arc<[Subnet]>,
    pub(crate) stop: CancellationToken,
}

/// Serves until `stop` fires and the requests that are under way have ended.
pub(crate) async fn serve(listener: impl Listener, router: Router, serving: &Serving) {
    let Serving { clock, proxies, stop } = serving;
    let service = TowerToHyperService::new(router);
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut crew = Crew::default();
    loop {
        let accepted = async {
            let place = places.clone().acquire_owned().await.expect("nobody closes it");
            (listener.next().await, place)
        };
        let (accepted, place) = tokio::select! {
            accepted = accepted => accepted,
            () = stop.cancelled() => break,
        };
        let (stream, from) = match accepted {
            Ok(it) => it,
            Err(err) => {
                warn!("could not take a connection: {err}");
                clock.sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (service, proxies) = (service.clone(), proxies.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            if let Some(from) = from {
                let caller = Caller::find(from.ip(), request.headers(), &proxies);
                request.extensions_mut().insert(caller);
            }
            service.call(request)
        });
        let connection = http1::Builder::new()
            .timer(ClockTimer(clock.clone()))
            .header_read_timeout(HEAD_LIMIT)
            .max_buf_size(MAX_HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let stop = stop.clone();
        crew.spawn("connection", async move {
            let mut connection = std::pin::pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            // A peer that went away, or never spoke HTTP: its own affair.
            if let Err(err) = ended {
                debug!("a connection ended: {err}");
            }
            drop(place);
        });
    }
    drop(listener);
    crew.finish().await;
}

/// hyper's time is ours, so that a test can move it.
#[derive(Clone, Debug)]
struct ClockTimer(Clock);

impl Timer for ClockTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        let clock = self.0.clone();
        Box::pin(Nap(Mutex::new(Box::pin(async move { clock.sleep(duration).await }))))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        self.sleep(deadline.saturating_duration_since(self.now()))
    }
}

/// The lock is never held: it makes the future `Sync`, as hyper wants it.
struct Nap(Mutex<BoxFuture<'static, ()>>);

impl Future for Nap {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let nap = self.0.get_mut().expect("nobody panics while holding it");
        nap.as_mut().poll(cx)
    }
}

impl Sleep for Nap {}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use ngb_core::clock::Timestamp;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
    };

    use super::*;

    struct Stage {
        addr: SocketAddr,
        hand: tokio::sync::watch::Sender<Timestamp>,
        stop: CancellationToken,
        crew: Crew,
    }

    async fn stage() -> Stage {
        let (hand, clock) = Clock::manual(Timestamp(0));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let mut crew = Crew::default();
        let end = stop.clone();
        crew.spawn("server", async move {
            let router = Router::new().route("/", get(async || "hello"));
            let proxies = [].into();
            serve(listener, router, &Serving { clock, proxies, stop: end }).await;
        });
        Stage { addr, hand, stop, crew }
    }

    async fn ask(stream: &mut TcpStream) -> String {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"hello") {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "{answer:?}");
        }
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn a_head_that_never_ends_is_cut_off() {
        let it = stage().await;
        let mut slow = TcpStream::connect(it.addr).await.unwrap();
        slow.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n").await.unwrap();
        // Its timer runs once it was read; another connection that is answered is no proof of that, so time is moved
        // until the end is seen.
        let mut rest = Vec::new();
        let mut read = std::pin::pin!(slow.read_to_end(&mut rest));
        loop {
            it.hand.send_modify(|now| *now = *now + HEAD_LIMIT);
            tokio::select! {
                biased;
                read = &mut read => {
                    read.unwrap();
                    break;
                }
                () = tokio::task::yield_now() => (),
            }
        }
        let mut good = TcpStream::connect(it.addr).await.unwrap();
        assert!(ask(&mut good).await.starts_with("HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn connections_beyond_the_most_wait_for_a_place() {
        let it = stage().await;
        let mut open = Vec::new();
        for _ in 0..MAX_CONNECTIONS {
            let mut stream = TcpStream::connect(it.addr).await.unwrap();
            ask(&mut stream).await;
            open.push(stream);
        }
        let mut next = TcpStream::connect(it.addr).await.unwrap();
        let mut asked = tokio_test::task::spawn(ask(&mut next));
        assert!(asked.poll().is_pending());
        open.pop();
        assert!(asked.await.contains("200 OK"));
    }

    #[tokio::test]
    async fn the_end_waits_for_no_idle_connection() {
        let mut it = stage().await;
        let mut idle = TcpStream::connect(it.addr).await.unwrap();
        ask(&mut idle).await;
        it.stop.cancel();
        it.crew.finish().await;
        assert!(TcpStream::connect(it.addr).await.is_err());
    }
}
