//! Starts a sandbox: gives a first process its plan, its user and its limits, and has somebody look after it.

use std::{fs, io, sync::Arc, sync::PoisonError, time::Duration};

use ngb_core::tasks::blocking;
use tokio::sync::oneshot;

use super::{
    Shared,
    plan::{Failure, Mapped, Plan, Report, Step, Work},
    spare::Spare,
    watch::{Watch, memory_bytes},
};
use crate::{
    AgentProcess, Kept, MemoryGauge, RunSpec, SandboxError, diagnose,
    outside::{Outside, exited},
    streams::Streams,
};

/// Longest from the call to an agent that runs, with the wait for a dying sandbox of the same lane.
const START_LIMIT: Duration = Duration::from_secs(20);

/// A sandbox with its agent running.
pub(super) struct Started {
    pub(super) agent: AgentProcess,
    pub(super) kept: Enforced,
    pub(super) landlock: bool,
}

/// Who keeps each limit of this sandbox.
#[derive(Clone, Copy)]
pub(super) struct Enforced {
    pub(super) memory: Kept,
    pub(super) cpu: Kept,
    pub(super) pids: Kept,
}

/// Starts `work` in a sandbox of its own.
pub(super) async fn start(
    shared: &Arc<Shared>,
    spec: &RunSpec,
    work: Work,
) -> Result<Started, SandboxError> {
    let plan = {
        let (shared, spec) = (Arc::clone(shared), spec.clone());
        blocking("prepare a sandbox", move || shared.plan(&spec, work)).await?
    };
    let spare = Spare::take(shared).await.map_err(setup("start the sandbox's first process"))?;
    let Spare { mut outside, io, groups } = spare;
    let set = groups.group.set(&spec.limits);
    let host_ids = shared.users.of(spec.group)?;
    let clock = shared.config.clock.clone();
    let ready = clock.timeout(START_LIMIT, build(&mut outside, &plan, host_ids)).await;
    let landlock = match ready {
        Ok(built) => built?,
        Err(late) => {
            let source = io::Error::new(io::ErrorKind::TimedOut, late);
            return Err(SandboxError::Setup { doing: "start a sandbox".into(), source });
        }
    };

    let pid = outside.pid();
    let kept = Enforced {
        memory: if set.gauge.is_some() { Kept::Kernel } else { Kept::Watcher },
        cpu: set.cpu,
        // RLIMIT_NPROC, which Linux 5.14 counts per user namespace.
        pids: Kept::Kernel,
    };
    let memory: MemoryGauge = match set.gauge {
        Some(gauge) => Box::new(move || gauge.read()),
        None => Box::new(move || memory_bytes(pid)),
    };
    let watch = Watch {
        clock: clock.clone(),
        first: pid,
        limits: spec.limits.clone(),
        folders: [spec.group_dir.clone(), spec.lane_dir.clone()],
        memory: kept.memory,
    };
    let last_words = outside.words.clone();
    let (ended, status) = oneshot::channel();
    let exited = Box::pin(exited(outside.line.hold(), status));
    let engine = Arc::downgrade(shared);
    let tended = async move {
        if let Some(shared) = engine.upgrade() {
            Spare::refill(&shared).await;
        }
        let status = outside.tend(&clock, watch.passed()).await;
        groups.remove(&clock).await;
        // Nobody waits when the `AgentProcess` was dropped.
        drop(ended.send(status));
    };
    shared.crew.lock().unwrap_or_else(PoisonError::into_inner).spawn("sandbox", tended);
    let agent = AgentProcess { io: Box::new(Streams(io)), last_words, exited, memory };
    Ok(Started { agent, kept, landlock })
}

/// Until the agent runs; says whether Landlock is among the walls.
async fn build(
    outside: &mut Outside,
    plan: &Plan,
    host_ids: (u32, u32),
) -> Result<bool, SandboxError> {
    outside.line.say(plan).await.map_err(setup("tell the sandbox its plan"))?;
    loop {
        match outside.line.hear().await.map_err(setup("hear from the sandbox"))? {
            Some(Report::Unshared) => {
                map(outside, host_ids).map_err(|err| {
                    refused(&Failure {
                        step: Step::Namespaces,
                        doing: "write the user map".into(),
                        errno: err.raw_os_error(),
                        message: err.to_string(),
                    })
                })?;
                outside.line.say(&Mapped).await.map_err(setup("tell the sandbox its user"))?;
            }
            Some(Report::Ready { landlock, .. }) => return Ok(landlock),
            Some(Report::Failed(failure)) => return Err(refused(&failure)),
            Some(Report::Ended(_)) | None => return Err(ended_early(outside).await),
        }
    }
}

/// Gives the user inside its user outside. A process of the outside writes it, since only there may one map any other
/// user than one's own.
fn map(outside: &Outside, (uid, gid): (u32, u32)) -> io::Result<()> {
    let pid = outside.child.id().ok_or_else(|| io::Error::other("it has ended"))?;
    let inner = super::init::INNER_ID;
    fs::write(format!("/proc/{pid}/setgroups"), "deny")?;
    fs::write(format!("/proc/{pid}/gid_map"), format!("{inner} {gid} 1"))?;
    fs::write(format!("/proc/{pid}/uid_map"), format!("{inner} {uid} 1"))
}

async fn ended_early(outside: &mut Outside) -> SandboxError {
    if let Some(stderr) = outside.child.stderr.take() {
        outside.words.listen(stderr).await;
    }
    SandboxError::EndedEarly { last_words: outside.words.text().trim().to_owned() }
}

fn setup(doing: &str) -> impl FnOnce(io::Error) -> SandboxError {
    move |source| SandboxError::Setup { doing: doing.to_owned(), source }
}

fn refused(failure: &Failure) -> SandboxError {
    let source = match failure.errno {
        Some(errno) => io::Error::from_raw_os_error(errno),
        None => io::Error::other(failure.message.clone()),
    };
    let reason =
        failure.errno.and_then(|errno| diagnose::diagnose("/proc".as_ref(), failure.step, errno));
    match reason {
        Some(reason) => SandboxError::NotAllowed { reason },
        None => SandboxError::Setup { doing: failure.doing.clone(), source },
    }
}
