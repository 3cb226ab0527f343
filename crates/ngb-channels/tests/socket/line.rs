//! The next socket before the last one is closed.

use futures_util::{FutureExt as _, future::BoxFuture};
use ngb_channels::{
    ChannelError,
    socket::{CUT, Event, Line, Lost, Socket},
};
use tokio_tungstenite::tungstenite::Message;

use crate::stage::{Peer, SECOND, Stage, patient};

impl Stage {
    fn opening(&self) -> BoxFuture<'_, Result<Socket, ChannelError>> {
        let dial = self.dial(patient());
        Box::pin(async move {
            Socket::open(&self.http, dial).await.map_err(|it| it.doing("open a socket"))
        })
    }

    async fn line(&self) -> (Line<'_>, Peer) {
        let (socket, peer) = self.open(patient()).await;
        (Line::new(socket), peer)
    }
}

/// The next text, and the socket that it came on.
async fn text(line: &mut Line<'_>) -> (ngb_channels::socket::Seat, String) {
    match line.next().await.unwrap() {
        (seat, Event::Text(text)) => (seat, text.to_string()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn nothing_is_missed_between_two_sockets() {
    let stage = Stage::new().await;
    let (mut line, mut first) = stage.line().await;
    first.say("a").await;
    let (one, heard) = text(&mut line).await;
    assert_eq!(heard, "a");

    line.replace(stage.opening());
    let mut second = {
        // The line opens it while it listens on the first one.
        let mut next = Box::pin(line.next());
        tokio::select! {
            event = &mut next => panic!("{event:?}"),
            peer = stage.accept() => peer,
        }
    };
    second.say("b").await;
    let (two, heard) = text(&mut line).await;
    assert_eq!(heard, "b");
    assert_ne!(one, two);

    // What was on its way on the first still comes, and is answered there.
    first.say("c").await;
    assert_eq!(text(&mut line).await, (one, "c".into()));
    assert!(line.send_text(one, "ack c".into()).await.unwrap());
    assert!(line.send_text(two, "ack b".into()).await.unwrap());
    assert_eq!(first.hear().await, Message::text("ack c"));
    assert_eq!(second.hear().await, Message::text("ack b"));

    // Then the first one is closed, with a goodbye.
    stage.pass(SECOND * 10);
    let goodbye = tokio::select! {
        event = line.next() => panic!("{event:?}"),
        heard = first.hear() => heard,
    };
    assert!(matches!(goodbye, Message::Close(Some(it)) if u16::from(it.code) == 1000));
    drop(first);
    second.say("d").await;
    assert_eq!(text(&mut line).await, (two, "d".into()));
    assert!(!line.send_text(one, "late".into()).await.unwrap(), "its socket is gone");
}

#[tokio::test]
async fn a_replacement_that_fails_costs_nothing_while_the_socket_works() {
    let stage = Stage::new().await;
    let (mut line, mut peer) = stage.line().await;
    let refused = std::io::Error::other("refused");
    let err = ChannelError {
        doing: "open a socket".into(),
        retry: ngb_channels::Retry::Backoff,
        maybe_done: false,
        moved_to: None,
        source: refused.into(),
    };
    line.replace(async { Err(err) }.boxed());
    assert!(line.next().now_or_never().is_none());
    peer.say("still here").await;
    assert_eq!(text(&mut line).await.1, "still here");
    drop(peer);
    let err = line.next().await.unwrap_err();
    assert!(matches!(&err, Lost::Socket(it) if it.close_code() == Some(CUT)), "{err}");
}

#[tokio::test]
async fn a_socket_that_ends_early_is_replaced_all_the_same() {
    let stage = Stage::new().await;
    let (mut line, first) = stage.line().await;
    line.replace(stage.opening());
    drop(first);
    let accept = async {
        let mut second = stage.accept().await;
        second.say("here").await;
        second
    };
    let (_second, heard) = tokio::join!(accept, text(&mut line));
    assert_eq!(heard.1, "here");
}

#[tokio::test]
async fn the_last_socket_ends_and_no_other_opens() {
    let stage = Stage::new().await;
    let (mut line, first) = stage.line().await;
    line.replace(stage.opening());
    drop(first);
    let refuse = async {
        drop(stage.listener.accept().await.unwrap());
    };
    let ((), lost) = tokio::join!(refuse, line.next());
    assert!(matches!(lost, Err(Lost::Opening(it)) if it.doing == "open a socket"));
}
