//! What goes out through a door, what comes back, and what is counted.

use std::os::unix::fs::PermissionsExt as _;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use ngb_broker::{
    Allowed, Amount, Auth, Broker, BrokerConfig, Caps, Client, Current, Door, Provider, Purse,
    REFUSED, WayOut,
};
use ngb_core::{
    clock::{Clock, Timestamp},
    egress::Rules,
    frame::ProviderKind,
    id::{GroupId, LaneId, RunId},
    price::Price,
    proxy::Way,
    role::Role,
    secret::Secret,
    tasks::Crew,
};
use ngb_sim::model::{Fault, ModelServer};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, UnixStream},
};

const KEY: &str = "sk-planted-0123456789";

pub(crate) struct Case {
    kind: ProviderKind,
    name: &'static str,
    path: &'static str,
    auth: Auth,
    body: fn(&str) -> Value,
}

fn messages(model: &str, text: &str) -> Value {
    json!({"model": model, "stream": true, "max_tokens": 100, "stream_options": {"include_usage": true},
           "messages": [{"role": "user", "content": text}]})
}

pub(crate) const CASES: &[Case] = &[
    Case {
        kind: ProviderKind::Anthropic,
        name: "anthropic",
        path: "v1/messages",
        auth: Auth::XApiKey,
        body: |text| messages("claude", text),
    },
    Case {
        kind: ProviderKind::OpenAi,
        name: "openai",
        path: "chat/completions",
        auth: Auth::Bearer,
        body: |text| messages("gpt", text),
    },
    Case {
        kind: ProviderKind::Ollama,
        name: "ollama",
        path: "api/chat",
        auth: Auth::ApiKey,
        body: |text| messages("llama", text),
    },
];

pub(crate) struct Bench {
    pub(crate) _dir: tempfile::TempDir,
    pub(crate) sim: ModelServer,
    pub(crate) door: Door,
    pub(crate) broker: Broker,
}

/// A rustls provider is the executable's choice; here is no TLS at all, and reqwest still asks.
pub(crate) fn plain_client() -> reqwest::ClientBuilder {
    rustls::crypto::ring::default_provider().install_default().ok();
    reqwest::Client::builder().no_proxy()
}

impl Bench {
    pub(crate) async fn start(hosts: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sim = ModelServer::start().await.unwrap();
        sim.behave(|it| it.key = Some(KEY.into()));
        let providers = CASES
            .iter()
            .map(|case| Provider {
                name: case.name.into(),
                kind: case.kind,
                base_url: match case.kind {
                    ProviderKind::OpenAi => format!("{}/v1/", sim.url()),
                    _ => sim.url(),
                },
                api_key: Some(Secret::new(KEY)),
                auth: case.auth,
                headers: vec![(
                    http::HeaderName::from_static("x-team"),
                    http::HeaderValue::from_static("kitchen"),
                )],
                http: Client::of_model(plain_client(), Way::direct()).unwrap(),
            })
            .collect();
        let config = BrokerConfig {
            dir: dir.path().join("broker"),
            providers,
            way_out: WayOut {
                hosts: hosts.iter().map(|it| it.parse().unwrap()).collect(),
                ..WayOut::new(plain_client, &Way::direct()).unwrap()
            },
        };
        let broker = Broker::new(config, Clock::System).unwrap();
        let door = broker.open(LaneId(7), GroupId(3)).unwrap();
        door.admit(Some(current(&CASES[0], None)));
        Self { _dir: dir, sim, door, broker }
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> (Response<()>, Vec<u8>) {
        Self::send_to(&self.door, request).await
    }

    async fn send_to(door: &Door, request: Request<Full<Bytes>>) -> (Response<()>, Vec<u8>) {
        let stream = UnixStream::connect(door.dir().join("broker.sock")).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let mut crew = Crew::default();
        crew.spawn("connection", async move {
            connection.await.ok();
        });
        let (head, mut body) = sender.send_request(request).await.unwrap().into_parts();
        let mut bytes = Vec::new();
        while let Some(Ok(frame)) = body.frame().await {
            bytes.extend(frame.into_data().unwrap());
        }
        (Response::from_parts(head, ()), bytes)
    }

    /// Asks in a run whose model is the one that is asked for.
    async fn ask_admitted(&self, case: &Case, body: &Value) -> (Response<()>, String) {
        let model = body["model"].as_str().unwrap().to_owned();
        let model = Some(Allowed { provider: case.name.into(), model, price: None });
        self.door.admit(Some(Current { model, ..current(case, None) }));
        self.ask(case, body).await
    }

    async fn ask(&self, case: &Case, body: &Value) -> (Response<()>, String) {
        Self::ask_at(&self.door, case, body).await
    }

    async fn ask_at(door: &Door, case: &Case, body: &Value) -> (Response<()>, String) {
        let request = Request::post(format!("/model/{}/{}", case.name, case.path))
            .header("host", "broker")
            .header("content-type", "application/json")
            .header("anthropic-version", "2023-06-01")
            .header("x-api-key", "from-inside")
            .header("x-spy", "from-inside")
            .body(Full::from(body.to_string()))
            .unwrap();
        let (head, body) = Self::send_to(door, request).await;
        (head, String::from_utf8(body).unwrap())
    }

    pub(crate) async fn get(&self, url: &str) -> (Response<()>, String) {
        let request = Request::get(url).header("host", "x").body(Full::default()).unwrap();
        let (head, body) = self.send(request).await;
        (head, String::from_utf8_lossy(&body).into_owned())
    }
}

/// A run that may ask the model of a case, as [`Case::body`] names it.
pub(crate) fn current(case: &Case, tokens_left: Option<u64>) -> Current {
    let body = (case.body)("");
    let model = body["model"].as_str().unwrap().to_owned();
    let model = Some(Allowed { provider: case.name.into(), model, price: None });
    let caps = Caps { tokens: tokens_left, micros: None };
    let purse = Purse::default();
    purse.renew(Timestamp(0), caps, Amount::default());
    Current { run: RunId(11), model, role: Role::Member, purse, rules: Rules::default() }
}

pub(crate) fn why(head: &Response<()>) -> &str {
    head.headers().get(REFUSED).map_or("", |it| it.to_str().unwrap())
}

#[tokio::test]
async fn the_key_is_added_outside_and_nothing_else_passes() {
    let bench = Bench::start(&[]).await;
    for case in CASES {
        let (head, text) = bench.ask_admitted(case, &(case.body)("say:hello there")).await;
        assert_eq!(head.status(), 200, "{}: {text}", case.name);
        assert!(text.contains("hello there"), "{text}");
        assert!(!text.contains(KEY));
        let headers = bench.sim.requests().pop().unwrap().headers;
        let has = |name: &str, value: &str| headers.contains(&(name.into(), value.into()));
        match case.auth {
            Auth::XApiKey => assert!(has("x-api-key", KEY)),
            Auth::Bearer => assert!(has("authorization", &format!("Bearer {KEY}"))),
            Auth::ApiKey => assert!(has("api-key", KEY)),
        }
        assert!(has("x-team", "kitchen"));
        assert!(!headers.iter().any(|(_, value)| value == "from-inside"), "{headers:?}");
    }
}

#[tokio::test]
async fn tokens_are_counted_to_the_token() {
    let cut = |after_pieces| Some(Fault::CutStream { after_pieces });
    #[rustfmt::skip]
    let table: &[(&str, Option<Fault>, bool)] = &[
        ("say:hello",                                      None,                    true),
        ("long:5000",                                      None,                    true),
        ("long:5000",                                      cut(0),                  false),
        ("long:5000",                                      cut(1),                  false),
        ("long:5000",                                      cut(20),                 false),
        ("think:well well\nlong:900",                      None,                    true),
        ("think:well well\nlong:900",                      Some(Fault::HalfBody),   false),
        ("日本語のテキスト日本語のテキスト日本語のテキスト日本語のテキスト日本語のテキスト", cut(4),                  false),
    ];
    for case in CASES {
        let bench = Bench::start(&[]).await;
        bench.sim.behave(|it| it.piece_chars = 7);
        for (text, fault, complete) in table {
            bench.sim.fail(fault.clone());
            let before = total(&bench);
            bench.ask_admitted(case, &(case.body)(text)).await;
            let usage = bench.door.take_usage();
            let name = case.name;
            assert_eq!(usage.len(), 1, "{name} {text} {fault:?}: {usage:?}");
            assert_eq!(
                (usage[0].run, usage[0].complete),
                (RunId(11), *complete),
                "{name} {text} {fault:?}"
            );
            let after = total(&bench);
            let got = (usage[0].input_tokens + usage[0].cache_read_tokens, usage[0].output_tokens);
            assert_eq!(got, (after.0 - before.0, after.1 - before.1), "{name} {text} {fault:?}");
            assert_eq!(bench.door.take_usage(), []);
        }
        let whole =
            json!({"model": "m", "stream": false, "messages": [{"role": "user", "content": "hi"}]});
        bench.ask_admitted(case, &whole).await;
        let usage = &bench.door.take_usage()[0];
        assert!(usage.complete && usage.model == "m" && usage.output_tokens == 1, "{usage:?}");
    }
}

/// Fifty calls at once, in two lanes of a group, with money for ten: what they cost is never more, and who got no answer was
/// told that the budget is used up.
#[tokio::test]
async fn calls_at_once_never_spend_the_same_money() {
    for case in CASES {
        let bench = Bench::start(&[]).await;
        let other = bench.broker.open(LaneId(8), GroupId(3)).unwrap();
        let each = 100;
        let caps = Caps { tokens: None, micros: Some(10 * each) };
        let purse = Purse::default();
        purse.renew(Timestamp(0), caps, Amount::default());
        let price = Price { input: 0.0, output: 1.0, cache_read: None, cache_write: None };
        let mut now = Current { purse: purse.clone(), ..current(case, None) };
        now.model = now.model.map(|it| Allowed { price: Some(price), ..it });
        for door in [&bench.door, &other] {
            door.admit(Some(now.clone()));
        }
        bench.sim.behave(|it| it.first_token_ms = 20);
        let body = (case.body)("long:400");
        let doors = [&bench.door, &other].into_iter().cycle().take(50);
        let answers =
            futures_util::future::join_all(doors.map(|it| Bench::ask_at(it, case, &body))).await;
        let answered = answers.iter().filter(|it| it.0.status() == 200).count();
        let refused = answers.iter().filter(|it| why(&it.0) == "over_budget").count();
        let (_, cost) = total(&bench);
        assert_eq!(
            (answered + refused, bench.sim.requests().len()),
            (50, answered),
            "{}",
            case.name
        );
        assert!(cost <= 10 * each, "{}: {cost}", case.name);
        // Who was refused would have gone over, or the answer's length was not known before.
        assert!(9 * each < cost, "{}: {cost} by {answered}", case.name);

        now.model = now.model.map(|it| Allowed { price: None, ..it });
        bench.door.admit(Some(now));
        let (head, text) = bench.ask(case, &body).await;
        assert_eq!(why(&head), "over_budget");
        assert!(text.contains("has no price"), "{text}");
    }
}

fn total(bench: &Bench) -> (u64, u64) {
    let totals = bench.sim.totals();
    let sum = |count: fn(&ngb_sim::model::Totals) -> u64| totals.values().map(count).sum();
    (
        sum(|it| it.input_tokens + it.cache_read_tokens + it.cache_write_tokens),
        sum(|it| it.output_tokens),
    )
}

#[tokio::test]
async fn refusals() {
    let bench = Bench::start(&[]).await;
    let case = &CASES[0];
    let body = (case.body)("hi");

    bench.door.admit(None);
    let (head, text) = bench.ask(case, &body).await;
    assert_eq!((head.status(), why(&head)), (StatusCode::GONE, "closed"));
    assert!(text.contains("no run is current"), "{text}");

    bench.door.admit(Some(current(case, Some(3))));
    let (head, _) = bench.ask(case, &body).await;
    assert_eq!((head.status(), why(&head)), (StatusCode::PAYMENT_REQUIRED, "over_budget"));

    // Enough for one, which uses it up.
    bench.door.admit(Some(current(case, Some(100))));
    assert_eq!(bench.ask(case, &(case.body)("long:400")).await.0.status(), 200);
    assert_eq!(why(&bench.ask(case, &body).await.0), "over_budget");
    assert_eq!(bench.sim.requests().len(), 1, "refused before the call");

    bench.door.admit(Some(current(case, None)));
    let post = |path: &str, body: &str| {
        Request::post(path).header("host", "x").body(Full::from(body.to_owned())).unwrap()
    };
    for path in [
        "/model/anthropic/v1/files",
        "/model/anthropic/v1/messages/../files",
        "/model/nobody/v1/messages",
        "/model/anthropic",
        "/v1/messages",
        "/",
    ] {
        let (head, _) = bench.send(post(path, &body.to_string())).await;
        assert_eq!(why(&head), "not_allowed", "{path}");
    }
    assert_eq!(
        why(&bench.send(post("/model/openai/chat/completions", "{")).await.0),
        "not_allowed"
    );
    assert_eq!(bench.sim.requests().len(), 1);
}

#[tokio::test]
async fn errors_of_a_provider_come_in_with_their_wait_and_without_the_key() {
    let bench = Bench::start(&[]).await;
    for case in CASES {
        bench.sim.fail([Fault::Status { status: 429, retry_after: Some(17) }]);
        let (head, text) = bench.ask_admitted(case, &(case.body)("hi")).await;
        assert_eq!(head.status(), 429);
        assert_eq!(head.headers()["retry-after"], "17");
        assert_eq!(why(&head), "");
        assert!(text.contains("told to answer 429"), "{text}");
        // A provider that repeats the key in its error.
        bench.sim.behave(|it| it.models = Some(vec![]));
        let mut body = (case.body)("hi");
        body["model"] = json!(KEY);
        let (head, text) = bench.ask_admitted(case, &body).await;
        assert_eq!(head.status(), 404);
        assert!(text.contains("[secret]") && !text.contains(KEY), "{text}");
        bench.sim.behave(|it| it.models = None);
    }
    assert_eq!(bench.door.take_usage(), [], "what failed cost nothing");
}

#[tokio::test]
async fn the_socket_is_reachable_from_inside_only() {
    let bench = Bench::start(&[]).await;
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let dir = bench.door.dir().to_owned();
    assert_eq!(mode(dir.parent().unwrap()), 0o700);
    assert_eq!(mode(&dir), 0o755);
    assert_eq!(mode(&dir.join("broker.sock")), 0o666);
    let Bench { door, _dir, .. } = bench;
    drop(door);
    assert!(!dir.exists());
}

/// Answers each connection with `answer` as it is.
pub(crate) async fn raw_server(answer: String, crew: &mut Crew) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    crew.spawn("raw server", async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            stream.write_all(answer.as_bytes()).await.ok();
        }
    });
    port
}

#[tokio::test]
async fn fetch_goes_to_named_hosts_only() {
    let mut crew = Crew::default();
    let ok = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\nhello";
    let good = raw_server(ok.to_owned(), &mut crew).await;
    let other = raw_server(ok.to_owned(), &mut crew).await;
    let redirect = |to: u16| {
        format!(
            "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:{to}/x\r\ncontent-length: 0\r\n\r\n"
        )
    };
    let inward = raw_server(redirect(good), &mut crew).await;
    let outward = raw_server(redirect(other), &mut crew).await;
    let big = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}", "x".repeat(3 << 20));
    let big = raw_server(big, &mut crew).await;
    let listed: Vec<String> = [good, inward, outward, big]
        .iter()
        .map(|it| format!("127.0.0.1:{it}"))
        .chain([format!("localhost:{good}")])
        .collect();
    let listed: Vec<&str> = listed.iter().map(String::as_str).collect();
    let bench = Bench::start(&listed).await;
    let url = |port: u16| format!("http://127.0.0.1:{port}/");
    #[rustfmt::skip]
    let table = [
        (url(good),                           200, "",            "hello"),
        (url(inward),                         200, "",            "hello"),
        (url(outward),                        403, "not_allowed", "`[egress] hosts`"),
        (url(other),                          403, "not_allowed", "`[egress] hosts`"),
        (format!("http://localhost:{good}/"), 502, "unreachable", "no public address"),
        (format!("http://u:p@127.0.0.1:{good}/"), 403, "not_allowed", "user or password"),
        (format!("ftp://127.0.0.1:{good}/"),  403, "not_allowed", "neither http nor https"),
        ("https://example.com/".into(),       403, "not_allowed", "`example.com` (port 443) is not among"),
    ];
    for (url, status, refused, needle) in table {
        let (head, text) = bench.get(&url).await;
        assert_eq!((head.status().as_u16(), why(&head)), (status, refused), "{url}: {text}");
        assert!(text.contains(needle), "{url}: {text}");
    }
    let (head, text) = bench.get(&url(big)).await;
    assert_eq!((text.len(), head.headers()["x-ngb-cut"].to_str().unwrap()), (2 << 20, "true"));
    let post = |to| Request::post(url(to)).header("host", "x").body(Full::default()).unwrap();
    assert_eq!(bench.send(post(good)).await.0.status(), 200);
    assert_eq!(why(&bench.send(post(other)).await.0), "not_allowed");
}

#[tokio::test]
async fn a_run_has_one_model() {
    let bench = Bench::start(&[]).await;
    let case = &CASES[0];
    let mut dearer = (case.body)("hi");
    dearer["model"] = json!("claude-of-another-price");
    let (head, text) = bench.ask(case, &dearer).await;
    assert_eq!(why(&head), "not_allowed");
    let want = "this run's model is `anthropic/claude`, not `anthropic/claude-of-another-price`";
    assert!(text.contains(want), "{text}");
    let (head, text) = bench.ask(&CASES[1], &(CASES[1].body)("hi")).await;
    assert_eq!(why(&head), "not_allowed", "another provider: {text}");
    bench.door.admit(Some(Current { model: None, ..current(case, None) }));
    assert_eq!(why(&bench.ask(case, &(case.body)("hi")).await.0), "not_allowed");
    assert_eq!(bench.sim.requests().len(), 0, "refused before the call");
    assert_eq!(bench.door.take_usage(), []);
}

#[tokio::test]
async fn a_run_that_is_over_is_cut_in_the_middle_of_an_answer_and_counted() {
    for case in CASES {
        for next in [None, Some(current(case, None))] {
            let bench = Bench::start(&[]).await;
            bench.sim.behave(|it| {
                it.piece_chars = 8;
                it.piece_ms = 5;
            });
            bench.door.admit(Some(current(case, None)));
            // It would take half a minute.
            let request = Request::post(format!("/model/{}/{}", case.name, case.path))
                .header("host", "broker")
                .header("anthropic-version", "2023-06-01")
                .body(Full::<Bytes>::from((case.body)("long:50000").to_string()))
                .unwrap();
            let stream = UnixStream::connect(bench.door.dir().join("broker.sock")).await.unwrap();
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
            let mut crew = Crew::default();
            crew.spawn("connection", async move {
                connection.await.ok();
            });
            let mut body = sender.send_request(request).await.unwrap().into_body();
            let mut seen = Vec::new();
            while seen.len() < 2_000 {
                seen.extend(body.frame().await.unwrap().unwrap().into_data().unwrap());
            }
            bench.door.admit(next);
            let mut cut = false;
            while let Some(frame) = body.frame().await {
                match frame {
                    Ok(frame) => seen.extend(frame.into_data().unwrap()),
                    Err(_) => {
                        cut = true;
                        break;
                    }
                }
            }
            assert!(cut, "{}: the end is no end of the answer", case.name);
            let usage = bench.door.take_usage();
            assert_eq!((usage.len(), usage[0].complete), (1, false), "{}: {usage:?}", case.name);
            // What was seen is counted, and no more than what left the provider.
            let said = String::from_utf8_lossy(&seen).matches("lorem").count() as u64;
            assert!(said <= usage[0].output_tokens, "{}: {said} {usage:?}", case.name);
            assert!(usage[0].output_tokens <= total(&bench).1, "{}: {usage:?}", case.name);
        }
    }
}
