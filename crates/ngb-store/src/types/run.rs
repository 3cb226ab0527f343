//! The work of a run: what is claimed, what its agent asks for, how it ends.

use ngb_core::{
    address::Place,
    ask::Audience,
    clock::Timestamp,
    decision::Decision,
    frame::SessionMark,
    group::Engage,
    id::{AskId, GroupId, JobId, LaneId, MessageId, OutboxId, RunId, TaskId},
    job::{JobState, Tries},
    message::{Author, Button},
    role::Role,
};

use super::{NewOutbox, Queued, StoredMessage};

/// A run that this node holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    pub run: RunId,
    /// Goes with each write on behalf of the run; a write of a run that lost its lease changes nothing.
    pub epoch: i64,
    pub lane: LaneId,
    pub group: GroupId,
}

/// What a run is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    pub lane_key: String,
    /// Whether the chat is between one person and the bot.
    pub is_direct: bool,
    pub session: Option<SessionMark>,
    /// One prompt: all of the same place and role, the oldest first. Never empty.
    pub jobs: Vec<WorkJob>,
    /// Messages of the lane that nobody addressed to the agent, the oldest first.
    pub context: Vec<StoredMessage>,
    /// What its group used today, this run included.
    pub used_today: DayUse,
}

/// What a group used on one day, in UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayUse {
    pub runs: u64,
    pub tokens: u64,
    /// In millionths of the currency's unit, of what has a price.
    pub cost_micros: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkJob {
    pub id: JobId,
    pub kind: JobKind,
    pub place: Place,
    pub role: Role,
    pub tries: Tries,
    /// Whether an earlier run did something that can't be taken back.
    pub had_effect: bool,
    /// The message that shows the answer while it is made, if one was sent already.
    pub live: Option<LiveAnswer>,
    /// Whether the chat was told that the answer takes longer.
    pub told_waiting: bool,
    /// Whether somebody was asked if it is still to be answered, and said yes.
    pub cleared: bool,
    pub created_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobKind {
    /// Answer a message.
    Message(Box<StoredMessage>),
    /// Say a text; no agent is needed.
    Say { text: String },
    /// Give the agent what was scheduled.
    Task {
        task: TaskId,
        text: String,
        /// When it was to be.
        slot_at: Timestamp,
    },
}

/// The first send of an answer that is shown while it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveAnswer {
    pub outbox: OutboxId,
    /// None while nobody knows.
    pub platform_id: Option<String>,
}

/// The end of a run: one transaction.
#[derive(Clone, Debug)]
pub struct Finish {
    pub claim: Claim,
    pub now: Timestamp,
    /// What becomes of each job that the run carried.
    pub jobs: Vec<(JobId, JobState, Tries)>,
    /// The agent's answer, as a message of the chat.
    pub answer: Option<NewMessage>,
    /// What is to be sent. The first of them belongs to `answer` and goes out under its id.
    pub outbox: Vec<NewOutbox>,
    /// How far the session goes now; none leaves it as it is.
    pub session: Option<SessionMark>,
    pub usage: Vec<Usage>,
    /// Set when the run failed, for `why` and the dead letters.
    pub error: Option<String>,
    /// Whether the kept messages up to the newest job's were given to the agent and are context no more.
    pub context_given: bool,
    pub decisions: Vec<NewDecision>,
}

/// What the end of a run made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finished {
    /// The message of the answer.
    pub answer: Option<MessageId>,
    pub said: Vec<Queued>,
    /// Whether more waits in the lane, and is due.
    pub more: bool,
}

/// A message of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    pub place: Place,
    pub author: Author,
    pub text: String,
    pub in_reply_to: Option<MessageId>,
}

/// Tokens of one model, as the broker counted them.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Usage {
    pub provider: String,
    pub model: String,
    /// With those of the cache.
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// How many of the input were read from the provider's cache, or written to it.
    pub cached_tokens: u64,
    /// Whether the stream was cut before the provider said how many.
    pub is_estimated: bool,
    /// In millionths of the currency's unit; none where the model has no price.
    pub cost_micros: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDecision {
    pub message: Option<MessageId>,
    pub job: Option<JobId>,
    pub run: Option<RunId>,
    pub kind: Decision,
    pub detail: String,
}

/// A host call: its key, and what it does. One transaction; the same key again gets the stored result.
#[derive(Clone, Debug)]
pub struct HostCallWrite {
    pub claim: Claim,
    pub job: JobId,
    pub name: &'static str,
    pub arguments_hash: String,
    /// The how-manieth call with this name and these arguments of the job, from 0.
    pub n: u32,
    pub now: Timestamp,
    pub does: CallEffect,
    /// What the agent is told, as JSON. For [`CallEffect::Ask`] the answer comes later, by [`AnsweredAsk`].
    pub result: String,
}

#[derive(Clone, Debug)]
pub enum CallEffect {
    /// Say something; a text in as many parts as it needs.
    Send(Vec<NewOutbox>),
    /// A job of kind [`JobKind::Say`] in the lane of the run.
    SayLater {
        place: Place,
        text: String,
        run_at: Timestamp,
        role: Role,
    },
    /// A task of its own; its number is told.
    AddTask(Box<crate::NewTask>),
    ChangeTask(TaskId, crate::TaskChange),
    /// A group, made where there is none of its name, and the place that belongs to it.
    AddGroup {
        group: Box<crate::NewGroup>,
        bound: Vec<NewBound>,
    },
    Ask {
        /// What is sent: the question, whose last part an answer refers to. Never empty.
        parts: Vec<NewOutbox>,
        options: Vec<Button>,
        /// Whether the options are shown with numbers.
        numbered: bool,
        audience: Audience,
        expires_at: Timestamp,
    },
}

/// A place that is bound to a group in the transaction that makes the group.
#[derive(Clone, Debug)]
pub struct NewBound {
    pub place: Place,
    pub engage: Engage,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Called {
    New {
        result: String,
        ask: Option<AskId>,
        said: Vec<Queued>,
    },
    /// The call was made before; for a question, its answer if there is one.
    Before {
        result: String,
        ask: Option<AskId>,
        answer: Option<String>,
    },
    /// The run lost its lease; end it.
    Fenced,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnsweredAsk {
    pub ask: AskId,
    pub run: RunId,
    pub value: String,
}
