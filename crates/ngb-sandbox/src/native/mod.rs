//! Sandboxes made of Linux namespaces. Nothing need be installed, and nobody need be root.
//!
//! ```text
//! gateway ── exec ──▶ outside (init.rs)                 process 1 (inside.rs)            agent
//!    │   join ───────▶ join cgroups; wait as the spare
//!    │   plan ───────▶ lock the lane
//!    │                 user, mount, pid, ipc, uts, net, cgroup namespaces
//!    │ ◀── unshared ──
//!    │ write user map
//!    │ ── mapped ────▶ open the host's folders
//!    │                 become user 1000 ─── fork ──▶ new root, /proc, pivot_root
//!    │                 drop capabilities             loopback up
//!    │                 wait for the end of           drop capabilities, rlimits
//!    │                 the line or of process 1      no new privileges
//!    │                                               Landlock, seccomp ──── spawn ──▶ exec
//!    │ ◀── ready ──────────────────────────────────  wait for orphans                 frames on
//!    │ ◀── ended ──────────────────────────────────  the agent's end is its own       its streams
//! ```
//!
//! The gateway, the process outside and process 1 share one socket, the *line*. Its end tells the process outside that
//! the gateway let go, or was killed; it then kills process 1, and the kernel everything in its pid namespace. Should
//! the process outside be killed instead, the kernel kills process 1 by its parent-death signal, which is exact here
//! since that parent has one thread only.
//!
//! As root, each group has a user of its own on the host, `uid_base` + the group's number; the gateway writes the map,
//! so no process inside is ever the host's root. As an ordinary user the inside is that user.
//!
//! Linux 5.14 or newer: `mount_setattr`, and `RLIMIT_NPROC` counted per namespace.

pub(crate) mod calls;
pub(crate) mod cgroup;
pub(crate) mod check;
pub(crate) mod init;
pub(crate) mod inside;
pub(crate) mod landlock;
mod loopback;
pub(crate) mod plan;
pub(crate) mod privilege;
mod process;
mod reap;
pub(crate) mod root;
pub(crate) mod seccomp;
mod spare;
pub(crate) mod sys;
mod tree;
pub(crate) mod watch;

use std::{
    collections::HashSet,
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use ngb_core::{
    clock::Clock,
    group::Limits,
    id::{GroupId, LaneId},
    tasks::Crew,
};

use self::{
    cgroup::{OWN_PROCESSES, Parents},
    plan::{Plan, Work},
    spare::Spare,
};
pub use self::{init::init_main, plan::Step};
pub(crate) use self::{
    init::report,
    plan::{Report, say},
    sys::close_on_exec_from,
    watch::memory_bytes,
};
pub use crate::users::DEFAULT_UID_BASE;
use crate::{AgentProcess, Probe, RunSpec, Sandbox, SandboxError, users::Users};

/// Largest `/tmp`, in bytes; with less memory it is half of that.
const MAX_TMP_BYTES: u64 = 256 << 20;

/// Size of the `/tmp` of a sandbox, in bytes.
pub(crate) fn tmp_bytes(limits: &Limits) -> u64 {
    MAX_TMP_BYTES.min((limits.memory_mib << 20) / 2)
}

/// What the engine needs to know.
#[derive(Clone, Debug)]
pub struct NativeConfig {
    /// The gateway's folder; locks stand in `run/sandbox` below it.
    pub home: PathBuf,
    /// Our executable; it becomes the first process of each sandbox, and `nanogridbot agent` inside.
    pub exe: PathBuf,
    /// Names this installation among others on the machine: letters, digits and `-`.
    pub install_id: String,
    /// See [`DEFAULT_UID_BASE`]; without meaning where the gateway is an ordinary user.
    pub uid_base: u32,
    pub clock: Clock,
}

/// The engine `native`.
pub struct Native {
    shared: Arc<Shared>,
}

struct Shared {
    config: NativeConfig,
    parents: Parents,
    users: Users,
    /// Tasks that look after one sandbox each.
    crew: Mutex<Crew>,
    /// Names of the sandboxes that live.
    live: Mutex<HashSet<String>>,
    started: AtomicU64,
    /// Started ahead of need: the executable is loaded and the control groups are joined, which is most of a start.
    spare: Mutex<Option<Spare>>,
}

impl Native {
    /// # Errors
    ///
    /// When the folder for locks can't be made, or `/proc` can't be read.
    pub fn new(config: NativeConfig) -> Result<Self, SandboxError> {
        let dir = config.lock_dir();
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&dir).map_err(|source| SandboxError::Setup {
            doing: format!("make `{}`", dir.display()),
            source,
        })?;
        let setup = |source| SandboxError::Setup { doing: "read `/proc/self`".into(), source };
        let parents = Parents::here().map_err(setup)?;
        Ok(Self {
            shared: Arc::new(Shared {
                users: Users::here(config.uid_base)?,
                config,
                parents,
                crew: Mutex::default(),
                live: Mutex::default(),
                started: AtomicU64::new(0),
                spare: Mutex::default(),
            }),
        })
    }

    /// User and group on the host of what the group's agents write.
    ///
    /// # Errors
    ///
    /// When the group's number has no place in the range.
    pub fn host_ids(&self, group: GroupId) -> Result<(u32, u32), SandboxError> {
        self.shared.users.of(group)
    }
}

impl NativeConfig {
    fn lock_dir(&self) -> PathBuf {
        self.home.join("run/sandbox")
    }

    /// What all control groups of this installation begin with.
    fn prefix(&self) -> String {
        format!("ngb-{}-", self.install_id)
    }
}

impl Shared {
    /// Makes the folders ready for the agent's user.
    fn plan(&self, spec: &RunSpec, work: Work) -> Result<Plan, SandboxError> {
        self.users.prove()?;
        give_folders(spec, self.users.of(spec.group)?)?;
        Ok(Plan {
            work,
            exe: self.config.exe.clone(),
            group_dir: spec.group_dir.clone(),
            lane_dir: spec.lane_dir.clone(),
            read_only: spec.read_only.clone(),
            mounts: spec.mounts.clone(),
            environment: spec.limits.environment.clone(),
            broker_dir: spec.broker_dir.clone(),
            lock: self.config.lock_dir().join(format!("lane-{}.lock", spec.lane)),
            leave_groups: self.users.apart,
            tmp_bytes: tmp_bytes(&spec.limits),
            file_bytes: spec.limits.file_mib << 20,
            processes: u64::from(spec.limits.pids) + OWN_PROCESSES,
        })
    }

    /// A name for the next sandbox that no other has, and no other gateway's.
    fn next_name(&self) -> String {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        format!("{}{}-{number}", self.config.prefix(), std::process::id())
    }

    fn note_live(&self, name: &str, lives: bool) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if lives {
            live.insert(name.to_owned())
        } else {
            live.remove(name)
        };
    }
}

#[async_trait]
impl Sandbox for Native {
    fn engine(&self) -> &'static str {
        "native"
    }

    fn owner(&self, group: GroupId) -> Option<(u32, u32)> {
        self.shared.users.other_than_ours(group)
    }

    async fn probe(&self) -> Result<Probe, SandboxError> {
        let dir = self.shared.config.lock_dir().join(format!("probe-{}", std::process::id()));
        let made = ScratchDir::new(&dir)?;
        let started = process::start(&self.shared, &made.spec(), Work::Check).await?;
        check::judge(started).await
    }

    async fn start(&self, spec: &RunSpec) -> Result<AgentProcess, SandboxError> {
        let work = Work::Agent(spec.args.clone());
        Ok(process::start(&self.shared, spec, work).await?.agent)
    }

    async fn reap(&self) -> Result<usize, SandboxError> {
        let shared = Arc::clone(&self.shared);
        reap::reap(&shared).await
    }
}

/// Makes the folders of a sandbox its user's own.
pub(crate) fn give_folders(spec: &RunSpec, owner: (u32, u32)) -> Result<(), SandboxError> {
    for dir in [&spec.group_dir, &spec.lane_dir] {
        tree::give(dir, owner).map_err(|source| SandboxError::Setup {
            doing: format!("give `{}` to user {}", dir.display(), owner.0),
            source,
        })?;
    }
    Ok(())
}

/// Folders of one probe, removed at its end.
pub(crate) struct ScratchDir(PathBuf);

impl ScratchDir {
    pub(crate) fn new(at: &Path) -> Result<Self, SandboxError> {
        let made = Self(at.to_owned());
        for name in ["group", "lane"] {
            fs::create_dir_all(at.join(name)).map_err(|source| SandboxError::Setup {
                doing: format!("make `{}`", at.display()),
                source,
            })?;
        }
        Ok(made)
    }

    pub(crate) fn spec(&self) -> RunSpec {
        RunSpec {
            group: GroupId(0),
            lane: LaneId(0),
            group_dir: self.0.join("group"),
            lane_dir: self.0.join("lane"),
            read_only: Vec::new(),
            mounts: Vec::new(),
            broker_dir: None,
            args: Vec::new(),
            limits: Limits::default(),
        }
    }
}

impl Drop for ScratchDir {
    fn drop(&mut self) {
        if let Err(err) = fs::remove_dir_all(&self.0) {
            tracing::warn!("can't remove `{}`: {err}", self.0.display());
        }
    }
}
