//! What is to be sent, and what became of it.

use ngb_core::{
    address::{Jid, Place},
    clock::Timestamp,
    id::{JobId, MessageId, OutboxId},
    message::Outbound,
};

/// An item that is to be sent. One row a chunk; rows of one place go out in the order of their ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewOutbox {
    pub place: Place,
    pub item: Outbound,
    /// The message or job that it is about, for `why`.
    pub about: Option<MessageId>,
    pub job: Option<JobId>,
    /// Whether it is the first send of an answer that is shown while it is made.
    pub live: bool,
}

/// An outbox row that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued {
    pub id: OutboxId,
    /// The message that it was kept as, when it is no part of a run's answer.
    pub message: Option<MessageId>,
    /// In state `sending`: send it now. Else it waits behind others of its place, and [`crate::Store::take_outbox`] or the
    /// answer to [`crate::Store::settle`] hands it out.
    pub sending: Option<OutboxItem>,
}

/// An item in state `sending` that this node has to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxItem {
    pub id: OutboxId,
    pub place: Place,
    pub item: Outbound,
    /// Tries so far, this one included; 1 for the first.
    pub attempt: u32,
    /// Whether an earlier try may have arrived; ask the platform before sending again, where it can tell.
    pub in_doubt: bool,
    pub about: Option<MessageId>,
    /// Whether this begins an answer that edits will complete.
    pub live: bool,
}

/// What became of a send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settle {
    pub id: OutboxId,
    pub outcome: SendOutcome,
    pub now: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    Sent {
        platform_id: Option<String>,
    },
    /// Try again at that time; `in_doubt` when it may have arrived.
    Retry {
        at: Timestamp,
        error: String,
        in_doubt: bool,
    },
    /// Given up: the platform said never, or too many tries.
    Failed {
        error: String,
    },
    /// The chat has a new address: the row, and all others of the chat, go there.
    Moved {
        to: Jid,
    },
}

/// A message of ours, as its platform knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnMessage {
    pub place: Place,
    /// What it says; none for what says nothing.
    pub text: Option<String>,
}
