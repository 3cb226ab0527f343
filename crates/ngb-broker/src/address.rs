//! Names resolved to what is out there only.

use std::{net::SocketAddr, sync::Arc};

use ngb_core::{proxy::Way, public::is_public};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Resolves names to public addresses only, at the moment of connecting, so that a name that changes its mind between
/// check and use gains nothing. Behind a proxy it is the proxy that resolves, and its own address may be private.
///
/// `ngb-channels` has the same for its clients: which addresses are public is said once, in `ngb-core`, but the crates
/// with an HTTP client have no crate in common that may have one, and each keeps its promise by itself.
#[derive(Clone, Debug)]
pub(crate) struct PublicOnly {
    pub(crate) way: Way,
}

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let any = self.way.is_proxy(name.as_str());
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|it| any || is_public(it.ip())).collect();
            if public.is_empty() {
                return Err(format!("`{}` has no public address", name.as_str()).into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

/// reqwest wants the resolver shared.
impl From<PublicOnly> for Arc<dyn Resolve> {
    fn from(it: PublicOnly) -> Self {
        Arc::new(it)
    }
}
