//! HTTP against a server that says more than it should, or in another way.

use std::time::Duration;

use futures_util::StreamExt as _;
use ngb_channels::http::{Http, HttpError, stream};
use ngb_core::clock::Clock;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

const LIMIT: Duration = Duration::from_secs(10);

/// Has `ask` ask a server that answers `answer`, and then, if it is `endless`, goes on for as long as somebody reads.
/// Gives what it was asked.
async fn exchange<T>(
    answer: &[u8],
    endless: bool,
    ask: impl AsyncFnOnce(Http, String) -> T,
) -> (String, T) {
    _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let http = Http::new(reqwest::ClientBuilder::new, None, Clock::System).unwrap();
    let serve = async {
        let (mut peer, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(peer.read_u8().await.unwrap());
        }
        peer.write_all(answer).await.unwrap();
        while endless && peer.write_all(&[b'x'; 64 << 10]).await.is_ok() {}
        String::from_utf8(head).unwrap().to_lowercase()
    };
    tokio::join!(serve, ask(http, url))
}

#[tokio::test]
async fn an_endless_answer_is_not_read_to_its_end() {
    let (_, got) = exchange(b"HTTP/1.1 200 OK\r\n\r\n\"", true, async |http, url| {
        http.json(http.get(url), LIMIT).await.map(|it| it.body)
    })
    .await;
    assert!(matches!(got, Err(HttpError::TooLong(_))), "{got:?}");
}

#[tokio::test]
async fn a_compressed_answer_is_neither_asked_for_nor_unpacked() {
    // What gzip makes of `{}`.
    let mut answer =
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 22\r\n\r\n".to_vec();
    answer.extend(b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xab\xae\x05\0\x43\xbf\xa6\xa3\x02\0\0\0");
    let (asked, got) = exchange(&answer, false, async |http, url| {
        http.json(http.get(url), LIMIT).await.map(|it| it.body)
    })
    .await;
    assert!(!asked.contains("accept-encoding"), "{asked}");
    assert!(matches!(got, Err(HttpError::NotJson(_))), "{got:?}");
}

#[tokio::test]
async fn a_file_over_the_limit_is_not_fetched() {
    const MAX: u64 = 1 << 20;
    let told = b"HTTP/1.1 200 OK\r\nContent-Length: 2000000000\r\n\r\n";
    let (_, got) = exchange(told, false, async |http, url| {
        http.download(http.get(url), MAX).await.map(|it| it.status()).map_err(|it| it.to_string())
    })
    .await;
    assert_eq!(got, Err("the file is larger than 1 MB".to_owned()));

    // One that does not say how large it is ends where the limit is.
    let (_, (taken, err)) = exchange(b"HTTP/1.1 200 OK\r\n\r\n", true, async |http, url| {
        let begun = http.download(http.get(url), MAX).await.unwrap();
        let mut bytes = stream(begun, MAX, "fetch it".into());
        let mut taken = 0;
        loop {
            match bytes.next().await.expect("it has no end") {
                Ok(chunk) => taken += chunk.len() as u64,
                Err(err) => return (taken, format!("{:#}", anyhow::Error::from(err))),
            }
        }
    })
    .await;
    assert!(taken <= MAX, "{taken}");
    assert_eq!(err, "could not fetch it: the file is larger than 1 MB");
}
