//! A simulator, a number that is called and that calls, and an inbox that says what it took.

use std::{collections::BTreeMap, sync::Arc};

use ngb_channels::{
    Accepted, Channel as _, ChannelError, Delivery, Inbox, Intake, NotAccepted, Offer, Pulse,
    Webhook, WebhookReply,
    http::Http,
    supervise::{ChannelState, keep_receiving},
    whatsapp::{DEFAULT_API_VERSION, Template, Whatsapp, WhatsappConfig},
};
use ngb_core::{
    address::Place,
    clock::Clock,
    message::{Inbound, Outbound, Sent},
    secret::Secret,
    tasks::Crew,
};
use ngb_sim::whatsapp::{Config, Person, Platform, Server, signature};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

pub(crate) struct Stage {
    pub(crate) server: Server,
    pub(crate) channel: Arc<Whatsapp>,
    pub(crate) offers: mpsc::Receiver<Offer>,
    pub(crate) status: watch::Receiver<ChannelState>,
    pub(crate) pulse: Pulse,
    webhooks: mpsc::Sender<Webhook>,
    pub(crate) stop: CancellationToken,
    _crew: Crew,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::with(Config::default(), None, "EAAtestTokenOfTheSimulator").await
    }

    pub(crate) async fn with(config: Config, template: Option<Template>, token: &str) -> Self {
        _ = rustls::crypto::ring::default_provider().install_default();
        let server = Server::start(config.clone()).await.unwrap();
        let http = Http::new(reqwest::Client::builder, None, Clock::System).unwrap();
        let config = WhatsappConfig {
            account: "whatsapp@main".parse().unwrap(),
            access_token: Secret::new(token),
            phone_number_id: config.phone_number_id,
            app_secret: Secret::new(config.app_secret),
            verify_token: Secret::new(config.verify_token),
            api_url: server.url.clone(),
            api_version: DEFAULT_API_VERSION.into(),
            template,
        };
        let channel = Arc::new(Whatsapp::new(config, http, Clock::System));
        let (inbox, offers) = Inbox::new(4);
        let (webhooks, hooks) = mpsc::channel(64);
        let (state, status) = watch::channel(ChannelState::Connecting);
        let stop = CancellationToken::new();
        let pulse = Pulse::default();
        let intake = Intake { inbox, webhooks: hooks, stop: stop.clone(), pulse: pulse.clone() };
        let mut crew = Crew::default();
        let receiver = channel.clone();
        crew.spawn("receive", async move {
            keep_receiving(receiver, Clock::System, intake, state).await;
        });
        Self { server, channel, offers, status, pulse, webhooks, stop, _crew: crew }
    }

    pub(crate) fn platform(&self) -> &Platform {
        &self.server.platform
    }

    /// Posts a body with that signature.
    pub(crate) async fn post(
        &self,
        signature: Option<&str>,
        body: impl Into<Vec<u8>>,
    ) -> oneshot::Receiver<WebhookReply> {
        let name = "x-hub-signature-256".to_owned();
        let headers = signature.map(|it| (name, it.to_owned())).into_iter().collect();
        self.request("POST", "", headers, body.into()).await
    }

    pub(crate) async fn request(
        &self,
        method: &str,
        query: &str,
        headers: BTreeMap<String, String>,
        body: Vec<u8>,
    ) -> oneshot::Receiver<WebhookReply> {
        let (reply, answer) = oneshot::channel();
        let (method, query, body) = (method.to_owned(), query.to_owned(), body.into());
        self.webhooks.send(Webhook { method, query, headers, body, reply }).await.unwrap();
        answer
    }

    /// Posts a body as Meta would.
    pub(crate) async fn signed(&self, body: impl Into<Vec<u8>>) -> oneshot::Receiver<WebhookReply> {
        let body = body.into();
        let signature = signature(&Config::default().app_secret, &body);
        self.post(Some(&signature), body).await
    }

    /// What the number makes of an event, which it stores and acknowledges.
    pub(crate) async fn read(&mut self, event: &Value) -> Vec<Inbound> {
        let answer = self.signed(event.to_string()).await;
        let offer = self.offers.recv().await.unwrap();
        let events = offer.events.clone();
        accept(offer);
        assert_eq!(answer.await.unwrap().status, 200);
        events
    }

    /// What the number makes of a message by Ann.
    pub(crate) async fn hear(&mut self, message: Value) -> Inbound {
        let event = self.platform().event_of(&ann(), "wamid.A1", message);
        let mut events = self.read(&event).await;
        assert_eq!(events.len(), 1, "{events:?}");
        events.remove(0)
    }

    pub(crate) async fn send(&self, to: &str, item: &Outbound) -> Result<Sent, ChannelError> {
        let to = Place { jid: format!("whatsapp@main:{to}").parse().unwrap(), thread: None };
        self.channel.send(&Delivery { to: &to, item, key: "k", live: false }).await
    }
}

pub(crate) fn ann() -> Person {
    Person::with_phone("16505551234", "Ann")
}

pub(crate) fn accept(offer: Offer) {
    let accepted = vec![Accepted::New; offer.events.len()];
    offer.accepted.send(Ok(accepted)).unwrap();
}

pub(crate) fn refuse(offer: Offer) {
    offer.accepted.send(Err(NotAccepted::NotStored)).unwrap();
}

pub(crate) fn text(text: &str) -> Outbound {
    Outbound::Text { text: text.into(), reply_to: None, buttons: Vec::new() }
}
