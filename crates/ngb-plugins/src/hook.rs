//! What a plugin is asked, and what it may say.

use ngb_core::{
    address::Place,
    clock::Timestamp,
    group::GroupName,
    id::{MessageId, RunId},
};

/// One point where plugins are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hook {
    /// A message came in and is stored; nothing was decided about it yet.
    MessageReceived,
    /// A text of an agent or a task is to be sent; it is whole, not yet in parts.
    MessageSending,
    /// A run has its work and begins.
    RunStarting,
    /// A run's agent is done; nothing of its answer is stored yet.
    RunFinished,
    GroupRegistered,
    GroupUnregistered,
    /// Once a minute.
    Tick,
}

impl Hook {
    pub const ALL: &[Self] = &[
        Self::MessageReceived,
        Self::MessageSending,
        Self::RunStarting,
        Self::RunFinished,
        Self::GroupRegistered,
        Self::GroupUnregistered,
        Self::Tick,
    ];

    /// Whether what is asked about there can wait until somebody decides.
    pub(crate) fn holds(self) -> bool {
        matches!(self, Self::MessageReceived | Self::MessageSending)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::MessageReceived => "message_received",
            Self::MessageSending => "message_sending",
            Self::RunStarting => "run_starting",
            Self::RunFinished => "run_finished",
            Self::GroupRegistered => "group_registered",
            Self::GroupUnregistered => "group_unregistered",
            Self::Tick => "tick",
        }
    }
}

/// Something that a plugin is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    MessageReceived(Received),
    MessageSending(Sending),
    RunStarting(Starting),
    RunFinished(Finished),
    GroupRegistered(Group),
    GroupUnregistered(Group),
    Tick,
}

/// A message from a chat.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    pub message: MessageId,
    pub place: Place,
    /// The group whose agent would answer, where the chat has one.
    pub group: Option<GroupName>,
    /// The platform's stable id of who wrote.
    pub sender_id: String,
    pub sender_name: String,
    pub is_direct: bool,
    pub sent_at: Timestamp,
    pub part: Part,
    pub text: String,
    /// Whether the platform, or a plugin before, says that the bot is meant.
    pub is_meant: bool,
}

/// Which text of a message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What was written.
    Text,
    /// What was written now instead of what stood there.
    Edit,
    /// What it quotes. Only a [`Plugin::masks`](crate::Plugin::masks) is asked, and it may only change it.
    Quote,
}

/// A text on its way to a chat.
#[derive(Clone, Debug, PartialEq)]
pub struct Sending {
    pub place: Place,
    pub group: GroupName,
    /// The message that it is about.
    pub about: Option<MessageId>,
    pub text: String,
}

/// A run that begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Starting {
    pub run: RunId,
    pub group: GroupName,
    pub place: Place,
    /// What people wrote, the oldest first, with empty lines between them; or what a task asks for.
    pub prompt: String,
}

/// A run that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    pub run: RunId,
    pub group: GroupName,
    pub place: Place,
    /// What the agent answered.
    pub text: String,
    /// Why it failed, where it did.
    pub error: Option<String>,
}

/// A group and its places.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    pub name: GroupName,
    pub places: Vec<Place>,
}

impl Event {
    pub fn hook(&self) -> Hook {
        match self {
            Self::MessageReceived(_) => Hook::MessageReceived,
            Self::MessageSending(_) => Hook::MessageSending,
            Self::RunStarting(_) => Hook::RunStarting,
            Self::RunFinished(_) => Hook::RunFinished,
            Self::GroupRegistered(_) => Hook::GroupRegistered,
            Self::GroupUnregistered(_) => Hook::GroupUnregistered,
            Self::Tick => Hook::Tick,
        }
    }

    /// The group that it is of, whose settings count.
    pub fn group(&self) -> Option<&GroupName> {
        match self {
            Self::MessageReceived(it) => it.group.as_ref(),
            Self::MessageSending(it) => Some(&it.group),
            Self::RunStarting(it) => Some(&it.group),
            Self::RunFinished(it) => Some(&it.group),
            Self::GroupRegistered(it) | Self::GroupUnregistered(it) => Some(&it.name),
            Self::Tick => None,
        }
    }

    /// The text that a verdict may change.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::MessageReceived(it) => Some(&it.text),
            Self::MessageSending(it) => Some(&it.text),
            Self::RunStarting(it) => Some(&it.prompt),
            Self::RunFinished(it) => Some(&it.text),
            Self::GroupRegistered(_) | Self::GroupUnregistered(_) | Self::Tick => None,
        }
    }

    pub(crate) fn change(&mut self, text: String) {
        match self {
            Self::MessageReceived(it) => it.text = text,
            Self::MessageSending(it) => it.text = text,
            Self::RunStarting(it) => it.prompt = text,
            Self::RunFinished(it) => it.text = text,
            Self::GroupRegistered(_) | Self::GroupUnregistered(_) | Self::Tick => (),
        }
    }

    /// Notes that the bot is meant.
    pub(crate) fn mean(&mut self) {
        if let Self::MessageReceived(it) = self {
            it.is_meant = true;
        }
    }

    /// Whether a message is meant for the bot, as far as the platform and plugins say.
    pub fn is_meant(&self) -> bool {
        matches!(self, Self::MessageReceived(it) if it.is_meant)
    }

    fn part(&self) -> Option<Part> {
        match self {
            Self::MessageReceived(it) => Some(it.part),
            _ => None,
        }
    }
}

/// What a plugin says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on as it is.
    Pass,
    /// It goes on with this text.
    Change(String),
    /// It goes on as it is, and `why` tells this.
    Note(String),
    /// The bot is meant, for this reason. [`Hook::MessageReceived`] only.
    Meant(String),
    /// The chat is told this, and no agent is asked. [`Hook::MessageReceived`] only.
    Answer(String),
    /// It ends here, for this reason; a run that begins is cancelled.
    Drop(String),
    /// It waits until somebody decides, for this reason. [`Hook::MessageReceived`] and [`Hook::MessageSending`] only.
    Hold(String),
}

impl Verdict {
    /// The word in `why`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Change(_) => "change",
            Self::Note(_) => "note",
            Self::Meant(_) => "meant",
            Self::Answer(_) => "answer",
            Self::Drop(_) => "drop",
            Self::Hold(_) => "hold",
        }
    }

    /// Whether it may be said to `event`.
    pub(crate) fn fits(&self, event: &Event) -> bool {
        let hook = event.hook();
        match (self, event.part()) {
            (Self::Pass | Self::Note(_), _) => true,
            (Self::Change(_), _) => event.text().is_some(),
            (_, Some(Part::Quote)) => false,
            // What was written stands; only the chat can take it back.
            (Self::Answer(_) | Self::Meant(_), Some(Part::Edit)) => false,
            (Self::Answer(_) | Self::Meant(_), _) => hook == Hook::MessageReceived,
            (Self::Drop(_), _) => {
                matches!(hook, Hook::MessageReceived | Hook::MessageSending | Hook::RunStarting)
            }
            (Self::Hold(_), _) => hook.holds(),
        }
    }
}
