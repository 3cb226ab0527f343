//! What goes into the store and what comes out of it.

use std::collections::HashMap;

use ngb_core::{
    address::{Account, Jid, Place},
    ask::Audience,
    clock::Timestamp,
    decision::Decision,
    frame::SessionMark,
    group::{Binding, Engage, Exceptions, FolderName, Group, GroupName, Limits, Scope, Senders},
    id::{AskId, GroupId, JobId, LaneId, MessageId, OutboxId, RunId, TaskId, UserId},
    job::{JobState, Tries},
    message::{Author, Button, Content, Inbound, MediaRef, Outbound},
    queue::Queue,
    role::Role,
    route::Access,
};

// ------------------------------------------------------------------ in

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

// ------------------------------------------------------------------ runs

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

// ------------------------------------------------------------------ out

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

// ------------------------------------------------------------------ reading

/// A message as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    pub id: MessageId,
    pub place: Place,
    pub author: Author,
    pub sender_id: String,
    pub sender_name: String,
    pub role: Option<Role>,
    pub content: Content,
    pub in_reply_to: Option<MessageId>,
    /// What it answers: the part that was quoted, or the text of the message that `content.reply_to` names, as far as
    /// anybody knows it.
    pub reply_text: Option<String>,
    pub group: Option<GroupId>,
    pub lane: Option<LaneId>,
    pub run: Option<RunId>,
    pub state: String,
    pub sent_at: Timestamp,
    pub received_at: Timestamp,
}

/// Which messages to read; the newest first, by id.
#[derive(Clone, Debug, Default)]
pub struct MessageFilter {
    pub jid: Option<Jid>,
    pub group: Option<GroupId>,
    pub lane: Option<LaneId>,
    /// Only those of this thread of the chat; empty for those of none.
    pub thread: Option<String>,
    /// Only those of these groups, and of `jid` those of none.
    pub seen: Option<Vec<GroupId>>,
    /// Only messages with a lesser id.
    pub before: Option<MessageId>,
    /// Only messages with a greater id; the oldest first then.
    pub after: Option<MessageId>,
    /// At most this many; [`MAX_PAGE`] is the most.
    pub limit: u32,
}

/// Where messages are searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Within {
    Lane(LaneId),
    Group(GroupId),
}

/// A thread of a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadRow {
    pub thread: String,
    pub last: MessageId,
    pub last_at: Timestamp,
}

/// Most rows of one page.
pub const MAX_PAGE: u32 = 500;

/// One line of `why`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionRow {
    pub at: Timestamp,
    pub kind: Decision,
    pub detail: String,
    pub job: Option<JobId>,
    pub run: Option<RunId>,
}

/// The path of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    pub message: StoredMessage,
    pub decisions: Vec<DecisionRow>,
    pub jobs: Vec<JobRow>,
    pub outbox: Vec<OutboxRow>,
    /// What its runs used.
    pub usage: Vec<Usage>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRow {
    pub id: JobId,
    pub group: GroupId,
    pub lane: LaneId,
    pub message: Option<MessageId>,
    pub place: Place,
    /// The word of [`JobState`].
    pub state: String,
    pub run_at: Timestamp,
    pub tries: Tries,
    pub error: Option<String>,
    pub created_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    pub id: OutboxId,
    pub place: Place,
    pub item: Outbound,
    /// pending, sending, sent, unknown, failed, dead
    pub state: String,
    pub attempt: u32,
    pub platform_id: Option<String>,
    pub error: Option<String>,
    pub created_at: Timestamp,
    pub sent_at: Option<Timestamp>,
}

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
