//! A simulator, a channel that receives from it, and an inbox that says what it took.

use std::sync::Arc;

use ngb_channels::{
    Accepted, Channel, ChannelError, Delivery, Inbox, Intake, Mark, Marks, NotAccepted, Offer,
    Pulse,
    http::Http,
    slack::{Slack, SlackConfig},
    supervise::{ChannelState, keep_receiving},
};
use ngb_core::{
    address::Place,
    clock::Clock,
    message::{Inbound, Outbound, Sent},
    secret::Secret,
    tasks::Crew,
};
use ngb_sim::slack::{Config, Platform, Server};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

pub(crate) struct Stage {
    pub(crate) server: Server,
    pub(crate) platform: Platform,
    pub(crate) channel: Arc<Slack>,
    pub(crate) offers: mpsc::Receiver<Offer>,
    pub(crate) status: watch::Receiver<ChannelState>,
    pub(crate) pulse: Pulse,
    pub(crate) stop: CancellationToken,
    crew: Crew,
}

pub(crate) fn slack(server: &Server, bot_token: &str, app_token: &str) -> Slack {
    _ = rustls::crypto::ring::default_provider().install_default();
    let config = SlackConfig {
        account: "slack@main".parse().unwrap(),
        bot_token: Secret::new(bot_token),
        app_token: Secret::new(app_token),
        api_url: server.url.clone(),
    };
    let http = Http::new(reqwest::ClientBuilder::new, None, Clock::System).unwrap();
    Slack::new(config, http)
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let server = Server::start(Config::default()).await.unwrap();
        let (bot, app) = (server.bot_token.clone(), server.app_token.clone());
        Self::with(server, &bot, &app, Vec::new())
    }

    pub(crate) fn with(server: Server, bot_token: &str, app_token: &str, marks: Vec<Mark>) -> Self {
        let channel = Arc::new(slack(&server, bot_token, app_token));
        let (inbox, offers) = Inbox::new(4);
        let inbox = inbox.with_marks(Marks::new(move || std::future::ready(Ok(marks.clone()))));
        let (_, webhooks) = mpsc::channel(1);
        let (state, status) = watch::channel(ChannelState::Connecting);
        let stop = CancellationToken::new();
        let pulse = Pulse::default();
        let intake = Intake { inbox, webhooks, stop: stop.clone(), pulse: pulse.clone() };
        let platform = server.platform.clone();
        let crew = Crew::default();
        let mut stage = Self { server, platform, channel, offers, status, pulse, stop, crew };
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
        self.channel.send(&Delivery { to: &place(to), item, key: "k-1", live: false }).await
    }

    pub(crate) async fn until(&mut self, done: impl FnMut(&ChannelState) -> bool) -> ChannelState {
        self.status.wait_for(done).await.unwrap().clone()
    }
}

pub(crate) fn place(to: &str) -> Place {
    let (chat, thread) = to.split_once('/').map_or((to, None), |(a, b)| (a, Some(b.into())));
    Place { jid: format!("slack@main:{chat}").parse().unwrap(), thread }
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
