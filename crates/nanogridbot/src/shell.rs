//! `nanogridbot shell`: a conversation with a group's agent in a terminal, or by lines of standard input.

mod editor;
mod stream;

use std::{
    io::{self, IsTerminal as _},
    process::ExitCode,
};

use anyhow::Context as _;
use ngb_core::clock::Clock;
use serde_json::{Value, json};

use self::{
    editor::{Editor, Read},
    stream::{Answer, Interrupts},
};
use crate::{
    cli::{self, BadArgument},
    client::{Client, escaped},
    context::Context,
    print::{harmless, say, text},
};

/// The exit code of whoever was interrupted: 128 and the number of SIGINT, as shells have it.
const EXIT_INTERRUPTED: u8 = 130;

/// Messages that are looked through for earlier conversations; the most that one page of the API holds.
const LOOKED_THROUGH: usize = 500;

/// Earlier messages that are shown when a conversation goes on.
const SHOWN_AGAIN: usize = 6;

const HELP: &str = "  Enter sends; Alt+Enter, or a \\ at the end of a line, begins a new line
  Ctrl-C stops the answer, a second one leaves; Ctrl-D or /quit leaves
  /help shows this; anything else goes to the agent";

/// A conversation: the group's chat in terminals, and the thread in it.
struct Conversation {
    group: String,
    jid: String,
    thread: String,
}

/// `nanogridbot shell`
pub(crate) async fn shell(ctx: &Context, args: &cli::Shell) -> anyhow::Result<ExitCode> {
    if ctx.json {
        let why = "`shell` is for people; `run --json` prints an answer as JSON";
        return Err(BadArgument(why.to_owned()).into());
    }
    let history = ctx.home.path().join("shell_history");
    ctx.with_agents(None, async |client| {
        let (conversation, earlier) = open(client, args).await?;
        let is_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
        let editor = match is_terminal {
            true => Editor::terminal(&history, &format!("{}> ", conversation.group))?,
            false => Editor::lines(),
        };
        if is_terminal {
            greet(client, &conversation, &earlier).await?;
        }
        talk(client, &conversation, editor).await
    })
    .await
}

/// The conversation that is meant, and what was said in it.
async fn open(client: &Client, args: &cli::Shell) -> anyhow::Result<(Conversation, Vec<Value>)> {
    let path = format!("/api/groups/{}", escaped(&args.group));
    let group = client.get(&path).await?;
    let jid = format!("terminal@main:{}", text(&group, "folder"));
    let bound = group["bindings"].as_array().into_iter().flatten();
    if !bound.into_iter().any(|it| text(it, "jid") == jid) {
        // Groups are made without it; whoever opens a shell wants to be heard there.
        let body = json!({ "jid": jid, "engage": "always" });
        client.post(&format!("{path}/bindings"), body).await?;
    }
    let conversation =
        |thread| Conversation { group: text(&group, "name").to_owned(), jid: jid.clone(), thread };
    let Some(wanted) = &args.resume else {
        let now = Clock::System.now();
        let zoned =
            jiff::Timestamp::from_millisecond(now.0)?.to_zoned(jiff::tz::TimeZone::system());
        return Ok((conversation(zoned.strftime("%Y%m%d-%H%M%S").to_string()), Vec::new()));
    };
    let path = format!("/api/messages?chat_jid={}&limit={LOOKED_THROUGH}", escaped(&jid));
    let messages = client.get(&path).await?;
    let messages = messages.as_array().cloned().unwrap_or_default();
    let newest = messages.iter().rev().map(|it| text(it, "thread")).find(|it| !it.is_empty());
    let wanted = Some(wanted.as_str()).filter(|it| !it.is_empty()).or(newest);
    let is_of = |it: &&Value| wanted == Some(text(it, "thread"));
    let earlier: Vec<Value> = messages.iter().filter(is_of).cloned().collect();
    let Some(thread) = wanted.filter(|_| !earlier.is_empty()) else {
        let named = wanted.map(|it| format!(" `{it}`")).unwrap_or_default();
        let newest = newest.map(|it| format!("; the latest is `{it}`")).unwrap_or_default();
        let why = format!("`{}` has no conversation{named} to go on with{newest}", args.group);
        return Err(BadArgument(why).into());
    };
    let thread = thread.to_owned();
    Ok((conversation(thread), earlier))
}

/// Says where one is and how to get out.
async fn greet(
    client: &Client,
    conversation: &Conversation,
    earlier: &[Value],
) -> anyhow::Result<()> {
    let status = client.get("/api/status").await?;
    let Conversation { group, thread, .. } = conversation;
    say(&format!("{} · group {group} · agent {}", text(&status, "name"), text(&status, "agent")));
    say(&format!(
        "conversation {thread} · `nanogridbot shell -g {group} --resume` goes on with it"
    ));
    say(HELP);
    for message in &earlier[earlier.len().saturating_sub(SHOWN_AGAIN)..] {
        let who = if text(message, "role") == "user" { group.clone() + ">" } else { String::new() };
        say(harmless(&format!("{who} {}", text(message, "text"))).trim());
    }
    say("");
    Ok(())
}

/// Reads a message, shows the answer, and so on until whoever writes has enough.
async fn talk(
    client: &Client,
    conversation: &Conversation,
    mut editor: Editor,
) -> anyhow::Result<ExitCode> {
    let mut interrupts = Interrupts::new().context("could not listen for Ctrl-C")?;
    let mut failed = 0;
    let mut wants_out = false;
    loop {
        let (back, read) = editor.read(&mut interrupts).await;
        editor = back;
        let line = match read? {
            Read::Line(line) => line,
            Read::End => break,
            Read::Interrupted if wants_out || !editor.is_terminal() => {
                return Ok(ExitCode::from(EXIT_INTERRUPTED));
            }
            Read::Interrupted => {
                wants_out = true;
                say("Ctrl-C again, or Ctrl-D, leaves");
                continue;
            }
        };
        wants_out = false;
        match line.trim() {
            "" => continue,
            "/quit" | "/exit" => break,
            "/help" => say(HELP),
            _ => {
                let body = json!({
                    "chat_jid": conversation.jid, "thread": conversation.thread, "content": line,
                });
                let is_live = editor.is_terminal();
                let told = Answer::new(client, is_live).show(body, &mut editor, &mut interrupts);
                match told.await? {
                    stream::Told::Answered => (),
                    stream::Told::Failed => failed += 1,
                    stream::Told::Left => return Ok(ExitCode::from(EXIT_INTERRUPTED)),
                }
            }
        }
    }
    // People saw what failed; a script sees the exit code.
    let is_fine = failed == 0 || editor.is_terminal();
    Ok(if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
