//! `nanogridbot channel`: the accounts on platforms, in the file of settings and while they run.

use std::{io::IsTerminal as _, process::ExitCode, time::Duration};

use anyhow::bail;
use ngb_core::{
    address::{Account, ChannelKind},
    secret::Secret,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    account_file, channel_setup,
    cli::{self, BadArgument},
    client::{Client, escaped},
    context::Context,
    print::{self, say, text},
    settings::{Environment, wants},
};

/// `nanogridbot channel …`
pub(crate) async fn channel(ctx: &Context, command: &cli::Channel) -> anyhow::Result<ExitCode> {
    match command {
        cli::Channel::List => list(ctx).await,
        cli::Channel::Add { kind, name, settings, wait } => {
            let wait = match wait {
                Some(it) => Some(channel_setup::patience(it)?),
                None => std::io::stdin().is_terminal().then_some(channel_setup::PATIENCE),
            };
            add(ctx, *kind, name, settings, wait).await
        }
        cli::Channel::Setup { account, wait } => {
            let wait = channel_setup::patience(wait)?;
            channel_setup::follow(ctx, &running(ctx).await?, account, wait).await
        }
        cli::Channel::Remove { account } => remove(ctx, account).await,
        cli::Channel::Reload => {
            let answer = running(ctx).await?.post("/api/channels/reload", json!({})).await?;
            ctx.show(&answer, show_reloaded);
            Ok(ExitCode::SUCCESS)
        }
        cli::Channel::Test { account } => {
            let path = format!("/api/channels/{}/test", escaped(account));
            let answer = running(ctx).await?.post(&path, json!({})).await?;
            ctx.show(&answer, |it| {
                show_one(it);
                if let Some(name) = it["me"]["name"].as_str() {
                    say(&format!("  the platform knows us as {name} ({})", text(&it["me"], "id")));
                }
                for remark in it["remarks"].as_array().into_iter().flatten() {
                    say(&format!("  {}", remark.as_str().unwrap_or_default()));
                }
            });
            Ok(ExitCode::SUCCESS)
        }
        cli::Channel::Pause { which } => pause(ctx, which, true).await,
        cli::Channel::Resume { which } => pause(ctx, which, false).await,
    }
}

/// The gateway that runs on this home.
async fn running(ctx: &Context) -> anyhow::Result<Client> {
    match Client::connect(&ctx.home.socket()).await? {
        Some(client) => Ok(client),
        None => bail!(
            "no gateway runs on `{}`, so no account is connected; start it with `nanogridbot serve`",
            ctx.home.path().display()
        ),
    }
}

async fn list(ctx: &Context) -> anyhow::Result<ExitCode> {
    let answer = running(ctx).await?.get("/api/channels").await?;
    ctx.show(&answer, |it| it.as_array().into_iter().flatten().for_each(show_one));
    Ok(ExitCode::SUCCESS)
}

/// An account: whether it can receive, whether it can send, and where its platform calls.
fn show_one(it: &Value) {
    let state = [text(it, "state"), text(it, "why")].join(" ");
    say(&format!("{:24} {}", text(it, "account"), state.trim_end()));
    let heard = it["last_heard_at"].as_str().unwrap_or("never");
    let sent = it["last_sent_at"].as_str().unwrap_or("never");
    say(&format!("  last heard {heard}, last sent {sent}"));
    let count = |key: &str| it[key].as_u64().filter(|it| 0 < *it);
    if let Some(lost) = count("reconnects") {
        let (at, why) = (text(&it["last_failure"], "at"), text(&it["last_failure"], "why"));
        say(&format!("  connected anew {lost} times, the last after {at}: {why}"));
    }
    if let Some(waiting) = count("backlog") {
        say(&format!("  {waiting} to be sent"));
    }
    if let Some(error) = it["send_error"].as_str() {
        say(&format!("  can't send: {error}"));
    }
    if it["canary"].is_object() {
        say(&format!("  {}", canary(&it["canary"])));
    }
    if let Some(path) = it["webhook"]["path"].as_str() {
        let url = it["webhook"]["url"].as_str();
        let missing = format!("{path} (set `[web] public_url` for the whole address)");
        say(&format!("  the platform calls {}", url.unwrap_or(&missing)));
    }
}

/// What the canary of an account proved.
fn canary(it: &Value) -> String {
    let ways = if it["both_ways"] == true { "both ways" } else { "sending" };
    match (it["proven_at"].as_str(), it["error"].as_str()) {
        (Some(at), None) => format!("canary: {ways} proven at {at}"),
        (None, None) => "canary: not sent yet".to_owned(),
        (at, Some(error)) => {
            let at = at.unwrap_or("never");
            format!("canary: failed: {error}; {ways} last proven at {at}")
        }
    }
}

fn show_reloaded(it: &Value) {
    let mut any = false;
    for what in ["added", "changed", "removed"] {
        for account in it[what].as_array().into_iter().flatten() {
            any = true;
            say(&format!("{what} {}", account.as_str().unwrap_or_default()));
        }
    }
    if !any {
        say("nothing changed");
    }
    it["channels"].as_array().into_iter().flatten().for_each(show_one);
}

/// Writes an account's section, after asking for what is missing where somebody sits at a terminal.
async fn add(
    ctx: &Context,
    kind: ChannelKind,
    name: &str,
    given: &[String],
    wait: Option<Duration>,
) -> anyhow::Result<ExitCode> {
    let account = Account::new(kind, name).map_err(|err| BadArgument(err.to_string()))?;
    let mut set = Vec::new();
    for it in given {
        let Some((key, value)) = it.split_once('=') else {
            return Err(BadArgument(format!("`{it}` is not of the form `key=value`")).into());
        };
        set.push((key.to_owned(), Secret::new(value)));
    }
    for (key, help) in wants(kind) {
        if !set.iter().any(|it| it.0 == *key) && given.is_empty() && std::io::stdin().is_terminal()
        {
            let value = print::ask(&format!("{key} ({help}):"))?.unwrap_or_default();
            set.push(((*key).to_owned(), Secret::new(value)));
        }
    }
    ctx.home.make()?;
    let env = Environment::read(ctx.home.path())?;
    account_file::with_account(&ctx.home.config(), &env, &account, &set)?.save(&env)?;
    let Some(client) = Client::connect(&ctx.home.socket()).await? else {
        ctx.show(&json!({ "account": account, "running": false }), |_| {
            say(&format!("`{account}` is set up; `nanogridbot serve` connects it"));
        });
        return Ok(ExitCode::SUCCESS);
    };
    client.post("/api/channels/reload", json!({})).await?;
    // A group's robot hears nothing, so no first message comes.
    let hears = !set.iter().any(|it| it.0 == "robot_key");
    if let Some(wait) = wait.filter(|_| hears) {
        return channel_setup::follow(ctx, &client, &account.to_string(), wait).await;
    }
    let all = client.get("/api/channels").await?;
    let mine = all.as_array().into_iter().flatten().find(|it| it["account"] == account.to_string());
    let mine = mine.cloned().unwrap_or(Value::Null);
    let up = mine["state"] == "up" || mine["state"] == "connecting";
    ctx.show(&mine, |it| {
        show_one(it);
        say(&format!(
            "`nanogridbot channel setup {account}` says what is left to do at the platform"
        ));
    });
    Ok(if up { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn remove(ctx: &Context, name: &str) -> anyhow::Result<ExitCode> {
    let account: Account = name.parse().map_err(|_| {
        BadArgument(format!("`{name}` is no account; it looks like `telegram@main`"))
    })?;
    let env = Environment::read(ctx.home.path())?;
    account_file::remove_account(&ctx.home.config(), &env, &account)?;
    let running = Client::connect(&ctx.home.socket()).await?;
    if let Some(client) = &running {
        client.post("/api/channels/reload", json!({})).await?;
    }
    let answer = json!({ "account": account, "removed": true, "running": running.is_some() });
    ctx.show(&answer, |_| say(&format!("removed `{account}`; its messages and bindings stay")));
    Ok(ExitCode::SUCCESS)
}

async fn pause(ctx: &Context, which: &cli::Which, paused: bool) -> anyhow::Result<ExitCode> {
    let client = running(ctx).await?;
    let names: Vec<String> = match &which.account {
        Some(name) => vec![name.clone()],
        None => {
            let all = client.get("/api/channels").await?;
            let theirs = |it: &Value| {
                let name = text(it, "account").to_owned();
                (!matches!(text(it, "name"), "web" | "terminal")).then_some(name)
            };
            all.as_array().into_iter().flatten().filter_map(theirs).collect()
        }
    };
    let mut done = Vec::new();
    for name in names {
        let path = format!("/api/channels/{}", escaped(&name));
        done.push(client.call(Method::PATCH, &path, Some(json!({ "paused": paused }))).await?);
    }
    if ctx.json {
        print::json(&Value::from(done));
    } else {
        done.iter().for_each(show_one);
    }
    Ok(ExitCode::SUCCESS)
}
