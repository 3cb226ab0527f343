//! What is changed beside the path of a message, and what is counted of it.

use ngb_core::{
    address::Place,
    clock::Timestamp,
    group::{Engage, Exceptions, FolderName, GroupName, Limits, Scope, Senders},
    id::{GroupId, MessageId},
    message::MediaRef,
    queue::Queue,
};

/// Fields of a group that may be changed.
#[derive(Clone, Debug, Default)]
pub struct GroupChange {
    pub name: Option<GroupName>,
    pub limits: Option<Limits>,
    /// Whether its agent is to rest.
    pub paused: Option<bool>,
}

/// A group that is to be made.
#[derive(Clone, Debug)]
pub struct NewGroup {
    pub name: GroupName,
    pub folder: FolderName,
    pub is_main: bool,
    pub limits: Limits,
}

/// A place that is to belong to a group.
#[derive(Clone, Debug)]
pub struct NewBinding {
    pub group: GroupId,
    /// Without a thread it covers the whole chat.
    pub place: Place,
    pub engage: Engage,
    pub scope: Scope,
    pub senders: Senders,
    pub queue: Queue,
    pub exceptions: Exceptions,
}

/// What a group used of a model on one day.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct DayUsage {
    /// When the day began, in UTC.
    pub day: Timestamp,
    pub group: GroupId,
    pub provider: String,
    pub model: String,
    pub runs: u64,
    /// With those of the cache.
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub cached_tokens: u64,
    /// Of input and output together, those that no provider counted.
    pub estimated_tokens: u64,
    /// Of those that have a price, in millionths of the currency's unit.
    pub cost_micros: u64,
    /// Of input and output together, those without a price.
    pub unpriced_tokens: u64,
}

/// One line of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    pub at: Timestamp,
    pub who: String,
    pub what: String,
    pub detail: String,
}

/// A file that a message came with, once it is on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedMedia {
    pub message: MessageId,
    /// The position in the message's list.
    pub n: u32,
    pub media: MediaRef,
    /// Its path under the group's folder.
    pub path: String,
}
