//! What is read of messages, and of what became of them.

use ngb_core::{
    address::{Jid, Place},
    clock::Timestamp,
    decision::Decision,
    id::{GroupId, JobId, LaneId, MessageId, OutboxId, RunId},
    job::Tries,
    message::{Author, Content, Outbound},
    role::Role,
};

use super::Usage;

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

/// What a platform refused for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsentRow {
    pub id: OutboxId,
    /// None for what the gateway said in a chat of no group.
    pub group: Option<GroupId>,
    /// The message that it answers.
    pub about: Option<MessageId>,
    pub place: Place,
    pub item: Outbound,
    pub attempt: u32,
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
