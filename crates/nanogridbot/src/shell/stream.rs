//! One message and its answer, shown as it comes.

use std::io::{self, Write as _};

use serde_json::{Value, json};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::editor::{Editor, Read};
use crate::{
    client::Client,
    print::{harmless, say, text},
};

/// Longest piece of a tool's words that is shown, in characters.
const MAX_TOOL_CHARS: usize = 100;

/// Ctrl-C, outside of the line editor.
pub(super) struct Interrupts(Signal);

impl Interrupts {
    pub(super) fn new() -> io::Result<Self> {
        signal(SignalKind::interrupt()).map(Self)
    }

    pub(super) async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            // No more will ever come.
            std::future::pending::<()>().await;
        }
    }
}

/// How it went.
pub(super) enum Told {
    Answered,
    Failed,
    /// Whoever asked did not want to wait for the end.
    Left,
}

/// Shows an answer.
pub(super) struct Answer<'a> {
    client: &'a Client,
    /// Shown as it comes, with what the agent does; else only its end.
    is_live: bool,
    /// What was shown of the text so far.
    shown: String,
    lane: Option<Value>,
    stopping: bool,
}

impl<'a> Answer<'a> {
    pub(super) fn new(client: &'a Client, is_live: bool) -> Self {
        Self { client, is_live, shown: String::new(), lane: None, stopping: false }
    }

    /// Sends a message and shows what comes of it.
    pub(super) async fn show(
        mut self,
        body: Value,
        editor: &mut Editor,
        interrupts: &mut Interrupts,
    ) -> anyhow::Result<Told> {
        let jid = body["chat_jid"].clone();
        let mut events = self.client.stream("/api/messages", body).await?;
        let mut message = Value::Null;
        loop {
            let next = tokio::select! {
                next = events.next() => next?,
                () = interrupts.next() => {
                    if self.stopping {
                        return Ok(Told::Left);
                    }
                    self.stop().await?;
                    continue;
                }
            };
            let Some((name, data)) = next else {
                eprintln!(
                    "error: the gateway ended; the message is kept and answered after its start"
                );
                return Ok(Told::Failed);
            };
            match name.as_str() {
                "accepted" => message = data["id"].clone(),
                "event" if text(&data, "type") == "asked" => {
                    let value = choose(&data, editor, interrupts).await?;
                    if let Some(value) = value {
                        let body = json!({ "jid": jid, "value": value });
                        self.client.post("/api/press", body).await?;
                    }
                }
                "event" => self.take(&data),
                "done" => return Ok(self.end(&data, &message)),
                _ => {
                    eprintln!("error: {}", text(&data, "message"));
                    return Ok(Told::Failed);
                }
            }
        }
    }

    /// The first Ctrl-C stops the agent, or says why it can't.
    async fn stop(&mut self) -> anyhow::Result<()> {
        self.stopping = true;
        let Some(lane) = &self.lane else {
            eprintln!(
                "\nnothing runs yet; Ctrl-C again leaves, and the message is answered all the same"
            );
            return Ok(());
        };
        self.client.post(&format!("/api/lanes/{lane}/stop"), json!({})).await?;
        eprintln!("\nstopping; Ctrl-C again leaves");
        Ok(())
    }

    fn take(&mut self, event: &Value) {
        self.lane = Some(event["lane"].clone());
        let step = &event["step"];
        if !self.is_live {
            return;
        }
        match text(step, "kind") {
            "text" => {
                let delta = harmless(text(step, "delta"));
                self.shown += &delta;
                put(&delta);
            }
            "tool_start" => {
                let summary = harmless(text(step, "summary"));
                let line = summary.lines().next().unwrap_or_default();
                self.new_line();
                let line = ngb_core::text::shorten(line, MAX_TOOL_CHARS);
                say(&format!("  · {} {line}", text(step, "tool")));
            }
            "tool_end" if step["ok"] == false => {
                let output = harmless(text(step, "output"));
                let line = output.lines().next().unwrap_or_default();
                say(&format!("    failed: {}", ngb_core::text::shorten(line, MAX_TOOL_CHARS)));
            }
            _ => (),
        }
    }

    /// Ends the line that was begun.
    fn new_line(&mut self) {
        if !self.shown.is_empty() && !self.shown.ends_with('\n') {
            self.shown.push('\n');
            put("\n");
        }
    }

    /// What stands at the end is the answer; where it was shown already, it is not shown twice.
    fn end(mut self, done: &Value, message: &Value) -> Told {
        self.new_line();
        let answer = harmless(text(&done["answer"], "text"));
        let answer = answer.trim();
        if !self.shown.trim_end().ends_with(answer) {
            // One that was stopped, say, has a word more than what was shown.
            let rest = answer.strip_prefix(self.shown.trim()).unwrap_or(answer);
            say(rest.trim());
        }
        match text(done, "outcome") {
            "answered" | "said" | "interrupted" => Told::Answered,
            outcome => {
                eprintln!("error: message {message} is {outcome}");
                eprintln!("hint: `nanogridbot why {message}` says why");
                Told::Failed
            }
        }
    }
}

/// Puts a question of the agent's; none when whoever is asked doesn't answer.
async fn choose(
    asked: &Value,
    editor: &mut Editor,
    interrupts: &mut Interrupts,
) -> anyhow::Result<Option<String>> {
    let options: Vec<&Value> = asked["options"].as_array().into_iter().flatten().collect();
    say(harmless(text(asked, "question")).trim_end());
    for (n, option) in options.iter().enumerate() {
        say(&format!("  {}  {}", n + 1, harmless(text(option, "label"))));
    }
    let (back, read) = std::mem::replace(editor, Editor::lines()).read(interrupts).await;
    *editor = back;
    let Read::Line(line) = read? else { return Ok(None) };
    let line = line.trim();
    let named = |it: &&&Value| text(it, "label").eq_ignore_ascii_case(line);
    let numbered = line.parse::<usize>().ok().and_then(|n| options.get(n.checked_sub(1)?));
    let chosen = numbered.or_else(|| options.iter().find(named));
    Ok(chosen.map(|it| text(it, "value").to_owned()))
}

/// Writes a piece of a line.
fn put(text: &str) {
    let mut out = io::stdout().lock();
    // A reader that has gone is no error; the next line will tell.
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}
