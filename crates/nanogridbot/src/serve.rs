//! The gateway as a process: made of its settings, announced, run until it is told to stop.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use ngb_broker::{Broker, BrokerConfig};
use ngb_channels::{Channel, telegram};
use ngb_core::{
    clock::Clock,
    route::NewChats,
    secret::{Redactor, Secret},
    tasks::{Stopped, Tasks},
};
use ngb_gateway::{Gateway, Parts, RunLimits, Running, dispatch::Caps, handle::SandboxState};
use ngb_sandbox::{
    Sandbox,
    bare::Bare,
    native::{DEFAULT_UID_BASE, NativeConfig},
};
use ngb_store::{OpenOptions, Store};
use ngb_web::{Web, WebSettings};
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::{
    cli,
    home::{Home, Lock},
    log,
    models::{self, Models},
    net::Net,
    settings::{Environment, Settings},
};

/// How long work that is under way has to end, after the first signal.
const GRACE: Duration = Duration::from_secs(60);

/// How long the announcement waits for the sandbox to be proved.
const PROOF_LIMIT: Duration = Duration::from_secs(2);

/// The port that is used when nobody names one and it is free.
const PORT: u16 = 8080;

/// The setting, in the database, that remembers a port which was taken instead.
const PORT_KEY: &str = "web.port";

/// What a gateway is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Everything: channels, the page.
    Serve,
    /// One command of the command line: the local socket only, and no channel.
    Command,
}

/// A gateway that is made, and not yet running.
pub(crate) struct Made {
    pub(crate) gateway: Gateway,
    pub(crate) tasks: Tasks,
    pub(crate) web: Web,
    _lock: Lock,
    agent: String,
    sandbox: watch::Receiver<SandboxState>,
    telegram: usize,
    public_url: Option<String>,
}

/// Settings, and the environment that they were read with.
pub(crate) fn settings(home: &Home, serve: &cli::Serve) -> anyhow::Result<(Settings, Environment)> {
    let env = Environment::read(home.path())?;
    let named = serve.config.is_some();
    let file = serve.config.clone().unwrap_or_else(|| home.config());
    Ok((Settings::load(&file, named, &env)?, env))
}

/// Makes a gateway of its settings.
pub(crate) async fn make(
    home: &Home,
    serve: &cli::Serve,
    purpose: Purpose,
) -> anyhow::Result<Made> {
    let clock = Clock::System;
    home.make()?;
    let (settings, env) = settings(home, serve)?;
    let net = Net::new(&settings.network)?;
    let Models { driver, model, providers, found_in, secrets } =
        models::find(&settings, &env, &net)?;
    let mut secrets: Vec<Secret> = secrets;
    secrets.extend(settings.hidden());
    for (name, setting) in settings.secret_settings() {
        secrets.push(setting.resolve(&name, &env)?);
    }
    if purpose == Purpose::Serve {
        let level = if serve.debug { "debug" } else { &settings.log.level };
        log::start(&home.logs(), level, settings.log.format, Redactor::new(secrets))?;
    }
    let lock = home.lock_soon(&clock).await?;
    if let Some(variable) = found_in {
        info!("the model was found by `{variable}`; `[agent] model` sets another");
    }
    hint_original_names(&settings, &env);

    let url = settings.database.url.clone().unwrap_or_else(|| home.database_url());
    let options = OpenOptions {
        url,
        backups_dir: home.backups(),
        node: "local".to_owned(),
        clock: clock.clone(),
    };
    let store = Store::open(options).await?;
    let channels = match purpose {
        Purpose::Serve => channels(&settings, &env, &net, &clock)?,
        Purpose::Command => Vec::new(),
    };
    let telegram = channels.len();
    let (sandbox_state_tx, sandbox_state) = watch::channel(SandboxState::Proving);
    let (sandbox_tx, sandbox) = watch::channel(None);
    let broker = BrokerConfig {
        dir: home.path().join("run/broker"),
        providers,
        egress_hosts: settings.egress.hosts.clone(),
        egress_http: ngb_broker::egress_client(net.builder())?,
    };
    let zone = settings.agent.zone.clone();
    let zone = zone.or_else(|| jiff::tz::TimeZone::system().iana_name().map(str::to_owned));
    let parts = Parts {
        broker: Broker::new(broker, clock.clone()).context("could not make the broker's folder")?,
        home: home.path().to_owned(),
        channels,
        sandbox,
        sandbox_state: sandbox_state.clone(),
        limits: RunLimits {
            driver,
            model,
            idle: settings.agent.idle,
            retry_base: settings.agent.retry_base,
            zone: zone.unwrap_or_else(|| "UTC".to_owned()),
        },
        caps: Caps {
            max_runs: settings.agent.max_runs.max(1),
            max_live_bytes: settings
                .agent
                .max_live_mib
                .map_or_else(quarter_of_memory, |it| it << 20),
        },
        keep: settings.retention.keep,
        version: env!("CARGO_PKG_VERSION"),
        store: store.clone(),
        clock: clock.clone(),
    };
    let Running { gateway, mut tasks } = ngb_gateway::start(parts).await?;
    // Proved beside everything else: a message that comes before waits for it.
    let prove =
        prove(home.clone(), settings.sandbox.engine.clone(), clock, sandbox_tx, sandbox_state_tx);
    tasks.spawn("sandbox", prove);
    let web = bind(home, serve, &settings, &env, &store, purpose).await?;
    let agent = gateway.about().agent.clone();
    let public_url = settings.web.public_url;
    Ok(Made {
        gateway,
        tasks,
        web,
        _lock: lock,
        agent,
        sandbox: sandbox_state,
        telegram,
        public_url,
    })
}

fn channels(
    settings: &Settings,
    env: &Environment,
    net: &Net,
    clock: &Clock,
) -> anyhow::Result<Vec<(Arc<dyn Channel>, NewChats)>> {
    let mut all: Vec<(Arc<dyn Channel>, NewChats)> = Vec::new();
    for (account, it) in settings.telegram_accounts()? {
        let at = format!("channels.telegram.{}", account.name());
        let webhook = match &it.webhook_secret {
            None => None,
            Some(secret) => Some(telegram::WebhookConfig {
                public_url: match &settings.web.public_url {
                    Some(url) => {
                        format!("{}/hooks/telegram/{}", url.trim_end_matches('/'), account.name())
                    }
                    None => anyhow::bail!(
                        "`{at}.webhook_secret` needs `[web] public_url`, where Telegram can reach this gateway"
                    ),
                },
                secret: secret.resolve(&format!("{at}.webhook_secret"), env)?,
            }),
        };
        if it.new_chats == NewChats::OwnGroup {
            warn!(
                "`{account}` makes a group for everybody who writes to it (`new_chats = \"own-group\"`)"
            );
        }
        let config = telegram::TelegramConfig {
            token: it.token.resolve(&format!("{at}.token"), env)?,
            api_url: it.api_url.clone().unwrap_or_else(|| telegram::DEFAULT_API_URL.to_owned()),
            webhook,
            account,
        };
        let channel = telegram::Telegram::new(config, net.builder().build()?, clock.clone());
        all.push((Arc::new(channel), it.new_chats));
    }
    Ok(all)
}

/// Says how to write what the original read from the environment.
fn hint_original_names(settings: &Settings, env: &Environment) {
    if env.get("TELEGRAM_BOT_TOKEN").is_some() && settings.channels.telegram.is_empty() {
        warn!(
            "`TELEGRAM_BOT_TOKEN` is not read; write `NGB_CHANNELS__TELEGRAM__MAIN__TOKEN`, or `token` in `[channels.telegram.main]`"
        );
    }
    for (old, new) in [
        ("WEB_PORT", "NGB_WEB__PORT"),
        ("LOG_LEVEL", "NGB_LOG__LEVEL"),
        ("DB_PATH", "NGB_DATABASE__URL"),
    ] {
        if env.get(old).is_some() && env.get(new).is_none() {
            warn!("`{old}` is not read; write `{new}`");
        }
    }
}

fn quarter_of_memory() -> u64 {
    const KIB: u64 = 1024;
    let total = std::fs::read_to_string("/proc/meminfo").ok().and_then(|it| {
        let line = it.lines().find(|it| it.starts_with("MemTotal:"))?.to_owned();
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    total.map_or(1 << 30, |it| it * KIB / 4)
}

/// Proves that agents can be started apart from this machine, and says so; never falls to less.
async fn prove(
    home: Home,
    engine: String,
    clock: Clock,
    sandbox: watch::Sender<Option<Arc<dyn Sandbox>>>,
    state: watch::Sender<SandboxState>,
) -> anyhow::Result<()> {
    match choose(&home, &engine, &clock).await {
        Ok((chosen, probe)) => {
            let reaped = chosen.reap().await?;
            if 0 < reaped {
                warn!("ended {reaped} sandboxes that an earlier gateway left");
            }
            info!("agents run in `{}` sandboxes", probe.engine);
            sandbox.send_replace(Some(chosen));
            state.send_replace(SandboxState::Ready(probe));
        }
        Err(err) => {
            let exe = std::env::current_exe().unwrap_or_default();
            let remedy = match &err {
                ngb_sandbox::SandboxError::NotAllowed { reason } => {
                    ngb_sandbox::remedy(*reason, &exe)
                }
                _ => "nanogridbot doctor".to_owned(),
            };
            let why = format!("{:#}", anyhow::Error::from(err));
            error!("no sandbox can be had here: {why}");
            state.send_replace(SandboxState::Refused { why, remedy });
        }
    }
    Ok(())
}

/// The engine of the settings, proved.
pub(crate) async fn choose(
    home: &Home,
    engine: &str,
    clock: &Clock,
) -> Result<(Arc<dyn Sandbox>, ngb_sandbox::Probe), ngb_sandbox::SandboxError> {
    let exe = std::env::current_exe().map_err(|source| ngb_sandbox::SandboxError::Setup {
        doing: "find this executable".to_owned(),
        source,
    })?;
    let install_id = home.install_id();
    if engine == "bare" {
        warn!(
            "`[sandbox] engine = \"bare\"`: agents run on this machine with every right of this user"
        );
        let bare = Bare::new(home.path().to_owned(), exe, install_id, std::env::vars());
        let probe = bare.probe().await?;
        return Ok((Arc::new(bare), probe));
    }
    ngb_sandbox::choose(NativeConfig {
        home: home.path().to_owned(),
        exe,
        install_id,
        uid_base: DEFAULT_UID_BASE,
        clock: clock.clone(),
    })
    .await
}

async fn bind(
    home: &Home,
    serve: &cli::Serve,
    settings: &Settings,
    env: &Environment,
    store: &Store,
    purpose: Purpose,
) -> anyhow::Result<Web> {
    let bound = settings.web.bind;
    let ip = serve.host.or(bound.map(|it| it.ip)).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let set = serve.port.or(settings.web.port).or(bound.and_then(|it| it.port));
    let remembered = store.get(PORT_KEY).await?.and_then(|it| it.parse().ok());
    let (bind, port_is_set) = match purpose {
        Purpose::Serve => (SocketAddr::new(ip, set.or(remembered).unwrap_or(PORT)), set.is_some()),
        // Only the socket matters.
        Purpose::Command => (SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), true),
    };
    let token = settings.web.token.as_ref().map(|it| it.resolve("web.token", env)).transpose()?;
    let web = Web::bind(WebSettings {
        bind,
        port_is_set,
        token,
        hooks_bind: settings.web.hooks_bind.filter(|_| purpose == Purpose::Serve),
        public_url: settings.web.public_url.clone(),
        socket: Some(home.socket()),
        name: "NanoGridBot".to_owned(),
    })
    .await?;
    if purpose == Purpose::Serve && !port_is_set {
        store.put(PORT_KEY, &web.addr().port().to_string()).await?;
    }
    Ok(web)
}

/// `nanogridbot serve`
pub(crate) async fn serve(home: &Home, args: &cli::Serve) -> anyhow::Result<ExitCode> {
    let made = make(home, args, Purpose::Serve).await?;
    let mut proved = made.sandbox.clone();
    let proved = proved.wait_for(|it| *it != SandboxState::Proving);
    // The page works without it, so a slow proof holds nothing up; it is in the log as well.
    if let Err(late) = made.gateway.clock().timeout(PROOF_LIMIT, proved).await {
        warn!("the sandbox is still being proved: {late}");
    }
    announce(home, &made).await?;
    let Made { gateway, mut tasks, web, _lock, .. } = made;
    let drain = tasks.drain.clone();
    tasks.spawn("web", web.run(gateway.clone(), drain.clone()));
    tasks.spawn("signals", signals(drain));
    let stopped = tasks.run(gateway.clock(), GRACE).await;
    gateway.store().close().await;
    Ok(match stopped {
        Stopped::Clean => ExitCode::SUCCESS,
        Stopped::Failed(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
        Stopped::Aborted(names) => {
            eprintln!("error: still busy after {GRACE:?}: {}", names.join(", "));
            ExitCode::FAILURE
        }
    })
}

/// The first signal drains; a second one ends the process at once, and leases make that harmless.
async fn signals(drain: tokio_util::sync::CancellationToken) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut int = signal(SignalKind::interrupt())?;
    let mut term = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = int.recv() => (),
        _ = term.recv() => (),
        () = drain.cancelled() => return Ok(()),
    }
    info!("stopping: what runs may end within {GRACE:?}; a second signal ends it at once");
    drain.cancel();
    // This watcher must outlive the drain, but must not hold it up.
    let mut rest = ngb_core::tasks::Crew::default();
    rest.spawn("second signal", async move {
        tokio::select! {
            _ = int.recv() => (),
            _ = term.recv() => (),
        }
        std::process::exit(1);
    });
    std::mem::forget(rest);
    Ok(())
}

/// What one needs to know, in ten lines.
async fn announce(home: &Home, made: &Made) -> anyhow::Result<()> {
    let addr = made.web.addr();
    let shown = if addr.ip().is_unspecified() {
        SocketAddr::from((Ipv4Addr::LOCALHOST, addr.port()))
    } else {
        addr
    };
    let base = made.public_url.clone().unwrap_or_else(|| format!("http://{shown}"));
    let link = ngb_web::login_link(&made.gateway, &base).await?;
    let mut lines = vec![
        format!("NanoGridBot {} is running.", env!("CARGO_PKG_VERSION")),
        format!("  page      {link}"),
        "            (the link works once and for 10 minutes; `nanogridbot open` prints a fresh one)".to_owned(),
        format!("  agent     {}", made.agent),
        format!("  sandbox   {}", sandbox_word(&made.sandbox.borrow())),
        format!("  channels  web, terminal{}", if made.telegram == 0 { String::new() } else { format!(", telegram ({})", made.telegram) }),
        format!("  home      {}", home.path().display()),
    ];
    if std::env::var_os("SSH_CONNECTION").is_some() && addr.ip().is_loopback() {
        let port = addr.port();
        lines.push(format!("  from your own machine: ssh -L {port}:127.0.0.1:{port} <this host>"));
    }
    if made.agent == "demo" {
        lines.push("  This is the demonstration agent. Set a model: `[agent] model`, or ANTHROPIC_API_KEY, OPENAI_API_KEY.".to_owned());
    }
    crate::print::lines(&lines);
    Ok(())
}

fn sandbox_word(state: &SandboxState) -> String {
    match state {
        SandboxState::Proving => "being proved (see the log, or `nanogridbot doctor`)".to_owned(),
        SandboxState::Ready(probe) => probe.engine.to_owned(),
        SandboxState::Refused { why, remedy } => format!("none: {why}\n            {remedy}"),
    }
}
