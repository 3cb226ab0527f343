//! What the simulator knows, and what people do.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::{BOT, BOT_ROLE, Config, DIRECT, FORUM, GENERAL, GUILD, THREAD};
use crate::fault::{Fault, Faults};

/// When Discord's ids begin, in milliseconds since 1970.
const EPOCH_MS: i64 = 1_420_070_400_000;

/// What the bot put before people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posted {
    pub channel: String,
    pub id: String,
    pub content: String,
    /// The message that it answers.
    pub reply_to: Option<String>,
    pub components: Value,
    pub allowed_mentions: Value,
    pub nonce: Option<String>,
    /// How often it was edited.
    pub edits: usize,
    /// The id and the name of each file.
    pub files: Vec<(String, String)>,
}

/// An answer to an interaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    pub interaction: String,
    pub body: Value,
}

/// Counts since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Sockets that are open.
    pub sockets: usize,
    /// Sockets that were opened.
    pub opened: u64,
    pub identified: u64,
    pub resumed: u64,
    pub heartbeats: u64,
    /// The number of the last event of the session.
    pub seq: u64,
    pub posted: usize,
    pub answered: usize,
    /// Slash commands that the bot offers.
    pub commands: usize,
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

/// What a session has told, and to whom.
#[derive(Debug, Default)]
pub(super) struct Session {
    pub(super) id: String,
    pub(super) told: Vec<String>,
    pub(super) socket: Option<u64>,
}

#[derive(Debug)]
pub(super) struct State {
    next: u64,
    pub(super) sockets: BTreeMap<u64, mpsc::UnboundedSender<Order>>,
    pub(super) session: Option<Session>,
    pub(super) figures: Figures,
    pub(super) channels: BTreeMap<String, Value>,
    /// All messages of a channel in order, also those of the bot.
    pub(super) history: BTreeMap<String, Vec<Value>>,
    pub(super) posted: Vec<Posted>,
    pub(super) answered: Vec<Answered>,
    pub(super) commands: Vec<Value>,
    pub(super) calls: Vec<(String, Value)>,
    /// Message and emoji, as the address says it.
    pub(super) reactions: Vec<(String, String)>,
    pub(super) refused: BTreeMap<String, (i64, String)>,
    /// What is left in the budget of a channel, by script, and how long it takes to fill.
    pub(super) budgets: BTreeMap<String, (u32, f64)>,
    pub(super) files: BTreeMap<String, (String, String, Bytes)>,
    /// Links to files are signed with it.
    pub(super) generation: u64,
    pub(super) deaf: bool,
    pub(super) sessions_left: u64,
    pub(super) faults: Faults,
}

impl Platform {
    pub(super) fn new(config: Config, host: String) -> Self {
        let channel = |id: &str, kind: u64, name: &str, parent: Option<&str>| {
            let mut it = json!({
                "id": id, "type": kind, "name": name, "guild_id": GUILD, "parent_id": parent, "position": 0,
                "permission_overwrites": [], "nsfw": false, "last_message_id": null, "flags": 0,
            });
            if parent.is_some() {
                it["thread_metadata"] = json!({
                    "archived": false, "auto_archive_duration": 60, "locked": false,
                    "archive_timestamp": "2026-01-01T00:00:00+00:00",
                });
                it["owner_id"] = "1".into();
                it["message_count"] = 0.into();
                it["member_count"] = 1.into();
            }
            (id.to_owned(), it)
        };
        let direct = json!({
            "id": DIRECT, "type": 1, "last_message_id": null, "flags": 0, "recipients": [user("1", "ann")],
        });
        let state = State {
            next: 1,
            sockets: BTreeMap::new(),
            session: None,
            figures: Figures::default(),
            channels: BTreeMap::from([
                channel(GENERAL, 0, "general", None),
                channel(THREAD, 11, "a thread", Some(GENERAL)),
                channel(FORUM, 15, "forum", None),
                (DIRECT.to_owned(), direct),
            ]),
            history: BTreeMap::new(),
            posted: Vec::new(),
            answered: Vec::new(),
            commands: Vec::new(),
            calls: Vec::new(),
            reactions: Vec::new(),
            refused: BTreeMap::new(),
            budgets: BTreeMap::new(),
            files: BTreeMap::new(),
            generation: 1,
            deaf: false,
            sessions_left: 1000,
            faults: Faults::new(1),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            changed: watch::channel(0).0,
            config: Arc::new(config),
            host: host.into(),
        }
    }

    /// Somebody says this; the id of the message.
    pub fn say(&self, channel: &str, person: &str, text: &str) -> String {
        let message = json!({"author": user(person, &format!("user{person}")), "content": text});
        self.message(channel, message)
    }

    /// A message with these fields, and the usual ones where they are not set; its id.
    pub fn message(&self, channel: &str, more: Value) -> String {
        let now = self.config.clock.now();
        let mut state = self.lock();
        let id = state.id(now);
        let mut message = state.message(channel, &id, now, user("1", "ann"));
        if let (Some(to), Some(more)) = (message.as_object_mut(), more.as_object()) {
            to.extend(more.clone());
        }
        state.tell_message(channel, message);
        drop(state);
        self.touch();
        id
    }

    /// An event as it is.
    pub fn event(&self, kind: &str, event: Value) {
        self.lock().tell(kind, event);
        self.touch();
    }

    /// An interaction with these fields; its id.
    pub fn interact(&self, channel: &str, person: &str, kind: u64, more: Value) -> String {
        let mut state = self.lock();
        let id = state.id(self.config.clock.now());
        let mut event = json!({
            "id": id, "application_id": super::APPLICATION, "type": kind, "token": format!("secret-{id}"),
            "channel_id": channel, "channel": state.channels.get(channel), "version": 1, "entitlements": [],
            "authorizing_integration_owners": {}, "attachment_size_limit": 10 << 20,
        });
        let user = user(person, &format!("user{person}"));
        match channel {
            DIRECT => event["user"] = user,
            _ => {
                event["guild_id"] = GUILD.into();
                event["member"] = member(Some(user));
            }
        }
        if let (Some(to), Some(more)) = (event.as_object_mut(), more.as_object()) {
            to.extend(more.clone());
        }
        state.tell("INTERACTION_CREATE", event);
        drop(state);
        self.touch();
        id
    }

    /// A frame as it is.
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

    /// Whether a bot has identified and is still there, so that it is told what happens.
    pub fn has_session(&self) -> bool {
        self.lock().session.as_ref().is_some_and(|it| it.socket.is_some())
    }

    /// Discord knows the session no more.
    pub fn forget_session(&self) {
        self.lock().session = None;
    }

    /// Heartbeats are not answered any more, or again.
    pub fn be_deaf(&self, deaf: bool) {
        self.lock().deaf = deaf;
    }

    /// How often the bot may still identify today.
    pub fn leave_sessions(&self, count: u64) {
        self.lock().sessions_left = count;
    }

    /// A call answers with this code from now on.
    pub fn refuse(&self, call: &str, code: i64, message: &str) {
        self.lock().refused.insert(call.to_owned(), (code, message.to_owned()));
    }

    /// So many messages may still be sent to a channel, and after so many seconds it is full again.
    pub fn budget(&self, channel: &str, left: u32, seconds: f64) {
        self.lock().budgets.insert(channel.to_owned(), (left, seconds));
    }

    /// A file that stands in a message; what stands there.
    pub fn add_file(&self, name: &str, media_type: &str, bytes: impl Into<Bytes>) -> Value {
        let now = self.config.clock.now();
        let mut state = self.lock();
        let id = state.id(now);
        state.files.insert(id.clone(), (name.to_owned(), media_type.to_owned(), bytes.into()));
        state.attachment(&self.host, &id)
    }

    /// The bytes of a file that was sent or added.
    pub fn file(&self, id: &str) -> Option<Bytes> {
        self.lock().files.get(id).map(|(_, _, bytes)| bytes.clone())
    }

    /// A day goes by: every link to a file is worth nothing.
    pub fn expire_links(&self) {
        self.lock().generation += 1;
    }

    pub fn fault(&self, fault: Fault) {
        self.lock().faults.add(fault);
    }

    /// The calls of one name so far.
    pub fn calls(&self, call: &str) -> Vec<Value> {
        let state = self.lock();
        state.calls.iter().filter(|it| it.0 == call).map(|it| it.1.clone()).collect()
    }

    /// Messages and emoji of the bot's reactions, as the address says them.
    pub fn reactions(&self) -> Vec<(String, String)> {
        self.lock().reactions.clone()
    }

    pub fn posted(&self) -> Vec<Posted> {
        self.lock().posted.clone()
    }

    pub fn answered(&self) -> Vec<Answered> {
        self.lock().answered.clone()
    }

    /// The slash commands that the bot offers.
    pub fn commands(&self) -> Vec<Value> {
        self.lock().commands.clone()
    }

    pub fn figures(&self) -> Figures {
        let state = self.lock();
        Figures {
            sockets: state.sockets.len(),
            seq: state.session.as_ref().map_or(0, |it| it.told.len() as u64),
            posted: state.posted.len(),
            answered: state.answered.len(),
            commands: state.commands.len(),
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

    /// The next id: the time, and a number.
    pub(super) fn id(&mut self, now: ngb_core::clock::Timestamp) -> String {
        let since = u64::try_from(now.0 - EPOCH_MS).unwrap_or_default();
        ((since << 22) | (self.number() & 0x3F_FFFF)).to_string()
    }

    /// A message as Discord tells it.
    pub(super) fn message(
        &self,
        channel: &str,
        id: &str,
        now: ngb_core::clock::Timestamp,
        author: Value,
    ) -> Value {
        let mut message = json!({
            "id": id, "channel_id": channel, "author": author, "content": "", "timestamp": now.to_string(),
            "edited_timestamp": null, "tts": false, "mention_everyone": false, "mentions": [], "mention_roles": [],
            "attachments": [], "embeds": [], "pinned": false, "type": 0, "flags": 0, "components": [],
        });
        if self.is_of_guild(channel) {
            message["guild_id"] = GUILD.into();
            message["member"] = member(None);
        }
        message
    }

    pub(super) fn is_of_guild(&self, channel: &str) -> bool {
        self.channels.get(channel).is_none_or(|it| it["guild_id"].is_string())
    }

    /// Puts a message into the history, and tells of it.
    pub(super) fn tell_message(&mut self, channel: &str, message: Value) {
        if let Some(it) = self.channels.get_mut(channel) {
            it["last_message_id"] = message["id"].clone();
        }
        self.history.entry(channel.to_owned()).or_default().push(message.clone());
        self.tell("MESSAGE_CREATE", message);
    }

    /// Tells the session of an event; who has none hears nothing of it.
    pub(super) fn tell(&mut self, kind: &str, event: Value) {
        let Some(session) = &mut self.session else { return };
        let seq = session.told.len() + 1;
        let frame = json!({"op": 0, "s": seq, "t": kind, "d": event}).to_string();
        session.told.push(frame.clone());
        if let Some(socket) = session.socket.and_then(|it| self.sockets.get(&it)) {
            _ = socket.send(Order::Say(frame));
        }
    }

    pub(super) fn attachment(&self, host: &str, id: &str) -> Value {
        let Some((name, kind, bytes)) = self.files.get(id) else { return Value::Null };
        let url =
            format!("http://{host}/attachments/1/{id}/{name}?ex=1&is=1&hm={}", self.generation);
        json!({
            "id": id, "filename": name, "content_type": kind, "size": bytes.len(), "url": url, "proxy_url": url,
        })
    }

    pub(super) fn guild(&self) -> Value {
        let of_guild = |thread: bool| -> Vec<Value> {
            let all = self.channels.values().filter(|it| it["guild_id"].is_string());
            all.filter(|it| (it["type"] == 11) == thread).cloned().collect()
        };
        let role = |id: &str, name: &str, tags: Value| {
            let mut role = json!({
                "id": id, "name": name, "color": 0, "colors": {"primary_color": 0, "secondary_color": null, "tertiary_color": null},
                "hoist": false, "position": 0, "permissions": "0", "managed": false, "mentionable": false, "flags": 0,
            });
            if !tags.is_null() {
                role["tags"] = tags;
            }
            role
        };
        let mut me = member(Some(user(BOT, "nano")));
        me["roles"] = json!([BOT_ROLE]);
        json!({
            "id": GUILD, "name": "Sim", "owner_id": "1", "unavailable": false, "large": false, "member_count": 3,
            "roles": [role(GUILD, "@everyone", Value::Null), role(BOT_ROLE, "nano", json!({"bot_id": BOT}))],
            "channels": of_guild(false), "threads": of_guild(true), "members": [me], "emojis": [], "stickers": [],
            "features": [], "presences": [], "voice_states": [], "stage_instances": [], "guild_scheduled_events": [],
            "soundboard_sounds": [], "joined_at": "2026-01-01T00:00:00+00:00", "afk_timeout": 300,
            "verification_level": 0, "default_message_notifications": 0, "explicit_content_filter": 0, "mfa_level": 0,
            "system_channel_flags": 0, "premium_tier": 0, "preferred_locale": "en-US", "nsfw_level": 0,
            "premium_progress_bar_enabled": false, "incidents_data": null,
        })
    }
}

pub(super) fn user(id: &str, name: &str) -> Value {
    let is_bot = id == BOT;
    json!({
        "id": id, "username": name, "global_name": null, "discriminator": "0", "avatar": null, "bot": is_bot,
    })
}

fn member(user: Option<Value>) -> Value {
    let mut member = json!({
        "roles": [], "joined_at": "2026-01-01T00:00:00+00:00", "deaf": false, "mute": false, "flags": 0, "nick": null,
        "permissions": "0",
    });
    if let Some(user) = user {
        member["user"] = user;
    }
    member
}
