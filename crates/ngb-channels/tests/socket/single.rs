//! One socket: what comes, what is sent, and every way in which it ends.

use bytes::Bytes;
use futures_util::{FutureExt as _, SinkExt as _};
use ngb_channels::{
    Retry,
    socket::{Beat, CUT, Dial, Event, NO_CODE, Socket, SocketError},
};
use reqwest::header::{HeaderMap, HeaderValue};
use tokio::io::AsyncReadExt as _;
use tokio_tungstenite::{
    accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{Request, Response},
        protocol::CloseFrame,
    },
};

use crate::stage::{SECOND, Stage, patient};

#[tokio::test]
async fn frames_go_both_ways() {
    let stage = Stage::new().await;
    let (mut socket, mut peer) = stage.open(patient()).await;
    peer.say("hello 😀").await;
    peer.0.send(Message::binary(vec![0, 255])).await.unwrap();
    peer.0.send(Message::Ping(Bytes::from_static(b"p"))).await.unwrap();
    assert_eq!(socket.next().await.unwrap(), Event::Text("hello 😀".into()));
    assert_eq!(socket.next().await.unwrap(), Event::Binary(Bytes::from_static(&[0, 255])));
    assert_eq!(socket.next().await.unwrap(), Event::Alive);
    socket.send_text("mine").await.unwrap();
    socket.send_binary(vec![7]).await.unwrap();
    let heard = [peer.hear().await, peer.hear().await, peer.hear().await];
    let pong = Message::Pong(Bytes::from_static(b"p"));
    for said in [pong, Message::text("mine"), Message::binary(vec![7])] {
        assert!(heard.contains(&said), "{heard:?}");
    }
}

#[tokio::test]
async fn headers_and_subprotocol_arrive() {
    let stage = Stage::new().await;
    let headers = HeaderMap::from_iter([(
        reqwest::header::AUTHORIZATION,
        HeaderValue::from_static("Bearer t"),
    )]);
    let dial = Dial { headers, subprotocol: Some("v2"), ..stage.dial(patient()) };
    let accept = async {
        let (stream, _) = stage.listener.accept().await.unwrap();
        #[expect(clippy::result_large_err, reason = "the library's own type")]
        let check = |request: &Request, mut response: Response| {
            let said = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
            assert_eq!(said("authorization"), "Bearer t");
            assert_eq!(said("sec-websocket-protocol"), "v2");
            assert_eq!(request.uri().to_string(), "/socket?a=b");
            let picked = HeaderValue::from_static("v2");
            response.headers_mut().insert("sec-websocket-protocol", picked);
            Ok(response)
        };
        accept_hdr_async(stream, check).await.unwrap()
    };
    let (socket, _peer) = tokio::join!(Socket::open(&stage.http, dial), accept);
    socket.unwrap();
}

#[tokio::test]
async fn a_close_is_handed_on_with_its_code() {
    #[rustfmt::skip]
    let table = [
        (Some((4009, "session timed out")), 4009,    "the socket was closed with 4009: session timed out"),
        (Some((1000, "")),                  1000,    "the socket was closed with 1000"),
        (None,                              NO_CODE, "the socket was closed with 1005"),
    ];
    for (frame, code, text) in table {
        let stage = Stage::new().await;
        let (mut socket, mut peer) = stage.open(patient()).await;
        let frame =
            frame.map(|(code, reason)| CloseFrame { code: code.into(), reason: reason.into() });
        peer.0.close(frame).await.unwrap();
        let err = socket.next().await.unwrap_err();
        assert_eq!((err.close_code(), err.to_string().as_str()), (Some(code), text));
        assert_eq!(err.retry(), Retry::Backoff);
    }
}

#[tokio::test]
async fn a_cut_is_1006() {
    let stage = Stage::new().await;
    let (mut socket, mut peer) = stage.open(patient()).await;
    peer.say("last words").await;
    drop(peer);
    assert_eq!(socket.next().await.unwrap(), Event::Text("last words".into()));
    assert_eq!(socket.next().await.unwrap_err().close_code(), Some(CUT));
    let again = socket.next().await.unwrap_err();
    assert_eq!(again.close_code(), Some(CUT), "it stays over: {again}");
}

#[tokio::test]
async fn a_huge_frame_ends_the_socket_and_is_not_read() {
    let stage = Stage::new().await;
    let dial = Dial { max_message_bytes: 1000, ..stage.dial(patient()) };
    let (socket, mut peer) = tokio::join!(Socket::open(&stage.http, dial), stage.accept());
    let mut socket = socket.unwrap();
    peer.say(&"x".repeat(1000)).await;
    peer.say(&"x".repeat(1001)).await;
    assert!(matches!(socket.next().await, Ok(Event::Text(it)) if it.len() == 1000));
    assert!(matches!(socket.next().await, Err(SocketError::TooLong(1000))));
}

#[tokio::test]
async fn what_is_no_websocket_is_a_protocol_error() {
    use tokio::io::AsyncWriteExt as _;
    let stage = Stage::new().await;
    let (mut socket, mut peer) = stage.open(patient()).await;
    peer.0.get_mut().write_all(b"\x83\x00").await.unwrap();
    let err = socket.next().await.unwrap_err();
    assert!(matches!(err, SocketError::Protocol(_)), "{err:?}");
}

#[tokio::test]
async fn a_refused_handshake_says_what_next() {
    #[rustfmt::skip]
    let table = [
        ("401 Unauthorized\r\ncontent-length: 9\r\n\r\nbad token",   Retry::Never,             "the server refused a socket with 401: bad token"),
        ("503 No\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n",    Retry::After(SECOND * 7), "the server refused a socket with 503: "),
        ("200 OK\r\ncontent-length: 4\r\n\r\npage",                  Retry::Backoff,           "the server refused a socket with 200: page"),
        ("101 X\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: x\r\n\r\n", Retry::Backoff, "the server's handshake has a wrong `Sec-WebSocket-Accept`"),
    ];
    for (answer, retry, text) in table {
        let stage = Stage::new().await;
        let err = stage.answered(&format!("HTTP/1.1 {answer}")).await.unwrap_err();
        assert_eq!((err.retry(), err.to_string().as_str()), (retry, text));
    }
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let stage = Stage::new().await;
    let dial = stage.dial(patient());
    let mut opening = tokio_test::task::spawn(Socket::open(&stage.http, dial));
    assert!(opening.poll().is_pending());
    let silent = stage.listener.accept().await.unwrap();
    stage.pass(SECOND * 20);
    let Err(err) = opening.await else { panic!("it opened") };
    assert_eq!(err.to_string(), "no answer within 20s");
    drop(silent);
}

/// The peer's machine is gone: what is sent to it is lost, and nothing comes back.
#[tokio::test]
async fn a_half_open_peer_is_found_by_a_ping_it_does_not_answer() {
    let stage = Stage::new().await;
    let ping = Beat::Ping { every: SECOND * 30, patience: SECOND * 10 };
    let (mut socket, mut peer) = stage.open(ping).await;
    let mut next = tokio_test::task::spawn(socket.next());
    assert!(next.poll().is_pending());
    stage.pass(SECOND * 29);
    assert!(next.poll().is_pending(), "silence alone is not death");
    stage.pass(SECOND);
    assert!(next.poll().is_pending());
    let mut frame = [0; 2];
    peer.0.get_mut().read_exact(&mut frame).await.unwrap();
    assert_eq!(frame[0], 0x89, "a ping");
    stage.pass(SECOND * 9);
    assert!(next.poll().is_pending());
    stage.pass(SECOND);
    let err = next.await.unwrap_err();
    assert_eq!(err.to_string(), "nothing was heard for 40s, so the socket is dead");
}

#[tokio::test]
async fn any_frame_answers_a_ping() {
    let stage = Stage::new().await;
    let ping = Beat::Ping { every: SECOND * 30, patience: SECOND * 10 };
    let (mut socket, mut peer) = stage.open(ping).await;
    for _ in 0..3 {
        let mut next = tokio_test::task::spawn(socket.next());
        assert!(next.poll().is_pending());
        stage.pass(SECOND * 30);
        assert!(next.poll().is_pending());
        assert!(matches!(peer.hear().await, Message::Ping(_)));
        peer.say("busy").await;
        // What is here counts, though the patience is over.
        stage.pass(SECOND * 10);
        let event = next.await.unwrap();
        assert!(matches!(event, Event::Alive | Event::Text(_)), "{event:?}");
        while socket.next().now_or_never().is_some() {}
    }
}

#[tokio::test]
async fn the_platforms_own_heartbeat_is_the_adapters() {
    let stage = Stage::new().await;
    let own = Beat::Own { every: SECOND * 40, patience: SECOND * 60 };
    let (mut socket, mut peer) = stage.open(own).await;
    stage.pass(SECOND * 40);
    assert_eq!(socket.next().await.unwrap(), Event::BeatDue);
    socket.send_text("beat").await.unwrap();
    assert_eq!(peer.hear().await, Message::text("beat"));
    peer.say("ack").await;
    assert_eq!(socket.next().await.unwrap(), Event::Text("ack".into()));
    // The hello named another interval.
    socket.set_beat(Beat::Own { every: SECOND * 5, patience: SECOND * 60 });
    stage.pass(SECOND * 5);
    assert_eq!(socket.next().await.unwrap(), Event::BeatDue);
    stage.pass(SECOND * 60);
    let err = socket.next().await.unwrap_err();
    assert!(matches!(err, SocketError::Silent(_)), "{err:?}");
}

#[tokio::test]
async fn a_promised_sign_of_life_is_missed() {
    let stage = Stage::new().await;
    let (mut socket, mut peer) = stage.open(Beat::Theirs { patience: SECOND * 90 }).await;
    peer.say("meta").await;
    socket.next().await.unwrap();
    stage.pass(SECOND * 90);
    assert!(matches!(socket.next().await, Err(SocketError::Silent(_))));
}

#[tokio::test]
async fn a_dropped_wait_loses_nothing() {
    let stage = Stage::new().await;
    let (mut socket, mut peer) = stage.open(patient()).await;
    assert!(socket.next().now_or_never().is_none());
    for count in 0..100 {
        peer.say(&count.to_string()).await;
    }
    let mut heard = Vec::new();
    while heard.len() < 100 {
        // As often dropped as awaited.
        let event = match socket.next().now_or_never() {
            Some(event) => event,
            None => socket.next().await,
        };
        let Event::Text(text) = event.unwrap() else { panic!("only texts were sent") };
        heard.push(text.parse::<usize>().unwrap());
    }
    assert_eq!(heard, (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_close_does_not_wait_for_ever() {
    let stage = Stage::new().await;
    let (socket, mut peer) = stage.open(patient()).await;
    let mut closing = tokio_test::task::spawn(socket.close(1000, "bye"));
    assert!(closing.poll().is_pending());
    let mut head = [0; 1];
    peer.0.get_mut().read_exact(&mut head).await.unwrap();
    assert_eq!(head[0], 0x88, "a close");
    stage.pass(SECOND);
    closing.await;
}
