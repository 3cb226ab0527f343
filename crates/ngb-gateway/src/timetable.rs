//! What people do with tasks: make, change, pause, resume, cancel, run.

use ngb_core::{
    address::{ChannelKind, Place},
    group::Group,
    id::{GroupId, TaskId},
    role::Role,
    schedule::{Misfire, Overlap, Schedule},
};
use ngb_store::{NewTask, TaskChange, TaskDoes, TaskRow, TaskState};

use crate::handle::{Gateway, HandleError};

/// Longest text of a task, in bytes; more belongs into a file of the group.
pub const MAX_TASK_BYTES: usize = 16 * 1024;

/// Active and paused tasks that a group may have.
pub const MAX_TASKS: usize = 1_000;

/// A task that somebody wants.
#[derive(Clone, Debug)]
pub struct Task {
    pub group: GroupId,
    pub does: TaskDoes,
    pub text: String,
    pub schedule: Schedule,
    pub misfire: Misfire,
    pub overlap: Overlap,
    pub jitter_ms: u32,
    /// Where its answers go; a place that is bound to the group. Without one it is the only chat of the group on a
    /// platform, or else the group's chat on the page.
    pub place: Option<Place>,
    /// Whether each fire begins a conversation of its own; else it takes part in the place's.
    pub isolated: bool,
    pub role: Role,
    pub made_by: String,
}

/// What is wrong with a task.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    #[error("a task says what is to be done, and this one says nothing")]
    Empty,
    #[error("a task has {MAX_TASK_BYTES} bytes at most, and this one has {0}")]
    TooLong(usize),
    #[error("`{0}` is not bound to the group")]
    NotBound(Place),
    #[error("the group has {MAX_TASKS} tasks already")]
    TooMany,
    #[error("it never fires")]
    Never,
    #[error("task {0} is {1}")]
    State(TaskId, &'static str),
}

impl Gateway {
    /// Stores a task; it fires by its schedule from now on.
    ///
    /// # Errors
    ///
    /// [`HandleError::Task`] says what is wrong with it.
    pub async fn add_task(&self, task: Task) -> Result<TaskRow, HandleError> {
        if MAX_TASKS <= self.store().tasks(Some(task.group)).await?.len() {
            return Err(TaskError::TooMany.into());
        }
        let new = self.new_task(task)?;
        let id = self.store().add_task(new).await?;
        self.0.tasks_changed.notify_one();
        self.task(id).await
    }

    /// Stores a task that fires only once it is resumed; `note` says why.
    ///
    /// # Errors
    ///
    /// As for [`Gateway::add_task`].
    pub async fn add_paused_task(
        &self,
        task: Task,
        note: Option<String>,
    ) -> Result<TaskRow, HandleError> {
        if MAX_TASKS <= self.store().tasks(Some(task.group)).await?.len() {
            return Err(TaskError::TooMany.into());
        }
        let new = self.new_task(task)?;
        let id = self.store().add_paused_task(new, note).await?;
        self.task(id).await
    }

    /// The task of that number, cancelled ones too.
    ///
    /// # Errors
    ///
    /// [`HandleError::NoTask`] when there is none.
    pub async fn task(&self, id: TaskId) -> Result<TaskRow, HandleError> {
        self.store().task(id).await?.ok_or(HandleError::NoTask(id))
    }

    /// Makes another one of a task, under the same number.
    pub async fn change_task(&self, id: TaskId, task: Task) -> Result<TaskRow, HandleError> {
        let change = TaskChange::Replace(Box::new(self.new_task(task)?));
        self.put_task(id, change).await
    }

    /// Has it fire no more until it is resumed.
    pub async fn pause_task(&self, id: TaskId) -> Result<TaskRow, HandleError> {
        let row = self.task(id).await?;
        if row.state != TaskState::Active {
            return Err(TaskError::State(id, row.state.as_str()).into());
        }
        self.put_task(id, TaskChange::Pause { note: None }).await
    }

    /// Has it fire again by its schedule, from now on. What passed while it was paused is not made up for.
    pub async fn resume_task(&self, id: TaskId) -> Result<TaskRow, HandleError> {
        let row = self.task(id).await?;
        if row.state != TaskState::Paused {
            return Err(TaskError::State(id, row.state.as_str()).into());
        }
        let next_at = row.task.schedule.next_after(self.clock().now()).ok_or(TaskError::Never)?;
        self.put_task(id, TaskChange::Resume { next_at }).await
    }

    /// Has it fire no more; what waits of it is cancelled too.
    pub async fn cancel_task(&self, id: TaskId) -> Result<TaskRow, HandleError> {
        let row = self.task(id).await?;
        if row.state == TaskState::Cancelled {
            return Ok(row);
        }
        self.put_task(id, TaskChange::Cancel).await
    }

    /// Fires it now, beside its schedule; also one that is paused.
    pub async fn run_task(&self, id: TaskId) -> Result<TaskRow, HandleError> {
        let row = self.task(id).await?;
        if row.state == TaskState::Cancelled {
            return Err(TaskError::State(id, row.state.as_str()).into());
        }
        self.store().fire_now(id, self.clock().now()).await?;
        self.0.dispatcher.wake();
        self.task(id).await
    }

    async fn put_task(&self, id: TaskId, change: TaskChange) -> Result<TaskRow, HandleError> {
        self.store().change_task(id, change).await?;
        self.0.tasks_changed.notify_one();
        self.task(id).await
    }

    pub(crate) fn new_task(&self, task: Task) -> Result<NewTask, HandleError> {
        let text = task.text.trim();
        if text.is_empty() {
            return Err(TaskError::Empty.into());
        }
        if MAX_TASK_BYTES < text.len() {
            return Err(TaskError::TooLong(text.len()).into());
        }
        let snapshot = self.directory().snapshot();
        let group =
            snapshot.group(task.group).ok_or(HandleError::NoGroup(task.group.to_string()))?;
        let place = match task.place {
            Some(place) => place,
            None => self.task_place(group)?,
        };
        let bound = snapshot.bindings(&place.jid).iter().filter(|it| it.group == group.id);
        // A binding of the thread itself goes before one of its chat.
        let binding = bound.max_by_key(|it| it.place == place);
        let binding = binding.ok_or_else(|| TaskError::NotBound(place.clone()))?;
        let now = self.clock().now();
        Ok(NewTask {
            group: group.id,
            does: task.does,
            text: text.to_owned(),
            next_at: match &task.schedule {
                Schedule::Once(at) => *at,
                it => it.next_after(now).ok_or(TaskError::Never)?,
            },
            schedule: task.schedule,
            misfire: task.misfire,
            overlap: task.overlap,
            jitter_ms: task.jitter_ms,
            lane_key: (!task.isolated).then(|| binding.scope.key(&place, "")),
            place,
            role: task.role,
            made_by: task.made_by,
        })
    }

    /// The only chat of the group on a platform, or else its chat on the page.
    fn task_place(&self, group: &Group) -> Result<Place, HandleError> {
        let snapshot = self.directory().snapshot();
        let ours = |it: &Place| {
            matches!(it.jid.account().channel(), ChannelKind::Web | ChannelKind::Terminal)
        };
        let mut platform =
            snapshot.bindings_of(group.id).map(|it| &it.place).filter(|it| !ours(it));
        if let (Some(only), None) = (platform.next(), platform.next()) {
            return Ok(only.clone());
        }
        let page = snapshot.bindings_of(group.id).map(|it| &it.place);
        let page = page.into_iter().find(|it| it.jid.account().channel() == ChannelKind::Web);
        page.cloned().ok_or_else(|| HandleError::NoGroup(group.name.to_string()))
    }
}
