//! The command line, as clap reads it.

use std::{net::IpAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand};
use thiserror::Error;

use crate::task::Task;

/// An argument that makes no sense: bad usage, exit code 2.
#[derive(Debug, Error)]
#[error("{0}")]
pub(crate) struct BadArgument(pub(crate) String);

/// A self-hosted gateway between chat platforms and AI agents.
///
/// Without a command it starts the gateway.
#[derive(Debug, Parser)]
#[command(name = "nanogridbot", version, max_term_width = 100)]
pub(crate) struct Cli {
    /// Keep settings, database, groups and media under this folder.
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,

    /// Print one JSON document on standard output.
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the gateway.
    Serve(Serve),
    /// Send one prompt to a group's agent and print the answer.
    Run(Run),
    /// Talk to a group's agent in this terminal.
    Shell(Shell),
    /// Print a fresh link to the page.
    Open,
    /// Show what runs, what waits and how each channel is doing.
    Status,
    /// Look for what is missing or wrong, and name the command that mends it.
    Doctor(Doctor),
    /// Make, list, show, rename and remove groups.
    #[command(subcommand)]
    Group(Group),
    /// List, add, test, pause and remove accounts on platforms.
    #[command(subcommand)]
    Channel(Channel),
    /// Show what a group's conversations remember, and put an earlier version back.
    #[command(subcommand)]
    Memory(Memory),
    /// Show what was used: tokens and money, by day, group and model.
    Usage(Usage),
    /// Show a group's agents folders of this machine, and say why one may not be shown.
    #[command(subcommand)]
    Mount(Mount),
    /// Bind a chat to a group.
    Bind(Bind),
    /// Take a chat away from a group.
    Unbind(Unbind),
    /// Let a chat in by the code that it was shown.
    Approve(Approve),
    /// Show what was decided about a message, step by step.
    Why {
        /// The number behind `#` in what the chat was told, or from the page.
        message: i64,
    },
    /// List, requeue and drop what was given up.
    #[command(subcommand)]
    Dead(Dead),
    /// Schedule tasks, list, show, pause, run and cancel them.
    #[command(subcommand)]
    Task(Task),
    /// Forget messages that are older than a date.
    Prune {
        /// An instant or a date, e.g. `2026-01-31`.
        #[arg(long)]
        before: String,
        /// Only count.
        #[arg(long)]
        dry_run: bool,
    },
    /// Print the log, follow it, or change how much is logged.
    Logs(Logs),
    /// Print the settings in force, without secrets.
    Config,
    /// Print the completions of a shell.
    Completions { shell: clap_complete::Shell },
    /// Start a simulated platform or model, for trying things out.
    #[command(subcommand)]
    Sim(Sim),
    /// Print a generated page of the documentation.
    #[command(hide = true)]
    Docs { page: Page },
}

/// A page of the documentation that is made of the code.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Page {
    Roles,
    Commands,
    Configuration,
}

#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Serve {
    /// Read this file instead of `<home>/config.toml`.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Listen on this address.
    #[arg(long, value_name = "H")]
    pub(crate) host: Option<IpAddr>,
    /// Listen on this port.
    #[arg(long, value_name = "P")]
    pub(crate) port: Option<u16>,
    /// Log in detail.
    #[arg(long)]
    pub(crate) debug: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The group; default the main one.
    #[arg(short, long, default_value = "main")]
    pub(crate) group: String,
    /// What to say; `-` or nothing reads standard input.
    #[arg(short, long)]
    pub(crate) prompt: Option<String>,
    /// Give up after so long, e.g. `5m`.
    #[arg(long, default_value = "30m")]
    pub(crate) timeout: String,
}

#[derive(Debug, Args)]
pub(crate) struct Shell {
    /// The group; default the main one.
    #[arg(short, long, default_value = "main")]
    pub(crate) group: String,
    /// Go on with an earlier conversation; default the latest.
    #[arg(long, value_name = "CONVERSATION", num_args = 0..=1, default_missing_value = "")]
    pub(crate) resume: Option<String>,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Logs {
    /// Go on as it grows.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// So many lines from the end.
    #[arg(short = 'n', long, default_value_t = 200)]
    pub(crate) lines: usize,
    /// Only lines about this message and its runs.
    #[arg(long, value_name = "ID", conflicts_with = "lines")]
    pub(crate) message: Option<u64>,
    #[command(subcommand)]
    pub(crate) command: Option<LogsCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LogsCommand {
    /// Show how much the running gateway logs, or change it until it ends.
    Level {
        /// off, error, warn, info, debug, trace.
        level: Option<String>,
        /// Only for this part of the program, e.g. `ngb_broker`.
        #[arg(long)]
        target: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Mend it: `sandbox` writes and loads the AppArmor profile.
    #[arg(long, value_parser = ["sandbox"])]
    pub(crate) fix: Option<String>,
    /// Send nothing: the model is not asked.
    #[arg(long)]
    pub(crate) offline: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Channel {
    /// List the accounts: whether each can receive and send.
    List,
    /// Set an account up and connect it: `channel add telegram token=123:abc`. Asks for what is missing.
    Add {
        /// telegram, slack, whatsapp, ...
        kind: ngb_core::address::ChannelKind,
        /// What the account is called, where there are several.
        #[arg(long, default_value = "main")]
        name: String,
        /// `key=value`, as docs/configuration.md names them; a secret may be `env:NAME` or `file:PATH`.
        settings: Vec<String>,
        /// Say what is left to do at the platform and wait so long for the first message, e.g. `10m`; default that on a
        /// terminal, and not at all elsewhere.
        #[arg(long, value_name = "TIME")]
        wait: Option<String>,
    },
    /// Say what is left to do at the platform and what may be missing, and wait for the first message.
    Setup {
        /// As `channel list` shows it: `telegram@main`.
        account: String,
        /// Wait so long, e.g. `10m`; `0s` only says how far it is.
        #[arg(long, value_name = "TIME", default_value = "10m")]
        wait: String,
    },
    /// Ask the platform who we are to it, and what stands in the way.
    Test { account: String },
    /// Have accounts rest: nothing is received and nothing sent; what is to be sent waits.
    Pause {
        #[command(flatten)]
        which: Which,
    },
    /// Have them go on.
    Resume {
        #[command(flatten)]
        which: Which,
    },
    /// Take an account out of the settings; its messages and bindings stay.
    Remove {
        /// As `channel list` shows it: `telegram@main`.
        account: String,
    },
    /// Read the accounts of the settings anew: those that changed are connected anew, the others are not touched.
    Reload,
}

/// One account, or all.
#[derive(Debug, Args)]
#[group(required = true)]
pub(crate) struct Which {
    pub(crate) account: Option<String>,
    #[arg(long)]
    pub(crate) all: bool,
}

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
    /// Change a limit: `memory_mib=1024`, or a variable of the agents' environment: `env.LANG=de_DE.UTF-8`.
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

#[derive(Debug, Args)]
pub(crate) struct Approve {
    pub(crate) code: String,
    /// It was me: make me the owner there, and bind the chat to the main group.
    #[arg(long)]
    pub(crate) me: bool,
    /// Bind the chat to this group; default a new one of its own.
    #[arg(long)]
    pub(crate) group: Option<String>,
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

#[derive(Debug, Args)]
pub(crate) struct Usage {
    /// Only this group.
    #[arg(short, long)]
    pub(crate) group: Option<String>,
    /// Today and the days before it, in UTC.
    #[arg(long, default_value_t = 7)]
    pub(crate) days: u32,
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
pub(crate) enum Dead {
    List,
    Show { job: i64 },
    Requeue { job: i64 },
    Drop { job: i64 },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Sim {
    /// All eight platforms, and one page with a chat box for each, where you play the people.
    All {
        /// The page; the platforms take the eight ports after it.
        #[arg(long, default_value = "127.0.0.1:8090")]
        bind: std::net::SocketAddr,
        /// Write the settings to `<home>/config.toml`, in place of the accounts `main` there, instead of printing them.
        #[arg(long)]
        write: bool,
        /// Where the gateway's page is, for the platforms that call it.
        #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
        gateway: String,
    },
    /// Play a scenario against the agent of this home, on simulated platforms; 0 when all of it came true.
    Scenario {
        /// Steps in TOML or JSON, as docs/scenarios.md describes them.
        file: PathBuf,
    },
    /// A Telegram Bot API server.
    Telegram {
        #[arg(long, default_value = "127.0.0.1:8081")]
        bind: std::net::SocketAddr,
    },
    /// WhatsApp's Cloud API with one business number.
    Whatsapp {
        #[arg(long, default_value = "127.0.0.1:8083")]
        bind: std::net::SocketAddr,
    },
    /// A Slack workspace with one app.
    Slack {
        #[arg(long, default_value = "127.0.0.1:8084")]
        bind: std::net::SocketAddr,
    },
    /// Feishu with one app in one company.
    Feishu {
        #[arg(long, default_value = "127.0.0.1:8089")]
        bind: std::net::SocketAddr,
    },
    /// Discord with one bot in one server.
    Discord {
        #[arg(long, default_value = "127.0.0.1:8088")]
        bind: std::net::SocketAddr,
    },
    /// WeCom's API with one app, one AI bot and the robot of a group.
    Wecom {
        #[arg(long, default_value = "127.0.0.1:8085")]
        bind: std::net::SocketAddr,
    },
    /// DingTalk with one robot.
    Dingtalk {
        #[arg(long, default_value = "127.0.0.1:8086")]
        bind: std::net::SocketAddr,
    },
    /// A OneBot 11 implementation with one QQ account.
    Qq {
        #[arg(long, default_value = "127.0.0.1:8087")]
        bind: std::net::SocketAddr,
    },
    /// QQ's open platform with one official bot.
    QqBot {
        #[arg(long, default_value = "127.0.0.1:8091")]
        bind: std::net::SocketAddr,
    },
    /// A model server (Anthropic, OpenAI and Ollama shapes).
    Model {
        #[arg(long, default_value = "127.0.0.1:8082")]
        bind: std::net::SocketAddr,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}
