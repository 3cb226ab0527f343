//! Simulated platforms.

use std::path::PathBuf;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Sim {
    /// All eight platforms, and one page with a chat box for each, where you play the people.
    All {
        /// The page; the platforms take the nine ports after it.
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
