//! The command line, as clap reads it.

mod group;
mod plugin;
mod sim;

use std::{net::IpAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand};
use thiserror::Error;

pub(crate) use group::{Bind, Group, Memory, Mount, Queue, Senders, Skill, Unbind};
pub(crate) use plugin::{Install, Language, Plugin};
pub(crate) use sim::Sim;

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
    /// Choose a model, set what a day may cost, connect a chat; each is proved. Again: look at all of it.
    Onboard(crate::onboard::Onboard),
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
    /// Skills: which a group's agents have, and what one says.
    #[command(subcommand, after_help = "Example: nanogridbot skill list --group home")]
    Skill(Skill),
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
    /// List messages, search in them, show one.
    #[command(subcommand)]
    Message(crate::message::Message),
    /// Say what would become of a message, without writing or sending anything.
    Simulate(crate::foretell::Simulate),
    /// Show what is not as it should be, say a test, or have one be told no more.
    #[command(subcommand)]
    Alerts(crate::alerts::Alerts),
    /// List what was given up, work and sends, try it again or drop it.
    #[command(subcommand)]
    Dead(crate::dead::Dead),
    /// Schedule tasks, list, show, pause, run and cancel them.
    #[command(subcommand)]
    Task(Task),
    /// List and invite people, give them roles, and say which addresses are theirs.
    #[command(subcommand)]
    People(crate::people::People),
    /// List conversations, search, export and fork them, go back or begin anew.
    #[command(subcommand)]
    Session(crate::session::Session),
    /// Write, build, try, install, list and remove plugins.
    #[command(subcommand)]
    Plugin(Plugin),
    /// Forget messages that are older than a date.
    Prune {
        /// An instant or a date, e.g. `2026-01-31`.
        #[arg(long)]
        before: String,
        /// Only count.
        #[arg(long)]
        dry_run: bool,
    },
    /// Write everything into one file, also while the gateway runs, or look whether such a file is whole.
    Backup(crate::backup::Backup),
    /// Put a backup into an empty home; what starts there is held.
    Restore(crate::backup::Restore),
    /// Have what was restored go on.
    Resume(crate::backup::Resume),
    /// Write groups, bindings, people and tasks as one file.
    Export(crate::declare::Export),
    /// Make the groups, bindings, people and tasks of such a file; a second time changes nothing.
    Apply(crate::declare::Apply),
    /// Have systemd start the gateway and look after it.
    #[command(subcommand)]
    Service(crate::service::Service),
    /// Replace the executable by another one: verified, tried out on this home, and taken back where it does not get ready.
    Upgrade(crate::upgrade::Upgrade),
    /// Take over what NanoClaw or the NanoGridBot in Python has: groups, chats, people, tasks, messages, instructions.
    Import(crate::import::Import),
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
    /// Whether an upgrade tries this gateway out: it connects no account, runs nothing, and ends with its standard input.
    #[arg(skip)]
    pub(crate) is_trial: bool,
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

#[derive(Debug, Args)]
pub(crate) struct Usage {
    /// Only this group.
    #[arg(short, long)]
    pub(crate) group: Option<String>,
    /// Today and the days before it, in UTC.
    #[arg(long, default_value_t = 7)]
    pub(crate) days: u32,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}
