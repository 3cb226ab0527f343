//! How this program reaches the world: one TLS backend, one set of roots, the proxy of the settings.

use std::sync::Arc;

use anyhow::Context as _;
use reqwest::{ClientBuilder, NoProxy, Proxy};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use crate::settings::{Network, SettingsError};

/// Makes clients that all behave alike.
pub(crate) struct Net {
    tls: ClientConfig,
    proxy: Option<Proxy>,
}

impl Net {
    /// # Errors
    ///
    /// When the proxy's address or the file of certificates can't be used.
    pub(crate) fn new(network: &Network) -> anyhow::Result<Self> {
        // The roots are built in, so that a machine without a certificate store works too.
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(path) = &network.ca_file {
            let shown = path.display();
            let pem = std::fs::read(path).map_err(|source| SettingsError::NoFile {
                setting: "network.ca_file".to_owned(),
                path: shown.to_string(),
                source,
            })?;
            for cert in CertificateDer::pem_slice_iter(&pem) {
                roots.add(cert.with_context(|| format!("`{shown}` is not PEM"))?)?;
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let proxy = match &network.proxy {
            Some(url) => {
                let no_proxy = network.no_proxy.as_deref().and_then(NoProxy::from_string);
                let proxy = Proxy::all(url.as_str());
                Some(
                    proxy
                        .map_err(|err| SettingsError::BadValue {
                            from: "[network] proxy".to_owned(),
                            why: format!("it is no address of a proxy: {}", err.without_url()),
                        })?
                        .no_proxy(no_proxy),
                )
            }
            None => None,
        };
        Ok(Self { tls, proxy })
    }

    /// A builder of clients. Without a proxy in the settings the usual variables count.
    pub(crate) fn builder(&self) -> ClientBuilder {
        let builder = ClientBuilder::new().tls_backend_preconfigured(self.tls.clone());
        match &self.proxy {
            Some(proxy) => builder.proxy(proxy.clone()),
            None => builder,
        }
    }
}
