//! A server that takes WebSockets, and a client whose clock moves by hand.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use ngb_channels::{
    http::Http,
    socket::{Beat, Dial, Socket, SocketError},
};
use ngb_core::clock::{Clock, Timestamp};
use reqwest::header::HeaderMap;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_tungstenite::{WebSocketStream, accept_async, tungstenite::Message};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) struct Stage {
    pub(crate) listener: TcpListener,
    pub(crate) http: Http,
    hand: watch::Sender<Timestamp>,
}

/// The server's end of a socket.
pub(crate) struct Peer(pub(crate) WebSocketStream<TcpStream>);

impl Stage {
    pub(crate) async fn new() -> Self {
        _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (hand, clock) = Clock::manual(Timestamp(1_000_000));
        let http = Http::new(reqwest::ClientBuilder::new, None, clock).unwrap();
        Self { listener, http, hand }
    }

    pub(crate) fn dial(&self, beat: Beat) -> Dial {
        Dial {
            url: format!("ws://{}/socket?a=b", self.listener.local_addr().unwrap()),
            headers: HeaderMap::new(),
            subprotocol: None,
            max_message_bytes: 1 << 20,
            beat,
        }
    }

    /// Both ends of one.
    pub(crate) async fn open(&self, beat: Beat) -> (Socket, Peer) {
        let opening = Socket::open(&self.http, self.dial(beat));
        let (socket, peer) = tokio::join!(opening, self.accept());
        (socket.unwrap(), peer)
    }

    pub(crate) async fn accept(&self) -> Peer {
        let (stream, _) = self.listener.accept().await.unwrap();
        Peer(accept_async(stream).await.unwrap())
    }

    /// Answers the handshake with these bytes.
    pub(crate) async fn answered(&self, answer: &str) -> Result<Socket, SocketError> {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let refuse = async {
            let (mut stream, _) = self.listener.accept().await.unwrap();
            let mut head = [0; 4096];
            assert!(0 < stream.read(&mut head).await.unwrap());
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream
        };
        let opening = Socket::open(&self.http, self.dial(patient()));
        tokio::join!(opening, refuse).0
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.hand.send_modify(|now| *now = *now + time);
    }
}

impl Peer {
    pub(crate) async fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    pub(crate) async fn hear(&mut self) -> Message {
        self.0.next().await.unwrap().unwrap()
    }
}

/// A beat that no test waits for.
pub(crate) fn patient() -> Beat {
    Beat::Theirs { patience: SECOND * 3600 }
}
