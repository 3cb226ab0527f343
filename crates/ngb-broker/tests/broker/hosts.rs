//! Which hosts a run reaches, how, and with what; tried from inside, by every trick that is known.

use bytes::Bytes;
use http::{HeaderName, Request};
use http_body_util::Full;
use ngb_broker::{Credential, Current, WayOut};
use ngb_core::{
    egress::{Egress, Rules},
    proxy::Way,
    secret::Secret,
    tasks::Crew,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, UnixStream},
};

use crate::way_out::{Bench, CASES, current, plain_client, raw_server, why};

const TOKEN: &str = "tok-planted-42";

/// Repeats to its caller what it was sent.
async fn echo_server(crew: &mut Crew) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    crew.spawn("echo", async move {
        let mut connections = Crew::default();
        while let Ok((mut stream, _)) = listener.accept().await {
            connections.spawn("echo connection", async move {
                let mut sent = vec![0; 8192];
                let len = stream.read(&mut sent).await.unwrap();
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {len}\r\n\r\n");
                stream.write_all(&[head.as_bytes(), &sent[..len]].concat()).await.ok();
            });
        }
    });
    port
}

fn redirect(to: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n")
}

fn admit(bench: &Bench, egress: Egress, hosts: &[String], links: &[&str]) {
    let rules = Rules {
        egress,
        hosts: hosts.iter().map(|it| it.parse().unwrap()).collect(),
        links: links.iter().map(ToString::to_string).collect(),
    };
    bench.door.admit(Some(Current { rules, ..current(&CASES[0], None) }));
}

/// What comes back for bytes as they are.
async fn raw(bench: &Bench, request: &str) -> (UnixStream, String) {
    let mut stream = UnixStream::connect(bench.door.dir().join("broker.sock")).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    (stream, String::from_utf8(head).unwrap())
}

#[tokio::test]
async fn a_group_has_its_own_hosts_and_mode() {
    let mut crew = Crew::default();
    let port = echo_server(&mut crew).await;
    let own = [format!("127.0.0.1:{port}")];
    let bench = Bench::start(&[]).await;
    let url = format!("http://127.0.0.1:{port}/x");
    admit(&bench, Egress::List, &own, &[]);
    assert_eq!(bench.get(&url).await.0.status(), 200);
    #[rustfmt::skip]
    let table = [
        (Egress::None, &own[..], url.as_str(),                "nothing goes out of this group"),
        (Egress::List, &[],      url.as_str(),                "hosts=+127.0.0.1"),
        (Egress::Web,  &[],      url.as_str(),                "not a public address"),
        (Egress::Web,  &[],      "http://127.0.0.1/",         "not a public address"),
        (Egress::Web,  &[],      "http://169.254.169.254/",   "not a public address"),
        (Egress::Web,  &[],      "http://[fd00:ec2::254]/",   "not a public address"),
        (Egress::Web,  &[],      "http://0x7f.1/",            "not a public address"),
        (Egress::Web,  &[],      "http://2130706433/",        "not a public address"),
        (Egress::Web,  &[],      "http://[::ffff:10.0.0.1]/", "not a public address"),
        (Egress::Web,  &[],      "http://localhost/",         "no public address"),
        (Egress::List, &[],      "http://127.0.0.1/asked",    "not a public address"),
    ];
    for (egress, hosts, url, needle) in table {
        admit(&bench, egress, hosts, &["http://127.0.0.1/asked"]);
        let (head, text) = bench.get(url).await;
        assert!(!head.status().is_success() && text.contains(needle), "{egress:?} {url}: {text}");
    }
}

#[tokio::test]
async fn a_redirect_leads_nowhere_that_is_closed() {
    let mut crew = Crew::default();
    for to in [
        "http://169.254.169.254/latest/meta-data/",
        "http://metadata.google.internal/",
        "//10.0.0.1/",
        "file:///etc/passwd",
        "http://127.0.0.1:1/",
    ] {
        let port = raw_server(redirect(to), &mut crew).await;
        for egress in [Egress::List, Egress::Web] {
            let bench = Bench::start(&[]).await;
            admit(&bench, egress, &[format!("127.0.0.1:{port}")], &[]);
            let (head, text) = bench.get(&format!("http://127.0.0.1:{port}/")).await;
            assert!(!head.status().is_success() && !why(&head).is_empty(), "{to}: {text}");
        }
    }
}

#[tokio::test]
async fn a_tunnel_leads_to_listed_hosts_only_and_ends_with_its_run() {
    let mut crew = Crew::default();
    let port = echo_server(&mut crew).await;
    let other = echo_server(&mut crew).await;
    let own = [format!("127.0.0.1:{port}"), format!("localhost:{port}")];
    let bench = Bench::start(&[]).await;
    #[rustfmt::skip]
    let table = [
        (Egress::None, format!("127.0.0.1:{port}"),        "403"),
        (Egress::List, format!("127.0.0.1:{other}"),       "403"),
        (Egress::Web,  format!("127.0.0.1:{other}"),       "403"),
        (Egress::Web,  "example.com:443".to_owned(),       "403"),
        (Egress::Web,  "169.254.169.254:80".to_owned(),    "403"),
        (Egress::List, format!("localhost:{port}"),        "502"),
        (Egress::List, "127.0.0.1".to_owned(),             "403"),
        (Egress::List, format!("x@127.0.0.1:{port}"),      "40"),
    ];
    for (egress, target, status) in table {
        admit(&bench, egress, &own, &[]);
        let request = format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n\r\n");
        let (_, head) = raw(&bench, &request).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{egress:?} {target}: {head}");
    }

    admit(&bench, Egress::List, &own, &[]);
    // Written otherwise it is the same address.
    let request = format!("CONNECT 2130706433:{port} HTTP/1.1\r\nhost: x\r\n\r\n");
    let (mut stream, head) = raw(&bench, &request).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    stream.write_all(b"ping").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("ping"), "{answer}");

    let (mut stream, head) = raw(&bench, &request).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    bench.door.admit(None);
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap_or(0), 0, "the run is over");
}

fn credential(name: &str, port: u16) -> Credential {
    Credential {
        name: name.to_owned(),
        host: "127.0.0.1".to_owned(),
        port: Some(port),
        plain: true,
        header: HeaderName::from_static("authorization"),
        value: Secret::new(TOKEN),
    }
}

#[tokio::test]
async fn a_credential_is_added_outside_for_its_host_only_and_never_comes_in() {
    let mut crew = Crew::default();
    let port = echo_server(&mut crew).await;
    let other = echo_server(&mut crew).await;
    let leading = raw_server(redirect(&format!("http://127.0.0.1:{other}/")), &mut crew).await;
    let hosts: Vec<_> = [port, other, leading].map(|it| format!("127.0.0.1:{it}")).into();
    let bench = Bench::start(&[]).await;
    bench.broker.set_way_out(WayOut {
        credentials: vec![credential("echo", port), credential("leading", leading)],
        ..WayOut::new(plain_client, &Way::direct()).unwrap()
    });
    admit(&bench, Egress::List, &hosts, &[]);

    // The host repeats all that it was sent.
    for url in [format!("http://127.0.0.1:{port}/a?b=1"), "http://echo.broker/a?b=1".to_owned()] {
        let request = Request::post(&url)
            .header("host", "x")
            .header("authorization", "from-inside")
            .header("x-mine", "kept")
            .body(Full::<Bytes>::from("a body"))
            .unwrap();
        let (head, body) = bench.send(request).await;
        let text = String::from_utf8(body).unwrap();
        assert_eq!(head.status(), 200, "{text}");
        assert!(text.starts_with("POST /a?b=1 ") && text.ends_with("a body"), "{text}");
        assert!(text.contains("[secret]") && text.contains("x-mine: kept"), "{text}");
        assert!(!text.contains(TOKEN) && !text.contains("from-inside"), "{text}");
    }
    for url in [format!("http://127.0.0.1:{other}/"), "http://leading.broker/".to_owned()] {
        let (_, text) = bench.get(&url).await;
        assert!(text.starts_with("GET / ") && !text.contains("[secret]"), "{url}: {text}");
    }
    let (head, text) = bench.get("http://nobody.broker/").await;
    assert_eq!(why(&head), "not_allowed");
    assert!(text.contains("there is no `[credentials.nobody]`"), "{text}");
    // It opens nothing by itself.
    admit(&bench, Egress::Web, &[], &[]);
    assert_eq!(why(&bench.get("http://echo.broker/").await.0), "not_allowed");
}
