//! WhatsApp's Cloud API with one business number, on a real socket, with faults by script.
//!
//! It keeps what it knows in memory. What it does is what Meta's pages say, for the calls that an account of ours makes;
//! `referee/whatsapp_pywa.py` lets `pywa` say whether it does.
//!
//! ```text
//! business ──/<version>/<number>/messages──▶ http ── fault? ──▶ Platform ◀── test, or POST /sim/...
//! business ◀── signed webhook ── hook ◀─────────────────────────────┘
//! ```

mod hook;
mod http;
mod platform;

use std::net::SocketAddr;

use ngb_core::{clock::Clock, tasks::Crew};
use tokio::net::TcpListener;

pub use self::{
    hook::signature,
    platform::{Person, Platform, SentMessage, Uploaded},
};
pub use crate::{
    call::Answer,
    telegram::{Fault, How, When},
};

/// How a simulated number is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub addr: SocketAddr,
    pub access_token: String,
    pub phone_number_id: String,
    /// The number as people see it.
    pub display_phone_number: String,
    pub app_secret: String,
    pub verify_token: String,
    /// Where the faults that come by fraction start from.
    pub seed: u64,
    pub clock: Clock,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            access_token: "EAAtestTokenOfTheSimulator".into(),
            phone_number_id: "106540352242922".into(),
            display_phone_number: "15550783881".into(),
            app_secret: "app-secret-of-the-simulator".into(),
            verify_token: "verify-token-of-the-simulator".into(),
            seed: 1,
            clock: Clock::System,
        }
    }
}

/// A running simulator; dropping it closes its sockets.
#[derive(Debug)]
pub struct Server {
    /// What an account takes for `https://graph.facebook.com`, without a slash at the end.
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
        let url = format!("http://{}", listener.local_addr()?);
        let platform = Platform::new(config, url.clone());
        let mut crew = Crew::default();
        crew.spawn("whatsapp simulator", http::accept(listener, platform.clone()));
        crew.spawn("whatsapp webhooks", hook::deliver(platform.clone()));
        Ok(Self { url, platform, _crew: crew })
    }
}

/// Serves until the process ends, for `nanogridbot sim whatsapp`; `ready` is told where.
///
/// # Errors
///
/// When the address can't be bound.
pub async fn serve(config: Config, ready: impl FnOnce(&Server)) -> anyhow::Result<()> {
    let server = Server::start(config).await?;
    ready(&server);
    std::future::pending().await
}
