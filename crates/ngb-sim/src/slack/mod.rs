//! Slack with one app in one workspace: the Web API and Socket Mode, on a real socket, with faults by script.
//!
//! It keeps what it knows in memory. What it does is what <https://docs.slack.dev> says, for the methods that a bot of
//! ours calls; `referee/slack_bot.py` lets Slack's own `slack_sdk` say whether it does. An envelope that nobody
//! acknowledged comes again on the next socket, or when [`Platform::repeat`] says so.

mod http;
mod methods;
mod platform;
mod socket;

use std::net::SocketAddr;

use ngb_core::{clock::Clock, tasks::Crew};
use tokio::net::TcpListener;

pub use self::platform::{Call, Figures, Platform, Posted};

/// How a simulated app is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub addr: SocketAddr,
    pub bot_token: String,
    pub app_token: String,
    /// Under which address it hands out others of its own; none is where it listens.
    pub public_url: Option<String>,
    /// The bot's name.
    pub name: String,
    pub clock: Clock,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            bot_token: "xoxb-1-TEST-of-the-simulator".into(),
            app_token: "xapp-1-TEST-of-the-simulator".into(),
            public_url: None,
            name: "nano".into(),
            clock: Clock::System,
        }
    }
}

/// The bot's user.
pub const BOT_USER: &str = "U0BOT";

/// The bot as the author of messages.
pub const BOT: &str = "B0BOT";

/// A running simulator; dropping it closes its sockets.
#[derive(Debug)]
pub struct Server {
    /// What an app takes for `https://slack.com/api`, without a slash at the end.
    pub url: String,
    pub bot_token: String,
    pub app_token: String,
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
        let (bot_token, app_token) = (config.bot_token.clone(), config.app_token.clone());
        let own = config.public_url.clone().unwrap_or_else(|| format!("http://{host}"));
        let platform = Platform::new(config, own);
        let mut crew = Crew::default();
        crew.spawn("slack simulator", http::accept(listener, platform.clone()));
        Ok(Self { url: format!("http://{host}/api"), bot_token, app_token, platform, _crew: crew })
    }
}

/// Serves until the process ends, for `nanogridbot sim slack`; `ready` is told where.
///
/// # Errors
///
/// When the address can't be bound.
pub async fn serve(config: Config, ready: impl FnOnce(&Server)) -> anyhow::Result<()> {
    let server = Server::start(config).await?;
    ready(&server);
    std::future::pending().await
}
