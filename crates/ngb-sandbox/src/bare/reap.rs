//! Ends agents without walls that an earlier gateway left: normally none, since they end with their gateway.

use std::{collections::BTreeSet, fs, path::Path};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::WORKSPACE;

/// Kills all that bears `mark` in its environment and does not come from this process; returns in how many workspaces
/// they were. What wiped its environment is not found.
pub(super) fn reap(mark: &[u8]) -> usize {
    let me = std::process::id();
    let mut workspaces = BTreeSet::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|it| it.parse().ok()) else { continue };
        // The number could go to another process at any time: a handle is opened, then it is asked.
        let Some(handle) = pidfd(pid) else { continue };
        let Some(workspace) = marked(&entry.path(), mark) else { continue };
        if comes_from(pid, me) {
            continue;
        }
        match pidfd_send_signal(&handle, Signal::KILL) {
            Ok(()) => {
                workspaces.insert(workspace);
            }
            Err(err) => tracing::debug!("process {pid} has ended meanwhile: {err}"),
        }
    }
    workspaces.len()
}

fn pidfd(pid: u32) -> Option<std::os::fd::OwnedFd> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw)?;
    pidfd_open(pid, PidfdFlags::empty()).ok()
}

/// The workspace of a marked process that still runs.
fn marked(dir: &Path, mark: &[u8]) -> Option<Vec<u8>> {
    let environment = fs::read(dir.join("environ")).ok()?;
    let mut variables = environment.split(|it| *it == 0);
    variables.clone().find(|it| *it == mark)?;
    let name = format!("{WORKSPACE}=");
    variables.find_map(|it| it.strip_prefix(name.as_bytes())).map(<[u8]>::to_vec)
}

/// Whether `ancestor` is among the processes that `pid` comes from.
fn comes_from(mut pid: u32, ancestor: u32) -> bool {
    while pid != ancestor {
        match parent(pid) {
            Some(parent @ 1..) => pid = parent,
            _ => return false,
        }
    }
    true
}

fn parent(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|it| it.strip_prefix("PPid:")?.trim().parse().ok())
}
