//! A proxy with a password: HTTP (RFC 9110, CONNECT and absolute form) and SOCKS5 (RFC 1928, RFC 1929) at one address,
//! with or without TLS to itself. Only it knows where the names lead that the gateway is given.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ngb_core::tasks::Crew;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

pub(crate) const USER: &str = "me";
pub(crate) const PASSWORD: &str = "planted-proxy-password";

/// Longest head of a request, in bytes.
const MAX_HEAD_BYTES: u64 = 16_384;

/// Who is where: `name:port`.
pub(crate) type Places = BTreeMap<String, SocketAddr>;

pub(crate) struct Proxy {
    pub(crate) port: u16,
    seen: Seen,
    _crew: Crew,
}

/// What was asked for, and who was turned away.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<(BTreeSet<String>, usize)>>);

impl Seen {
    fn asked(&self, target: &str) {
        self.0.lock().unwrap().0.insert(target.to_owned());
    }

    fn refused(&self) {
        self.0.lock().unwrap().1 += 1;
    }
}

impl Proxy {
    pub(crate) async fn start(places: Places, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (seen, mut crew) = (Seen::default(), Crew::default());
        let (kept, places) = (seen.clone(), Arc::new(places));
        crew.spawn("proxy", async move {
            let mut lines = Crew::default();
            while let Ok((line, _)) = listener.accept().await {
                let (seen, places, tls) = (kept.clone(), Arc::clone(&places), tls.clone());
                lines.spawn("proxy line", async move {
                    // Whoever breaks off is gone, and that is all.
                    drop(match tls {
                        None => serve(line, &places, &seen).await,
                        Some(tls) => match tls.accept(line).await {
                            Ok(line) => serve(line, &places, &seen).await,
                            Err(err) => Err(err),
                        },
                    });
                });
            }
        });
        Self { port, seen, _crew: crew }
    }

    /// Every target that was asked for with the right password.
    pub(crate) fn asked(&self) -> BTreeSet<String> {
        self.seen.0.lock().unwrap().0.clone()
    }

    /// How many came with a wrong password or none.
    pub(crate) fn refused(&self) -> usize {
        self.seen.0.lock().unwrap().1
    }
}

async fn serve<S>(mut line: S, places: &Places, seen: &Seen) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    const SOCKS5: u8 = 5;
    match line.read_u8().await? {
        SOCKS5 => socks(line, places, seen).await,
        first => http(line, first, places, seen).await,
    }
}

async fn http<S>(mut line: S, first: u8, places: &Places, seen: &Seen) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut head = vec![first];
    let mut rest = (&mut line).take(MAX_HEAD_BYTES);
    while !head.ends_with(b"\r\n\r\n") {
        head.push(rest.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let (request, headers) = head.split_once("\r\n").unwrap();
    let header = |name: &str| {
        let mut all = headers.lines().filter_map(|it| it.split_once(": "));
        all.find(|it| it.0.eq_ignore_ascii_case(name)).map(|it| it.1)
    };
    let wanted = format!("Basic {}", BASE64_STANDARD.encode(format!("{USER}:{PASSWORD}")));
    if header("proxy-authorization") != Some(&wanted) {
        seen.refused();
        let no = "HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm=\"x\"\r\n\
                  content-length: 0\r\nconnection: close\r\n\r\n";
        return line.write_all(no.as_bytes()).await;
    }
    let mut words = request.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap_or_default());
    let tunnel = method == "CONNECT";
    let path = target.strip_prefix("http://").map(|it| it.split_once('/').unwrap_or((it, "")));
    let host = path.map_or(target, |it| it.0);
    let host = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    seen.asked(&host);
    let far = match places.get(&host) {
        Some(place) => TcpStream::connect(place).await,
        None => Err(io::ErrorKind::HostUnreachable.into()),
    };
    let Ok(mut far) = far else {
        let no = "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        return line.write_all(no.as_bytes()).await;
    };
    if tunnel {
        line.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await?;
    } else {
        let kept = headers.lines().filter(|it| !it.to_ascii_lowercase().starts_with("proxy-"));
        let kept: Vec<&str> = kept.take_while(|it| !it.is_empty()).collect();
        let path = path.map_or("", |it| it.1);
        let request = format!("{method} /{path} HTTP/1.1\r\nconnection: close\r\n");
        far.write_all(format!("{request}{}\r\n\r\n", kept.join("\r\n")).as_bytes()).await?;
    }
    tokio::io::copy_bidirectional(&mut line, &mut far).await.map(drop)
}

async fn socks<S>(mut line: S, places: &Places, seen: &Seen) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    const PASSWORD_METHOD: u8 = 2;
    const NONE_OF_THESE: u8 = 0xff;
    const NAME: u8 = 3;
    let methods = text(&mut line).await?;
    if !methods.as_bytes().contains(&PASSWORD_METHOD) {
        seen.refused();
        return line.write_all(&[5, NONE_OF_THESE]).await;
    }
    line.write_all(&[5, PASSWORD_METHOD]).await?;
    line.read_u8().await?;
    let (user, password) = (text(&mut line).await?, text(&mut line).await?);
    if (user.as_str(), password.as_str()) != (USER, PASSWORD) {
        seen.refused();
        return line.write_all(&[1, 1]).await;
    }
    line.write_all(&[1, 0]).await?;
    let mut head = [0; 4];
    line.read_exact(&mut head).await?;
    // An address instead of a name was resolved by whoever asks, and should not have been.
    let name = if head[3] == NAME { text(&mut line).await? } else { "an address".to_owned() };
    let host = format!("{name}:{}", line.read_u16().await?);
    seen.asked(&host);
    let far = match places.get(&host) {
        Some(place) => TcpStream::connect(place).await,
        None => Err(io::ErrorKind::HostUnreachable.into()),
    };
    let code = if far.is_ok() { 0 } else { 4 };
    line.write_all(&[5, code, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    tokio::io::copy_bidirectional(&mut line, &mut far?).await.map(drop)
}

/// Text with its length before it.
async fn text(line: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut res = vec![0; line.read_u8().await?.into()];
    line.read_exact(&mut res).await?;
    Ok(res.into_iter().map(char::from).collect())
}
