//! What the platform knows: people, messages, files, and what waits for the webhook.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use ngb_core::clock::Clock;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{Config, Fault};
use crate::fault::Faults;

/// A handle on the platform; cheap to clone.
#[derive(Clone, Debug)]
pub struct Platform {
    pub(crate) config: Arc<Config>,
    pub(super) url: Arc<str>,
    state: Arc<Mutex<State>>,
    pub(super) changed: watch::Sender<u64>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(super) sent: Vec<SentMessage>,
    pub(super) marks: Vec<Value>,
    pub(super) files: BTreeMap<String, Uploaded>,
    pub(super) faults: Faults,
    pub(super) closed: BTreeSet<String>,
    pub(crate) hook: Option<String>,
    /// Bodies that were not taken yet, in order.
    pub(super) queue: VecDeque<String>,
    pub(super) last_error: Option<String>,
    next: u64,
}

/// A message of the business.
#[derive(Clone, Debug)]
pub struct SentMessage {
    pub id: String,
    /// The number or id that it went to.
    pub to: String,
    /// All that was posted.
    pub body: Value,
}

/// A file that somebody uploaded.
#[derive(Clone, Debug)]
pub struct Uploaded {
    pub media_type: String,
    pub bytes: Bytes,
}

/// Somebody who uses WhatsApp.
#[derive(Clone, Debug)]
pub struct Person {
    /// Digits; none for who hides it behind a user name.
    pub phone: Option<String>,
    /// `US.13491208655302741918`; none as it was before there were any.
    pub user_id: Option<String>,
    pub name: String,
}

impl Person {
    pub fn with_phone(phone: &str, name: &str) -> Self {
        Self { phone: Some(phone.into()), user_id: None, name: name.into() }
    }
}

impl Platform {
    pub(super) fn new(config: Config, url: String) -> Self {
        let state = State {
            sent: Vec::new(),
            marks: Vec::new(),
            files: BTreeMap::new(),
            faults: Faults::new(config.seed),
            closed: BTreeSet::new(),
            hook: None,
            queue: VecDeque::new(),
            last_error: None,
            next: 1,
        };
        let (changed, _) = watch::channel(0);
        let (config, url) = (Arc::new(config), url.into());
        Self { config, url, state: Arc::new(Mutex::new(state)), changed }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding it")
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.config.clock
    }

    /// Sets what goes wrong.
    pub fn fault(&self, fault: Fault) {
        self.lock().faults.add(fault);
    }

    /// All messages of the business, in order.
    pub fn sent(&self) -> Vec<SentMessage> {
        self.lock().sent.clone()
    }

    /// Read marks and typing signs.
    pub fn marks(&self) -> Vec<Value> {
        self.lock().marks.clone()
    }

    /// The file with that id.
    pub fn file(&self, id: &str) -> Option<Uploaded> {
        self.lock().files.get(id).cloned()
    }

    /// More than 24 hours have passed since this person wrote.
    pub fn close_window(&self, to: &str) {
        self.lock().closed.insert(to.to_owned());
    }

    /// Returns once `done` says so of what was sent.
    pub async fn until_sent(&self, mut done: impl FnMut(&[SentMessage]) -> bool) {
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            if done(&self.lock().sent) {
                return;
            }
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// A new id: `wamid.` and what looks like Meta's.
    pub(super) fn message_id(&self) -> String {
        let mut state = self.lock();
        state.next += 1;
        format!("wamid.HBgLSIM{:012X}AA==", state.next)
    }

    /// A file that a person has, by the id that the business fetches it with.
    pub fn upload(&self, media_type: &str, bytes: impl Into<Bytes>) -> String {
        let mut state = self.lock();
        state.next += 1;
        let id = (1_000_000_000_000_000 + state.next).to_string();
        let file = Uploaded { media_type: media_type.into(), bytes: bytes.into() };
        state.files.insert(id.clone(), file);
        id
    }

    /// A person writes; the id of the message. `message` has the type and what belongs to it.
    pub fn says(&self, who: &Person, message: Value) -> String {
        let id = self.message_id();
        self.push(&self.event_of(who, &id, message));
        id
    }

    /// A person writes a text.
    pub fn texts(&self, who: &Person, text: &str) -> String {
        self.says(who, json!({"type": "text", "text": {"body": text}}))
    }

    /// The event for a message, as Meta posts it.
    pub fn event_of(&self, who: &Person, id: &str, message: Value) -> Value {
        let mut message = message;
        message["id"] = id.into();
        message["timestamp"] = (self.clock().now().0 / 1000).to_string().into();
        let mut contact = json!({"profile": {"name": who.name}});
        if let Some(phone) = &who.phone {
            message["from"] = phone.as_str().into();
            contact["wa_id"] = phone.as_str().into();
        }
        if let Some(user) = &who.user_id {
            message["from_user_id"] = user.as_str().into();
            contact["user_id"] = user.as_str().into();
        }
        self.event(json!({"contacts": [contact], "messages": [message]}))
    }

    /// What became of a message of the business; with an error code when it failed.
    pub fn status(&self, id: &str, to: &str, status: &str, code: Option<u32>) {
        let mut it = json!({
            "id": id, "status": status, "recipient_id": to,
            "timestamp": (self.clock().now().0 / 1000).to_string(),
        });
        if let Some(code) = code {
            it["errors"] = json!([{"code": code, "title": "by script", "message": "by script"}]);
        }
        self.push(&self.event(json!({"statuses": [it]})));
    }

    /// A change of the field `messages` around `value`.
    pub fn event(&self, value: Value) -> Value {
        let mut value = value;
        value["messaging_product"] = "whatsapp".into();
        value["metadata"] = json!({
            "display_phone_number": self.config.display_phone_number,
            "phone_number_id": self.config.phone_number_id,
        });
        json!({
            "object": "whatsapp_business_account",
            "entry": [{"id": "102290129340398", "changes": [{"value": value, "field": "messages"}]}],
        })
    }

    /// Posts an event to the webhook, in order, again until it is taken.
    pub fn push(&self, event: &Value) {
        self.lock().queue.push_back(escaped(event));
        self.touch();
    }

    /// Changes with whatever happens here.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(super) fn touch(&self) {
        self.changed.send_modify(|it| *it += 1);
    }

    /// Returns once the webhook took everything.
    pub async fn until_taken(&self) {
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            if self.lock().queue.is_empty() || changed.changed().await.is_err() {
                return;
            }
        }
    }
}

/// JSON as Meta writes it: what is not ASCII is escaped, and so is the slash.
pub(super) fn escaped(event: &Value) -> String {
    let mut res = String::new();
    for c in event.to_string().chars() {
        match c {
            '/' => res += "\\/",
            c if c.is_ascii() => res.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    res += &format!("\\u{unit:04x}");
                }
            }
        }
    }
    res
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meta_escapes_what_is_not_ascii() {
        let event = json!({"text": "né 😀 a/b"});
        assert_eq!(escaped(&event), r#"{"text":"n\u00e9 \ud83d\ude00 a\/b"}"#);
        assert_eq!(serde_json::from_str::<Value>(&escaped(&event)).unwrap(), event);
    }
}
