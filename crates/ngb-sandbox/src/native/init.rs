//! The sandbox's first process: makes the namespaces, starts the process that will be number 1 inside, and watches.
//!
//! It stays outside of the pid namespace, so nothing inside can name it. It ends the sandbox when the gateway is gone,
//! and holds the lane's lock until the last process inside is dead.

use std::{
    fs::File,
    io::{self, BufRead as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::OpenOptionsExt as _,
    },
    process::ExitCode,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::FlockOperation,
    process::{self, DumpableBehavior, Pid, PidfdFlags, Signal, WaitOptions},
    thread::{self, Gid, Uid, UnshareFlags},
};

use super::{
    check, inside,
    plan::{During as _, Failure, Join, Mapped, Plan, Report, Step, say},
    privilege, root,
    sys::{self, Forked},
};
use crate::{bare, docker};

/// The user and group inside, always: Claude Code refuses to work as 0, and files keep one owner across engines.
pub(crate) const INNER_ID: u32 = 1000;

/// What `nanogridbot __sandbox` does. It must be called before any thread exists.
///
/// Standard input is the line to the gateway, standard output the agent's streams, standard error the agent's.
pub fn init_main() -> ExitCode {
    let mut args = std::env::args_os().skip(2);
    match args.next() {
        Some(it) if it == check::ARGUMENT => return check::main(),
        Some(it) if it == bare::ARGUMENT => return bare::outside_main(args),
        Some(it) if it == docker::ARGUMENT => return docker::inside_main(),
        _ => {}
    }
    match outside() {
        Ok(code) => code,
        Err(failure) => {
            report(&Report::Failed(failure));
            ExitCode::FAILURE
        }
    }
}

/// Tells the gateway; if it is gone, there is nobody to tell.
pub(crate) fn report(what: &Report) {
    if let Err(err) = say(ControlLine, what) {
        eprintln!("the gateway can't be told {what:?}: {err}");
    }
}

/// Descriptor 0, for writing.
struct ControlLine;

impl io::Write for ControlLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(io::stdin().as_fd(), bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) fn hear<T: serde::de::DeserializeOwned>() -> io::Result<T> {
    let mut line = String::new();
    if io::stdin().lock().read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_str(&line)?)
}

fn outside() -> Result<ExitCode, Failure> {
    let own = |doing: &'static str| move || doing.to_owned();

    // What the gateway inherited from its own parent without close-on-exec must not reach the agent.
    sys::close_on_exec_from(3).during(Step::Prepare, own("close inherited files"))?;
    process::setsid().during(Step::Prepare, own("leave the terminal"))?;
    let Join { cgroups } = hear().during(Step::Prepare, own("read the control groups"))?;
    for dir in &cgroups {
        std::fs::write(dir.join("cgroup.procs"), "0")
            .during(Step::Prepare, || format!("join the cgroup `{}`", dir.display()))?;
    }
    // Here a spare waits until it is needed.
    let plan: Plan = match hear() {
        Err(err) if err.kind() == io::ErrorKind::UnexpectedEof => return Ok(ExitCode::SUCCESS),
        plan => plan.during(Step::Prepare, own("read the plan"))?,
    };
    let lock = lock(&plan)?;
    if plan.leave_groups {
        thread::set_thread_groups(&[])
            .during(Step::Prepare, own("leave the gateway's supplementary groups"))?;
    }

    sys::unshare(
        UnshareFlags::NEWUSER
            | UnshareFlags::NEWNS
            | UnshareFlags::NEWPID
            | UnshareFlags::NEWIPC
            | UnshareFlags::NEWUTS
            | UnshareFlags::NEWNET
            | UnshareFlags::NEWCGROUP,
    )
    .during(Step::Namespaces, own("make namespaces"))?;
    report(&Report::Unshared);
    let Mapped = hear().during(Step::Namespaces, own("write the user map"))?;

    // The host's folders are opened while this process may still walk the way to them (a home of mode 0700, as root),
    // then it takes the user that it has inside.
    let trees = root::open(&plan)?;
    let (uid, gid) = (Uid::from_raw(INNER_ID), Gid::from_raw(INNER_ID));
    thread::set_thread_res_gid(gid, gid, gid)
        .during(Step::Namespaces, own("take the group of the inside"))?;
    thread::set_thread_res_uid(uid, uid, uid)
        .during(Step::Namespaces, own("take the user of the inside"))?;
    // The agent has the same user; it must not look into, or write to, the two processes that guard it.
    process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .during(Step::Namespaces, own("forbid looking into the sandbox's own processes"))?;

    let me = pidfd(process::getpid())?;
    match sys::fork().during(Step::Namespaces, own("start process 1"))? {
        Forked::Child => Ok(inside::main(&plan, trees, &me)),
        Forked::Parent(first) => {
            drop((trees, plan));
            watch(first, lock)
        }
    }
}

fn pidfd(pid: Pid) -> Result<OwnedFd, Failure> {
    process::pidfd_open(pid, PidfdFlags::empty())
        .during(Step::Namespaces, || "open a process handle".into())
}

/// Waits for a dying sandbox of the same lane; the gateway bounds the wait.
fn lock(plan: &Plan) -> Result<File, Failure> {
    let doing = || format!("lock `{}`", plan.lock.display());
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&plan.lock)
        .during(Step::Prepare, doing)?;
    rustix::fs::flock(&file, FlockOperation::LockExclusive).during(Step::Prepare, doing)?;
    Ok(file)
}

/// Ends with process 1, and ends process 1 with the gateway.
///
/// The kernel takes every process of the namespace with its number 1, and lets us wait for number 1 only once they are
/// all dead: so the lock is given up after the last of them.
fn watch(first: Pid, lock: File) -> Result<ExitCode, Failure> {
    privilege::drop_capabilities()?;
    let inside = pidfd(first)?;
    let stdin = io::stdin();
    let line = stdin.as_fd();
    loop {
        // Nothing is sent on the line any more: whatever happens on it means that the gateway let go, or is gone.
        let mut fds = [PollFd::new(&line, PollFlags::IN), PollFd::new(&inside, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(err) => return Err(err).during(Step::Exec, || "watch the sandbox".into()),
        }
        if fds[1].revents().is_empty() {
            process::pidfd_send_signal(&inside, Signal::KILL)
                .during(Step::Exec, || "end the sandbox".into())?;
        }
        break;
    }
    let ended = process::waitpid(Some(first), WaitOptions::empty())
        .during(Step::Exec, || "wait for the sandbox".into())?;
    drop(lock);
    let code = ended.and_then(|(_, status)| status.exit_status()).unwrap_or(1);
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}
