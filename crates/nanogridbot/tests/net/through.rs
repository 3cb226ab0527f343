//! Everything goes through the proxy that is set: the names that are used here lead nowhere without one.

use std::{collections::BTreeSet, net::SocketAddr};

use ngb_core::tasks::Crew;
use ngb_sim::{slack, telegram::Draft};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    authority::Authority,
    common::{Gateway, Stage},
    proxy::{PASSWORD, Places, Proxy, USER},
};

/// The world as seen by a gateway that reaches it through a proxy.
struct World {
    stage: Stage,
    slack: slack::Server,
    authority: Authority,
    places: Places,
    _fronts: Crew,
}

fn address(url: &str) -> SocketAddr {
    url.trim_start_matches("http://").split('/').next().unwrap().parse().unwrap()
}

impl World {
    async fn new() -> Self {
        let mut stage = Stage::new().await;
        stage.model.behave(|it| it.first_token_ms = 0);
        let public_url = Some("https://slack.test".to_owned());
        let slack = slack::Config { public_url, ..slack::Config::default() };
        let slack = slack::Server::start(slack).await.unwrap();
        let authority = Authority::new();
        let (mut fronts, mut places) = (Crew::default(), Places::new());
        for (name, target) in [
            ("telegram.test", address(&stage.telegram.url)),
            ("slack.test", slack_address(&slack)),
            ("model.test", stage.model.address()),
            ("web.test", stage.model.address()),
        ] {
            let place = authority.front(&mut fronts, name, target).await;
            places.insert(format!("{name}:443"), place);
        }
        // One that speaks no TLS.
        places.insert("plain.test:80".into(), stage.model.address());
        std::fs::create_dir_all(&stage.home).unwrap();
        std::fs::write(stage.home.join("ca.pem"), authority.pem()).unwrap();
        for (name, value) in [
            ("NGB_CHANNELS__TELEGRAM__MAIN__API_URL", "https://telegram.test"),
            ("NGB_CHANNELS__SLACK__MAIN__API_URL", "https://slack.test/api"),
            ("NGB_CHANNELS__SLACK__MAIN__BOT_TOKEN", &slack.bot_token),
            ("NGB_CHANNELS__SLACK__MAIN__APP_TOKEN", &slack.app_token),
            ("NGB_PROVIDERS__SIM__BASE_URL", "https://model.test/v1"),
            ("NGB_EGRESS__HOSTS", "[\"web.test\", \"plain.test\"]"),
        ] {
            stage.env.insert(name.into(), value.to_owned());
        }
        Self { stage, slack, authority, places, _fronts: fronts }
    }

    async fn proxy(&self, scheme: &str) -> Proxy {
        // By name, whose address is a private one.
        let tls = (scheme == "https").then(|| self.authority.server("localhost"));
        Proxy::start(self.places.clone(), tls).await
    }

    fn set(&mut self, name: &str, value: impl Into<String>) {
        self.stage.env.insert(name.into(), value.into());
    }

    fn ca_file(&self) -> String {
        self.stage.home.join("ca.pem").display().to_string()
    }

    /// A message with a file, whose agent fetches a page of each kind and reads the file; and one on Slack.
    async fn talk(&self) -> Gateway {
        let stage = &self.stage;
        let (gateway, chats) = stage.with_chats(1).await;
        stage.cli(&["bind", "slack@main:C1", "main", "--always"]).await;
        let file = stage.platform().add_file("what the file says");
        let mut draft = Draft { chat: chats[0], ..Draft::default() };
        draft.more.insert(
            "document".into(),
            json!({"file_id": file, "file_unique_id": file, "file_name": "a.txt"}),
        );
        let tools = [
            "tool:fetch {\"url\":\"https://web.test/sim/totals\"}",
            "tool:fetch {\"url\":\"http://plain.test/sim/totals\"}",
            "tool:bash {\"command\":\"cat inbox/*\"}",
        ];
        draft.more.insert("caption".into(), tools.join("\n").into());
        stage.platform().push(&[draft]);
        stage.settled_text("what the file says").await;
        let said = stage.platform().sent(0).last().unwrap().text.clone();
        assert_eq!(said.matches("input_tokens").count(), 2, "both pages were fetched: {said}");
        self.slack.platform.say("C1", "U1", "say:by socket");
        let posted = self
            .slack
            .platform
            .wait(|_| self.slack.platform.posted().iter().any(|it| it.text.contains("by socket")));
        stage.clock.timeout(std::time::Duration::from_secs(30), posted).await.expect("an answer");
        gateway
    }

    async fn status(&self) -> Value {
        let out = self.stage.output(&["--json", "status"]).await;
        serde_json::from_slice(&out.stdout).unwrap()
    }

    /// Waits until the account can't do its work, and says why.
    async fn trouble(&self, account: &str) -> String {
        let why = async {
            loop {
                let status = self.status().await;
                let channels = status["channels"].as_array().unwrap();
                // Until the gateway listens, the command answers of itself, and has no accounts.
                let Some(it) = channels.iter().find(|it| it["account"] == account) else {
                    continue;
                };
                if it["state"] == "waiting" || it["state"] == "down" {
                    return it["why"].as_str().unwrap().to_owned();
                }
            }
        };
        let limit = std::time::Duration::from_secs(30);
        self.stage.clock.timeout(limit, why).await.expect("it says so")
    }
}

fn slack_address(slack: &slack::Server) -> SocketAddr {
    address(&slack.url)
}

fn names(all: &[&str]) -> BTreeSet<String> {
    all.iter().map(|it| (*it).to_owned()).collect()
}

const ALL: &[&str] =
    &["model.test:443", "plain.test:80", "slack.test:443", "telegram.test:443", "web.test:443"];

/// HTTP and WebSocket of channels, models, downloads and `fetch`, through each kind of proxy; by settings and by the
/// usual variables.
#[tokio::test(flavor = "multi_thread")]
async fn everything_takes_the_proxy() {
    #[rustfmt::skip]
    let table = [
        ("http",   "NGB_NETWORK__PROXY", "NGB_NETWORK__CA_FILE"),
        ("https",  "NGB_NETWORK__PROXY", "NGB_NETWORK__CA_FILE"),
        ("socks5", "NGB_NETWORK__PROXY", "NGB_NETWORK__CA_FILE"),
        ("http",   "ALL_PROXY",          "SSL_CERT_FILE"),
    ];
    for (scheme, setting, ca_setting) in table {
        let world = World::new().await;
        let proxy = world.proxy(scheme).await;
        let url = format!("{scheme}://{USER}:{PASSWORD}@localhost:{}", proxy.port);
        let ca_file = world.ca_file();
        // A file of variables counts as much as the variables themselves.
        let lines = format!("{setting}={url}\n{ca_setting}={ca_file}\n");
        std::fs::write(world.stage.home.join(".env"), lines).unwrap();
        let _gateway = world.talk().await;
        assert_eq!(proxy.asked(), names(ALL), "{scheme} by `{setting}`");
        assert_eq!(proxy.refused(), 0, "{scheme} by `{setting}`");
    }
}

/// An account and a provider with a proxy of their own, and a host that takes none.
#[tokio::test(flavor = "multi_thread")]
async fn each_may_have_its_own_way() {
    let mut world = World::new().await;
    let (all, of_slack, of_model) =
        (world.proxy("http").await, world.proxy("socks5").await, world.proxy("https").await);
    let url =
        |scheme: &str, it: &Proxy| format!("{scheme}://{USER}:{PASSWORD}@localhost:{}", it.port);
    world.set("NGB_NETWORK__CA_FILE", world.ca_file());
    world.set("NGB_NETWORK__PROXY", url("http", &all));
    world.set("NGB_CHANNELS__SLACK__MAIN__NETWORK__PROXY", url("socks5", &of_slack));
    world.set("NGB_PROVIDERS__SIM__NETWORK__PROXY", url("https", &of_model));
    let gateway = world.talk().await;
    assert_eq!(of_slack.asked(), names(&["slack.test:443"]));
    assert_eq!(of_model.asked(), names(&["model.test:443"]));
    assert_eq!(all.asked(), names(&["plain.test:80", "telegram.test:443", "web.test:443"]));
    drop(gateway);

    // Reached without a proxy the name leads nowhere, and the proxy is not asked for it.
    let mut world = World::new().await;
    let all = world.proxy("http").await;
    world.set("NGB_NETWORK__CA_FILE", world.ca_file());
    world.set("NGB_NETWORK__PROXY", url("http", &all));
    world.set("NGB_NETWORK__NO_PROXY", "model.test, slack.test");
    let _gateway = world.stage.started().await;
    let why = world.trouble("slack@main").await;
    assert!(why.contains("connection failed"), "{why}");
    assert_eq!(all.asked(), names(&["telegram.test:443"]));
}

/// What people are told names the proxy and the setting, never the password.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_fails_is_named() {
    for scheme in ["http", "https", "socks5"] {
        let mut world = World::new().await;
        let proxy = world.proxy(scheme).await;
        let away = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().port()
        };
        world.set("NGB_NETWORK__CA_FILE", world.ca_file());
        world.set(
            "NGB_NETWORK__PROXY",
            format!("{scheme}://{USER}:wrong-{PASSWORD}@localhost:{}", proxy.port),
        );
        world.set(
            "NGB_CHANNELS__SLACK__MAIN__NETWORK__PROXY",
            format!("{scheme}://{USER}:{PASSWORD}@localhost:{away}"),
        );
        let _gateway = world.stage.start();
        world.stage.heard("telegram@main").await;
        let why = world.trouble("telegram@main").await;
        let named = format!(
            "the proxy {scheme}://localhost:{} (`[network] proxy`) refuses the user or password",
            proxy.port
        );
        assert!(why.contains(&named), "{why}");
        let why = world.trouble("slack@main").await;
        let named = format!(
            "the proxy {scheme}://localhost:{away} (`[channels.slack.main.network] proxy`) can't be reached"
        );
        assert!(why.contains(&named), "{why}");
        assert_eq!(proxy.asked(), BTreeSet::new());

        let ran = world.stage.output(&["run", "-p", "hello", "--timeout", "1s"]).await;
        world.stage.heard("the provider `sim` doesn't answer: the proxy").await;
        let shown = [&ran.stdout, &ran.stderr].map(|it| String::from_utf8_lossy(it).into_owned());
        let status = world.status().await.to_string();
        let log = std::fs::read_to_string(world.stage.home.join("gateway.out")).unwrap();
        for shown in shown.into_iter().chain([status, log]) {
            assert!(!shown.contains(PASSWORD), "{shown}");
        }
    }
}

/// The proxy that these tests trust is one that `curl` can use.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the referee is a process")]
async fn curl_is_satisfied_with_the_proxy() {
    let world = World::new().await;
    for scheme in ["http", "https", "socks5h"] {
        let proxy = world.proxy(scheme).await;
        for (password, url, want) in [
            (PASSWORD, "https://web.test/sim/totals", true),
            (PASSWORD, "http://plain.test/sim/totals", true),
            ("wrong", "https://web.test/sim/totals", false),
        ] {
            let through = format!("{scheme}://{USER}:{password}@localhost:{}", proxy.port);
            let ca_file = world.ca_file();
            let mut curl = Command::new("curl");
            let args = [
                "-sS",
                "-f",
                "--cacert",
                &ca_file,
                "--proxy-cacert",
                &ca_file,
                "-x",
                &through,
                url,
            ];
            let out = curl.args(args).output().await.expect("curl is there");
            assert_eq!(
                out.status.success(),
                want,
                "{scheme} {url}: {}",
                String::from_utf8_lossy(&out.stderr)
            );
        }
        assert_eq!(proxy.refused(), 1, "{scheme}");
    }
}
