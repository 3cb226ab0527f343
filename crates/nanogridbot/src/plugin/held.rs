//! `nanogridbot plugin active|logs|held|release|drop`: plugins that the gateway asks, what they write, and what they hold.

use std::process::ExitCode;

use anyhow::bail;
use serde_json::{Value, json};

use crate::{
    client::{Client, escaped},
    context::Context,
    print::{self, harmless, say, text},
};

/// Lists the plugins that are on.
pub(super) async fn active(ctx: &Context) -> anyhow::Result<ExitCode> {
    let answer = ctx.with_gateway(async |client| client.get("/api/plugins").await).await?;
    ctx.show(&answer, |it| {
        let rows: Vec<Vec<String>> = it.as_array().into_iter().flatten().map(row).collect();
        match rows.is_empty() {
            true => say("no plugin is on; docs/plugins.md says how one is switched on"),
            false => print::table(&["plugin", "version", "asked at", "", "calls", "failed"], &rows),
        }
    });
    Ok(ExitCode::SUCCESS)
}

fn row(it: &Value) -> Vec<String> {
    let hooks = it["hooks"].as_array().into_iter().flatten();
    let hooks: Vec<&str> = hooks.filter_map(Value::as_str).collect();
    let state = match (it["switched_off"].as_bool(), it["required"].as_bool()) {
        (Some(true), _) => "switched off",
        (_, Some(true)) => "required",
        _ => "",
    };
    vec![
        text(it, "name").to_owned(),
        text(it, "version").to_owned(),
        hooks.join(", "),
        state.to_owned(),
        it["calls"].to_string(),
        it["failures"].to_string(),
    ]
}

/// How long one question for the next line waits, in seconds.
const WAIT_S: u64 = 5;

/// Shows what plugins wrote to their logs, and what they failed at; goes on with what comes until somebody has enough.
pub(super) async fn logs(
    ctx: &Context,
    name: Option<&str>,
    follow: bool,
) -> anyhow::Result<ExitCode> {
    let Some(client) = Client::connect(&ctx.home.socket()).await? else {
        bail!("no gateway runs on `{}`, so no plugin writes anything", ctx.home.path().display());
    };
    let of = name.map_or(String::new(), |it| format!("&plugin={}", escaped(it)));
    if let Some(name) = name {
        // One that is not there would be silent for ever.
        client.get(&format!("/api/plugins/known/{}", escaped(name))).await?;
    }
    let mut after = 0;
    let mut wait_s = 0;
    loop {
        let path = format!("/api/plugins/logs?after={after}&wait_s={wait_s}{of}");
        let lines = client.get(&path).await?;
        if !follow {
            ctx.show(&lines, |it| match it.as_array() {
                Some(lines) if !lines.is_empty() => lines.iter().for_each(show_line),
                _ => say("nothing since the start"),
            });
            return Ok(ExitCode::SUCCESS);
        }
        for it in lines.as_array().into_iter().flatten() {
            after = it["number"].as_u64().unwrap_or(after);
            if ctx.json { print::json(it) } else { show_line(it) }
        }
        wait_s = WAIT_S;
    }
}

fn show_line(it: &Value) {
    let said = harmless(text(it, "text"));
    say(&format!("{} {:5} {}: {said}", text(it, "at"), text(it, "level"), text(it, "plugin")));
}

/// Lists what plugins hold.
pub(super) async fn held(ctx: &Context) -> anyhow::Result<ExitCode> {
    let answer = ctx.with_gateway(async |client| client.get("/api/plugins/held").await).await?;
    ctx.show(&answer, |it| {
        let row = |it: &Value| {
            vec![
                it["id"].to_string(),
                text(it, "way").to_owned(),
                text(it, "chat_jid").to_owned(),
                text(it, "plugin").to_owned(),
                text(it, "why").to_owned(),
                ngb_core::text::shorten(text(it, "text"), 60),
            ]
        };
        let rows: Vec<Vec<String>> = it.as_array().into_iter().flatten().map(row).collect();
        match rows.is_empty() {
            true => say("nothing is held"),
            false => print::table(&["id", "way", "chat", "held by", "why", "text"], &rows),
        }
    });
    Ok(ExitCode::SUCCESS)
}

/// Lets go what is held, or throws it away.
pub(super) async fn decide(ctx: &Context, id: i64, what: &str) -> anyhow::Result<ExitCode> {
    let path = format!("/api/plugins/held/{id}/{what}");
    let answer = ctx.with_gateway(async |client| client.post(&path, json!({})).await).await?;
    ctx.show(&answer, |_| match what {
        "release" => say(&format!("{id} goes its way")),
        _ => say(&format!("{id} is thrown away")),
    });
    Ok(ExitCode::SUCCESS)
}
