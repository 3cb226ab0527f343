//! The process of the command line: how it is started, and its lines.

use std::{collections::BTreeMap, io, path::Path, time::Duration};

use futures_util::StreamExt as _;
use ngb_core::{
    clock::Clock,
    frame::ModelSpec,
    toolbox::{MCP, McpServer},
};
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt as _,
    process::{ChildStdin, ChildStdout},
};
use tokio_util::codec::{FramedRead, LinesCodec};

use super::{session::Begin, wire};
use crate::{
    Folders,
    child::{self, AgentChild},
    host_calls, mcp, random,
};

/// Longest line that is read, in bytes: a file that the command line shows itself is in it.
const MAX_LINE_BYTES: usize = 16 * 1024 * 1024;

/// Longest that the command line may take from its start to its first answer.
const START_LIMIT: Duration = Duration::from_secs(60);

/// The smallest window that `--autocompact` takes, in tokens.
const MIN_WINDOW_TOKENS: u64 = 100_000;

/// Tries of one request within the command line; the gateway tries the run anew, later.
const MAX_RETRIES: &str = "3";

/// Longest that a host call may take, in milliseconds: a question waits for people as long as the gateway says, a quarter of an
/// hour.
const MAX_HOST_CALL_MS: &str = "1200000";

/// Tools that promise what this process can't keep, or that go out by a way of their own: what is scheduled ends with the
/// process, there is no network, nobody sits at a terminal, and a search is made by the provider, past the broker. The host
/// calls have one that holds for each.
const NOT_HERE: &str = "AskUserQuestion,CronCreate,CronDelete,CronList,ScheduleWakeup,EnterPlanMode,ExitPlanMode,\
EnterWorktree,ExitWorktree,WebFetch,WebSearch";

/// What needs no question unless the operator's rules say so: the sandbox is the wall.
const ALLOWED: &[&str] = &[
    "Agent",
    "Bash",
    "Edit",
    "Monitor",
    "NotebookEdit",
    "Read",
    "Skill",
    "ToolSearch",
    "Workflow",
    "Write",
    "mcp__nanogridbot",
];

/// Days that the command line keeps a session's transcript: ten years, since the gateway decides when a lane ends.
const KEPT_DAYS: u32 = 3650;

/// What one process of the command line is started with.
pub(super) struct Start<'a> {
    pub(super) program: &'a Path,
    pub(super) folders: &'a Folders,
    pub(super) clock: &'a Clock,
    pub(super) model: &'a ModelSpec,
    /// Where the provider's API is found, and what stands for the key.
    pub(super) variables: Vec<(&'static str, String)>,
    /// The command that does host calls.
    pub(super) host_calls: Vec<String>,
    /// What it is told beside its own prompt.
    pub(super) instructions: &'a str,
    /// The group's MCP servers.
    pub(super) mcp: &'a BTreeMap<String, McpServer>,
    pub(super) begin: &'a Begin,
}

/// A running command line. Dropping it kills it and all that it started.
pub(super) struct Cli {
    to: ChildStdin,
    from: FramedRead<ChildStdout, LinesCodec>,
    child: AgentChild,
}

/// The command line can't be used any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum Gone {
    #[error("could not start `{program}`: {source}")]
    NotStarted { program: String, source: io::Error },
    #[error("Claude Code said nothing for {START_LIMIT:?} after its start")]
    Silent,
    #[error("Claude Code ended: {0}")]
    Ended(String),
    #[error("the pipe to Claude Code broke: {0}")]
    Io(#[from] io::Error),
    #[error("Claude Code said a line that makes no sense: {0}")]
    BadLine(String),
}

impl Cli {
    /// Starts it, and waits until it can be told something.
    pub(super) async fn start(start: Start<'_>) -> Result<Self, Gone> {
        let clock = start.clock.clone();
        let mut cli = Self::spawn(start)?;
        cli.say(&wire::initialize("init")).await?;
        clock.timeout(START_LIMIT, cli.first_answer()).await.map_err(|_| Gone::Silent)??;
        Ok(cli)
    }

    async fn first_answer(&mut self) -> Result<(), Gone> {
        loop {
            if let wire::FromCli::ControlResponse { response } = self.next().await? {
                return match response["subtype"].as_str() {
                    Some("success") => Ok(()),
                    _ => Err(Gone::BadLine(response.to_string())),
                };
            }
        }
    }

    fn spawn(start: Start<'_>) -> Result<Self, Gone> {
        let Start {
            program,
            folders,
            model,
            variables,
            host_calls,
            instructions,
            mcp,
            begin,
            clock: _,
        } = start;
        let not_started =
            |source| Gone::NotStarted { program: program.display().to_string(), source };
        let servers = servers(&host_calls, mcp).map_err(not_started)?;
        let mut command = child::command(program, folders);
        command
            .args(["--print", "--verbose", "--include-partial-messages", "--replay-user-messages"])
            .args(["--input-format", "stream-json", "--output-format", "stream-json"])
            .args(["--permission-prompt-tool", "stdio", "--disallowedTools", NOT_HERE])
            // The group's folder is shared by its lanes: settings that one of them wrote must not run in another.
            .args(["--setting-sources", "user", "--strict-mcp-config"])
            .args(["--settings", &settings(mcp).to_string()])
            .args(["--mcp-config", &servers.to_string()])
            .args(["--append-system-prompt", instructions, "--system-prompt-snapshot", "off"])
            .args(["--model", &model.model])
            .args(["--autocompact", &model.window_tokens.max(MIN_WINDOW_TOKENS).to_string()])
            .args(begin.args())
            .envs(variables)
            .env("CLAUDE_CODE_MAX_OUTPUT_TOKENS", model.max_output_tokens.to_string())
            .env("CLAUDE_CODE_MAX_RETRIES", MAX_RETRIES)
            .env("MCP_TOOL_TIMEOUT", MAX_HOST_CALL_MS)
            // Tells when sub-agents are done too.
            .env("CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS", "1");
        let (child, to, from) = AgentChild::spawn(command).map_err(not_started)?;
        let from = FramedRead::new(from, LinesCodec::new_with_max_length(MAX_LINE_BYTES));
        Ok(Self { to, from, child })
    }

    /// The next line. It may be dropped at any await and called again.
    pub(super) async fn next(&mut self) -> Result<wire::FromCli, Gone> {
        match self.from.next().await {
            Some(Ok(line)) => {
                serde_json::from_str(&line).map_err(|err| Gone::BadLine(err.to_string()))
            }
            Some(Err(err)) => Err(Gone::BadLine(err.to_string())),
            None => Err(Gone::Ended(self.child.end().await?)),
        }
    }

    /// Says what a person wrote, and gives the id by which its taking up is heard of. No two have the same, also not in one
    /// session's processes: what it has had it would pass over.
    pub(super) async fn say_for_person(&mut self, text: &str) -> Result<String, Gone> {
        let uuid = random_uuid()?;
        self.say(&wire::user(&uuid, text)).await?;
        Ok(uuid)
    }

    pub(super) async fn say(&mut self, what: &Value) -> Result<(), Gone> {
        let mut line = what.to_string();
        line.push('\n');
        self.to.write_all(line.as_bytes()).await?;
        Ok(self.to.flush().await?)
    }
}

/// A random UUID (RFC 9562, version 4).
fn random_uuid() -> io::Result<String> {
    let mut bytes = random::bytes::<16>()?;
    bytes[6] = 0x40 | bytes[6] & 0x0f;
    bytes[8] = 0x80 | bytes[8] & 0x3f;
    let hex = random::hex(&bytes);
    Ok([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}

/// What stands under the operator's rules (`/etc/claude-code/managed-settings.json`), which win.
fn settings(mcp: &BTreeMap<String, McpServer>) -> Value {
    let of_servers = mcp.keys().map(|name| format!("{MCP}{name}"));
    let allow: Vec<String> = ALLOWED.iter().map(ToString::to_string).chain(of_servers).collect();
    json!({ "permissions": { "allow": allow }, "cleanupPeriodDays": KEPT_DAYS })
}

/// The host calls and the group's servers, each as a command.
fn servers(host_calls: &[String], mcp: &BTreeMap<String, McpServer>) -> io::Result<Value> {
    let stdio = |words: &[String], env: &BTreeMap<String, String>| {
        let (program, args) = words.split_first().map_or(("", &[][..]), |(it, rest)| (it, rest));
        json!({ "type": "stdio", "command": program, "args": args, "env": env })
    };
    let mut all = serde_json::Map::new();
    all.insert(host_calls::SERVER.to_owned(), stdio(host_calls, &BTreeMap::new()));
    for (name, server) in mcp {
        all.insert(name.clone(), stdio(&mcp::words(server)?, &server.env));
    }
    Ok(json!({ "mcpServers": all }))
}
