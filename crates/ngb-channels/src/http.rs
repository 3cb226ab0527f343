//! Requests to a platform: one client an account, bounded answers, and what each failure means.
//!
//! The client has the proxy and the certificates of the settings, and sockets are opened through it as well
//! ([`crate::socket`]). No error here holds a URL, because some platforms want the token in it.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use ngb_core::{
    clock::{Clock, TimedOut},
    proxy::{ProxyFault, Way},
};
use ngb_net::{PublicOnly, Resolver};
use reqwest::{
    Client, ClientBuilder, Method, RequestBuilder, Response, Url,
    header::{HeaderMap, RETRY_AFTER},
    redirect::Policy,
};
use serde_json::Value;
use thiserror::Error;

use crate::{ChannelError, MediaStream, Retry};

/// How long an ordinary call may take in all.
pub const CALL_LIMIT: Duration = Duration::from_secs(30);

/// How long an upload may take in all: 50 MB over a slow line.
pub const UPLOAD_LIMIT: Duration = Duration::from_secs(600);

/// Longest wait that is taken from a platform.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Longest JSON answer that is read, in bytes: a page of history with long messages.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// How one account reaches its platform.
#[derive(Clone, Debug)]
pub struct Http {
    /// To the platform's own addresses, and to those that the settings name. It follows no redirect, because a token
    /// must not follow one.
    api: Client,
    /// To addresses that came in an answer: public ones only.
    handed: Client,
    way: Way,
    pub(crate) clock: Clock,
}

/// An answer that was JSON, whatever its status.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    /// Null where a good answer had none (204).
    pub body: Value,
    pub headers: HeaderMap,
    /// The header `Retry-After`, in whichever form it came.
    pub retry_after: Option<Duration>,
}

/// Why a request got no answer that can be used.
#[derive(Debug, Error)]
pub enum HttpError {
    #[error("the connection failed before the request was out")]
    NotConnected(#[source] reqwest::Error),
    #[error(transparent)]
    Proxy(#[from] ProxyFault),
    #[error("the connection broke before the answer was here")]
    Broken(#[source] reqwest::Error),
    #[error(transparent)]
    TimedOut(#[from] TimedOut),
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    #[error("the answer is not JSON")]
    NotJson(#[source] serde_json::Error),
    #[error("the server answered {status}")]
    Status { status: u16, retry_after: Option<Duration> },
    #[error("could not read the file")]
    File(#[source] std::io::Error),
    /// What was asked for can't be had, and the sentence says why.
    #[error("{0}")]
    Unfit(String),
}

impl HttpError {
    /// What next.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Status { retry_after: Some(wait), .. } => Retry::After(*wait),
            Self::Status { status: 408 | 425 | 429, .. } => Retry::Backoff,
            Self::Status { status: 400..500, .. } | Self::File(_) | Self::Unfit(_) => Retry::Never,
            _ => Retry::Backoff,
        }
    }

    /// Whether the platform may have done what was asked.
    pub fn maybe_done(&self) -> bool {
        match self {
            Self::Broken(_) | Self::TimedOut(_) | Self::TooLong(_) | Self::NotJson(_) => true,
            Self::Status { status, .. } => 500 <= *status,
            Self::NotConnected(_) | Self::Proxy(_) | Self::File(_) | Self::Unfit(_) => false,
        }
    }

    /// The same for whoever asked.
    pub fn doing(self, doing: impl Into<String>) -> ChannelError {
        ChannelError {
            doing: doing.into(),
            retry: self.retry(),
            maybe_done: self.maybe_done(),
            moved_to: None,
            source: Box::new(self),
        }
    }
}

impl Http {
    /// `builder` makes builders that have the proxies and the certificates of the settings; `way` says which proxy a
    /// request takes, and none is no proxy.
    ///
    /// # Errors
    ///
    /// When a client can't be built.
    pub fn new(
        builder: impl Fn() -> ClientBuilder,
        way: Option<Way>,
        clock: Clock,
    ) -> reqwest::Result<Self> {
        // HTTP/1.1, since a WebSocket begins in it; for the few calls of a bot it does as well as HTTP/2.
        let base = || builder().http1_only().redirect(Policy::none());
        let way = way.unwrap_or_else(Way::direct);
        let public = PublicOnly { resolver: Resolver::default(), way: way.clone() };
        Ok(Self { api: base().build()?, handed: base().dns_resolver(public).build()?, way, clock })
    }

    /// A request to the platform's own address.
    pub fn get(&self, url: impl reqwest::IntoUrl) -> RequestBuilder {
        self.api.get(url)
    }

    /// A request to the platform's own address.
    pub fn post(&self, url: impl reqwest::IntoUrl) -> RequestBuilder {
        self.api.post(url)
    }

    /// A request of another method to the platform's own address.
    pub fn request(&self, method: Method, url: impl reqwest::IntoUrl) -> RequestBuilder {
        self.api.request(method, url)
    }

    /// A POST to an address that came in an answer; as [`Http::get_handed`].
    ///
    /// # Errors
    ///
    /// [`HttpError::Unfit`] with the reason.
    pub fn post_handed(&self, url: &str, base: &str) -> Result<RequestBuilder, HttpError> {
        let url = handed(url, base)?;
        let client = if is_same_host(&url, base) { &self.api } else { &self.handed };
        Ok(client.post(url))
    }

    /// A GET of an address that came in an answer or a message. On the host of `base` (the address in the settings) it
    /// is taken as it is; elsewhere only HTTPS to a name with public addresses will do.
    ///
    /// # Errors
    ///
    /// [`HttpError::Unfit`] with the reason.
    pub fn get_handed(&self, url: &str, base: &str) -> Result<RequestBuilder, HttpError> {
        let url = handed(url, base)?;
        let client = if is_same_host(&url, base) { &self.api } else { &self.handed };
        Ok(client.get(url))
    }

    /// The answer to a call, which should be JSON.
    ///
    /// # Errors
    ///
    /// Also when the answer has a bad status and no JSON: then it is some proxy's page.
    pub async fn json(&self, request: RequestBuilder, limit: Duration) -> Result<Reply, HttpError> {
        let exchange = async {
            let response = self.send(request).await?;
            let status = response.status().as_u16();
            let headers = response.headers().clone();
            let retry_after = self.retry_after(&headers);
            let body = self.read(response, MAX_ANSWER_BYTES).await?;
            if body.is_empty() && (200..300).contains(&status) {
                return Ok(Reply { status, body: Value::Null, headers, retry_after });
            }
            match crate::json::read(&body) {
                Ok(body) => Ok(Reply { status, body, headers, retry_after }),
                Err(_) if status != 200 => Err(HttpError::Status { status, retry_after }),
                Err(err) => Err(HttpError::NotJson(err)),
            }
        };
        self.clock.timeout(limit, exchange).await?
    }

    /// Begins a download; more than `max_bytes` of it is an error. The head must be here within [`CALL_LIMIT`], the rest
    /// comes as it is read.
    ///
    /// # Errors
    ///
    /// When the file can't be had or is known to be too large.
    pub async fn download(
        &self,
        request: RequestBuilder,
        max_bytes: u64,
    ) -> Result<Response, HttpError> {
        let response = self.clock.timeout(CALL_LIMIT, self.send(request)).await??;
        let status = response.status().as_u16();
        if !response.status().is_success() {
            let retry_after = self.retry_after(response.headers());
            return Err(HttpError::Status { status, retry_after });
        }
        if response.content_length().is_some_and(|it| max_bytes < it) {
            return Err(too_large(max_bytes));
        }
        Ok(response)
    }

    /// The header `Retry-After`: seconds or a date, and never longer than a day.
    pub fn retry_after(&self, headers: &HeaderMap) -> Option<Duration> {
        let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        let wait = match text.parse::<f64>() {
            Ok(seconds) => Duration::try_from_secs_f64(seconds).ok()?,
            Err(_) => {
                let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_millisecond();
                ngb_core::clock::Timestamp(at).since(self.clock.now())
            }
        };
        Some(wait.min(LONGEST_RETRY_AFTER))
    }

    /// The body, unless it is longer than `max_bytes`.
    pub(crate) async fn read(
        &self,
        mut response: Response,
        max_bytes: usize,
    ) -> Result<Bytes, HttpError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|it| self.lost(it))? {
            if max_bytes < body.len() + chunk.len() {
                return Err(HttpError::TooLong(max_bytes));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.into())
    }

    /// The head of an answer, which is not a proxy's own.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response, HttpError> {
        let response = request.send().await.map_err(|it| self.lost(it))?;
        match self.way.blame_status(response.url().as_str(), response.status().as_u16()) {
            Some(fault) => Err(fault.into()),
            None => Ok(response),
        }
    }

    /// What a failed exchange means. Without the URL, which may hold a token.
    pub(crate) fn lost(&self, err: reqwest::Error) -> HttpError {
        if !err.is_connect() && !err.is_builder() {
            return HttpError::Broken(err.without_url());
        }
        match err.url().and_then(|url| self.way.blame(url.as_str(), &err)) {
            Some(fault) => fault.into(),
            None => HttpError::NotConnected(err.without_url()),
        }
    }
}

/// The bytes of a download as they come, up to `max_bytes`; `doing` goes into its errors.
pub fn stream(response: Response, max_bytes: u64, doing: String) -> MediaStream {
    let mut left = max_bytes;
    Box::pin(response.bytes_stream().map(move |chunk| {
        let chunk = chunk.map_err(|it| HttpError::Broken(it.without_url()).doing(doing.clone()))?;
        let size = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        left = left.checked_sub(size).ok_or_else(|| too_large(max_bytes).doing(doing.clone()))?;
        Ok(chunk)
    }))
}

fn too_large(max_bytes: u64) -> HttpError {
    HttpError::Unfit(format!("the file is larger than {} MB", max_bytes >> 20))
}

/// An address that came from outside, if it may be followed: see [`Http::get_handed`].
pub(crate) fn handed(url: &str, base: &str) -> Result<Url, HttpError> {
    let unfit = |why: &str| HttpError::Unfit(format!("an address that was handed out {why}"));
    let url = Url::parse(url).map_err(|_| unfit("is none"))?;
    if is_same_host(&url, base) {
        return Ok(url);
    }
    if !matches!(url.scheme(), "https" | "wss") {
        return Err(unfit("is not encrypted"));
    }
    let host = url.host_str().unwrap_or_default();
    let is_address = host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok();
    if is_address || !host.contains('.') {
        return Err(unfit("is no public name"));
    }
    Ok(url)
}

fn is_same_host(url: &Url, base: &str) -> bool {
    Url::parse(base).is_ok_and(|base| {
        url.host_str().is_some() && url.host() == base.host() && {
            url.port_or_known_default() == base.port_or_known_default()
        }
    })
}

#[cfg(test)]
mod tests {
    use ngb_core::clock::Timestamp;

    use super::*;

    #[test]
    fn handed_table() {
        let base = "http://127.0.0.1:8080/api";
        #[rustfmt::skip]
        let table = [
            ("https://files.example.com/a?b",  true),
            ("wss://gateway.example.com/",     true),
            ("http://127.0.0.1:8080/file",     true),
            ("ws://127.0.0.1:8080/socket",     true),
            ("http://127.0.0.1:8081/file",     false),
            ("http://files.example.com/a",     false),
            ("ws://gateway.example.com/",      false),
            ("https://127.0.0.1/a",            false),
            ("https://169.254.169.254/latest", false),
            ("https://2130706433/",            false),
            ("https://[::1]/",                 false),
            ("https://localhost/",             false),
            ("file:///etc/passwd",             false),
            ("no address",                     false),
        ];
        for (url, want) in table {
            assert_eq!(handed(url, base).is_ok(), want, "{url}");
        }
    }

    #[test]
    fn retry_after_table() {
        _ = rustls::crypto::ring::default_provider().install_default();
        let (_hand, clock) = Clock::manual(Timestamp(784_111_777_000 - 30_000));
        let http = Http::new(ClientBuilder::new, None, clock).unwrap();
        #[rustfmt::skip]
        let table = [
            ("7",                             Some(7_000)),
            (" 1.5 ",                         Some(1_500)),
            ("-1",                            None),
            ("soon",                          None),
            ("999999999",                     Some(24 * 60 * 60 * 1000)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(30_000)),
            ("Sun, 06 Nov 1994 08:40:00 GMT", Some(0)),
        ];
        for (text, want_ms) in table {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            let got = http.retry_after(&headers).map(|it| it.as_millis());
            assert_eq!(got, want_ms, "{text}");
        }
    }

    #[test]
    fn a_status_says_what_next() {
        let wait = Duration::from_secs(3);
        #[rustfmt::skip]
        let table = [
            (400, None,       Retry::Never,       false),
            (404, None,       Retry::Never,       false),
            (429, None,       Retry::Backoff,     false),
            (429, Some(wait), Retry::After(wait), false),
            (500, None,       Retry::Backoff,     true),
            (503, Some(wait), Retry::After(wait), true),
        ];
        for (status, retry_after, retry, maybe_done) in table {
            let err = HttpError::Status { status, retry_after };
            assert_eq!((err.retry(), err.maybe_done()), (retry, maybe_done), "{status}");
        }
    }
}
