//! Discord with one bot in one server: the REST API and the gateway, on a real socket, with faults by script.
//!
//! It keeps what it knows in memory. What it does is what <https://docs.discord.com/developers> says, for what a bot of
//! ours asks; `referee/discord_bot.py` lets `discord.py` say whether it does. A session outlives its sockets, and what was
//! sent on it comes again to whoever resumes from before it.

mod http;
mod platform;
mod rest;
mod rules;
mod socket;

use std::{net::SocketAddr, time::Duration};

use ngb_core::{clock::Clock, tasks::Crew};
use tokio::net::TcpListener;

pub use self::platform::{Answered, Figures, Platform, Posted};

/// How a simulated bot is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub addr: SocketAddr,
    pub token: String,
    /// The bot's name.
    pub name: String,
    /// Whether the bot may read what people write (the privileged intent).
    pub message_content: bool,
    /// How often the bot is to beat.
    pub heartbeat: Duration,
    pub clock: Clock,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            token: "MTIz.TEST.of-the-simulator".into(),
            name: "nano".into(),
            message_content: true,
            heartbeat: Duration::from_millis(41_250),
            clock: Clock::System,
        }
    }
}

/// The bot, and the application that it belongs to.
pub const BOT: &str = "900000000000000001";
pub const APPLICATION: &str = "900000000000000002";

/// The server, and the bot's own role in it.
pub const GUILD: &str = "900000000000000003";
pub const BOT_ROLE: &str = "900000000000000004";

/// What there is in it: `#general`, a thread of it, and a forum.
pub const GENERAL: &str = "900000000000000010";
pub const THREAD: &str = "900000000000000011";
pub const FORUM: &str = "900000000000000012";

/// A direct chat with the person 1.
pub const DIRECT: &str = "900000000000000020";

/// A running simulator; dropping it closes its sockets.
#[derive(Debug)]
pub struct Server {
    /// What a bot takes for `https://discord.com/api/v10`, without a slash at the end.
    pub url: String,
    pub token: String,
    /// The other side: people, faults, and what was sent.
    pub platform: Platform,
    _crew: Crew,
}

impl Server {
    /// # Errors
    ///
    /// When the address can't be bound.
    pub async fn start(config: Config) -> std::io::Result<Self> {
        let listener = TcpListener::bind(config.addr).await?;
        let host = listener.local_addr()?.to_string();
        let token = config.token.clone();
        let platform = Platform::new(config, host.clone());
        let mut crew = Crew::default();
        crew.spawn("discord simulator", http::accept(listener, platform.clone()));
        Ok(Self { url: format!("http://{host}/api/v10"), token, platform, _crew: crew })
    }
}

/// Serves until the process ends, for `nanogridbot sim discord`; `ready` is told where.
///
/// # Errors
///
/// When the address can't be bound.
pub async fn serve(config: Config, ready: impl FnOnce(&Server)) -> anyhow::Result<()> {
    let server = Server::start(config).await?;
    ready(&server);
    std::future::pending().await
}
