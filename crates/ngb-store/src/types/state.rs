//! What is read of groups, people and logins, and of the whole.

use ngb_core::{
    address::{Account, Jid, Place},
    clock::Timestamp,
    group::{Binding, Group},
    id::{GroupId, JobId, UserId},
    role::Role,
    route::Access,
};

/// What routing needs to know; small, and kept in memory by the gateway.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    pub groups: Vec<Group>,
    /// The oldest first.
    pub bindings: Vec<Binding>,
    /// Chats that somebody decided about.
    pub access: Vec<(Jid, Access)>,
    /// People with a role for the whole gateway (no group) or for one.
    pub people: Vec<Person>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    pub user: UserId,
    pub name: String,
    /// Their addresses: account and the platform's stable id.
    pub identities: Vec<(Account, String)>,
    pub roles: Vec<(Option<GroupId>, Role)>,
}

/// A chat or person that asks to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pairing {
    pub code: String,
    pub place: Place,
    pub chat_title: String,
    pub is_direct: bool,
    pub sender_id: String,
    pub sender_name: String,
    pub offered_at: Timestamp,
    pub expires_at: Timestamp,
}

/// A place that wrote to us, for pickers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatRow {
    pub jid: Jid,
    pub title: String,
    pub is_direct: bool,
    pub access: Access,
    pub last_seen_at: Timestamp,
}

/// A login of the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub user: UserId,
    pub name: String,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

/// Numbers for health and metrics, each a count of rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Counts {
    pub groups: u64,
    pub messages_in: u64,
    pub messages_out: u64,
    pub jobs_queued: u64,
    /// Those of them that a person or an agent has put off: reminders.
    pub tasks_active: u64,
    pub jobs_running: u64,
    pub jobs_dead: u64,
    pub runs_running: u64,
    pub outbox_pending: u64,
    pub outbox_sending: u64,
    pub outbox_in_doubt: u64,
    pub outbox_failed: u64,
    pub repeats: u64,
}

/// Before which time rows are old, by kind; none keeps a kind for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cutoffs {
    /// Messages and what became of them: jobs, runs, decisions, sends. Event keys stay for 30 days more.
    pub messages: Option<Timestamp>,
    pub dead_letters: Option<Timestamp>,
    pub usage: Option<Timestamp>,
    pub audit: Option<Timestamp>,
}

impl From<Timestamp> for Cutoffs {
    /// The same for all kinds.
    fn from(before: Timestamp) -> Self {
        let it = Some(before);
        Self { messages: it, dead_letters: it, usage: it, audit: it }
    }
}

/// What `prune` removed, or would.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Pruned {
    pub dead_letters: u64,
    pub usage: u64,
    pub audit: u64,
    pub messages: u64,
    pub jobs: u64,
    pub runs: u64,
    pub decisions: u64,
    pub outbox: u64,
    pub event_keys: u64,
    /// Fires of tasks.
    pub fires: u64,
}

/// What start-up found of the gateway that was here before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Runs that were cut off; their jobs wait again.
    pub runs: u64,
    /// Jobs that were given up, since the gateway died too often while they ran.
    pub dead: Vec<JobId>,
    /// Sends that were in flight; they are in doubt and go out again.
    pub in_doubt: u64,
}
