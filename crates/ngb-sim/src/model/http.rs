//! The server's routes: checks as the real ones check, then an answer, whole or piece by piece.

use std::{collections::BTreeMap, io, time::Duration};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, State as Extract},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use futures_util::stream;
use serde_json::{Value, json};

use super::{
    Answer, Asked, Behaviour, Cost, Fault, Piece, Recorded, Shared, State, Totals, anthropic,
    ollama, openai, script, tokens,
};

/// Longest request, in bytes.
const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Anthropic,
    OpenAi,
    Ollama,
}

pub(super) fn router(shared: Shared) -> Router {
    let ask = |shape: Shape, path: &'static str| {
        post(move |Extract(shared): Extract<Shared>, headers: HeaderMap, body: Bytes| async move {
            answer(&shared, shape, path, &headers, &body).await
        })
    };
    Router::new()
        .route("/v1/messages", ask(Shape::Anthropic, "/v1/messages"))
        .route("/v1/chat/completions", ask(Shape::OpenAi, "/v1/chat/completions"))
        .route("/api/chat", ask(Shape::Ollama, "/api/chat"))
        .route("/v1/models", get(models))
        .route("/api/tags", get(tags))
        .route("/sim/requests", get(requests))
        .route("/sim/totals", get(totals))
        .route("/sim/behaviour", post(behave))
        .route("/sim/faults", post(fail))
        .route("/sim/reset", post(reset))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(shared)
}

/// The names of what it has; where any model is had, one.
fn names(shared: &Shared) -> Vec<String> {
    shared.state().behaviour.models.clone().unwrap_or_else(|| vec!["sim-1".to_owned()])
}

/// <https://platform.openai.com/docs/api-reference/models/list>
async fn models(Extract(shared): Extract<Shared>) -> Json<Value> {
    let model =
        |it: String| json!({ "id": it, "object": "model", "created": 0, "owned_by": "sim" });
    let all: Vec<Value> = names(&shared).into_iter().map(model).collect();
    Json(json!({ "object": "list", "data": all }))
}

/// <https://docs.ollama.com/api/tags>
async fn tags(Extract(shared): Extract<Shared>) -> Json<Value> {
    let model = |it: String| json!({ "name": it, "model": it, "size": 1 });
    let all: Vec<Value> = names(&shared).into_iter().map(model).collect();
    Json(json!({ "models": all }))
}

async fn requests(Extract(shared): Extract<Shared>) -> Json<Vec<Recorded>> {
    Json(shared.state().requests.iter().cloned().collect())
}

async fn totals(Extract(shared): Extract<Shared>) -> Json<BTreeMap<String, Totals>> {
    Json(shared.state().totals.clone())
}

async fn behave(Extract(shared): Extract<Shared>, Json(it): Json<Behaviour>) {
    shared.state().behaviour = it;
}

async fn fail(Extract(shared): Extract<Shared>, Json(it): Json<Vec<Fault>>) {
    shared.state().faults.extend(it);
}

async fn reset(Extract(shared): Extract<Shared>) {
    *shared.state() = State::default();
}

/// Why a request is refused: a status, what is wrong, and when to come again.
struct Refusal {
    status: u16,
    message: String,
    retry_after: Option<u64>,
}

impl Refusal {
    fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), retry_after: None }
    }
}

async fn answer(
    shared: &Shared,
    shape: Shape,
    path: &str,
    headers: &HeaderMap,
    raw: &[u8],
) -> Response {
    let body: Value = serde_json::from_slice(raw).unwrap_or(Value::Null);
    let asked = match shape {
        Shape::Anthropic => anthropic::parse(&body),
        Shape::OpenAi => openai::parse(&body),
        Shape::Ollama => ollama::parse(&body),
    };
    let (res, behaviour, fault) = {
        let mut state = shared.state();
        let fault = state.next_fault();
        let res = check(&state.behaviour, shape, headers, &asked, raw, fault.as_ref());
        let status = res.as_ref().map_or_else(|it| it.status, |()| 200);
        if state.behaviour.record {
            let text = |it: &[u8]| String::from_utf8_lossy(it).into_owned();
            let headers = headers.iter().map(|(name, it)| (name.to_string(), text(it.as_bytes())));
            let (path, headers) = (path.to_owned(), headers.collect());
            state.record(Recorded { path, headers, body: body.clone(), status });
        }
        (res, state.behaviour.clone(), fault)
    };
    let clock = shared.clock.clone();
    // Even a sleep of nothing takes a millisecond, the timer's grain.
    if 0 < behaviour.first_token_ms {
        clock.sleep(Duration::from_millis(behaviour.first_token_ms)).await;
    }
    if let Err(refusal) = res {
        return refuse(shape, &refusal);
    }
    let said = script::answer(&asked);
    let cost = cost(shared, &asked, &said, raw.len());
    if !asked.stream {
        shared.count(&asked.model, |it| it.output_tokens += cost.output);
        return Json(match shape {
            Shape::Anthropic => anthropic::whole(&asked, &said, cost),
            Shape::OpenAi => openai::whole(&asked, &said, cost),
            Shape::Ollama => ollama::whole(&asked, &said, cost),
        })
        .into_response();
    }
    let size = behaviour.piece_chars;
    let mut pieces = match shape {
        Shape::Anthropic => anthropic::stream(&asked, &said, cost, size),
        Shape::OpenAi => {
            let with_usage = body["stream_options"]["include_usage"] == true;
            openai::stream(&asked, &said, cost, size, with_usage)
        }
        Shape::Ollama => ollama::stream(&asked, &said, cost, size),
    };
    let cut = spoil(&mut pieces, fault.as_ref(), shape);
    let kind = if shape == Shape::Ollama { "application/x-ndjson" } else { "text/event-stream" };
    let sending = Sending {
        shared: shared.clone(),
        model: asked.model,
        pieces: pieces.into(),
        bytes: 0,
        counted: 0,
        cut,
        wait: Duration::from_millis(behaviour.piece_ms),
    };
    let body = Body::from_stream(stream::unfold(sending, Sending::next));
    ([(header::CONTENT_TYPE, kind)], body).into_response()
}

fn check(
    behaviour: &Behaviour,
    shape: Shape,
    headers: &HeaderMap,
    asked: &Asked,
    raw: &[u8],
    fault: Option<&Fault>,
) -> Result<(), Refusal> {
    let header = |name: &str| headers.get(name).and_then(|it| it.to_str().ok());
    if let Some(Fault::Status { status, retry_after }) = fault {
        let message = format!("the simulator was told to answer {status}");
        return Err(Refusal { status: *status, message, retry_after: *retry_after });
    }
    if let Some(key) = &behaviour.key {
        let bearer = header("authorization").and_then(|it| it.strip_prefix("Bearer "));
        let given = header("x-api-key").or(header("api-key")).or(bearer);
        if given != Some(key.as_str()) {
            return Err(Refusal::new(401, "invalid x-api-key"));
        }
    }
    if shape == Shape::Anthropic && header("anthropic-version").is_none() {
        return Err(Refusal::new(400, "anthropic-version: header is required"));
    }
    if let Some(models) = &behaviour.models
        && !models.contains(&asked.model)
    {
        return Err(Refusal::new(404, format!("model: {}", asked.model)));
    }
    if shape == Shape::Ollama && asked.has_tools && !behaviour.tools {
        return Err(Refusal::new(400, format!("{} does not support tools", asked.model)));
    }
    if fault == Some(&Fault::Malformed) {
        return Err(Refusal::new(400, "messages.1: unexpected `tool_use_id` found"));
    }
    asked.check_calls().map_err(|message| Refusal::new(400, message))?;
    if let Some(window) = behaviour.window_tokens
        && window < tokens(raw.len())
    {
        let message =
            format!("prompt is too long: {} tokens > {window} maximum", tokens(raw.len()));
        return Err(Refusal::new(400, message));
    }
    Ok(())
}

fn refuse(shape: Shape, refusal: &Refusal) -> Response {
    let body = match shape {
        Shape::Anthropic => anthropic::error(refusal.status, &refusal.message),
        Shape::OpenAi => openai::error(refusal.status, &refusal.message),
        Shape::Ollama => ollama::error(&refusal.message),
    };
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut res = (status, Json(body)).into_response();
    if let Some(wait) = refusal.retry_after {
        res.headers_mut().insert(header::RETRY_AFTER, wait.into());
    }
    res
}

/// What the answer costs; what is known before it leaves is counted here.
fn cost(shared: &Shared, asked: &Asked, said: &Answer, request_bytes: usize) -> Cost {
    let all = tokens(request_bytes);
    let mut cost = Cost { input: all, output: tokens(said.bytes()).max(1), ..Cost::default() };
    if let Some(prefix) = &asked.cacheable {
        let cached = tokens(prefix.len()).min(all);
        cost.input = all - cached;
        if shared.state().cached.insert(prefix.clone()) {
            cost.cache_write = cached;
        } else {
            cost.cache_read = cached;
        }
    }
    shared.count(&asked.model, |it| {
        it.requests += 1;
        it.input_tokens += cost.input;
        it.cache_read_tokens += cost.cache_read;
        it.cache_write_tokens += cost.cache_write;
    });
    cost
}

impl Shared {
    fn count(&self, model: &str, change: impl FnOnce(&mut Totals)) {
        change(self.state().totals.entry(model.to_owned()).or_default());
    }
}

/// Shortens or garbles the stream as the fault says; returns whether the connection is then cut.
fn spoil(pieces: &mut Vec<Piece>, fault: Option<&Fault>, shape: Shape) -> bool {
    match fault {
        Some(Fault::CutStream { after_pieces }) => {
            pieces.truncate(*after_pieces);
            true
        }
        Some(Fault::HalfBody) => {
            pieces.truncate(pieces.len() / 2 + 1);
            if let Some(last) = pieces.last_mut() {
                let half = last.wire.char_indices().nth(last.wire.chars().count() / 2);
                last.wire.truncate(half.map_or(0, |(at, _)| at));
                last.bytes = 0;
            }
            true
        }
        Some(Fault::ErrorEvent) => {
            pieces.truncate(pieces.len() / 2);
            let error = anthropic::error(529, "Overloaded");
            pieces.push(Piece::bare(match shape {
                Shape::Anthropic => format!("event: error\ndata: {error}\n\n"),
                Shape::OpenAi => format!("data: {}\n\n", openai::error(500, "Overloaded")),
                Shape::Ollama => json!({"error": "Overloaded"}).to_string() + "\n",
            }));
            false
        }
        Some(Fault::None | Fault::Status { .. } | Fault::Malformed) | None => false,
    }
}

/// An answer on its way out.
struct Sending {
    shared: Shared,
    model: String,
    pieces: std::collections::VecDeque<Piece>,
    /// Bytes of the answer that left so far, and the tokens counted for them.
    bytes: usize,
    counted: u64,
    cut: bool,
    wait: Duration,
}

impl Sending {
    async fn next(mut self) -> Option<(io::Result<Bytes>, Self)> {
        let Some(piece) = self.pieces.pop_front() else {
            if !self.cut {
                return None;
            }
            self.cut = false;
            // What was said leaves before the cut: the server flushes when there is nothing more to write.
            tokio::task::yield_now().await;
            let cut = io::Error::new(io::ErrorKind::ConnectionReset, "cut by the simulator");
            return Some((Err(cut), self));
        };
        if !self.wait.is_zero() {
            let clock = self.shared.clock.clone();
            clock.sleep(self.wait).await;
        }
        self.bytes += piece.bytes;
        let all = tokens(self.bytes).max(u64::from(self.pieces.is_empty() && !self.cut));
        let more = all - self.counted;
        self.counted = all;
        self.shared.count(&self.model, |it| it.output_tokens += more);
        Some((Ok(Bytes::from(piece.wire)), self))
    }
}
