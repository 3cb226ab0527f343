//! `nanogridbot session`: conversations, what was said in them, and where they go on.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::{
    client::{Client, escaped},
    context::Context,
    print::{self, harmless, say, text},
};

/// Characters of a found message that are shown.
const LINE_CHARS: usize = 80;

/// Messages that are read at a time; the most that one page of the API holds.
const PAGE: usize = 500;

#[derive(Debug, Subcommand)]
pub(crate) enum Session {
    /// List the conversations, the latest first.
    #[command(alias = "list")]
    Ls {
        /// Only of this group.
        #[arg(short, long)]
        group: Option<String>,
    },
    /// Show one, with the transcripts that are kept of it.
    Show {
        /// Its number in `session ls`.
        lane: i64,
    },
    /// Stop what runs there and end its agent; the conversation stays.
    Kill { lane: i64 },
    /// Have the next message begin a new session; what the agent remembers stays.
    New { lane: i64 },
    /// Have the next message go on with an earlier session (driver `builtin`).
    Resume {
        lane: i64,
        /// Its id, as `session show` names it.
        session: String,
    },
    /// Make a conversation for `nanogridbot shell --resume` that goes on from where this one stands (driver `builtin`).
    Fork { lane: i64 },
    /// Write down what was said in a conversation.
    #[command(after_help = "Examples:
  nanogridbot session export 3 > talk.md
  nanogridbot session export 3 --format json -o talk.json")]
    Export {
        lane: i64,
        #[arg(long, value_enum, default_value_t = Format::Md)]
        format: Format,
        /// Into this file; default standard output.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Find messages by their words, in any order and any language; among the latest also by a part of a word.
    #[command(after_help = "Examples:
  nanogridbot session search 'invoice march'
  nanogridbot session search -g family 上海")]
    Search(Search),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Markdown.
    Md,
    Json,
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
    let of = |lane: &i64, what: &str| format!("/api/sessions/{lane}{what}");
    let answer = ctx
        .with_gateway(async |client| match command {
            Session::Ls { group: None } => client.get("/api/sessions").await,
            Session::Ls { group: Some(group) } => {
                client.get(&format!("/api/sessions?group={}", escaped(group))).await
            }
            Session::Show { lane } => client.get(&of(lane, "")).await,
            Session::Kill { lane } => client.post(&of(lane, "/kill"), json!({})).await,
            Session::New { lane } => client.post(&of(lane, "/new"), json!({})).await,
            Session::Resume { lane, session } => {
                client.post(&of(lane, "/resume"), json!({ "session": session })).await
            }
            Session::Fork { lane } => client.post(&of(lane, "/fork"), json!({})).await,
            Session::Export { lane, .. } => said(client, *lane).await,
            Session::Search(args) => client.get(&search(args)).await,
        })
        .await?;
    if let Session::Export { lane, format, output } = command {
        return export(ctx, *lane, *format, output.as_ref(), &answer);
    }
    ctx.show(&answer, |it| match command {
        Session::Ls { .. } => {
            let rows: Vec<_> = it.as_array().into_iter().flatten().map(conversation).collect();
            print::table(&["lane", "group", "conversation", "messages", "last", "state"], &rows);
        }
        Session::Show { .. } => show(it),
        Session::Kill { lane } => {
            let what =
                if it["interrupted"] == true { "its run was stopped" } else { "nothing ran" };
            say(&format!("the agent of lane {lane} is ended; {what}"));
        }
        Session::New { lane } => {
            say(&format!("the next message in lane {lane} begins a new session"));
        }
        Session::Resume { lane, session } => {
            say(&format!("the next message in lane {lane} goes on with {session}"));
        }
        Session::Fork { .. } => say(&format!(
            "lane {} is a copy; `nanogridbot shell --resume {}` goes on there",
            it["lane"],
            text(it, "thread")
        )),
        Session::Export { .. } => (),
        Session::Search(_) => {
            let rows: Vec<_> = it.as_array().into_iter().flatten().map(line).collect();
            print::table(&["message", "at", "chat", "from", "text"], &rows);
        }
    });
    Ok(ExitCode::SUCCESS)
}

fn conversation(it: &Value) -> Vec<String> {
    let state = match (it["working"] == true, it["session"].is_null()) {
        (true, _) => "working".to_owned(),
        (false, true) => "begins anew".to_owned(),
        (false, false) => format!("{} entries", it["entries"]),
    };
    vec![
        it["lane"].to_string(),
        harmless(text(it, "group_name")),
        harmless(text(it, "key")),
        it["messages"].to_string(),
        text(it, "last_at").to_owned(),
        state,
    ]
}

fn show(it: &Value) {
    let (lane, group, key) = (&it["lane"], text(it, "group_name"), text(it, "key"));
    say(&harmless(&format!("lane {lane} of `{group}`: {key}")));
    say(&format!("  {} messages, {} wait", it["messages"], it["waiting"]));
    let all = it["transcripts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let row = |it: &Value| {
        let written = it["written_ms"].as_i64().unwrap_or(0);
        vec![
            text(it, "id").to_owned(),
            it["bytes"].to_string(),
            ngb_core::clock::Timestamp(written).to_string(),
            if it["current"] == true { "goes on" } else { "" }.to_owned(),
        ]
    };
    match (all.is_empty(), it["session"].as_str()) {
        (false, _) => {
            let rows: Vec<_> = all.iter().map(row).collect();
            print::table(&["session", "bytes", "written", ""], &rows);
        }
        (true, Some(session)) => say(&format!("  session {session}, kept by its driver")),
        (true, None) => say("  the next message begins a new session"),
    }
}

fn search(args: &Search) -> String {
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
    path
}

fn line(it: &Value) -> Vec<String> {
    let said = text(it, "text").split_whitespace().collect::<Vec<_>>().join(" ");
    vec![
        it["id"].to_string(),
        text(it, "timestamp").into(),
        text(it, "jid").into(),
        harmless(speaker(it)),
        harmless(&ngb_core::text::shorten(&said, LINE_CHARS)),
    ]
}

fn speaker(it: &Value) -> &str {
    if text(it, "sender").is_empty() { text(it, "role") } else { text(it, "sender") }
}

/// All that was said in a conversation, the oldest first.
async fn said(client: &Client, lane: i64) -> anyhow::Result<Value> {
    // One that is not there has no messages, which is no answer.
    client.get(&format!("/api/sessions/{lane}")).await?;
    let mut all: Vec<Value> = Vec::new();
    loop {
        let after = all.last().map_or(0, |it| it["id"].as_i64().unwrap_or(0));
        let path = format!("/api/messages?lane={lane}&after={after}&limit={PAGE}");
        let mut page = client.get(&path).await?;
        let page = page.as_array_mut().map(std::mem::take).unwrap_or_default();
        let is_last = page.len() < PAGE;
        all.extend(page);
        if is_last {
            return Ok(all.into());
        }
    }
}

fn export(
    ctx: &Context,
    lane: i64,
    format: Format,
    to: Option<&PathBuf>,
    said: &Value,
) -> anyhow::Result<ExitCode> {
    let written = match format {
        Format::Json => format!("{said:#}\n"),
        Format::Md => markdown(lane, said),
    };
    match to {
        Some(path) => {
            std::fs::write(path, written)
                .with_context(|| format!("could not write `{}`", path.display()))?;
            let count = said.as_array().map_or(0, Vec::len);
            let report = json!({ "lane": lane, "messages": count, "file": path });
            ctx.show(&report, |_| say(&format!("wrote {count} messages to {}", path.display())));
        }
        None if ctx.json => print::json(said),
        None => print::lines(&[written.trim_end()]),
    }
    Ok(ExitCode::SUCCESS)
}

fn markdown(lane: i64, said: &Value) -> String {
    let mut res = format!("# Conversation {lane}\n");
    for it in said.as_array().into_iter().flatten() {
        let (at, text) = (text(it, "timestamp"), text(it, "text"));
        res += &format!("\n**{}** ({at}, #{}):\n\n{}\n", speaker(it), it["id"], text.trim_end());
        for file in it["files"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            res += &format!("\n- file: {file}\n");
        }
    }
    res
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_as_markdown() {
        let said = json!([
            { "id": 1, "timestamp": "T1", "sender": "Ann", "role": "user", "text": "hi\n", "files": ["a.txt"] },
            { "id": 2, "timestamp": "T2", "sender": "", "role": "assistant", "text": "hello", "files": [] },
        ]);
        let want = "# Conversation 3\n\n**Ann** (T1, #1):\n\nhi\n\n- file: a.txt\n\n**assistant** (T2, #2):\n\nhello\n";
        assert_eq!(markdown(3, &said), want);
    }
}
