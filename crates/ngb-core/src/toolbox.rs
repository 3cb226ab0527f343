//! What a group's agents may use: which tools, which of them a person has to allow, and MCP servers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::environment::{self, BadVariable};

/// MCP servers of one group: each is a process of the sandbox.
pub const MAX_SERVERS: usize = 16;

/// Longest name of an MCP server, in bytes; with a tool's it has to fit into the 64 that models take.
pub const MAX_SERVER_NAME_BYTES: usize = 20;

/// Words of a server's command.
const MAX_WORDS: usize = 64;

/// Longest word of a command and longest address, in bytes.
const MAX_WORD_BYTES: usize = 4 << 10;

/// How long a call of a server's tool may take, in seconds: usually, and at most.
const USUAL_CALL_SECONDS: u64 = 60;
pub const MAX_CALL_SECONDS: u64 = 600;

/// Names of tools in one list.
const MAX_TOOLS: usize = 256;

/// Before the names of a server's tools: `mcp__SERVER__TOOL`.
pub const MCP: &str = "mcp__";

/// The name of our own server, which hands host calls to agents that others wrote.
pub const OWN_SERVER: &str = "nanogridbot";

/// The tools that an agent has by itself. Other agents call some of them otherwise, with a capital letter first.
pub const OWN_TOOLS: &[&str] = &[
    "bash",
    "read",
    "write",
    "edit",
    "glob",
    "grep",
    "fetch",
    "todo",
    "memory",
    "send_message",
    "send_file",
    "react",
    "schedule_task",
    "add_task",
    "update_task",
    "list_tasks",
    "change_task",
    "search_messages",
    "list_groups",
    "refresh",
    "register_group",
    "usage",
    "ask",
];

/// A server of the Model Context Protocol: a command inside the sandbox, or an address that the broker reaches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct McpServer {
    /// A program and its arguments, which speaks MCP on its standard streams.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Variables for the program. None of them is a secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Where it is, instead of a command: MCP over HTTP. Its host has to be one of the group's `hosts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Longest that a call of one of its tools may take, in seconds.
    #[serde(default = "usual_call_seconds")]
    pub timeout_seconds: u64,
}

fn usual_call_seconds() -> u64 {
    USUAL_CALL_SECONDS
}

/// What the agent of a run is told of all that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Toolbox {
    /// The only tools that it may use; none is all.
    pub tools: Option<Vec<String>>,
    /// Tools that a person allows each time.
    pub approve: Vec<String>,
    pub mcp: BTreeMap<String, McpServer>,
}

/// Why a toolbox is refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BadTool {
    #[error("{0} MCP servers; a group may have {MAX_SERVERS}")]
    TooManyServers(usize),
    #[error(
        "`{0}` is no name for an MCP server: 1 to {MAX_SERVER_NAME_BYTES} of a-z, 0-9 and `-`, and not `{OWN_SERVER}`"
    )]
    ServerName(String),
    #[error(
        "the MCP server `{0}` needs either a `command` (a program and its arguments) or a `url`, and not both"
    )]
    NoWay(String),
    #[error(
        "the MCP server `{name}`: `{url}` is no address like `https://example.com/mcp`; a key in it would be read inside, \
         name it under `[credentials.<name>]` instead"
    )]
    Url { name: String, url: String },
    #[error("the MCP server `{0}`: its command is too long, or has a NUL in it")]
    Command(String),
    #[error("the MCP server `{0}`: `timeout_seconds` is 1 to {MAX_CALL_SECONDS}")]
    Timeout(String),
    #[error("the MCP server `{name}`: {source}")]
    Variable { name: String, source: BadVariable },
    #[error("{0} tools in one list; there may be {MAX_TOOLS}")]
    TooManyTools(usize),
    #[error(
        "`{0}` is no tool; there are: {own}, `mcp__SERVER__TOOL`, `mcp__SERVER__*`, and those of Claude Code (`Bash`, …)",
        own = OWN_TOOLS.join(", ")
    )]
    NoTool(String),
    #[error("`ask` asks people anyway, and can't be asked about")]
    Asking,
}

impl Toolbox {
    /// # Errors
    ///
    /// The first thing that may not be.
    pub fn check(&self) -> Result<(), BadTool> {
        if MAX_SERVERS < self.mcp.len() {
            return Err(BadTool::TooManyServers(self.mcp.len()));
        }
        for (name, server) in &self.mcp {
            server.check(name)?;
        }
        for list in self.tools.iter().chain([&self.approve]) {
            if MAX_TOOLS < list.len() {
                return Err(BadTool::TooManyTools(list.len()));
            }
            if let Some(unknown) = list.iter().find(|it| !is_tool(it)) {
                return Err(BadTool::NoTool(unknown.chars().take(80).collect()));
            }
        }
        if self.approve.iter().any(|it| it == "ask") {
            return Err(BadTool::Asking);
        }
        Ok(())
    }

    /// Whether the tool `name` may be used at all.
    pub fn has(&self, name: &str) -> bool {
        self.tools.as_ref().is_none_or(|list| list.iter().any(|it| covers(it, name)))
    }

    /// Whether a person has to allow each use of `name`.
    pub fn asks(&self, name: &str) -> bool {
        self.approve.iter().any(|it| covers(it, name))
    }
}

impl McpServer {
    fn check(&self, name: &str) -> Result<(), BadTool> {
        let plain = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-';
        let is_short = (1..=MAX_SERVER_NAME_BYTES).contains(&name.len());
        if !is_short || !name.bytes().all(plain) || name == OWN_SERVER {
            return Err(BadTool::ServerName(name.chars().take(80).collect()));
        }
        let fits = |it: &String| it.len() <= MAX_WORD_BYTES && !it.contains('\0');
        match (&self.url, self.command.first()) {
            (Some(url), None) if fits(url) && is_address(url) => (),
            (Some(url), None) => {
                let url = url.chars().take(80).collect();
                return Err(BadTool::Url { name: name.to_owned(), url });
            }
            (None, Some(program)) => {
                let is_long = MAX_WORDS < self.command.len() || !self.command.iter().all(fits);
                if program.is_empty() || is_long {
                    return Err(BadTool::Command(name.to_owned()));
                }
            }
            _ => return Err(BadTool::NoWay(name.to_owned())),
        }
        if !(1..=MAX_CALL_SECONDS).contains(&self.timeout_seconds) {
            return Err(BadTool::Timeout(name.to_owned()));
        }
        environment::check(&self.env)
            .map_err(|source| BadTool::Variable { name: name.to_owned(), source })
    }
}

/// `http://host…` or `https://host…`, without a user or a password.
fn is_address(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let authority = rest.map(|it| it.split(['/', '?', '#']).next().unwrap_or_default());
    let is_clean = |it: char| it.is_ascii_graphic();
    authority.is_some_and(|it| !it.is_empty() && !it.contains('@')) && url.chars().all(is_clean)
}

/// A tool of ours, of a server, or of Claude Code.
fn is_tool(name: &str) -> bool {
    let plain = |it: char| it.is_ascii_alphanumeric() || matches!(it, '_' | '-');
    let bare = name.strip_suffix('*').unwrap_or(name);
    match name.strip_prefix(MCP) {
        Some(rest) => rest.contains("__") && bare.chars().all(plain),
        None => {
            OWN_TOOLS.contains(&name)
                || (name.starts_with(|it: char| it.is_ascii_uppercase()) && name.chars().all(plain))
        }
    }
}

/// Whether an entry of a list is about the tool `name`: a name in any case, or the beginning of one before a `*`.
fn covers(entry: &str, name: &str) -> bool {
    match entry.strip_suffix('*') {
        Some(start) => name.get(..start.len()).is_some_and(|it| it.eq_ignore_ascii_case(start)),
        None => entry.eq_ignore_ascii_case(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(json: serde_json::Value) -> Toolbox {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn what_may_be() {
        let server = |it: serde_json::Value| serde_json::json!({ "mcp": { "files": it } });
        #[rustfmt::skip]
        let table = [
            (serde_json::json!({}),                                                  ""),
            (server(serde_json::json!({ "command": ["npx", "-y", "x"] })),           ""),
            (server(serde_json::json!({ "url": "https://example.com/mcp?a=b" })),    ""),
            (server(serde_json::json!({})),                                          "either a `command`"),
            (server(serde_json::json!({ "command": ["a"], "url": "http://x/" })),    "and not both"),
            (server(serde_json::json!({ "url": "ftp://x" })),                        "is no address"),
            (server(serde_json::json!({ "url": "https://me:pw@x/" })),               "[credentials.<name>]"),
            (server(serde_json::json!({ "command": [""] })),                         "its command is too long"),
            (server(serde_json::json!({ "command": ["a"], "timeout_seconds": 601 })), "1 to 600"),
            (server(serde_json::json!({ "command": ["a"], "env": { "API_KEY": "x" } })), "looks like a credential"),
            (serde_json::json!({ "mcp": { "A": { "command": ["a"] } } }),            "no name for an MCP server"),
            (serde_json::json!({ "mcp": { "nanogridbot": { "command": ["a"] } } }),  "no name for an MCP server"),
            (serde_json::json!({ "approve": ["bash", "mcp__x__*", "Edit"] }),        ""),
            (serde_json::json!({ "approve": ["bahs"] }),                             "`bahs` is no tool"),
            (serde_json::json!({ "approve": ["*"] }),                                "`*` is no tool"),
            (serde_json::json!({ "approve": ["ask"] }),                              "asks people anyway"),
            (serde_json::json!({ "tools": ["read", "nothing"] }),                    "`nothing` is no tool"),
        ];
        for (json, want) in table {
            let got =
                boxed(json.clone()).check().map_or_else(|it| it.to_string(), |()| String::new());
            assert!(got.contains(want) && got.is_empty() == want.is_empty(), "{json}: {got}");
        }
    }

    #[test]
    fn lists_are_about_tools() {
        let it = boxed(
            serde_json::json!({ "approve": ["bash", "mcp__x__*"], "tools": ["read", "mcp__x__y"] }),
        );
        #[rustfmt::skip]
        let table = [
            ("bash", true, false), ("Bash", true, false), ("read", false, true), ("mcp__x__y", true, true),
            ("mcp__x__z", true, false), ("mcp__xy__z", false, false), ("b", false, false),
        ];
        for (name, asks, has) in table {
            assert_eq!((it.asks(name), it.has(name)), (asks, has), "{name}");
        }
        assert!(Toolbox::default().has("anything") && !Toolbox::default().asks("bash"));
    }
}
