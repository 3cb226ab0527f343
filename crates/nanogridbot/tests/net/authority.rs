//! A private certificate authority, and TLS in front of servers that have none.

use std::{net::SocketAddr, sync::Arc};

use ngb_core::tasks::Crew;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        // OpenSSL takes a certificate for self-signed whose authority has its own name.
        params.distinguished_name.push(DnType::CommonName, "Private authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// What a server named so needs.
    pub(crate) fn server(&self, name: &str) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let cert = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &self.0);
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.unwrap().der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    /// Puts TLS in front of `target`, under `name`; where.
    pub(crate) async fn front(
        &self,
        crew: &mut Crew,
        name: &str,
        target: SocketAddr,
    ) -> SocketAddr {
        let tls = self.server(name);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        crew.spawn("tls front", async move {
            let mut lines = Crew::default();
            while let Ok((line, _)) = listener.accept().await {
                let tls = tls.clone();
                lines.spawn("tls line", async move {
                    // A client that does not trust us is not to be served.
                    if let (Ok(mut near), Ok(mut far)) =
                        (tls.accept(line).await, TcpStream::connect(target).await)
                    {
                        drop(tokio::io::copy_bidirectional(&mut near, &mut far).await);
                    }
                });
            }
        });
        addr
    }
}
