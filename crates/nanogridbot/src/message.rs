//! `nanogridbot message`: what was written, by whom, and what became of it.

use std::process::ExitCode;

use clap::Subcommand;
use ngb_core::text::shorten;
use serde_json::Value;

use crate::{
    client::escaped,
    commands::print_why,
    context::Context,
    print::{self, say, text},
};

/// Longest part of a text that is listed, in characters.
const LISTED_CHARS: usize = 60;

#[derive(Debug, Subcommand)]
pub(crate) enum Message {
    /// List messages, the oldest of the page first; without `--after` the page is the newest.
    #[command(
        after_help = "Example: nanogridbot message list -g family --search \"shopping list\""
    )]
    List {
        #[arg(short, long)]
        group: Option<String>,
        /// Only those of this chat.
        #[arg(long)]
        jid: Option<String>,
        /// Only those with these words, in any order.
        #[arg(long, conflicts_with = "after")]
        search: Option<String>,
        /// Only those before this message.
        #[arg(long)]
        before: Option<i64>,
        /// Only those after this message.
        #[arg(long)]
        after: Option<i64>,
        #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
    },
    /// Show one, whole, and its path.
    Show { message: i64 },
}

/// `nanogridbot message …`
pub(crate) async fn message(ctx: &Context, command: &Message) -> anyhow::Result<ExitCode> {
    let path = match command {
        Message::List { group, jid, search, before, after, limit } => {
            let mut path = format!("/api/messages?limit={limit}");
            for (key, value) in [("group", group), ("jid", jid), ("q", search)] {
                if let Some(value) = value {
                    path += &format!("&{key}={}", escaped(value));
                }
            }
            for (key, value) in [("before", before), ("after", after)] {
                if let Some(value) = value {
                    path += &format!("&{key}={value}");
                }
            }
            path
        }
        Message::Show { message } => format!("/api/messages/{message}/why"),
    };
    let answer = ctx.with_gateway(async |client| client.get(&path).await).await?;
    ctx.show(&answer, |it| match command {
        Message::List { .. } => list(it),
        Message::Show { .. } => {
            say(text(&it["message"], "text"));
            print_why(it);
        }
    });
    Ok(ExitCode::SUCCESS)
}

fn list(messages: &Value) {
    let row = |it: &Value| {
        vec![
            it["id"].to_string(),
            text(it, "timestamp").to_owned(),
            text(it, "jid").to_owned(),
            text(it, "sender").to_owned(),
            text(it, "state").to_owned(),
            shorten(text(it, "text"), LISTED_CHARS),
        ]
    };
    let rows: Vec<_> = messages.as_array().into_iter().flatten().map(row).collect();
    match rows.is_empty() {
        true => say("there are none"),
        false => print::table(&["id", "at", "chat", "from", "state", "text"], &rows),
    }
}
