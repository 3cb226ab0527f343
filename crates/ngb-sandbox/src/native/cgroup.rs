//! Limits that the kernel keeps: one control group a sandbox, in version 2 or in the hierarchies of version 1.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use ngb_core::group::Limits;

use crate::Kept;

/// The length of a period over which processor time is counted out, in microseconds (the kernel's own default).
const CPU_PERIOD_US: u64 = 100_000;

/// Processes of a sandbox that are not the agent's: the one outside and number 1.
pub(super) const OWN_PROCESSES: u64 = 2;

/// Room for those two, in bytes: they are pages of our executable and little else.
const OWN_BYTES: u64 = 4 << 20;

/// The folders under which ours are made; none where the system has no such controller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parents {
    /// Version 2, with or without controllers: without, it still kills all of a group at once.
    unified: Option<PathBuf>,
    memory: Option<PathBuf>,
    cpu: Option<PathBuf>,
    pids: Option<PathBuf>,
}

impl Parents {
    /// Our own groups here, read from `/proc/self/mountinfo` and `/proc/self/cgroup`.
    pub(super) fn here() -> io::Result<Self> {
        Ok(Self::parse(
            &fs::read_to_string("/proc/self/mountinfo")?,
            &fs::read_to_string("/proc/self/cgroup")?,
        ))
    }

    fn parse(mounts: &str, own: &str) -> Self {
        let mut found = Self::default();
        for line in mounts.lines() {
            // proc_pid_mountinfo(5): .. root mount-point options tags "-" type source super-options
            let Some((left, right)) = line.split_once(" - ") else { continue };
            let mut left = left.split(' ').skip(3);
            let (Some(root), Some(at)) = (left.next(), left.next()) else { continue };
            let mut right = right.split(' ');
            let (kind, controllers) = (right.next(), right.nth(1).unwrap_or_default());
            let of = |controller: &str| {
                own.lines().find_map(|line| {
                    let (names, path) = line.split_once(':')?.1.split_once(':')?;
                    names.split(',').any(|it| it == controller).then_some(path)
                })
            };
            let dir = |path: &str| {
                let below = path.strip_prefix(root.trim_end_matches('/')).unwrap_or(path);
                Path::new(at).join(below.trim_start_matches('/'))
            };
            match kind {
                Some("cgroup2") => found.unified = of("").map(dir),
                Some("cgroup") => {
                    for (name, slot) in [
                        ("memory", &mut found.memory),
                        ("cpu", &mut found.cpu),
                        ("pids", &mut found.pids),
                    ] {
                        if controllers.split(',').any(|it| it == name) {
                            *slot = of(name).map(dir);
                        }
                    }
                }
                _ => {}
            }
        }
        found
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Path> {
        let mut all: Vec<&Path> = [&self.unified, &self.memory, &self.cpu, &self.pids]
            .into_iter()
            .filter_map(|it| it.as_deref())
            .collect();
        all.sort();
        all.dedup();
        all.into_iter()
    }

    /// Makes the groups of one sandbox. Where the system lets us make none there is none, and the words say so.
    pub(super) fn make(&self, name: &str, limits: &Limits) -> Group {
        let mut group = Group::default();
        if let Some(parent) = &self.unified {
            group.make_unified(parent, name, limits);
        }
        let memory_bytes = (limits.memory_mib << 20).saturating_add(OWN_BYTES);
        if group.memory != Kept::Kernel
            && let Some(dir) = group.make_dir(self.memory.as_deref(), name)
        {
            let limited = write(&dir, "memory.limit_in_bytes", memory_bytes);
            // Absent where swap is not counted.
            let swap = write(&dir, "memory.memsw.limit_in_bytes", memory_bytes);
            if limited.is_ok()
                && (swap.is_ok() || !dir.join("memory.memsw.usage_in_bytes").exists())
            {
                group.memory = Kept::Kernel;
                group.gauge = Some(Gauge {
                    usage: dir.join("memory.usage_in_bytes"),
                    stat: dir.join("memory.stat"),
                    idle_key: "total_inactive_file ",
                });
            }
        }
        if group.cpu != Kept::Kernel
            && let Some(dir) = group.make_dir(self.cpu.as_deref(), name)
            && write(&dir, "cpu.cfs_period_us", CPU_PERIOD_US).is_ok()
            && write(&dir, "cpu.cfs_quota_us", quota_us(limits)).is_ok()
        {
            group.cpu = Kept::Kernel;
        }
        if group.pids != Kept::Kernel
            && let Some(dir) = group.make_dir(self.pids.as_deref(), name)
            && write(&dir, "pids.max", u64::from(limits.pids) + OWN_PROCESSES).is_ok()
        {
            group.pids = Kept::Kernel;
        }
        group
    }
}

/// Processor time in each period, in microseconds.
fn quota_us(limits: &Limits) -> u64 {
    // The kernel takes no less than a millisecond.
    (u64::from(limits.cpu_millis) * CPU_PERIOD_US / 1_000).max(1_000)
}

fn write(dir: &Path, file: &str, value: impl ToString) -> io::Result<()> {
    // Not `fs::write`: a control file can't be created, and one that is absent must stay absent.
    let mut file = fs::File::options().write(true).open(dir.join(file))?;
    io::Write::write_all(&mut file, value.to_string().as_bytes())
}

/// The groups of one sandbox.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) dirs: Vec<PathBuf>,
    pub(super) memory: Kept,
    pub(super) cpu: Kept,
    pub(super) pids: Kept,
    pub(super) gauge: Option<Gauge>,
}

impl Default for Group {
    fn default() -> Self {
        let none = Kept::NotEnforced;
        Self { dirs: Vec::new(), memory: none, cpu: none, pids: none, gauge: None }
    }
}

impl Group {
    fn make_dir(&mut self, parent: Option<&Path>, name: &str) -> Option<PathBuf> {
        let dir = parent?.join(name);
        match fs::create_dir(&dir) {
            Ok(()) => self.dirs.push(dir.clone()),
            // Two controllers in one hierarchy share the folder.
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists && self.dirs.contains(&dir) => {}
            Err(_) => return None,
        }
        Some(dir)
    }

    fn make_unified(&mut self, parent: &Path, name: &str, limits: &Limits) {
        for controller in ["+memory", "+cpu", "+pids"] {
            // Each by itself: one that is not on offer must not keep back the others. What is not there afterwards is
            // seen below.
            let asked = write(parent, "cgroup.subtree_control", controller);
            if let Err(err) = asked {
                tracing::debug!("cgroup v2 gives no {controller}: {err}");
            }
        }
        let Some(dir) = self.make_dir(Some(parent), name) else { return };
        let memory_bytes = (limits.memory_mib << 20).saturating_add(OWN_BYTES);
        if write(&dir, "memory.max", memory_bytes).is_ok() {
            // Absent where there is no swap.
            let swap = write(&dir, "memory.swap.max", 0);
            tracing::trace!("memory.swap.max: {swap:?}");
            self.memory = Kept::Kernel;
            self.gauge = Some(Gauge {
                usage: dir.join("memory.current"),
                stat: dir.join("memory.stat"),
                idle_key: "inactive_file ",
            });
        }
        if write(&dir, "cpu.max", format!("{} {CPU_PERIOD_US}", quota_us(limits))).is_ok() {
            self.cpu = Kept::Kernel;
        }
        if write(&dir, "pids.max", u64::from(limits.pids) + OWN_PROCESSES).is_ok() {
            self.pids = Kept::Kernel;
        }
    }

    /// Kills what is left in it and removes it; true once it is gone.
    pub(super) fn remove(&self) -> bool {
        // Each is tried, also after one that is not empty yet.
        self.dirs.iter().filter(|dir| !remove(dir)).count() == 0
    }
}

/// Kills what is left in `dir` and removes it; false while something in it still dies.
pub(super) fn remove(dir: &Path) -> bool {
    let gone = |res: io::Result<()>| match res {
        Ok(()) => true,
        Err(err) => err.kind() == io::ErrorKind::NotFound,
    };
    if gone(fs::remove_dir(dir)) {
        return true;
    }
    // Linux 5.14 kills a whole group of version 2 at once; else one by one.
    if write(dir, "cgroup.kill", 1).is_err() {
        let pids = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
        for pid in pids.lines().filter_map(|it| it.parse().ok()) {
            if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                // It may have died meanwhile; the folder tells.
                let killed = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                tracing::debug!("killed a leftover process: {killed:?}");
            }
        }
    }
    gone(fs::remove_dir(dir))
}

/// Where the kernel says how much memory a group uses.
#[derive(Clone, Debug)]
pub(super) struct Gauge {
    usage: PathBuf,
    stat: PathBuf,
    /// The key in `stat` of file pages that can go at any time; they are not counted.
    idle_key: &'static str,
}

impl Gauge {
    /// Bytes in use.
    pub(super) fn read(&self) -> Option<u64> {
        let usage: u64 = fs::read_to_string(&self.usage).ok()?.trim().parse().ok()?;
        let stat = fs::read_to_string(&self.stat).ok()?;
        let idle = stat.lines().find_map(|it| it.strip_prefix(self.idle_key)?.parse().ok());
        Some(usage.saturating_sub(idle.unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
        30 24 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
        31 24 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
        32 24 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    #[test]
    fn parents_are_read_from_proc() {
        let at = |path: &str| Some(PathBuf::from(path));
        #[rustfmt::skip]
        let table = [
            ("version 1 and 2", HYBRID, "8:memory:/a/b\n2:cpu,cpuacct:/\n0::/\n", Parents {
                unified: at("/sys/fs/cgroup/unified/"),
                memory:  at("/sys/fs/cgroup/memory/a/b"),
                cpu:     at("/sys/fs/cgroup/cpu,cpuacct/"),
                pids:    None,
            }),
            ("version 2 only", "30 24 0:27 / /sys/fs/cgroup rw - cgroup2 c rw\n", "0::/user.slice/a\n", Parents {
                unified: at("/sys/fs/cgroup/user.slice/a"), ..Parents::default()
            }),
            ("in a container", "30 24 0:27 /docker/x /sys/fs/cgroup/memory ro - cgroup c rw,memory\n",
             "3:memory:/docker/x/in\n", Parents {
                memory: at("/sys/fs/cgroup/memory/in"), ..Parents::default()
            }),
            ("none", "", "", Parents::default()),
        ];
        for (name, mounts, own, want) in table {
            assert_eq!(Parents::parse(mounts, own), want, "{name}");
        }
    }
}
