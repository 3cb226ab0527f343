//! What the simulator knows, and what people do.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use ring::signature::Ed25519KeyPair;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::{BOT, Config};
use crate::{
    call::{Answer, call},
    fault::{Fault, Faults},
};

/// What the bot put before people: where, and the call's body.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sent {
    /// The path without `/messages`: `/v2/groups/G1`.
    pub to: String,
    pub body: Value,
}

/// Counts since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Sockets that are open.
    pub sockets: usize,
    pub opened: u64,
    pub identified: u64,
    pub resumed: u64,
    pub heartbeats: u64,
    /// Access tokens that were given out.
    pub tokens: usize,
    pub sent: usize,
}

/// The platform's side of a simulator. Clones are the same platform.
#[derive(Clone, Debug)]
pub struct Platform {
    state: Arc<Mutex<State>>,
    changed: watch::Sender<u64>,
    pub(crate) config: Arc<Config>,
    pub(super) host: Arc<str>,
}

/// What to do with a socket.
#[derive(Clone, Debug)]
pub(super) enum Order {
    Say(String),
    /// Close it with this code; none cuts it.
    Close(Option<u16>),
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: String,
    /// All frames of it, by their number less one.
    pub(super) told: Vec<String>,
    pub(super) socket: Option<u64>,
}

/// A message that may be answered.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) answers: usize,
    pub(super) expired: bool,
}

#[derive(Debug)]
pub(super) struct State {
    next: u64,
    pub(super) figures: Figures,
    pub(super) sockets: BTreeMap<u64, mpsc::UnboundedSender<Order>>,
    pub(super) session: Option<Session>,
    pub(super) tokens: Vec<String>,
    pub(super) heard: BTreeMap<String, Heard>,
    /// Message and number of each answer.
    pub(super) answered: BTreeSet<(String, u64)>,
    pub(super) sent: Vec<Sent>,
    pub(super) signs: Vec<Sent>,
    pub(super) files: BTreeMap<String, Bytes>,
    /// Nothing may be said that is no answer.
    pub(super) only_answers: bool,
    pub(super) faults: Faults,
}

impl Platform {
    pub(super) fn new(config: Config, host: String) -> Self {
        let state = State {
            next: 0,
            figures: Figures::default(),
            sockets: BTreeMap::new(),
            session: None,
            tokens: Vec::new(),
            heard: BTreeMap::new(),
            answered: BTreeSet::new(),
            sent: Vec::new(),
            signs: Vec::new(),
            files: BTreeMap::new(),
            only_answers: false,
            faults: Faults::new(1),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            changed: watch::channel(0).0,
            config: Arc::new(config),
            host: host.into(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn touch(&self) {
        self.changed.send_modify(|it| *it += 1);
    }

    /// Somebody writes to the bot alone; the message's id.
    pub fn writes(&self, user: &str, text: &str) -> String {
        self.say(
            "C2C_MESSAGE_CREATE",
            json!({"author": {"user_openid": user, "id": user}, "content": text}),
        )
    }

    /// Somebody names the bot in a group; the message's id.
    pub fn asks(&self, group: &str, user: &str, text: &str) -> String {
        let body = json!({
            "author": {"member_openid": user, "id": user}, "group_openid": group, "group_id": group,
            "content": format!(" {text}"),
        });
        self.say("GROUP_AT_MESSAGE_CREATE", body)
    }

    /// Somebody names the bot in a channel; the message's id.
    pub fn calls(&self, channel: &str, user: &str, text: &str) -> String {
        let body = json!({
            "author": {"id": user, "username": format!("Nick {user}"), "bot": false}, "channel_id": channel, "guild_id": "1",
            "content": format!("<@!{BOT}> {text}"), "mentions": [{"id": BOT, "username": self.config.name, "bot": true}],
            "member": {"nick": format!("Nick {user}")},
        });
        self.say("AT_MESSAGE_CREATE", body)
    }

    /// A message of this kind, with an id and a time of its own; the id.
    pub fn say(&self, kind: &str, body: Value) -> String {
        let (id, body) = self.message(body);
        self.tell(kind, body);
        id
    }

    fn message(&self, mut body: Value) -> (String, Value) {
        let mut state = self.lock();
        let id = format!("ROBOT1.0_m{}", state.number());
        state.heard.insert(id.clone(), Heard::default());
        body["id"] = id.as_str().into();
        body["timestamp"] = self.config.clock.now().to_string().into();
        (id, body)
    }

    /// An event as it is.
    pub fn tell(&self, kind: &str, body: Value) {
        self.lock().tell(kind, body);
        self.touch();
    }

    /// The callback of somebody who writes to the bot alone: its headers and its body.
    pub fn callback(&self, user: &str, text: &str) -> (Vec<(&'static str, String)>, String) {
        let (id, d) =
            self.message(json!({"author": {"user_openid": user, "id": user}, "content": text}));
        let body = json!({"op": 0, "id": format!("C2C_MESSAGE_CREATE:{id}"), "t": "C2C_MESSAGE_CREATE", "d": d});
        self.signed(&body)
    }

    /// Anything, signed as QQ does.
    pub fn signed(&self, body: &Value) -> (Vec<(&'static str, String)>, String) {
        let (time, body) = ((self.config.clock.now().0 / 1000).to_string(), body.to_string());
        let seed: Vec<u8> = self.config.secret.bytes().cycle().take(32).collect();
        let key = Ed25519KeyPair::from_seed_unchecked(&seed).expect("32 bytes are a seed");
        let signature = key.sign(format!("{time}{body}").as_bytes());
        let signature: String = signature.as_ref().iter().map(|it| format!("{it:02x}")).collect();
        let headers = vec![
            ("x-signature-ed25519", signature),
            ("x-signature-timestamp", time),
            ("x-bot-appid", self.config.app_id.clone()),
        ];
        (headers, body)
    }

    /// Posts what [`Platform::signed`] made to a bot; its answer.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub async fn post(
        &self,
        url: &str,
        signed: &(Vec<(&'static str, String)>, String),
    ) -> anyhow::Result<Answer> {
        let headers: Vec<(&str, &str)> = signed.0.iter().map(|(a, b)| (*a, b.as_str())).collect();
        call("POST", url, &headers, signed.1.clone().into()).await
    }

    /// A file that somebody sends: what stands in the message.
    pub fn add_file(&self, name: &str, media_type: &str, bytes: impl Into<Bytes>) -> Value {
        let bytes = bytes.into();
        let mut state = self.lock();
        let id = format!("f{}", state.number());
        let size = bytes.len();
        state.files.insert(id.clone(), bytes);
        let url = format!("http://{}/files/{id}", self.host);
        json!({"content_type": media_type, "filename": name, "url": url, "size": size})
    }

    /// The bytes of a file that was sent or added.
    pub fn file(&self, id: &str) -> Option<Bytes> {
        self.lock().files.get(id).cloned()
    }

    /// A frame as it is, on all sockets.
    pub fn frame(&self, text: impl Into<String>) {
        let text = text.into();
        for socket in self.lock().sockets.values() {
            _ = socket.send(Order::Say(text.clone()));
        }
    }

    /// Every socket is closed with this code; none cuts them.
    pub fn close(&self, code: Option<u16>) {
        for socket in self.lock().sockets.values() {
            _ = socket.send(Order::Close(code));
        }
    }

    /// The session can't be taken up any more.
    pub fn forget_session(&self) {
        self.lock().session = None;
    }

    /// Ends the access token that was given out last.
    pub fn end_token(&self) {
        self.lock().tokens.push("nobody has this".into());
    }

    /// Messages of so far can't be answered any more.
    pub fn expire(&self) {
        self.lock().heard.values_mut().for_each(|it| it.expired = true);
    }

    /// From now on nothing may be said that is no answer.
    pub fn allow_only_answers(&self) {
        self.lock().only_answers = true;
    }

    pub fn fault(&self, fault: Fault) {
        self.lock().faults.add(fault);
    }

    /// What the bot said, in order.
    pub fn sent(&self) -> Vec<Sent> {
        self.lock().sent.clone()
    }

    /// The signs of work that the bot showed.
    pub fn signs(&self) -> Vec<Sent> {
        self.lock().signs.clone()
    }

    pub fn figures(&self) -> Figures {
        let state = self.lock();
        Figures {
            sockets: state.sockets.len(),
            tokens: state.tokens.len(),
            sent: state.sent.len(),
            ..state.figures.clone()
        }
    }

    /// Changes with whatever happens here.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
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
}

impl State {
    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Tells the session, on its socket where it has one.
    pub(super) fn tell(&mut self, kind: &str, body: Value) {
        let Some(session) = &mut self.session else { return };
        let number = session.told.len() + 1;
        let frame = json!({
            "op": 0, "s": number, "t": kind, "id": format!("{kind}:{number}"), "d": body,
        });
        session.told.push(frame.to_string());
        if let Some(socket) = session.socket.and_then(|it| self.sockets.get(&it)) {
            _ = socket.send(Order::Say(frame.to_string()));
        }
    }
}
