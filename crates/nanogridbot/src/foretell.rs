//! `nanogridbot simulate`: what would become of a message, without writing or sending anything.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::{
    context::Context,
    print::{say, text},
};

#[derive(Debug, Args)]
#[command(
    after_help = "Example: nanogridbot simulate --chat telegram:-1001234 --from 4711 --mention \"what is on today?\""
)]
pub(crate) struct Simulate {
    /// The chat it would be written in.
    #[arg(long)]
    chat: String,
    /// A thread of the chat.
    #[arg(long)]
    thread: Option<String>,
    /// Who would write, by the platform's id.
    #[arg(long)]
    from: String,
    /// The bot is mentioned.
    #[arg(long)]
    mention: bool,
    /// It answers a message of the bot.
    #[arg(long, conflicts_with = "mention")]
    reply: bool,
    /// It is written to the bot alone.
    #[arg(long, conflicts_with_all = ["mention", "reply"])]
    direct: bool,
    /// Another bot would write it.
    #[arg(long)]
    bot: bool,
    text: String,
}

/// `nanogridbot simulate`
pub(crate) async fn simulate(ctx: &Context, args: &Simulate) -> anyhow::Result<ExitCode> {
    let addressed = match (args.mention, args.reply, args.direct) {
        (true, ..) => "mention",
        (_, true, _) => "reply",
        (.., true) => "direct",
        _ => "no",
    };
    let body = json!({
        "jid": args.chat, "thread": args.thread, "sender": args.from, "text": args.text,
        "addressed": addressed, "is_bot": args.bot,
    });
    let answer = ctx.with_gateway(async |client| client.post("/api/simulate", body).await).await?;
    ctx.show(&answer, show);
    Ok(ExitCode::SUCCESS)
}

fn show(it: &Value) {
    let sentence = match text(it, "decision") {
        "answer" => "the agent would answer it",
        "keep" => "nobody would answer; it is kept as context",
        "drop" => "nothing would come of it",
        "offer_pairing" => "the chat would be shown a code",
        "make_group" => "a group would be made for the chat",
        "stop" => "the agent would be stopped",
        "answered_question" => "a question of an agent would be answered",
        _ => "the gateway itself would answer",
    };
    say(&format!("{sentence}: {}", text(it, "why")));
    for (key, what) in [
        ("group", "group"),
        ("lane_key", "conversation"),
        ("role", "role of the sender"),
        ("queue", "while the agent works"),
        ("agent", "who answers"),
    ] {
        if let Some(value) = it[key].as_str() {
            say(&format!("  {what}: {value}"));
        }
    }
    for remark in it["remarks"].as_array().into_iter().flatten() {
        say(&format!("  but {}", remark.as_str().unwrap_or_default()));
    }
}
