//! What the running gateway says of itself.

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::Value;

use super::Finding;
use crate::{commands::webhook_line, context::Context};

/// What is read of `GET /api/status`.
#[derive(Debug, Deserialize)]
struct Status {
    version: String,
    channels: Vec<Channel>,
    disk: Disk,
}

#[derive(Debug, Deserialize)]
struct Channel {
    name: String,
    account: String,
    state: String,
    why: String,
    webhook: Value,
}

#[derive(Debug, Deserialize)]
struct Disk {
    /// Since when it is full, if it is.
    since: Option<String>,
}

/// Its database, its page, its accounts and its disk.
///
/// # Errors
///
/// When it is of another version and says it otherwise.
pub(super) fn findings(ctx: &Context, status: Value) -> anyhow::Result<Vec<Finding>> {
    let status: Status = serde_json::from_value(status)
        .context("the gateway that runs is of another version; start it anew")?;
    let version = &status.version;
    let mut all =
        vec![Finding::fine("gateway", format!("{version} runs, and its database answers"))];
    let platforms = status.channels.iter().filter(|it| !matches!(&*it.name, "web" | "terminal"));
    all.extend(platforms.map(account));
    all.extend(status.disk.since.map(|it| disk(ctx, &it)));
    all.extend(callbacks(&status.channels));
    Ok(all)
}

/// An account on a platform.
fn account(it: &Channel) -> Finding {
    let account = &it.account;
    let detail = [&**account, &*it.state, &*it.why].join(" ");
    let ok = matches!(&*it.state, "up" | "connecting" | "paused");
    Finding {
        ok,
        mend: (!ok).then(|| {
            format!("mend what it says, then `nanogridbot channel test {account}`; its settings are in docs/channels")
        }),
        ..Finding::fine("channel", detail.trim_end())
    }
}

/// A full disk.
fn disk(ctx: &Context, since: &str) -> Finding {
    let home = ctx.home.path().display();
    Finding {
        ok: false,
        mend: Some(format!("delete what is not needed on the disk that holds `{home}`")),
        ..Finding::fine(
            "disk",
            format!("full since {since}; messages are stored, nothing is begun"),
        )
    }
}

/// Where platforms call: the address to paste into each one's console.
fn callbacks(channels: &[Channel]) -> Option<Finding> {
    let lines = channels.iter().filter_map(|it| {
        let line = webhook_line(&it.webhook)?;
        Some(format!("{}: {line}", it.account))
    });
    let lines: Vec<String> = lines.collect();
    let is_known = !lines.iter().any(|it| it.contains("public_url"));
    (!lines.is_empty()).then(|| Finding {
        ok: is_known,
        mend: (!is_known).then(|| {
            "set `[web] public_url` to the https address at which platforms reach this gateway"
                .to_owned()
        }),
        ..Finding::fine("callbacks", lines.join("; "))
    })
}
