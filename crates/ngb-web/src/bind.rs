//! Binding the server's addresses, and serving on them.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use ngb_gateway::Gateway;
use thiserror::Error;
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{
    App, Inner, WebSettings,
    door::Door,
    hooks::{self, Hooks},
    limiter::Limiter,
    listener::{Serving, serve},
    live::Live,
    routes,
};

/// Ports after the usual one that are tried when nobody chose one.
pub const PORTS_TRIED: u16 = 20;

/// Shortest token, in characters: with 16 random ones, guessing takes longer than anybody lives.
const MIN_TOKEN_CHARS: usize = 16;

/// The server could not be bound.
#[derive(Debug, Error)]
pub enum BindError {
    #[error(
        "`{0}` can be reached from other machines, and no token is set; set `[web] token`, or bind 127.0.0.1"
    )]
    NoToken(SocketAddr),
    #[error(
        "the `[web] token` has {0} characters, and whoever guesses it is owner; make one of {MIN_TOKEN_CHARS} or more, by `openssl rand -hex 24` for instance"
    )]
    ShortToken(usize),
    #[error("`{0}` is in use; set another `[web] bind`, or end what uses it")]
    InUse(SocketAddr),
    #[error("could not listen on `{addr}`")]
    Listen {
        addr: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("could not listen on the socket `{path}`")]
    Socket {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// A web server that is bound, and not yet serving.
#[derive(Debug)]
pub struct Web {
    settings: WebSettings,
    addr: SocketAddr,
    main: TcpListener,
    hooks: Option<TcpListener>,
    socket: Option<UnixListener>,
}

impl Web {
    /// Binds every address of `settings`.
    ///
    /// # Errors
    ///
    /// When an address is in use or can't be had, the token is easily guessed, or other machines could reach it and there
    /// is no token.
    pub async fn bind(settings: WebSettings) -> Result<Self, BindError> {
        if !settings.bind.ip().is_loopback() && settings.token.is_none() {
            return Err(BindError::NoToken(settings.bind));
        }
        let token_chars = settings.token.as_ref().map(|it| it.expose().chars().count());
        if let Some(chars) = token_chars.filter(|it| *it < MIN_TOKEN_CHARS) {
            return Err(BindError::ShortToken(chars));
        }
        let more = if settings.port_is_set { 0 } else { PORTS_TRIED };
        let main = listen(settings.bind, more).await?;
        let addr = main
            .local_addr()
            .map_err(|source| BindError::Listen { addr: settings.bind, source })?;
        let hooks = match settings.hooks_bind {
            Some(addr) => Some(listen(addr, 0).await?),
            None => None,
        };
        info!("listening on http://{addr}");
        if let Some(addr) = hooks.as_ref().and_then(|it: &TcpListener| it.local_addr().ok()) {
            info!("platforms call at http://{addr}/hooks/<channel>/<account>");
        }
        let socket = match &settings.socket {
            Some(path) => Some(
                local(path).map_err(|source| BindError::Socket { path: path.clone(), source })?,
            ),
            None => None,
        };
        Ok(Self { settings, addr, main, hooks, socket })
    }

    /// The address that was bound; its port may be another than the one asked for.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until the gateway is closed and the requests that are under way have ended; what waits for work that
    /// may take long ends when `drain` fires.
    pub async fn run(self, gateway: Gateway, drain: CancellationToken) -> anyhow::Result<()> {
        let Self { settings, addr, main, hooks, socket } = self;
        let path = settings.socket.clone();
        let app = App::new(Inner {
            live: Live::new(&gateway),
            gateway,
            base_url: settings.public_url.clone().unwrap_or_else(|| base_url(addr)),
            settings,
            cookie: format!("ngb_{}", addr.port()),
            limiter: Limiter::default(),
            hooks: Hooks::default(),
            drain,
        });

        // Messages are stored for longer than work is begun, so the doors close only then.
        let closed = app.gateway.closed().clone();
        let serving = Serving {
            clock: app.gateway.clock().clone(),
            proxies: app.settings.trusted_proxies.clone(),
            stop: closed.clone(),
        };
        let main = serve(main, routes::router(&app, Door::Network, hooks.is_none()), &serving);
        let hooks = async {
            if let Some(it) = hooks {
                serve(it, hooks::router(&app), &serving).await;
            }
        };
        let local = async {
            if let Some(socket) = socket {
                serve(socket, routes::router(&app, Door::Socket, false), &serving).await;
            }
        };
        let follow = async {
            tokio::select! {
                () = app.live.follow() => (),
                () = closed.cancelled() => (),
            }
        };
        tokio::join!(main, hooks, local, follow);
        if let Some(path) = path {
            // A leftover does no harm: the next start replaces it.
            drop(std::fs::remove_file(path));
        }
        Ok(())
    }
}

/// How a browser on this machine reaches `addr`.
fn base_url(addr: SocketAddr) -> String {
    let ip = match addr.ip() {
        IpAddr::V4(it) if it.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(it) if it.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        it => it,
    };
    format!("http://{}", SocketAddr::new(ip, addr.port()))
}

/// Listens on `addr`, or on one of the `more` ports after it.
async fn listen(addr: SocketAddr, more: u16) -> Result<TcpListener, BindError> {
    for step in 0..=more {
        let Some(port) = addr.port().checked_add(step) else { break };
        let addr = SocketAddr::new(addr.ip(), port);
        match TcpListener::bind(addr).await {
            Ok(it) => return Ok(it),
            Err(err) if err.kind() == io::ErrorKind::AddrInUse => (),
            Err(source) => return Err(BindError::Listen { addr, source }),
        }
    }
    Err(BindError::InUse(addr))
}

/// Listens on a socket that only this user may open. One that is there is of a gateway that died: the lock on the home
/// proves that none lives.
fn local(path: &std::path::Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt as _;
    match std::fs::remove_file(path) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
        _ => (),
    }
    let res = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(res)
}

#[cfg(test)]
mod tests {
    use ngb_core::secret::Secret;

    use super::*;

    fn settings(bind: SocketAddr) -> WebSettings {
        WebSettings {
            bind,
            port_is_set: true,
            token: None,
            hooks_bind: None,
            trusted_proxies: [].into(),
            public_url: None,
            socket: None,
            log: None,
            name: "Andy".into(),
        }
    }

    #[tokio::test]
    async fn a_port_that_is_taken() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = taken.local_addr().unwrap();
        let err = Web::bind(settings(addr)).await.unwrap_err();
        assert!(matches!(err, BindError::InUse(it) if it == addr), "{err}");
        let web = Web::bind(WebSettings { port_is_set: false, ..settings(addr) }).await.unwrap();
        assert!((1..=PORTS_TRIED).contains(&(web.addr().port() - addr.port())));
    }

    #[tokio::test]
    async fn a_token_that_can_be_guessed() {
        let loopback = "127.0.0.1:0".parse().unwrap();
        for (token, good) in
            [("hunter2", false), ("123456789012345", false), ("1234567890123456", true)]
        {
            let token = Some(Secret::new(token));
            let bound = Web::bind(WebSettings { token, ..settings(loopback) }).await;
            assert_eq!(bound.is_ok(), good, "{bound:?}");
        }
    }

    #[tokio::test]
    async fn other_machines_need_a_token() {
        let err = Web::bind(settings("0.0.0.0:0".parse().unwrap())).await.unwrap_err();
        assert!(err.to_string().contains("`[web] token`"), "{err}");
    }

    #[tokio::test]
    async fn the_socket_is_ours_alone_and_replaces_a_leftover() {
        use std::os::unix::fs::PermissionsExt as _;
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("api.sock");
        for _ in 0..2 {
            drop(local(&path).unwrap());
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}
