//! QQ's open platform with one bot: the OpenAPI, the gateway and signed callbacks, on a real socket, with faults by script.
//!
//! It keeps what it knows in memory. What it does is what <https://bot.q.qq.com/wiki/develop/api-v2/> says, for the calls that a
//! bot of ours makes; `referee/qq_botpy.py` lets QQ's own `qq-botpy` say whether it does.

mod http;
mod platform;
mod rest;
mod socket;

use std::net::SocketAddr;
use std::time::Duration;

use ngb_core::{clock::Clock, tasks::Crew};
use tokio::net::TcpListener;

pub use self::platform::{Figures, Platform, Sent};

/// The bot's user.
pub const BOT: &str = "11234567890123456789";

/// How a simulated bot is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub addr: SocketAddr,
    pub app_id: String,
    pub secret: String,
    /// The bot's name.
    pub name: String,
    /// Whether the bot has the right to what is said in channels.
    pub guilds: bool,
    /// The heartbeat that the gateway asks for.
    pub heartbeat: Duration,
    pub clock: Clock,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            app_id: "102000001".into(),
            secret: "TEST-of-the-simulator".into(),
            name: "nano".into(),
            guilds: true,
            heartbeat: Duration::from_millis(41_250),
            clock: Clock::System,
        }
    }
}

/// A running simulator; dropping it closes its sockets.
#[derive(Debug)]
pub struct Server {
    /// What a bot takes for `https://api.sgroup.qq.com`, without a slash at the end.
    pub url: String,
    /// What a bot takes for `https://bots.qq.com/app/getAppAccessToken`.
    pub token_url: String,
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
        let platform = Platform::new(config, host.clone());
        let mut crew = Crew::default();
        crew.spawn("qq bot simulator", http::accept(listener, platform.clone()));
        let url = format!("http://{host}");
        let token_url = format!("{url}/app/getAppAccessToken");
        Ok(Self { url, token_url, platform, _crew: crew })
    }
}

/// Serves until the process ends, for `nanogridbot sim qq-bot`; `ready` is told where.
///
/// # Errors
///
/// When the address can't be bound.
pub async fn serve(config: Config, ready: impl FnOnce(&Server)) -> anyhow::Result<()> {
    let server = Server::start(config).await?;
    ready(&server);
    std::future::pending().await
}
