//! A Telegram Bot API server with one bot, on a real socket, with faults by script.
//!
//! It keeps what it knows in memory. What it does is what <https://core.telegram.org/bots/api> says, for the methods
//! that a bot of ours calls; `referee/telegram_bot.py` lets `python-telegram-bot` say whether it does.
//!
//! ```text
//! bot ──/bot<token>/<method>──▶ http ── fault? ──▶ methods, updates ──▶ Platform ◀── test, or POST /sim/...
//! ```

mod control;
mod draft;
pub(crate) mod http;
mod markup;
mod methods;
mod params;
mod platform;
mod updates;
mod webhook;

use std::net::SocketAddr;

use ngb_core::{clock::Clock, tasks::Crew};
use tokio::net::TcpListener;

pub use self::{
    draft::{Draft, Press},
    platform::{Call, Edit, Figures, Platform, SentFile, SentMessage},
};
pub use crate::fault::{Fault, How, When};

/// How a simulated bot is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub addr: SocketAddr,
    pub token: String,
    pub username: String,
    /// False is Telegram's default: the bot sees only what is meant for it in groups. It is what `getMe` says and
    /// changes nothing else: a test pushes what it wants seen.
    pub can_read_all_group_messages: bool,
    /// Where the faults that come by fraction start from.
    pub seed: u64,
    pub clock: Clock,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            token: "123456:TEST-token_of_the_simulator".into(),
            username: "nano_test_bot".into(),
            can_read_all_group_messages: true,
            seed: 1,
            clock: Clock::System,
        }
    }
}

/// A running simulator; dropping it closes its sockets.
#[derive(Debug)]
pub struct Server {
    /// What a bot takes for `https://api.telegram.org`, without a slash at the end.
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
        let url = format!("http://{}", listener.local_addr()?);
        let token = config.token.clone();
        let platform = Platform::new(config);
        let mut crew = Crew::default();
        crew.spawn("telegram simulator", http::accept(listener, platform.clone()));
        crew.spawn("telegram webhooks", webhook::deliver(platform.clone()));
        Ok(Self { url, token, platform, _crew: crew })
    }
}

/// Serves until the process ends, for `nanogridbot sim telegram`; `ready` is told where.
///
/// # Errors
///
/// When the address can't be bound.
pub async fn serve(config: Config, ready: impl FnOnce(&Server)) -> anyhow::Result<()> {
    let server = Server::start(config).await?;
    ready(&server);
    std::future::pending().await
}
