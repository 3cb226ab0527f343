//! Why nobody answered, told apart.

use std::{error::Error, io};

use ngb_core::proxy::ProxyFault;
use reqwest::{RequestBuilder, Response};
use thiserror::Error;

use crate::Client;

/// No answer came from a host; a sentence for people, without addresses that may hold a password.
#[derive(Debug, Error)]
pub enum Unreached {
    #[error(transparent)]
    Proxy(#[from] ProxyFault),
    /// The host's certificate is not trusted, or it speaks no TLS.
    #[error("no encrypted connection to `{host}`: {why}")]
    Tls { host: String, why: String },
    #[error("nobody knows the name `{host}`: {why}")]
    NoName { host: String, why: String },
    #[error("no connection to `{host}`: {why}")]
    NoRoute { host: String, why: String },
    #[error("the connection to `{host}` broke: {why}")]
    Broken { host: String, why: String },
}

impl Unreached {
    fn of(err: &reqwest::Error) -> Self {
        let host = err.url().and_then(|it| it.host_str()).unwrap_or("its address").to_owned();
        let causes =
            || std::iter::successors(Some(err as &(dyn Error + 'static)), |it| (**it).source());
        let why = causes().last().map_or_else(String::new, ToString::to_string);
        let says = |word: &str| causes().any(|it| it.to_string().contains(word));
        if !err.is_connect() {
            return Self::Broken { host, why };
        }
        if causes().any(is_tls) {
            Self::Tls { host, why }
        } else if says("dns error") || says("no public address") {
            Self::NoName { host, why }
        } else {
            Self::NoRoute { host, why }
        }
    }
}

/// Whether it is what rustls says; hyper-rustls wraps that in an `io::Error`, or in two.
fn is_tls(err: &(dyn Error + 'static)) -> bool {
    let inner = || err.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    err.is::<rustls::Error>() || inner().is_some_and(|it| is_tls(it))
}

impl Client {
    /// The head of an answer that is the host's own.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response, Unreached> {
        match request.send().await {
            Ok(it) => match self.way.blame_status(it.url().as_str(), it.status().as_u16()) {
                Some(fault) => Err(fault.into()),
                None => Ok(it),
            },
            Err(err) => {
                let url = err.url().filter(|_| err.is_connect());
                let fault = url.and_then(|url| self.way.blame(url.as_str(), &err));
                Err(fault.map_or_else(|| Unreached::of(&err), Into::into))
            }
        }
    }
}
