//! Named credentials: what the broker adds to requests for the host of each.

use http::{HeaderMap, HeaderName, HeaderValue};
use ngb_core::secret::Secret;
use reqwest::Url;
use tracing::warn;

/// The end of the names under which programs ask for a credential's host: `http://<name>.broker/`.
const SUFFIX: &str = ".broker";

/// One `[credentials.<name>]`.
pub struct Credential {
    pub name: String,
    /// Lower case; no wildcard, since whoever runs a name under it would be given the secret.
    pub host: String,
    /// None is the usual port of its scheme.
    pub port: Option<u16>,
    /// Whether the host is asked without encryption, which is for hosts of one's own network.
    pub plain: bool,
    pub header: HeaderName,
    /// The header's whole value.
    pub value: Secret,
}

impl Credential {
    fn scheme(&self) -> &'static str {
        if self.plain { "http" } else { "https" }
    }

    fn port(&self) -> u16 {
        self.port.unwrap_or(if self.plain { 80 } else { 443 })
    }

    /// Whether a request for `url` gets it.
    pub(crate) fn is_for(&self, url: &Url) -> bool {
        url.scheme() == self.scheme()
            && url.host_str() == Some(&self.host)
            && url.port_or_known_default() == Some(self.port())
    }

    pub(crate) fn add(&self, headers: &mut HeaderMap) {
        match HeaderValue::from_str(self.value.expose()) {
            Ok(mut value) => {
                value.set_sensitive(true);
                headers.insert(self.header.clone(), value);
            }
            Err(_) => {
                warn!(credential = self.name, "its value has characters that no header holds");
            }
        }
    }
}

/// `url`, or where it leads when it is `http://<name>.broker/..`.
///
/// # Errors
///
/// A sentence, when there is no such credential.
pub(crate) fn resolve(all: &[Credential], mut url: Url) -> Result<Url, String> {
    let Some(name) = url.host_str().and_then(|it| it.strip_suffix(SUFFIX)) else { return Ok(url) };
    let Some(found) = all.iter().find(|it| it.name.eq_ignore_ascii_case(name)) else {
        return Err(format!("there is no `[credentials.{name}]`"));
    };
    let whole = format!("{}://{}:{}", found.scheme(), found.host, found.port());
    let Ok(mut target) = Url::parse(&whole) else {
        return Err(format!("`{whole}` of `[credentials.{name}]` is no address"));
    };
    target.set_path(url.path());
    target.set_query(url.query());
    url = target;
    Ok(url)
}
