//! A restored backup, started to see that it comes up and is held. It has nothing of the real gateway: no settings, no
//! variables, no accounts, and a database of its own.

use std::{io::ErrorKind, path::Path, process::Stdio, time::Duration};

use anyhow::{Context as _, bail};
use ngb_core::clock::Clock;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{client::Client, home::Home};

/// Longest that it may take to come up, and again to end.
const WITHIN: Duration = Duration::from_secs(90);

/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Longest end of its log that an error shows, in bytes.
const MAX_SHOWN: usize = 2_000;

/// Starts a gateway on what was restored into `scratch`, with its database at `url`; what it says of itself.
pub(super) async fn held(scratch: &Path, url: &str) -> anyhow::Result<Value> {
    // The settings of the home, and its secrets, are for the real one.
    for name in ["config.toml", ".env"] {
        match std::fs::remove_file(scratch.join(name)) {
            Err(err) if err.kind() != ErrorKind::NotFound => return Err(err.into()),
            _ => (),
        }
    }
    let home = Home::find(Some(scratch.to_owned()))?;
    let log = scratch.join("verify.log");
    let file = std::fs::File::create(&log).context("could not write into the scratch folder")?;
    #[expect(clippy::disallowed_methods, reason = "this program once more, on the scratch folder")]
    let mut command = tokio::process::Command::new(std::env::current_exe()?);
    command.env_clear().env("NGB_DATABASE__URL", url).env("NGB_WEB__BIND", "127.0.0.1:0");
    command.arg("--home").arg(scratch).arg("serve").kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let mut child = command.spawn().context("could not start this program once more")?;
    let clock = Clock::System;
    let deadline = clock.now() + WITHIN;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            bail!("a gateway on it ends with {status}: {}", said(&log));
        }
        if let Some(client) = Client::connect(&home.socket()).await? {
            break client.get("/api/status").await?;
        }
        if deadline < clock.now() {
            bail!("a gateway on it does not come up within {WITHIN:?}: {}", said(&log));
        }
        clock.sleep(LOOK_AGAIN).await;
    };
    if status["restored"].is_null() {
        bail!("a gateway on it is not held: it would send and answer at once");
    }
    if let Some(pid) = child.id().and_then(|it| Pid::from_raw(i32::try_from(it).ok()?)) {
        kill_process(pid, Signal::TERM)?;
    }
    let ended = clock.timeout(WITHIN, child.wait()).await;
    match ended.context("a gateway on it does not end")?? {
        status if status.success() => (),
        status => bail!("a gateway on it ends with {status}: {}", said(&log)),
    }
    Ok(status)
}

/// The end of what it said.
fn said(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let from = text.len().saturating_sub(MAX_SHOWN);
    let from = (from..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text[from..].trim().to_owned()
}
