//! Feishu with one app in one company: the open API, the long connection and callbacks, with faults by script.
//!
//! It keeps what it knows in memory. What it does is what <https://open.feishu.cn/document> says, for what a bot of ours
//! asks; `referee/feishu_bot.py` lets Feishu's own `lark_oapi` say whether it does. An event that nobody acknowledged
//! comes again on the next connection, or when [`Platform::repeat`] says so.

mod api;
mod crypt;
mod frame;
mod http;
mod platform;
mod socket;

use std::net::SocketAddr;

use ngb_core::{clock::Clock, tasks::Crew};
use tokio::net::TcpListener;

pub use self::platform::{Figures, Platform, Posted};

/// How a simulated app is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub addr: SocketAddr,
    pub app_id: String,
    pub app_secret: String,
    /// What callbacks are encrypted with.
    pub encrypt_key: String,
    pub verification_token: String,
    /// The bot's name.
    pub name: String,
    /// How often a connection is to ping, in seconds.
    pub ping_s: u64,
    pub clock: Clock,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            app_id: "cli_sim".into(),
            app_secret: "SECRET-of-the-simulator".into(),
            encrypt_key: "KEY-of-the-simulator".into(),
            verification_token: "TOKEN-of-the-simulator".into(),
            name: "nano".into(),
            ping_s: 120,
            clock: Clock::System,
        }
    }
}

/// The bot, as its app knows it.
pub const BOT: &str = "ou_bot";

/// A running simulator; dropping it closes its sockets.
#[derive(Debug)]
pub struct Server {
    /// What an app takes for `https://open.feishu.cn`, without a slash at the end.
    pub url: String,
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
        crew.spawn("feishu simulator", http::accept(listener, platform.clone()));
        Ok(Self { url: format!("http://{host}"), platform, _crew: crew })
    }
}

/// Serves until the process ends, for `nanogridbot sim feishu`; `ready` is told where.
///
/// # Errors
///
/// When the address can't be bound.
pub async fn serve(config: Config, ready: impl FnOnce(&Server)) -> anyhow::Result<()> {
    let server = Server::start(config).await?;
    ready(&server);
    std::future::pending().await
}
