//! Limits that nobody but us keeps: looks at the disk, and at the memory where the kernel doesn't.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use ngb_core::{clock::Clock, group::Limits, tasks::blocking};

use super::tree;
use crate::Kept;

/// Between two looks at the memory.
const MEMORY_PERIOD: Duration = Duration::from_millis(200);

/// Between two looks at the disk, at least.
const DISK_PERIOD: Duration = Duration::from_secs(1);

/// The part of the time that looking at the disk may take: a large folder is looked at less often.
const DISK_SHARE: u32 = 20;

/// What one sandbox is watched for.
pub(crate) struct Watch {
    pub(crate) clock: Clock,
    /// The sandbox's process outside, from which all others come.
    pub(crate) first: u32,
    pub(crate) limits: Limits,
    pub(crate) folders: [PathBuf; 2],
    pub(crate) memory: Kept,
}

impl Watch {
    /// Returns once a limit is passed, with a sentence for the log.
    pub(crate) async fn passed(&self) -> String {
        tokio::select! {
            said = self.memory() => said,
            said = self.disk() => said,
        }
    }

    async fn memory(&self) -> String {
        if self.memory != Kept::Watcher {
            return std::future::pending().await;
        }
        let most = self.limits.memory_mib << 20;
        loop {
            self.clock.sleep(MEMORY_PERIOD).await;
            let first = self.first;
            let used = blocking("memory of a sandbox", move || memory_bytes(first)).await;
            if used.is_some_and(|it| most < it) {
                return format!(
                    "ended: it used more than {} MiB of memory",
                    self.limits.memory_mib
                );
            }
        }
    }

    async fn disk(&self) -> String {
        let most = self.limits.disk_mib << 20;
        loop {
            let started = self.clock.now();
            let folders = self.folders.clone();
            let used = blocking("disk of a sandbox", move || disk_bytes(&folders, most)).await;
            match used {
                Ok(used) if used <= most => {}
                Ok(_) => {
                    let mib = self.limits.disk_mib;
                    return format!("ended: its folders hold more than {mib} MiB");
                }
                Err(err) => return format!("ended: its folders can't be measured: {err}"),
            }
            let took = self.clock.now().since(started);
            self.clock.sleep(DISK_PERIOD.max(took * DISK_SHARE)).await;
        }
    }
}

fn disk_bytes(folders: &[PathBuf], most: u64) -> std::io::Result<u64> {
    let mut sum = 0_u64;
    for folder in folders {
        sum = sum.saturating_add(tree::disk_bytes(folder, most)?);
    }
    Ok(sum)
}

/// Memory of a process and all that come from it, in bytes: what is its own, without pages of files.
pub(crate) fn memory_bytes(first: u32) -> Option<u64> {
    let proc = Path::new("/proc");
    let mut sum = of_one(&proc.join(first.to_string()))?;
    let mut left = vec![first];
    while let Some(pid) = left.pop() {
        let dir = proc.join(pid.to_string());
        // A process that ends meanwhile uses nothing any more.
        for task in fs::read_dir(dir.join("task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            for child in children.split_whitespace().filter_map(|it| it.parse().ok()) {
                let child: u32 = child;
                sum = sum.saturating_add(of_one(&proc.join(child.to_string())).unwrap_or(0));
                left.push(child);
            }
        }
    }
    Some(sum)
}

/// `RssAnon` and `RssShmem` of proc_pid_status(5).
fn of_one(dir: &Path) -> Option<u64> {
    let status = fs::read_to_string(dir.join("status")).ok()?;
    let kib = |key: &str| -> Option<u64> {
        let line = status.lines().find_map(|it| it.strip_prefix(key))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    };
    Some((kib("RssAnon:").unwrap_or(0) + kib("RssShmem:").unwrap_or(0)) << 10)
}
