//! A simulator, a channel that receives from it, and an inbox that says what it took.

use std::sync::Arc;

use ngb_channels::{
    Accepted, Channel, ChannelError, Delivery, Inbox, Intake, NotAccepted, Offer, Pulse, Webhook,
    http::Http,
    supervise::{ChannelState, keep_receiving},
    telegram::{Telegram, TelegramConfig, WebhookConfig},
};
use ngb_core::{
    address::{Account, Place},
    clock::Clock,
    message::{Inbound, Outbound, Sent},
    secret::Secret,
    tasks::Crew,
};
use ngb_sim::telegram::{Config, Server};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

pub(crate) struct Stage {
    pub(crate) server: Server,
    pub(crate) channel: Arc<Telegram>,
    pub(crate) offers: mpsc::Receiver<Offer>,
    pub(crate) status: watch::Receiver<ChannelState>,
    pub(crate) webhooks: mpsc::Sender<Webhook>,
    pub(crate) stop: CancellationToken,
    crew: Crew,
}

pub(crate) fn http() -> Http {
    _ = rustls::crypto::ring::default_provider().install_default();
    Http::new(reqwest::Client::builder, None, Clock::System).unwrap()
}

pub(crate) fn channel(server: &Server, token: &str, webhook: Option<WebhookConfig>) -> Telegram {
    let config = TelegramConfig {
        account: "telegram@main".parse::<Account>().unwrap(),
        token: Secret::new(token),
        api_url: server.url.clone(),
        webhook,
    };
    Telegram::new(config, http(), Clock::System)
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let server = Server::start(Config::default()).await.unwrap();
        let token = server.token.clone();
        Self::with(server, &token, None)
    }

    pub(crate) fn with(server: Server, token: &str, webhook: Option<WebhookConfig>) -> Self {
        let channel = Arc::new(channel(&server, token, webhook));
        let (inbox, offers) = Inbox::new(4);
        let (webhooks, hooks) = mpsc::channel(4);
        let (state, status) = watch::channel(ChannelState::Connecting);
        let stop = CancellationToken::new();
        let intake = Intake { inbox, webhooks: hooks, stop: stop.clone(), pulse: Pulse::default() };
        let mut stage =
            Self { server, channel, offers, status, webhooks, stop, crew: Crew::default() };
        let channel = stage.channel.clone();
        stage.crew.spawn("receive", async move {
            keep_receiving(channel, Clock::System, intake, state).await;
        });
        stage
    }

    /// The next batch; it is not answered yet.
    pub(crate) async fn offer(&mut self) -> Offer {
        self.offers.recv().await.unwrap()
    }

    /// Takes batches until there are `count` events.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<Inbound> {
        let mut taken = Vec::new();
        while taken.len() < count {
            let offer = self.offer().await;
            taken.extend(offer.events.iter().cloned());
            accept(offer);
        }
        taken
    }

    pub(crate) async fn send(&self, to: &str, item: &Outbound) -> Result<Sent, ChannelError> {
        let (chat, thread) = to.split_once('/').map_or((to, None), |(a, b)| (a, Some(b.into())));
        let jid = format!("telegram@main:{chat}").parse().unwrap();
        let place = Place { jid, thread };
        self.channel.send(&Delivery { to: &place, item, key: "k", live: false }).await
    }

    pub(crate) async fn until(&mut self, done: impl FnMut(&ChannelState) -> bool) -> ChannelState {
        self.status.wait_for(done).await.unwrap().clone()
    }
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
