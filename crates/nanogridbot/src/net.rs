//! How this program reaches the world: one TLS backend, one set of roots, the proxy of the settings.

use std::sync::Arc;

use anyhow::Context as _;
use ngb_channels::http::Http;
use ngb_core::clock::Clock;
use reqwest::{ClientBuilder, NoProxy, Proxy, Url};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use crate::settings::{Environment, Network, SettingsError};

/// The variables that name a proxy where no setting does, as reqwest reads them.
const VARIABLES: &[&str] =
    &["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy"];

/// Makes clients that all behave alike.
pub(crate) struct Net {
    network: Network,
    tls: ClientConfig,
    proxy: Option<Proxy>,
    /// The proxy and where it is set, without its password.
    shown: Option<Arc<str>>,
}

impl Net {
    /// # Errors
    ///
    /// When the proxy's address or the file of certificates can't be used.
    pub(crate) fn new(network: &Network, env: &Environment) -> anyhow::Result<Self> {
        let found = VARIABLES.iter().find_map(|name| Some((*name, env.get(name)?)));
        let from_env = found.map(|(name, url)| shown(url, &format!("`{name}`")));
        Self::of(network.clone(), "network", from_env)
    }

    /// The same with what one provider or account has of its own; `at` is where that is set.
    ///
    /// # Errors
    ///
    /// When the proxy's address or the file of certificates can't be used.
    pub(crate) fn own(&self, own: &Network, at: &str) -> anyhow::Result<Self> {
        let at = if own.proxy.is_some() { at } else { "network" };
        let network = Network {
            proxy: own.proxy.clone().or_else(|| self.network.proxy.clone()),
            no_proxy: own.no_proxy.clone().or_else(|| self.network.no_proxy.clone()),
            ca_file: own.ca_file.clone().or_else(|| self.network.ca_file.clone()),
        };
        Self::of(network, at, self.shown.clone())
    }

    fn of(network: Network, at: &str, from_env: Option<Arc<str>>) -> anyhow::Result<Self> {
        let proxy = proxy(&network, at)?;
        let set = network.proxy.as_deref().map(|url| shown(url, &format!("`[{at}] proxy`")));
        Ok(Self { tls: tls(&network, at)?, shown: set.or(from_env), proxy, network })
    }

    /// A builder of clients. Without a proxy in the settings the usual variables count.
    pub(crate) fn builder(&self) -> ClientBuilder {
        let builder = ClientBuilder::new().tls_backend_preconfigured(self.tls.clone());
        match &self.proxy {
            Some(proxy) => builder.proxy(proxy.clone()),
            None => builder,
        }
    }

    /// An account's way to its platform.
    ///
    /// # Errors
    ///
    /// When a client can't be built.
    pub(crate) fn http(&self, clock: Clock) -> anyhow::Result<Http> {
        Ok(Http::new(|| self.builder(), self.shown.clone(), clock)?)
    }
}

fn tls(network: &Network, at: &str) -> anyhow::Result<ClientConfig> {
    // The roots are built in, so that a machine without a certificate store works too.
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = &network.ca_file {
        let shown = path.display();
        let pem = std::fs::read(path).map_err(|source| SettingsError::NoFile {
            setting: format!("{at}.ca_file"),
            path: shown.to_string(),
            source,
        })?;
        for cert in CertificateDer::pem_slice_iter(&pem) {
            roots.add(cert.with_context(|| format!("`{shown}` is not PEM"))?)?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

fn proxy(network: &Network, at: &str) -> Result<Option<Proxy>, SettingsError> {
    let Some(url) = &network.proxy else { return Ok(None) };
    let no_proxy = network.no_proxy.as_deref().and_then(NoProxy::from_string);
    let proxy = Proxy::all(url.as_str()).map_err(|err| SettingsError::BadValue {
        from: format!("[{at}] proxy"),
        why: format!("it is no address of a proxy: {}", err.without_url()),
    })?;
    Ok(Some(proxy.no_proxy(no_proxy)))
}

/// The proxy without its password, and where it is set.
fn shown(url: &str, setting: &str) -> Arc<str> {
    let place = Url::parse(url).ok().and_then(|it| {
        Some(
            format!("{}://{}", it.scheme(), it.host_str()?)
                + &it.port().map(|it| format!(":{it}")).unwrap_or_default(),
        )
    });
    format!("{} of {setting}", place.as_deref().unwrap_or("an address that can't be read")).into()
}
