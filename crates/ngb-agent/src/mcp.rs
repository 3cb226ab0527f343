//! MCP servers of the group: each is a process of the sandbox, whose tools stand beside our own as `mcp__SERVER__TOOL`.
//!
//! ```text
//! builtin ── stdio ── server                                     a command
//! builtin ── stdio ── nanogridbot agent --mcp URL ── broker ──   an address (`bridge`)
//! ```
//! What a server says is data of whoever wrote it: lines, lists, answers and waits are bounded, and one that fails costs the
//! conversation its tools and nothing else.

use std::{collections::BTreeMap, io, path::Path, time::Duration};

use futures_util::future::join_all;
use ngb_core::{
    clock::Clock,
    text::shorten,
    toolbox::{MCP, McpServer},
};
use rmcp::{
    RoleClient, ServiceExt as _,
    model::{CallToolRequestParams, ContentBlock, ResourceContents, Tool},
    service::{RunningService, ServiceError},
    transport::async_rw::AsyncRwTransport,
};
use serde_json::{Value, json};

use crate::{
    Folders,
    child::{self, AgentChild},
    turn::cut_to,
};

pub(crate) mod bridge;

/// The argument that makes this executable the process between a server that has an address and its client.
pub(crate) const ARGUMENT: &str = "--mcp";

/// Longest that a server may take from its start to the list of its tools; `npx` may have to fetch it first.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Longest line that is read of a server, in bytes. A longer one is dropped.
const MAX_LINE_BYTES: usize = 4 * 1024 * 1024;

/// Tools of one server; each costs room in every request.
const MAX_TOOLS: usize = 128;

/// Longest description and longest schema of a tool, in bytes.
const MAX_DESCRIPTION_BYTES: usize = 2 * 1024;
const MAX_SCHEMA_BYTES: usize = 32 * 1024;

/// Longest name of a tool that models take.
const MAX_NAME_BYTES: usize = 64;

/// Longest answer of a tool, in bytes.
const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// Characters of why a server failed.
const MAX_REASON_CHARS: usize = 500;

/// The group's servers, as far as they work.
#[derive(Default)]
pub(crate) struct Servers {
    wanted: BTreeMap<String, McpServer>,
    open: Vec<Server>,
    /// Those that don't work, and why.
    pub(crate) failed: Vec<(String, String)>,
}

/// A server that runs. Dropping it kills its process.
struct Server {
    name: String,
    running: RunningService<RoleClient, ()>,
    child: AgentChild,
    limit: Duration,
    tools: Vec<Offered>,
}

/// A tool of a server, under the name that models know it by.
struct Offered {
    name: String,
    theirs: String,
    declared: Value,
}

impl Servers {
    /// Starts what is wanted and doesn't run; ends what is wanted no more.
    pub(crate) async fn renew(
        &mut self,
        wanted: &BTreeMap<String, McpServer>,
        folders: &Folders,
        clock: &Clock,
        variables: &[(&'static str, String)],
    ) {
        let before = std::mem::replace(&mut self.wanted, wanted.clone());
        self.open.retain(|it| {
            before.get(&it.name) == wanted.get(&it.name) && !it.running.peer().is_transport_closed()
        });
        let missing =
            wanted.iter().filter(|(name, _)| !self.open.iter().any(|it| it.name == **name));
        let starts = missing.map(async |(name, server)| {
            let started = Server::start(name, server, folders, clock, variables).await;
            (name.clone(), started)
        });
        self.failed.clear();
        for (name, started) in join_all(starts).await {
            match started {
                Ok(server) => self.open.push(server),
                Err(why) => self.failed.push((name, shorten(&why, MAX_REASON_CHARS))),
            }
        }
        self.open.sort_by(|a, b| a.name.cmp(&b.name));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// The tools as models are told of them.
    pub(crate) fn declared(&self) -> impl Iterator<Item = &Value> {
        self.open.iter().flat_map(|it| &it.tools).map(|it| &it.declared)
    }

    /// Calls the tool that models know as `name`.
    pub(crate) async fn call(
        &mut self,
        clock: &Clock,
        name: &str,
        input: &Value,
    ) -> Result<String, String> {
        let found = self.open.iter_mut().find_map(|server| {
            let at = server.tools.iter().position(|it| it.name == name)?;
            Some((server, at))
        });
        let Some((server, at)) = found else {
            let of_failed = |(server, _): &&(String, String)| {
                name.strip_prefix(MCP).is_some_and(|it| it.starts_with(&format!("{server}__")))
            };
            return Err(match self.failed.iter().find(of_failed) {
                Some((server, why)) => format!("the MCP server `{server}` does not work: {why}"),
                None => format!("there is no tool `{name}`"),
            });
        };
        server.call(clock, at, input).await
    }
}

impl Server {
    async fn start(
        name: &str,
        server: &McpServer,
        folders: &Folders,
        clock: &Clock,
        variables: &[(&'static str, String)],
    ) -> Result<Self, String> {
        let words = words(server).map_err(|err| err.to_string())?;
        let (program, args) = words.split_first().ok_or("it has no command")?;
        let mut command = child::command(Path::new(program), folders);
        command.args(args).envs(variables.iter().map(|(name, value)| (name, value)));
        command.envs(&server.env);
        let (mut child, input, output) = AgentChild::spawn_kept(command)
            .map_err(|err| format!("could not start `{program}`: {err}"))?;
        let transport = AsyncRwTransport::new(output, input).with_max_line_length(MAX_LINE_BYTES);
        let opening = async {
            let running = ().serve(transport).await.map_err(|err| err.to_string())?;
            let tools = running.list_all_tools().await.map_err(|err| err.to_string())?;
            Ok::<_, String>((running, tools))
        };
        let opened = clock.timeout(START_LIMIT, opening).await;
        let (running, tools) = match opened {
            Ok(Ok(it)) => it,
            Ok(Err(why)) => return Err(format!("{why} ({})", child.last_words(clock).await)),
            Err(_) => {
                let words = child.last_words(clock).await;
                return Err(format!(
                    "it was not ready after {} s ({words})",
                    START_LIMIT.as_secs()
                ));
            }
        };
        let limit = Duration::from_secs(server.timeout_seconds);
        let mut offered: Vec<Offered> = Vec::new();
        for tool in tools.into_iter().take(MAX_TOOLS) {
            if let Some(it) = Offered::of(name, tool)
                && !offered.iter().any(|other| other.name == it.name)
            {
                offered.push(it);
            }
        }
        Ok(Self { name: name.to_owned(), running, child, limit, tools: offered })
    }

    async fn call(&mut self, clock: &Clock, at: usize, input: &Value) -> Result<String, String> {
        let mut params = CallToolRequestParams::new(self.tools[at].theirs.clone());
        params.arguments = input.as_object().cloned();
        let name = &self.name;
        let result = match clock.timeout(self.limit, self.running.call_tool(params)).await {
            Ok(Ok(result)) => result,
            Ok(Err(ServiceError::McpError(err))) => return Err(err.message.into_owned()),
            Ok(Err(err)) => {
                let words = self.child.last_words(clock).await;
                return Err(format!("the MCP server `{name}` does not answer: {err} ({words})"));
            }
            Err(_) => {
                let seconds = self.limit.as_secs();
                return Err(format!("the MCP server `{name}` did not answer within {seconds} s"));
            }
        };
        let mut parts: Vec<String> = result.content.iter().map(plain).collect();
        if let (true, Some(structured)) = (parts.is_empty(), &result.structured_content) {
            parts.push(structured.to_string());
        }
        let text = cut_to(parts.join("\n"), MAX_ANSWER_BYTES);
        if result.is_error == Some(true) { Err(text) } else { Ok(text) }
    }
}

impl Offered {
    /// None for one that no model could be told of.
    fn of(server: &str, tool: Tool) -> Option<Self> {
        let schema = Value::Object((*tool.input_schema).clone());
        if MAX_SCHEMA_BYTES < schema.to_string().len() {
            return None;
        }
        let description = tool.description.as_deref().unwrap_or_default();
        let description = cut_to(description.to_owned(), MAX_DESCRIPTION_BYTES);
        let name = name(server, &tool.name);
        let declared = json!({ "name": name, "description": description, "parameters": schema });
        Some(Self { name, theirs: tool.name.into_owned(), declared })
    }
}

/// The words of a server's command: its own, or those of the process that leads to its address.
///
/// # Errors
///
/// When this executable can't be found.
pub(crate) fn words(server: &McpServer) -> io::Result<Vec<String>> {
    let Some(url) = &server.url else { return Ok(server.command.clone()) };
    let exe = std::env::current_exe()?;
    let mut words = vec![exe.to_string_lossy().into_owned()];
    words.extend(crate::prefix());
    words.extend([ARGUMENT.to_owned(), url.clone()]);
    Ok(words)
}

/// What models know a tool by: they take letters, digits, `_` and `-` only.
fn name(server: &str, tool: &str) -> String {
    let plain = |it: char| if it.is_ascii_alphanumeric() || it == '-' { it } else { '_' };
    let tool: String = tool.chars().map(plain).collect();
    let mut name = format!("{MCP}{server}__{tool}");
    name.truncate(MAX_NAME_BYTES);
    name
}

/// A part of an answer as text.
fn plain(block: &ContentBlock) -> String {
    match block {
        ContentBlock::Text(it) => it.text.clone(),
        ContentBlock::Image(it) => format!("[an image, {}]", it.mime_type),
        ContentBlock::Audio(it) => format!("[audio, {}]", it.mime_type),
        ContentBlock::Resource(it) => match &it.resource {
            ResourceContents::TextResourceContents { uri, text, .. } => format!("[{uri}]\n{text}"),
            _ => "[a file]".to_owned(),
        },
        ContentBlock::ResourceLink(it) => format!("[{}]", it.uri),
        _ => "[something that can't be shown]".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_models_take() {
        assert_eq!(name("files", "read_file"), "mcp__files__read_file");
        assert_eq!(name("a", "get.weather/now"), "mcp__a__get_weather_now");
        assert_eq!(name("a", &"x".repeat(100)).len(), MAX_NAME_BYTES);
        assert_eq!(name("a", "天气"), "mcp__a____");
    }
}
