//! An official bot against the simulated open platform: its gateway, its callbacks, and what it may answer.

use std::{sync::Arc, time::Duration};

use futures_util::TryStreamExt as _;
use ngb_channels::{
    Answer, Channel as _, ChannelError, Delivery, Inbox, Intake, NotAccepted, Offer, Pulse,
    Question, Retry, Webhook, WebhookReply,
    http::Http,
    qq::bot::{BotConfig, QqBot},
    supervise::{ChannelState, keep_receiving},
};
use ngb_core::{
    address::Place,
    clock::Clock,
    message::{Addressed, Happening, Inbound, Outbound, Sent},
    secret::Secret,
    tasks::Crew,
};
use ngb_sim::{
    fault::{Fault, How, When},
    qqbot::{BOT, Config, Platform, Server},
};
use serde_json::json;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::{accept, text};

struct Stage {
    platform: Platform,
    channel: Arc<QqBot>,
    offers: mpsc::Receiver<Offer>,
    status: watch::Receiver<ChannelState>,
    calls: mpsc::Sender<Webhook>,
    _server: Server,
    _crew: Crew,
}

impl Stage {
    async fn new() -> Self {
        let stage = Self::with(Config::default(), |_| ()).await;
        stage.platform.wait(|it| it.identified == 1).await;
        stage
    }

    /// With what `change` makes of the settings.
    async fn with(config: Config, change: impl FnOnce(&mut BotConfig)) -> Self {
        _ = rustls::crypto::ring::default_provider().install_default();
        let server = Server::start(config.clone()).await.unwrap();
        let mut own = BotConfig {
            account: "qq@bot".parse().unwrap(),
            app_id: config.app_id,
            secret: Secret::new(config.secret),
            webhook: false,
            guilds: true,
            api_url: server.url.clone(),
            token_url: server.token_url.clone(),
        };
        change(&mut own);
        let http = Http::new(reqwest::Client::builder, None, Clock::System).unwrap();
        let channel = Arc::new(QqBot::new(own, http));
        let (inbox, offers) = Inbox::new(4);
        let (calls, webhooks) = mpsc::channel(4);
        let (state, status) = watch::channel(ChannelState::Connecting);
        let intake =
            Intake { inbox, webhooks, stop: CancellationToken::new(), pulse: Pulse::default() };
        let mut crew = Crew::default();
        let receiver = channel.clone();
        crew.spawn("receive", async move {
            keep_receiving(receiver, Clock::System, intake, state).await;
        });
        let platform = server.platform.clone();
        Self { platform, channel, offers, status, calls, _server: server, _crew: crew }
    }

    /// The next events, stored.
    async fn take(&mut self, count: usize) -> Vec<Inbound> {
        let mut taken = Vec::new();
        while taken.len() < count {
            let offer = self.offers.recv().await.unwrap();
            taken.extend(offer.events.iter().cloned());
            accept(offer);
        }
        taken
    }

    async fn deliver(&self, to: &str, item: &Outbound, key: &str) -> Result<Sent, ChannelError> {
        let to = Place { jid: format!("qq@bot:{to}").parse().unwrap(), thread: None };
        self.channel.send(&Delivery { to: &to, item, key, live: false }).await
    }

    async fn call(&self, headers: &[(&'static str, String)], body: &str) -> WebhookReply {
        let (reply, answer) = oneshot::channel();
        let headers = headers.iter().map(|(a, b)| ((*a).to_owned(), b.clone())).collect();
        let body = body.to_owned().into();
        let request = Webhook { method: "POST".into(), query: String::new(), headers, body, reply };
        self.calls.send(request).await.unwrap();
        answer.await.unwrap()
    }
}

fn texts(events: &[Inbound]) -> Vec<&str> {
    let said = |it: &'_ Inbound| match &it.what {
        Happening::Message(_) => true,
        other => panic!("{other:?}"),
    };
    { events.iter() }
        .filter(|it| said(it))
        .filter_map(|it| match &it.what {
            Happening::Message(it) => Some(it.text.as_str()),
            _ => None,
        })
        .collect()
}

fn fault(method: &str, how: How) -> Fault {
    Fault { method: method.into(), how, when: When::Next(1) }
}

fn reply(text: &str, to: &str) -> Outbound {
    Outbound::Text { text: text.into(), reply_to: Some(to.into()), buttons: Vec::new() }
}

#[tokio::test]
async fn what_is_said_comes_and_is_answered_where_it_was_said() {
    let mut stage = Stage::new().await;
    let platform = stage.platform.clone();
    let alone = platform.writes("U1", "hi");
    let group = platform.asks("G1", "U2", "and here");
    let channel = platform.calls("7", "U3", "there");
    let got = stage.take(3).await;
    assert_eq!(texts(&got), ["hi", "and here", "there"]);
    let chats: Vec<_> = got.iter().map(|it| it.place.jid.chat()).collect();
    assert_eq!(chats, ["private_U1", "group_G1", "channel_7"]);
    let Happening::Message(it) = &got[2].what else { unreachable!() };
    assert_eq!((it.addressed, got[2].sender.name.as_str()), (Addressed::Mention, "Nick U3"));

    stage.deliver("private_U1", &Outbound::Typing, "").await.unwrap();
    for (to, id, key) in
        [("private_U1", &alone, "k1"), ("group_G1", &group, "k2"), ("channel_7", &channel, "k3")]
    {
        let sent = stage.deliver(to, &reply("**yes**", id), key).await.unwrap();
        assert!(sent.platform_id.is_some());
    }
    // More of the answer goes to the same message, with a number of its own.
    stage.deliver("group_G1", &text("and more"), "k4").await.unwrap();
    let sent = platform.sent();
    let brief: Vec<_> = { sent.iter() }
        .map(|it| {
            (
                it.to.as_str(),
                it.body["content"].as_str().unwrap(),
                it.body["msg_id"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        brief,
        [
            ("/v2/users/U1", "yes", alone.as_str()),
            ("/v2/groups/G1", "yes", &group),
            ("/channels/7", "yes", &channel),
            ("/v2/groups/G1", "and more", &group),
        ]
    );
    assert_ne!(sent[1].body["msg_seq"], sent[3].body["msg_seq"]);
    assert_eq!(sent[2].body["message_reference"]["message_id"], channel);
    let signs = platform.signs();
    assert_eq!((signs.len(), &signs[0].body["msg_id"]), (1, &json!(alone)));
    assert_eq!(platform.figures().tokens, 1, "one token for all of it");

    let who = stage.channel.ask(&Question::WhoAmI).await.unwrap();
    assert_eq!(who, Answer::Me { id: BOT.into(), name: "nano".into(), remarks: Vec::new() });
    let err = stage.deliver("U1", &text("x"), "k5").await.unwrap_err();
    assert!(format!("{:#}", anyhow::Error::from(err)).contains("it looks like `group_…`"));
}

#[tokio::test]
async fn an_answer_that_comes_twice_is_dropped_and_one_that_comes_late_is_said_of_itself() {
    let mut stage = Stage::new().await;
    let platform = stage.platform.clone();
    let asked = platform.asks("G1", "U1", "hi");
    stage.take(1).await;
    for (how, maybe_done, shown) in [(How::CutAfter, true, 1), (How::HalfBody, true, 1)] {
        platform.fault(fault("sendMessage", how.clone()));
        let first = stage.deliver("G1_", &text("x"), "").await;
        assert!(first.is_err(), "no chat, so no call");
        let sent = stage.deliver("group_G1", &reply("once", &asked), "k1").await;
        if let Err(err) = sent {
            assert_eq!((err.retry, err.maybe_done), (Retry::Backoff, maybe_done), "{how:?}");
        }
        stage.deliver("group_G1", &reply("once", &asked), "k1").await.unwrap();
        assert_eq!(platform.sent().len(), shown, "{how:?}");
    }
    // Its time is over: QQ lets few bots speak of themselves, and this one may.
    platform.expire();
    stage.deliver("group_G1", &reply("late", &asked), "k2").await.unwrap();
    let sent = platform.sent();
    assert_eq!((sent.len(), sent[1].body.get("msg_id")), (2, None));
    platform.allow_only_answers();
    let err = stage.deliver("group_G1", &reply("too late", &asked), "k3").await.unwrap_err();
    assert_eq!((err.retry, err.maybe_done), (Retry::Never, false));
    let why = format!("{:#}", anyhow::Error::from(err));
    assert!(why.contains("QQ lets this bot only answer"), "{why}");
    #[rustfmt::skip]
    let table = [
        (How::TooManyRequests { retry_after_s: 7 }, Retry::After(Duration::from_secs(7)), false),
        (How::Status { code: 502 },                 Retry::Backoff,                       true),
        (How::CutBefore,                            Retry::Backoff,                       true),
    ];
    for (how, retry, maybe_done) in table {
        platform.fault(fault("sendMessage", how.clone()));
        let err = stage.deliver("private_U1", &text("x"), "k4").await.unwrap_err();
        assert_eq!((err.retry, err.maybe_done), (retry, maybe_done), "{how:?}");
        let seen = format!("{err:?}");
        let told = format!("{seen} {:#}", anyhow::Error::from(err));
        assert!(!told.contains("token-") && !told.contains("TEST-of"), "{told}");
    }
}

#[tokio::test]
async fn a_token_that_ends_is_renewed() {
    let mut stage = Stage::new().await;
    stage.platform.writes("U1", "hi");
    stage.take(1).await;
    stage.platform.end_token();
    stage.deliver("private_U1", &text("x"), "k1").await.unwrap();
    assert_eq!(stage.platform.sent().len(), 1);
    assert_eq!(stage.platform.figures().tokens, 3);
}

#[tokio::test]
async fn what_is_not_stored_comes_again() {
    let mut stage = Stage::new().await;
    stage.platform.writes("U1", "a");
    let offer = stage.offers.recv().await.unwrap();
    let first = offer.events.clone();
    offer.accepted.send(Err(NotAccepted::NotStored)).unwrap();
    stage.platform.wait(|it| it.resumed == 1).await;
    assert_eq!(stage.take(1).await, first);
    stage.platform.writes("U1", "b");
    assert_eq!(texts(&stage.take(1).await), ["b"]);
}

#[tokio::test]
async fn every_end_of_a_socket_is_survived() {
    #[rustfmt::skip]
    let ends = [
        (None,       false), (Some(1000), false), (Some(4008), false), (Some(4009), false),
        (Some(4006), true),  (Some(4901), true),
    ];
    for (end, is_new) in ends {
        let mut stage = Stage::new().await;
        let platform = stage.platform.clone();
        platform.writes("U1", "before");
        assert_eq!(texts(&stage.take(1).await), ["before"], "{end:?}");
        platform.close(end);
        let figures = platform.wait(|it| it.identified + it.resumed == 2).await;
        assert_eq!(figures.resumed, u64::from(!is_new), "{end:?}: {figures:?}");
        platform.writes("U1", "after");
        assert_eq!(texts(&stage.take(1).await), ["after"], "{end:?}");
    }
    let mut stage = Stage::new().await;
    stage.platform.end_token();
    stage.platform.close(Some(4004));
    stage.platform.wait(|it| it.resumed == 1).await;
    stage.platform.frame(json!({"op": 7}).to_string());
    stage.platform.wait(|it| it.resumed == 2).await;
    stage.platform.forget_session();
    stage.platform.close(None);
    stage.platform.wait(|it| it.identified == 2).await;
    for frame in ["", "{", "null", "17", "[]", "{\"op\":0}", "{\"op\":99}"] {
        stage.platform.frame(frame);
    }
    stage.platform.writes("U1", "behind them");
    let got = stage.take(2).await;
    assert_eq!(got[0].what, Happening::Unknown { kind: "no type".into() });
    assert_eq!(texts(&got[1..]), ["behind them"]);
}

#[tokio::test]
async fn heartbeats_are_kept() {
    let config = Config { heartbeat: Duration::from_millis(100), ..Config::default() };
    let stage = Stage::with(config, |_| ()).await;
    stage.platform.wait(|it| 3 <= it.heartbeats).await;
    assert_eq!(stage.platform.figures().opened, 1);
}

#[tokio::test]
async fn a_burst_is_stored_once_and_in_order() {
    const COUNT: usize = 1_000;
    let mut stage = Stage::new().await;
    for at in 0..COUNT {
        stage.platform.writes("U1", &at.to_string());
    }
    let got = stage.take(COUNT).await;
    let order: Vec<usize> = texts(&got).iter().map(|it| it.parse().unwrap()).collect();
    assert_eq!(order, (0..COUNT).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_can_not_work_is_down_and_says_so() {
    let wrong = |it: &mut BotConfig| it.secret = Secret::new("wrong-one");
    let no_guilds = Config { guilds: false, ..Config::default() };
    let mut stages = [
        (Stage::with(Config::default(), wrong).await, "the app id or the secret is wrong"),
        (Stage::with(no_guilds.clone(), |_| ()).await, "set `guilds = false`"),
    ];
    for (stage, want) in &mut stages {
        let down = |it: &ChannelState| matches!(it, ChannelState::Down { .. });
        let ChannelState::Down { why } = stage.status.wait_for(down).await.unwrap().clone() else {
            unreachable!()
        };
        assert!(why.contains(*want) && !why.contains("wrong-one"), "{why}");
    }
    let stage = Stage::with(no_guilds, |it| it.guilds = false).await;
    stage.platform.wait(|it| it.identified == 1).await;
}

#[tokio::test]
async fn files_both_ways() {
    let mut stage = Stage::new().await;
    let platform = stage.platform.clone();
    let file = platform.add_file("../a.pdf", "file", "what the file says");
    let body = json!({"author": {"user_openid": "U1"}, "content": "", "attachments": [file]});
    platform.say("C2C_MESSAGE_CREATE", body);
    let got = stage.take(1).await;
    let Happening::Message(message) = &got[0].what else { panic!("{got:?}") };
    assert_eq!(message.media[0].name, "a.pdf");
    let stream = stage.channel.fetch(&message.media[0]).await.unwrap();
    let bytes: Vec<_> = stream.try_collect().await.unwrap();
    assert_eq!(bytes.concat(), b"what the file says");

    let dir = tempfile::tempdir().unwrap();
    let mut at = 0;
    for (to, name, caption) in [
        ("private_U1", "p.png", "see"),
        ("private_U1", "a.pdf", "read"),
        ("channel_7", "p.png", "see"),
    ] {
        let path = dir.path().join(name);
        std::fs::write(&path, name).unwrap();
        let item =
            Outbound::File { path, name: name.into(), caption: caption.into(), reply_to: None };
        at += 1;
        stage.deliver(to, &item, &format!("k{at}")).await.unwrap();
        let last = platform.sent().pop().unwrap().body;
        let id = last["media"]["file_info"].as_str().or(last["file_image"].as_str()).unwrap();
        assert_eq!(platform.file(id).unwrap(), name.as_bytes(), "{last}");
    }
    let words: Vec<_> = platform.sent().iter().map(|it| it.body["content"].clone()).collect();
    assert_eq!(words, ["see", "read", " ", "see"]);
    for (to, name, bytes) in [("channel_7", "a.pdf", "x"), ("private_U1", "empty.png", "")] {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let item =
            Outbound::File { path, name: name.into(), caption: String::new(), reply_to: None };
        assert_eq!(stage.deliver(to, &item, "k9").await.unwrap_err().retry, Retry::Never);
    }
}

#[tokio::test]
async fn callbacks_are_signed_and_answered_once_they_are_stored() {
    let mut stage = Stage::with(Config::default(), |it| it.webhook = true).await;
    let platform = stage.platform.clone();
    let up = |it: &ChannelState| *it == ChannelState::Up;
    stage.status.wait_for(up).await.unwrap();
    assert!(stage.channel.profile().webhook);

    let (headers, body) = platform.callback("U1", "hi 😀");
    let offered = async {
        let offer = stage.offers.recv().await.unwrap();
        let event = offer.events[0].clone();
        accept(offer);
        event
    };
    let calls = stage.calls.clone();
    let (reply, answer) = oneshot::channel();
    let named = headers.iter().map(|(a, b)| ((*a).to_owned(), b.clone())).collect();
    let bytes = body.clone().into();
    let request =
        Webhook { method: "POST".into(), query: String::new(), headers: named, body: bytes, reply };
    calls.send(request).await.unwrap();
    let event = offered.await;
    assert_eq!(texts(&[event]), ["hi 😀"]);
    let answer = answer.await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "{\"op\":12}"));

    let check = json!({"op": 13, "d": {"plain_token": "abc", "event_ts": "1725442341"}});
    let (headers, body) = platform.signed(&check);
    let answer = stage.call(&headers, &body).await;
    let said: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(
        (&said["plain_token"], said["signature"].as_str().unwrap().len()),
        (&json!("abc"), 128)
    );

    let other = body.replace("abc", "abd");
    assert_eq!(stage.call(&headers, &other).await.status, 401, "changed on the way");
    assert_eq!(stage.call(&[], &body).await.status, 401, "not signed");
}
