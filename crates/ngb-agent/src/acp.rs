//! The driver `acp`: any agent that speaks the Agent Client Protocol; see <https://agentclientprotocol.com>.
//!
//! Of such an agent less is known than of our own: it has no prompt of the system, so the instructions stand before the
//! first prompt of a session; its tools are its own, so that all it does counts as an effect; a session goes on from its end,
//! where the agent can load one, and anew where it can't; what people write meanwhile waits for the next prompt.

use std::{collections::HashSet, time::Duration};

use agent_client_protocol::{
    ErrorCode,
    v1::{
        Responder,
        schema::{
            self, CancelNotification, ContentBlock, PermissionOption, PermissionOptionKind,
            PromptRequest, PromptResponse, RequestPermissionOutcome, RequestPermissionRequest,
            RequestPermissionResponse, SelectedPermissionOutcome, SessionUpdate, StopReason,
            TextContent, ToolCall, ToolCallContent, ToolCallStatus, ToolCallUpdate,
        },
    },
};
use futures_util::{StreamExt as _, future::LocalBoxFuture, stream::FuturesUnordered};
use ngb_core::{
    clock::Clock,
    frame::{Failure, ModelSpec, Outcome, Prompt, SessionMark, Step},
    toolbox::Toolbox,
};
use serde_json::Value;

use crate::{
    Folders, approve,
    builtin::prompt,
    tools::{self, Tools},
    turn::{Turn, Worked},
    ways::Ways,
};

mod connection;

use connection::{Connection, Event, Gone, Start};

/// How often work that runs long in silence is heard of; a group's `silence_seconds` is minutes.
const HEARD_EVERY: Duration = Duration::from_secs(30);

/// Before the session's id in a mark, so that no other driver takes it for its own.
const MARK: &str = "acp/";

/// The driver.
pub(crate) struct Acp {
    command: Vec<String>,
    tools: Tools,
    clock: Clock,
    ways: Option<Ways>,
    live: Option<Live>,
}

/// An agent that waits for its next prompt.
struct Live {
    connection: Connection,
    model: Option<ModelSpec>,
    toolbox: Toolbox,
    /// The instructions that the session was told.
    told: Option<String>,
    prompts: u64,
    mark: Option<SessionMark>,
}

/// Why there is no answer.
struct Trouble {
    failure: Failure,
    reason: String,
}

impl Acp {
    pub(crate) fn new(command: Vec<String>, folders: Folders, clock: Clock) -> Self {
        let tools = Tools::new(folders, clock.clone());
        Self { command, tools, clock, ways: None, live: None }
    }

    pub(crate) async fn work(&mut self, prompt: &Prompt, turn: &Turn) -> Worked {
        match self.answer(prompt, turn).await {
            Ok(worked) => worked,
            Err(Trouble { failure, reason }) => {
                let outcome = Outcome::Failed { failure, reason };
                Worked { outcome, session: prompt.session.clone() }
            }
        }
    }

    async fn answer(&mut self, prompt: &Prompt, turn: &Turn) -> Result<Worked, Trouble> {
        self.tools.renew(&prompt.toolbox);
        // What it does before its first word can't be seen.
        let refused = |it: crate::turn::Refused| passing(it.to_string());
        turn.before_effect().await.map_err(refused)?;
        let goes_on = |it: &Live| {
            prompt.session.is_some()
                && prompt.session == it.mark
                && prompt.model == it.model
                && prompt.toolbox == it.toolbox
        };
        let mut live = match self.live.take_if(|it| goes_on(it)) {
            Some(live) => live,
            None => {
                // Two at a time would be twice the memory, and one session's two writers.
                self.live = None;
                self.start(prompt).await?
            }
        };
        let Some(ways) = &mut self.ways else { return Err(passing("the loopback port is closed")) };
        ways.host_calls.refuse_left_over();
        let standing = prompt::standing(&self.tools.folders);
        let skills = prompt::skills(&self.tools.folders);
        let instructions = format!("{}\n\n{standing}{skills}", prompt::FIXED);
        let blocks = blocks(prompt, &instructions, live.told.as_ref());
        let mut conversation = Conversation::new(turn, &self.clock);
        let worked = tokio::select! {
            biased;
            worked = conversation.work(&mut live.connection, blocks) => worked,
            never = ways.host_calls.serve(&mut self.tools, turn) => match never {},
        };
        let outcome = worked?;
        live.told = Some(instructions);
        live.prompts += 1;
        let id = format!("{MARK}{}", live.connection.session);
        live.mark = Some(SessionMark { id, entries: live.prompts });
        let session = live.mark.clone();
        self.live = Some(live);
        Ok(Worked { outcome, session })
    }

    async fn start(&mut self, prompt: &Prompt) -> Result<Live, Trouble> {
        let folders = &self.tools.folders;
        let ways = match &mut self.ways {
            Some(ways) => ways,
            none => none.insert(Ways::open(folders).await.map_err(passing)?),
        };
        let session = prompt.session.as_ref().and_then(|it| it.id.strip_prefix(MARK));
        let start = Start {
            command: &self.command,
            folders,
            clock: &self.clock,
            variables: ways.variables(prompt.model.as_ref()),
            host_calls: ways.host_calls.command().map_err(passing)?,
            mcp: &prompt.toolbox.mcp,
            session: session.map(str::to_owned),
        };
        let connection = Connection::open(start).await.map_err(|gone| match gone {
            Gone::NotStarted { .. } => {
                Trouble { failure: Failure::Permanent, reason: gone.to_string() }
            }
            Gone::Refused(err) => refused(&err),
            Gone::Silent | Gone::Ended(_) => passing(gone),
        })?;
        let prompts =
            prompt.session.as_ref().filter(|_| connection.is_loaded).map_or(0, |it| it.entries);
        let (model, toolbox) = (prompt.model.clone(), prompt.toolbox.clone());
        Ok(Live { connection, model, toolbox, told: None, prompts, mark: None })
    }
}

/// The prompt, after the instructions where the session doesn't know them.
fn blocks(prompt: &Prompt, instructions: &str, told: Option<&String>) -> Vec<ContentBlock> {
    let text = |text: String| ContentBlock::Text(TextContent::new(text));
    let mut res = Vec::new();
    if told.is_none_or(|it| it != instructions) {
        res.push(text(format!("<instructions>\n{instructions}\n</instructions>")));
    }
    res.extend(prompt.resumed.as_ref().map(|note| text(format!("[{note}]"))));
    res.push(text(prompt::said(prompt)));
    res
}

/// One prompt, until the agent says that its turn is over.
struct Conversation<'a> {
    turn: &'a Turn,
    clock: &'a Clock,
    asked: FuturesUnordered<LocalBoxFuture<'a, Result<(), agent_client_protocol::Error>>>,
    /// Tools that are at work, by their ids.
    open: HashSet<String>,
    /// What was said since the last tool.
    answer: String,
}

impl<'a> Conversation<'a> {
    fn new(turn: &'a Turn, clock: &'a Clock) -> Self {
        let (open, answer) = (HashSet::new(), String::new());
        Self { turn, clock, asked: FuturesUnordered::new(), open, answer }
    }

    async fn work(
        &mut self,
        agent: &mut Connection,
        blocks: Vec<ContentBlock>,
    ) -> Result<Outcome, Trouble> {
        let turn = self.turn;
        let request = PromptRequest::new(agent.session.clone(), blocks);
        let ended = agent.to.send_request(request).block_task();
        tokio::pin!(ended);
        let mut is_cancelled = false;
        let ended = loop {
            let is_quiet = self.open.is_empty() && self.asked.is_empty();
            tokio::select! {
                biased;
                () = turn.stop.cancelled(), if !is_cancelled => {
                    is_cancelled = true;
                    // Questions that are open are answered by the cancellation.
                    self.asked.clear();
                    let cancel = CancelNotification::new(agent.session.clone());
                    agent.to.send_notification(cancel).map_err(|it| refused(&it))?;
                }
                event = agent.events.recv() => match event {
                    Some(event) => self.hear(event, is_cancelled).await,
                    None => return Err(passing(agent.end().await)),
                },
                Some(answered) = self.asked.next(), if !self.asked.is_empty() => {
                    answered.map_err(|it| refused(&it))?;
                }
                ended = &mut ended => break ended,
                () = self.clock.sleep(HEARD_EVERY), if !is_quiet => {
                    turn.show(Step::Thinking { delta: String::new() }).await;
                }
            }
        };
        let PromptResponse { stop_reason, .. } = match ended {
            Ok(response) => response,
            // What it said last tells more than that it is gone.
            Err(err) if is_gone(&err) => return Err(passing(agent.end().await)),
            Err(err) => return Err(refused(&err)),
        };
        if is_cancelled {
            return Ok(Outcome::Interrupted);
        }
        match stop_reason {
            StopReason::Cancelled => Ok(Outcome::Interrupted),
            StopReason::Refusal => Err(Trouble {
                failure: Failure::Permanent,
                reason: "the agent's model refused to answer".to_owned(),
            }),
            _ => Ok(Outcome::Answered { text: std::mem::take(&mut self.answer) }),
        }
    }

    async fn hear(&mut self, event: Event, is_cancelled: bool) {
        match event {
            Event::Update(update) => self.update(*update).await,
            Event::Permission(asked) => {
                let (request, responder) = *asked;
                self.asked.push(Box::pin(permit(self.turn, request, responder, is_cancelled)));
            }
        }
    }

    async fn update(&mut self, update: SessionUpdate) {
        match update {
            SessionUpdate::AgentMessageChunk(chunk) => {
                if let ContentBlock::Text(TextContent { text: delta, .. }) = chunk.content {
                    self.answer += &delta;
                    self.turn.show(Step::Text { delta }).await;
                }
            }
            SessionUpdate::AgentThoughtChunk(chunk) => {
                if let ContentBlock::Text(TextContent { text: delta, .. }) = chunk.content {
                    self.turn.show(Step::Thinking { delta }).await;
                }
            }
            SessionUpdate::ToolCall(call) => self.tool_begins(call).await,
            SessionUpdate::ToolCallUpdate(update) => self.tool_goes_on(update).await,
            // Plans, commands, modes: nothing that a chat shows.
            _ => {}
        }
    }

    async fn tool_begins(&mut self, call: ToolCall) {
        self.answer.clear();
        let id = call.tool_call_id.to_string();
        if self.open.insert(id.clone()) {
            let tool = call.name.unwrap_or_else(|| "tool".to_owned());
            self.turn.show(Step::ToolStart { id, tool, summary: call.title }).await;
        }
    }

    async fn tool_goes_on(&mut self, update: ToolCallUpdate) {
        let ok = match update.fields.status {
            Some(ToolCallStatus::Completed) => true,
            Some(ToolCallStatus::Failed) => false,
            _ => return,
        };
        let id = update.tool_call_id.to_string();
        if self.open.remove(&id) {
            let output = shown(&update.fields.content.unwrap_or_default());
            self.turn.show(Step::ToolEnd { id, ok, output }).await;
        }
    }
}

/// The texts of what a tool gave.
fn shown(content: &[ToolCallContent]) -> String {
    let text = |it: &ToolCallContent| match it {
        ToolCallContent::Content(it) => match &it.content {
            ContentBlock::Text(it) => Some(it.text.clone()),
            _ => None,
        },
        ToolCallContent::Diff(it) => Some(it.path.display().to_string()),
        _ => None,
    };
    let texts: Vec<String> = content.iter().filter_map(text).collect();
    crate::turn::cut_to(texts.join("\n"), tools::MAX_SHOWN_BYTES)
}

/// Asks the people in the chat, and tells the agent.
async fn permit(
    turn: &Turn,
    request: RequestPermissionRequest,
    responder: Responder<RequestPermissionResponse>,
    is_cancelled: bool,
) -> Result<(), agent_client_protocol::Error> {
    use PermissionOptionKind::{AllowAlways, AllowOnce, RejectAlways, RejectOnce};
    let fields = request.tool_call.fields;
    let tool = fields.title.or(fields.name).unwrap_or_else(|| "a tool".to_owned());
    let input = fields.raw_input.unwrap_or(Value::Null);
    let kinds = match is_cancelled {
        true => [None, None],
        false => match approve::ask(turn, &tool, &input).await {
            Ok(()) => [Some(AllowOnce), Some(AllowAlways)],
            Err(_) => [Some(RejectOnce), Some(RejectAlways)],
        },
    };
    let of_kind = |kind| request.options.iter().find(|it: &&PermissionOption| it.kind == kind);
    let chosen = kinds.into_iter().flatten().find_map(of_kind);
    let outcome = chosen.map_or(RequestPermissionOutcome::Cancelled, |it| {
        RequestPermissionOutcome::Selected(SelectedPermissionOutcome::new(it.option_id.clone()))
    });
    responder.respond(RequestPermissionResponse::new(outcome))
}

/// Whether the connection is closed, in the words of the crate.
fn is_gone(err: &agent_client_protocol::Error) -> bool {
    err.data.as_ref().is_some_and(|it| it["reason"] == "incoming_transport_closed")
}

/// What the agent's own refusal means.
fn refused(err: &agent_client_protocol::Error) -> Trouble {
    const SENSELESS: [ErrorCode; 2] = [ErrorCode::INVALID_PARAMS, ErrorCode::METHOD_NOT_FOUND];
    // Of ACP itself, "authentication required".
    let failure = if err.code == schema::ErrorCode::AuthRequired {
        Failure::KeyRefused
    } else if SENSELESS.contains(&err.code) {
        Failure::Permanent
    } else {
        Failure::Passing
    };
    Trouble { failure, reason: format!("the agent refused: {err}") }
}

/// Something that may be there at the next try.
fn passing(why: impl ToString) -> Trouble {
    Trouble { failure: Failure::Passing, reason: why.to_string() }
}
