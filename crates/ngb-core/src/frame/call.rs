//! What an agent may ask of the gateway.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{id::TaskId, message::Button, role::Role};

/// The answer to [`HostCall::Approve`] that lets it be done.
pub const ALLOW: &str = "allow";

/// The other one.
pub const DENY: &str = "deny";

/// What an agent may ask of the gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum HostCall {
    /// Say something before the answer is done: in the prompt's place, or in another chat of the group; in any bound chat,
    /// for the main group.
    SendMessage {
        text: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<String>,
    },
    /// Send a file of the workspace to the prompt's place.
    SendFile {
        path: String,
        #[serde(default)]
        caption: String,
    },
    /// Put an emoji under the newest message that the prompt is about.
    React { emoji: String },
    /// Say `text` in the prompt's place after so many seconds.
    ScheduleTask { after_seconds: u64, text: String },
    /// Have something done, or said, by the clock in the prompt's place. Exactly one of `cron`, `every` and `at` is given.
    AddTask {
        text: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cron: Option<String>,
        /// As `2h` or `10m`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        every: Option<String>,
        /// An instant, or a local time in the group's zone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<String>,
        /// Whether the text itself is said, with no agent.
        #[serde(default)]
        say: bool,
        /// Another place than the prompt's, as for `send_message`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<String>,
        /// Whether each fire begins a conversation of its own.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        isolated: bool,
    },
    /// Change what a task says, or when it fires; what is not given stays.
    UpdateTask {
        task: TaskId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cron: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        every: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<String>,
    },
    /// Pause, resume or cancel a task of the group; of any group, for the main group.
    ChangeTask { task: TaskId, to: TaskWish },
    /// The tasks of the group; of all groups, for the main group.
    ListTasks,
    /// The newest messages of this conversation that have `text` in them; of the whole group's, when asked for.
    SearchMessages {
        text: String,
        #[serde(default)]
        whole_group: bool,
    },
    /// The groups there are; for the main group.
    ListGroups,
    /// Read groups and chats anew, and tell which chats there are and whether they belong to a group; for the main group.
    Refresh,
    /// Make a group, or bind another chat to one that has the name already; for the main group.
    RegisterGroup {
        group: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        folder: Option<String>,
        /// The chat that belongs to it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        chat: Option<String>,
        /// What a message of the chat begins with to be for the agent, as a regular expression; an empty one takes every
        /// message, and without one it answers when it is mentioned.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trigger: Option<String>,
    },
    /// What the group used today, and may use.
    Usage,
    /// Ask whether `tool` may be used for what `shown` says; the answer is [`ALLOW`] or another word. Who may say so is the
    /// group's `approve_role`.
    Approve { tool: String, shown: String },
    /// Ask the people in the prompt's place; the answer is the value of the option that was chosen.
    Ask {
        question: String,
        options: Vec<Button>,
        /// Who has at least this role may answer, besides who asked; operators in any case.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        least: Option<Role>,
    },
}

/// What an agent wants of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskWish {
    Pause,
    Resume,
    Cancel,
}

impl HostCall {
    /// Whether it changes something; one that only looks is no effect, and may be made again.
    pub fn changes(&self) -> bool {
        match self {
            Self::SendMessage { .. }
            | Self::SendFile { .. }
            | Self::React { .. }
            | Self::ScheduleTask { .. }
            | Self::AddTask { .. }
            | Self::ChangeTask { .. }
            | Self::UpdateTask { .. }
            | Self::RegisterGroup { .. }
            | Self::Approve { .. }
            | Self::Ask { .. } => true,
            Self::ListTasks
            | Self::SearchMessages { .. }
            | Self::ListGroups
            | Self::Refresh
            | Self::Usage => false,
        }
    }

    /// Its name on the wire, and the kind in its key.
    pub fn name(&self) -> &'static str {
        match self {
            Self::SendMessage { .. } => "send_message",
            Self::SendFile { .. } => "send_file",
            Self::React { .. } => "react",
            Self::ScheduleTask { .. } => "schedule_task",
            Self::AddTask { .. } => "add_task",
            Self::ChangeTask { .. } => "change_task",
            Self::UpdateTask { .. } => "update_task",
            Self::ListTasks => "list_tasks",
            Self::SearchMessages { .. } => "search_messages",
            Self::ListGroups => "list_groups",
            Self::Refresh => "refresh",
            Self::RegisterGroup { .. } => "register_group",
            Self::Usage => "usage",
            Self::Approve { .. } => "approve",
            Self::Ask { .. } => "ask",
        }
    }

    /// A hash of the arguments, as hex: with job, name and count it is the call's key.
    pub fn arguments_hash(&self) -> String {
        use sha2::{Digest as _, Sha256};
        let json = serde_json::to_vec(self).expect("calls have only string keys");
        Sha256::digest(&json).iter().map(|it| format!("{it:02x}")).collect()
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CallOutcome {
    Ok {
        value: Value,
    },
    /// It was not done; the reason says what to do instead.
    Refused {
        reason: String,
    },
}
