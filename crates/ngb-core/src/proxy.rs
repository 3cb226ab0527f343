//! The proxies between this program and the world: which one a request takes, and whether it is the one that failed.

use std::{error::Error, fmt, sync::Arc};

/// The proxy that a URL takes, in words for people.
type NameOf = dyn Fn(&str) -> Option<Arc<str>> + Send + Sync;

/// Which proxy a request takes, as errors name it.
#[derive(Clone)]
pub struct Way {
    name_of: Arc<NameOf>,
    /// The proxies' own hosts.
    hosts: Arc<[String]>,
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Way").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

/// A request failed because of the proxy that it took: which one (address without user and password, and the setting
/// that names it), and how.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyFault {
    #[error("the proxy {0} refuses the user or password that is set for it")]
    Refuses(Arc<str>),
    #[error("the proxy {0} can't be reached")]
    Away(Arc<str>),
    #[error("the proxy {0} makes no connection to that host")]
    NoWay(Arc<str>),
}

impl Way {
    /// `name_of` says which proxy a URL takes, in words for people; `hosts` are those of the proxies themselves.
    pub fn new(
        name_of: impl Fn(&str) -> Option<Arc<str>> + Send + Sync + 'static,
        hosts: impl IntoIterator<Item = String>,
    ) -> Self {
        Self { name_of: Arc::new(name_of), hosts: hosts.into_iter().collect() }
    }

    /// No proxy at all.
    pub fn direct() -> Self {
        Self::new(|_| None, [])
    }

    /// Whether `host` is a proxy of ours, which may well have a private address.
    pub fn is_proxy(&self, host: &str) -> bool {
        self.hosts.iter().any(|it| it.eq_ignore_ascii_case(host))
    }

    /// The proxy that a request for `url` takes, in words for people.
    pub fn proxy_of(&self, url: &str) -> Option<Arc<str>> {
        (self.name_of)(url)
    }

    /// The fault of the proxy, if it is its fault that no connection for `url` came about.
    pub fn blame(&self, url: &str, err: &(dyn Error + 'static)) -> Option<ProxyFault> {
        let proxy = (self.name_of)(url)?;
        let causes = std::iter::successors(Some(err), |it| (**it).source());
        let text: Vec<String> = causes.map(|it| it.to_string().to_ascii_lowercase()).collect();
        let says = |word: &str| text.iter().any(|it| it.contains(word));
        let tunnelled = says("tunnel error") || says("socks error");
        // Without encryption there is no tunnel: the connection that failed was the one to the proxy.
        let plain = url.starts_with("http://") || url.starts_with("ws://");
        if says("proxy authorization") || says("credentials") || says("authentication") {
            Some(ProxyFault::Refuses(proxy))
        } else if says("failed to create underlying connection") || plain && !tunnelled {
            Some(ProxyFault::Away(proxy))
        } else {
            tunnelled.then_some(ProxyFault::NoWay(proxy))
        }
    }

    /// The fault of the proxy, if it was the one that answered a request for `url` with `status`.
    pub fn blame_status(&self, url: &str, status: u16) -> Option<ProxyFault> {
        const PROXY_AUTHENTICATION_REQUIRED: u16 = 407;
        (status == PROXY_AUTHENTICATION_REQUIRED)
            .then(|| (self.name_of)(url).map(ProxyFault::Refuses))?
    }
}
