//! The web server: API, live events, dashboard, platform callbacks.
//!
//! Doors: a network address (session or token), a local socket (its file permission is the login), and platform
//! callbacks, on an address of their own when one is set. [`routes`] is the table of what there is and who may.

mod alerts;
mod answer;
mod assets;
mod bind;
mod caller;
mod channels;
mod chats;
mod dead;
mod describe;
mod door;
mod error;
mod events;
mod groups;
mod guard;
mod health;
mod hooks;
mod imports;
mod input;
mod known_plugins;
mod limiter;
mod listener;
mod live;
mod log;
mod login;
mod messages;
mod model;
mod openai;
mod openapi;
mod overview;
mod people;
mod plugins;
mod prune;
mod restored;
mod routes;
mod sessions;
mod shape;
mod simulate;
mod status;
mod tasks;
mod usage;

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use ngb_core::secret::Secret;
use ngb_gateway::Gateway;
use tokio_util::sync::CancellationToken;

pub use bind::{BindError, PORTS_TRIED, Web};
pub use caller::{BadSubnet, Subnet};
pub use hooks::address as hook_address;
pub use log::{BadLevel, Levels, LogFilter, LogLines};
pub use login::login_link;

/// What the web server is to do.
#[derive(Clone, Debug)]
pub struct WebSettings {
    pub bind: SocketAddr,
    /// Whether somebody chose the port; if not and it is taken, the next free one is used.
    pub port_is_set: bool,
    /// Whoever shows it is owner. Without one only loopback may be bound.
    pub token: Option<Secret>,
    /// Where platforms call; the same address as everything else when none. Not bound while no channel wants calls.
    pub hooks_bind: Option<SocketAddr>,
    /// Proxies before us whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Arc<[Subnet]>,
    /// The address by which people reach the page when it is not the one that is bound.
    pub public_url: Option<String>,
    /// A local socket for the command line, readable by the gateway's user only.
    pub socket: Option<PathBuf>,
    /// What is logged; none for a gateway that logs nothing.
    pub log: Option<LogFilter>,
    /// What the assistant is called.
    pub name: String,
}

/// What every request may use; cheap to clone.
#[derive(Clone)]
pub(crate) struct App(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) gateway: Gateway,
    pub(crate) settings: WebSettings,
    /// Where people reach the page.
    pub(crate) base_url: String,
    /// The session's cookie: it carries the port, since a browser sends cookies to every port of a host.
    pub(crate) cookie: String,
    pub(crate) live: live::Live,
    pub(crate) limiter: limiter::Limiter,
    pub(crate) hooks: hooks::Hooks,
    pub(crate) drain: CancellationToken,
}

impl std::ops::Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl App {
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }
}
