//! Plugins: written, built, tried, installed.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(crate) enum Plugin {
    /// Make a folder with a plugin that works: `plugin new greeter --lang javascript`.
    New {
        /// Small letters, digits, `-` and `_`.
        name: String,
        #[arg(long, value_enum)]
        lang: Language,
        /// Where; default a folder of the plugin's name, here.
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
    },
    /// Make `plugin.wasm` of a plugin's source: `plugin build greeter`.
    Build {
        /// The plugin's folder.
        #[arg(default_value = ".")]
        folder: PathBuf,
        /// For the compiler: `-- --features x`.
        #[arg(last = true)]
        more: Vec<String>,
    },
    /// Play recorded events to a plugin, without a gateway: `plugin test recording.jsonl --plugin greeter`.
    Test {
        /// One JSON object a line; docs/write-a-plugin.md says of which shape.
        file: PathBuf,
        /// A folder, a .wasm file or a .tar.gz archive.
        #[arg(long, default_value = ".", value_name = "SOURCE")]
        plugin: PathBuf,
    },
    /// Install a plugin, and say what it may do: `plugin install greeter.tar.gz --sha256 …`.
    Install(Install),
    /// List the plugins that are installed, with what they may do.
    List,
    /// Take a plugin away: `plugin remove greeter`.
    Remove { name: String },
    /// List the plugins that the gateway asks, in their order, and how they fare.
    Active,
    /// Show a plugin and its settings: `plugin show word_filter`.
    Show { name: String },
    /// Have a plugin asked from now on.
    Enable { name: String },
    /// Have a plugin asked no more.
    Disable { name: String },
    /// Change a plugin's own settings while the gateway runs: `plugin config word_filter action=hold words='["darn"]'`.
    Config {
        name: String,
        /// `KEY=VALUE`, the value as JSON or else a text; `KEY=` takes a setting away.
        #[arg(required = true, value_name = "KEY=VALUE")]
        changes: Vec<String>,
        /// For this group only.
        #[arg(long, short, value_name = "GROUP")]
        group: Option<String>,
    },
    /// List a plugin's settings before, the newest first.
    History { name: String },
    /// Put a plugin's earlier settings back: `plugin revert word_filter 7`; 0 stands for those of `config.toml`.
    Revert { name: String, version: i64 },
    /// Have a plugin's files read anew; the gateway also sees by itself when they change.
    Reload { name: String },
    /// Show what plugins wrote to their logs and failed at since the start: `plugin logs greeter -f`.
    Logs {
        /// Only of this one.
        name: Option<String>,
        /// Go on with what comes.
        #[arg(long, short)]
        follow: bool,
    },
    /// List what plugins hold until somebody decides.
    Held,
    /// Let go what a plugin holds: `plugin release 5`.
    Release {
        /// As `plugin held` lists it.
        id: i64,
    },
    /// Throw away what a plugin holds.
    Drop {
        /// As `plugin held` lists it.
        id: i64,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Install {
    /// A folder, a .wasm file or a .tar.gz archive.
    pub(crate) source: PathBuf,
    /// What it may do: `all` that it declares, `none`, or names. Without it you are asked.
    #[arg(long, value_delimiter = ',', value_name = "CAPABILITIES")]
    pub(crate) grant: Vec<String>,
    /// Put it in place of the one of its name.
    #[arg(long)]
    pub(crate) replace: bool,
    /// The file has this SHA-256; of a folder, its `plugin.wasm`.
    #[arg(long, value_name = "HEX")]
    pub(crate) sha256: Option<String>,
    /// It is signed by this key of minisign (`RW…`, or its file).
    #[arg(long, value_name = "KEY")]
    pub(crate) signed_by: Option<String>,
    /// The signature; default the file with `.minisig` behind its name.
    #[arg(long, value_name = "FILE", requires = "signed_by")]
    pub(crate) signature: Option<PathBuf>,
}

/// What a plugin is written in.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Language {
    Rust,
    #[value(name = "javascript", alias = "js")]
    JavaScript,
    Python,
}
