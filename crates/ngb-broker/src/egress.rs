//! Requests in the clear, which the broker then makes, over TLS where the address says so.

use std::{sync::atomic::Ordering, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, header, request::Parts};
use ngb_core::{
    egress::{Allowed, HostRule, Manner},
    proxy::Way,
    public::is_public,
    secret::{Redactor, Secret},
};
use reqwest::Url;
use tracing::info;

use crate::{
    Broker, Client,
    credential::{self, Credential},
    door::Asking,
    reply::{Body, Why, full, refuse},
};

/// Longest answer that is passed on, in bytes; the rest is cut off.
const MAX_BODY_BYTES: usize = 2 * 1024 * 1024;

/// How long a fetch may take in all.
const LIMIT: Duration = Duration::from_secs(30);

/// Redirects that are followed.
const MAX_REDIRECTS: usize = 5;

/// Pages that one run may read from hosts that are on no list.
const MAX_READS: u32 = 200;

/// Says that the body goes on behind what was passed.
const CUT: &str = "x-ngb-cut";

/// Headers that are between the agent's program and the broker, or that the broker makes itself.
const NOT_PASSED: &[&str] = &[
    "accept-encoding",
    "connection",
    "content-length",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// Headers of an answer that a program inside may need.
const TO_INSIDE: [HeaderName; 8] = [
    header::CONTENT_TYPE,
    header::ETAG,
    header::LAST_MODIFIED,
    header::LINK,
    header::LOCATION,
    // A server of the Model Context Protocol names its session by it.
    HeaderName::from_static("mcp-session-id"),
    header::RETRY_AFTER,
    header::WWW_AUTHENTICATE,
];

/// What agents may reach besides their model, and with what.
pub struct WayOut {
    /// `[egress] hosts`: those of all groups.
    pub hosts: Vec<HostRule>,
    pub credentials: Vec<Credential>,
    /// Made by [`Client::of_hosts`].
    pub http: Client,
    /// Made by [`Client::of_model`]: for the hosts of credentials, which may be in one's own network.
    pub near: Client,
}

/// A request as it goes out, but for what its hop adds.
struct Wish {
    method: Method,
    headers: HeaderMap,
    body: Bytes,
}

impl WayOut {
    /// One without hosts and credentials.
    ///
    /// # Errors
    ///
    /// When a client can't be built.
    pub fn new(builder: impl Fn() -> reqwest::ClientBuilder, way: &Way) -> reqwest::Result<Self> {
        Ok(Self {
            hosts: Vec::new(),
            credentials: Vec::new(),
            http: Client::of_hosts(builder(), way.clone())?,
            near: Client::of_model(builder(), way.clone())?,
        })
    }

    pub(crate) fn secrets(&self) -> Vec<Secret> {
        self.credentials.iter().map(|it| it.value.clone()).collect()
    }

    /// Makes the request, following redirects within the rules.
    pub(crate) async fn fetch(
        &self,
        asking: &Asking<'_>,
        head: &Parts,
        body: Bytes,
    ) -> Response<Body> {
        let url = match Url::parse(&head.uri.to_string()) {
            Ok(url) => url,
            Err(err) => {
                return refuse(Why::NotAllowed, &format!("`{}` is no address: {err}", head.uri));
            }
        };
        let url = match credential::resolve(&self.credentials, url) {
            Ok(url) => url,
            Err(message) => return refuse(Why::NotAllowed, &message),
        };
        let shown = url.host_str().unwrap_or_default().to_owned();
        let bytes_out = body.len();
        let headers = headers_from_inside(&head.headers);
        let wish = Wish { method: head.method.clone(), headers, body };
        let res = asking.clock.timeout(LIMIT, self.follow(asking, wish, url)).await;
        let (res, bytes_in) = res.unwrap_or_else(|late| {
            (refuse(Why::Unreachable, &format!("`{shown}` gave {late}")), 0)
        });
        info!(
            target: "audit", lane = %asking.lane, group = %asking.group, run = %asking.current.run,
            role = %asking.current.role, host = shown, method = %head.method,
            status = res.status().as_u16(), bytes_out, bytes_in, "fetch"
        );
        res
    }

    /// The answer, and how many bytes it has.
    async fn follow(
        &self,
        asking: &Asking<'_>,
        mut wish: Wish,
        mut url: Url,
    ) -> (Response<Body>, usize) {
        for _ in 0..=MAX_REDIRECTS {
            if let Err(message) = self.check(asking, &wish.method, &url) {
                return (refuse(Why::NotAllowed, &message), 0);
            }
            let credential = self.credentials.iter().find(|it| it.is_for(&url));
            let mut headers = wish.headers.clone();
            if let Some(it) = credential {
                it.add(&mut headers);
            }
            let client = if credential.is_some() { &self.near } else { &self.http };
            let request = client.http.request(wish.method.clone(), url.clone());
            let request = request.headers(headers).body(wish.body.clone());
            let answer = match client.send(request).await {
                Ok(answer) => answer,
                Err(err) => return (refuse(Why::Unreachable, &err.to_string()), 0),
            };
            let is_read = matches!(wish.method, Method::GET | Method::HEAD);
            let location = answer.headers().get(header::LOCATION).and_then(|it| it.to_str().ok());
            match location.filter(|_| is_read && answer.status().is_redirection()) {
                Some(to) => match url.join(to) {
                    Ok(next) => {
                        if next.origin() != url.origin() {
                            wish.headers.remove(header::AUTHORIZATION);
                        }
                        url = next;
                    }
                    Err(err) => {
                        let message = format!("a redirect to `{to}`: {err}");
                        return (refuse(Why::Unreachable, &message), 0);
                    }
                },
                None => return pass(answer, &url, credential.map(|_| asking.redactor)).await,
            }
        }
        (refuse(Why::Unreachable, &format!("more than {MAX_REDIRECTS} redirects")), 0)
    }

    fn check(&self, asking: &Asking<'_>, method: &Method, url: &Url) -> Result<(), String> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("`{}` is neither http nor https", url.scheme()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("an address must not have a user or password in it".to_owned());
        }
        let rules = &asking.current.rules;
        let host = url.host_str().unwrap_or_default().trim_end_matches('.').to_owned();
        let port = url.port_or_known_default().unwrap_or(0);
        let manner = match *method {
            Method::GET | Method::HEAD => {
                let is_same = |it: &String| Url::parse(it).is_ok_and(|it| it == *url);
                Manner::Read { is_link: rules.links.iter().any(is_same) }
            }
            _ => Manner::Write,
        };
        match rules.judge(&self.hosts, &host, port, manner).map_err(|it| it.to_string())? {
            Allowed::Listed(_) => Ok(()),
            Allowed::Link | Allowed::Web => {
                let before = asking.reads.fetch_add(1, Ordering::Relaxed);
                if before < MAX_READS {
                    return Ok(());
                }
                Err(format!("this run has read {MAX_READS} pages of hosts that are on no list"))
            }
        }
    }
}

/// A request of something that is no agent, and its answer.
pub type Ask = http::Request<Bytes>;
pub type Answered = http::Response<Bytes>;

impl Broker {
    /// Asks a public host for `who`, whose right to it was looked at. No redirect is followed, since it may lead elsewhere.
    ///
    /// # Errors
    ///
    /// With what went wrong, in words; also when the answer has more than `max_bytes`.
    pub async fn ask(&self, who: &str, ask: Ask, max_bytes: usize) -> Result<Answered, String> {
        let (head, body) = ask.into_parts();
        let url = Url::parse(&head.uri.to_string()).map_err(|err| err.to_string())?;
        let host = url.host_str().unwrap_or_default().to_owned();
        // The resolver sees to names; an address goes by no resolver.
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse();
        if literal.is_ok_and(|it| !is_public(it)) {
            return Err(format!("`{host}` is not a public address"));
        }
        let bytes_out = body.len();
        let way_out = self.shared.way_out();
        let request = way_out.http.http.request(head.method.clone(), url);
        let request = request.headers(headers_from_inside(&head.headers)).body(body);
        let asked = async {
            let answer = way_out.http.send(request).await.map_err(|err| err.to_string())?;
            whole(answer, max_bytes).await
        };
        let asked = self.shared.clock.timeout(LIMIT, asked).await;
        let answered = asked.unwrap_or_else(|late| Err(format!("`{host}` gave {late}")));
        let (status, bytes_in) =
            answered.as_ref().map_or((0, 0), |it| (it.status().as_u16(), it.body().len()));
        info!(
            target: "audit", who, host, method = %head.method, status, bytes_out, bytes_in, "fetch"
        );
        answered
    }
}

async fn whole(mut answer: reqwest::Response, max_bytes: usize) -> Result<Answered, String> {
    let mut body = BytesMut::new();
    while let Some(piece) = answer.chunk().await.map_err(|err| err.without_url().to_string())? {
        if max_bytes < body.len() + piece.len() {
            return Err(format!("the answer has more than {max_bytes} bytes"));
        }
        body.extend_from_slice(&piece);
    }
    let mut res = Answered::new(body.freeze());
    *res.status_mut() = answer.status();
    *res.headers_mut() = std::mem::take(answer.headers_mut());
    Ok(res)
}

fn headers_from_inside(inside: &HeaderMap) -> HeaderMap {
    let is_passed = |name: &HeaderName| {
        let name = name.as_str();
        !NOT_PASSED.contains(&name)
            && !name.starts_with("proxy-")
            && !name.starts_with("x-forwarded-")
    };
    let passed = inside.iter().filter(|(name, _)| is_passed(name));
    passed.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The answer of `url`; with a redactor, nothing that it hides is in it.
async fn pass(
    mut answer: reqwest::Response,
    url: &Url,
    redactor: Option<&Redactor>,
) -> (Response<Body>, usize) {
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
                return (refuse(Why::Unreachable, &message), body.len());
            }
        }
    }
    let bytes = body.len();
    let body = match redactor {
        // A host may well repeat what it was sent.
        Some(redactor) => {
            let text = String::from_utf8_lossy(&body);
            match redactor.redact(&text) {
                changed if *changed != *text => Bytes::from(changed.into_owned()),
                _ => body.freeze(),
            }
        }
        None => body.freeze(),
    };
    let mut res = Response::new(full(body));
    *res.status_mut() = answer.status();
    let headers = res.headers_mut();
    for name in TO_INSIDE {
        if let Some(value) = answer.headers().get(&name) {
            headers.insert(name, value.clone());
        }
    }
    if cut {
        headers.insert(CUT, HeaderValue::from_static("true"));
    }
    (res, bytes)
}
