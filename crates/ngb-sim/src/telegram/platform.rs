//! The platform's side: people, what was sent, and the faults, for a test to drive.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use ngb_core::clock::{Clock, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use super::{Config, Draft};
use crate::fault::{Fault, Faults};

/// The kinds of updates that a bot may be sent.
const KINDS: &[&str] = &[
    "callback_query",
    "channel_post",
    "chat_join_request",
    "chat_member",
    "edited_channel_post",
    "edited_message",
    "inline_query",
    "message",
    "message_reaction",
    "message_reaction_count",
    "my_chat_member",
    "poll",
    "poll_answer",
];

/// The kinds that come only to a bot that names them, says the Bot API about `allowed_updates`.
const NOT_BY_DEFAULT: &[&str] = &["chat_member", "message_reaction", "message_reaction_count"];

/// A message of the bot, as people see it now.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SentMessage {
    pub id: i64,
    pub chat: i64,
    pub thread: Option<i64>,
    /// The method that sent it.
    pub method: String,
    /// The text or caption, without markup.
    pub text: String,
    pub entities: Vec<Value>,
    pub reply_to: Option<i64>,
    pub reply_markup: Option<Value>,
    pub file: Option<SentFile>,
    pub edits: Vec<Edit>,
    /// When it was shown, in milliseconds.
    pub at: Timestamp,
    /// When the bot was told; none while it is in doubt, and for ever when the answer was cut.
    pub answered_at: Option<Timestamp>,
}

/// A file that the bot sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SentFile {
    pub name: String,
    pub media_type: Option<String>,
    pub size_bytes: usize,
    pub file_id: String,
}

/// One edit of a message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Edit {
    pub text: String,
    pub at: Timestamp,
}

/// A call of the bot, with the parameters that it sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Call {
    pub method: String,
    pub fields: Map<String, Value>,
    /// Field, name and size in bytes of each file.
    pub files: Vec<(String, String, usize)>,
    pub at: Timestamp,
}

/// Counts since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Calls of `getUpdates`.
    pub polls: u64,
    pub first_poll_at: Option<Timestamp>,
    /// Updates that are not confirmed, those that are late among them.
    pub pending: usize,
    /// The first update that is not confirmed.
    pub offset: i64,
    pub sent: usize,
    /// Sends and edits that began and have no answer yet.
    pub in_flight: usize,
}

/// The platform's side of a simulator. Clones are the same platform.
#[derive(Clone, Debug)]
pub struct Platform {
    pub(super) state: Arc<Mutex<State>>,
    /// Changes whenever the state does, so that whoever waits looks again.
    pub(crate) changed: watch::Sender<u64>,
    pub(super) clock: Clock,
    pub(super) token: Arc<str>,
    /// The bot's user object.
    pub(crate) bot: Arc<Value>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) next_update: i64,
    pub(super) next_message: i64,
    /// Updates that are there to be polled, in order.
    pub(super) queue: VecDeque<Queued>,
    pub(super) late: BTreeMap<(Timestamp, i64), Value>,
    pub(super) offset: i64,
    /// The newest poll; an older one that still waits ends with 409.
    pub(super) poll: u64,
    pub(super) first_poll_at: Option<Timestamp>,
    pub(super) allowed: Option<Vec<String>>,
    pub(super) repeat: bool,
    pub(super) webhook: Option<Hook>,
    pub(super) sent: Vec<SentMessage>,
    /// Place in `sent` by chat and id.
    pub(super) by_id: BTreeMap<(i64, i64), usize>,
    pub(super) in_flight: usize,
    pub(super) calls: Vec<Call>,
    pub(super) log_calls: bool,
    pub(super) files: BTreeMap<String, Bytes>,
    pub(super) faults: Faults,
    pub(super) moved: BTreeMap<i64, i64>,
    pub(super) blocked: BTreeSet<i64>,
}

/// An update that waits.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) id: i64,
    /// The whole update.
    pub(super) json: Box<str>,
    /// How often it must still be delivered before confirming it counts.
    pub(super) owed: u8,
}

/// Where updates are posted to.
#[derive(Clone, Debug)]
pub(super) struct Hook {
    pub(super) url: String,
    pub(super) secret: Option<String>,
    pub(super) last_error: Option<String>,
}

impl Platform {
    pub(super) fn new(config: Config) -> Self {
        let id: i64 = config.token.split(':').next().and_then(|it| it.parse().ok()).unwrap_or(1);
        let bot = json!({
            "id": id, "is_bot": true, "first_name": "Nano", "username": config.username,
            "can_join_groups": true, "supports_inline_queries": false,
            "can_read_all_group_messages": config.can_read_all_group_messages,
        });
        let state = State {
            next_update: 1000,
            next_message: 1,
            queue: VecDeque::new(),
            late: BTreeMap::new(),
            offset: 0,
            poll: 0,
            first_poll_at: None,
            allowed: None,
            repeat: false,
            webhook: None,
            sent: Vec::new(),
            by_id: BTreeMap::new(),
            in_flight: 0,
            calls: Vec::new(),
            log_calls: true,
            files: BTreeMap::new(),
            faults: Faults::new(config.seed),
            moved: BTreeMap::new(),
            blocked: BTreeSet::new(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            changed: watch::channel(0).0,
            clock: config.clock,
            token: config.token.into(),
            bot: Arc::new(bot),
        }
    }

    /// People do these things, in this order; the ids of their messages.
    pub fn push(&self, drafts: &[Draft]) -> Vec<i64> {
        let now = self.clock.now();
        let ids = {
            let mut state = self.lock();
            let mut ids = Vec::with_capacity(drafts.len());
            for draft in drafts {
                let id = state.next_message;
                state.next_message += 1;
                let update = draft.update(id, &self.bot, now);
                ids.push(draft.edit_of.unwrap_or(id));
                if draft.late_ms == 0 {
                    state.enqueue(update);
                } else {
                    let due = now + std::time::Duration::from_millis(draft.late_ms);
                    state.late.insert((due, id), update);
                }
            }
            ids
        };
        self.touch();
        ids
    }

    /// Whole updates as they are, with an `update_id` where they are objects without one.
    pub fn push_raw(&self, updates: Vec<Value>) {
        let mut state = self.lock();
        for update in updates {
            state.enqueue(update);
        }
        drop(state);
        self.touch();
    }

    /// A file that `getFile` finds, and its id.
    pub fn add_file(&self, bytes: impl Into<Bytes>) -> String {
        self.lock().add_file(bytes.into())
    }

    /// The bytes of a file that was sent or added.
    pub fn file(&self, file_id: &str) -> Option<Bytes> {
        self.lock().files.get(file_id).cloned()
    }

    pub fn fault(&self, fault: Fault) {
        self.lock().faults.add(fault);
    }

    pub fn clear_faults(&self) {
        self.lock().faults.clear();
    }

    /// From now on each update is delivered twice, confirmed or not.
    pub fn repeat_updates(&self, on: bool) {
        self.lock().repeat = on;
    }

    /// The group is now a supergroup: sends to `from` are refused with the new id, and an update says so.
    pub fn migrate(&self, from: i64, to: i64) {
        self.lock().moved.insert(from, to);
        let more = json!({"migrate_to_chat_id": to});
        let Value::Object(more) = more else { return };
        self.push(&[Draft { chat: from, more, ..Draft::default() }]);
    }

    /// People of this chat don't want to hear the bot any more: sends are refused with 403.
    pub fn block(&self, chat: i64) {
        self.lock().blocked.insert(chat);
    }

    /// They want to hear it again.
    pub fn unblock(&self, chat: i64) {
        self.lock().blocked.remove(&chat);
    }

    /// Whether the parameters of all calls are kept; true at first. A bench turns it off.
    pub fn log_calls(&self, on: bool) {
        self.lock().log_calls = on;
    }

    /// The calls of one method so far.
    pub fn calls(&self, method: &str) -> Vec<Call> {
        self.lock().calls.iter().filter(|it| it.method == method).cloned().collect()
    }

    /// What the bot sent, from the `first` message on.
    pub fn sent(&self, first: usize) -> Vec<SentMessage> {
        self.lock().sent.get(first..).unwrap_or_default().to_vec()
    }

    /// Why the latest update could not be posted.
    pub fn webhook_error(&self) -> Option<String> {
        self.lock().webhook.as_ref()?.last_error.clone()
    }

    pub fn figures(&self) -> Figures {
        let state = self.lock();
        Figures {
            polls: state.poll,
            first_poll_at: state.first_poll_at,
            pending: state.queue.len() + state.late.len(),
            offset: state.offset,
            sent: state.sent.len(),
            in_flight: state.in_flight,
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

    /// Returns all that was sent once it is `count` messages.
    pub async fn wait_sent(&self, count: usize) -> Vec<SentMessage> {
        self.wait(|it| count <= it.sent).await;
        self.sent(0)
    }

    /// Returns once the bot has confirmed all updates.
    pub async fn wait_confirmed(&self) {
        self.wait(|it| it.pending == 0).await;
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn touch(&self) {
        self.changed.send_modify(|it| *it += 1);
    }
}

impl State {
    pub(super) fn enqueue(&mut self, mut update: Value) {
        if !self.wants(&update) {
            return;
        }
        let id = self.next_update;
        self.next_update += 1;
        if let Some(fields) = update.as_object_mut() {
            fields.entry("update_id").or_insert(id.into());
        }
        let owed = if self.repeat { 2 } else { 0 };
        self.queue.push_back(Queued { id, json: update.to_string().into(), owed });
    }

    pub(super) fn add_file(&mut self, bytes: Bytes) -> String {
        let id = format!("file-{}", self.files.len() + 1);
        self.files.insert(id.clone(), bytes);
        id
    }

    /// Forgets what the bot has confirmed, but for what must be repeated.
    pub(super) fn confirm(&mut self, offset: i64) {
        if offset < 0 {
            let keep = usize::try_from(-offset).unwrap_or(usize::MAX);
            let drop = self.queue.len().saturating_sub(keep);
            self.queue.drain(..drop);
            return;
        }
        self.offset = self.offset.max(offset);
        while self.queue.front().is_some_and(|it| it.id < self.offset && it.owed == 0) {
            self.queue.pop_front();
        }
    }

    /// Whether the bot asked for this kind of update. What is no kind that Telegram has was pushed as a poison, and is
    /// to be seen.
    fn wants(&self, update: &Value) -> bool {
        let known = |key: &String| KINDS.contains(&key.as_str());
        let Some(kind) = update.as_object().and_then(|it| it.keys().find(|it| known(it))) else {
            return true;
        };
        match &self.allowed {
            Some(allowed) => allowed.contains(kind),
            None => !NOT_BY_DEFAULT.contains(&kind.as_str()),
        }
    }

    /// Puts what is late and now due into the queue; when the next one is.
    pub(super) fn release_late(&mut self, now: Timestamp) -> Option<Timestamp> {
        while let Some(entry) = self.late.first_entry() {
            if now < entry.key().0 {
                return Some(entry.key().0);
            }
            let update = entry.remove();
            self.enqueue(update);
        }
        None
    }
}
