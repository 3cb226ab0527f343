//! `nanogridbot session`: what was said, and where it goes on.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::{
    client::escaped,
    context::Context,
    print::{self, harmless, text},
};

/// Characters of a found message that are shown.
const LINE_CHARS: usize = 80;

#[derive(Debug, Subcommand)]
pub(crate) enum Session {
    /// Find messages by their words, in any order and any language; among the latest also by a part of a word.
    #[command(after_help = "Examples:
  nanogridbot session search 'invoice march'
  nanogridbot session search -g family 上海")]
    Search(Search),
}

#[derive(Debug, Args)]
pub(crate) struct Search {
    /// What is looked for.
    text: String,
    /// Only in this group.
    #[arg(short, long)]
    group: Option<String>,
    /// Only in this chat, e.g. `telegram:-100123`.
    #[arg(long, value_name = "JID")]
    chat: Option<String>,
    /// Only before the message with this number: the next page.
    #[arg(long, value_name = "ID")]
    before: Option<i64>,
    /// So many at most.
    #[arg(short = 'n', long, default_value_t = 20)]
    limit: u32,
}

/// `nanogridbot session …`
pub(crate) async fn session(ctx: &Context, command: &Session) -> anyhow::Result<ExitCode> {
    match command {
        Session::Search(args) => search(ctx, args).await,
    }
}

async fn search(ctx: &Context, args: &Search) -> anyhow::Result<ExitCode> {
    let mut path = format!("/api/messages?limit={}&q={}", args.limit, escaped(&args.text));
    if let Some(group) = &args.group {
        path += &format!("&group={}", escaped(group));
    }
    if let Some(chat) = &args.chat {
        path += &format!("&chat_jid={}", escaped(chat));
    }
    if let Some(before) = args.before {
        path += &format!("&before={before}");
    }
    let answer = ctx.with_gateway(async |client| client.get(&path).await).await?;
    ctx.show(&answer, |it| {
        let rows: Vec<_> = it.as_array().into_iter().flatten().map(line).collect();
        print::table(&["message", "at", "chat", "from", "text"], &rows);
    });
    Ok(ExitCode::SUCCESS)
}

fn line(it: &Value) -> Vec<String> {
    let from = if text(it, "sender").is_empty() { text(it, "role") } else { text(it, "sender") };
    let said = text(it, "text").split_whitespace().collect::<Vec<_>>().join(" ");
    vec![
        it["id"].to_string(),
        text(it, "timestamp").into(),
        text(it, "jid").into(),
        harmless(from),
        harmless(&ngb_core::text::shorten(&said, LINE_CHARS)),
    ]
}
