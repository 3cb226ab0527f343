//! Groups, what is bound to them, and what they may see and remember.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Group {
    /// Make a group.
    Add {
        name: String,
        /// Its folder under `<home>/groups`; default like the name.
        #[arg(long)]
        folder: Option<String>,
        /// Make it the main group, if there is none.
        #[arg(long)]
        main: bool,
    },
    /// List the groups.
    List,
    /// Show one group with its bindings and limits.
    Show { group: String },
    /// Give a group another name.
    Rename { group: String, name: String },
    /// Change a limit: `memory_mib=1024`, a variable of the agents' environment: `env.LANG=de_DE.UTF-8`, or the way out:
    /// `egress=web`, `hosts=python,api.example.com`, `hosts=+one.more`; an MCP server: `mcp.files='npx -y
    /// @modelcontextprotocol/server-filesystem /workspace/group'`, `mcp.docs=https://example.com/mcp`; tools that a person
    /// allows each time: `approve_tools=bash,mcp__files__*`, `approve_role=operator`; the only tools: `tools=read,grep`.
    Set {
        group: String,
        /// `name=value`, as `group show` names them; `name=none` where a limit need not be, and takes a variable away.
        #[arg(required = true)]
        limits: Vec<String>,
    },
    /// Have a group's agent rest: messages are kept and wait, and no run begins.
    Pause { group: String },
    /// Have it go on.
    Resume { group: String },
    /// Remove a group; its folder is kept aside.
    Remove {
        group: String,
        /// Delete the folder as well.
        #[arg(long)]
        purge: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Bind {
    /// The chat: `telegram:-100123`, or `telegram@work:-100123` where there are several accounts.
    pub(crate) jid: String,
    pub(crate) group: String,
    /// Only in this thread of the chat.
    #[arg(long)]
    pub(crate) thread: Option<String>,
    /// Engage when the text matches.
    #[arg(long, value_name = "REGEX", conflicts_with_all = ["always", "mention"])]
    pub(crate) trigger: Option<String>,
    /// Engage on every message.
    #[arg(long, conflicts_with = "mention")]
    pub(crate) always: bool,
    /// Engage when the bot is mentioned, answered or written to alone (default).
    #[arg(long)]
    pub(crate) mention: bool,
    /// What shares one conversation.
    #[arg(long, value_parser = ["group", "chat", "thread", "sender"], default_value = "thread")]
    pub(crate) scope: String,
    /// Who may speak there.
    #[arg(long, value_enum)]
    pub(crate) senders: Option<Senders>,
    /// No message there is for the agent: it only listens.
    #[arg(long, conflicts_with_all = ["always", "trigger", "mention"])]
    pub(crate) never: bool,
    /// When one sender is heard, by the platform's id: `ID=always`, `ID=mention` or `ID=never`; may be given several times.
    #[arg(long = "sender", value_name = "ID=HOW")]
    pub(crate) of_senders: Vec<String>,
    /// How often in an hour a bot may have the agent answer it there (default 0: never).
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) bots_per_hour: u32,
    #[command(flatten)]
    pub(crate) queue: Queue,
}

/// How the messages of a bound chat wait for the agent.
#[derive(Debug, Args)]
pub(crate) struct Queue {
    /// What becomes of messages that come while the agent works: one prompt of all of them, given to it at once, a prompt
    /// for each, or it leaves what it does.
    #[arg(long, value_name = "MODE", value_parser = ["collect", "steer", "followup", "interrupt"])]
    pub(crate) queue: Option<String>,
    /// How long the first message of a burst waits for the others, in milliseconds (default 0).
    #[arg(long, value_name = "MS")]
    pub(crate) debounce_ms: Option<u32>,
    /// Messages that may wait; one more is refused, and the chat is told (default 1000).
    #[arg(long, value_name = "N")]
    pub(crate) max_waiting: Option<u32>,
    /// How old a message may be when it would start, in seconds (default 900).
    #[arg(long, value_name = "SECONDS")]
    pub(crate) stale_after: Option<u32>,
    /// What becomes of one that is older (default ask).
    #[arg(long, value_parser = ["ask", "answer", "drop"])]
    pub(crate) stale: Option<String>,
}

/// Who may speak in a bound chat.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Senders {
    /// Only people whom the gateway knows.
    Known,
    /// Everybody, as a guest.
    All,
}

impl Senders {
    /// The API's word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::All => "everyone",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Unbind {
    /// The chat, e.g. `telegram:-100123`.
    pub(crate) jid: String,
    pub(crate) group: String,
    /// Only this thread of the chat.
    #[arg(long)]
    pub(crate) thread: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Memory {
    /// Show what each conversation of the group remembers.
    Show {
        #[arg(default_value = "main")]
        group: String,
    },
    /// List the earlier versions, with their numbers.
    History {
        #[arg(default_value = "main")]
        group: String,
    },
    /// Put an earlier version back; what is there now becomes a version itself.
    Revert {
        /// The lane, as `memory history` names it.
        lane: u64,
        /// The version's number.
        version: u64,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Mount {
    /// Say whether a folder or file may be mounted, and why not; exits with 1 where it is refused.
    Check {
        path: PathBuf,
        /// For writing.
        #[arg(long)]
        write: bool,
        /// The group that would mount it; default any but the main one.
        #[arg(short, long)]
        group: Option<String>,
    },
    /// List a group's mounts.
    List {
        #[arg(short, long, default_value = "main")]
        group: String,
    },
    /// Have a group's next runs see a folder or file, at `/workspace/extra/<name>`.
    Add {
        path: PathBuf,
        /// What it is called inside; default as it is called here.
        #[arg(long = "as", value_name = "NAME")]
        name: Option<ngb_core::mount::MountName>,
        /// Let its agents change it.
        #[arg(long)]
        write: bool,
        #[arg(short, long, default_value = "main")]
        group: String,
    },
    /// Have a group's next runs see it no more.
    Remove {
        /// As `mount list` names it.
        name: String,
        #[arg(short, long, default_value = "main")]
        group: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Skill {
    /// List the skills of a group's agents: those of all groups, and its own.
    #[command(after_help = "Example: nanogridbot skill list --group home")]
    List {
        #[arg(short, long, default_value = "main")]
        group: String,
    },
    /// Show what one says.
    #[command(after_help = "Example: nanogridbot skill show tea --group home")]
    Show {
        name: String,
        #[arg(short, long, default_value = "main")]
        group: String,
    },
}
