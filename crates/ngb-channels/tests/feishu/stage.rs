//! A simulator, a channel that receives from it, and an inbox that says what it took.

use std::sync::Arc;

use ngb_channels::{
    Accepted, Channel, ChannelError, Delivery, Inbox, Intake, Mark, Marks, NotAccepted, Offer,
    Pulse,
    feishu::{Callbacks, Feishu, FeishuConfig},
    http::Http,
    supervise::{ChannelState, keep_receiving},
};
use ngb_core::{
    address::Place,
    clock::Clock,
    message::{Inbound, Outbound, Sent},
    secret::Secret,
    tasks::Crew,
};
use ngb_sim::feishu::{Config, Platform, Server};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

pub(crate) struct Stage {
    _server: Server,
    pub(crate) platform: Platform,
    pub(crate) channel: Arc<Feishu>,
    pub(crate) offers: mpsc::Receiver<Offer>,
    pub(crate) status: watch::Receiver<ChannelState>,
    /// Never fires.
    _stop: CancellationToken,
    crew: Crew,
}

pub(crate) fn feishu(server: &Server, app_secret: &str, callbacks: bool) -> Feishu {
    _ = rustls::crypto::ring::default_provider().install_default();
    let config = Config::default();
    let callbacks = callbacks.then(|| Callbacks {
        encrypt_key: Secret::new(&*config.encrypt_key),
        verification_token: Some(Secret::new(&*config.verification_token)),
    });
    let config = FeishuConfig {
        account: "feishu@main".parse().unwrap(),
        app_id: config.app_id,
        app_secret: Secret::new(app_secret),
        api_url: server.url.clone(),
        callbacks,
    };
    let http = Http::new(reqwest::ClientBuilder::new, None, Clock::System).unwrap();
    Feishu::new(config, http)
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let stage = Self::with(Config::default(), "", Vec::new()).await;
        stage.platform.wait(|it| it.sockets == 1).await;
        stage
    }

    /// With this secret (the right one, when it is empty), and where its places stand.
    pub(crate) async fn with(config: Config, secret: &str, marks: Vec<Mark>) -> Self {
        let right = config.app_secret.clone();
        let server = Server::start(config).await.unwrap();
        let secret = if secret.is_empty() { &right } else { secret };
        let channel = Arc::new(feishu(&server, secret, false));
        let (inbox, offers) = Inbox::new(4);
        let inbox = inbox.with_marks(Marks::new(move || std::future::ready(Ok(marks.clone()))));
        let (_, webhooks) = mpsc::channel(1);
        let (state, status) = watch::channel(ChannelState::Connecting);
        let stop = CancellationToken::new();
        let intake = Intake { inbox, webhooks, stop: stop.clone(), pulse: Pulse::default() };
        let platform = server.platform.clone();
        let crew = Crew::default();
        let mut stage =
            Self { _server: server, platform, channel, offers, status, _stop: stop, crew };
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
        self.send_as(to, item, "k-1").await
    }

    pub(crate) async fn send_as(
        &self,
        to: &str,
        item: &Outbound,
        key: &str,
    ) -> Result<Sent, ChannelError> {
        self.deliver(to, item, key, false).await
    }

    pub(crate) async fn deliver(
        &self,
        to: &str,
        item: &Outbound,
        key: &str,
        live: bool,
    ) -> Result<Sent, ChannelError> {
        self.channel.send(&Delivery { to: &place(to), item, key, live }).await
    }

    pub(crate) async fn until(&mut self, done: impl FnMut(&ChannelState) -> bool) -> ChannelState {
        self.status.wait_for(done).await.unwrap().clone()
    }
}

pub(crate) fn place(to: &str) -> Place {
    let (chat, thread) = to.split_once('/').map_or((to, None), |(a, b)| (a, Some(b.into())));
    Place { jid: format!("feishu@main:{chat}").parse().unwrap(), thread }
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
