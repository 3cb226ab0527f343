//! What the simulator knows, and what people do.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::Config;
use crate::fault::{Fault, Faults};

/// How long a session webhook lives, in milliseconds.
const SESSION_MS: i64 = 90 * 60 * 1000;

/// What the robot said: by which door, to whom, what.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Call {
    /// `session`, or the last part of the OpenAPI's path.
    pub door: String,
    pub to: String,
    pub body: Value,
}

/// A card, as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Card {
    pub name: String,
    pub space: String,
    pub content: String,
    pub finished: bool,
    /// How often it was streamed.
    pub states: usize,
    /// The variables of its template.
    pub params: Value,
}

/// Counts since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Sockets that are open.
    pub sockets: usize,
    /// Sockets that were opened.
    pub opened: u64,
    /// Frames that nobody acknowledged.
    pub pending: usize,
    pub acknowledged: usize,
    pub said: usize,
    /// Access tokens that were given out.
    pub tokens: usize,
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
    Cut,
}

#[derive(Debug, Default)]
pub(super) struct State {
    next: u64,
    pub(super) tickets: BTreeSet<String>,
    sockets: BTreeMap<u64, mpsc::UnboundedSender<Order>>,
    opened: u64,
    /// Frames that want an acknowledgement, by number.
    pending: BTreeMap<u64, (String, Value)>,
    /// What came back: the frame's id, and the whole answer.
    answers: Vec<(String, Value)>,
    pub(super) said: Vec<Call>,
    pub(super) cards: BTreeMap<String, Card>,
    /// What each card was streamed last: a repeat is dropped by its guid.
    pub(super) guids: BTreeSet<String>,
    pub(super) files: BTreeMap<String, Bytes>,
    /// Session webhooks that are good: their last part, and the chat.
    pub(super) sessions: BTreeMap<String, String>,
    /// The card that each press was of, by its frame.
    presses: BTreeMap<String, String>,
    /// The app has no right to make cards.
    pub(super) no_cards: bool,
    pub(super) tokens: Vec<String>,
    /// Signs under messages.
    pub(super) signs: BTreeSet<String>,
    pub(super) faults: Option<Faults>,
}

impl Platform {
    pub(super) fn new(config: Config, host: String) -> Self {
        let state = State { faults: Some(Faults::new(1)), ..State::default() };
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

    /// Changes with whatever happens here.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(super) fn touch(&self) {
        self.changed.send_modify(|it| *it += 1);
    }

    /// Sets what goes wrong.
    pub fn fault(&self, fault: Fault) {
        if let Some(faults) = &mut self.lock().faults {
            faults.add(fault);
        }
    }

    /// Somebody writes to the robot alone: `more` has `msgtype` and what belongs to it. The message's id.
    pub fn writes(&self, user: &str, more: &Value) -> String {
        self.message(user, None, more)
    }

    /// Somebody names the robot in a group.
    pub fn asks(&self, group: &str, user: &str, more: &Value) -> String {
        self.message(user, Some(group), more)
    }

    fn message(&self, user: &str, group: Option<&str>, more: &Value) -> String {
        let now = self.config.clock.now().0;
        let (id, session) = {
            let mut state = self.lock();
            let (id, session) = (state.number(), state.number().to_string());
            state.sessions.insert(session.clone(), group.unwrap_or(user).to_owned());
            (format!("msg{id}"), session)
        };
        let mut body = json!({
            "msgId": id, "conversationId": group.unwrap_or("cidOfOneAndTheRobotAlone=="),
            "conversationType": if group.is_some() { "2" } else { "1" },
            "senderStaffId": user, "senderId": format!("$:LWCP_v1:${user}"), "senderNick": format!("Nick {user}"),
            "createAt": now, "robotCode": self.config.client_id, "chatbotUserId": "$:LWCP_v1:$robot",
            "isInAtList": group.is_some(), "isAdmin": false, "senderCorpId": "dingcorp", "chatbotCorpId": "dingcorp",
            "sessionWebhook": format!("http://{}/robot/sendBySession?session={session}", self.host),
            "sessionWebhookExpiredTime": now + SESSION_MS,
        });
        if group.is_some() {
            body["conversationTitle"] = "The group".into();
            body["atUsers"] = json!([{"dingtalkId": "$:LWCP_v1:$robot"}]);
        }
        if let (Some(body), Some(more)) = (body.as_object_mut(), more.as_object()) {
            body.extend(more.clone());
        }
        self.push("CALLBACK", "/v1.0/im/bot/messages/get", &body.to_string());
        id
    }

    /// Sends a frame that wants an acknowledgement; its id.
    pub fn push(&self, kind: &str, topic: &str, data: &str) -> String {
        let mut state = self.lock();
        let number = state.number();
        let id = format!("frame-{number}");
        let frame = frame(kind, topic, &id, data);
        state.pending.insert(number, (id.clone(), frame.clone()));
        state.say(&frame);
        id
    }

    /// Somebody presses the button of a card that has these words; the frame's id.
    ///
    /// # Panics
    ///
    /// When no card of that name has such a button.
    pub fn press(&self, user: &str, card: &str, label: &str) -> String {
        let params = self.lock().cards.get(card).map(|it| it.params.clone()).unwrap_or_default();
        let layout = params["sys_full_json_obj"].as_str().unwrap_or_default();
        let layout: Value = serde_json::from_str(layout).unwrap_or_default();
        let buttons = layout["msgButtons"].as_array().cloned().unwrap_or_default();
        let button = buttons.iter().find(|it| it["text"] == label && it["request"] == true);
        let button = button.expect("the card has a button with these words");
        self.press_as(user, card, &json!({"actionIds": [button["id"]], "params": {}}))
    }

    /// Somebody presses the stop button of an operator's template, which sends that variable; the frame's id.
    ///
    /// # Panics
    ///
    /// When the variable is empty: the template shows no button then.
    pub fn press_stop(&self, user: &str, card: &str, variable: &str) -> String {
        let params = self.lock().cards.get(card).map(|it| it.params.clone()).unwrap_or_default();
        let value = params[variable].as_str().filter(|it| !it.is_empty());
        let value = value.expect("there is a button");
        self.press_as(user, card, &json!({"actionIds": ["node_1"], "params": {variable: value}}))
    }

    fn press_as(&self, user: &str, card: &str, pressed: &Value) -> String {
        let content = json!({"cardPrivateData": pressed});
        let data = json!({
            "extension": "{}", "corpId": "dingcorp", "type": "actionCallback", "userIdType": 1,
            "userId": user, "content": content.to_string(), "outTrackId": card, "spaceType": "IM",
        });
        let id = self.push("CALLBACK", "/v1.0/card/instances/callback", &data.to_string());
        self.lock().presses.insert(id.clone(), card.to_owned());
        id
    }

    /// From now on the app has no right to make cards.
    pub fn forbid_cards(&self) {
        self.lock().no_cards = true;
    }

    /// Asks for a sign of life; the frame's id.
    pub fn ping(&self) -> String {
        self.push("SYSTEM", "ping", r#"{"opaque":"0000-1111"}"#)
    }

    /// Says that the newest socket ends soon.
    pub fn disconnect(&self) {
        let mut state = self.lock();
        let id = format!("frame-{}", state.number());
        state.say(&frame(
            "SYSTEM",
            "disconnect",
            &id,
            r#"{"reason":"persistent connection expired"}"#,
        ));
    }

    /// Sends any text to the newest socket.
    pub fn push_text(&self, text: &str) {
        if let Some((_, socket)) = self.lock().sockets.last_key_value() {
            _ = socket.send(Order::Say(text.to_owned()));
        }
    }

    /// Cuts all sockets.
    pub fn cut(&self) {
        for socket in self.lock().sockets.values() {
            _ = socket.send(Order::Cut);
        }
    }

    /// Sends again what nobody acknowledged.
    pub fn repeat(&self) {
        self.lock().repeat();
    }

    /// What came back for a frame.
    pub fn answer(&self, id: &str) -> Option<Value> {
        self.lock().answers.iter().find(|(it, _)| it == id).map(|(_, it)| it.clone())
    }

    /// What the robot said, in order.
    pub fn said(&self) -> Vec<Call> {
        self.lock().said.clone()
    }

    /// The cards, by name.
    pub fn cards(&self) -> Vec<Card> {
        self.lock().cards.values().cloned().collect()
    }

    /// The messages that bear the robot's sign.
    pub fn signs(&self) -> Vec<String> {
        self.lock().signs.iter().cloned().collect()
    }

    /// A file that somebody sends, by its download code; or one that was sent up, by its id.
    pub fn file(&self, id: &str) -> Option<Bytes> {
        self.lock().files.get(id).cloned()
    }

    /// Keeps a file for its download code.
    pub fn keep(&self, code: &str, bytes: impl Into<Bytes>) {
        self.lock().files.insert(code.to_owned(), bytes.into());
    }

    /// Ends all session webhooks.
    pub fn end_sessions(&self) {
        self.lock().sessions.clear();
    }

    /// Ends the access token that was given out last.
    pub fn end_token(&self) {
        self.lock().tokens.push("nobody has this".into());
    }

    pub fn figures(&self) -> Figures {
        let state = self.lock();
        Figures {
            sockets: state.sockets.len(),
            opened: state.opened,
            pending: state.pending.len(),
            acknowledged: state.answers.len(),
            said: state.said.len(),
            tokens: state.tokens.len(),
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

    /// Returns once `done` is true of what was said and of the cards.
    pub async fn until(&self, mut done: impl FnMut(&[Call], &[Card]) -> bool) {
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            if done(&self.said(), &self.cards()) || changed.changed().await.is_err() {
                return;
            }
        }
    }
}

impl State {
    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Opens a socket; its number, and what it is told. What nobody acknowledged comes again on it.
    pub(super) fn seat(&mut self) -> (u64, mpsc::UnboundedReceiver<Order>) {
        let (tx, rx) = mpsc::unbounded_channel();
        let number = self.number();
        self.opened += 1;
        self.sockets.insert(number, tx);
        self.repeat();
        (number, rx)
    }

    pub(super) fn leave(&mut self, number: u64) {
        self.sockets.remove(&number);
    }

    pub(super) fn acknowledge(&mut self, answer: Value) {
        let id = answer["headers"]["messageId"].as_str().unwrap_or_default().to_owned();
        self.pending.retain(|_, (it, _)| *it != id);
        self.change_card(&answer);
        self.answers.push((id, answer));
    }

    /// The answer to a press may change the card: what it names is new, the rest stays.
    fn change_card(&mut self, answer: &Value) {
        let data = answer["data"].as_str().and_then(|it| serde_json::from_str::<Value>(it).ok());
        let Some(new) =
            data.as_ref().and_then(|it| it["response"]["cardData"]["cardParamMap"].as_object())
        else {
            return;
        };
        let id = &answer["headers"]["messageId"];
        let card = self.presses.get(id.as_str().unwrap_or_default());
        if let Some(card) = card.and_then(|it| self.cards.get_mut(it))
            && let Some(params) = card.params.as_object_mut()
        {
            params.extend(new.clone());
        }
    }

    fn say(&self, frame: &Value) {
        if let Some((_, socket)) = self.sockets.last_key_value() {
            _ = socket.send(Order::Say(frame.to_string()));
        }
    }

    fn repeat(&self) {
        for (_, frame) in self.pending.values() {
            self.say(frame);
        }
    }
}

fn frame(kind: &str, topic: &str, id: &str, data: &str) -> Value {
    let headers = json!({
        "messageId": id, "topic": topic, "contentType": "application/json", "time": "1690362102194",
        "appId": "app", "connectionId": "connection",
    });
    json!({"specVersion": "1.0", "type": kind, "headers": headers, "data": data})
}
