//! The gateway's part: the trial of the new executable, and becoming it.

use std::{
    ffi::OsString,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};
use ngb_core::clock::Clock;
use serde::{Deserialize, Serialize};
use tokio::{io::AsyncReadExt as _, process::Child};
use tracing::{info, warn};

use super::{LOOK_AGAIN, is_ready, paper, place};
use crate::home::Home;

/// How long the new one has until `/readyz` is green.
pub(crate) const READY_WITHIN: Duration = Duration::from_secs(60);

/// How long a trial has to end.
const END_WITHIN: Duration = Duration::from_secs(75);

/// The variable that makes a gateway one on trial.
pub(crate) const TRIAL: &str = "NGB_TRIAL";

/// Where the papers are, in `<home>/run`.
const ORDER: &str = "upgrade.json";
const OUTCOME: &str = "upgraded.json";

/// What the gateway is to become.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(super) new: PathBuf,
    pub(super) previous: PathBuf,
}

impl Order {
    pub(super) fn write(&self, home: &Home) -> anyhow::Result<()> {
        write(&paper(home, ORDER), self)
    }

    /// The one that lies in the home, which only its owner writes into. It is taken away: it is for once.
    pub(crate) fn take(home: &Home) -> anyhow::Result<Option<Self>> {
        let order = read(&paper(home, ORDER))?;
        forget(&paper(home, ORDER))?;
        Ok(order)
    }
}

/// What became of it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Outcome {
    /// Why it is the old one again.
    pub(super) failed: Option<String>,
}

impl Outcome {
    pub(super) fn forget(home: &Home) -> anyhow::Result<()> {
        forget(&paper(home, OUTCOME))
    }

    pub(super) fn read(home: &Home) -> anyhow::Result<Option<Self>> {
        read(&paper(home, OUTCOME))
    }
}

/// Whole or not at all: somebody waits for it.
fn write<T: Serialize>(path: &Path, it: &T) -> anyhow::Result<()> {
    let new = path.with_extension("new");
    let written = std::fs::write(&new, serde_json::to_vec(it)?);
    let written = written.and_then(|()| std::fs::rename(&new, path));
    written.with_context(|| format!("could not write `{}`", path.display()))
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> anyhow::Result<Option<T>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(err) if err.kind() == ErrorKind::NotFound => Ok(None),
        Err(err) => Err(err).with_context(|| format!("could not read `{}`", path.display())),
    }
}

fn forget(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Err(err) if err.kind() != ErrorKind::NotFound => {
            Err(err).with_context(|| format!("could not remove `{}`", path.display()))
        }
        _ => Ok(()),
    }
}

/// Becomes the new executable if it does well, else the old one again. It comes back only where neither could be started.
pub(crate) async fn hand_over(home: &Home, order: &Order) -> anyhow::Result<ExitCode> {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    info!("the new executable is tried out: {}", order.new.display());
    let tried = tried(home, &order.new, &args).await;
    let (next, failed) = match tried {
        Ok(()) => {
            info!("it does well: the gateway goes on as it");
            (&order.new, None)
        }
        Err(why) => {
            warn!("the new executable does not do: {why:#}; the gateway goes on as the old one");
            // Whoever ordered it does it, too; whichever may write there.
            let back = place::link_over(&order.previous, &order.new);
            if let Err(err) = &back {
                warn!("the old executable is not put back yet: {err}");
            }
            let next = if back.is_ok() { &order.new } else { &order.previous };
            (next, Some(format!("{why:#}")))
        }
    };
    write(&paper(home, OUTCOME), &Outcome { failed })?;
    become_it(next, &args)
}

#[expect(clippy::disallowed_methods, reason = "no process starts, this one goes on")]
fn become_it(exe: &Path, args: &[OsString]) -> anyhow::Result<ExitCode> {
    use std::os::unix::process::CommandExt as _;
    let err = std::process::Command::new(exe).args(args).exec();
    Err(err)
        .with_context(|| format!("could not go on as `{}`; start the gateway again", exe.display()))
}

/// Starts the new one as it will be started, but with no account and no run, and waits until it says that it is ready.
pub(super) async fn tried(home: &Home, exe: &Path, args: &[OsString]) -> anyhow::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "the new executable, tried out")]
    let mut command = tokio::process::Command::new(exe);
    // It ends with its standard input, so with this process.
    command.args(args).env(TRIAL, "1").stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.kill_on_drop(true).spawn().context("it can't be started")?;
    let readied = ready(home, &mut child).await;
    end(child).await?;
    readied
}

async fn ready(home: &Home, child: &mut Child) -> anyhow::Result<()> {
    let clock = Clock::System;
    let deadline = clock.now() + READY_WITHIN;
    loop {
        if let Some(status) = child.try_wait()? {
            bail!("it ended with {status} before it was ready");
        }
        if is_ready(home).await {
            return Ok(());
        }
        if deadline < clock.now() {
            bail!("`/readyz` was not green within {READY_WITHIN:?}");
        }
        clock.sleep(LOOK_AGAIN).await;
    }
}

async fn end(mut child: Child) -> anyhow::Result<()> {
    drop(child.stdin.take());
    match Clock::System.timeout(END_WITHIN, child.wait()).await {
        Ok(status) => drop(status?),
        Err(_late) => child.kill().await?,
    }
    Ok(())
}

/// Waits until whoever tries this gateway out has seen enough.
pub(crate) async fn trial_ends() {
    let mut bytes = [0; 64];
    let mut input = tokio::io::stdin();
    while !matches!(input.read(&mut bytes).await, Ok(0) | Err(_)) {}
}
