//! The commands that talk to a gateway: the running one, or one that lives as long as the command.

use std::{io::Read as _, process::ExitCode};

use anyhow::{Context as _, bail};
use ngb_core::{clock::Timestamp, tasks::Stopped};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    cli,
    client::Client,
    home::{Home, HomeError},
    print,
    serve::{self, Made, Purpose},
    settings::parse_duration,
};

/// What every command gets.
pub(crate) struct Context {
    pub(crate) home: Home,
    pub(crate) json: bool,
}

impl Context {
    /// Runs `work` against the gateway of this home. Where none runs, one is started for it: no channel, no page.
    async fn with_gateway<T>(
        &self,
        work: impl AsyncFnOnce(&Client) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        if let Some(client) = Client::connect(&self.home.socket()).await? {
            return work(&client).await;
        }
        let made = match serve::make(&self.home, &cli::Serve::default(), Purpose::Command).await {
            Ok(made) => made,
            Err(err) => {
                // One that was just starting has its lock before its socket.
                let starting = matches!(err.downcast_ref(), Some(HomeError::InUse(_)));
                return match Client::connect(&self.home.socket()).await? {
                    Some(client) if starting => work(&client).await,
                    _ => Err(err),
                };
            }
        };
        let Made { gateway, mut tasks, web, .. } = made;
        let drain = tasks.drain.clone();
        tasks.spawn("web", web.run(gateway.clone(), drain.clone()));
        let clock = gateway.clock().clone();
        let life = tasks.run(&clock, std::time::Duration::from_secs(30));
        let command = async {
            let client = Client::connect(&self.home.socket()).await?;
            let done = work(&client.context("the gateway of this command does not answer")?).await;
            drain.cancel();
            done
        };
        let (stopped, done) = tokio::join!(life, command);
        gateway.store().close().await;
        match stopped {
            Stopped::Clean | Stopped::Aborted(_) => done,
            Stopped::Failed(why) => {
                done.with_context(|| format!("the gateway of this command failed: {why}"))
            }
        }
    }

    /// Prints the answer of one call, in words made by `words`.
    fn show(&self, answer: &Value, words: impl FnOnce(&Value)) {
        if self.json { print::json(answer) } else { words(answer) }
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn say(line: &str) {
    print::lines(&[line]);
}

/// `nanogridbot open`
pub(crate) async fn open(ctx: &Context) -> anyhow::Result<ExitCode> {
    let Some(client) = Client::connect(&ctx.home.socket()).await? else {
        bail!(
            "no gateway runs on `{}`; start it with `nanogridbot serve`",
            ctx.home.path().display()
        );
    };
    let answer = client.post("/api/login/link", json!({})).await?;
    ctx.show(&answer, |it| say(text(it, "url")));
    Ok(ExitCode::SUCCESS)
}

/// `nanogridbot run`
pub(crate) async fn run(ctx: &Context, args: &cli::Run) -> anyhow::Result<ExitCode> {
    let prompt = match args.prompt.as_deref() {
        Some("-") | None => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("could not read standard input")?;
            text
        }
        Some(text) => text.to_owned(),
    };
    let limit = parse_duration(&args.timeout).map_err(anyhow::Error::msg)?;
    let answer = ctx
        .with_gateway(async |client| {
            let body = json!({
                "group": args.group, "content": prompt, "wait": true, "wait_seconds": limit.as_secs(),
            });
            client.post("/api/messages", body).await
        })
        .await?;
    let text = answer["answer"]["text"].as_str();
    let failed = text.is_none() || answer["outcome"] != "answered";
    ctx.show(&answer, |_| match text {
        Some(text) => say(text),
        None => eprintln!(
            "error: no answer within {}; `nanogridbot why {}` tells more",
            args.timeout, answer["id"]
        ),
    });
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// `nanogridbot status`
pub(crate) async fn status(ctx: &Context) -> anyhow::Result<ExitCode> {
    let Some(client) = Client::connect(&ctx.home.socket()).await? else {
        ctx.show(&json!({ "running": false }), |_| {
            say(&format!("no gateway runs on `{}`", ctx.home.path().display()));
        });
        return Ok(ExitCode::FAILURE);
    };
    let mut answer = client.get("/api/status").await?;
    answer["running"] = true.into();
    ctx.show(&answer, |it| {
        say(&format!("running since {}, agent: {}", text(it, "started_at"), text(it, "agent")));
        for channel in it["channels"].as_array().into_iter().flatten() {
            say(&format!(
                "  {}: {} {}",
                text(channel, "account"),
                text(channel, "state"),
                text(channel, "why")
            ));
        }
        for (name, value) in it["counts"].as_object().into_iter().flatten() {
            say(&format!("  {name}: {value}"));
        }
    });
    Ok(ExitCode::SUCCESS)
}

/// `nanogridbot group …`
pub(crate) async fn group(ctx: &Context, command: &cli::Group) -> anyhow::Result<ExitCode> {
    let answer = ctx
        .with_gateway(async |client| match command {
            cli::Group::Add { main: true, .. } => {
                bail!("there is a main group already; every home has one from its first start")
            }
            cli::Group::Add { name, folder, .. } => {
                client.post("/api/groups", json!({ "name": name, "folder": folder })).await
            }
            cli::Group::List => client.get("/api/groups").await,
            cli::Group::Show { group } => client.get(&group_path(group)).await,
            cli::Group::Rename { group, name } => {
                client.call(Method::PATCH, &group_path(group), Some(json!({ "name": name }))).await
            }
            cli::Group::Set { group, limits } => {
                let body = json!({ "limits": limit_values(limits)? });
                client.call(Method::PATCH, &group_path(group), Some(body)).await
            }
            cli::Group::Remove { group, purge } => {
                let path = format!("{}?purge={purge}", group_path(group));
                client.call(Method::DELETE, &path, None).await
            }
        })
        .await?;
    ctx.show(&answer, |it| match command {
        cli::Group::List => {
            let row = |it: &Value| {
                let chats = it["bindings"].as_array().map_or(0, Vec::len).to_string();
                vec![
                    it["id"].to_string(),
                    text(it, "name").into(),
                    text(it, "folder").into(),
                    chats,
                ]
            };
            let rows: Vec<_> = it.as_array().into_iter().flatten().map(row).collect();
            print::table(&["id", "name", "folder", "chats"], &rows);
        }
        cli::Group::Remove { group, .. } => say(&format!("removed `{group}`")),
        _ => {
            say(&format!("{} (id {}, folder {})", text(it, "name"), it["id"], text(it, "folder")));
            for binding in it["bindings"].as_array().into_iter().flatten() {
                say(&format!("  {} {}", text(binding, "jid"), text(binding, "engage")));
            }
            for (name, value) in it["limits"].as_object().into_iter().flatten() {
                say(&format!("  {name} = {value}"));
            }
        }
    });
    Ok(ExitCode::SUCCESS)
}

fn group_path(group: &str) -> String {
    format!("/api/groups/{}", escaped(group))
}

/// `text` as one segment of a path.
fn escaped(text: &str) -> String {
    let byte = |it: u8| match it {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(it).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}

fn limit_values(limits: &[String]) -> anyhow::Result<Value> {
    let mut res = serde_json::Map::new();
    for limit in limits {
        let Some((name, value)) = limit.split_once('=') else {
            bail!("`{limit}` is not of the form `name=value`");
        };
        let value: u64 = value.parse().with_context(|| format!("`{value}` is no number"))?;
        res.insert(name.to_owned(), value.into());
    }
    Ok(Value::Object(res))
}

/// `nanogridbot bind`
pub(crate) async fn bind(ctx: &Context, args: &cli::Bind) -> anyhow::Result<ExitCode> {
    let engage = match (&args.trigger, args.always) {
        (Some(_), _) => "trigger",
        (None, true) => "always",
        (None, false) => "mention",
    };
    let body = json!({
        "jid": args.jid, "thread": args.thread, "engage": engage, "pattern": args.trigger, "scope": args.scope,
    });
    let path = format!("{}/bindings", group_path(&args.group));
    let answer = ctx.with_gateway(async |client| client.post(&path, body).await).await?;
    ctx.show(&answer, |it| say(&format!("bound `{}` to `{}`", args.jid, text(it, "name"))));
    Ok(ExitCode::SUCCESS)
}

/// `nanogridbot unbind`
pub(crate) async fn unbind(ctx: &Context, jid: &str, group: &str) -> anyhow::Result<ExitCode> {
    let path = format!("{}/bindings", group_path(group));
    let body = Some(json!({ "jid": jid }));
    let answer =
        ctx.with_gateway(async |client| client.call(Method::DELETE, &path, body).await).await?;
    ctx.show(&answer, |it| say(&format!("took `{jid}` from `{}`", text(it, "name"))));
    Ok(ExitCode::SUCCESS)
}

/// `nanogridbot approve`
pub(crate) async fn approve(ctx: &Context, args: &cli::Approve) -> anyhow::Result<ExitCode> {
    let path = format!("/api/pairings/{}/approve", escaped(&args.code));
    let body = json!({ "me": args.me, "group": args.group });
    let answer = ctx.with_gateway(async |client| client.post(&path, body).await).await?;
    ctx.show(&answer, |it| say(&format!("approved `{}`", text(it, "jid"))));
    Ok(ExitCode::SUCCESS)
}

/// `nanogridbot why`
pub(crate) async fn why(ctx: &Context, message: i64) -> anyhow::Result<ExitCode> {
    let path = format!("/api/messages/{message}/why");
    let answer = ctx.with_gateway(async |client| client.get(&path).await).await?;
    ctx.show(&answer, |it| {
        let shown = &it["message"];
        say(&format!("message {message} from {} in {}", text(shown, "sender"), text(shown, "jid")));
        let mut before: Option<i64> = None;
        for step in it["decisions"].as_array().into_iter().flatten() {
            let at = step["at_ms"].as_i64();
            let took = at
                .zip(before)
                .map(|(at, before)| format!("+{} ms", at - before))
                .unwrap_or_default();
            before = at.or(before);
            let line = format!("  {:9} {:16} {}", took, text(step, "kind"), text(step, "detail"));
            say(line.trim_end());
        }
        for row in it["outbox"].as_array().into_iter().flatten() {
            let error = row["error"].as_str().map(|it| format!(": {it}")).unwrap_or_default();
            say(&format!("  sent as {} ({}{error})", row["id"], text(row, "state")));
        }
    });
    Ok(ExitCode::SUCCESS)
}

/// `nanogridbot dead …`
pub(crate) async fn dead(ctx: &Context, command: &cli::Dead) -> anyhow::Result<ExitCode> {
    let answer = ctx
        .with_gateway(async |client| match command {
            cli::Dead::List => client.get("/api/dead").await,
            cli::Dead::Requeue { job } => {
                client.post(&format!("/api/dead/{job}/requeue"), json!({})).await
            }
            cli::Dead::Drop { job } => {
                client.post(&format!("/api/dead/{job}/drop"), json!({})).await
            }
        })
        .await?;
    ctx.show(&answer, |it| match command {
        cli::Dead::List => {
            let row = |it: &Value| {
                vec![
                    it["id"].to_string(),
                    it["message"].to_string(),
                    text(it, "jid").into(),
                    text(it, "error").into(),
                ]
            };
            let rows: Vec<_> = it.as_array().into_iter().flatten().map(row).collect();
            print::table(&["job", "message", "chat", "why"], &rows);
        }
        cli::Dead::Requeue { job } => say(&format!("job {job} waits again")),
        cli::Dead::Drop { job } => say(&format!("job {job} is dropped")),
    });
    Ok(ExitCode::SUCCESS)
}

/// `nanogridbot prune`
pub(crate) async fn prune(ctx: &Context, before: &str, dry_run: bool) -> anyhow::Result<ExitCode> {
    let at = instant(before)?;
    let body = json!({ "before_ms": at.0, "dry_run": dry_run });
    let answer = ctx.with_gateway(async |client| client.post("/api/prune", body).await).await?;
    ctx.show(&answer, |it| {
        let verb = if dry_run { "would forget" } else { "forgot" };
        for (name, value) in it.as_object().into_iter().flatten() {
            say(&format!("{verb} {value} {name}"));
        }
    });
    Ok(ExitCode::SUCCESS)
}

/// An instant or the start of a day, in the machine's zone.
fn instant(text: &str) -> anyhow::Result<Timestamp> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(Timestamp(at.as_millisecond()));
    }
    let day: jiff::civil::Date = text
        .parse()
        .with_context(|| format!("`{text}` is no date; write one like `2026-01-31`"))?;
    let start = day.to_zoned(jiff::tz::TimeZone::system())?;
    Ok(Timestamp(start.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_segment() {
        for (text, want) in
            [("main", "main"), ("a/b c", "a%2Fb%20c"), ("家", "%E5%AE%B6"), ("../x", "..%2Fx")]
        {
            assert_eq!(escaped(text), want);
        }
    }

    #[test]
    fn limits_are_numbers() {
        assert_eq!(limit_values(&["pids=64".into()]).unwrap(), json!({ "pids": 64 }));
        for bad in ["pids", "pids=many"] {
            assert!(limit_values(&[bad.into()]).is_err(), "{bad}");
        }
    }
}
