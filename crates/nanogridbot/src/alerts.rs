//! `nanogridbot alerts`: what an operator should know of.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};

use crate::{
    context::Context,
    print::{self, say, text},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Alerts {
    /// List what is not as it should be now, since when, and what to do.
    List,
    /// Say a test wherever alerts go.
    Test,
    /// Have one be told no more for a while; it is listed all the same.
    #[command(after_help = "Example:
  nanogridbot alerts mute account:telegram@main --for 1d")]
    Mute {
        /// As `alerts list` shows it.
        key: String,
        /// `15m`, `2h`, `1d`; at most 30 days.
        #[arg(long, default_value = "6h")]
        r#for: String,
    },
}

/// `nanogridbot alerts …`
pub(crate) async fn alerts(ctx: &Context, command: &Alerts) -> anyhow::Result<ExitCode> {
    let answer = ctx
        .with_gateway(async |client| match command {
            Alerts::List => client.get("/api/alerts").await,
            Alerts::Test => client.post("/api/alerts/test", json!({})).await,
            Alerts::Mute { key, r#for } => {
                client.post("/api/alerts/mute", json!({ "key": key, "for": r#for })).await
            }
        })
        .await?;
    ctx.show(&answer, |it| match command {
        Alerts::List => list(it),
        Alerts::Test => {
            let to: Vec<&str> =
                it["to"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            match to.as_slice() {
                [] => say("nobody is told: bind a chat to the main group, or set `[alerts] to`"),
                to => say(&format!("told {}", to.join(", "))),
            }
        }
        Alerts::Mute { key, r#for } => say(&format!("`{key}` is not told for {}", r#for)),
    });
    Ok(ExitCode::SUCCESS)
}

fn list(answer: &Value) {
    let rows = answer.as_array().map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() {
        return say("all is well");
    }
    let row = |it: &Value| {
        let muted =
            it["muted_until"].as_str().map_or(String::new(), |it| format!("muted until {it}"));
        let what = format!("{} {}", text(it, "says"), text(it, "remedy"));
        vec![text(it, "key").to_owned(), text(it, "since").to_owned(), what, muted]
    };
    print::table(&["alert", "since", "what", ""], &rows.iter().map(row).collect::<Vec<_>>());
}
