//! A call of a tool, with its arguments.

use ngb_core::{frame::TaskWish, id::TaskId};
use serde::Deserialize;

use super::{bash, fetch, file, notes, search};

/// A call of a tool, as a model or a driver writes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "name", content = "input", rename_all = "snake_case")]
pub(crate) enum Call {
    Bash(bash::Bash),
    Glob(search::Glob),
    Grep(search::Grep),
    Fetch(fetch::Fetch),
    Todo(notes::Todo),
    Memory(notes::Memory),
    Read(file::Read),
    Write(file::Write),
    Edit(file::Edit),
    SendMessage {
        text: String,
        to: Option<String>,
    },
    SendFile {
        path: String,
        #[serde(default)]
        caption: String,
    },
    React {
        emoji: String,
    },
    ScheduleTask {
        after_seconds: u64,
        text: String,
    },
    AddTask {
        text: String,
        cron: Option<String>,
        every: Option<String>,
        at: Option<String>,
        #[serde(default)]
        say: bool,
        to: Option<String>,
        #[serde(default)]
        isolated: bool,
    },
    ChangeTask {
        task: TaskId,
        to: TaskWish,
    },
    UpdateTask {
        task: TaskId,
        text: Option<String>,
        cron: Option<String>,
        every: Option<String>,
        at: Option<String>,
    },
    ListTasks {},
    SearchMessages {
        text: String,
        #[serde(default)]
        whole_group: bool,
    },
    ListGroups {},
    Refresh {},
    RegisterGroup {
        name: String,
        folder: Option<String>,
        chat: Option<String>,
        trigger: Option<String>,
    },
    Usage {},
    Ask {
        question: String,
        options: Vec<String>,
        #[serde(default)]
        anyone: bool,
    },
}

impl Call {
    /// Whether the gateway does it.
    pub(super) fn is_of_host(&self) -> bool {
        !matches!(
            self,
            Self::Bash(_)
                | Self::Read(_)
                | Self::Write(_)
                | Self::Edit(_)
                | Self::Glob(_)
                | Self::Grep(_)
                | Self::Fetch(_)
                | Self::Todo(_)
                | Self::Memory(_)
        )
    }

    /// Whether it may change something outside this conversation; see [`ngb_core::frame::FromAgent::Effect`].
    pub(super) fn has_effect(&self) -> bool {
        !matches!(
            self,
            Self::Read(_)
                | Self::Glob(_)
                | Self::Grep(_)
                | Self::Todo(_)
                | Self::ListTasks {}
                | Self::SearchMessages { .. }
                | Self::ListGroups {}
                | Self::Refresh {}
                | Self::Usage {}
        )
    }
}
