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
pub(crate) struct Join {
    pub(crate) cgroups: Vec<PathBuf>,
}

/// What one sandbox is made of, told to its first process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) work: Work,
    /// Our executable on the host.
    pub(crate) exe: PathBuf,
    pub(crate) group_dir: PathBuf,
    pub(crate) lane_dir: PathBuf,
    pub(crate) read_only: Vec<(PathBuf, PathBuf)>,
    pub(crate) mounts: Vec<HostMount>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) broker_dir: Option<PathBuf>,
    /// Held as long as anything of this sandbox lives.
    pub(crate) lock: PathBuf,
    /// Whether the gateway is root, with groups of its own to be left.
    pub(crate) leave_groups: bool,
    /// Size of `/tmp`, in bytes.
    pub(crate) tmp_bytes: u64,
    /// Largest file, in bytes.
    pub(crate) file_bytes: u64,
    /// Processes and threads, with those that the sandbox itself needs.
    pub(crate) processes: u64,
}

/// What runs inside.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Work {
    Agent(Vec<String>),
    /// The check of [`super::check`].
    Check,
}

/// What the gateway says after the plan: the user map is written.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Mapped;

/// What the sandbox says to the gateway.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// The namespaces are there; the user map is to be written.
    Unshared,
    /// The agent was started behind all walls.
    Ready {
        /// Whether Landlock is among them.
        landlock: bool,
        /// Whether the agent is [`super::init::INNER_ID`] inside; else it has the number of its user on the host.
        is_user_1000: bool,
    },
    /// A wall could not be built; nothing was run.
    Failed(Failure),
    /// The agent's first process ended, with this wait status.
    Ended(i32),
}

/// What could not be done, and in which part of the work.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) step: Step,
    /// An infinitive, as in [`crate::SandboxError::Setup`].
    pub(crate) doing: String,
    pub(crate) errno: Option<i32>,
    pub(crate) message: String,
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
pub(crate) trait During<T> {
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
