//! Process 1 of the sandbox: builds the walls around itself, starts the agent behind them, and reaps orphans.

use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsFd as _, OwnedFd},
    os::unix::process::ExitStatusExt as _,
    process::{Command, ExitCode, ExitStatus, Stdio},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{self, Signal, WaitOptions},
};

use super::{
    check,
    init::report,
    landlock, loopback,
    plan::{During as _, Failure, Plan, Report, Step, Work},
    privilege,
    root::{self, Trees},
    seccomp,
};

/// Where our executable stands inside.
pub(crate) const EXECUTABLE: &str = "/run/nanogridbot";

/// The host name inside.
pub(crate) const HOST_NAME: &str = "sandbox";

/// What every agent finds in its environment.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"),
    ("HOME", root::LANE),
    ("LANG", "C.UTF-8"),
    ("TERM", "dumb"),
    ("TMPDIR", "/tmp"),
];

/// The same with the group's own, which win.
pub(crate) fn environment(of_group: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> =
        ENVIRONMENT.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    all.extend(of_group.clone());
    all
}

/// Runs as process 1 until the agent's first process ends; its end takes everything inside with it.
pub(super) fn main(plan: &Plan, trees: Trees, parent: &OwnedFd) -> ExitCode {
    match build(plan, trees, parent) {
        Ok(agent) => reap_until(agent),
        Err(failure) => {
            report(&Report::Failed(failure));
            ExitCode::FAILURE
        }
    }
}

fn build(plan: &Plan, trees: Trees, parent: &OwnedFd) -> Result<process::Pid, Failure> {
    die_with(parent).during(Step::Namespaces, || "tie process 1 to its parent".into())?;
    rustix::system::sethostname(HOST_NAME.as_bytes())
        .during(Step::Namespaces, || "set the host name".into())?;
    root::enter(plan, trees)?;
    loopback::up().during(Step::Network, || "bring the loopback device up".into())?;

    privilege::drop_capabilities()?;
    privilege::limit(plan.file_bytes, plan.processes)?;
    rustix::thread::set_no_new_privs(true)
        .during(Step::Walls, || "give up new privileges".into())?;
    let landlock = landlock::restrict(&plan.mounts)?;
    seccomp::restrict()?;

    let agent = spawn(&plan.work, &environment(&plan.environment))?;
    report(&Report::Ready { landlock, is_user_1000: true });
    Ok(agent)
}

/// Has the kernel kill this process when its parent dies. The parent has one thread, so that "the thread that started
/// it ended" and "the process ended" are the same.
fn die_with(parent: &OwnedFd) -> io::Result<()> {
    process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let mut fds = [PollFd::new(parent, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    if poll(&mut fds, Some(&now))? == 0 {
        Ok(())
    } else {
        Err(io::Error::other("the parent is gone already"))
    }
}

/// Starts the agent. Descriptor 0 is the line to the gateway and stays here; the agent's input and output are descriptor 1.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub(crate) fn spawn(
    work: &Work,
    environment: &BTreeMap<String, String>,
) -> Result<process::Pid, Failure> {
    let doing = || format!("execute `{EXECUTABLE}`");
    let input = io::stdout().as_fd().try_clone_to_owned().during(Step::Exec, doing)?;
    let mut command = Command::new(EXECUTABLE);
    match work {
        Work::Agent(args) => command.arg("agent").args(args),
        Work::Check => command.args(["__sandbox", check::ARGUMENT]),
    };
    let child = command
        .env_clear()
        .envs(environment)
        .current_dir(root::GROUP)
        .stdin(Stdio::from(input))
        .spawn()
        .during(Step::Exec, doing)?;
    let id = i32::try_from(child.id()).ok().and_then(process::Pid::from_raw);
    id.ok_or_else(|| io::Error::other("it has no process id")).during(Step::Exec, doing)
}

/// Orphans become children of process 1, so all of them are waited for.
pub(crate) fn reap_until(agent: process::Pid) -> ExitCode {
    loop {
        match process::wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == agent => {
                let status = ExitStatus::from_raw(status.as_raw());
                report(&Report::Ended(status.into_raw()));
                let code = status.code().unwrap_or(1);
                return ExitCode::from(u8::try_from(code).unwrap_or(1));
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(err) => {
                eprintln!("process 1 can't wait: {err}");
                return ExitCode::FAILURE;
            }
        }
    }
}
