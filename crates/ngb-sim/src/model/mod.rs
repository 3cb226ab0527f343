//! A model server: Anthropic Messages, OpenAI chat completions and Ollama chat over real sockets, by script.
//!
//! What it answers is decided by what the user says ([`script`]); how it misbehaves is set by [`Behaviour`] and
//! [`Fault`]. It refuses what the real ones refuse: a wrong key, an unknown model, a prompt that is too long, a tool
//! result without its call. Tokens are a quarter of the bytes, rounded up: no model's own measure, but one that both
//! sides can compute.
//!
//! ```text
//! POST /v1/messages  /v1/chat/completions  /api/chat
//! GET  /sim/requests  /sim/totals          POST /sim/behaviour  /sim/faults  /sim/reset
//! ```

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ngb_core::{clock::Clock, tasks::Crew};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::net::TcpListener;

mod script;

mod anthropic;
mod ollama;
mod openai;

mod http;

/// How the server behaves until told otherwise.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// Wait before the first byte of an answer, in milliseconds.
    pub first_token_ms: u64,
    /// Wait before each further piece, in milliseconds.
    pub piece_ms: u64,
    /// Characters in a piece of a streamed answer.
    pub piece_chars: usize,
    /// The key that is wanted; none takes any.
    pub key: Option<String>,
    /// The models that exist; none means any.
    pub models: Option<Vec<String>>,
    /// Longest prompt, in tokens; none means any.
    pub window_tokens: Option<u64>,
    /// Whether the models of `/api/chat` know tools.
    pub tools: bool,
    /// How many of a hundred requests fail, in turn as 500, 529, 429 and a cut stream.
    pub fail_percent: u64,
    /// Whether requests are kept to be looked at. A bench turns it off.
    pub record: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            first_token_ms: 0,
            piece_ms: 0,
            piece_chars: 48,
            key: None,
            models: None,
            window_tokens: None,
            tools: true,
            fail_percent: 0,
            record: true,
        }
    }
}

/// What goes wrong with one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// None: the ones behind it come later.
    None,
    /// Answers with this status, and `retry-after` when given, in seconds.
    Status {
        status: u16,
        #[serde(default)]
        retry_after: Option<u64>,
    },
    /// Cuts the connection after so many pieces of the stream.
    CutStream { after_pieces: usize },
    /// Cuts it half way, in the middle of a piece, so that half a line arrives.
    HalfBody,
    /// Says in the middle of the stream, as an event, that it is overloaded.
    ErrorEvent,
    /// Refuses the conversation as malformed, as real servers do with an orphan tool result.
    Malformed,
}

/// One request as it came.
#[derive(Clone, Debug, Serialize)]
pub struct Recorded {
    pub path: String,
    /// In the order they came, names in small letters.
    pub headers: Vec<(String, String)>,
    pub body: Value,
    /// The status it was answered with.
    pub status: u16,
}

/// What one model was asked and answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    pub requests: u64,
    /// Tokens of prompts that were not read from the cache.
    pub input_tokens: u64,
    pub cache_read_tokens: u64,
    pub cache_write_tokens: u64,
    /// Tokens that left the server, also those of a stream that was cut.
    pub output_tokens: u64,
}

/// A running model server. Dropping it ends it.
pub struct ModelServer {
    address: SocketAddr,
    shared: Shared,
    _serving: Crew,
}

impl ModelServer {
    /// Starts one on a free port of the loopback.
    ///
    /// # Errors
    ///
    /// When it can't listen there.
    pub async fn start() -> io::Result<Self> {
        Self::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Starts one on `address`.
    ///
    /// # Errors
    ///
    /// When it can't listen there.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let shared = Shared::default();
        let mut serving = Crew::default();
        let app = http::router(shared.clone());
        serving.spawn("model simulator", async move {
            use axum::serve::ListenerExt as _;
            // A reply is many small writes; without this each waits for the one before it to be confirmed.
            let listener = listener.tap_io(|it| drop(it.set_nodelay(true)));
            axum::serve(listener, app).await.ok();
        });
        Ok(Self { address, shared, _serving: serving })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://address`, to which paths as `/v1/messages` are added.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes how it behaves from the next request on.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.shared.state().behaviour);
    }

    /// Has the next requests, one each, go wrong.
    pub fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shared.state().faults.extend(faults);
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.state().requests.iter().cloned().collect()
    }

    /// What each model was asked and answered, by its name.
    pub fn totals(&self) -> BTreeMap<String, Totals> {
        self.shared.state().totals.clone()
    }
}

/// Serves on `address` until the process ends; for `nanogridbot sim model`.
///
/// # Errors
///
/// When it can't listen there.
pub async fn serve(address: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    axum::serve(listener, http::router(Shared::default())).await
}

#[derive(Clone)]
struct Shared {
    state: Arc<Mutex<State>>,
    clock: Clock,
}

impl Default for Shared {
    fn default() -> Self {
        Self { state: Arc::default(), clock: Clock::System }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Requests whose bodies are kept; older ones are forgotten, so that a long run doesn't fill the memory.
const MAX_RECORDED: usize = 2_000;

#[derive(Default)]
struct State {
    behaviour: Behaviour,
    faults: VecDeque<Fault>,
    requests: VecDeque<Recorded>,
    totals: BTreeMap<String, Totals>,
    asked: u64,
    /// Prefixes that were marked for the cache, by their text.
    cached: HashSet<String>,
}

impl State {
    /// The fault of the next request, if any.
    fn next_fault(&mut self) -> Option<Fault> {
        if let Some(fault) = self.faults.pop_front() {
            return Some(fault);
        }
        self.asked += 1;
        // 37 and 100 share no factor: failures are spread, and each run has the same.
        if self.behaviour.fail_percent <= self.asked * 37 % 100 {
            return None;
        }
        Some(match self.asked % 4 {
            0 => Fault::Status { status: 500, retry_after: None },
            1 => Fault::Status { status: 529, retry_after: None },
            2 => Fault::Status { status: 429, retry_after: Some(1) },
            _ => Fault::CutStream { after_pieces: 1 },
        })
    }

    fn record(&mut self, request: Recorded) {
        if self.requests.len() == MAX_RECORDED {
            self.requests.pop_front();
        }
        self.requests.push_back(request);
    }
}

/// What was asked, whatever the shape.
#[derive(Clone, Debug, Default)]
struct Asked {
    model: String,
    stream: bool,
    system: String,
    items: Vec<Item>,
    has_tools: bool,
    /// The text of what is marked for the cache.
    cacheable: Option<String>,
}

#[derive(Clone, Debug)]
enum Item {
    User(String),
    Assistant {
        text: String,
        calls: Vec<String>,
    },
    /// A tool's result, for the call with that id.
    Result {
        call: String,
        text: String,
    },
}

impl Asked {
    /// Whether each call is followed by its result and each result has its call.
    fn check_calls(&self) -> Result<(), String> {
        let mut open: Vec<&String> = Vec::new();
        for item in &self.items {
            match item {
                Item::Assistant { calls, .. } if open.is_empty() => open.extend(calls),
                Item::Result { call, .. } => match open.iter().position(|it| *it == call) {
                    Some(at) => drop(open.remove(at)),
                    None => return Err(format!("tool result `{call}` without its tool call")),
                },
                Item::User(_) | Item::Assistant { .. } => {
                    if let Some(call) = open.first() {
                        return Err(format!("tool call `{call}` without its result"));
                    }
                }
            }
        }
        match open.first() {
            Some(call) => Err(format!("tool call `{call}` without its result")),
            None => Ok(()),
        }
    }
}

/// What is answered, whatever the shape.
#[derive(Clone, Debug, Default, PartialEq)]
struct Answer {
    thinking: String,
    text: String,
    calls: Vec<ToolCall>,
}

#[derive(Clone, Debug, PartialEq)]
struct ToolCall {
    id: String,
    name: String,
    input: Value,
}

impl Answer {
    fn bytes(&self) -> usize {
        let calls: usize = self.calls.iter().map(|it| it.input.to_string().len()).sum();
        self.thinking.len() + self.text.len() + calls
    }
}

/// What an answer costs.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    input: u64,
    cache_read: u64,
    cache_write: u64,
    output: u64,
}

/// One piece of a streamed answer, and how many bytes of the answer are in it.
struct Piece {
    wire: String,
    bytes: usize,
}

impl Piece {
    /// A piece that has nothing of the answer in it.
    fn bare(wire: String) -> Self {
        Self { wire, bytes: 0 }
    }
}

/// Tokens of so many bytes.
fn tokens(bytes: usize) -> u64 {
    bytes.div_ceil(4) as u64
}

/// `text` in pieces of `size` characters.
fn pieces(text: &str, size: usize) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    chars.chunks(size.max(1)).map(|it| it.iter().collect()).collect()
}
