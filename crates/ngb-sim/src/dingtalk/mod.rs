//! DingTalk with one robot: Stream mode, session webhooks and the OpenAPI, on a real socket, with faults by script.
//!
//! It keeps what it knows in memory. `referee/dingtalk_stream_bot.py` lets DingTalk's own `dingtalk-stream` say whether it is
//! right. A frame that nobody acknowledged comes again on the next socket, or when [`Platform::repeat`] says so.

mod http;
mod methods;
mod platform;

use std::net::SocketAddr;

use ngb_core::{clock::Clock, tasks::Crew};
use tokio::net::TcpListener;

pub use self::platform::{Call, Card, Figures, Platform};

/// How a simulated app is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub addr: SocketAddr,
    pub client_id: String,
    pub client_secret: String,
    pub clock: Clock,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            client_id: "dingsimulated".into(),
            client_secret: "secret-of-the-simulated-app".into(),
            clock: Clock::System,
        }
    }
}

/// The template of cards that the simulator knows, and the variable in it.
pub const CARD_TEMPLATE: &str = "11111111-2222-3333-4444-555555555555.schema";
pub const CARD_KEY: &str = "content";

/// A public template with a text and buttons, which every app may use.
pub const QUESTION_TEMPLATE: &str = "382e4302-551d-4880-bf29-a30acfab2e71.schema";

/// A running simulator; dropping it closes its sockets.
#[derive(Debug)]
pub struct Server {
    /// What an app takes for `https://api.dingtalk.com` and for `https://oapi.dingtalk.com`, without a slash at the end.
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
        let url = format!("http://{host}");
        let platform = Platform::new(config, host);
        let mut crew = Crew::default();
        crew.spawn("dingtalk simulator", http::accept(listener, platform.clone()));
        Ok(Self { url, platform, _crew: crew })
    }
}

/// Serves until the process ends, for `nanogridbot sim dingtalk`; `ready` is told where.
///
/// # Errors
///
/// When the address can't be bound.
pub async fn serve(config: Config, ready: impl FnOnce(&Server)) -> anyhow::Result<()> {
    let server = Server::start(config).await?;
    ready(&server);
    std::future::pending().await
}
