//! The gateway's end of the line to a process outside: one JSON value a line. Its end is the sandbox's end.

use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream as StdUnixStream},
    sync::Arc,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use crate::native::{Report, say};

pub(crate) struct Line {
    read: BufReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
    keep: Arc<OwnedFd>,
}

impl Line {
    /// Both ends; the other one is standard input of the process outside.
    pub(crate) fn pair() -> io::Result<(Self, StdUnixStream)> {
        let (ours, theirs) = StdUnixStream::pair()?;
        Ok((Self::over(ours)?, theirs))
    }

    /// Our end.
    pub(crate) fn over(ours: StdUnixStream) -> io::Result<Self> {
        ours.set_nonblocking(true)?;
        let keep = Arc::new(ours.try_clone()?.into());
        let (read, write) = UnixStream::from_std(ours)?.into_split();
        Ok(Self { read: BufReader::new(read), write, keep })
    }

    pub(crate) async fn say(&mut self, what: &impl serde::Serialize) -> io::Result<()> {
        let mut line = Vec::new();
        say(&mut line, what)?;
        self.write.write_all(&line).await
    }

    /// None at the end of the line.
    pub(crate) async fn hear(&mut self) -> io::Result<Option<Report>> {
        let mut line = String::new();
        if self.read.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        Ok(Some(serde_json::from_str(&line)?))
    }

    /// Hears it out: the end of the line comes with the end of the sandbox, and `Ended` before it where the agent ended.
    pub(crate) async fn until_end(&mut self, said: &mut Option<i32>) {
        loop {
            match self.hear().await {
                Ok(Some(Report::Ended(raw))) => *said = Some(raw),
                Ok(Some(other)) => tracing::warn!("a running sandbox says {other:?}"),
                Ok(None) => return,
                Err(err) => {
                    tracing::warn!("a sandbox can't be heard: {err}");
                    return;
                }
            }
        }
    }

    pub(crate) fn hold(&self) -> Hold {
        Hold(Arc::clone(&self.keep))
    }
}

/// As long as this lives the sandbox may.
pub(crate) struct Hold(Arc<OwnedFd>);

impl Drop for Hold {
    fn drop(&mut self) {
        if let Err(err) = rustix::net::shutdown(&*self.0, rustix::net::Shutdown::Write) {
            // It has ended by itself.
            tracing::trace!("the sandbox's line is closed already: {err}");
        }
    }
}
