//! `nanogridbot plugin active|held|release|drop`: plugins that the gateway asks, and what they hold.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::{
    context::Context,
    print::{self, say, text},
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
