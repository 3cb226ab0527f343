//! What Discord told of channels and roles: names, which thread belongs where, and the bot itself. Never trusted.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tracing::debug;

use super::Discord;
use crate::{ChannelError, Retry};

/// Most channels that are remembered; then all are forgotten, and asked for again.
const MOST: usize = 50_000;

/// How long an event waits for its channel; a heartbeat is never further away than some 40 s.
const LOOK_LIMIT: Duration = Duration::from_secs(5);

/// A channel or a thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) name: String,
    /// The channel that it is a thread of.
    pub(super) parent: Option<String>,
    /// A forum takes posts, which are threads, and no messages.
    pub(super) is_forum: bool,
}

/// The bot, as the gateway's greeting says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Me {
    pub(super) id: String,
    pub(super) application: String,
    pub(super) name: String,
}

/// What is known now.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) me: Me,
    rooms: HashMap<String, Room>,
    roles: HashMap<String, String>,
    /// Roles that are the bot's own: who calls one of them calls the bot.
    own_roles: HashSet<String>,
}

impl Facts {
    pub(super) fn room(&self, id: &str) -> Option<&Room> {
        self.rooms.get(id)
    }

    pub(super) fn role(&self, id: &str) -> Option<&str> {
        self.roles.get(id).map(String::as_str)
    }

    pub(super) fn is_own_role(&self, id: &str) -> bool {
        self.own_roles.contains(id)
    }

    /// Takes in what an event tells.
    pub(super) fn learn(&mut self, kind: &str, event: &Value) {
        match kind {
            "READY" => {
                self.me.id = text(&event["user"]["id"]);
                self.me.application = text(&event["application"]["id"]);
                self.me.name = text(&event["user"]["username"]);
            }
            "GUILD_CREATE" => {
                for room in list(&event["channels"]).chain(list(&event["threads"])) {
                    self.add(room);
                }
                for role in list(&event["roles"]) {
                    self.add_role(role);
                }
            }
            "CHANNEL_CREATE" | "CHANNEL_UPDATE" | "THREAD_CREATE" | "THREAD_UPDATE" => {
                self.add(event);
            }
            "CHANNEL_DELETE" | "THREAD_DELETE" => {
                self.rooms.remove(&text(&event["id"]));
            }
            "THREAD_LIST_SYNC" => list(&event["threads"]).for_each(|it| self.add(it)),
            "GUILD_ROLE_CREATE" | "GUILD_ROLE_UPDATE" => self.add_role(&event["role"]),
            _ => (),
        }
    }

    fn add(&mut self, room: &Value) {
        if MOST <= self.rooms.len() {
            self.rooms.clear();
        }
        self.rooms.insert(text(&room["id"]), read_room(room));
    }

    fn add_role(&mut self, role: &Value) {
        let id = text(&role["id"]);
        if !self.me.id.is_empty() && role["tags"]["bot_id"] == self.me.id {
            self.own_roles.insert(id.clone());
        }
        self.roles.insert(id, text(&role["name"]));
    }
}

/// <https://docs.discord.com/developers/resources/channel#channel-object-channel-types>
fn read_room(room: &Value) -> Room {
    let kind = room["type"].as_i64();
    let is_thread = matches!(kind, Some(10..=12));
    Room {
        name: text(&room["name"]),
        parent: room["parent_id"].as_str().filter(|_| is_thread).map(str::to_owned),
        is_forum: matches!(kind, Some(15 | 16)),
    }
}

pub(super) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().map_or(&[][..], Vec::as_slice).iter()
}

pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(it) => it.clone(),
        Value::Number(it) => it.to_string(),
        _ => String::new(),
    }
}

/// The facts, shared.
#[derive(Default)]
pub(super) struct Known(Mutex<Facts>);

impl Known {
    pub(super) fn lock(&self) -> MutexGuard<'_, Facts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn me(&self) -> Me {
        self.lock().me.clone()
    }
}

impl Discord {
    /// Sees to it that the channel of an event is known, since a thread's place is its parent's.
    ///
    /// # Errors
    ///
    /// When Discord can't say now. The event is not taken then, and comes again.
    pub(super) async fn look_up_room(&self, event: &Value) -> Result<(), ChannelError> {
        let Some(id) = event["channel_id"].as_str() else { return Ok(()) };
        // A direct chat has no threads.
        if event["guild_id"].is_null() || self.known.lock().room(id).is_some() {
            return Ok(());
        }
        // An interaction brings its channel along.
        let found = if event["channel"]["id"] == id {
            Ok(event["channel"].clone())
        } else {
            let path = format!("/channels/{id}");
            match self.api.http.clock.timeout(LOOK_LIMIT, self.api.get(&path)).await {
                Ok(found) => found,
                Err(late) => Err(crate::http::HttpError::from(late).into()),
            }
        };
        let room = match found {
            Ok(found) => read_room(&found),
            Err(err) if err.retry() == Retry::Never => {
                debug!(account = %self.profile.account, "nothing is known of channel {id}: {err}");
                Room { name: id.to_owned(), ..Room::default() }
            }
            Err(err) => return Err(err.doing(format!("look up channel `{id}`"))),
        };
        self.known.lock().rooms.insert(id.to_owned(), room);
        Ok(())
    }
}
