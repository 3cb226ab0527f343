//! One prompt and all that the command line says and asks until it is idle again.

use std::{collections::HashSet, path::Path, time::Duration};

use futures_util::{StreamExt as _, future::LocalBoxFuture, stream::FuturesUnordered};
use ngb_core::{
    clock::Clock,
    frame::{Failure, Outcome, Prompt, Step},
    toolbox::{MCP, Toolbox},
};
use serde_json::Value;

use super::{
    archive,
    cli::{Cli, Gone},
    wire::{self, FromCli, Message, Request, TurnResult},
};
use crate::{Folders, approve, builtin::prompt::said, host_calls, tools, turn::Turn};

/// How often work that runs long in silence is heard of; a group's `silence_seconds` is minutes.
const HEARD_EVERY: Duration = Duration::from_secs(30);

/// Tools that change nothing outside the conversation, or that start others which are asked about by themselves.
const NO_EFFECT: &[&str] =
    &["Agent", "Glob", "Grep", "ListAgents", "Read", "Skill", "Task", "TodoWrite", "ToolSearch"];

/// What was learnt of the session, which is its next mark.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    pub(super) session: Option<String>,
    /// The last message of the main conversation, by its id.
    pub(super) message: Option<String>,
    pub(super) turns: u64,
}

/// A prompt that is worked on.
pub(super) struct Conversation<'a> {
    pub(super) turn: &'a Turn,
    pub(super) folders: &'a Folders,
    pub(super) clock: &'a Clock,
    toolbox: &'a Toolbox,
    pub(super) heard: Heard,
    /// Answers to what the command line asked that are not known yet.
    asked: FuturesUnordered<LocalBoxFuture<'a, Value>>,
    /// Calls of tools without a result so far, by their ids.
    open: HashSet<String>,
    /// Host calls show themselves.
    shown_elsewhere: HashSet<String>,
    answers: Vec<String>,
    failure: Option<(Failure, String)>,
    /// What people wrote meanwhile and the command line has not taken up, by its ids.
    untaken: HashSet<String>,
    running: bool,
    interrupted: bool,
    over: bool,
}

impl<'a> Conversation<'a> {
    pub(super) fn new(
        turn: &'a Turn,
        folders: &'a Folders,
        clock: &'a Clock,
        toolbox: &'a Toolbox,
        heard: Heard,
    ) -> Self {
        Self {
            turn,
            folders,
            clock,
            toolbox,
            heard,
            asked: FuturesUnordered::new(),
            open: HashSet::new(),
            shown_elsewhere: HashSet::new(),
            answers: Vec::new(),
            failure: None,
            untaken: HashSet::new(),
            running: false,
            interrupted: false,
            over: false,
        }
    }

    /// Says `prompt`, and works until the command line and its sub-agents have nothing more to do.
    pub(super) async fn work(&mut self, cli: &mut Cli, prompt: &Prompt) -> Result<Outcome, Gone> {
        let text = match &prompt.resumed {
            Some(note) => format!("[{note}]\n{}", said(prompt)),
            None => said(prompt),
        };
        cli.say_for_person(&text).await?;
        let turn = self.turn;
        while !self.over {
            let is_quiet = self.open.is_empty() && self.asked.is_empty();
            tokio::select! {
                biased;
                // What it has not begun can't be interrupted.
                () = turn.stop.cancelled(), if self.running && !self.interrupted => {
                    self.interrupted = true;
                    cli.say(&wire::interrupt("interrupt")).await?;
                }
                // It stands in the model's next request, which may be another turn's.
                () = turn.more(), if !self.interrupted => {
                    for more in turn.take_steered() {
                        self.untaken.insert(cli.say_for_person(&said(&more)).await?);
                    }
                }
                Some(answer) = self.asked.next(), if !self.asked.is_empty() => {
                    cli.say(&answer).await?;
                }
                line = cli.next() => self.hear(line?).await,
                () = self.clock.sleep(HEARD_EVERY), if !is_quiet => {
                    turn.show(Step::Thinking { delta: String::new() }).await;
                }
            }
        }
        if self.interrupted {
            return Ok(Outcome::Interrupted);
        }
        Ok(match self.failure.take() {
            Some((failure, reason)) => Outcome::Failed { failure, reason },
            None => Outcome::Answered { text: self.answers.join("\n\n") },
        })
    }

    async fn hear(&mut self, line: FromCli) {
        match line {
            FromCli::System(it) if it.subtype == "session_state_changed" => {
                match it.state.as_deref() {
                    Some("idle") => {
                        let is_answered = !self.answers.is_empty() || self.failure.is_some();
                        self.over = is_answered && self.untaken.is_empty();
                    }
                    _ => self.running = true,
                }
            }
            FromCli::StreamEvent { event, parent_tool_use_id: None } => self.piece(&event).await,
            FromCli::Assistant { message, uuid, parent_tool_use_id } => {
                if parent_tool_use_id.is_none() {
                    self.heard.message = Some(uuid);
                }
                self.calls(&message).await;
            }
            FromCli::User { message, uuid } => {
                if let Some(uuid) = uuid {
                    self.untaken.remove(&uuid);
                }
                self.results(&message).await;
            }
            FromCli::Result(result) => {
                self.turn_ended(*result).await;
                // It would begin with what it has not taken up.
                self.over |= self.interrupted && self.leaves_work();
            }
            FromCli::ControlRequest { request_id, request } => self.request(request_id, request),
            FromCli::System(_)
            | FromCli::StreamEvent { .. }
            | FromCli::ControlResponse { .. }
            | FromCli::Other => {}
        }
    }

    async fn piece(&self, event: &Value) {
        let delta = &event["delta"];
        let text = |key: &str| delta[key].as_str().map(str::to_owned);
        if let Some(delta) = text("text") {
            self.turn.show(Step::Text { delta }).await;
        } else if let Some(delta) = text("thinking") {
            self.turn.show(Step::Thinking { delta }).await;
        }
    }

    async fn calls(&mut self, message: &Message) {
        let ours = format!("mcp__{}__", host_calls::SERVER);
        for block in message.blocks().iter().filter(|it| it["type"] == "tool_use") {
            let (Some(id), Some(tool)) = (block["id"].as_str(), block["name"].as_str()) else {
                continue;
            };
            if tool.starts_with(&ours) {
                self.shown_elsewhere.insert(id.to_owned());
                continue;
            }
            self.open.insert(id.to_owned());
            let summary = tools::summary(&block["input"]);
            let (id, tool) = (id.to_owned(), tool.to_owned());
            self.turn.show(Step::ToolStart { id, tool, summary }).await;
        }
    }

    async fn results(&mut self, message: &Message) {
        for block in message.blocks().iter().filter(|it| it["type"] == "tool_result") {
            let Some(id) = block["tool_use_id"].as_str() else { continue };
            if self.shown_elsewhere.remove(id) {
                continue;
            }
            self.open.remove(id);
            let ok = block["is_error"] != true;
            let output = crate::turn::cut_to(plain(&block["content"]), tools::MAX_SHOWN_BYTES);
            self.turn.show(Step::ToolEnd { id: id.to_owned(), ok, output }).await;
        }
    }

    /// Whether something was said that it would still work on.
    pub(super) fn leaves_work(&self) -> bool {
        !self.untaken.is_empty()
    }

    async fn turn_ended(&mut self, result: TurnResult) {
        let TurnResult { session_id, is_error, result, errors, api_error_status, usage } = result;
        self.heard.session = Some(session_id);
        self.heard.turns += 1;
        self.turn.used(usage.all_input_tokens(), usage.output_tokens).await;
        let text =
            result.unwrap_or_else(|| errors.iter().map(plain).collect::<Vec<_>>().join("; "));
        if is_error {
            self.failure = Some((failure_of(api_error_status, &text), text));
        } else {
            self.failure = None;
            self.answers.push(text);
        }
    }

    /// Begins to find the answer to what the command line asks.
    fn request(&self, id: String, request: Request) {
        let (turn, toolbox) = (self.turn, self.toolbox);
        self.asked.push(match request {
            Request::CanUseTool { tool_name, input } => Box::pin(async move {
                let verdict = approve::ask(turn, &tool_name, &input).await;
                wire::answer(&id, &wire::permission(&verdict, &input))
            }),
            Request::HookCallback { callback_id, input } if callback_id == wire::BEFORE_TOOL => {
                Box::pin(async move {
                    let tool = input["tool_name"].as_str().unwrap_or_default();
                    let verdict = before_tool(turn, toolbox, tool, &input["tool_input"]).await;
                    wire::answer(&id, &wire::hook_verdict(&verdict))
                })
            }
            Request::HookCallback { callback_id, input }
                if callback_id == wire::BEFORE_COMPACTION =>
            {
                let transcript = input["transcript_path"].as_str().unwrap_or_default();
                let now = self.clock.now();
                if let Err(err) = archive::keep(Path::new(transcript), &self.folders.group, now) {
                    // The compaction itself must go on, or the conversation can't.
                    eprintln!("agent: could not keep the conversation: {err}");
                }
                let answer = wire::answer(&id, &wire::hook_verdict(&Ok(())));
                Box::pin(std::future::ready(answer))
            }
            Request::HookCallback { .. } | Request::Other => {
                Box::pin(std::future::ready(wire::cannot(&id)))
            }
        });
    }
}

async fn before_tool(
    turn: &Turn,
    toolbox: &Toolbox,
    tool: &str,
    input: &Value,
) -> Result<(), String> {
    // What is asked of the host is judged there.
    if !tool.starts_with(&format!("{MCP}{}__", host_calls::SERVER)) {
        if !toolbox.has(tool) {
            return Err(format!("this group's `tools` leave `{tool}` out"));
        }
        if toolbox.asks(tool) {
            approve::ask(turn, tool, input).await?;
        }
    }
    if NO_EFFECT.contains(&tool) || tool.starts_with(&format!("{MCP}{}__", host_calls::SERVER)) {
        return Ok(());
    }
    turn.before_effect().await.map_err(|it| it.to_string())
}

/// A string, or the texts of a list of blocks.
fn plain(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => {
            let texts = blocks.iter().filter_map(|it| it["text"].as_str());
            texts.collect::<Vec<_>>().join("\n")
        }
        other => other.to_string(),
    }
}

/// What kind of failure it was, by the status of the provider's or the broker's answer.
fn failure_of(status: Option<u16>, text: &str) -> Failure {
    match status {
        Some(401 | 403) => Failure::KeyRefused,
        Some(402) => Failure::OverBudget,
        Some(404) => Failure::ModelUnknown,
        Some(413) => Failure::PromptTooLarge,
        Some(400) if text.to_lowercase().contains("too long") => Failure::PromptTooLarge,
        Some(400 | 422) => Failure::Permanent,
        _ => Failure::Passing,
    }
}
