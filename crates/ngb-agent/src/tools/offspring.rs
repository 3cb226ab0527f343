//! Everything that a command started, also what left its process group or lost its parent.
//!
//! This process adopts orphans, so whatever a command started stays below it. Tools run one at a time: what is below
//! when a command has ended is the command's.

use std::{collections::HashMap, fs, io};

use rustix::process::{
    Pid, Signal, WaitOptions, getpid, kill_process, kill_process_group, set_child_subreaper,
    waitpid,
};

/// Looks at the process table; a process that forks between two looks is seen at the next one.
const ROUNDS: usize = 4;

/// Has processes whose parent ended become children of this one.
pub(crate) fn adopt() -> io::Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// One command's processes; all of them are killed when this is dropped.
pub(crate) struct Offspring {
    /// The command's own process, which leads a group.
    leader: Option<Pid>,
}

impl Offspring {
    pub(crate) fn of(leader: Option<Pid>) -> Self {
        Self { leader }
    }
}

impl Drop for Offspring {
    fn drop(&mut self) {
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
        }
        self.reap();
    }
}

impl Offspring {
    /// Collects adopted processes that have ended, so that they don't fill the limit of processes. The leader is left to
    /// whoever started it.
    fn reap(&self) {
        for (pid, it) in table() {
            if it.parent == getpid() && it.ended && Some(pid) != self.leader {
                waitpid(Some(pid), WaitOptions::NOHANG).ok();
            }
        }
    }
}

struct Process {
    parent: Pid,
    ended: bool,
}

/// Living processes below `top`.
fn below(top: Pid) -> Vec<Pid> {
    let table = table();
    let is_below = |mut pid: Pid| {
        // A table that changed while it was read may have a circle in it.
        for _ in 0..table.len() {
            match table.get(&pid) {
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
