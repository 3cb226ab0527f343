//! Making a gateway of its settings.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use ngb_broker::{Broker, BrokerConfig};
use ngb_core::{
    address::Account,
    clock::{Clock, Timestamp},
    secret::{Redactor, Secret},
    tasks::Tasks,
};
use ngb_gateway::{
    Gateway, Parts, RunLimits, Running, account_book::AccountBook, accounts::Configured,
    alerts::AlertSettings, answers::Answers, desk::Desk, dispatch::Caps, handle::SandboxState,
    plugins::Given, retention::Retention,
};
use ngb_store::{OpenOptions, Store};
use ngb_web::{LogFilter, Web, WebSettings};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::{
    account_file::AccountFile,
    backup::Schedule,
    chain::Wanted,
    channels, cli, engine,
    home::{Home, Lock},
    installed::Installed,
    log,
    model_book::ModelFile,
    models::{self, Models},
    net::Net,
    original,
    settings::{Environment, Settings},
    standby::{self, Keeper},
    way_out,
};

/// The port that is used when nobody names one and it is free.
const PORT: u16 = 8080;

/// The setting, in the database, that remembers a port which was taken instead.
const PORT_KEY: &str = "web.port";

/// What a gateway is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Everything: channels, the page.
    Serve,
    /// One command of the command line: the local socket only, and no channel. Without `agents` it answers nothing
    /// either: what waits is for a gateway that stays.
    Command { agents: bool },
}

/// A gateway that is made, and not yet running.
pub(crate) struct Made {
    pub(crate) gateway: Gateway,
    pub(crate) tasks: Tasks,
    pub(crate) web: Web,
    pub(crate) lock: Lock,
    pub(crate) lease: Keeper,
    pub(crate) agent: String,
    pub(crate) sandbox: watch::Receiver<SandboxState>,
    /// The accounts on platforms.
    pub(crate) accounts: Vec<Account>,
    pub(crate) public_url: Option<String>,
}

/// Nothing is answered on a home that is held.
#[derive(Debug, thiserror::Error)]
#[error("this home was restored from a backup and is held")]
pub(crate) struct Held;

/// Settings, and the environment that they were read with.
pub(crate) fn settings(home: &Home, serve: &cli::Serve) -> anyhow::Result<(Settings, Environment)> {
    let env = Environment::read(home.path())?;
    let named = serve.config.is_some();
    let file = serve.config.clone().unwrap_or_else(|| home.config());
    Ok((Settings::load(&file, named, &env)?, env))
}

/// The time zone of what names none.
fn zone_of(settings: &Settings) -> String {
    let set = settings.agent.zone.clone();
    let zone = set.or_else(|| jiff::tz::TimeZone::system().iana_name().map(str::to_owned));
    zone.unwrap_or_else(|| "UTC".to_owned())
}

/// The same, by the settings of a home.
pub(crate) fn zone(home: &Home) -> anyhow::Result<String> {
    Ok(zone_of(&settings(home, &cli::Serve::default())?.0))
}

/// Makes a gateway of its settings.
pub(crate) async fn make(
    home: &Home,
    serve: &cli::Serve,
    purpose: Purpose,
) -> anyhow::Result<Made> {
    let clock = Clock::System;
    check_clock(clock.now())?;
    home.make()?;
    let (settings, env) = settings(home, serve)?;
    let net = Net::new(&settings.network, &env)?;
    let Models { driver, model, providers, found_in, secrets } =
        models::find(&settings, &env, &net)?;
    let mut secrets: Vec<Secret> = secrets;
    secrets.extend(settings.hidden());
    for (name, setting) in settings.secret_settings() {
        secrets.push(setting.resolve(&name, &env)?);
    }
    let redactor = Redactor::default();
    let log = match purpose {
        Purpose::Serve => {
            let levels = if serve.debug { "debug" } else { &settings.log.level }.parse()?;
            redactor.add(secrets);
            Some(log::start(&home.logs(), &levels, settings.log.format, redactor.clone())?)
        }
        Purpose::Command { .. } => None,
    };
    let lock = home.lock_soon(&clock).await?;
    if let Some(variable) = found_in {
        info!("the model was found by `{variable}`; `[agent] model` sets another");
    }
    original::warn_of(&env);
    if let Some(unread) = net.unread() {
        warn!("certificates of its own are not trusted: {unread}");
    }

    let store = open_store(home, &settings, &clock).await?;
    let lease = standby::take(&store, &clock, purpose).await?;
    let restored = store.restored().await?;
    if restored.is_some() && purpose == (Purpose::Command { agents: true }) {
        return Err(Held.into());
    }
    // What was restored may be older than what the world has seen since.
    let live = purpose == Purpose::Serve && restored.is_none() && !serve.is_trial;
    let broker = BrokerConfig {
        dir: home.path().join("run/broker"),
        providers,
        way_out: way_out::make(&settings, &env, &net)?,
    };
    let broker =
        Broker::new(broker, clock.clone()).context("could not make the broker's folder")?;
    let model_book = ModelFile {
        home: home.clone(),
        serve: serve.clone(),
        broker: broker.clone(),
        redactor: redactor.clone(),
        clock: clock.clone(),
    };
    if serve.is_trial {
        // What the accounts are made of is part of what is tried.
        drop(configured(&settings, &env, &net, &clock)?);
    }
    let (configured, account_book) = match purpose {
        Purpose::Serve if live => {
            let (home, serve, clock) = (home.clone(), serve.clone(), clock.clone());
            let made = configured(&settings, &env, &net, &clock)?;
            let book = AccountFile { home, serve, clock, redactor };
            (made, Some(Box::new(book) as Box<dyn AccountBook>))
        }
        Purpose::Serve | Purpose::Command { .. } => (Vec::new(), None),
    };
    let accounts = configured.iter().map(|it| it.channel.profile().account.clone()).collect();
    let (sandbox_state_tx, sandbox_state) = watch::channel(SandboxState::Proving);
    let (sandbox_tx, sandbox) = watch::channel(None);
    let zone = zone_of(&settings);
    let desk = Desk::new(clock.clone());
    let wanted = Wanted::read(&settings, &clock)?;
    let changed = store.plugin_settings().await?;
    let installed = Installed::take_up(home, wanted, changed, desk.clone()).await?;
    let (chain, broken) = installed.chain_now();
    let plugins = Given { chain, broken, keeper: Some(installed.clone()) };
    let parts = Parts {
        broker,
        home: home.path().to_owned(),
        accounts: configured,
        account_book,
        sandbox,
        sandbox_state: sandbox_state.clone(),
        limits: RunLimits {
            idle: settings.agent.idle,
            retry_base: settings.agent.retry_base,
            zone,
            prices: settings.prices.table()?,
            window_tokens: settings.agent.window_tokens,
            max_output_tokens: settings.agent.max_output_tokens,
        },
        answers: Answers { driver, model },
        programs: models::programs(&settings.agent, &env),
        model_book: Some(Box::new(model_book)),
        caps: Caps {
            max_runs: match purpose {
                Purpose::Command { agents: false } => 0,
                Purpose::Serve if !live => 0,
                Purpose::Serve | Purpose::Command { agents: true } => {
                    settings.agent.max_runs.max(1)
                }
            },
            max_live_bytes: settings
                .agent
                .max_live_mib
                .map_or_else(quarter_of_memory, |it| it << 20),
        },
        retention: Retention {
            messages: settings.retention.keep,
            dead_letters: settings.retention.dead_letters,
            usage: settings.retention.usage,
            audit: settings.retention.audit,
        },
        plugins,
        desk,
        alerts: AlertSettings {
            to: settings.alerts.to.clone(),
            account_after: settings.alerts.account_after,
            short_percent: settings.alerts.short_percent,
        },
        scheduler: live,
        version: env!("CARGO_PKG_VERSION"),
        store,
        clock: clock.clone(),
    };
    let backups = live.then(|| Schedule::read(home, &settings, &env)).transpose()?;
    let Running { gateway, mut tasks } = ngb_gateway::start(parts).await?;
    if let Some(backups) = backups {
        let kept = backups.run(gateway.store().clone(), clock.clone(), tasks.drain.clone());
        tasks.spawn("backups", kept);
    }
    if purpose == Purpose::Serve {
        let kept = installed.keep(gateway.clone(), clock.clone(), tasks.drain.clone());
        tasks.spawn("installed plugins", kept);
    }
    // Proved beside everything else: a message that comes before waits for it.
    let kept = engine::Kept {
        home: home.clone(),
        settings: settings.sandbox.clone(),
        clock,
        sandbox: sandbox_tx,
        state: sandbox_state_tx,
    };
    let drain = tasks.drain.clone();
    tasks.spawn("sandbox", engine::keep(kept, drain));
    let listen = Listen { serve, settings: &settings, env: &env, purpose, log };
    let web = bind(home, &gateway, listen).await?;
    let agent = gateway.answers().to_string();
    let public_url = settings.web.public_url;
    Ok(Made {
        gateway,
        tasks,
        web,
        lock,
        lease,
        agent,
        sandbox: sandbox_state,
        accounts,
        public_url,
    })
}

/// Opens the database of the settings.
pub(crate) async fn open_store(
    home: &Home,
    settings: &Settings,
    clock: &Clock,
) -> anyhow::Result<Store> {
    let url = settings.database.url.clone().unwrap_or_else(|| home.database_url());
    let options =
        OpenOptions { url, backups_dir: home.backups(), node: home.node()?, clock: clock.clone() };
    Ok(Store::open(options).await?)
}

/// 2020-01-01: before that this program did not exist.
const EARLIEST: Timestamp = Timestamp(1_577_836_800_000);

/// The machine's clock was never set.
#[derive(Debug, thiserror::Error)]
#[error("the clock says {0}, which can't be right")]
pub(crate) struct BadClock(Timestamp);

/// Whether a gateway may start by this clock. With a wrong one no certificate is valid, tasks fire at the wrong time, and
/// what is stored is forgotten too early; the platforms repeat what they could not deliver, so waiting loses nothing.
pub(crate) fn check_clock(now: Timestamp) -> Result<(), BadClock> {
    if now < EARLIEST { Err(BadClock(now)) } else { Ok(()) }
}

/// The accounts of the settings, each with what tells a changed one from an old one.
pub(crate) fn configured(
    settings: &Settings,
    env: &Environment,
    net: &Net,
    clock: &Clock,
) -> anyhow::Result<Vec<Configured>> {
    let sections = settings.channels.all();
    let mut all = Vec::new();
    for channels::Made { channel, new_chats, ack_reaction, canary } in
        channels::make(settings, env, net, clock)?
    {
        let account = channel.profile().account.to_string();
        let mut hash = Sha256::new();
        if let Some(section) = sections.iter().find(|it| it.account == account) {
            hash.update(section.shown.to_string());
            for (name, secret) in &section.secrets {
                hash.update(secret.resolve(name, env)?.expose());
            }
            hash.update(format!("{:?} {:?}", section.addresses, settings.network));
            hash.update(settings.web.public_url.as_deref().unwrap_or_default());
        }
        let fingerprint = format!("{:x}", hash.finalize());
        all.push(Configured { channel, new_chats, ack_reaction, canary, fingerprint });
    }
    Ok(all)
}

fn quarter_of_memory() -> u64 {
    const KIB: u64 = 1024;
    let total = std::fs::read_to_string("/proc/meminfo").ok().and_then(|it| {
        let line = it.lines().find(|it| it.starts_with("MemTotal:"))?.to_owned();
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    total.map_or(1 << 30, |it| it * KIB / 4)
}

/// Where the web server is to listen, and with what.
struct Listen<'a> {
    serve: &'a cli::Serve,
    settings: &'a Settings,
    env: &'a Environment,
    purpose: Purpose,
    log: Option<LogFilter>,
}

/// Where the page and the platforms' calls are to be taken, and with what. A port that nobody named is the one that was
/// taken last, or the usual one.
pub(crate) fn page(
    serve: &cli::Serve,
    settings: &Settings,
    env: &Environment,
    last_port: Option<u16>,
    is_called: bool,
) -> anyhow::Result<WebSettings> {
    let web = &settings.web;
    let ip = serve.host.or(web.bind.map(|it| it.ip)).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let set = serve.port.or(web.port).or(web.bind.and_then(|it| it.port));
    Ok(WebSettings {
        bind: SocketAddr::new(ip, set.or(last_port).unwrap_or(PORT)),
        port_is_set: set.is_some(),
        token: web.token.as_ref().map(|it| it.resolve("web.token", env)).transpose()?,
        // Off until a channel needs it.
        hooks_bind: web.hooks_bind.filter(|_| is_called),
        trusted_proxies: web.trusted_proxies.clone().into(),
        public_url: web.public_url.clone(),
        socket: None,
        log: None,
        name: "NanoGridBot".to_owned(),
    })
}

async fn bind(home: &Home, gateway: &Gateway, listen: Listen<'_>) -> anyhow::Result<Web> {
    let store = gateway.store();
    let is_called = gateway.accounts().iter().any(|it| it.webhook);
    let Listen { serve, settings, env, purpose, log } = listen;
    let last_port = store.get(PORT_KEY).await?.and_then(|it| it.parse().ok());
    let mut page = page(serve, settings, env, last_port, is_called)?;
    page.socket = Some(home.socket());
    page.log = log;
    if let Purpose::Command { .. } = purpose {
        // Only the socket matters.
        page.bind = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        page.port_is_set = true;
    }
    let port_is_set = page.port_is_set;
    let web = Web::bind(page).await?;
    if purpose == Purpose::Serve && !port_is_set {
        store.put(PORT_KEY, &web.addr().port().to_string()).await?;
    }
    Ok(web)
}
