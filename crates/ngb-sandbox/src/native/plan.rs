//! What the gateway and the sandbox's first process say to each other: one JSON value a line, nothing secret.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use crate::HostMount;

/// What the gateway says first, before there is anything to do: to join a control group takes the kernel milliseconds.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Join {
    pub(super) cgroups: Vec<PathBuf>,
}

/// What one sandbox is made of, told to its first process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) work: Work,
    /// Our executable on the host.
    pub(super) exe: PathBuf,
    pub(super) group_dir: PathBuf,
    pub(super) lane_dir: PathBuf,
    pub(super) read_only: Vec<(PathBuf, PathBuf)>,
    pub(super) mounts: Vec<HostMount>,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) broker_dir: Option<PathBuf>,
    /// Held as long as anything of this sandbox lives.
    pub(super) lock: PathBuf,
    /// Whether the gateway is root, with groups of its own to be left.
    pub(super) leave_groups: bool,
    /// Size of `/tmp`, in bytes.
    pub(super) tmp_bytes: u64,
    /// Largest file, in bytes.
    pub(super) file_bytes: u64,
    /// Processes and threads, with those that the sandbox itself needs.
    pub(super) processes: u64,
}

/// What runs inside.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Work {
    Agent(Vec<String>),
    /// The check of [`super::check`].
    Check,
}

/// What the gateway says after the plan: the user map is written.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Mapped;

/// What the sandbox says to the gateway.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// The namespaces are there; the user map is to be written.
    Unshared,
    /// The agent was started behind all walls.
    Ready {
        /// Whether Landlock is among them.
        landlock: bool,
    },
    /// A wall could not be built; nothing was run.
    Failed(Failure),
    /// The agent's first process ended, with this wait status.
    Ended(i32),
}

/// What could not be done, and in which part of the work.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(super) step: Step,
    /// An infinitive, as in [`crate::SandboxError::Setup`].
    pub(super) doing: String,
    pub(super) errno: Option<i32>,
    pub(super) message: String,
}

/// Where a start failed: the same error number means different things in different places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Before the first namespace.
    Prepare,
    /// Making the namespaces, and the user map.
    Namespaces,
    /// Mounting, but for `/proc`.
    Mounts,
    /// Mounting a fresh `/proc`.
    Proc,
    /// Bringing the loopback device up.
    Network,
    /// Capabilities, Landlock, seccomp.
    Walls,
    /// Executing the agent.
    Exec,
}

/// Gives an I/O error its [`Failure`].
pub(super) trait During<T> {
    fn during(self, step: Step, doing: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: Into<io::Error>> During<T> for Result<T, E> {
    fn during(self, step: Step, doing: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|err| {
            let err = err.into();
            Failure { step, doing: doing(), errno: err.raw_os_error(), message: err.to_string() }
        })
    }
}

/// Writes one line.
pub(crate) fn say(mut to: impl Write, what: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    to.write_all(&line)
}
