//! `nanogridbot serve`: the gateway as a process, announced, run until it is told to stop.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    process::ExitCode,
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::Context as _;
use ngb_core::tasks::Stopped;
use ngb_gateway::handle::SandboxState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use crate::{
    cli, footprint,
    home::Home,
    make::{Made, Purpose, make},
    upgrade::{self, Order},
};

/// How long work that is under way has to end, after the first signal.
const GRACE: Duration = Duration::from_secs(60);

/// How long the announcement waits for the sandbox to be proved.
const PROOF_LIMIT: Duration = Duration::from_secs(2);

/// `nanogridbot serve`
pub(crate) async fn serve(home: &Home, args: &cli::Serve) -> anyhow::Result<ExitCode> {
    let is_trial = std::env::var_os(upgrade::TRIAL).is_some();
    let made = make(home, &cli::Serve { is_trial, ..args.clone() }, Purpose::Serve).await?;
    let mut proved = made.sandbox.clone();
    let proved = proved.wait_for(|it| *it != SandboxState::Proving);
    // The page works without it, so a slow proof holds nothing up; it is in the log as well.
    if let Err(late) = made.gateway.clock().timeout(PROOF_LIMIT, proved).await {
        warn!("the sandbox is still being proved: {late}");
    }
    // Before anybody can know that it runs: a signal that comes with the last line of the announcement drains as any.
    let heard = Signals::listen()?;
    announce(home, &made).await?;
    let Made { gateway, mut tasks, web, lock, lease, .. } = made;
    let drain = tasks.drain.clone();
    tasks.spawn("web", web.run(gateway.clone(), drain.clone()));
    let order = Arc::new(OnceLock::new());
    let heard = signals(heard, home.clone(), order.clone(), drain.clone());
    tasks.spawn("signals", heard);
    if is_trial {
        let drain = drain.clone();
        tasks.spawn("trial", async move {
            drain.run_until_cancelled(upgrade::trial_ends()).await;
            drain.cancel();
            Ok(())
        });
    }
    let released = gateway.released().clone();
    tasks.spawn("held", {
        let (drain, released) = (drain.clone(), released.clone());
        async move {
            if drain.run_until_cancelled(released.cancelled()).await.is_some() {
                info!("what was restored goes on: the gateway begins anew");
                drain.cancel();
            }
            Ok(())
        }
    });
    let settled = footprint::unmap_the_start(gateway.clock().clone());
    tasks.spawn(
        "footprint",
        async move { drain.run_until_cancelled(settled).await.unwrap_or(Ok(())) },
    );
    let stopped = tasks.run(gateway.clock(), GRACE).await;
    lease.give_back().await;
    gateway.store().close().await;
    if let (Some(order), Stopped::Clean | Stopped::Aborted(_)) = (order.get(), &stopped) {
        drop(lock);
        return upgrade::hand_over(home, order).await;
    }
    Ok(match stopped {
        Stopped::Clean if released.is_cancelled() => return begin_anew(),
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

/// Becomes a fresh process with the same number: whoever looks after it sees no end.
#[expect(clippy::disallowed_methods, reason = "no process starts, this one goes on")]
fn begin_anew() -> anyhow::Result<ExitCode> {
    use std::os::unix::process::CommandExt as _;
    let mut command = std::process::Command::new(std::env::current_exe()?);
    let err = command.args(std::env::args_os().skip(1)).exec();
    Err(err).context("what was restored is held no more; start the gateway again")
}

/// What somebody has who wants it to end.
struct Signals {
    int: Signal,
    term: Signal,
    upgrade: Signal,
}

/// What a signal asks for.
#[derive(PartialEq, Eq)]
enum Wish {
    End,
    Upgrade,
}

impl Signals {
    /// From here on a signal ends nothing by itself.
    fn listen() -> io::Result<Self> {
        Ok(Self {
            int: signal(SignalKind::interrupt())?,
            term: signal(SignalKind::terminate())?,
            upgrade: signal(SignalKind::user_defined2())?,
        })
    }

    async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.int.recv() => Wish::End,
            _ = self.term.recv() => Wish::End,
            _ = self.upgrade.recv() => Wish::Upgrade,
        }
    }
}

/// The first signal drains; a second one ends the process at once, and leases make that harmless.
async fn signals(
    mut heard: Signals,
    home: Home,
    order: Arc<OnceLock<Order>>,
    drain: tokio_util::sync::CancellationToken,
) -> anyhow::Result<()> {
    loop {
        let wish = tokio::select! {
            wish = heard.next() => wish,
            () = drain.cancelled() => return Ok(()),
        };
        if wish == Wish::End {
            break;
        }
        match Order::take(&home) {
            Ok(Some(it)) => {
                info!("an upgrade was ordered");
                order.get_or_init(|| it);
                break;
            }
            Ok(None) => warn!("a signal asked for an upgrade, and none was ordered"),
            Err(err) => warn!("the order of an upgrade can't be read: {err:#}"),
        }
    }
    info!("stopping: what runs may end within {GRACE:?}; a second signal ends it at once");
    drain.cancel();
    // This watcher must outlive the drain, but must not hold it up.
    let mut rest = ngb_core::tasks::Crew::default();
    rest.spawn("second signal", async move {
        while heard.next().await != Wish::End {}
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
        format!("  channels  web, terminal{}", made.accounts.iter().map(|it| format!(", {it}")).collect::<String>()),
        format!("  home      {}", home.path().display()),
    ];
    if std::env::var_os("SSH_CONNECTION").is_some() && addr.ip().is_loopback() {
        let port = addr.port();
        lines.push(format!("  from your own machine: ssh -L {port}:127.0.0.1:{port} <this host>"));
    }
    if let Some(it) = &made.gateway.about().restored {
        lines.push(format!(
            "  HELD      restored from a backup of {}: nothing is taken, sent or answered.",
            it.made_at
        ));
        lines.push("            `nanogridbot status` lists what waits, `nanogridbot resume --held` has it go on.".to_owned());
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
        SandboxState::Away { why, remedy, .. } => {
            format!("waits for its engine: {why}\n            {remedy}")
        }
        SandboxState::Refused { why, remedy } => format!("none: {why}\n            {remedy}"),
    }
}
