//! What was restored is held until somebody has looked at it.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::{
    context::Context,
    print::{say, text},
};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  nanogridbot resume --held\n  nanogridbot resume --held --give-up"
)]
pub(crate) struct Resume {
    /// What was restored is held no more.
    #[arg(long, required = true)]
    held: bool,
    /// What waited, answers and messages, becomes dead letters instead (`dead list`), to be looked at one by one: it may have
    /// been sent since the backup.
    #[arg(long)]
    give_up: bool,
}

/// `nanogridbot resume --held`
pub(crate) async fn resume(ctx: &Context, args: &Resume) -> anyhow::Result<ExitCode> {
    let body = json!({ "give_up": args.give_up });
    let answer =
        ctx.with_gateway(async |client| client.post("/api/restored/release", body).await).await?;
    ctx.show(&answer, |it| match it["released"].as_bool() {
        Some(true) => say("it goes on"),
        _ => say("nothing was held"),
    });
    Ok(ExitCode::SUCCESS)
}

/// What waits while it is held, for `nanogridbot status`.
pub(crate) fn show_held(it: &Value) {
    let restored = &it["restored"];
    if restored.is_null() {
        return;
    }
    say(&format!(
        "HELD: restored at {} from a backup of {}; `nanogridbot resume --held` has it go on",
        text(restored, "at"),
        text(restored, "made_at")
    ));
}

/// The rows that wait, one a line.
pub(crate) fn show_waits(it: &Value) {
    let each = |key: &str| it[key].as_array().cloned().unwrap_or_default();
    for send in each("sends") {
        let doubt = if send["in_doubt"] == true { ", perhaps sent already" } else { "" };
        say(&format!("  to be sent: {} to {}{doubt}", send["id"], text(&send, "place")));
    }
    for job in each("messages") {
        let id = job["message"].as_i64().map(|it| format!("#{it}")).unwrap_or_default();
        say(&format!("  to be answered: {id} of {}", text(&job, "place")));
    }
    for task in each("tasks") {
        say(&format!("  due: task {} since {}", task["id"], text(&task, "due_at")));
    }
}
