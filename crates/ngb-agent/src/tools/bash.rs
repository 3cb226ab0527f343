//! One shell command, with everything that it starts.

use std::{
    collections::VecDeque,
    io,
    os::fd::OwnedFd,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use ngb_core::clock::Clock;
use rustix::process::Pid;
use serde::Deserialize;
use tokio::{io::AsyncReadExt as _, net::unix::pipe, process::Command};

use super::offspring::Offspring;
use crate::Folders;

const DEFAULT_LIMIT: Duration = Duration::from_secs(120);
const MAX_LIMIT_SECONDS: u64 = 600;

/// What is kept of an output, in bytes: its start says what it is, its end how it went.
const HEAD_BYTES: usize = 8 * 1024;
const TAIL_BYTES: usize = 24 * 1024;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bash {
    command: String,
    #[serde(default)]
    timeout_s: Option<u64>,
}

impl Bash {
    pub(crate) async fn run(
        self,
        folders: &Folders,
        clock: &Clock,
        variables: Vec<(&'static str, String)>,
    ) -> Result<String, String> {
        let limit = match self.timeout_s {
            Some(seconds) => Duration::from_secs(seconds.clamp(1, MAX_LIMIT_SECONDS)),
            None => DEFAULT_LIMIT,
        };
        let mut output = Capture::default();
        let ended =
            clock.timeout(limit, execute(&self.command, folders, variables, &mut output)).await;
        let (ok, end) = match ended {
            Ok(Ok(status)) if status.success() => (true, String::new()),
            Ok(Ok(status)) => (false, format!("[{status}]")),
            Ok(Err(err)) => (false, format!("[could not run it: {err}]")),
            Err(_) => (false, format!("[killed: it did not end within {} s]", limit.as_secs())),
        };
        let mut text = output.text();
        if !end.is_empty() {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text += &end;
        } else if text.is_empty() {
            text = "[no output]".to_owned();
        }
        if ok { Ok(text) } else { Err(text) }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the agent's own tools are processes; it runs inside the sandbox"
)]
async fn execute(
    command: &str,
    folders: &Folders,
    variables: Vec<(&'static str, String)>,
    output: &mut Capture,
) -> io::Result<ExitStatus> {
    let shell = ["/bin/bash", "/usr/bin/bash"]
        .into_iter()
        .find(|it| std::fs::exists(it).is_ok_and(|it| it));
    // One pipe for both streams keeps their order.
    let (read, write) = io::pipe()?;
    let mut child = Command::new(shell.unwrap_or("/bin/sh"))
        .arg("-c")
        .arg(command)
        .current_dir(&folders.group)
        .env("HOME", &folders.lane)
        .envs(variables)
        .stdin(Stdio::null())
        .stdout(write.try_clone()?)
        .stderr(write)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    let leader = child.id().and_then(|it| Pid::from_raw(it.cast_signed()));
    let offspring = Offspring::of(leader);
    let mut read = pipe::Receiver::from_owned_fd(OwnedFd::from(read))?;
    let mut buffer = vec![0; 16 * 1024];
    let status = loop {
        tokio::select! {
            biased;
            got = read.read(&mut buffer) => match got? {
                0 => break child.wait().await?,
                some => output.take(&buffer[..some]),
            },
            status = child.wait() => break status?,
        }
    };
    // What it left in the background would hold the pipe, and outlive its conversation.
    drop(offspring);
    while let Ok(some) = read.try_read(&mut buffer)
        && some != 0
    {
        output.take(&buffer[..some]);
    }
    Ok(status)
}

/// The start and the end of an output.
#[derive(Default)]
struct Capture {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    left_out: usize,
}

impl Capture {
    fn take(&mut self, bytes: &[u8]) {
        let to_head = bytes.len().min(HEAD_BYTES - self.head.len());
        self.head.extend_from_slice(&bytes[..to_head]);
        self.tail.extend(&bytes[to_head..]);
        let over = self.tail.len().saturating_sub(TAIL_BYTES);
        self.tail.drain(..over);
        self.left_out += over;
    }

    fn text(&mut self) -> String {
        let tail = self.tail.make_contiguous();
        if self.left_out == 0 {
            self.head.extend_from_slice(tail);
            return String::from_utf8_lossy(&self.head).into_owned();
        }
        let head = String::from_utf8_lossy(&self.head).into_owned();
        let tail = String::from_utf8_lossy(tail).into_owned();
        format!("{head}\n[{} bytes left out]\n{tail}", self.left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_and_end_are_kept() {
        let mut output = Capture::default();
        output.take(b"start");
        for _ in 0..100 {
            output.take(&[b'x'; 1000]);
        }
        output.take("的end".as_bytes());
        let text = output.text();
        assert!(text.starts_with("start") && text.ends_with("的end"));
        assert!(text.len() < HEAD_BYTES + TAIL_BYTES + 100);
        assert!(text.contains(&format!("[{} bytes left out]", 100_011 - HEAD_BYTES - TAIL_BYTES)));
    }
}
