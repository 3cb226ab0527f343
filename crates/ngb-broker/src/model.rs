//! Requests to a model: checked before, counted after.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};
use http::{HeaderMap, HeaderValue, Response, header};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use ngb_core::{frame::ProviderKind, price::TokenCounts};
use serde::Deserialize;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tracing::{info, warn};

use crate::{
    Auth, Provider,
    count::{Counter, estimate},
    door::{Allowed, Asking},
    purse::{Amount, Reserved},
    reply::{Body, Why, full, refuse},
};

/// Longest error of a provider that is passed on, in bytes.
const MAX_ERROR_BYTES: usize = 16 * 1024;

/// Longest answer of a model in one piece, in bytes.
const MAX_WHOLE_BYTES: usize = 8 * 1024 * 1024;

/// Longest streamed answer of a model, in bytes.
const MAX_STREAM_BYTES: usize = 64 * 1024 * 1024;

/// Pieces of a streamed answer that are here already go on together up to about so many bytes: each one that goes by
/// itself wakes the agent.
const JOINED_BYTES: usize = 16 * 1024;

/// What an agent may set by itself; all else is the broker's. Which of Anthropic's trials a request takes part in is the
/// agent's to say, since its body has their fields.
const FROM_INSIDE: &[&str] = &["content-type", "accept", "anthropic-version", "anthropic-beta"];

/// What of an answer's head is passed on.
const FROM_OUTSIDE: &[&str] = &["content-type", "retry-after", "request-id", "x-request-id"];

/// The one path of each kind that is forwarded.
fn path_of(kind: ProviderKind) -> &'static str {
    match kind {
        ProviderKind::Anthropic => "v1/messages",
        ProviderKind::OpenAi => "chat/completions",
        ProviderKind::Ollama => "api/chat",
    }
}

/// What an answer may cost at most where the request doesn't say, in tokens: what most models write at most, unless told.
const MAX_OUTPUT_TOKENS: u64 = 8_192;

/// What the broker reads of a request.
#[derive(Deserialize)]
struct Request {
    model: String,
    /// Longest answer, in tokens, as each of the APIs says it.
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    #[serde(default)]
    options: Options,
}

/// Ollama's.
#[derive(Default, Deserialize)]
struct Options {
    /// Below zero is without end.
    num_predict: Option<i64>,
}

impl Request {
    fn max_output(&self) -> u64 {
        let predicted = self.options.num_predict.and_then(|it| u64::try_from(it).ok());
        self.max_completion_tokens.or(self.max_tokens).or(predicted).unwrap_or(MAX_OUTPUT_TOKENS)
    }
}

/// What `tokens` of a model take out of the purse.
fn cost(bought: &Allowed, tokens: TokenCounts) -> Amount {
    let micros = bought.price.map_or(0, |it| it.cost_micros(tokens));
    Amount { tokens: tokens.sum(), micros }
}

/// What one call costs, taken out of the purse as it becomes known.
struct Bill {
    bought: Allowed,
    reserved: Reserved,
}

impl Bill {
    fn set(&mut self, used: TokenCounts) {
        self.reserved.set(cost(&self.bought, used));
    }
}

/// Forwards a request to `path`, which is what stood after `/model/`.
pub(crate) async fn forward(
    asking: &Asking<'_>,
    providers: &[Provider],
    path: &str,
    inside: &HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let (name, rest) = path.split_once('/').unwrap_or((path, ""));
    let Some(provider) = providers.iter().find(|it| it.name == name) else {
        return refuse(Why::NotOffered, &format!("there is no provider `{name}`"));
    };
    if rest != path_of(provider.kind) {
        let message = format!("`{rest}` is not a path that is allowed of `{name}`");
        return refuse(Why::NotOffered, &message);
    }
    let Ok(request) = serde_json::from_slice::<Request>(&body) else {
        return refuse(Why::NotOffered, "the request is not JSON with a `model`");
    };
    // A run has one model: a dearer one, or one of another provider, is not the agent's to choose.
    let bought = match &asking.current.model {
        Some(it) if it.provider == name && it.model == request.model => it,
        Some(it) => {
            let message = format!(
                "this run's model is `{}/{}`, not `{name}/{}`",
                it.provider, it.model, request.model
            );
            return refuse(Why::NotOffered, &message);
        }
        None => return refuse(Why::NotOffered, "this run has no model"),
    };
    let purse = &asking.current.purse;
    if purse.counts_money() && bought.price.is_none() {
        let message =
            format!("`{name}/{}` has no price, and this group's money is capped", request.model);
        return refuse(Why::OverBudget, &message);
    }
    let request_bytes = body.len();
    let asked = TokenCounts { input: estimate(request_bytes), ..TokenCounts::default() };
    let answered = TokenCounts { output: request.max_output(), ..asked };
    let Ok(reserved) = purse.reserve(cost(bought, asked), cost(bought, answered)).await else {
        let message = "the budget of this group for today is used up";
        return refuse(Why::OverBudget, message);
    };
    let answer = match provider.http.send(build(provider, inside).body(body)).await {
        Ok(answer) => answer,
        Err(err) => {
            let message = format!("the provider `{name}` doesn't answer: {err}");
            warn!(provider = name, "{message}");
            return refuse(Why::Unreachable, &message);
        }
    };
    let status = answer.status();
    info!(
        target: "audit", lane = %asking.lane, group = %asking.group, run = %asking.current.run,
        role = %asking.current.role, provider = name, model = request.model, status = status.as_u16(),
        "model request"
    );
    let mut head = Response::new(());
    *head.status_mut() = status;
    for key in FROM_OUTSIDE {
        if let Some(value) = answer.headers().get(*key) {
            head.headers_mut().insert(*key, value.clone());
        }
    }
    if !status.is_success() {
        let text = collect(answer, MAX_ERROR_BYTES).await;
        let text = String::from_utf8_lossy(&text).into_owned();
        let text = asking.redactor.redact(&text).into_owned();
        return head.map(|()| full(text));
    }
    let entry = asking.ledger.begin(asking.current.run, name, &request.model);
    let mut bill = Bill { bought: bought.clone(), reserved };
    bill.set(asked);
    let mut counter = Counter::new(provider.kind, request_bytes, entry);
    let kind = head.headers().get(header::CONTENT_TYPE);
    let whole = kind.is_some_and(|it| it.as_bytes().starts_with(b"application/json"));
    if whole {
        let body = collect(answer, MAX_WHOLE_BYTES).await;
        bill.set(counter.take_whole(&body));
        return head.map(|()| full(body));
    }
    let stream = answer.bytes_stream().fuse();
    let over = Box::pin(asking.over.clone().cancelled_owned());
    let mut counted = Counted {
        stream,
        counter,
        bill,
        over,
        passed: 0,
        held: BytesMut::new(),
        broken: None,
        paused: false,
    };
    // The head goes with the first of the body, so that both wake the agent once.
    let first = match counted.next().await {
        Some(Err(err)) => {
            // Nothing came but the head, which is told all the same.
            (counted.broken, counted.paused) = (Some(err), false);
            None
        }
        other => other,
    };
    let body = futures_util::stream::iter(first).chain(counted);
    head.map(|()| StreamBody::new(body).boxed_unsync())
}

pub(crate) fn build(provider: &Provider, inside: &HeaderMap) -> reqwest::RequestBuilder {
    let base = provider.base_url.trim_end_matches('/');
    let path = path_of(provider.kind);
    // Both `https://host` and `https://host/v1` are written for the same API.
    let base =
        if path.starts_with("v1/") { base.strip_suffix("/v1").unwrap_or(base) } else { base };
    let mut headers = HeaderMap::new();
    for name in FROM_INSIDE {
        if let Some(value) = inside.get(*name) {
            headers.insert(*name, value.clone());
        }
    }
    for (name, value) in &provider.headers {
        headers.insert(name.clone(), value.clone());
    }
    if let Some(key) = &provider.api_key {
        let (name, text) = match provider.auth {
            Auth::XApiKey => ("x-api-key", key.expose().to_owned()),
            Auth::Bearer => ("authorization", format!("Bearer {}", key.expose())),
            Auth::ApiKey => ("api-key", key.expose().to_owned()),
        };
        match HeaderValue::from_str(&text) {
            Ok(mut value) => {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
            Err(_) => {
                warn!(provider = provider.name, "the key has characters that no header holds")
            }
        }
    }
    provider.http.http.post(format!("{base}/{path}")).headers(headers)
}

/// A body as far as it comes, at most `max` bytes.
pub(crate) async fn collect(mut answer: reqwest::Response, max: usize) -> Bytes {
    let mut body = BytesMut::new();
    while body.len() < max {
        let Ok(Some(piece)) = answer.chunk().await else { break };
        body.extend_from_slice(&piece[..piece.len().min(max - body.len())]);
    }
    body.freeze()
}

/// A streamed answer that is counted before it is passed on, so that whoever saw its end finds it counted.
struct Counted<S> {
    stream: S,
    counter: Counter,
    bill: Bill,
    /// Comes when the run may use the door no longer.
    over: Pin<Box<WaitForCancellationFutureOwned>>,
    passed: usize,
    /// What came and was counted: goes on together with what comes within the same moment.
    held: BytesMut,
    /// How the stream broke; told once what came before it has left.
    broken: Option<io::Error>,
    paused: bool,
}

impl<S> Counted<S> {
    /// What is held; `None` when that is nothing.
    fn pass_on(&mut self) -> Option<io::Result<Frame<Bytes>>> {
        let held = self.held.split().freeze();
        (!held.is_empty()).then(|| Ok(Frame::data(held)))
    }

    /// Breaks off: first what is held goes on, then comes a pause in which the server writes it out, then the error.
    fn break_off(
        &mut self,
        cx: &Context<'_>,
        why: io::Error,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.broken = Some(why);
        self.end_broken(cx)
    }

    fn end_broken(&mut self, cx: &Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if !self.held.is_empty() {
            return Poll::Ready(self.pass_on());
        }
        if !std::mem::replace(&mut self.paused, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.broken.take().map(Err))
    }
}

impl<S> Stream for Counted<S>
where
    S: Stream<Item = reqwest::Result<Bytes>> + Unpin,
{
    type Item = io::Result<Frame<Bytes>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.broken.is_some() {
            return this.end_broken(cx);
        }
        if this.over.as_mut().poll(cx).is_ready() {
            return this.break_off(cx, io::Error::other("the run that asked is over"));
        }
        let piece = match this.stream.poll_next_unpin(cx) {
            Poll::Pending if this.held.is_empty() => return Poll::Pending,
            // Nothing more is here, or nothing more comes; the next poll finds that again.
            Poll::Pending | Poll::Ready(None) => return Poll::Ready(this.pass_on()),
            Poll::Ready(Some(Ok(piece))) => piece,
            Poll::Ready(Some(Err(err))) => {
                return this.break_off(cx, io::Error::other(err.without_url()));
            }
        };
        this.passed += piece.len();
        let used = this.counter.take(&piece);
        this.bill.set(used);
        if MAX_STREAM_BYTES < this.passed {
            return this.break_off(cx, io::Error::other("the answer is too long"));
        }
        this.held.extend_from_slice(&piece);
        if JOINED_BYTES <= this.held.len() {
            return Poll::Ready(this.pass_on());
        }
        // The connection hands over one piece at a time, and has its turn before we have ours again.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
