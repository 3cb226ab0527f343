//! Putting the parts together.

use std::{path::PathBuf, sync::Arc, time::Duration};

use ngb_broker::Broker;
use ngb_core::{
    address::{Account, ChannelKind},
    clock::Clock,
    group::{Engage, Exceptions, Scope, Senders},
    price::Prices,
    queue::Queue,
    route::NewChats,
    tasks::Tasks,
};
use ngb_sandbox::Sandbox;
use ngb_store::Store;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    account_book::AccountBook,
    accounts::{Accounts, Configured},
    alerts::{AlertSettings, Alerts},
    answers::{Answers, Current, ModelBook},
    desk::Desk,
    dispatch::{Caps, Dispatcher},
    events::Hub,
    handle::{About, Bind, Gateway, HandleError, SandboxState, Shared},
    homes::Homes,
    intake, janitor,
    local::LocalChannel,
    outbox::Outboxes,
    pairs::Pairs,
    plugins::{Given, Plugins},
    programs::Programs,
    purses::Purses,
    questions::Questions,
    registry::Directory,
    retention::Retention,
};

/// How runs are done, from the settings.
#[derive(Clone, Debug)]
pub struct RunLimits {
    /// How long an agent is kept for its next prompt.
    pub idle: Duration,
    /// Wait before the first retry.
    pub retry_base: Duration,
    /// The time zone that agents are told, an IANA name.
    pub zone: String,
    /// What models cost.
    pub prices: Prices,
    /// What fits into a model that a group chose, in tokens.
    pub window_tokens: u64,
    pub max_output_tokens: u64,
}

/// What the gateway is made of.
pub struct Parts {
    pub store: Store,
    pub clock: Clock,
    pub home: PathBuf,
    pub broker: Broker,
    /// The accounts on platforms.
    pub accounts: Vec<Configured>,
    /// Where they are written down; none where they never change.
    pub account_book: Option<Box<dyn AccountBook>>,
    /// The engine, as soon as one is proved.
    pub sandbox: watch::Receiver<Option<Arc<dyn Sandbox>>>,
    pub sandbox_state: watch::Receiver<SandboxState>,
    pub limits: RunLimits,
    /// Who answers.
    pub answers: Answers,
    /// Where drivers find the agents that others wrote.
    pub programs: Programs,
    /// Changes that while the gateway runs; none where there are no settings to write.
    pub model_book: Option<Box<dyn ModelBook>>,
    pub caps: Caps,
    pub retention: Retention,
    /// Who is asked about messages and runs.
    pub plugins: Given,
    /// Where installed plugins ask for things.
    pub desk: Arc<Desk>,
    /// Who is told when something is not as it should be.
    pub alerts: AlertSettings,
    /// Whether tasks fire; not in a gateway that lives only as long as one command.
    pub scheduler: bool,
    pub version: &'static str,
}

/// A gateway that runs: its handle, and the tasks that are its life.
pub struct Running {
    pub gateway: Gateway,
    /// Run these; the first signal fires [`Tasks::drain`].
    pub tasks: Tasks,
}

/// Takes up what an earlier gateway left, and starts.
///
/// # Errors
///
/// When a folder can't be made or the store can't be read.
pub async fn start(parts: Parts) -> anyhow::Result<Running> {
    let Parts {
        store,
        clock,
        home,
        broker,
        accounts: configured,
        account_book,
        sandbox,
        sandbox_state,
        limits,
        answers,
        programs,
        model_book,
        caps,
        retention,
        plugins,
        desk,
        alerts,
        scheduler,
        version,
    } = parts;
    let homes = Homes::new(home).await?;
    let recovered = store.take_over(clock.now()).await?;
    if 0 < recovered.runs || 0 < recovered.in_doubt {
        warn!("took up {} runs and {} sends that were cut off", recovered.runs, recovered.in_doubt);
    }
    let mut tasks = Tasks::default();
    let drain = tasks.drain.clone();
    // Messages are stored until everything else has ended.
    let stop = CancellationToken::new();
    let (inbox, posts, inlets) = intake::open();
    let hub = Arc::new(Hub::new(crate::codes::instance()));
    let accounts = Accounts::new(inbox, store.clone(), clock.clone(), hub.clone(), stop.clone());
    let shared = Shared {
        directory: Directory::load(&store).await?,
        alerts: Alerts::load(&store, alerts).await?,
        outboxes: Outboxes::new(accounts.clone(), store.clone(), hub.clone(), clock.clone()),
        dispatcher: Dispatcher::new(caps, drain.clone()),
        hub,
        pairs: Pairs::default(),
        questions: Questions::load(&store, clock.now()).await?,
        about: About {
            version,
            started_at: clock.now(),
            restored: store.restored().await?,
            sandbox: sandbox_state,
        },
        accounts: accounts.clone(),
        account_book,
        posts,
        homes,
        broker,
        purses: Purses::default(),
        sandbox,
        plugins: Plugins::new(plugins, desk.log.clone()),
        closed: stop.clone(),
        limits,
        answers: Current::new(answers, model_book),
        programs,
        store,
        clock: clock.clone(),
        tasks_changed: Notify::new(),
        forget_asked: Notify::new(),
        released: CancellationToken::new(),
    };
    let gateway = Gateway(Arc::new(shared));
    desk.open(&gateway);
    first_start(&gateway).await?;

    let intake_over = CancellationToken::new();
    tasks.spawn("intake", {
        let over = intake_over.clone().drop_guard();
        let intake = intake::run(gateway.clone(), inlets, stop.clone());
        async move {
            let _over = over;
            intake.await
        }
    });
    for kind in [ChannelKind::Web, ChannelKind::Terminal] {
        let channel = Arc::new(LocalChannel::new(kind, clock.clone()));
        let fingerprint = String::new();
        let held = gateway.about().restored.is_some();
        accounts.put(
            Configured {
                channel,
                new_chats: NewChats::Ignore,
                ack_reaction: None,
                canary: None,
                fingerprint,
            },
            held,
        );
    }
    for it in configured {
        let paused = gateway.rests(&it.channel.profile().account).await?;
        accounts.put(it, paused);
    }
    tasks.spawn("channels", async move { accounts.finish().await });
    tasks.spawn("screen", crate::screen::run(gateway.clone(), stop.clone()));
    tasks.spawn("plugins", crate::plugins::tick(gateway.clone(), stop.clone()));
    tasks.spawn("disk", crate::disk::run(gateway.clone(), stop.clone()));
    tasks.spawn("engine", crate::engine::run(gateway.clone(), stop.clone()));
    tasks.spawn("forget", crate::forget::run(gateway.clone(), stop.clone()));
    tasks.spawn("search", crate::search::run(gateway.clone(), stop.clone()));
    tasks.spawn("janitor", janitor::run(gateway.clone(), retention, stop.clone()));
    if scheduler {
        tasks.spawn("alerts", crate::alerts::run(gateway.clone(), drain.clone()));
        tasks.spawn("scheduler", crate::scheduler::run(gateway.clone(), drain.clone()));
    }
    tasks.spawn("dispatch", {
        let gateway = gateway.clone();
        async move {
            crate::dispatch::run(gateway.clone(), drain).await?;
            gateway.0.outboxes.finish().await;
            // Only now may channels stop: until here, what they heard was stored.
            stop.cancel();
            // Messages that came until then may have been answered by the gateway itself: a notice, a code.
            intake_over.cancelled().await;
            gateway.0.outboxes.finish().await;
            Ok(())
        }
    });
    Ok(Running { gateway, tasks })
}

/// Makes the main group and binds the page and the terminal to it, once.
async fn first_start(gateway: &Gateway) -> Result<(), HandleError> {
    if gateway.directory().snapshot().main_group().is_some() {
        return Ok(());
    }
    let main = gateway.add_group("main", Some("main"), true).await?;
    let terminal = Account::new(ChannelKind::Terminal, Account::DEFAULT_NAME)?.chat("main")?;
    gateway
        .bind(Bind {
            place: terminal.into(),
            group: main,
            engage: Engage::Always,
            scope: Scope::Thread,
            senders: Senders::Everyone,
            queue: Queue::default(),
            exceptions: Exceptions::default(),
        })
        .await?;
    info!("made the main group");
    Ok(())
}
