//! An event and what was decided about it, on its way into the store.

use std::collections::HashMap;

use ngb_core::{
    address::{Account, Jid, Place},
    clock::Timestamp,
    decision::Decision,
    id::{AskId, GroupId, JobId, LaneId, MessageId, PassageId, RunId},
    message::{Inbound, Outbound},
    notice::Lang,
    queue::Queue,
    role::Role,
};

use super::{AnsweredAsk, Claim, Queued, Work};

/// An event and what was decided about it, on its way into the store.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub inbound: Inbound,
    pub plan: Plan,
}

/// What is to be written for an event. The reason becomes the decision's detail.
#[derive(Clone, Debug)]
pub enum Plan {
    /// A message and a job for it, unless as many wait in its lane as may.
    Engage { group: GroupId, lane_key: String, role: Role, queue: Queue, why: String },
    /// A message that waits as context in a lane.
    Keep { group: GroupId, lane_key: String, why: String },
    /// A message for nobody.
    Drop { why: String },
    /// A message of an unknown chat; a pairing and its notice, unless the chat had one since `not_since` or the account
    /// has `max_pending` open ones.
    OfferPairing {
        code: String,
        notice: Outbound,
        expires_at: Timestamp,
        not_since: Timestamp,
        max_pending: u32,
    },
    /// A message that the gateway itself answers at once: a command, the answer to a question.
    Answer { decision: Decision, why: String, say: Vec<Outbound> },
    /// A command that changes something; with it in one transaction, and only if the message is new.
    Act { act: Act, why: String, say: Vec<Outbound> },
    /// An edit or a deletion: a new revision of a message. A waiting job takes the new text, or is cancelled.
    Revise,
    /// What was sent did not arrive: its row is no longer sent, but failed.
    FailSend,
    /// The chat has a new address; bindings, access and lanes go with it.
    Move { to: Jid },
    /// A pressed button or a text that answers a question, if it is still open.
    AnswerAsk { ask: AskId, value: String },
    /// A button that is not for whoever pressed it.
    NotYours(Theirs),
    /// A message or an edit about which plugins are to be asked: it is stored, and planned once they were.
    AskPlugins,
    /// What plugins were asked about, and what is to be written for it now.
    Asked { passage: PassageId, message: Option<MessageId>, plan: Box<Plan> },
}

impl Plan {
    /// What is to be written, whether plugins were asked or not.
    pub fn now(&self) -> &Self {
        match self {
            Self::Asked { plan, .. } => plan,
            other => other,
        }
    }
}

/// What a button that somebody else may press is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theirs {
    Question(AskId),
    /// The answer to a job, which it would stop.
    Answer(JobId),
}

/// What a command in a chat changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// The lane's next run begins a new session, and is given no message from before the command.
    NewSession { group: GroupId, lane_key: String },
    /// The group's agent rests, or goes on.
    Pause { group: GroupId, paused: bool },
    /// Whoever writes as that sender is to be forgotten, and told so there.
    Forget { account: Account, sender_id: String, place: Place, lang: Lang },
}

/// A batch of arrivals: one transaction.
#[derive(Clone, Debug)]
pub struct Accept {
    pub arrivals: Vec<Arrival>,
    pub now: Timestamp,
    /// How many runs may be opened right away, for lanes that are free.
    pub permits: usize,
    pub lease_until: Timestamp,
}

/// What became of an arrival, in the order of the batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    New {
        /// None for an event that is no message and revises none.
        message: Option<MessageId>,
        job: Option<JobId>,
        lane: Option<LaneId>,
        /// The outbox rows that it made.
        said: Vec<Queued>,
        /// The question that it answered.
        answered: Option<AnsweredAsk>,
    },
    /// The account had an event with this key, or the chat a message with this id.
    Repeat { message: Option<MessageId> },
    /// The database can't hold it, whatever is tried; the others of the batch are stored. Acknowledge it, or it comes again
    /// for ever.
    Refused { why: String },
}

/// The answer to [`Accept`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AcceptDone {
    pub recorded: Vec<Recorded>,
    /// Runs that were opened; each uses a permit.
    pub claims: Vec<Claim>,
    /// What they are to do.
    pub work: HashMap<RunId, Work>,
}

/// Runs that were opened, and what they are to do. Work that is missing is to be asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    pub claims: Vec<Claim>,
    pub work: HashMap<RunId, Work>,
}
