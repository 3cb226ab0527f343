//! Where agents run: apart from the host, or not at all.
//!
//! [`Sandbox`] is the seam. `native` is made of Linux namespaces and needs nothing installed; `docker` asks an engine for
//! containers; `bare` has no walls and must be named in the settings; `fake` is for tests of other crates.

pub mod bare;
mod diagnose;
pub mod docker;
pub mod fake;
mod last_words;
mod line;
pub mod native;
mod outside;
mod streams;
mod users;

use std::{path::PathBuf, pin::Pin, process::ExitStatus, sync::Arc};

use async_trait::async_trait;
use ngb_core::{
    group::Limits,
    id::{GroupId, LaneId},
};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};

pub use self::{
    diagnose::{apparmor_profile, diagnose, remedy},
    last_words::LastWords,
};

/// A place to run an agent apart from the host.
#[async_trait]
pub trait Sandbox: Send + Sync + 'static {
    /// The word in `[sandbox] engine`.
    fn engine(&self) -> &'static str;

    /// The host's user and group that the agents of `group` are, where that is another than ours; what is written for
    /// them is given to it.
    fn owner(&self, group: GroupId) -> Option<(u32, u32)> {
        let _ = group;
        None
    }

    /// Proves by really starting one that a sandbox can be had here, and says how far each wall holds.
    async fn probe(&self) -> Result<Probe, SandboxError>;

    /// Starts an agent. Dropping the [`AgentProcess`] kills everything in it.
    async fn start(&self, spec: &RunSpec) -> Result<AgentProcess, SandboxError>;

    /// Kills what an earlier gateway process left running; returns how many sandboxes that were.
    async fn reap(&self) -> Result<usize, SandboxError>;

    /// Returns when nothing can be started any more until another proof succeeds; never where nothing can go away.
    async fn lost(&self) -> SandboxError {
        std::future::pending().await
    }
}

/// What one sandbox is made of.
#[derive(Clone, Debug)]
pub struct RunSpec {
    pub group: GroupId,
    pub lane: LaneId,
    /// The group's folder on the host, read-write at `/workspace/group`.
    pub group_dir: PathBuf,
    /// The lane's own folder on the host, read-write at `/workspace/lane`; it is the agent's `HOME`.
    pub lane_dir: PathBuf,
    /// Further host paths and where they stand inside, read-only.
    pub read_only: Vec<(PathBuf, PathBuf)>,
    /// What the operator lets the group see of the host besides.
    pub mounts: Vec<HostMount>,
    /// The folder with the broker's socket, at `/run/ngb`; none where the agent needs no way out.
    pub broker_dir: Option<PathBuf>,
    /// Arguments after `nanogridbot agent`.
    pub args: Vec<String>,
    pub limits: Limits,
}

/// A folder or file of the host that stands in a sandbox by the operator's wish.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct HostMount {
    /// Where it is, without a link in it: what was judged is what is mounted, since no link is followed any more.
    pub real: PathBuf,
    pub inside: PathBuf,
    pub write: bool,
}

/// A running agent. Dropping it, or the [`Sandbox`] that started it, kills every process inside.
pub struct AgentProcess {
    /// Both ends of the agent's standard streams.
    pub io: Box<dyn Pipe>,
    /// The last lines of its standard error, for the log and for `why`.
    pub last_words: LastWords,
    /// Ends when the agent's first process has ended.
    pub exited: Pin<Box<dyn Future<Output = std::io::Result<ExitStatus>> + Send>>,
    /// What it uses now, for the budget of live agents.
    pub memory: MemoryGauge,
}

/// Asks how much memory a sandbox uses, in bytes; none where the system doesn't say.
pub type MemoryGauge = Box<dyn Fn() -> Option<u64> + Send + Sync>;

/// Something to read from and write to.
pub trait Pipe: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Pipe for T {}

/// What was proved about an engine on this machine.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Probe {
    pub engine: &'static str,
    /// Each limit, and who keeps it.
    pub memory: Kept,
    pub cpu: Kept,
    pub pids: Kept,
    pub disk: Kept,
    /// Whether the network inside is cut off.
    pub network: Kept,
    /// Remarks for `doctor`, one sentence each.
    pub remarks: Vec<String>,
}

/// Who keeps a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    Kernel,
    /// A task of ours that looks and kills; something can slip through between two looks.
    Watcher,
    NotEnforced,
}

impl std::fmt::Display for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Kernel => "kernel",
            Self::Watcher => "watcher",
            Self::NotEnforced => "not enforced",
        })
    }
}

/// A sandbox could not be had.
#[derive(Debug, Error)]
pub enum SandboxError {
    /// The machine forbids it; the reason is told apart, so that the hint can be exact.
    #[error("this machine does not allow a sandbox: {reason}")]
    NotAllowed { reason: Refusal },
    #[error("could not {doing}")]
    Setup {
        /// An infinitive: "mount `/proc`".
        doing: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the sandbox ended before its agent was ready: {last_words}")]
    EndedEarly { last_words: String },
    #[error("no container engine answers at `{}`", socket.display())]
    NoEngine {
        socket: PathBuf,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("`{variable}` is `{address}`, and agents need an engine on this machine")]
    FarEngine { variable: &'static str, address: String },
    #[error("image `{image}` is not on this machine")]
    NoImage { image: String },
    /// The gateway is in a container itself.
    #[error("`{}` is in the gateway's container only, where no engine can give it to an agent", path.display())]
    NotOfTheHost { path: PathBuf },
}

/// Why a machine forbids user namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    #[error("AppArmor restricts user namespaces (`kernel.apparmor_restrict_unprivileged_userns`)")]
    AppArmor,
    #[error("user namespaces are switched off (`user.max_user_namespaces` is 0)")]
    Sysctl,
    #[error(
        "a seccomp filter around this process forbids namespaces, as in a container's default profile"
    )]
    Seccomp,
    #[error("`/proc` is partly covered, as in a container, and a fresh one can't be mounted")]
    MaskedProc,
    #[error("this kernel has no user namespaces")]
    NoKernelSupport,
    /// As root, agents are users of their own, and these capabilities are what makes somebody another user.
    #[error(
        "this process is root without all of CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_SETGID and CAP_SETUID, so agents can't be users of their own"
    )]
    Capabilities,
}

impl SandboxError {
    /// Whether trying again may help without anybody changing the machine.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::NotAllowed { .. }
            | Self::FarEngine { .. }
            | Self::NoImage { .. }
            | Self::NotOfTheHost { .. } => false,
            Self::Setup { .. } | Self::EndedEarly { .. } | Self::NoEngine { .. } => true,
        }
    }

    /// Whether nothing can be started until an engine is back, which is no failure of what was to be started.
    pub fn is_engine_away(&self) -> bool {
        matches!(self, Self::NoEngine { .. })
    }

    /// The one command that mends it, where one is known; `exe` is our executable.
    pub fn remedy(&self, exe: &std::path::Path) -> Option<String> {
        match self {
            Self::NotAllowed { reason } => Some(remedy(*reason, exe)),
            Self::NoEngine { socket, source } => Some(docker::remedy(socket, source.as_ref())),
            Self::FarEngine { variable, .. } => Some(format!(
                "unset {variable}, or set `[sandbox] socket` to the socket of an engine here"
            )),
            Self::NoImage { image } => Some(format!("docker pull {image}")),
            Self::NotOfTheHost { path } => Some(format!(
                "docker run --volume /srv/nanogridbot:{} ...   # a folder of the host",
                path.display()
            )),
            Self::Setup { .. } | Self::EndedEarly { .. } => None,
        }
    }
}

/// The engine of `[sandbox] engine = "auto"`: the first that is proved by really starting a sandbox, `native` before
/// `docker`.
///
/// # Errors
///
/// What the proof of `native` failed with, for it is what one would have. It never falls back to fewer walls.
pub async fn choose(
    native: native::NativeConfig,
    docker: docker::DockerConfig,
) -> Result<(Arc<dyn Sandbox>, Probe), SandboxError> {
    let native = native::Native::new(native)?;
    let refused = match native.probe().await {
        Ok(proved) => return Ok((Arc::new(native), proved)),
        Err(err) => err,
    };
    let docker = docker::Docker::new(docker)?;
    match docker.probe().await {
        Ok(proved) => Ok((Arc::new(docker), proved)),
        Err(err) => {
            tracing::info!("`docker` is no way either: {err}");
            Err(refused)
        }
    }
}
