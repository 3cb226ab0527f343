//! Requests in the clear to named hosts, which the broker then makes, over TLS where the address says so.

use std::{net::IpAddr, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, Response, header};
use ngb_core::public::is_public;
use reqwest::Url;
use tracing::info;

use crate::{
    Client,
    door::Asking,
    reply::{Body, Why, full, refuse},
};

/// Longest answer that is passed on, in bytes; the rest is cut off.
const MAX_BODY_BYTES: usize = 2 * 1024 * 1024;

/// How long a fetch may take in all.
const LIMIT: Duration = Duration::from_secs(30);

/// Redirects that are followed.
const MAX_REDIRECTS: usize = 5;

/// Says that the body goes on behind what was passed.
const CUT: &str = "x-ngb-cut";

/// The hosts that may be asked, and with what.
pub(crate) struct Egress {
    hosts: Vec<Pattern>,
    http: Client,
}

/// One entry of `[egress] hosts`.
struct Pattern {
    /// Without the `*.` of one that means all hosts under it.
    name: String,
    below: bool,
    /// None means 80 and 443.
    port: Option<u16>,
}

impl Pattern {
    fn parse(entry: &str) -> Self {
        let (host, port) = match entry.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                (host, port.parse().ok())
            }
            _ => (entry, None),
        };
        let (name, below) = match host.strip_prefix("*.") {
            Some(rest) => (rest, true),
            None => (host, false),
        };
        Self { name: name.trim_end_matches('.').to_ascii_lowercase(), below, port }
    }

    fn covers(&self, host: &str, port: u16) -> bool {
        let ports = match self.port {
            Some(it) => it == port,
            None => matches!(port, 80 | 443),
        };
        let rest = host.strip_suffix(self.name.as_str());
        ports
            && match rest {
                Some("") => !self.below,
                Some(rest) => self.below && rest.ends_with('.'),
                None => false,
            }
    }
}

impl Egress {
    pub(crate) fn new(hosts: Vec<String>, http: Client) -> Self {
        Self { hosts: hosts.iter().map(|it| Pattern::parse(it)).collect(), http }
    }

    /// Makes the request for `url`, following redirects within the list.
    pub(crate) async fn fetch(
        &self,
        asking: &Asking<'_>,
        method: Method,
        url: &str,
    ) -> Response<Body> {
        if !matches!(method, Method::GET | Method::HEAD) {
            let message = format!("only GET and HEAD are allowed here, not {method}");
            return refuse(Why::NotAllowed, &message);
        }
        let Ok(url) = Url::parse(url) else {
            return refuse(Why::NotAllowed, &format!("`{url}` is no address"));
        };
        let shown = url.host_str().unwrap_or_default().to_owned();
        let res = asking.clock.timeout(LIMIT, self.follow(method, url)).await;
        let res =
            res.unwrap_or_else(|late| refuse(Why::Unreachable, &format!("`{shown}` gave {late}")));
        info!(
            target: "audit", lane = %asking.lane, group = %asking.group, run = %asking.current.run,
            role = %asking.current.role, host = shown, status = res.status().as_u16(), "fetch"
        );
        res
    }

    async fn follow(&self, method: Method, mut url: Url) -> Response<Body> {
        for _ in 0..=MAX_REDIRECTS {
            if let Err(message) = self.check(&url) {
                return refuse(Why::NotAllowed, &message);
            }
            let request = self.http.http.request(method.clone(), url.clone());
            let answer = match self.http.send(request).await {
                Ok(answer) => answer,
                Err(err) => return refuse(Why::Unreachable, &err.to_string()),
            };
            let location = answer.headers().get(header::LOCATION).and_then(|it| it.to_str().ok());
            match location {
                Some(to) if answer.status().is_redirection() => match url.join(to) {
                    Ok(next) => url = next,
                    Err(err) => {
                        let message = format!("a redirect to `{to}`: {err}");
                        return refuse(Why::Unreachable, &message);
                    }
                },
                _ => return pass(answer, &url).await,
            }
        }
        refuse(Why::Unreachable, &format!("more than {MAX_REDIRECTS} redirects"))
    }

    fn check(&self, url: &Url) -> Result<(), String> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("`{}` is neither http nor https", url.scheme()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("an address must not have a user or password in it".to_owned());
        }
        let host = url.host_str().unwrap_or_default().trim_end_matches('.').to_owned();
        let port = url.port_or_known_default().unwrap_or(0);
        let Some(entry) = self.hosts.iter().find(|it| it.covers(&host, port)) else {
            return Err(format!(
                "`{host}` (port {port}) is not among the hosts that may be asked; the operator adds it in `[egress] hosts`"
            ));
        };
        // A literal address stands for itself, and only when it stands literally on the list.
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        match literal {
            Ok(address) if !is_public(address) && entry.name != host => {
                Err(format!("`{host}` is not a public address"))
            }
            _ => Ok(()),
        }
    }
}

async fn pass(mut answer: reqwest::Response, url: &Url) -> Response<Body> {
    let mut body = BytesMut::new();
    let mut cut = false;
    loop {
        match answer.chunk().await {
            Ok(Some(piece)) => {
                let room = MAX_BODY_BYTES - body.len();
                body.extend_from_slice(&piece[..piece.len().min(room)]);
                if room < piece.len() {
                    cut = true;
                    break;
                }
            }
            Ok(None) => break,
            Err(err) => {
                let host = url.host_str().unwrap_or_default();
                let message = format!("`{host}` broke off its answer: {}", err.without_url());
                return refuse(Why::Unreachable, &message);
            }
        }
    }
    let mut res = Response::new(full(Bytes::from(body)));
    *res.status_mut() = answer.status();
    let headers = res.headers_mut();
    if let Some(kind) = answer.headers().get(header::CONTENT_TYPE) {
        headers.insert(header::CONTENT_TYPE, kind.clone());
    }
    if cut {
        headers.insert(CUT, HeaderValue::from_static("true"));
    }
    res
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pattern_table() {
        #[rustfmt::skip]
        let table = [
            ("example.com",         "example.com",        443,   true),
            ("Example.COM",         "example.com",        80,    true),
            ("example.com",         "www.example.com",    443,   false),
            ("example.com",         "evil-example.com",   443,   false),
            ("example.com",         "example.com",        8080,  false),
            ("example.com:8080",    "example.com",        8080,  true),
            ("example.com:8080",    "example.com",        443,   false),
            ("*.example.com",       "a.b.example.com",    443,   true),
            ("*.example.com",       "example.com",        443,   false),
            ("*.example.com",       "evilexample.com",    443,   false),
            ("127.0.0.1:9",         "127.0.0.1",          9,     true),
            ("[::1]:9",             "[::1]",              9,     true),
        ];
        for (entry, host, port, want) in table {
            assert_eq!(Pattern::parse(entry).covers(host, port), want, "{entry} {host}:{port}");
        }
    }
}
