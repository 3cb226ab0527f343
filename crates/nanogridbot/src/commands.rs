//! The commands that talk to a gateway: the running one, or one that lives as long as the command.

use std::{
    io::{IsTerminal as _, Read as _},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use ngb_core::clock::{Clock, Timestamp};
use serde_json::{Value, json};

use crate::{
    cli::{self, BadArgument},
    client::{Client, escaped},
    context::Context,
    print::{harmless, say, text},
    settings::parse_duration,
};

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
    let limit = parse_duration(&args.timeout).map_err(BadArgument)?;
    let ends_at = Clock::System.now() + limit;
    let answer = ctx
        .with_agents(Some(ends_at), async |client| {
            // Its gateway may have had to start first, and that is time as well.
            let left = ends_at.since(Clock::System.now()).as_secs_f64();
            let body = json!({
                "group": args.group, "content": prompt, "wait": true, "wait_seconds": left,
            });
            client.post("/api/messages", body).await
        })
        .await?;
    let text = answer["answer"]["text"].as_str();
    // What the gateway or a plugin said is an answer as well.
    let failed = text.is_none() || !["answered", "said"].iter().any(|it| answer["outcome"] == *it);
    ctx.show(&answer, |_| match text {
        Some(text) if std::io::stdout().is_terminal() => say(&harmless(text)),
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
    if !answer["restored"].is_null() {
        answer["waits"] = client.get("/api/restored").await?;
    }
    answer["running"] = true.into();
    ctx.show(&answer, |it| {
        crate::backup::show_held(it);
        crate::backup::show_waits(&it["waits"]);
        say(&format!("running since {}, agent: {}", text(it, "started_at"), text(it, "agent")));
        for channel in it["channels"].as_array().into_iter().flatten() {
            say(&format!(
                "  {}: {} {}",
                text(channel, "account"),
                text(channel, "state"),
                text(channel, "why")
            ));
            if let Some(line) = webhook_line(&channel["webhook"]) {
                say(&format!("    {line}"));
            }
        }
        for (name, value) in it["counts"].as_object().into_iter().flatten() {
            say(&format!("  {name}: {value}"));
        }
    });
    Ok(ExitCode::SUCCESS)
}

/// Where the platform of a channel calls, to be pasted into its console; none for channels that are not called.
pub(crate) fn webhook_line(webhook: &Value) -> Option<String> {
    let path = webhook["path"].as_str()?;
    Some(match webhook["url"].as_str() {
        Some(url) => format!("the platform calls {url}"),
        None => format!("the platform calls <`[web] public_url`>{path}"),
    })
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
    ctx.show(&answer, print_why);
    Ok(ExitCode::SUCCESS)
}

/// The path of a message: a sentence, then each step with the time since the one before.
pub(crate) fn print_why(it: &Value) {
    let shown = &it["message"];
    let (id, from, place) = (&shown["id"], text(shown, "sender"), text(shown, "jid"));
    say(&format!("message {id} from {from} in {place}"));
    say(text(it, "sentence"));
    let mut before: Option<i64> = None;
    for step in it["decisions"].as_array().into_iter().flatten() {
        let at = step["at_ms"].as_i64();
        let took =
            at.zip(before).map(|(at, before)| format!("+{} ms", at - before)).unwrap_or_default();
        before = at.or(before);
        let line = format!("  {:9} {:16} {}", took, text(step, "kind"), text(step, "detail"));
        say(line.trim_end());
    }
    for used in it["usage"].as_array().into_iter().flatten() {
        let (input, output) = (&used["input_tokens"], &used["output_tokens"]);
        let guessed = if used["estimated"] == true { ", estimated" } else { "" };
        let cost =
            used["cost"].as_f64().map_or("cost unknown".to_owned(), |it| format!("cost {it:.4}"));
        let model = format!("{}/{}", text(used, "provider"), text(used, "model"));
        say(&format!("  used {input} + {output} tokens of {model}{guessed}, {cost}"));
    }
    for row in it["outbox"].as_array().into_iter().flatten() {
        let error = row["error"].as_str().map(|it| format!(": {it}")).unwrap_or_default();
        say(&format!("  sent as {} ({}{error})", row["id"], text(row, "state")));
    }
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
    let day = text.parse::<jiff::civil::Date>();
    let day = day.map_err(|err| {
        BadArgument(format!("`{text}` is no date; write one like `2026-01-31` ({err})"))
    })?;
    let start = day.to_zoned(jiff::tz::TimeZone::system())?;
    Ok(Timestamp(start.timestamp().as_millisecond()))
}
