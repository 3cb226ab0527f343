//! The process of an agent that others wrote: its end takes all that it started along, and its last words are kept.

use std::{
    io,
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ngb_core::{clock::Clock, tasks::Crew};
use rustix::process::Pid;
use tokio::{
    io::AsyncReadExt as _,
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
};
use tokio_util::sync::CancellationToken;

use crate::{Folders, tools::Offspring};

/// What is kept of its standard error, in bytes.
const LAST_WORDS_BYTES: usize = 2 * 1024;

/// Longest wait for the last words of a process that seems to have ended.
const LAST_WORDS_LIMIT: Duration = Duration::from_millis(200);

/// A running process. Dropping it kills it and all that it started.
pub(crate) struct AgentChild {
    child: Child,
    last_words: Arc<Mutex<Vec<u8>>>,
    /// Fires when its standard error is closed.
    silent: CancellationToken,
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
    pub(crate) fn spawn(command: Command) -> io::Result<(Self, ChildStdin, ChildStdout)> {
        Self::spawn_as(command, Offspring::of)
    }

    /// The same for one that works beside others, and that their end leaves alone.
    pub(crate) fn spawn_kept(command: Command) -> io::Result<(Self, ChildStdin, ChildStdout)> {
        Self::spawn_as(command, Offspring::kept)
    }

    fn spawn_as(
        mut command: Command,
        offspring: fn(Option<Pid>) -> Offspring,
    ) -> io::Result<(Self, ChildStdin, ChildStdout)> {
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
        let (last_words, silent) = (Arc::default(), CancellationToken::new());
        let mut listening = Crew::default();
        let (words, closed) = (Arc::clone(&last_words), silent.clone());
        listening.spawn("last words", async move {
            listen(errors, words).await;
            closed.cancel();
        });
        let it = Self {
            child,
            last_words,
            silent,
            _offspring: offspring(leader),
            _listening: listening,
        };
        Ok((it, input, output))
    }

    /// How it ended, and what it said last; waits for the end.
    pub(crate) async fn end(&mut self) -> io::Result<String> {
        let status = self.child.wait().await?;
        Ok(format!("{status}: {}", self.words()))
    }

    /// How it is, and what it said last. One that has just ended is heard out.
    pub(crate) async fn last_words(&mut self, clock: &Clock) -> String {
        // Who doesn't end now has said what is known.
        clock.timeout(LAST_WORDS_LIMIT, self.silent.cancelled()).await.ok();
        let how = match self.child.try_wait() {
            Ok(Some(status)) => status.to_string(),
            Ok(None) => "it runs".to_owned(),
            Err(err) => err.to_string(),
        };
        match self.words() {
            words if words.is_empty() => how,
            words => format!("{how}: {words}"),
        }
    }

    fn words(&self) -> String {
        let words = self.last_words.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&words).trim().replace('\n', " | ")
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
