//! A OneBot 11 implementation with one QQ account, on a real socket: it waits for applications, or calls one, as NapCat does,
//! its way with a wrong token included; with faults by script.
//!
//! It keeps what it knows in memory. `referee/onebot_nonebot.py` lets NoneBot, which it calls, say whether it is right.

mod account;
mod talk;

use std::net::SocketAddr;

use ngb_core::{clock::Clock, tasks::Crew};
use tokio::net::TcpListener;

pub use self::account::{Account, Call};

/// How a simulated account is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to wait for applications; port 0 takes a free one.
    pub addr: SocketAddr,
    pub token: String,
    /// The account's number.
    pub self_id: u64,
    /// Whether messages are written as CQ codes.
    pub cq: bool,
    pub clock: Clock,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            token: "token-of-the-simulated-onebot".into(),
            self_id: 10_000,
            cq: false,
            clock: Clock::System,
        }
    }
}

/// A running simulator; dropping it closes its sockets.
#[derive(Debug)]
pub struct Server {
    /// Where applications connect.
    pub url: String,
    pub account: Account,
    crew: Crew,
}

impl Server {
    /// # Errors
    ///
    /// When the address can't be bound.
    pub async fn start(config: Config) -> std::io::Result<Self> {
        let listener = TcpListener::bind(config.addr).await?;
        let host = listener.local_addr()?.to_string();
        let account = Account::new(config, host.clone());
        let mut crew = Crew::default();
        crew.spawn("onebot simulator", talk::accept(listener, account.clone()));
        Ok(Self { url: format!("ws://{host}/"), account, crew })
    }

    /// Calls an application at `url`, once, with what NapCat shows; the talk goes on by itself.
    ///
    /// # Errors
    ///
    /// When it doesn't let us in.
    pub async fn call(&mut self, url: &str, token: &str) -> anyhow::Result<()> {
        let socket = talk::call(url, token, self.account.config.self_id).await?;
        let account = self.account.clone();
        self.crew.spawn("onebot reverse", async move { talk::serve(account, socket).await });
        Ok(())
    }
}

/// Serves until the process ends, for `nanogridbot sim qq`; `ready` is told where.
///
/// # Errors
///
/// When the address can't be bound.
pub async fn serve(config: Config, ready: impl FnOnce(&Server)) -> anyhow::Result<()> {
    let server = Server::start(config).await?;
    ready(&server);
    std::future::pending().await
}
