//! An agent's only way out: model APIs and named hosts. It adds credentials, keeps budgets and counts.
//!
//! [`Broker::open`] makes a [`Door`] for one agent process: a Unix socket that speaks HTTP/1.1. Through it go
//!
//! ```text
//! POST /model/<provider>/v1/messages | chat/completions | api/chat      a model's API; address and key are added here
//! GET | ..  http(s)://host/..                                          absolute-form, as the run's rules allow
//! GET | ..  http://<credential>.broker/..                              to that credential's host, with it
//! CONNECT   host:port                                                  opaque, to listed hosts only
//! ```
//! and nothing else. Refusals of the broker itself have the header [`REFUSED`], which says why.

use std::{
    fmt, fs, io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
};

use http::{HeaderName, HeaderValue};
use ngb_core::{
    clock::Clock,
    frame::ProviderKind,
    id::{GroupId, LaneId},
    proxy::Way,
    secret::{Redactor, Secret},
};
use ngb_net::{PublicOnly, Resolver};

mod usage;

mod count;

mod reply;

mod credential;
mod egress;
mod failure;
mod model;
mod prove;
mod purse;
mod tunnel;

mod door;

pub use credential::Credential;
pub use door::{Allowed, Current, Door};
pub use egress::{Answered, Ask, WayOut};
pub use failure::Unreached;
pub use prove::{Unproved, prove};
pub use purse::{Amount, Caps, Purse};
pub use reply::REFUSED;
pub use usage::Usage;

/// What a broker is made of.
pub struct BrokerConfig {
    /// Where the sockets are made; it becomes 0700, and what an earlier broker left there is removed.
    pub dir: PathBuf,
    pub providers: Vec<Provider>,
    pub way_out: WayOut,
}

/// One `[providers.<name>]`.
pub struct Provider {
    pub name: String,
    pub kind: ProviderKind,
    /// What stands before `/v1/messages`, `/chat/completions` or `/api/chat`.
    pub base_url: String,
    pub api_key: Option<Secret>,
    pub auth: Auth,
    /// Added to each request.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Made by [`Client::of_model`].
    pub http: Client,
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Extra headers and addresses may hold secrets too.
        f.debug_struct("Provider").field("name", &self.name).field("kind", &self.kind).finish()
    }
}

/// How a provider wants its key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Auth {
    /// `x-api-key: KEY`.
    XApiKey,
    /// `authorization: Bearer KEY`.
    #[default]
    Bearer,
    /// `api-key: KEY`.
    ApiKey,
}

/// How the broker reaches what is outside.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) http: reqwest::Client,
    /// Which proxy a request takes.
    pub(crate) way: Way,
    /// Where it reaches public addresses only.
    pub(crate) public: Option<PublicOnly>,
}

impl Client {
    /// The client of a provider: one that follows no redirects, since a key must not follow them.
    ///
    /// # Errors
    ///
    /// When the client can't be built.
    pub fn of_model(builder: reqwest::ClientBuilder, way: Way) -> reqwest::Result<Self> {
        let http = builder.redirect(reqwest::redirect::Policy::none()).build()?;
        Ok(Self { http, way, public: None })
    }

    /// The client for named hosts: it connects to public addresses only, and leaves redirects to the broker, which
    /// follows them within the list. Behind a proxy it is the proxy that resolves names.
    ///
    /// # Errors
    ///
    /// When the client can't be built.
    pub fn of_hosts(builder: reqwest::ClientBuilder, way: Way) -> reqwest::Result<Self> {
        let public = PublicOnly { resolver: Resolver::default(), way: way.clone() };
        let client = Self::of_model(builder.dns_resolver(public.clone()), way)?;
        Ok(Self { public: Some(public), ..client })
    }
}

/// Makes doors.
#[derive(Clone)]
pub struct Broker {
    shared: Arc<Shared>,
}

struct Shared {
    dir: PathBuf,
    providers: RwLock<Arc<Vec<Provider>>>,
    way_out: RwLock<Arc<WayOut>>,
    redactor: Redactor,
    clock: Clock,
}

impl Broker {
    /// # Errors
    ///
    /// When the folder can't be made, or what is left in it can't be removed.
    pub fn new(config: BrokerConfig, clock: Clock) -> io::Result<Self> {
        let BrokerConfig { dir, providers, way_out } = config;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700))?;
        for left in fs::read_dir(&dir)? {
            let path = left?.path();
            if path.join(door::SOCKET).exists() {
                fs::remove_dir_all(&path)?;
            }
        }
        let redactor = Redactor::default();
        redactor.add(secrets(&providers));
        redactor.add(way_out.secrets());
        let providers = RwLock::new(Arc::new(providers));
        let way_out = RwLock::new(Arc::new(way_out));
        Ok(Self { shared: Arc::new(Shared { dir, providers, way_out, redactor, clock }) })
    }

    /// Has these answer from the next request on.
    pub fn set_providers(&self, providers: Vec<Provider>) {
        self.shared.redactor.add(secrets(&providers));
        let mut now = self.shared.providers.write().unwrap_or_else(PoisonError::into_inner);
        *now = Arc::new(providers);
    }

    /// Which API the provider of that name speaks; none where there is none.
    pub fn kind_of(&self, name: &str) -> Option<ProviderKind> {
        self.shared.providers().iter().find(|it| it.name == name).map(|it| it.kind)
    }

    /// Has these hosts and credentials count from the next request on.
    pub fn set_way_out(&self, way_out: WayOut) {
        self.shared.redactor.add(way_out.secrets());
        let mut now = self.shared.way_out.write().unwrap_or_else(PoisonError::into_inner);
        *now = Arc::new(way_out);
    }

    /// Opens a way out for one agent process of `lane`. Nobody is admitted yet: see [`Door::admit`].
    ///
    /// # Errors
    ///
    /// When the socket can't be made.
    pub fn open(&self, lane: LaneId, group: GroupId) -> io::Result<Door> {
        Door::open(Arc::clone(&self.shared), lane, group)
    }
}

impl Shared {
    fn providers(&self) -> Arc<Vec<Provider>> {
        Arc::clone(&self.providers.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn way_out(&self) -> Arc<WayOut> {
        Arc::clone(&self.way_out.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What no answer may show.
fn secrets(providers: &[Provider]) -> Vec<Secret> {
    let keys = providers.iter().filter_map(|it| it.api_key.clone());
    let values = providers.iter().flat_map(|it| &it.headers).filter_map(|(_, value)| {
        value.is_sensitive().then(|| value.to_str().ok().map(Secret::new)).flatten()
    });
    keys.chain(values).collect()
}
