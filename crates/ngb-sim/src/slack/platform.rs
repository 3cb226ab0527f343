//! What the simulator knows, and what people do.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::Config;
use crate::fault::{Fault, Faults};

/// The workspace.
pub(super) const TEAM: &str = "T0SIM";

/// What the bot put before people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posted {
    pub channel: String,
    pub ts: String,
    pub thread_ts: Option<String>,
    pub text: String,
    pub blocks: Value,
    pub metadata: Value,
    /// How often it was edited.
    pub edits: usize,
    /// The id and the title of the file that it is about.
    pub file: Option<(String, String)>,
}

/// A call of the bot, with the parameters that it sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Call {
    pub method: String,
    pub params: Value,
}

/// Counts since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Sockets that are open.
    pub sockets: usize,
    /// Sockets that were opened.
    pub opened: u64,
    /// Envelopes that nobody acknowledged.
    pub pending: usize,
    pub acknowledged: usize,
    pub posted: usize,
}

/// The platform's side of a simulator. Clones are the same platform.
#[derive(Clone, Debug)]
pub struct Platform {
    state: Arc<Mutex<State>>,
    changed: watch::Sender<u64>,
    pub(super) config: Arc<Config>,
    /// Under which it hands out addresses of its own.
    pub(super) own: Arc<str>,
}

/// What to do with a socket.
#[derive(Clone, Debug)]
pub(super) enum Order {
    Say(String),
    /// Close it with this code; none cuts it.
    Close(Option<u16>),
}

#[derive(Debug)]
pub(super) struct State {
    next: u64,
    /// Where the ids of messages begin, in seconds since 1970: the start of the simulator.
    first_second: i64,
    pub(super) tickets: BTreeSet<String>,
    sockets: BTreeMap<u64, mpsc::UnboundedSender<Order>>,
    opened: u64,
    /// By number, in order.
    pending: BTreeMap<u64, (String, Value)>,
    acknowledged: Vec<String>,
    /// What people said, as the history has it.
    pub(super) said: Vec<Value>,
    pub(super) posted: Vec<Posted>,
    pub(super) calls: Vec<Call>,
    pub(super) names: BTreeMap<String, String>,
    pub(super) gone: BTreeSet<String>,
    pub(super) refused: BTreeMap<String, String>,
    pub(super) files: BTreeMap<String, (String, String, Bytes)>,
    pub(super) uploads: BTreeMap<String, (String, usize)>,
    pub(super) login_page: bool,
    pub(super) reactions: BTreeSet<(String, String, String)>,
    pub(super) faults: Faults,
}

impl Platform {
    pub(super) fn new(config: Config, own: String) -> Self {
        let state = State {
            next: 1,
            first_second: config.clock.now().0 / 1000,
            said: Vec::new(),
            tickets: BTreeSet::new(),
            sockets: BTreeMap::new(),
            opened: 0,
            pending: BTreeMap::new(),
            acknowledged: Vec::new(),
            posted: Vec::new(),
            calls: Vec::new(),
            names: BTreeMap::new(),
            gone: BTreeSet::new(),
            refused: BTreeMap::new(),
            files: BTreeMap::new(),
            uploads: BTreeMap::new(),
            login_page: false,
            reactions: BTreeSet::new(),
            faults: Faults::new(1),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            changed: watch::channel(0).0,
            config: Arc::new(config),
            own: own.into(),
        }
    }

    /// Somebody says this; the id of the message.
    pub fn say(&self, channel: &str, user: &str, text: &str) -> String {
        let message = self.said(channel, None, user, text);
        let ts = message["ts"].as_str().unwrap_or_default().to_owned();
        self.event(message);
        ts
    }

    /// Somebody says this while nobody listens, so that only the history has it; the id of the message.
    pub fn miss(&self, channel: &str, thread: Option<&str>, user: &str, text: &str) -> String {
        let message = self.said(channel, thread, user, text);
        message["ts"].as_str().unwrap_or_default().to_owned()
    }

    /// Keeps a message in the history; the event that would tell of it.
    fn said(&self, channel: &str, thread: Option<&str>, user: &str, text: &str) -> Value {
        let mut state = self.lock();
        let ts = state.next_ts();
        let mut message =
            json!({"type": "message", "user": user, "text": text, "ts": ts, "team": TEAM});
        if let Some(thread) = thread {
            message["thread_ts"] = thread.into();
            if let Some(root) = state.said.iter_mut().find(|it| it["ts"] == thread) {
                root["thread_ts"] = thread.into();
                root["reply_count"] = (root["reply_count"].as_u64().unwrap_or_default() + 1).into();
            }
        }
        message["channel"] = channel.into();
        state.said.push(message.clone());
        message["event_ts"] = ts.into();
        message["channel_type"] = channel_type(channel).into();
        message
    }

    /// An event as it is, in an envelope; the envelope's id.
    pub fn event(&self, event: Value) -> String {
        let payload = {
            let mut state = self.lock();
            let number = state.number();
            json!({
                "team_id": TEAM, "api_app_id": "A0SIM", "type": "event_callback",
                "event_id": format!("Ev{number:08}"), "event_time": state.first_second, "event": event,
            })
        };
        self.envelope("events_api", payload)
    }

    /// An envelope of this kind; its id.
    pub fn envelope(&self, kind: &str, payload: Value) -> String {
        let id = {
            let mut state = self.lock();
            let number = state.number();
            let id = format!("envelope-{number}");
            let envelope = json!({
                "envelope_id": id, "type": kind, "payload": payload,
                "accepts_response_payload": kind != "events_api", "retry_attempt": 0, "retry_reason": "",
            });
            state.say(envelope.to_string());
            state.pending.insert(number, (id.clone(), envelope));
            id
        };
        self.touch();
        id
    }

    /// All that nobody acknowledged comes again.
    pub fn repeat(&self) {
        self.lock().repeat();
    }

    /// A frame as it is, on the newest socket.
    pub fn frame(&self, text: impl Into<String>) {
        self.lock().say(text.into());
    }

    /// Slack says on every socket that it is to end.
    pub fn disconnect(&self, reason: &str) {
        let frame = json!({"type": "disconnect", "reason": reason, "debug_info": {"host": "sim"}});
        for socket in self.lock().sockets.values() {
            _ = socket.send(Order::Say(frame.to_string()));
        }
    }

    /// Every socket is closed with this code; none cuts them.
    pub fn close(&self, code: Option<u16>) {
        for socket in self.lock().sockets.values() {
            _ = socket.send(Order::Close(code));
        }
    }

    /// The name of a user or a channel, from now on.
    pub fn name(&self, id: &str, name: &str) {
        self.lock().names.insert(id.to_owned(), name.to_owned());
    }

    /// The bot is not in this channel any more.
    pub fn remove_from(&self, channel: &str) {
        self.lock().gone.insert(channel.to_owned());
    }

    /// A method answers with this code from now on.
    pub fn refuse(&self, method: &str, code: &str) {
        self.lock().refused.insert(method.to_owned(), code.to_owned());
    }

    /// Files are hidden behind the login page, as for an app without `files:read`.
    pub fn show_login_page(&self) {
        self.lock().login_page = true;
    }

    /// A file that somebody uploaded; what stands in the message.
    pub fn add_file(&self, name: &str, media_type: &str, bytes: impl Into<Bytes>) -> Value {
        let mut state = self.lock();
        let id = format!("F{:08}", state.number());
        let bytes = bytes.into();
        let file = file_json(&self.own, &id, name, media_type, bytes.len());
        state.files.insert(id, (name.to_owned(), media_type.to_owned(), bytes));
        file
    }

    /// The bytes of a file that was sent or added.
    pub fn file(&self, id: &str) -> Option<Bytes> {
        self.lock().files.get(id).map(|(_, _, bytes)| bytes.clone())
    }

    pub fn fault(&self, fault: Fault) {
        self.lock().faults.add(fault);
    }

    /// The calls of one method so far.
    pub fn calls(&self, method: &str) -> Vec<Value> {
        let state = self.lock();
        state.calls.iter().filter(|it| it.method == method).map(|it| it.params.clone()).collect()
    }

    pub fn posted(&self) -> Vec<Posted> {
        self.lock().posted.clone()
    }

    /// Channel, message and name of each reaction that stands.
    pub fn reactions(&self) -> Vec<(String, String, String)> {
        self.lock().reactions.iter().cloned().collect()
    }

    /// The envelopes that were acknowledged, in order.
    pub fn acknowledged(&self) -> Vec<String> {
        self.lock().acknowledged.clone()
    }

    pub fn figures(&self) -> Figures {
        let state = self.lock();
        Figures {
            sockets: state.sockets.len(),
            opened: state.opened,
            pending: state.pending.len(),
            acknowledged: state.acknowledged.len(),
            posted: state.posted.len(),
        }
    }

    /// Returns once `done` is true of the figures.
    pub async fn wait(&self, done: impl Fn(&Figures) -> bool) -> Figures {
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            let figures = self.figures();
            if done(&figures) || changed.changed().await.is_err() {
                return figures;
            }
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes with whatever happens here.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(super) fn touch(&self) {
        self.changed.send_modify(|it| *it += 1);
    }
}

impl State {
    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// The id of the next message.
    pub(super) fn next_ts(&mut self) -> String {
        let number = self.number();
        format!("{}.{:06}", self.first_second, number * 1000)
    }

    /// Opens a socket; its number, and what it is told. Slack tells an app's newest socket here, one at random there.
    pub(super) fn seat(&mut self) -> (u64, mpsc::UnboundedReceiver<Order>) {
        let (tx, rx) = mpsc::unbounded_channel();
        let number = self.number();
        self.opened += 1;
        self.sockets.insert(number, tx);
        let hello = json!({
            "type": "hello", "num_connections": self.sockets.len(),
            "connection_info": {"app_id": "A0SIM"}, "debug_info": {"approximate_connection_time": 18060},
        });
        self.say(hello.to_string());
        self.repeat();
        (number, rx)
    }

    pub(super) fn leave(&mut self, number: u64) {
        self.sockets.remove(&number);
    }

    pub(super) fn acknowledge(&mut self, id: &str) {
        self.pending.retain(|_, (it, _)| it != id);
        self.acknowledged.push(id.to_owned());
    }

    fn say(&self, text: String) {
        if let Some((_, socket)) = self.sockets.last_key_value() {
            _ = socket.send(Order::Say(text));
        }
    }

    fn repeat(&mut self) {
        for (_, envelope) in self.pending.values_mut() {
            let attempt = envelope["retry_attempt"].as_u64().unwrap_or_default();
            envelope["retry_attempt"] = (attempt + 1).into();
            envelope["retry_reason"] = "timeout".into();
        }
        for (_, envelope) in self.pending.values() {
            self.say(envelope.to_string());
        }
    }
}

pub(super) fn channel_type(channel: &str) -> &'static str {
    match channel.chars().next() {
        Some('D') => "im",
        Some('G') => "group",
        _ => "channel",
    }
}

pub(super) fn file_json(own: &str, id: &str, name: &str, media_type: &str, size: usize) -> Value {
    let url = format!("{own}/files/{id}/{name}");
    json!({
        "id": id, "name": name, "title": name, "mimetype": media_type, "size": size, "mode": "hosted",
        "is_external": false, "url_private": url, "url_private_download": url,
    })
}
