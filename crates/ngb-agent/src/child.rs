//! The process of an agent that others wrote: its end takes all that it started along, and its last words are kept.

use std::{
    io,
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
};

use ngb_core::tasks::Crew;
use rustix::process::Pid;
use tokio::{
    io::AsyncReadExt as _,
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
};

use crate::{Folders, tools::Offspring};

/// What is kept of its standard error, in bytes.
const LAST_WORDS_BYTES: usize = 2 * 1024;

/// A running process. Dropping it kills it and all that it started.
pub(crate) struct AgentChild {
    child: Child,
    last_words: Arc<Mutex<Vec<u8>>>,
    _offspring: Offspring,
    _listening: Crew,
}

/// A command that works in the group's folder and is at home in the lane's.
#[expect(
    clippy::disallowed_methods,
    reason = "an agent that others wrote is a process; this runs inside the sandbox"
)]
pub(crate) fn command(program: &Path, folders: &Folders) -> Command {
    let mut command = Command::new(program);
    command.env("HOME", &folders.lane).current_dir(&folders.group);
    command
}

impl AgentChild {
    /// Starts it; its standard streams are pipes.
    ///
    /// # Errors
    ///
    /// When the program is not there or can't be executed.
    pub(crate) fn spawn(mut command: Command) -> io::Result<(Self, ChildStdin, ChildStdout)> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let leader = child.id().and_then(|it| Pid::from_raw(it.cast_signed()));
        let (Some(input), Some(output), Some(errors)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            unreachable!("the streams are piped, and taken once")
        };
        let last_words = Arc::default();
        let mut listening = Crew::default();
        listening.spawn("last words", listen(errors, Arc::clone(&last_words)));
        let it =
            Self { child, last_words, _offspring: Offspring::of(leader), _listening: listening };
        Ok((it, input, output))
    }

    /// How it ended, and what it said last; waits for the end.
    pub(crate) async fn end(&mut self) -> io::Result<String> {
        let status = self.child.wait().await?;
        let words = self.last_words.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(format!("{status}: {}", String::from_utf8_lossy(&words).trim().replace('\n', " | ")))
    }
}

async fn listen(mut errors: ChildStderr, words: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = [0; 1024];
    while let Ok(some @ 1..) = errors.read(&mut buffer).await {
        let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
        words.extend_from_slice(&buffer[..some]);
        let over = words.len().saturating_sub(LAST_WORDS_BYTES);
        words.drain(..over);
    }
}
