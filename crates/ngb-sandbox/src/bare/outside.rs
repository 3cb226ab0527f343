//! The process outside of an agent without walls. It starts the agent, and ends with it all that came from it.
//!
//! It is a "subreaper": whoever loses its parent becomes its child, wherever it has gone. So what the agent started can
//! always be found by walking down from here. An agent that kills this very process does escape: there is no wall.

use std::{
    fs, io,
    io::Read as _,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::process::ExitStatusExt as _,
    },
    process::{Command, ExitCode, ExitStatus, Stdio},
};

use rustix::process::{
    self, Pid, PidfdFlags, Signal, WaitOptions, kill_process, pidfd_open, pidfd_send_signal,
};

use crate::native::{Report, close_on_exec_from, report};

/// Argument after `__sandbox`; an installation's name never begins like this.
pub(crate) const ARGUMENT: &str = "--bare";

/// Standard input is the line to the gateway, standard output the agent's streams, standard error the agent's.
pub(crate) fn outside_main(args: impl Iterator<Item = std::ffi::OsString>) -> ExitCode {
    match outside(args) {
        Ok(status) => {
            let code = status.code().unwrap_or(1);
            report(&Report::Ended(status.into_raw()));
            ExitCode::from(u8::try_from(code).unwrap_or(1))
        }
        Err(err) => {
            eprintln!("could not run an agent: {err}");
            ExitCode::FAILURE
        }
    }
}

fn outside(args: impl Iterator<Item = std::ffi::OsString>) -> io::Result<ExitStatus> {
    close_on_exec_from(3)?;
    process::setsid()?;
    process::set_child_subreaper(Some(process::getpid()))?;
    let agent = spawn(args)?;
    let handle = pidfd_open(agent, PidfdFlags::empty())?;
    std::thread::Builder::new().name("line".into()).spawn(move || end_with_line(&handle))?;
    let status = wait_for(agent)?;
    end_all()?;
    Ok(status)
}

#[expect(clippy::disallowed_methods, reason = "this is the one place")]
fn spawn(args: impl Iterator<Item = std::ffi::OsString>) -> io::Result<Pid> {
    // Descriptor 0 is the line and stays here; the agent's input and output are descriptor 1.
    let input = io::stdout().as_fd().try_clone_to_owned()?;
    let mut command = Command::new(std::env::current_exe()?);
    let child = command.arg("agent").args(args).stdin(Stdio::from(input)).spawn()?;
    let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    id.ok_or_else(|| io::Error::other("it has no process id"))
}

/// Nothing is sent on the line; its end means that the gateway let go, or is gone.
fn end_with_line(agent: &OwnedFd) {
    let mut byte = [0];
    let got = io::stdin().read(&mut byte);
    if let Err(err) = pidfd_send_signal(agent, Signal::KILL) {
        // It has ended by itself.
        tracing::trace!("the agent is gone at the end of the line ({got:?}): {err}");
    }
}

/// Orphans are waited for as well, so that none stays a zombie.
fn wait_for(agent: Pid) -> io::Result<ExitStatus> {
    loop {
        match process::wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == agent => {
                return Ok(ExitStatus::from_raw(status.as_raw()));
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(err) => return Err(err.into()),
        }
    }
}

/// Kills all that came from this process, until there is nothing left to wait for.
fn end_all() -> io::Result<()> {
    loop {
        // First they stand still, so that none starts another behind our back.
        let mut all = Vec::new();
        loop {
            let found = descendants()?;
            let new: Vec<Pid> = found.into_iter().filter(|it| !all.contains(it)).collect();
            if new.is_empty() {
                break;
            }
            for &pid in &new {
                signal(pid, Signal::STOP);
            }
            all.extend(new);
        }
        for &pid in &all {
            signal(pid, Signal::KILL);
        }
        match process::wait(WaitOptions::empty()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::CHILD) => return Ok(()),
            Err(err) => return Err(err.into()),
        }
    }
}

fn signal(pid: Pid, signal: Signal) {
    if let Err(err) = kill_process(pid, signal) {
        // It has ended meanwhile, or is another user's: a program with a set-user-id bit ends as it likes.
        tracing::trace!("process {pid:?} gets no signal: {err}");
    }
}

fn descendants() -> io::Result<Vec<Pid>> {
    let mut found: Vec<i32> = vec![process::getpid().as_raw_nonzero().get()];
    let mut at = 0;
    while let Some(&pid) = found.get(at) {
        // A process that ended meanwhile has handed its children up to us.
        for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            for child in children.split_whitespace().filter_map(|it| it.parse().ok()) {
                if !found.contains(&child) {
                    found.push(child);
                }
            }
        }
        at += 1;
    }
    Ok(found.into_iter().skip(1).filter_map(Pid::from_raw).collect())
}
