//! The process outside of a sandbox, as the gateway has it: the one child that stands for all that is inside.

use std::{
    io,
    os::{
        fd::OwnedFd,
        unix::{net::UnixStream as StdUnixStream, process::ExitStatusExt as _},
    },
    process::{ExitStatus, Stdio},
    time::Duration,
};

use ngb_core::clock::Clock;
use tokio::{
    net::UnixStream,
    process::{Child, Command},
    sync::oneshot,
};

use crate::{
    LastWords,
    last_words::WORDS_LIMIT,
    line::{Hold, Line},
};

/// Longest that a sandbox may take to die by itself before its first process is killed too.
const END_LIMIT: Duration = Duration::from_secs(5);

pub(crate) struct Outside {
    pub(crate) child: Child,
    pub(crate) line: Line,
    pub(crate) words: LastWords,
}

impl Outside {
    /// Starts `command` with the line as its standard input and the agent's streams, which are returned, as its standard
    /// output.
    pub(crate) fn start(command: &mut Command) -> io::Result<(Self, UnixStream)> {
        let (line, theirs) = Line::pair()?;
        let (our_io, their_io) = StdUnixStream::pair()?;
        our_io.set_nonblocking(true)?;
        let child = command
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::from(OwnedFd::from(their_io)))
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        Ok((Self { child, line, words: LastWords::default() }, UnixStream::from_std(our_io)?))
    }

    /// Its process number; 0 once it was waited for.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    /// Looks after it until it has ended, which it is told to when `passed` says that a limit was passed.
    pub(crate) async fn tend(
        self,
        clock: &Clock,
        passed: impl Future<Output = String>,
    ) -> io::Result<ExitStatus> {
        let Self { mut child, mut line, words } = self;
        let stderr = child.stderr.take();
        let mut listening = std::pin::pin!(async {
            if let Some(stderr) = stderr {
                words.listen(stderr).await;
            }
        });
        let mut heard = false;
        let mut said = None;
        let work = async {
            tokio::select! {
                () = line.until_end(&mut said) => {}
                why = passed => words.add(format!("\n{why}\n").as_bytes()),
            }
            drop(line); // shuts the line down: the process outside ends everything
            match clock.timeout(END_LIMIT, child.wait()).await {
                Ok(status) => status,
                Err(_) => {
                    child.start_kill()?;
                    child.wait().await
                }
            }
        };
        let status = {
            let mut work = std::pin::pin!(work);
            loop {
                tokio::select! {
                    status = &mut work => break status,
                    () = &mut listening, if !heard => heard = true,
                }
            }
        };
        // Everything inside is dead, so its last words are here; they only have to be read.
        if !heard && let Err(late) = clock.timeout(WORDS_LIMIT, listening).await {
            tracing::debug!("not all last words were heard: {late}");
        }
        match said {
            Some(raw) => Ok(ExitStatus::from_raw(raw)),
            None => status,
        }
    }
}

/// The end of an agent, which comes by `status`; the sandbox lives as long as this is waited for.
pub(crate) async fn exited(
    hold: Hold,
    status: oneshot::Receiver<io::Result<ExitStatus>>,
) -> io::Result<ExitStatus> {
    let _hold = hold;
    status.await.unwrap_or_else(|_| Err(io::Error::other("the gateway stops")))
}
