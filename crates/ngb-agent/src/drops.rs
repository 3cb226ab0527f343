//! Files as calls: what a program drops into `/workspace/ipc/messages/` or `tasks/` is asked of the gateway.
//!
//! The files are those of the original (`type`, `chatJid`, `schedule_type`, …), written under another name and renamed to
//! `<name>.json`. Each becomes a host call of the prompt that is being worked on, with its rights, and is answered by
//! `<name>.result.json`. All of it happens inside the sandbox: the gateway never looks into this folder.

use std::{
    convert::Infallible,
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use ngb_core::{
    frame::{HostCall, TaskWish},
    id::TaskId,
};
use rustix::fs::inotify;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::unix::pipe::Receiver;

use crate::turn::Turn;

/// The folders that are watched.
const KINDS: [&str; 2] = ["messages", "tasks"];

/// Largest file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 256 * 1024;

/// Room for what the kernel tells at a time; what it says is not looked at, only that it says something.
const EVENT_BYTES: usize = 4 * 1024;

/// The watched folders; without them (a file system that is read-only) nobody can drop anything.
pub(crate) struct Drops(Option<Watched>);

struct Watched {
    dir: PathBuf,
    /// Of inotify, which is read like a pipe.
    events: Receiver,
    /// Whether a file may lie there of which no event will tell.
    unseen: AtomicBool,
}

impl Drops {
    /// Makes the folders and watches them.
    pub(crate) fn open(dir: &Path) -> Self {
        match Watched::open(dir) {
            Ok(it) => Self(Some(it)),
            Err(err) => {
                eprintln!("agent: files in `{}` are not heard of: {err}", dir.display());
                Self(None)
            }
        }
    }

    /// Does what files ask for, in the name of `turn`, until it is dropped.
    pub(crate) async fn serve(&self, turn: &Turn) -> Infallible {
        let Some(watched) = &self.0 else { return std::future::pending().await };
        loop {
            // Not at each prompt: the look comes between a prompt and the request that it makes of the model.
            if watched.unseen.load(Relaxed) {
                watched.look(turn).await;
            }
            let changed = watched.changed().await;
            watched.unseen.store(true, Relaxed);
            if let Err(err) = changed {
                eprintln!("agent: files are not heard of any more: {err}");
                return std::future::pending().await;
            }
        }
    }
}

impl Watched {
    fn open(dir: &Path) -> io::Result<Self> {
        // In a sandbox it is a link to where there is room.
        let dir = fs::read_link(dir).unwrap_or_else(|_| dir.to_owned());
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let events = inotify::init(flags)?;
        let events = Receiver::from_owned_fd_unchecked(events)?;
        let it = Self { dir, events, unseen: AtomicBool::new(true) };
        for kind in KINDS {
            fs::create_dir_all(it.dir.join(kind))?;
        }
        it.watch()?;
        Ok(it)
    }

    /// Watches the folders that stand there now; one that is watched already stays so.
    fn watch(&self) -> io::Result<()> {
        let written = inotify::WatchFlags::CLOSE_WRITE | inotify::WatchFlags::MOVED_TO;
        for kind in KINDS {
            // Of a folder that is taken away the kernel tells by itself; of one that is renamed only if asked.
            let flags = written | inotify::WatchFlags::MOVE_SELF;
            inotify::add_watch(&self.events, self.dir.join(kind), flags)?;
        }
        Ok(())
    }

    /// Does what all files ask for that are there.
    async fn look(&self, turn: &Turn) {
        // Before the look: what comes during it has an event. Programs may have put other folders in the place of ours.
        let watched = self.watch().is_ok();
        for file in self.waiting() {
            self.answer(turn, &file).await;
        }
        // Only now: what a prompt leaves when it ends in the midst is for the next one. A folder that is gone has no events,
        // should it come back.
        self.unseen.store(!watched, Relaxed);
    }

    /// Waits until a file was written or renamed.
    async fn changed(&self) -> io::Result<()> {
        loop {
            self.events.readable().await?;
            match self.events.try_read(&mut [0; EVENT_BYTES]) {
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => (),
                res => return res.map(drop),
            }
        }
    }

    /// The files that ask for something, by name: names begin with the time.
    fn waiting(&self) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = KINDS
            .iter()
            .filter_map(|kind| fs::read_dir(self.dir.join(kind)).ok())
            .flatten()
            .filter_map(|it| Some(it.ok()?.path()))
            .filter(|it| is_call(it))
            .collect();
        found.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
        found
    }

    async fn answer(&self, turn: &Turn, file: &Path) {
        // Under another name before it is done: the prompt may end in the midst, and the next one would do it again.
        let asked = file.with_extension("asked");
        let taken = match fs::rename(file, &asked) {
            // Who wrote it has taken it away again.
            Err(err) if err.kind() == io::ErrorKind::NotFound => return,
            Err(err) => Err(err.to_string()),
            Ok(()) => read(&asked),
        };
        let answer = match taken {
            Err(why) => Err(why),
            Ok(what) => turn.call(what).await.map_err(|it| it.to_string()),
        };
        let answer = match answer {
            Ok(value) => json!({ "ok": true, "result": value }),
            Err(error) => json!({ "ok": false, "error": error }),
        };
        if let Err(err) = put_answer(&asked, &answer) {
            eprintln!("agent: could not answer `{}`: {err}", file.display());
        }
    }
}

fn is_call(path: &Path) -> bool {
    let name = path.file_name().and_then(|it| it.to_str()).unwrap_or_default();
    name.ends_with(".json") && !name.ends_with(".result.json") && !name.starts_with('.')
}

/// Puts the answer beside what was asked, whole, and takes that away.
fn put_answer(file: &Path, answer: &Value) -> io::Result<()> {
    let name = file.with_extension("result.json");
    let partial = file.with_extension("result.tmp");
    fs::write(&partial, answer.to_string())?;
    fs::rename(&partial, &name)?;
    fs::remove_file(file)
}

fn read(file: &Path) -> Result<HostCall, String> {
    let found = fs::symlink_metadata(file).map_err(|err| err.to_string())?;
    if !found.is_file() {
        return Err("it is no plain file".to_owned());
    }
    if MAX_FILE_BYTES < found.len() {
        return Err(format!("it has {} bytes, more than {MAX_FILE_BYTES}", found.len()));
    }
    let text = fs::read(file).map_err(|err| err.to_string())?;
    let dropped: Dropped = serde_json::from_slice(&text).map_err(|err| err.to_string())?;
    dropped.into_call()
}

/// A file, with the fields of the original. Others it may have (`groupFolder`, `isMain`, `timestamp`, …) say who asks, which
/// is known better: they are passed over.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Dropped {
    Message {
        #[serde(rename = "chatJid")]
        chat: Option<String>,
        text: String,
    },
    ScheduleTask {
        prompt: String,
        schedule_type: ScheduleType,
        schedule_value: Value,
        #[serde(default)]
        context_mode: ContextMode,
        #[serde(rename = "targetJid")]
        target: Option<String>,
    },
    UpdateTask {
        #[serde(rename = "taskId")]
        task: Value,
        prompt: Option<String>,
        schedule_type: Option<ScheduleType>,
        schedule_value: Option<Value>,
    },
    PauseTask {
        #[serde(rename = "taskId")]
        task: Value,
    },
    ResumeTask {
        #[serde(rename = "taskId")]
        task: Value,
    },
    CancelTask {
        #[serde(rename = "taskId")]
        task: Value,
    },
    ListTasks,
    RefreshGroups,
    #[serde(rename_all = "camelCase")]
    RegisterGroup {
        jid: String,
        name: String,
        folder: Option<String>,
        trigger: Option<String>,
        #[serde(default = "yes")]
        requires_trigger: bool,
    },
}

fn yes() -> bool {
    true
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ScheduleType {
    Cron,
    /// In milliseconds.
    Interval,
    Once,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ContextMode {
    Group,
    #[default]
    Isolated,
}

impl Dropped {
    fn into_call(self) -> Result<HostCall, String> {
        let change = |task: &Value, to| Ok(HostCall::ChangeTask { task: number(task)?, to });
        match self {
            Self::Message { chat, text } => Ok(HostCall::SendMessage { text, to: chat }),
            Self::ScheduleTask { prompt, schedule_type, schedule_value, context_mode, target } => {
                let [cron, every, at] = when(schedule_type, &schedule_value)?;
                let isolated = context_mode == ContextMode::Isolated;
                let (text, say, to) = (prompt, false, target);
                Ok(HostCall::AddTask { text, cron, every, at, say, to, isolated })
            }
            Self::UpdateTask { task, prompt, schedule_type, schedule_value } => {
                let [cron, every, at] = match (schedule_type, schedule_value) {
                    (Some(kind), Some(value)) => when(kind, &value)?,
                    (None, None) => [None, None, None],
                    _ => return Err("give both `schedule_type` and `schedule_value`".to_owned()),
                };
                Ok(HostCall::UpdateTask { task: number(&task)?, text: prompt, cron, every, at })
            }
            Self::PauseTask { task } => change(&task, TaskWish::Pause),
            Self::ResumeTask { task } => change(&task, TaskWish::Resume),
            Self::CancelTask { task } => change(&task, TaskWish::Cancel),
            Self::ListTasks => Ok(HostCall::ListTasks),
            Self::RefreshGroups => Ok(HostCall::Refresh),
            Self::RegisterGroup { jid, name, folder, trigger, requires_trigger } => {
                let trigger = if requires_trigger { trigger } else { Some(String::new()) };
                Ok(HostCall::RegisterGroup { group: name, folder, chat: Some(jid), trigger })
            }
        }
    }
}

/// A task's number, also where it stands in quotes.
fn number(task: &Value) -> Result<TaskId, String> {
    let number = task.as_i64().or_else(|| task.as_str()?.trim().parse().ok());
    number.map(TaskId).ok_or_else(|| format!("`taskId` is no number of a task: {task}"))
}

/// Of cron, interval and instant the one that is meant.
fn when(kind: ScheduleType, value: &Value) -> Result<[Option<String>; 3], String> {
    let text = match value {
        Value::String(it) => it.clone(),
        other => other.to_string(),
    };
    Ok(match kind {
        ScheduleType::Cron => [Some(text), None, None],
        ScheduleType::Once => [None, None, Some(text)],
        ScheduleType::Interval => {
            let whole =
                text.trim().parse().ok().filter(|it: &u64| 0 < *it && it.is_multiple_of(1_000));
            let ms = whole.ok_or_else(|| {
                format!("`schedule_value` of an interval is milliseconds, in whole seconds: {text}")
            })?;
            [None, Some(format!("{}s", ms / 1_000)), None]
        }
    })
}

#[cfg(test)]
mod tests;
