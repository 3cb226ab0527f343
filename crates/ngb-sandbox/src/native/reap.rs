//! Ends what an earlier gateway left: normally nothing, since sandboxes end with their gateway.

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, PoisonError},
    time::Duration,
};

use ngb_core::tasks::blocking;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::{Shared, cgroup};
use crate::SandboxError;

/// Longest wait for leftovers to die, and between two looks.
const DIE_LIMIT: Duration = Duration::from_secs(10);
const DIE_PERIOD: Duration = Duration::from_millis(10);

/// Kills leftovers of this installation and of no other; returns how many sandboxes that were.
pub(super) async fn reap(shared: &Arc<Shared>) -> Result<usize, SandboxError> {
    let (processes, dirs) = {
        let shared = Arc::clone(shared);
        blocking("find leftovers", move || {
            (kill_first_processes(&shared.config.install_id), leftover_groups(&shared))
        })
        .await
    };
    let mut names: Vec<_> = dirs.iter().filter_map(|it| it.file_name()).collect();
    names.sort();
    names.dedup();
    // A sandbox may have had no group, or left a group and no process.
    let found = names.len().max(processes);

    let clock = &shared.config.clock;
    let mut left = dirs.clone();
    let gone = clock.timeout(DIE_LIMIT, async {
        loop {
            left.retain(|it| !cgroup::remove(it));
            if left.is_empty() {
                break;
            }
            clock.sleep(DIE_PERIOD).await;
        }
    });
    gone.await.map_err(|late| SandboxError::Setup {
        doing: "end the sandboxes of an earlier gateway".into(),
        source: std::io::Error::new(std::io::ErrorKind::TimedOut, late),
    })?;
    remove_scratch(&shared.config.lock_dir());
    Ok(found)
}

fn leftover_groups(shared: &Shared) -> Vec<PathBuf> {
    let live = shared.live.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let prefix = shared.config.prefix();
    let entries = shared.parents.all().filter_map(|it| fs::read_dir(it).ok()).flatten().flatten();
    entries
        .filter(|it| {
            let name = it.file_name();
            let name = name.to_string_lossy();
            name.starts_with(&prefix) && !live.contains(&*name)
        })
        .map(|it| it.path())
        .collect()
}

/// Kills the processes outside of earlier sandboxes, known by their arguments; what is inside dies with them.
fn kill_first_processes(install_id: &str) -> usize {
    let all: Vec<(i32, i32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|it| it.file_name().to_str()?.parse().ok())
        .filter(|pid| is_ours(*pid, install_id))
        .filter_map(|pid| Some((pid, parent(pid)?)))
        .collect();
    let me = rustix::process::getpid().as_raw_nonzero().get();
    let left = all
        .iter()
        .filter(|(_, parent)| *parent != me && !all.iter().any(|(other, _)| other == parent));
    left.filter(|(pid, _)| kill(*pid, install_id)).count()
}

fn is_ours(pid: i32, install_id: &str) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut args = line.split(|it| *it == 0).skip(1);
    args.next() == Some(b"__sandbox") && args.next() == Some(install_id.as_bytes())
}

fn parent(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|it| it.strip_prefix("PPid:")?.trim().parse().ok())
}

/// The number could have gone to another process since it was read: a handle is opened, then it is asked again.
fn kill(pid: i32, install_id: &str) -> bool {
    let Some(handle) = Pid::from_raw(pid).and_then(|it| pidfd_open(it, PidfdFlags::empty()).ok())
    else {
        return false;
    };
    is_ours(pid, install_id) && pidfd_send_signal(&handle, Signal::KILL).is_ok()
}

/// Removes the folders of probes that never ended.
fn remove_scratch(dir: &std::path::Path) {
    let own = format!("probe-{}", std::process::id());
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.to_string_lossy().starts_with("probe-")
            && *name != *own
            && let Err(err) = fs::remove_dir_all(entry.path())
        {
            tracing::warn!("can't remove `{}`: {err}", entry.path().display());
        }
    }
}
