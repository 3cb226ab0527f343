//! Callbacks: what is taken, and what is refused before it is read.

use std::{collections::BTreeMap, sync::Arc};

use ngb_channels::{Inbox, Intake, Offer, Pulse, Webhook, WebhookReply, supervise::keep_receiving};
use ngb_core::{clock::Clock, message::Happening, tasks::Crew};
use ngb_sim::feishu::{Config, Server};
use serde_json::json;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::stage::{accept, feishu, refuse};

struct Hook {
    server: Server,
    hooks: mpsc::Sender<Webhook>,
    offers: mpsc::Receiver<Offer>,
    _crew: Crew,
}

impl Hook {
    async fn new() -> Self {
        let config = Config::default();
        let secret = config.app_secret.clone();
        let server = Server::start(config).await.unwrap();
        let channel = Arc::new(feishu(&server, &secret, true));
        let (inbox, offers) = Inbox::new(4);
        let (hooks, webhooks) = mpsc::channel(64);
        let (state, _) = watch::channel(ngb_channels::supervise::ChannelState::Connecting);
        let stop = CancellationToken::new();
        let intake = Intake { inbox, webhooks, stop, pulse: Pulse::default() };
        let mut crew = Crew::default();
        crew.spawn("receive", keep_receiving(channel, Clock::System, intake, state));
        Self { server, hooks, offers, _crew: crew }
    }

    async fn post(&self, method: &str, parts: [String; 4]) -> oneshot::Receiver<WebhookReply> {
        let [signature, time, nonce, body] = parts;
        let names = ["x-lark-signature", "x-lark-request-timestamp", "x-lark-request-nonce"];
        let heads = names.into_iter().zip([signature, time, nonce]);
        let headers: BTreeMap<String, String> =
            heads.filter(|it| !it.1.is_empty()).map(|(name, it)| (name.to_owned(), it)).collect();
        let (reply, answer) = oneshot::channel();
        let (method, query, body) = (method.to_owned(), String::new(), body.into());
        self.hooks.send(Webhook { method, query, headers, body, reply }).await.unwrap();
        answer
    }

    fn message(&self) -> String {
        let message = json!({
            "message_id": "om_1", "chat_id": "oc_p1", "chat_type": "p2p", "message_type": "text",
            "content": "{\"text\":\"né 😀\"}", "create_time": "1700000000000",
        });
        let sender = json!({"sender_id": {"open_id": "ou_1"}, "sender_type": "user"});
        let event = json!({"sender": sender, "message": message});
        self.server.platform.words("im.message.receive_v1", event)
    }
}

#[tokio::test]
async fn a_call_is_answered_once_it_is_on_disk() {
    let mut hook = Hook::new().await;
    let platform = hook.server.platform.clone();
    let check = platform.seal(&platform.check());
    let [_, time, nonce, body] = check;
    let answer = hook.post("POST", [String::new(), time, nonce, body]).await.await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "{\"challenge\":\"c-1\"}"));
    let sealed = platform.seal(&hook.message());
    let answer = hook.post("POST", sealed.clone()).await;
    refuse(hook.offers.recv().await.unwrap());
    assert_eq!(answer.await.unwrap().status, 503, "so that it comes again");
    // The same request again is the same message, whoever sends it.
    let mut keys = Vec::new();
    for _ in 0..2 {
        let answer = hook.post("POST", sealed.clone()).await;
        let offer = hook.offers.recv().await.unwrap();
        let event = offer.events[0].clone();
        assert!(matches!(&event.what, Happening::Message(it) if it.text == "né 😀"), "{event:?}");
        keys.push(event.event_key);
        accept(offer);
        assert_eq!(answer.await.unwrap().status, 200);
    }
    assert_eq!(keys[0], keys[1]);
}

#[tokio::test]
async fn what_is_not_feishus_is_refused_unread() {
    let mut hook = Hook::new().await;
    let platform = hook.server.platform.clone();
    let words = hook.message();
    let sealed = || platform.seal(&words);
    let foreign = Server::start(Config { encrypt_key: "another".into(), ..Config::default() });
    let foreign = foreign.await.unwrap().platform;
    let wrong_token = words.replace(&Config::default().verification_token, "another");
    let with = |at: usize, what: &str| {
        let mut parts = sealed();
        parts[at] = what.to_owned();
        parts
    };
    let cut = {
        let mut parts = sealed();
        let body: serde_json::Value = serde_json::from_str(&parts[3]).unwrap();
        let words = body["encrypt"].as_str().unwrap();
        parts[3] = json!({"encrypt": &words[..words.len() - 8]}).to_string();
        parts
    };
    #[rustfmt::skip]
    let table = [
        ("no signature",          "POST", with(0, ""),                    401),
        ("a wrong signature",     "POST", with(0, &"0".repeat(64)),       401),
        ("another time",          "POST", with(1, "1"),                   401),
        ("another body",          "POST", with(3, "{}"),                  401),
        ("cut words",             "POST", cut,                            401),
        ("another key",           "POST", foreign.seal(&words),           401),
        ("another token",         "POST", platform.seal(&wrong_token),    401),
        ("a check by others",     "POST", foreign.seal(&foreign.check()), 401),
        ("a check without token", "POST", platform.seal(&json!({"type": "url_verification", "challenge": "x"}).to_string()), 401),
        ("another method",        "GET",  sealed(),                       405),
    ];
    for (name, method, parts, want) in table {
        let answer = hook.post(method, parts).await.await.unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (want, ""), "{name}");
    }
    assert!(hook.offers.try_recv().is_err(), "nothing was handed on");
    // What is Feishu's and not understood is kept, and answered.
    let answer =
        hook.post("POST", platform.seal(&platform.words("brand.new_v1", json!([[]])))).await;
    accept(hook.offers.recv().await.unwrap());
    assert_eq!(answer.await.unwrap().status, 200);
}
