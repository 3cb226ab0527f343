//! Names of hosts and their addresses: one resolver for all that this program connects to, and one for what others name.
//!
//! The executable is static, so there is no NSS: `getaddrinfo` of such a program asks fewer places than that of its
//! neighbours, or fails. The resolver reads `/etc/resolv.conf` and `/etc/hosts` by itself.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, OnceLock},
};

use hickory_resolver::{TokioResolver, config::LookupIpStrategy, net::NetError};
use ngb_core::{proxy::Way, public::is_public};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use thiserror::Error;

/// A name stands for nothing that may be reached.
#[derive(Debug, Error)]
#[error("`{0}` has no public address")]
struct NoPublicAddress(String);

/// Resolves names by what `/etc/resolv.conf` and `/etc/hosts` say; cheap to clone, and all clones share their memory.
#[derive(Clone, Debug, Default)]
pub struct Resolver {
    /// Made when it is first asked, which is inside of a runtime.
    made: Arc<OnceLock<TokioResolver>>,
}

impl Resolver {
    /// Both families, so that whoever connects takes the one that answers first.
    async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, NetError> {
        let resolver = match self.made.get() {
            Some(it) => it,
            None => {
                let mut builder = TokioResolver::builder_tokio()?;
                builder.options_mut().ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
                let made = builder.build()?;
                self.made.get_or_init(|| made)
            }
        };
        Ok(resolver.lookup_ip(name).await?.iter().collect())
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let this = self.clone();
        Box::pin(async move { Ok(with_any_port(this.addresses(name.as_str()).await?)) })
    }
}

/// reqwest wants the resolver shared.
impl From<Resolver> for Arc<dyn Resolve> {
    fn from(it: Resolver) -> Self {
        Arc::new(it)
    }
}

/// Resolves names to public addresses only, at the moment of connecting, so that a name that changes its mind between
/// check and use gains nothing. Behind a proxy it is the proxy that resolves, and its own address may be private.
///
/// It is for addresses that somebody else named: in an answer of a platform, in a wish of an agent.
#[derive(Clone, Debug)]
pub struct PublicOnly {
    pub resolver: Resolver,
    pub way: Way,
}

impl PublicOnly {
    /// The public addresses of `name`, never none; all of them where it is a proxy of ours.
    ///
    /// # Errors
    ///
    /// When nobody knows the name, or it has no public address.
    pub async fn addresses(
        &self,
        name: &str,
    ) -> Result<Vec<IpAddr>, Box<dyn std::error::Error + Send + Sync>> {
        let any = self.way.is_proxy(name);
        let found = self.resolver.addresses(name).await?;
        let allowed: Vec<IpAddr> = found.into_iter().filter(|it| any || is_public(*it)).collect();
        if allowed.is_empty() {
            return Err(NoPublicAddress(name.to_owned()).into());
        }
        Ok(allowed)
    }
}

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let this = self.clone();
        Box::pin(async move { Ok(with_any_port(this.addresses(name.as_str()).await?)) })
    }
}

/// reqwest wants the resolver shared.
impl From<PublicOnly> for Arc<dyn Resolve> {
    fn from(it: PublicOnly) -> Self {
        Arc::new(it)
    }
}

/// The port is the client's to set; 0 leaves it to the scheme.
fn with_any_port(addresses: Vec<IpAddr>) -> Addrs {
    Box::new(addresses.into_iter().map(|it| SocketAddr::new(it, 0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `localhost` is in no name server, and is this machine (RFC 6761, section 6.3).
    #[tokio::test]
    async fn what_others_name_is_not_this_machine() {
        let resolver = Resolver::default();
        let found = resolver.addresses("localhost").await.expect("it needs no name server");
        assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback), "{found:?}");

        let resolve = async |way: Way| {
            let only = PublicOnly { resolver: resolver.clone(), way };
            only.resolve("localhost".parse().expect("a name")).await.map(Iterator::count)
        };
        let refused = resolve(Way::direct()).await.map_err(|it| it.to_string());
        assert_eq!(refused, Err("`localhost` has no public address".to_owned()));
        let proxy = Way::new(|_| None, ["localhost".to_owned()]);
        assert!(resolve(proxy).await.is_ok_and(|it| 0 < it), "a proxy may be near");
    }
}
