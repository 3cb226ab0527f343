//! WeCom: encrypted callbacks, sends and faults, against the simulator.
#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]

mod bot;

use std::{collections::BTreeMap, sync::Arc};

use futures_util::TryStreamExt as _;
use ngb_channels::{
    Accepted, Answer, Channel as _, ChannelError, Delivery, Inbox, Intake, NotAccepted, Offer,
    Pulse, Question, Retry, Webhook, WebhookReply,
    http::Http,
    supervise::{ChannelState, keep_receiving},
    wecom::{Mode, Wecom, WecomConfig},
};
use ngb_core::{
    address::Place,
    clock::Clock,
    message::{Happening, MediaKind, MediaRef, Outbound, Sent},
    secret::Secret,
    tasks::Crew,
};
use ngb_sim::wecom::{Call, Config, Fault, How, Server, When, encrypt};
use proptest::prelude::*;
use serde_json::json;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

struct Stage {
    server: Server,
    channel: Arc<Wecom>,
    offers: mpsc::Receiver<Offer>,
    status: watch::Receiver<ChannelState>,
    webhooks: mpsc::Sender<Webhook>,
    _crew: Crew,
}

fn app(config: &Config) -> Mode {
    Mode::App {
        corp_id: config.corp_id.clone(),
        agent_id: config.agent_id,
        secret: Secret::new(&*config.secret),
        token: Secret::new(&*config.token),
        encoding_aes_key: Secret::new(&*config.encoding_aes_key),
    }
}

impl Stage {
    async fn new() -> Self {
        let config = Config::default();
        let mode = app(&config);
        Self::with(config, mode).await
    }

    /// An AI bot, with what `change` makes of its settings.
    async fn bot(change: impl FnOnce(Mode) -> Mode) -> Self {
        let config = Config::default();
        let server = Server::start(config.clone()).await.unwrap();
        let secret = Secret::new(&*config.bot_secret);
        let mode = Mode::Bot { bot_id: config.bot_id, secret, ws_url: server.ws_url.clone() };
        Self::at(server, change(mode))
    }

    async fn with(config: Config, mode: Mode) -> Self {
        Self::at(Server::start(config).await.unwrap(), mode)
    }

    fn at(server: Server, mode: Mode) -> Self {
        _ = rustls::crypto::ring::default_provider().install_default();
        let http = Http::new(reqwest::Client::builder, None, Clock::System).unwrap();
        let account = "wecom@main".parse().unwrap();
        let config = WecomConfig { account, api_url: server.url.clone(), mode };
        let channel = Arc::new(Wecom::new(config, http, Clock::System).unwrap());
        let (inbox, offers) = Inbox::new(4);
        let (webhooks, hooks) = mpsc::channel(8);
        let (state, status) = watch::channel(ChannelState::Connecting);
        let stop = CancellationToken::new();
        let intake = Intake { inbox, webhooks: hooks, stop, pulse: Pulse::default() };
        let mut crew = Crew::default();
        let receiver = channel.clone();
        crew.spawn("receive", async move {
            keep_receiving(receiver, Clock::System, intake, state).await;
        });
        Self { server, channel, offers, status, webhooks, _crew: crew }
    }

    async fn ask(&self, method: &str, query: &str, body: &str) -> oneshot::Receiver<WebhookReply> {
        let (reply, answer) = oneshot::channel();
        let (method, query, body) = (method.to_owned(), query.to_owned(), body.to_owned().into());
        let headers = BTreeMap::new();
        self.webhooks.send(Webhook { method, query, headers, body, reply }).await.unwrap();
        answer
    }

    async fn post(&self, call: &Call) -> oneshot::Receiver<WebhookReply> {
        self.ask("POST", &call.query, &call.body).await
    }

    async fn send(&self, to: &str, item: &Outbound) -> Result<Sent, ChannelError> {
        let to = Place { jid: format!("wecom@main:{to}").parse().unwrap(), thread: None };
        self.channel.send(&Delivery { to: &to, item, key: "k", live: false }).await
    }
}

fn accept(offer: Offer) {
    let accepted = vec![Accepted::New; offer.events.len()];
    offer.accepted.send(Ok(accepted)).unwrap();
}

fn text(text: &str) -> Outbound {
    Outbound::Text { text: text.into(), reply_to: None, buttons: Vec::new() }
}

#[tokio::test]
async fn messages_are_stored_before_they_are_taken() {
    let mut stage = Stage::new().await;
    let call = stage.server.company.text("zhangsan", "77", "你好 <b> & 😀");
    let first = stage.post(&call).await;
    let offer = stage.offers.recv().await.unwrap();
    offer.accepted.send(Err(NotAccepted::NotStored)).unwrap();
    assert_eq!(first.await.unwrap().status, 503);
    let again = stage.post(&call).await;
    let offer = stage.offers.recv().await.unwrap();
    let event = &offer.events[0];
    assert_eq!((event.event_key.as_str(), event.place.jid.chat()), ("77", "zhangsan"));
    assert!(matches!(&event.what, Happening::Message(it) if it.text == "你好 <b> & 😀"));
    accept(offer);
    let reply = again.await.unwrap();
    assert_eq!((reply.status, reply.body.as_str()), (200, ""));
}

#[tokio::test]
async fn who_is_not_wecom_gets_in_with_nothing() {
    let mut stage = Stage::new().await;
    let config = Config::default();
    let good = stage.server.company.text("u", "1", "x");
    let other_key = Config {
        encoding_aes_key: "aWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C".into(),
        ..config.clone()
    };
    let other_corp = Config { corp_id: "ww000".into(), ..config.clone() };
    let other_token = Config { token: "else".into(), ..config.clone() };
    let words = good.body.split("<Encrypt><![CDATA[").nth(1).unwrap().split("]]>").next().unwrap();
    let cut = encrypt(&config, "x").body;
    #[rustfmt::skip]
    let table = [
        ("",                              good.body.clone()),
        (good.query.as_str(),             String::new()),
        (good.query.as_str(),             "<xml><Encrypt>AAAA</Encrypt></xml>".into()),
        (good.query.as_str(),             cut),
        (good.query.as_str(),             good.body.replace(words, &words[..words.len() - 4])),
        (good.query.as_str(),             format!("<!DOCTYPE x [<!ENTITY e \"y\">]>{}", good.body)),
        (good.query.as_str(),             "x".repeat((1 << 20) + 1)),
    ];
    for (query, body) in table {
        let got = stage.ask("POST", query, &body).await.await.unwrap();
        assert_eq!(
            (got.status, got.body.as_str()),
            (403, ""),
            "{query} {}",
            &body[..body.len().min(80)]
        );
    }
    for config in [other_key, other_corp, other_token] {
        let call = encrypt(&config, "<xml><MsgId>1</MsgId></xml>");
        assert_eq!(stage.post(&call).await.await.unwrap().status, 403, "{}", config.corp_id);
        let got = stage.ask("GET", &call.echo, "").await.await.unwrap();
        assert_eq!((got.status, got.body.as_str()), (403, ""));
    }
    assert!(stage.offers.try_recv().is_err(), "nothing was offered");
    let good = encrypt(&config, "1616140317555161061");
    let got = stage.ask("GET", &good.echo, "").await.await.unwrap();
    assert_eq!((got.status, got.body.as_str()), (200, "1616140317555161061"));
    // Signed, and still nothing that can be read: it is kept, and nothing comes again for ever.
    for inner in ["no XML", "<!DOCTYPE x [<!ENTITY e \"y\">]><xml><Content>&e;</Content></xml>"] {
        let answer = stage.post(&encrypt(&config, inner)).await;
        let offer = stage.offers.recv().await.unwrap();
        assert!(
            matches!(&offer.events[0].what, Happening::Unknown { kind } if kind.starts_with("no XML"))
        );
        accept(offer);
        assert_eq!(answer.await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn sends_of_an_app() {
    let stage = Stage::new().await;
    let sent = stage.send("zhangsan", &text("**hi** [you](https://x.y)")).await.unwrap();
    assert!(sent.platform_id.unwrap().starts_with("msg-"));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.pdf");
    std::fs::write(&path, "bytes of it").unwrap();
    let file = Outbound::File { path, name: "a.pdf".into(), caption: "see".into(), reply_to: None };
    stage.send("zhangsan", &file).await.unwrap();
    let got = stage.server.company.sent();
    let want = json!({
        "touser": "zhangsan", "agentid": 1_000_002, "msgtype": "markdown",
        "markdown": {"content": "**hi** [you](https://x.y)"},
    });
    assert_eq!(got[0], want);
    assert_eq!(got[1]["markdown"]["content"], "see");
    let id = got[2]["file"]["media_id"].as_str().unwrap();
    assert_eq!(&*stage.server.company.file(id).unwrap(), b"bytes of it");

    let media = |reference: &str| MediaRef {
        kind: MediaKind::Document,
        reference: reference.into(),
        name: "a".into(),
        media_type: None,
        size_bytes: None,
    };
    let stream = stage.channel.fetch(&media(id)).await.unwrap();
    let chunks: Vec<_> = stream.try_collect().await.unwrap();
    assert_eq!(chunks.concat(), b"bytes of it");
    assert!(stage.channel.fetch(&media("gone")).await.is_err());
    let who = stage.channel.ask(&Question::WhoAmI).await.unwrap();
    assert!(matches!(who, Answer::Me { name, .. } if name == "Nano"));
}

#[tokio::test]
async fn a_token_is_renewed_once_by_one_flight() {
    let stage = Stage::new().await;
    let hi = text("x");
    let both = futures_util::future::join(stage.send("a", &hi), stage.send("b", &hi)).await;
    assert!(both.0.is_ok() && both.1.is_ok());
    assert_eq!(stage.server.company.tokens(), 1, "the proof at the start and both sends share one");
    stage.server.company.end_token();
    let both = futures_util::future::join(stage.send("a", &hi), stage.send("b", &hi)).await;
    assert!(both.0.is_ok() && both.1.is_ok());
    assert_eq!(stage.server.company.tokens(), 3, "one that ended, one new");
}

#[tokio::test]
async fn each_fault_says_what_next() {
    let stage = Stage::new().await;
    let minute = std::time::Duration::from_secs(60);
    #[rustfmt::skip]
    let table = [
        (How::TooManyRequests { retry_after_s: 1 }, Retry::After(minute), false, false),
        (How::Status { code: 502 },                 Retry::Backoff,       true,  false),
        (How::CutBefore,                            Retry::Backoff,       true,  false),
        (How::CutAfter,                             Retry::Backoff,       true,  true),
        (How::HalfBody,                             Retry::Backoff,       true,  true),
    ];
    for (how, retry, maybe_done, done) in table {
        let before = stage.server.company.sent().len();
        let method = "message/send".into();
        stage.server.company.fault(Fault { method, how: how.clone(), when: When::Next(1) });
        let err = stage.send("a", &text("x")).await.unwrap_err();
        assert_eq!((err.retry, err.maybe_done), (retry, maybe_done), "{how:?}: {err:?}");
        let said = format!("{err:?}");
        assert!(!said.contains("token-") && !said.contains("secret-of"), "{said}");
        assert_eq!(before < stage.server.company.sent().len(), done, "{how:?}");
    }
    let err = stage.send("nobody", &text("x")).await.unwrap_err();
    assert_eq!(err.retry, Retry::Never);
    assert!(format!("{:#}", anyhow::Error::from(err)).contains("visible range"));
    let err = stage.send("a", &text(&"字".repeat(700))).await.unwrap_err();
    assert!(format!("{:#}", anyhow::Error::from(err)).contains("2048 bytes"));
}

#[tokio::test]
async fn wrong_credentials_stop_this_account_with_the_reason() {
    let config = Config::default();
    let Mode::App { corp_id, agent_id, token, encoding_aes_key, .. } = app(&config) else {
        unreachable!()
    };
    let secret = Secret::new("old");
    let mode = Mode::App { corp_id, agent_id, secret, token, encoding_aes_key };
    let mut stage = Stage::with(config, mode).await;
    let down = stage.status.wait_for(|it| matches!(it, ChannelState::Down { .. })).await.unwrap();
    let ChannelState::Down { why } = &*down else { unreachable!() };
    assert!(why.contains("40001") && why.contains("secret"), "{why}");
}

#[tokio::test]
async fn a_robot_writes_to_its_group() {
    let config = Config::default();
    let mode = Mode::Robot { key: Secret::new(&*config.robot_key) };
    let stage = Stage::with(config, mode).await;
    assert!(!stage.channel.profile().webhook);
    let sent = stage.send("group", &text("# T\n\n- a")).await.unwrap();
    assert_eq!(sent, Sent::default());
    let want = json!({"msgtype": "markdown", "markdown": {"content": "# T\n\n- a"}});
    assert_eq!(stage.server.company.sent(), [want]);
    let mode = Mode::Robot { key: Secret::new("gone") };
    let stage = Stage::with(Config::default(), mode).await;
    let err = stage.send("group", &text("x")).await.unwrap_err();
    let said = format!("{err:?}") + &format!("{:#}", anyhow::Error::from(err));
    assert!(said.contains("93000") && !said.contains("key=gone"), "{said}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_key_and_any_length(key in "[A-Za-z0-9]{43}", content in "[a-z日😀]{0,200}") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let config = Config { encoding_aes_key: key.clone(), ..Config::default() };
            let mode = app(&config);
            let mut stage = Stage::with(config, mode).await;
            let answer = stage.post(&stage.server.company.text("u", "1", &format!("x{content}"))).await;
            let offer = stage.offers.recv().await.unwrap();
            assert!(matches!(&offer.events[0].what, Happening::Message(it) if it.text == format!("x{content}")));
            accept(offer);
            assert_eq!(answer.await.unwrap().status, 200);
        });
    }
}
