//! Process 1 of a container: becomes user 1000, builds the inner walls, starts the agent behind them, reaps orphans.
//!
//! The engine built the outer walls. It started this process as the group's user on the host, with no capability and
//! without a way to get one; so the user namespace that it makes can have that one user only, who is 1000 in it.

use std::{
    collections::BTreeMap,
    fs, io,
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    process::{ExitCode, exit},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{DumpableBehavior, set_dumpable_behavior},
    stdio::{dup2_stderr, dup2_stdin, dup2_stdout},
    thread::UnshareFlags,
};
use serde::{Deserialize, Serialize};

use super::meeting;
use crate::{
    HostMount,
    native::{
        init::{INNER_ID, hear},
        inside::{reap_until, spawn},
        landlock,
        plan::{During as _, Failure, Report, Step, Work},
        privilege, report,
        root::open_real,
        seccomp, sys,
    },
};

/// Argument after `__sandbox`; the install id follows, for people who look at processes.
pub(crate) const ARGUMENT: &str = "--container";

/// What runs in a container.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) work: Work,
    pub(super) environment: BTreeMap<String, String>,
    /// Each has to be the file or folder that the gateway judged: the engine follows links when it mounts.
    pub(super) mounts: Vec<Judged>,
    /// Largest file, in bytes.
    pub(super) file_bytes: u64,
    /// Processes and threads, with those of process 1.
    pub(super) processes: u64,
}

/// A mount, and what identifies the file or folder that was judged: its device and its number there (stat(2)).
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Judged {
    pub(super) mount: HostMount,
    pub(super) device: u64,
    pub(super) number: u64,
}

impl Judged {
    /// Opens what was judged, without following a link.
    pub(super) fn open(mount: &HostMount) -> io::Result<Self> {
        let (_, found) = open_real(&mount.real)?;
        Ok(Self { mount: mount.clone(), device: found.dev(), number: found.ino() })
    }

    /// Whether what stands inside is it.
    fn check(&self) -> io::Result<()> {
        let found = fs::metadata(&self.mount.inside)?;
        if (found.dev(), found.ino()) == (self.device, self.number) {
            Ok(())
        } else {
            Err(io::Error::other("it is another than the one that was judged"))
        }
    }
}

/// What `nanogridbot __sandbox --container` does.
pub(crate) fn inside_main() -> ExitCode {
    if let Err(err) = meet() {
        eprintln!("process 1 can't reach the gateway: {err}");
        return ExitCode::FAILURE;
    }
    match build() {
        Ok(agent) => reap_until(agent),
        Err(failure) => {
            report(&Report::Failed(failure));
            ExitCode::FAILURE
        }
    }
}

/// Makes the line descriptor 0, the agent's streams 1 and its standard error 2, as `native` has them.
fn meet() -> io::Result<()> {
    let [line, io, words] = meeting::connect()?;
    dup2_stdin(line)?;
    dup2_stdout(io)?;
    dup2_stderr(words)?;
    Ok(())
}

fn build() -> Result<rustix::process::Pid, Failure> {
    let plan: Plan = hear().during(Step::Prepare, || "read the plan".into())?;
    for it in &plan.mounts {
        it.check().during(Step::Mounts, || format!("open `{}`", it.mount.real.display()))?;
    }
    let is_user_1000 = become_1000()?;
    // The agent has the same user; it must not look into, or write to, this process.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .during(Step::Namespaces, || "forbid looking into process 1".into())?;
    if is_user_1000 {
        // The new namespace came with all of them.
        privilege::drop_capabilities()?;
    }
    privilege::limit(plan.file_bytes, plan.processes)?;
    rustix::thread::set_no_new_privs(true)
        .during(Step::Walls, || "give up new privileges".into())?;
    let mounts: Vec<HostMount> = plan.mounts.iter().map(|it| it.mount.clone()).collect();
    let landlock = landlock::restrict(&mounts)?;
    seccomp::restrict()?;
    let agent = spawn(&plan.work, &plan.environment)?;
    end_with_the_gateway()?;
    report(&Report::Ready { landlock, is_user_1000 });
    Ok(agent)
}

/// Makes a user namespace in which this process is user 1000; false where the machine has none to give: then the agent
/// keeps the number that it has on the host.
fn become_1000() -> Result<bool, Failure> {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    if let Err(err) = sys::unshare(UnshareFlags::NEWUSER) {
        // User 0 of a rootless engine's container is an ordinary user, but programs take it for root.
        if uid == 0 {
            return Err(err).during(Step::Namespaces, || "make a user namespace".into());
        }
        return Ok(false);
    }
    let write = |path: &str, text: String| {
        fs::write(path, text).during(Step::Namespaces, || format!("write `{path}`"))
    };
    // user_namespaces(7): without privileges outside, one may map oneself only, and not before groups are fixed.
    write("/proc/self/setgroups", "deny".into())?;
    write("/proc/self/gid_map", format!("{INNER_ID} {gid} 1"))?;
    write("/proc/self/uid_map", format!("{INNER_ID} {uid} 1"))?;
    Ok(true)
}

/// Ends this process, and with it the container, when the gateway let go of the line, or is gone.
fn end_with_the_gateway() -> Result<(), Failure> {
    let watch = || {
        let stdin = io::stdin();
        let line = stdin.as_fd();
        loop {
            // Nothing is sent on the line any more: whatever happens on it is its end.
            match poll(&mut [PollFd::new(&line, PollFlags::IN)], None) {
                Err(rustix::io::Errno::INTR) => {}
                _ => exit(1),
            }
        }
    };
    std::thread::Builder::new()
        .spawn(watch)
        .map(drop)
        .during(Step::Exec, || "watch the gateway".into())
}
