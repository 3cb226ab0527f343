//! `nanogridbot upgrade`: another executable in the place of this one, tried out before it goes on, and taken back by itself.
//!
//! ```text
//! command                                      gateway
//! fetch, verify, check against the home
//! put the new one in place ──order, SIGUSR2──▶ drains
//!                                              starts the new one for a trial: no account, no run, nothing acknowledged
//!                                              /readyz green in time? ─yes▶ becomes the new one (same process number)
//!                                                                     └no─▶ becomes the old one again
//! ◀──────────────────────────────── outcome ──
//! ```
//!
//! The process stays the same, so whoever looks after it (systemd, a terminal, a container) sees no end.

mod handover;
mod package;
mod place;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::Args;
use ngb_core::clock::Clock;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

pub(crate) use self::handover::{Order, TRIAL, hand_over, trial_ends};
use self::{
    handover::{Outcome, READY_WITHIN},
    place::Swap,
};
use crate::{client::Client, context::Context, home::Home, print::say};

/// How long the command waits for the gateway to say what became of it: the drain, the trial, and the stop of the trial.
const OUTCOME_WITHIN: Duration = Duration::from_secs(60 + 60 + 75 + 15);

/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  nanogridbot upgrade nanogridbot-1.2.0-x86_64-linux.tar.gz
  nanogridbot upgrade https://example.org/nanogridbot-1.2.0-x86_64-linux.tar.gz
  nanogridbot upgrade ./nanogridbot --sha256 2c26b46b…")]
pub(crate) struct Upgrade {
    /// An archive of a release, or an executable: a file or an address. Its sum is in `<it>.sha256`, unless it is given.
    from: String,
    /// Its SHA-256, in hexadecimal digits.
    #[arg(long, value_name = "SUM")]
    sha256: Option<String>,
    /// Fetch, verify and check it, and leave everything as it is.
    #[arg(long)]
    dry_run: bool,
}

/// `nanogridbot upgrade`
pub(crate) async fn upgrade(ctx: &Context, args: &Upgrade) -> anyhow::Result<ExitCode> {
    let gateway = running(&ctx.home)?;
    let old = match gateway {
        Some(pid) => std::fs::read_link(format!("/proc/{}/exe", pid.as_raw_nonzero())),
        None => std::env::current_exe(),
    };
    let old = old.context("could not find the executable that is to be replaced")?;
    let old = place::of(&old);
    let beside = old.parent().unwrap_or(Path::new("/"));
    let new = package::fetch(&ctx.home, args, beside).await?;
    let version = place::version(&new).await?;
    place::check(&new, &old, &ctx.home).await?;
    if args.dry_run {
        let answer = json!({ "executable": old, "version": version, "upgraded": false });
        ctx.show(&answer, |_| say(&format!("{version} is whole and does well with this home")));
        return Ok(ExitCode::SUCCESS);
    }
    let swap = Swap::make(&old, new)?;
    let outcome = match gateway {
        Some(pid) => order(&ctx.home, pid, &swap).await,
        None => handover::tried(&ctx.home, &swap.exe, &serve_args(&ctx.home)).await,
    };
    if let Err(why) = outcome {
        swap.back()?;
        return Err(
            why.context(format!("{version} did not get ready; the gateway is the old one again"))
        );
    }
    let answer = json!({
        "executable": swap.exe, "version": version, "upgraded": true, "previous": swap.previous,
        "gateway": gateway.map(|it| it.as_raw_nonzero().get()),
    });
    ctx.show(&answer, |_| {
        say(&format!("{}: {version}", swap.exe.display()));
        say(&format!("the one before is {}", swap.previous.display()));
    });
    Ok(ExitCode::SUCCESS)
}

fn serve_args(home: &Home) -> Vec<std::ffi::OsString> {
    vec!["--home".into(), home.path().into(), "serve".into()]
}

/// The process that listens on the socket of the home.
fn running(home: &Home) -> anyhow::Result<Option<Pid>> {
    let Ok(line) = std::os::unix::net::UnixStream::connect(home.socket()) else { return Ok(None) };
    let peer = rustix::net::sockopt::socket_peercred(&line);
    let peer = peer.context("could not find out which process the gateway is")?;
    Ok(Some(peer.pid))
}

/// Has the gateway go over, and waits until it has. What it says is in a file, since its socket goes away meanwhile.
async fn order(home: &Home, pid: Pid, swap: &Swap) -> anyhow::Result<()> {
    let clock = Clock::System;
    Outcome::forget(home)?;
    Order { new: swap.exe.clone(), previous: swap.previous.clone() }.write(home)?;
    kill_process(pid, Signal::USR2).context("could not tell the gateway")?;
    let deadline = clock.now() + OUTCOME_WITHIN;
    let outcome = loop {
        if let Some(outcome) = Outcome::read(home)? {
            break outcome;
        }
        if deadline < clock.now() {
            bail!("the gateway did not say within {OUTCOME_WITHIN:?} what became of it");
        }
        clock.sleep(LOOK_AGAIN).await;
    };
    if let Some(why) = outcome.failed {
        bail!("{why}");
    }
    // It did well a moment ago.
    let deadline = clock.now() + READY_WITHIN;
    while !is_ready(home).await {
        if deadline < clock.now() {
            bail!("it was ready in its trial, and is not now");
        }
        clock.sleep(LOOK_AGAIN).await;
    }
    Ok(())
}

/// Whether a gateway of this home says that it takes and answers messages.
async fn is_ready(home: &Home) -> bool {
    match Client::connect(&home.socket()).await {
        Ok(Some(client)) => client.is_ready().await,
        Ok(None) | Err(_) => false,
    }
}

/// What an executable prints, which must do well, as JSON.
fn printed(out: &std::process::Output) -> Value {
    serde_json::from_slice(&out.stdout).unwrap_or(Value::Null)
}

/// What belongs to one upgrade, in the home.
fn paper(home: &Home, name: &str) -> PathBuf {
    home.path().join("run").join(name)
}
