//! QQ by OneBot: both directions, both forms of messages, tokens, heartbeats, sends, files and faults, against the simulator.
#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]

mod counterpart;
mod official;
mod outbound;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use ngb_channels::{
    Accepted, Channel as _, ChannelError, Delivery, Inbox, Intake, NotAccepted, Offer, Pulse,
    http::Http,
    qq::{Qq, QqConfig, Way},
    supervise::{ChannelState, keep_receiving},
};
use ngb_core::{
    address::Place,
    clock::Clock,
    message::{Addressed, Happening, Outbound, Sent},
    secret::Secret,
    tasks::Crew,
};
use ngb_sim::qq::{Account, Config, Server};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// An adapter that runs.
struct Ours {
    channel: Arc<Qq>,
    offers: mpsc::Receiver<Offer>,
    status: watch::Receiver<ChannelState>,
    _crew: Crew,
}

impl Ours {
    fn new(way: Way, token: &str) -> Self {
        _ = rustls::crypto::ring::default_provider().install_default();
        let http = Http::new(reqwest::Client::builder, None, Clock::System).unwrap();
        let (account, token) = ("qq@main".parse().unwrap(), Secret::new(token));
        let config = QqConfig { account, way, token, pace: Duration::ZERO };
        let channel = Arc::new(Qq::new(config, http));
        let (inbox, offers) = Inbox::new(4);
        let (state, status) = watch::channel(ChannelState::Connecting);
        let (stop, pulse) = (CancellationToken::new(), Pulse::default());
        let intake = Intake { inbox, webhooks: mpsc::channel(1).1, stop, pulse };
        let mut crew = Crew::default();
        let receiver = channel.clone();
        crew.spawn("receive", async move {
            keep_receiving(receiver, Clock::System, intake, state).await;
        });
        Self { channel, offers, status, _crew: crew }
    }

    /// The next event, stored.
    async fn hear(&mut self) -> Happening {
        let offer = self.offers.recv().await.unwrap();
        let what = offer.events[0].what.clone();
        accept(offer);
        what
    }

    async fn send(&self, to: &str, item: &Outbound) -> Result<Sent, ChannelError> {
        let to = Place { jid: format!("qq@main:{to}").parse().unwrap(), thread: None };
        self.channel.send(&Delivery { to: &to, item, key: "k", live: false }).await
    }

    async fn down(&mut self) -> String {
        let down =
            self.status.wait_for(|it| matches!(it, ChannelState::Down { .. })).await.unwrap();
        let ChannelState::Down { why } = &*down else { unreachable!() };
        why.clone()
    }
}

/// Both sides, forward.
async fn forward(config: Config) -> (Server, Account, Ours) {
    let token = config.token.clone();
    let server = Server::start(config).await.unwrap();
    let ours = Ours::new(Way::Forward { url: server.url.clone() }, &token);
    let account = server.account.clone();
    account.until_lines(1, 1).await;
    (server, account, ours)
}

fn accept(offer: Offer) {
    let accepted = vec![Accepted::New; offer.events.len()];
    offer.accepted.send(Ok(accepted)).unwrap();
}

fn text(text: &str) -> Outbound {
    Outbound::Text { text: text.into(), reply_to: None, buttons: Vec::new() }
}

fn said(text: &str) -> Value {
    json!([{"type": "text", "data": {"text": text}}])
}

/// A port that nobody has.
async fn free_port() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

#[tokio::test]
async fn both_forms_say_the_same() {
    for cq in [false, true] {
        let (_server, account, mut ours) = forward(Config { cq, ..Config::default() }).await;
        let id = account.says(
            20_001,
            Some(42),
            &json!([
                {"type": "reply", "data": {"id": "7"}},
                {"type": "at", "data": {"qq": "10000"}},
                {"type": "text", "data": {"text": " [CQ:at,qq=1] & 😀, "}},
            ]),
        );
        let offer = ours.offers.recv().await.unwrap();
        let event = &offer.events[0];
        assert_eq!(event.event_key, format!("m:group_42:{id}"));
        assert_eq!(
            (event.place.jid.chat(), event.sender.name.as_str()),
            ("group_42", "Nick 20001")
        );
        let Happening::Message(it) = &event.what else { panic!("{:?}", event.what) };
        assert_eq!((it.text.as_str(), it.addressed), ("[CQ:at,qq=1] & 😀,", Addressed::Mention));
        assert_eq!((it.platform_id.clone(), it.reply_to.as_deref()), (id.to_string(), Some("7")));
        accept(offer);
        // Our own messages come back to us, and heartbeats come: neither is news.
        account.says(10_000, Some(42), &said("mine"));
        account.beat(30_000);
        account.event(&json!({"post_type": "notice", "notice_type": "group_recall", "group_id": 42, "user_id": 20_001, "message_id": id}));
        let what = ours.hear().await;
        assert_eq!(what, Happening::Delete { platform_id: id.to_string() });
    }
}

#[tokio::test]
async fn a_handshake_is_no_success() {
    // NapCat lets a wrong token in, says 1403 and hangs up.
    let server = Server::start(Config::default()).await.unwrap();
    let mut ours = Ours::new(Way::Forward { url: server.url.clone() }, "wrong");
    let why = ours.down().await;
    assert!(why.contains("1403") && why.contains("token"), "{why}");
    assert!(!why.contains("wrong"), "{why}");
}

#[tokio::test]
async fn events_are_held_until_they_are_stored_and_a_cut_is_mended() {
    let (_server, account, mut ours) = forward(Config::default()).await;
    account.says(20_001, None, &said("one"));
    let offer = ours.offers.recv().await.unwrap();
    offer.accepted.send(Err(NotAccepted::NotStored)).unwrap();
    assert!(matches!(ours.hear().await, Happening::Message(it) if it.text == "one"));
    account.cut();
    account.until_lines(1, 2).await;
    account.push("{");
    account.push(r#"{"post_type": "hologram"}"#);
    account.says(20_001, None, &said("two"));
    let mut got = Vec::new();
    while got.len() < 2 {
        let offer = ours.offers.recv().await.unwrap();
        got.extend(offer.events.iter().map(|it| it.what.clone()));
        accept(offer);
    }
    assert_eq!(got[0], Happening::Unknown { kind: "hologram".into() });
    assert!(matches!(&got[1], Happening::Message(it) if it.text == "two"));
}

#[tokio::test]
async fn frames_with_whole_pictures_in_them_are_taken() {
    let (_server, account, mut ours) = forward(Config::default()).await;
    let picture = format!("base64://{}", "A".repeat(40 << 20));
    account.says(
        20_001,
        None,
        &json!([
            {"type": "image", "data": {"file": picture}}, {"type": "text", "data": {"text": "see"}},
        ]),
    );
    assert!(matches!(ours.hear().await, Happening::Message(it) if it.text == "[image]see"));
}

#[tokio::test]
async fn a_burst_is_stored_once_and_in_order() {
    let (_server, account, mut ours) = forward(Config::default()).await;
    let want: Vec<String> = (0..1_000).map(|it| format!("number {it}")).collect();
    for it in &want {
        account.says(20_001, Some(42), &said(it));
    }
    let mut got = Vec::new();
    while got.len() < want.len() {
        let offer = ours.offers.recv().await.unwrap();
        got.extend(offer.events.iter().map(|it| match &it.what {
            Happening::Message(it) => it.text.clone(),
            other => panic!("{other:?}"),
        }));
        accept(offer);
    }
    assert_eq!(got, want);
}

#[tokio::test]
async fn reverse_wants_the_token_before_the_upgrade_and_the_newest_counts() {
    let listen = free_port().await;
    let config = Config::default();
    let mut server = Server::start(config.clone()).await.unwrap();
    let account = server.account.clone();
    let mut ours = Ours::new(Way::Reverse { listen }, &config.token);
    let url = format!("ws://{listen}/onebot/v11/ws");
    // It listens once it is polled.
    while tokio::net::TcpStream::connect(listen).await.is_err() {}
    for (token, status) in [("wrong", "403"), ("", "401")] {
        let err = server.call(&url, token).await.unwrap_err().to_string();
        assert!(err.contains(status), "{token}: {err}");
    }
    server.call(&url, &config.token).await.unwrap();
    account.until_lines(1, 1).await;
    account.says(20_001, None, &said("one"));
    assert!(matches!(ours.hear().await, Happening::Message(it) if it.text == "one"));
    ours.send("private_20001", &text("1")).await.unwrap();

    // Another one, while the first is still there: the first is closed, calls go to the second.
    server.call(&url, &config.token).await.unwrap();
    account.until_lines(1, 2).await;
    ours.send("private_20001", &text("2")).await.unwrap();
    account.says(20_001, None, &said("two"));
    assert!(matches!(ours.hear().await, Happening::Message(it) if it.text == "two"));
    account.cut();
    account.until_lines(0, 2).await;
    server.call(&url, &config.token).await.unwrap();
    account.until_lines(1, 3).await;
    account.says(20_001, None, &said("three"));
    assert!(matches!(ours.hear().await, Happening::Message(it) if it.text == "three"));
    assert_eq!(account.sent().len(), 2);
}
