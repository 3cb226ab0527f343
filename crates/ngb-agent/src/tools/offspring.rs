//! Everything that a command started, also what left its process group or lost its parent.
//!
//! This process adopts orphans, so whatever a command started stays below it. Tools run one at a time: what is below
//! when a command has ended is the command's, but for what is kept from one command to the next.

use std::{
    collections::{BTreeSet, HashMap},
    fs, io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::process::{
    Pid, Signal, WaitOptions, getpid, kill_process, kill_process_group, set_child_subreaper,
    waitpid,
};

/// Looks at the process table, at most: what forks between two looks is seen at the next one, and what was killed takes a moment
/// to end.
const ROUNDS: usize = 100;

/// Has processes whose parent ended become children of this one.
pub(crate) fn adopt() -> io::Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// The leaders of what outlives commands: servers that tools call.
static KEPT: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

fn kept() -> MutexGuard<'static, BTreeSet<i32>> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One command's processes; all of them are killed when this is dropped.
pub(crate) struct Offspring {
    /// The command's own process, which leads a group.
    leader: Option<Pid>,
    is_kept: bool,
}

impl Offspring {
    pub(crate) fn of(leader: Option<Pid>) -> Self {
        Self { leader, is_kept: false }
    }

    /// Of a process that the end of others leaves alone.
    pub(crate) fn kept(leader: Option<Pid>) -> Self {
        kept().extend(leader.map(Pid::as_raw_nonzero).map(std::num::NonZeroI32::get));
        Self { leader, is_kept: true }
    }
}

impl Drop for Offspring {
    fn drop(&mut self) {
        if let (true, Some(leader)) = (self.is_kept, self.leader) {
            kept().remove(&leader.as_raw_nonzero().get());
            let alive = below(leader);
            // Its group goes first: it may have ended by itself, and nobody is to start more.
            kill_process_group(leader, Signal::KILL).ok();
            for pid in alive {
                kill_process(pid, Signal::KILL).ok();
            }
            return;
        }
        if let Some(leader) = self.leader {
            // It may have ended by itself.
            kill_process_group(leader, Signal::KILL).ok();
        }
        for _ in 0..ROUNDS {
            let alive = below(getpid());
            if alive.is_empty() {
                break;
            }
            for pid in alive {
                kill_process(pid, Signal::KILL).ok();
            }
            std::thread::yield_now();
        }
        self.reap();
    }
}

impl Offspring {
    /// Collects adopted processes that have ended, so that they don't fill the limit of processes. The leader is left to
    /// whoever started it.
    fn reap(&self) {
        for (pid, it) in table() {
            if it.parent == getpid() && it.ended && Some(pid) != self.leader && !is_kept(pid) {
                waitpid(Some(pid), WaitOptions::NOHANG).ok();
            }
        }
    }
}

struct Process {
    parent: Pid,
    ended: bool,
}

fn is_kept(pid: Pid) -> bool {
    kept().contains(&pid.as_raw_nonzero().get())
}

/// Living processes below `top`, without those that are kept and what is below them.
fn below(top: Pid) -> Vec<Pid> {
    let table = table();
    let is_below = |mut pid: Pid| {
        // A table that changed while it was read may have a circle in it.
        for _ in 0..table.len() {
            match table.get(&pid) {
                Some(_) if is_kept(pid) => return false,
                Some(it) if it.parent == top => return true,
                Some(it) => pid = it.parent,
                None => return false,
            }
        }
        false
    };
    let alive = table.iter().filter(|(_, it)| !it.ended).map(|(pid, _)| *pid);
    alive.filter(|pid| is_below(*pid)).collect()
}

/// The process table, from `/proc/<pid>/stat`; see proc_pid_stat(5).
fn table() -> HashMap<Pid, Process> {
    let mut res = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_str().and_then(|it| it.parse().ok()).and_then(Pid::from_raw);
        let Some(pid) = pid else { continue };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        // The name before it stands in brackets, and may have brackets and spaces in it.
        let Some((_, rest)) = stat.rsplit_once(')') else { continue };
        let mut fields = rest.split_whitespace();
        let ended = matches!(fields.next(), Some("Z" | "X"));
        let parent = fields.next().and_then(|it| it.parse().ok()).and_then(Pid::from_raw);
        if let Some(parent) = parent {
            res.insert(pid, Process { parent, ended });
        }
    }
    res
}
