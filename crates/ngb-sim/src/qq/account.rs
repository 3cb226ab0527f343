//! What the account knows, and what people do.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::Config;
use crate::fault::{Fault, Faults, How};

/// A call of the application.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Call {
    pub action: String,
    pub params: Value,
}

/// The account's side of a simulator. Clones are the same account.
#[derive(Clone, Debug)]
pub struct Account {
    state: Arc<Mutex<State>>,
    changed: watch::Sender<u64>,
    pub(crate) config: Arc<Config>,
    host: Arc<str>,
}

/// What a connection is told to do.
#[derive(Debug)]
pub(super) enum Order {
    Say(String),
    Cut,
}

#[derive(Debug)]
struct State {
    next: i64,
    /// Applications that are connected, by number.
    lines: BTreeMap<u64, mpsc::UnboundedSender<Order>>,
    opened: u64,
    calls: Vec<Call>,
    files: BTreeMap<String, Bytes>,
    faults: Faults,
}

/// What becomes of a call.
pub(super) enum Outcome {
    Answer(Value),
    /// The connection ends before the answer.
    Cut,
}

impl Account {
    pub(super) fn new(config: Config, host: String) -> Self {
        let state = State {
            next: 1,
            lines: BTreeMap::new(),
            opened: 0,
            calls: Vec::new(),
            files: BTreeMap::new(),
            faults: Faults::new(1),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            changed: watch::channel(0).0,
            config: Arc::new(config),
            host: host.into(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes with whatever happens here.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn touch(&self) {
        self.changed.send_modify(|it| *it += 1);
    }

    /// Sets what goes wrong with calls, by their action.
    pub fn fault(&self, fault: Fault) {
        self.lock().faults.add(fault);
    }

    pub(super) fn enter(&self) -> (u64, mpsc::UnboundedReceiver<Order>) {
        let (tx, rx) = mpsc::unbounded_channel();
        let number = {
            let mut state = self.lock();
            state.opened += 1;
            let number = state.opened;
            state.lines.insert(number, tx);
            number
        };
        self.touch();
        (number, rx)
    }

    pub(super) fn leave(&self, number: u64) {
        self.lock().lines.remove(&number);
        self.touch();
    }

    /// Whether an application is connected.
    pub fn is_connected(&self) -> bool {
        !self.lock().lines.is_empty()
    }

    /// Returns once so many applications are connected, of so many that ever were.
    pub async fn until_lines(&self, count: usize, opened: u64) {
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            let done = {
                let state = self.lock();
                state.lines.len() == count && opened <= state.opened
            };
            if done || changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Returns once what was called is as `done` wants it.
    pub async fn until_calls(&self, mut done: impl FnMut(&[Call]) -> bool) {
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            if done(&self.calls()) || changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// What the application called, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    /// What it sent, in order.
    pub fn sent(&self) -> Vec<Call> {
        let is_send =
            |it: &Call| it.action.starts_with("send_") || it.action.starts_with("upload_");
        self.calls().into_iter().filter(is_send).collect()
    }

    /// Cuts all connections.
    pub fn cut(&self) {
        for line in self.lock().lines.values() {
            _ = line.send(Order::Cut);
        }
    }

    /// Sends a text to every application.
    pub fn push(&self, text: &str) {
        for line in self.lock().lines.values() {
            _ = line.send(Order::Say(text.to_owned()));
        }
    }

    /// Sends an event: what each has, and `more`.
    pub fn event(&self, more: &Value) {
        self.push(&self.event_of(more).to_string());
    }

    pub(super) fn event_of(&self, more: &Value) -> Value {
        let time = self.config.clock.now().0 / 1000;
        let mut event = json!({"time": time, "self_id": self.config.self_id});
        if let (Some(event), Some(more)) = (event.as_object_mut(), more.as_object()) {
            event.extend(more.clone());
        }
        event
    }

    /// The heartbeat, and the interval that it names, in milliseconds.
    pub fn beat(&self, interval: u64) {
        self.event(&json!({
            "post_type": "meta_event", "meta_event_type": "heartbeat", "interval": interval,
            "status": {"online": true, "good": true},
        }));
    }

    /// Somebody writes, in a group where there is one: `message` is an array of segments. The message's id.
    pub fn says(&self, user: u64, group: Option<u64>, message: &Value) -> i64 {
        let id = self.number();
        let message = if self.config.cq { cq(message).into() } else { message.clone() };
        let mut event = json!({
            "post_type": "message", "message_type": "private", "sub_type": "friend", "message_id": id, "user_id": user,
            "message": message, "raw_message": "", "font": 14,
            "message_format": if self.config.cq { "string" } else { "array" },
            "sender": {"user_id": user, "nickname": format!("Nick {user}"), "card": ""},
        });
        if let Some(group) = group {
            event["message_type"] = "group".into();
            event["sub_type"] = "normal".into();
            event["group_id"] = group.into();
            event["anonymous"] = Value::Null;
        }
        self.event(&event);
        id
    }

    fn number(&self) -> i64 {
        let mut state = self.lock();
        state.next += 1;
        // Ids of messages may be negative.
        if state.next % 2 == 0 { state.next } else { -state.next }
    }

    /// Keeps a file; its address.
    pub fn keep(&self, name: &str, bytes: impl Into<Bytes>) -> String {
        self.lock().files.insert(name.to_owned(), bytes.into());
        format!("http://{}/files/{name}", self.host)
    }

    pub(super) fn file(&self, name: &str) -> Option<Bytes> {
        self.lock().files.get(name).cloned()
    }

    /// Does what a call asks.
    pub(super) fn obey(&self, frame: &Value) -> Outcome {
        let action = frame["action"].as_str().unwrap_or_default().to_owned();
        let fault = self.lock().faults.pick(&action);
        let refused = |code: i64, words: &str| json!({"status": "failed", "retcode": code, "data": null, "message": words, "wording": words});
        let mut answer = match fault {
            Some(How::CutBefore) => return Outcome::Cut,
            Some(How::CutAfter | How::HalfBody | How::BadText) => {
                self.done(&action, &frame["params"]);
                return Outcome::Cut;
            }
            Some(How::TooManyRequests { .. }) => refused(1_200, "rate limited by risk control"),
            Some(How::Status { .. } | How::Slow { .. }) => refused(
                1_200,
                "Error: Timeout: NTEvent serviceAndMethod:NodeIKernelMsgService/sendMsg",
            ),
            Some(How::Refuse { code, description }) => refused(code.into(), &description),
            None => match self.done(&action, &frame["params"]) {
                Some(data) => {
                    json!({"status": "ok", "retcode": 0, "data": data, "message": "", "wording": ""})
                }
                None => refused(1_404, "不支持的Api"),
            },
        };
        answer["echo"] = frame["echo"].clone();
        Outcome::Answer(answer)
    }

    fn done(&self, action: &str, params: &Value) -> Option<Value> {
        let call = Call { action: action.to_owned(), params: params.clone() };
        let id = self.number();
        let data = match action {
            "send_private_msg" | "send_group_msg" => json!({"message_id": id}),
            "upload_group_file" | "upload_private_file" => json!({"file_id": format!("file-{id}")}),
            "set_input_status" | "set_msg_emoji_like" => Value::Null,
            "get_login_info" => json!({"user_id": self.config.self_id, "nickname": "Nano"}),
            "get_image" | "get_record" | "get_file" => {
                let name = params["file"].as_str().unwrap_or_default();
                let url = self.file(name).map(|_| format!("http://{}/files/{name}", self.host));
                json!({"file": format!("/root/{name}"), "url": url, "file_name": name})
            }
            _ => return None,
        };
        self.lock().calls.push(call);
        self.touch();
        Some(data)
    }
}

/// Segments, as CQ codes.
fn cq(message: &Value) -> String {
    let escape = |it: &str| it.replace('&', "&amp;").replace('[', "&#91;").replace(']', "&#93;");
    let segment = |it: &Value| match it["type"].as_str() {
        Some("text") => escape(it["data"]["text"].as_str().unwrap_or_default()),
        kind => {
            let pairs = it["data"].as_object().into_iter().flatten();
            let pairs = pairs.map(|(name, value)| {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                format!(",{name}={}", escape(&value).replace(',', "&#44;"))
            });
            format!("[CQ:{}{}]", kind.unwrap_or_default(), pairs.collect::<String>())
        }
    };
    message.as_array().into_iter().flatten().map(segment).collect()
}
