//! DingTalk: frames and their acknowledgements, both doors out, cards, files and faults, against the simulator.
#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]

mod faults;
mod outbound;

use std::sync::Arc;

use ngb_channels::{
    Accepted, Channel as _, ChannelError, Delivery, Inbox, Intake, NotAccepted, Offer, Pulse,
    dingtalk::{CardTemplate, Dingtalk, DingtalkConfig},
    http::Http,
    supervise::{ChannelState, keep_receiving},
};
use ngb_core::{
    address::Place,
    clock::Clock,
    message::{Addressed, Button, Happening, Outbound, Sent},
    secret::Secret,
    tasks::Crew,
};
use ngb_sim::dingtalk::{CARD_KEY, CARD_TEMPLATE, Config, Platform, Server};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// A group, with an id as long as DingTalk's are.
const GROUP: &str = "cid6KeBBLoveMJOGXoYKF5x7EeiodoA==";

struct Stage {
    server: Server,
    channel: Arc<Dingtalk>,
    offers: mpsc::Receiver<Offer>,
    status: watch::Receiver<ChannelState>,
    _crew: Crew,
}

impl Stage {
    async fn new() -> Self {
        let stage = Self::with(|_| ()).await;
        stage.platform().wait(|it| it.sockets == 1).await;
        stage
    }

    /// With what `change` makes of the settings.
    async fn with(change: impl FnOnce(&mut DingtalkConfig)) -> Self {
        _ = rustls::crypto::ring::default_provider().install_default();
        let config = Config::default();
        let server = Server::start(config.clone()).await.unwrap();
        let http = Http::new(reqwest::Client::builder, None, Clock::System).unwrap();
        let mut config = DingtalkConfig {
            account: "dingtalk@main".parse().unwrap(),
            robot_code: config.client_id.clone(),
            client_id: config.client_id,
            client_secret: Secret::new(config.client_secret),
            card: Some(CardTemplate {
                id: CARD_TEMPLATE.into(),
                key: CARD_KEY.into(),
                stop_key: None,
            }),
            api_url: server.url.clone(),
            upload_url: server.url.clone(),
        };
        change(&mut config);
        let channel = Arc::new(Dingtalk::new(config, http, &Clock::System));
        let (inbox, offers) = Inbox::new(4);
        let (state, status) = watch::channel(ChannelState::Connecting);
        let (stop, pulse) = (CancellationToken::new(), Pulse::default());
        let intake = Intake { inbox, webhooks: mpsc::channel(1).1, stop, pulse };
        let mut crew = Crew::default();
        let receiver = channel.clone();
        crew.spawn("receive", async move {
            keep_receiving(receiver, Clock::System, intake, state).await;
        });
        Self { server, channel, offers, status, _crew: crew }
    }

    fn platform(&self) -> &Platform {
        &self.server.platform
    }

    /// The next event, stored.
    async fn hear(&mut self) -> Happening {
        let offer = self.offers.recv().await.unwrap();
        let what = offer.events[0].what.clone();
        accept(offer);
        what
    }

    async fn deliver(
        &self,
        to: &str,
        item: &Outbound,
        key: &str,
        live: bool,
    ) -> Result<Sent, ChannelError> {
        let to = Place { jid: format!("dingtalk@main:{to}").parse().unwrap(), thread: None };
        self.channel.send(&Delivery { to: &to, item, key, live }).await
    }

    async fn send(&self, to: &str, item: &Outbound) -> Result<Sent, ChannelError> {
        self.deliver(to, item, "ngb-1", false).await
    }

    /// Puts a question with two buttons; the card's name.
    async fn put_question(&self, to: &str, text: &str, key: &str) -> String {
        let button = |label: &str, value: &str| Button { label: label.into(), value: value.into() };
        let buttons = vec![button("Yes", "q:0"), button("No", "q:1")];
        let item = Outbound::Text { text: text.into(), reply_to: None, buttons };
        let sent = self.deliver(to, &item, key, false).await.unwrap();
        sent.platform_id.unwrap().strip_prefix("ask:").unwrap().to_owned()
    }
}

fn accept(offer: Offer) {
    let accepted = vec![Accepted::New; offer.events.len()];
    offer.accepted.send(Ok(accepted)).unwrap();
}

fn text(text: &str) -> Outbound {
    Outbound::Text { text: text.into(), reply_to: None, buttons: Vec::new() }
}

fn said(text: &str) -> Value {
    json!({"msgtype": "text", "text": {"content": text}})
}

#[tokio::test]
async fn frames_are_acknowledged_once_they_are_stored() {
    let mut stage = Stage::new().await;
    let id = stage.platform().writes("manager7", &said(" hi 😀 "));
    let offer = stage.offers.recv().await.unwrap();
    assert_eq!(offer.events[0].event_key, format!("m:{id}"));
    offer.accepted.send(Err(NotAccepted::NotStored)).unwrap();

    // Nobody acknowledged it, so it comes again, and a second time behind itself: the same key.
    stage.platform().repeat();
    stage.platform().repeat();
    let mut keys = Vec::new();
    while keys.len() < 2 {
        let offer = stage.offers.recv().await.unwrap();
        keys.extend(offer.events.iter().map(|it| it.event_key.clone()));
        accept(offer);
    }
    assert_eq!(keys, [format!("m:{id}"), format!("m:{id}")]);
    stage.platform().wait(|it| it.pending == 0).await;

    stage.platform().asks(GROUP, "manager7", &said("and here"));
    let Happening::Message(it) = stage.hear().await else { panic!("no message") };
    assert_eq!((it.text.as_str(), it.addressed), ("and here", Addressed::Mention));
    stage.platform().wait(|it| it.pending == 0 && it.acknowledged == 3).await;
}

#[tokio::test]
async fn pings_get_their_data_back_and_strange_frames_block_nothing() {
    let mut stage = Stage::new().await;
    let platform = stage.platform().clone();
    let ping = platform.ping();
    platform.wait(|it| it.acknowledged == 1).await;
    let answer = platform.answer(&ping).unwrap();
    assert_eq!(
        (&answer["code"], &answer["data"]),
        (&json!(200), &json!(r#"{"opaque":"0000-1111"}"#))
    );

    platform.push_text("{");
    platform.push_text(r#"{"type": "CALLBACK"}"#);
    let event = platform.push("EVENT", "*", "{}");
    platform.push("CALLBACK", "/v1.0/card/instances/callback", "{}");
    platform.push("CALLBACK", "/v1.0/im/bot/messages/get", "no JSON");
    platform.push("HOLOGRAM", "x", "{}");
    platform.writes("manager7", &said("behind them"));
    let mut kinds = Vec::new();
    while kinds.len() < 5 {
        let offer = stage.offers.recv().await.unwrap();
        kinds.extend(offer.events.iter().map(|it| match &it.what {
            Happening::Unknown { kind } => kind.clone(),
            Happening::Message(it) => it.text.clone(),
            other => panic!("{other:?}"),
        }));
        accept(offer);
    }
    let want = [
        "event *",
        "a press that is none of ours",
        "a message that is no JSON",
        "frame HOLOGRAM",
        "behind them",
    ];
    assert_eq!(kinds, want);
    platform.wait(|it| it.pending == 0).await;
    let data = platform.answer(&event).unwrap()["data"].as_str().unwrap().to_owned();
    assert!(data.contains("SUCCESS"), "{data}");
}

#[tokio::test]
async fn a_disconnect_opens_the_next_socket_before_the_last_is_closed() {
    let mut stage = Stage::new().await;
    let platform = stage.platform().clone();
    platform.writes("manager7", &said("one"));
    let held = stage.offers.recv().await.unwrap();
    platform.disconnect();
    // What came on the old socket is acknowledged while the new one is there already.
    accept(held);
    platform.wait(|it| it.opened == 2 && it.pending == 0).await;
    platform.writes("manager7", &said("two"));
    assert!(matches!(stage.hear().await, Happening::Message(it) if it.text == "two"));
    platform.wait(|it| it.pending == 0).await;
}

#[tokio::test]
async fn a_burst_is_stored_once_and_in_order() {
    let mut stage = Stage::new().await;
    let want: Vec<String> = (0..1_000).map(|it| format!("number {it}")).collect();
    for it in &want {
        stage.platform().writes("manager7", &said(it));
    }
    let mut got = Vec::new();
    while got.len() < want.len() {
        let offer = stage.offers.recv().await.unwrap();
        got.extend(offer.events.iter().map(|it| match &it.what {
            Happening::Message(it) => it.text.clone(),
            other => panic!("{other:?}"),
        }));
        accept(offer);
    }
    assert_eq!(got, want);
    stage.platform().wait(|it| it.pending == 0).await;
}
