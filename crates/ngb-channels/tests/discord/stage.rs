//! A simulator, a channel that receives from it, and an inbox that says what it took.

use std::sync::Arc;

use ngb_channels::{
    Accepted, Channel, ChannelError, Delivery, Inbox, Intake, Mark, Marks, NotAccepted, Offer,
    Pulse,
    discord::{Discord, DiscordConfig},
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
use ngb_sim::discord::{Config, GENERAL, Platform, Server};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

pub(crate) struct Stage {
    pub(crate) server: Server,
    pub(crate) platform: Platform,
    pub(crate) channel: Arc<Discord>,
    pub(crate) offers: mpsc::Receiver<Offer>,
    pub(crate) status: watch::Receiver<ChannelState>,
    pub(crate) pulse: Pulse,
    /// Never fires.
    _stop: CancellationToken,
    crew: Crew,
}

pub(crate) fn discord(server: &Server, token: &str) -> Discord {
    _ = rustls::crypto::ring::default_provider().install_default();
    let config = DiscordConfig {
        account: "discord@main".parse().unwrap(),
        token: Secret::new(token),
        api_url: server.url.clone(),
    };
    let http = Http::new(reqwest::ClientBuilder::new, None, Clock::System).unwrap();
    Discord::new(config, http)
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let server = Server::start(Config::default()).await.unwrap();
        let token = server.token.clone();
        let mut stage = Self::with(server, &token, Vec::new());
        stage.greet().await;
        stage
    }

    /// Returns once the session is settled: what was held until then comes.
    pub(crate) async fn greet(&mut self) {
        self.platform.wait(|it| it.seq == 2).await;
        self.platform.say(GENERAL, "1", "first");
        self.take(1).await;
    }

    /// With this token, and where its places stand.
    pub(crate) fn with(server: Server, token: &str, marks: Vec<Mark>) -> Self {
        let channel = Arc::new(discord(&server, token));
        let (inbox, offers) = Inbox::new(4);
        let inbox = inbox.with_marks(Marks::new(move || std::future::ready(Ok(marks.clone()))));
        let (_, webhooks) = mpsc::channel(1);
        let (state, status) = watch::channel(ChannelState::Connecting);
        let stop = CancellationToken::new();
        let pulse = Pulse::default();
        let intake = Intake { inbox, webhooks, stop: stop.clone(), pulse: pulse.clone() };
        let platform = server.platform.clone();
        let crew = Crew::default();
        let mut stage =
            Self { server, platform, channel, offers, status, pulse, _stop: stop, crew };
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
        self.channel.send(&Delivery { to: &place(to), item, key, live: false }).await
    }

    pub(crate) async fn until(&mut self, done: impl FnMut(&ChannelState) -> bool) -> ChannelState {
        self.status.wait_for(done).await.unwrap().clone()
    }
}

pub(crate) fn place(to: &str) -> Place {
    let (chat, thread) = to.split_once('/').map_or((to, None), |(a, b)| (a, Some(b.into())));
    Place { jid: format!("discord@main:{chat}").parse().unwrap(), thread }
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
