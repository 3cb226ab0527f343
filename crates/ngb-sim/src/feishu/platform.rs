//! What the simulator knows, and what people do.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::{Config, crypt, frame::Frame};
use crate::{
    call::{Answer, call},
    fault::{Fault, Faults},
};

/// What the bot put before people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posted {
    pub id: String,
    /// The chat, or whom it was sent to.
    pub to: String,
    /// How `to` is meant: `chat_id`, `open_id`, …; nothing for an answer.
    pub to_kind: String,
    pub reply_to: Option<String>,
    pub in_thread: bool,
    pub kind: String,
    /// What people see: a card is that card, also when it was sent by its id.
    pub content: Value,
    pub uuid: Option<String>,
    pub edits: usize,
    /// The card that it shows.
    pub card: Option<String>,
}

impl Posted {
    /// The Markdown of a card, or the text.
    pub fn text(&self) -> &str {
        let card = self.content["body"]["elements"][0]["content"].as_str();
        card.or(self.content["text"].as_str()).unwrap_or_default()
    }
}

/// Counts since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Connections that are open.
    pub sockets: usize,
    /// Connections that were opened.
    pub opened: u64,
    pub pings: u64,
    /// Events that nobody acknowledged.
    pub pending: usize,
    pub acknowledged: usize,
    /// Frames that were not whole.
    pub broken: u64,
    pub posted: usize,
    /// Tokens that were given.
    pub tokens: u64,
}

/// The platform's side of a simulator. Clones are the same platform.
#[derive(Clone, Debug)]
pub struct Platform {
    state: Arc<Mutex<State>>,
    changed: watch::Sender<u64>,
    pub(crate) config: Arc<Config>,
    pub(super) host: Arc<str>,
}

/// What to do with a connection.
#[derive(Clone, Debug)]
pub(super) enum Order {
    Say(Vec<u8>),
    /// Close it with this code; none cuts it.
    Close(Option<u16>),
}

#[derive(Debug)]
pub(super) struct State {
    next: u64,
    pub(super) sockets: BTreeMap<u64, mpsc::UnboundedSender<Order>>,
    pub(super) tickets: BTreeSet<String>,
    pub(super) figures: Figures,
    /// By number, in order: the id of its frame, and its payload.
    pending: BTreeMap<u64, (String, String)>,
    /// The payloads of acknowledgements, in order.
    pub(super) answers: Vec<Value>,
    parts: usize,
    pub(super) token: Option<String>,
    pub(super) posted: Vec<Posted>,
    /// All messages of people, in order.
    pub(super) history: Vec<Value>,
    pub(super) calls: Vec<(String, Value)>,
    pub(super) names: BTreeMap<String, String>,
    pub(super) refused: BTreeMap<String, i64>,
    pub(super) gone: BTreeSet<String>,
    pub(super) files: BTreeMap<String, (String, Bytes)>,
    /// Cards with an id: what they show, and the number of their last change.
    pub(super) cards: BTreeMap<String, (Value, i64)>,
    pub(super) reactions: BTreeMap<String, String>,
    pub(super) deaf: bool,
    /// No version of the app is published.
    pub(super) unpublished: bool,
    pub(super) faults: Faults,
}

impl Platform {
    pub(super) fn new(config: Config, host: String) -> Self {
        let state = State {
            next: 1,
            sockets: BTreeMap::new(),
            tickets: BTreeSet::new(),
            figures: Figures::default(),
            pending: BTreeMap::new(),
            answers: Vec::new(),
            parts: 1,
            token: None,
            posted: Vec::new(),
            history: Vec::new(),
            calls: Vec::new(),
            names: BTreeMap::new(),
            refused: BTreeMap::new(),
            gone: BTreeSet::new(),
            files: BTreeMap::new(),
            cards: BTreeMap::new(),
            reactions: BTreeMap::new(),
            deaf: false,
            unpublished: false,
            faults: Faults::new(1),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            changed: watch::channel(0).0,
            config: Arc::new(config),
            host: host.into(),
        }
    }

    /// Somebody says this; the id of the message. A chat `oc_p…` is one with a single person.
    pub fn say(&self, chat: &str, person: &str, text: &str) -> String {
        self.message(chat, person, "text", json!({"text": text}), json!({}))
    }

    /// A message of this kind with these further fields; its id.
    pub fn message(
        &self,
        chat: &str,
        person: &str,
        kind: &str,
        content: Value,
        more: Value,
    ) -> String {
        let message = self.note(chat, person, kind, &content, &more);
        let id = message["message_id"].as_str().unwrap_or_default().to_owned();
        self.event("im.message.receive_v1", event_of(&message, person));
        id
    }

    /// A message that nobody is told of; as the history has it.
    pub fn note(
        &self,
        chat: &str,
        person: &str,
        kind: &str,
        content: &Value,
        more: &Value,
    ) -> Value {
        let now = self.config.clock.now().0;
        let mut state = self.lock();
        let id = format!("om_{}", state.number());
        let mut message = json!({
            "message_id": id, "chat_id": chat, "msg_type": kind, "body": {"content": content.to_string()},
            "create_time": now.to_string(), "update_time": now.to_string(), "deleted": false, "updated": false,
            "sender": {"id": person, "id_type": "open_id", "sender_type": "user", "tenant_key": "t"},
        });
        if let (Some(to), Some(more)) = (message.as_object_mut(), more.as_object()) {
            to.extend(more.clone());
        }
        state.history.push(message.clone());
        message
    }

    /// An event of this kind; the id of its frame.
    pub fn event(&self, kind: &str, event: Value) -> String {
        let body = self.body(kind, event);
        let mut state = self.lock();
        let number = state.number();
        let id = format!("frame-{number}");
        state.pending.insert(number, (id.clone(), body.to_string()));
        state.tell(number);
        drop(state);
        self.touch();
        id
    }

    fn body(&self, kind: &str, event: Value) -> Value {
        let number = self.lock().number();
        json!({
            "schema": "2.0", "event": event,
            "header": {
                "event_id": format!("event-{number}"), "event_type": kind, "app_id": self.config.app_id,
                "create_time": self.config.clock.now().0.to_string(), "token": self.config.verification_token,
                "tenant_key": "t",
            },
        })
    }

    /// Calls a callback with a message that somebody writes.
    ///
    /// # Errors
    ///
    /// When nobody answers.
    pub async fn call(
        &self,
        url: &str,
        chat: &str,
        person: &str,
        text: &str,
    ) -> anyhow::Result<Answer> {
        let content = json!({"text": text});
        let message = self.note(chat, person, "text", &content, &json!({}));
        let words = self.words("im.message.receive_v1", event_of(&message, person));
        self.post(url, &self.seal(&words)).await
    }

    /// A call as Feishu makes it of these words: signature, time, nonce and body.
    pub fn seal(&self, words: &str) -> [String; 4] {
        let key = &self.config.encrypt_key;
        let body = crypt::encrypt(key, words);
        let time = (self.config.clock.now().0 / 1000).to_string();
        let nonce = self.lock().number().to_string();
        [crypt::sign(key, &time, &nonce, &body), time, nonce, body]
    }

    /// The words of an event of this kind.
    pub fn words(&self, kind: &str, event: Value) -> String {
        self.body(kind, event).to_string()
    }

    /// The words of the check of a callback's address, which bears no signature.
    pub fn check(&self) -> String {
        let token = &self.config.verification_token;
        json!({"type": "url_verification", "challenge": "c-1", "token": token}).to_string()
    }

    async fn post(&self, url: &str, parts: &[String; 4]) -> anyhow::Result<Answer> {
        let [signature, time, nonce, body] = parts;
        let mut headers = vec![("content-type", "application/json")];
        if !signature.is_empty() {
            headers.push(("x-lark-signature", signature));
            headers.push(("x-lark-request-timestamp", time));
            headers.push(("x-lark-request-nonce", nonce));
        }
        call("POST", url, &headers, body.clone().into()).await
    }

    /// Checks a callback's address.
    ///
    /// # Errors
    ///
    /// When nobody answers.
    pub async fn verify(&self, url: &str) -> anyhow::Result<Answer> {
        let [_, time, nonce, body] = self.seal(&self.check());
        self.post(url, &[String::new(), time, nonce, body]).await
    }

    /// All that nobody acknowledged comes again.
    pub fn repeat(&self) {
        self.lock().repeat();
    }

    /// Events come in so many parts from now on, the last one first.
    pub fn split(&self, parts: usize) {
        self.lock().parts = parts;
    }

    /// Bytes as they are, on every connection.
    pub fn frame(&self, bytes: &[u8]) {
        for socket in self.lock().sockets.values() {
            _ = socket.send(Order::Say(bytes.to_vec()));
        }
    }

    /// Every connection is closed with this code; none cuts them.
    pub fn close(&self, code: Option<u16>) {
        for socket in self.lock().sockets.values() {
            _ = socket.send(Order::Close(code));
        }
    }

    /// Pings are not answered any more, or again.
    pub fn be_deaf(&self, deaf: bool) {
        self.lock().deaf = deaf;
    }

    /// No version of the app is published, or one is again.
    pub fn unpublish(&self, unpublished: bool) {
        self.lock().unpublished = unpublished;
    }

    /// The token is worth nothing from now on.
    pub fn end_token(&self) {
        self.lock().token = None;
    }

    /// The name of a person or a chat, from now on.
    pub fn name(&self, id: &str, name: &str) {
        self.lock().names.insert(id.to_owned(), name.to_owned());
    }

    /// A message is withdrawn.
    pub fn withdraw(&self, message: &str) {
        self.lock().gone.insert(message.to_owned());
    }

    /// A call answers with this code from now on.
    pub fn refuse(&self, call: &str, code: i64) {
        self.lock().refused.insert(call.to_owned(), code);
    }

    /// A file that stands in a message; its key.
    pub fn add_file(&self, name: &str, bytes: impl Into<Bytes>) -> String {
        let mut state = self.lock();
        let key = format!("file_{}", state.number());
        state.files.insert(key.clone(), (name.to_owned(), bytes.into()));
        key
    }

    /// The bytes of a file that was sent or added.
    pub fn file(&self, key: &str) -> Option<Bytes> {
        self.lock().files.get(key).map(|(_, bytes)| bytes.clone())
    }

    pub fn fault(&self, fault: Fault) {
        self.lock().faults.add(fault);
    }

    /// The calls of one name so far.
    pub fn calls(&self, call: &str) -> Vec<Value> {
        let state = self.lock();
        state.calls.iter().filter(|it| it.0 == call).map(|it| it.1.clone()).collect()
    }

    pub fn posted(&self) -> Vec<Posted> {
        self.lock().posted.clone()
    }

    /// The payloads of the acknowledgements, in order.
    pub fn answers(&self) -> Vec<Value> {
        self.lock().answers.clone()
    }

    /// The messages under which a reaction stands.
    pub fn reactions(&self) -> Vec<String> {
        self.lock().reactions.values().cloned().collect()
    }

    pub fn figures(&self) -> Figures {
        let state = self.lock();
        Figures {
            sockets: state.sockets.len(),
            pending: state.pending.len(),
            acknowledged: state.answers.len(),
            posted: state.posted.len(),
            ..state.figures.clone()
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

    pub(super) fn acknowledge(&mut self, id: &str, payload: Value) {
        let before = self.pending.len();
        self.pending.retain(|_, (it, _)| it != id);
        if self.pending.len() < before {
            self.answers.push(payload);
        }
    }

    /// Sends an event on one of the connections: Feishu takes one at random, here it is the newest.
    fn tell(&self, number: u64) {
        let Some((_, socket)) = self.sockets.last_key_value() else { return };
        let Some((id, payload)) = self.pending.get(&number) else { return };
        for part in Frame::parts(id, number, payload, self.parts) {
            _ = socket.send(Order::Say(part));
        }
    }

    pub(super) fn repeat(&self) {
        for number in self.pending.keys() {
            self.tell(*number);
        }
    }
}

/// A message of the history, as an event tells it.
fn event_of(message: &Value, person: &str) -> Value {
    let chat = message["chat_id"].as_str().unwrap_or_default();
    let chat_type = if chat.starts_with("oc_p") { "p2p" } else { "group" };
    let mut told = message.clone();
    told["message_type"] = message["msg_type"].clone();
    told["content"] = message["body"]["content"].clone();
    told["chat_type"] = chat_type.into();
    for field in ["msg_type", "body", "sender", "deleted", "updated"] {
        if let Some(fields) = told.as_object_mut() {
            fields.remove(field);
        }
    }
    json!({
        "sender": {"sender_id": {"open_id": person, "union_id": "on_1", "user_id": null}, "sender_type": "user", "tenant_key": "t"},
        "message": told,
    })
}
