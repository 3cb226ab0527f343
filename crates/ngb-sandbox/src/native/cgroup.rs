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
pub(crate) const OWN_PROCESSES: u64 = 2;

/// Room for those two, in bytes: they are pages of our executable and little else.
const OWN_BYTES: u64 = 4 << 20;

/// The folders under which ours are made; none where the system has no such controller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parents {
    /// Version 2, with or without controllers: without, it still kills all of a group at once.
    unified: Option<PathBuf>,
    memory: Option<PathBuf>,
    cpu: Option<PathBuf>,
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
                    for (name, slot) in [("memory", &mut found.memory), ("cpu", &mut found.cpu)] {
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
        let mut all: Vec<&Path> = [&self.unified, &self.memory, &self.cpu]
            .into_iter()
            .filter_map(|it| it.as_deref())
            .collect();
        all.sort();
        all.dedup();
        all.into_iter()
    }

    /// Makes the groups of one sandbox, without limits yet. Where the system lets us make none there is none.
    ///
    /// Of version 1 only two are used, although there is one for processes too: to join a group costs a grace period of
    /// the kernel (3 to 10 ms), and `RLIMIT_NPROC` counts as well.
    pub(super) fn make(&self, name: &str) -> Group {
        let mut group = Group::default();
        if let Some(parent) = self.unified.as_deref().filter(|it| has_controllers(it)) {
            group.unified = make_dir(parent, name);
        }
        if group.unified.is_none() {
            group.memory_v1 = self.memory.as_deref().and_then(|it| make_dir(it, name));
            group.cpu_v1 = self.cpu.as_deref().and_then(|it| make_dir(it, name));
        }
        group
    }
}

fn make_dir(parent: &Path, name: &str) -> Option<PathBuf> {
    let dir = parent.join(name);
    match fs::create_dir(&dir) {
        Ok(()) => Some(dir),
        Err(err) => {
            tracing::debug!("no control group `{}`: {err}", dir.display());
            None
        }
    }
}

/// Whether groups of version 2 below `parent` get any controller; asks for them.
fn has_controllers(parent: &Path) -> bool {
    for controller in ["+memory", "+cpu", "+pids"] {
        // Each by itself: one that is not on offer must not keep back the others.
        if let Err(err) = write(parent, "cgroup.subtree_control", controller) {
            tracing::debug!("cgroup v2 gives no {controller}: {err}");
        }
    }
    fs::read_to_string(parent.join("cgroup.subtree_control"))
        .is_ok_and(|it| it.split_whitespace().any(|it| matches!(it, "memory" | "cpu" | "pids")))
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
#[derive(Debug, Default)]
pub(super) struct Group {
    unified: Option<PathBuf>,
    memory_v1: Option<PathBuf>,
    cpu_v1: Option<PathBuf>,
}

/// What the kernel keeps by the groups.
#[derive(Debug)]
pub(super) struct Set {
    /// None where it does not keep memory.
    pub(super) gauge: Option<Gauge>,
    pub(super) cpu: Kept,
}

impl Group {
    pub(super) fn dirs(&self) -> Vec<PathBuf> {
        [&self.unified, &self.memory_v1, &self.cpu_v1].into_iter().flatten().cloned().collect()
    }

    /// Sets the limits, and says which of them hold.
    pub(super) fn set(&self, limits: &Limits) -> Set {
        let memory_bytes = (limits.memory_mib << 20).saturating_add(OWN_BYTES);
        let mut set = Set { gauge: None, cpu: Kept::NotEnforced };
        if let Some(dir) = &self.unified {
            if write(dir, "memory.max", memory_bytes).is_ok() && no_swap(dir, "memory.swap.max", 0)
            {
                set.gauge = Some(Gauge {
                    usage: dir.join("memory.current"),
                    stat: dir.join("memory.stat"),
                    idle_key: "inactive_file ",
                });
            }
            if write(dir, "cpu.max", format!("{} {CPU_PERIOD_US}", quota_us(limits))).is_ok() {
                set.cpu = Kept::Kernel;
            }
            // RLIMIT_NPROC keeps this too.
            if let Err(err) = write(dir, "pids.max", u64::from(limits.pids) + OWN_PROCESSES) {
                tracing::debug!("no pids.max: {err}");
            }
        }
        if let Some(dir) = &self.memory_v1
            && write(dir, "memory.limit_in_bytes", memory_bytes).is_ok()
            && no_swap(dir, "memory.memsw.limit_in_bytes", memory_bytes)
        {
            set.gauge = Some(Gauge {
                usage: dir.join("memory.usage_in_bytes"),
                stat: dir.join("memory.stat"),
                idle_key: "total_inactive_file ",
            });
        }
        if let Some(dir) = &self.cpu_v1
            && write(dir, "cpu.cfs_period_us", CPU_PERIOD_US).is_ok()
            && write(dir, "cpu.cfs_quota_us", quota_us(limits)).is_ok()
        {
            set.cpu = Kept::Kernel;
        }
        set
    }

    /// Kills what is left in it and removes it; true once it is gone.
    pub(super) fn remove(&self) -> bool {
        // Each is tried, also after one that is not empty yet.
        self.dirs().iter().filter(|dir| !remove(dir)).count() == 0
    }
}

/// Keeps memory from going to swap instead; the file is absent where swap is not counted or there is none.
fn no_swap(dir: &Path, file: &str, value: u64) -> bool {
    match write(dir, file, value) {
        Ok(()) => true,
        Err(err) => err.kind() == io::ErrorKind::NotFound,
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

    /// A tree as version 2 shows it; no controllers are there on the machines of the tests.
    #[test]
    fn version_2_is_set_in_a_recorded_tree() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("cgroup.subtree_control"), "cpu memory pids\n").unwrap();
        let parents = Parents { unified: Some(dir.path().into()), ..Parents::default() };
        let group = parents.make("ngb-x-1");
        let made = dir.path().join("ngb-x-1");
        assert_eq!(group.dirs(), std::slice::from_ref(&made));
        for file in ["memory.max", "memory.swap.max", "cpu.max", "pids.max"] {
            fs::write(made.join(file), "").unwrap();
        }
        let limits = Limits { memory_mib: 256, cpu_millis: 500, pids: 64, ..Limits::default() };
        let set = group.set(&limits);
        assert_eq!(set.cpu, Kept::Kernel);
        let read = |file: &str| fs::read_to_string(made.join(file)).unwrap();
        assert_eq!(read("memory.max"), "272629760");
        assert_eq!(read("memory.swap.max"), "0");
        assert_eq!(read("cpu.max"), "50000 100000");
        assert_eq!(read("pids.max"), "66");
        fs::write(made.join("memory.current"), "1000\n").unwrap();
        fs::write(made.join("memory.stat"), "anon 600\ninactive_file 400\n").unwrap();
        assert_eq!(set.gauge.unwrap().read(), Some(600));
    }

    #[test]
    fn version_2_kills_all_of_a_group_for_real() {
        let parents = Parents::here().unwrap();
        let dir = parents.unified.unwrap().join(format!("ngb-test-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        #[expect(clippy::disallowed_methods, reason = "something to kill")]
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        fs::write(dir.join("cgroup.procs"), child.id().to_string()).unwrap();
        remove(&dir);
        use std::os::unix::process::ExitStatusExt as _;
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        assert!(remove(&dir));
        assert!(!dir.exists());
    }
}
