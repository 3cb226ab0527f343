//! What the settings say of the agents' way out, besides their model.

use ngb_broker::{Credential, WayOut};
use ngb_core::{egress::HostRule, secret::Secret};
use reqwest::header::{HeaderName, HeaderValue};

use crate::{
    net::Net,
    settings::{self, Environment, Settings, SettingsError},
};

/// The hosts and credentials of the settings.
///
/// # Errors
///
/// When a credential is none, or its secret is not there.
pub(crate) fn make(settings: &Settings, env: &Environment, net: &Net) -> anyhow::Result<WayOut> {
    let credentials = settings.credentials.iter();
    let credentials = credentials.map(|(name, it)| credential(name, it, env));
    Ok(WayOut {
        hosts: settings.egress.hosts.clone(),
        credentials: credentials.collect::<Result<_, _>>()?,
        ..WayOut::new(|| net.builder(), &net.way())?
    })
}

fn credential(
    name: &str,
    it: &settings::Credential,
    env: &Environment,
) -> Result<Credential, SettingsError> {
    let bad = |key: &str, why: String| SettingsError::BadValue {
        from: format!("[credentials.{name}] {key}"),
        why,
    };
    if !name.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-') {
        let why =
            "a credential's name is of letters, digits and `-`: it is a part of a host's name";
        return Err(bad("", why.to_owned()));
    }
    let (host, port) = host(&it.host).map_err(|why| bad("host", why))?;
    let header = it.header.as_deref().unwrap_or("authorization");
    let header = HeaderName::try_from(header).map_err(|err| bad("header", err.to_string()))?;
    let secret = it.value.resolve(&format!("credentials.{name}.value"), env)?;
    let usual = (header == reqwest::header::AUTHORIZATION).then_some("Bearer");
    let value = match it.scheme.as_deref().or(usual).filter(|it| !it.is_empty()) {
        Some(scheme) => Secret::new(format!("{scheme} {}", secret.expose())),
        None => secret,
    };
    if HeaderValue::from_str(value.expose()).is_err() {
        return Err(bad("value", "it has characters that no header holds".to_owned()));
    }
    Ok(Credential { name: name.to_owned(), host, port, plain: it.plain, header, value })
}

fn host(text: &str) -> Result<(String, Option<u16>), String> {
    let rule: HostRule = text.parse().map_err(|err: ngb_core::egress::BadHost| err.to_string())?;
    let text = rule.to_string();
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
        _ => (text.as_str(), None),
    };
    if host.starts_with('*')
        || (port.is_none() && !host.contains(['.', ':']) && host != "localhost")
    {
        return Err(format!("`{text}` must be one host, without `*`"));
    }
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host() {
        #[rustfmt::skip]
        let table = [
            ("api.example.com",      Some(("api.example.com", None))),
            ("API.example.com:8443", Some(("api.example.com", Some(8443)))),
            ("[::1]:80",             Some(("[::1]", Some(80)))),
            ("*.example.com",        None),
            ("python",               None),
            ("https://example.com",  None),
        ];
        for (text, want) in table {
            let got = host(text).ok();
            assert_eq!(got.as_ref().map(|(host, port)| (host.as_str(), *port)), want, "{text}");
        }
    }
}
