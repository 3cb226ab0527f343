//! Memory and processor time of a process with everything that it started, as `/proc` has it.

use std::{collections::HashMap, fs, path::Path};

use anyhow::Context as _;

/// Ticks of processor time in a second, as `/proc/<pid>/stat` counts them: `USER_HZ` is 100 on every Linux we build for.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process and all its descendants, itself first.
pub(crate) fn tree(root: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|it| it.parse().ok()) else { continue };
        if let Ok(fields) = stat(pid) {
            children.entry(fields.parent).or_default().push(pid);
        }
    }
    let mut res = vec![root];
    let mut at = 0;
    while at < res.len() {
        res.extend(children.get(&res[at]).into_iter().flatten());
        at += 1;
    }
    res
}

struct Stat {
    parent: u32,
    /// Of itself, and of its children that have ended.
    ticks: u64,
}

fn stat(pid: u32) -> anyhow::Result<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name may hold blanks and parentheses; what follows its last parenthesis are the fields from the third on.
    let (_, rest) = text.rsplit_once(')').context("no name")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number =
        |n: usize| fields.get(n).and_then(|it| it.parse::<u64>().ok()).context("no number");
    Ok(Stat {
        parent: u32::try_from(number(1)?)?,
        ticks: number(11)? + number(12)? + number(13)? + number(14)?,
    })
}

/// Processor time of all of `pids`, in milliseconds. Those that have ended meanwhile count with whoever waited for them.
pub(crate) fn cpu_ms(pids: &[u32]) -> f64 {
    let ticks: u64 = pids.iter().filter_map(|it| stat(*it).ok()).map(|it| it.ticks).sum();
    ticks as f64 * 1_000.0 / TICKS_PER_SECOND
}

/// Drops a file from the page cache. A file that was just built lies there in larger pieces than one that was read from the
/// disk, and a process is given whole pieces of its executable: 3 MiB more of the same program.
pub(crate) fn forget(file: &Path) -> anyhow::Result<()> {
    let file = fs::File::open(file)?;
    file.sync_all()?;
    Ok(rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?)
}

/// Proportional set size of all of `pids`, in MiB.
pub(crate) fn pss_mib(pids: &[u32]) -> f64 {
    let kib = |pid: &u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let line = text.lines().find(|it| it.starts_with("Pss:"))?.to_owned();
        line.split_whitespace().nth(1)?.parse::<f64>().ok()
    };
    pids.iter().filter_map(kib).sum::<f64>() / 1_024.0
}
