//! How many messages a second are routed and on disk, offered to the gateway's inbox by a platform that never waits.
//!
//! The gateway is a real one, in this process, with no permit to run anything: dispatch is paused.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use async_trait::async_trait;
use ngb_broker::{Broker, BrokerConfig, WayOut};
use ngb_channels::{
    Answer, Channel, ChannelError, Delivery, Inbox, Intake, MediaStream, NotAccepted, Question,
};
use ngb_core::{
    address::{Account, ChannelKind},
    clock::{Clock, Timestamp},
    driver::Driver,
    group::{Engage, Scope, Senders},
    message::{ChatFacts, ChatKind, Content, Happening, Inbound, MediaRef, Profile, Sender, Sent},
    price::Prices,
    proxy::Way,
    route::NewChats,
    text::{Limit, Unit},
};
use ngb_gateway::{
    Parts, RunLimits, Running,
    accounts::Configured,
    answers::Answers,
    dispatch::Caps,
    handle::{Bind, SandboxState},
};
use ngb_store::{OpenOptions, Store};
use tokio::sync::{mpsc, watch};

/// Events of one offer: what one poll of Telegram brings.
const OFFER: usize = 100;

/// Offers that are under way at a time.
const OFFERS: usize = 4;

/// Chats, each with a group of its own.
const CHATS: usize = 50;

struct Flood {
    profile: Profile,
    count: usize,
    took: mpsc::UnboundedSender<Result<Duration, NotAccepted>>,
}

/// The messages of one chat's turn.
fn offer(account: &Account, first: usize) -> anyhow::Result<Vec<Inbound>> {
    let event = |n: usize| {
        let jid = account.chat(&(n % CHATS).to_string())?;
        Ok(Inbound {
            event_key: n.to_string(),
            place: jid.into(),
            chat: ChatFacts { kind: ChatKind::Direct, title: "chat".into() },
            sender: Sender { id: "7".into(), name: "Ada".into(), is_bot: false },
            sent_at: Timestamp(0),
            what: Happening::Message(Content {
                platform_id: n.to_string(),
                text: format!("hello {n}"),
                ..Content::default()
            }),
        })
    };
    (first..first + OFFER).map(event).collect()
}

impl Flood {
    /// Every `OFFERS`-th offer, one after the other.
    async fn share(&self, inbox: &Inbox, share: usize) -> Result<(), NotAccepted> {
        for first in (0..self.count).step_by(OFFER).skip(share).step_by(OFFERS) {
            let events = offer(&self.profile.account, first).map_err(|_| NotAccepted::NotStored)?;
            inbox.accept_all(events).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Channel for Flood {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    async fn receive(&self, intake: &mut Intake) -> Result<(), ChannelError> {
        let begun = Instant::now();
        let inbox = &intake.inbox;
        let done = tokio::try_join!(
            self.share(inbox, 0),
            self.share(inbox, 1),
            self.share(inbox, 2),
            self.share(inbox, 3)
        );
        // Whoever measures may have given up.
        let _ = self.took.send(done.map(|_| begun.elapsed()));
        intake.stop.cancelled().await;
        Ok(())
    }

    async fn send(&self, _: &Delivery<'_>) -> Result<Sent, ChannelError> {
        Ok(Sent::default())
    }

    async fn fetch(&self, _: &MediaRef) -> Result<MediaStream, ChannelError> {
        Ok(Box::pin(futures_util::stream::empty()))
    }

    async fn ask(&self, _: &Question) -> Result<Answer, ChannelError> {
        Ok(Answer::CanNot)
    }
}

/// Messages a second, of `count`.
pub(crate) async fn measure(home: &Path, count: usize) -> anyhow::Result<f64> {
    let clock = Clock::System;
    std::fs::create_dir_all(home)?;
    let store = Store::open(OpenOptions {
        url: format!("sqlite://{}", home.join("inbox.db").display()),
        backups_dir: home.join("backups"),
        node: "bench".into(),
        clock: clock.clone(),
    })
    .await?;
    let account = Account::new(ChannelKind::Telegram, "flood")?;
    let profile = Profile {
        account: account.clone(),
        text_limit: Limit { max: 4_096, unit: Unit::Utf16 },
        threads: false,
        edits: false,
        edit_interval: Duration::from_secs(1),
        typing: false,
        buttons: false,
        live_buttons: false,
        max_file_bytes: 0,
        reactions: ngb_core::reaction::Reactions::None,
        idempotent_sends: false,
        webhook: false,
        returns: ngb_core::message::Returns::Nothing,
    };
    // The chats are bound in a first life without the flood.
    let (took, mut times) = mpsc::unbounded_channel();
    for count in [0, count] {
        let flood = Flood { profile: profile.clone(), count, took: took.clone() };
        let running = start(home, &store, &clock, flood).await?;
        let Running { gateway, tasks } = running;
        let drain = tasks.drain.clone();
        let mut crew = ngb_core::tasks::Crew::default();
        let its_clock = clock.clone();
        crew.spawn(
            "gateway",
            async move { drop(tasks.run(&its_clock, Duration::from_secs(10)).await) },
        );
        let seconds = times.recv().await.context("the flood ended early")??.as_secs_f64();
        if count == 0 {
            for chat in 0..CHATS {
                let group = gateway.add_group(&format!("chat{chat}"), None, false).await?;
                let place = account.chat(&chat.to_string())?.into();
                let (engage, scope, senders) = (Engage::Always, Scope::Chat, Senders::Everyone);
                let queue = ngb_core::queue::Queue::default();
                let exceptions = ngb_core::group::Exceptions::default();
                gateway
                    .bind(Bind { place, group, engage, scope, senders, queue, exceptions })
                    .await?;
            }
        }
        drain.cancel();
        crew.finish().await;
        if 0 < count {
            store.close().await;
            return Ok(count as f64 / seconds);
        }
    }
    anyhow::bail!("nothing was measured")
}

async fn start(home: &Path, store: &Store, clock: &Clock, flood: Flood) -> anyhow::Result<Running> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let http = || reqwest::Client::builder().tls_backend_preconfigured(tls.clone());
    let broker = BrokerConfig {
        dir: home.join("broker"),
        providers: Vec::new(),
        way_out: WayOut::new(http, &Way::direct())?,
    };
    // The watches' other ends are gone: no sandbox ever comes, and none is waited for.
    ngb_gateway::start(Parts {
        store: store.clone(),
        clock: clock.clone(),
        home: home.to_owned(),
        broker: Broker::new(broker, clock.clone())?,
        accounts: vec![Configured {
            channel: Arc::new(flood),
            new_chats: NewChats::Ignore,
            ack_reaction: None,
            canary: None,
            fingerprint: "1".into(),
        }],
        account_book: None,
        sandbox: watch::channel(None).1,
        sandbox_state: watch::channel(SandboxState::Proving).1,
        limits: RunLimits {
            idle: Duration::from_secs(60),
            retry_base: Duration::from_secs(5),
            zone: "UTC".into(),
            prices: Prices::default(),
            window_tokens: 100_000,
            max_output_tokens: 8_192,
        },
        answers: Answers { driver: Driver::Demo, model: None },
        programs: ngb_gateway::programs::Programs::default(),
        model_book: None,
        caps: Caps { max_runs: 0, max_live_bytes: 0 },
        alerts: ngb_gateway::alerts::AlertSettings::default(),
        retention: ngb_gateway::retention::Retention::default(),
        plugins: ngb_gateway::plugins::Given::default(),
        desk: ngb_gateway::desk::Desk::new(clock.clone()),
        scheduler: false,
        version: "bench",
    })
    .await
}
