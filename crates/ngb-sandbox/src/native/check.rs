//! The proof that a sandbox holds: a process inside tries what it must not be able to do, and says what happened.

use std::{
    fs, io,
    net::{SocketAddr, TcpStream},
    os::fd::AsFd as _,
    process::ExitCode,
    time::Duration,
};

use rustix::{io::Errno, mount::MountFlags};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt as _;

use super::{init::INNER_ID, plan::say, process::Started};
use crate::{AgentProcess, Kept, Probe, SandboxError};

/// Argument after `__sandbox`.
pub(super) const ARGUMENT: &str = "--check";

/// Longest answer of the check, in bytes.
const MAX_ANSWER: u64 = 16 << 10;

/// An address outside, of the range for documentation (RFC 5737): nothing answers there, but only a network that is cut
/// off says so at once.
const OUTSIDE: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)), 9);

/// A remark for `doctor`.
pub(crate) const NO_LANDLOCK: &str =
    "This kernel has no Landlock of use, so files have one wall instead of two.";

/// What the process inside found.
#[derive(Debug, Serialize, Deserialize)]
struct Found {
    uid: u32,
    /// The lines `Cap...`, `NoNewPrivs` and `Seccomp` of `/proc/self/status`.
    status: String,
    /// Error number of a mount.
    mount: Option<i32>,
    /// Error number of a connection to the outside.
    connect: Option<i32>,
    /// What stands in the root.
    root: Vec<String>,
    writes_to_group: bool,
}

/// Runs inside.
pub(super) fn main() -> ExitCode {
    let found = look();
    match found
        .and_then(|it| say(io::stdout().as_fd().try_clone_to_owned().map(fs::File::from)?, &it))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("the check of the sandbox failed: {err}");
            ExitCode::FAILURE
        }
    }
}

fn look() -> io::Result<Found> {
    let status = fs::read_to_string("/proc/self/status")?;
    let status = status
        .lines()
        .filter(|it| ["Cap", "NoNewPrivs", "Seccomp:"].iter().any(|key| it.starts_with(key)))
        .collect::<Vec<_>>()
        .join("\n");
    let mount = rustix::mount::mount("tmpfs", "/tmp", "tmpfs", MountFlags::empty(), None);
    let connect = TcpStream::connect_timeout(&OUTSIDE, Duration::from_millis(200));
    let mut root = Vec::new();
    for entry in fs::read_dir("/")? {
        root.push(entry?.file_name().to_string_lossy().into_owned());
    }
    let probe = std::path::Path::new(super::root::GROUP).join("check");
    Ok(Found {
        uid: rustix::process::getuid().as_raw(),
        status,
        mount: mount.err().map(Errno::raw_os_error),
        connect: connect.err().map(|it| it.raw_os_error().unwrap_or(0)),
        root,
        writes_to_group: fs::write(probe, "x").is_ok(),
    })
}

/// What a sandbox has to be like, beyond what all have to.
pub(crate) struct Expected {
    /// The user inside.
    pub(crate) uid: u32,
    /// Whether its root is made by us, so that it has no homes in it.
    pub(crate) own_root: bool,
}

/// Hears the answer, and takes it only if every wall holds.
pub(super) async fn judge(mut started: Started) -> Result<Probe, SandboxError> {
    hear(&mut started.agent, &Expected { uid: INNER_ID, own_root: true }).await?;
    let kept = started.kept;
    Ok(Probe {
        engine: "native",
        memory: kept.memory,
        cpu: kept.cpu,
        pids: kept.pids,
        disk: Kept::Watcher,
        network: Kept::Kernel,
        remarks: remarks(&started),
    })
}

/// Hears the answer of the process inside.
///
/// # Errors
///
/// When there is none, or a wall doesn't hold.
pub(crate) async fn hear(
    agent: &mut AgentProcess,
    expected: &Expected,
) -> Result<(), SandboxError> {
    let mut answer = String::new();
    let setup =
        |source| SandboxError::Setup { doing: "hear the sandbox's own check".into(), source };
    (&mut agent.io).take(MAX_ANSWER).read_to_string(&mut answer).await.map_err(setup)?;
    let status = agent.exited.as_mut().await.map_err(setup)?;
    if !status.success() {
        let last_words = agent.last_words.text().trim().to_owned();
        return Err(SandboxError::EndedEarly { last_words });
    }
    let found: Found = serde_json::from_str(&answer).map_err(|err| setup(err.into()))?;
    match found.hole(expected) {
        Some(hole) => Err(setup(io::Error::other(format!("a wall does not hold: {hole}")))),
        None => Ok(()),
    }
}

fn remarks(started: &Started) -> Vec<String> {
    let mut remarks = Vec::new();
    if !started.landlock {
        remarks.push(NO_LANDLOCK.into());
    }
    if started.kept.memory != Kept::Kernel {
        remarks.push(
            "No control group for memory can be made here, so memory is looked at five times a second.".into(),
        );
    }
    if started.kept.cpu != Kept::Kernel {
        remarks.push(
            "No control group for processor time can be made here, so it is not limited.".into(),
        );
    }
    remarks
}

impl Found {
    fn hole(&self, expected: &Expected) -> Option<String> {
        let status = |key: &str| {
            self.status
                .lines()
                .find_map(|it| it.strip_prefix(key))
                .map(str::trim)
                .unwrap_or_default()
        };
        let caps = ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"];
        #[rustfmt::skip]
        let walls = [
            (self.uid == expected.uid,                        "the user inside is another"),
            (caps.iter().all(|it| u64::from_str_radix(status(it), 16) == Ok(0)), "capabilities are left"),
            (status("NoNewPrivs:") == "1",                "new privileges can be had"),
            (status("Seccomp:") == "2",                   "there is no system call filter"),
            (self.mount == Some(libc::EPERM),             "mounting is not refused"),
            (self.connect == Some(libc::ENETUNREACH),     "the network is not cut off"),
            (!expected.own_root || !self.root.iter().any(|it| it == "root" || it == "home"), "the host's homes are there"),
            (self.writes_to_group,                        "the group's folder can't be written to"),
        ];
        walls.iter().find(|(holds, _)| !holds).map(|(_, hole)| format!("{hole} ({self:?})"))
    }
}
