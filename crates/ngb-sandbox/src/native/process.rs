//! The gateway's end of one sandbox: starts it, watches it, ends it.

use std::{
    fs, io,
    os::fd::{AsFd as _, OwnedFd},
    os::unix::{net::UnixStream as StdUnixStream, process::ExitStatusExt as _},
    process::{ExitStatus, Stdio},
    sync::{Arc, PoisonError, Weak},
    time::Duration,
};

use ngb_core::{clock::Clock, tasks::blocking};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    process::{Child, ChildStderr, Command},
    sync::oneshot,
};

use super::{
    Shared,
    cgroup::Group,
    plan::{Failure, Join, Mapped, Plan, Report, Step, Work, say},
    watch::{Watch, memory_bytes},
};
use crate::last_words::WORDS_LIMIT;
use crate::{
    AgentProcess, Kept, LastWords, MemoryGauge, RunSpec, SandboxError, diagnose, streams::Streams,
};

/// Longest from the call to an agent that runs, with the wait for a dying sandbox of the same lane.
const START_LIMIT: Duration = Duration::from_secs(20);

/// Longest that a sandbox may take to die by itself before its first process is killed too.
const END_LIMIT: Duration = Duration::from_secs(5);

/// Longest wait for a control group to become empty once its processes are dead, and between two looks.
const REMOVE_LIMIT: Duration = Duration::from_secs(5);
const REMOVE_PERIOD: Duration = Duration::from_millis(10);

/// Longest wait for a killed spare, which has nothing in it, to be dead.
const SPARE_END_LIMIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

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

/// A first process that waits for its plan.
pub(super) struct Spare {
    first: First,
    line: Line,
    io: UnixStream,
    groups: Groups,
}

impl Spare {
    /// The one that waits, or a new one.
    fn take(shared: &Arc<Shared>) -> io::Result<Self> {
        let spare = shared.spare.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut spare) = spare
            && spare.first.child.try_wait()?.is_none()
        {
            return Ok(spare);
        }
        Self::new(shared)
    }

    fn new(shared: &Arc<Shared>) -> io::Result<Self> {
        let name = shared.next_name();
        shared.note_live(&name, true);
        let group = shared.parents.make(&name);
        // From here on an error removes the groups.
        let groups = Groups { shared: Arc::downgrade(shared), name, group };
        let (line, io, child) = spawn(shared, &Join { cgroups: groups.group.dirs() })?;
        Ok(Self { first: First { child, words: LastWords::default() }, line, io, groups })
    }

    /// Has one wait again.
    fn refill(shared: &Arc<Shared>) {
        match Self::new(shared) {
            Ok(spare) => {
                let mut slot = shared.spare.lock().unwrap_or_else(PoisonError::into_inner);
                slot.get_or_insert(spare);
            }
            // The next start tries again, and tells.
            Err(err) => tracing::warn!("no spare sandbox can be started: {err}"),
        }
    }
}

impl Drop for Shared {
    /// Takes the spare along with its control groups, which must be empty to go.
    fn drop(&mut self) {
        let spare = self.spare.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut spare) = spare else { return };
        let ended = spare.first.child.start_kill().and_then(|()| {
            let id = spare.first.child.id().and_then(|it| Pid::from_raw(i32::try_from(it).ok()?));
            let Some(id) = id else { return Ok(()) };
            let handle = pidfd_open(id, PidfdFlags::empty())?;
            poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&SPARE_END_LIMIT))?;
            Ok(())
        });
        if let Err(err) = ended {
            tracing::warn!("the spare sandbox can't be ended: {err}");
        }
    }
}

/// The control groups of a sandbox; removed with it.
struct Groups {
    /// Weak, since the engine holds a spare, which holds this.
    shared: Weak<Shared>,
    name: String,
    group: Group,
}

impl Groups {
    /// Removes the groups once the last process in them is gone.
    async fn remove(self, clock: &Clock) {
        let gone = clock.timeout(REMOVE_LIMIT, async {
            while !self.group.remove() {
                clock.sleep(REMOVE_PERIOD).await;
            }
        });
        if gone.await.is_err() {
            tracing::warn!("the control groups of `{}` don't become empty", self.name);
        }
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        // What is not empty yet stays for `reap`.
        self.group.remove();
        if let Some(shared) = self.shared.upgrade() {
            shared.note_live(&self.name, false);
        }
    }
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
    let spare = Spare::take(shared).map_err(setup("start the sandbox's first process"))?;
    let Spare { mut first, mut line, io, groups } = spare;
    let set = groups.group.set(&spec.limits);
    let host_ids = shared.host_ids(spec.group)?;
    let clock = &shared.config.clock;
    let ready = clock.timeout(START_LIMIT, first.build(&mut line, &plan, host_ids)).await;
    let landlock = match ready {
        Ok(built) => built?,
        Err(late) => {
            let source = io::Error::new(io::ErrorKind::TimedOut, late);
            return Err(SandboxError::Setup { doing: "start a sandbox".into(), source });
        }
    };

    let pid = first.child.id().unwrap_or_default();
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
    let last_words = first.words.clone();
    let (ended, status) = oneshot::channel();
    let hold = Hold(line.keep.clone());
    let engine = Arc::downgrade(shared);
    let tended = async move {
        if let Some(shared) = engine.upgrade() {
            Spare::refill(&shared);
        }
        tend(Tended { first, line, watch, groups, ended }).await;
    };
    shared.crew.lock().unwrap_or_else(PoisonError::into_inner).spawn("sandbox", tended);
    let exited = Box::pin(async move {
        let _hold = hold;
        status.await.unwrap_or_else(|_| Err(io::Error::other("the gateway stops")))
    });
    let agent = AgentProcess { io: Box::new(Streams(io)), last_words, exited, memory };
    Ok(Started { agent, kept, landlock })
}

/// As long as this lives the sandbox may.
struct Hold(Arc<OwnedFd>);

impl Drop for Hold {
    fn drop(&mut self) {
        if let Err(err) = rustix::net::shutdown(&*self.0, rustix::net::Shutdown::Write) {
            // It has ended by itself.
            tracing::trace!("the sandbox's line is closed already: {err}");
        }
    }
}

/// The gateway's end of the line.
struct Line {
    read: BufReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
    keep: Arc<OwnedFd>,
}

#[expect(clippy::disallowed_methods, reason = "this is the one place")]
fn spawn(shared: &Shared, join: &Join) -> io::Result<(Line, UnixStream, Child)> {
    let (ours, theirs) = StdUnixStream::pair()?;
    let (our_io, their_io) = StdUnixStream::pair()?;
    // A message so short has room in the empty socket.
    say(&ours, join)?;
    let keep = Arc::new(ours.as_fd().try_clone_to_owned()?);
    for socket in [&ours, &our_io] {
        socket.set_nonblocking(true)?;
    }
    let child = Command::new(&shared.config.exe)
        .args(["__sandbox", &shared.config.install_id])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::from(OwnedFd::from(their_io)))
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let (read, write) = UnixStream::from_std(ours)?.into_split();
    let line = Line { read: BufReader::new(read), write, keep };
    Ok((line, UnixStream::from_std(our_io)?, child))
}

impl Line {
    async fn say(&mut self, what: &impl serde::Serialize) -> io::Result<()> {
        let mut line = Vec::new();
        say(&mut line, what)?;
        self.write.write_all(&line).await
    }

    /// None at the end of the line.
    async fn hear(&mut self) -> io::Result<Option<Report>> {
        let mut line = String::new();
        if self.read.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        Ok(Some(serde_json::from_str(&line)?))
    }
}

/// The process outside.
struct First {
    child: Child,
    words: LastWords,
}

impl First {
    /// Until the agent runs; says whether Landlock is among the walls.
    async fn build(
        &mut self,
        line: &mut Line,
        plan: &Plan,
        host_ids: (u32, u32),
    ) -> Result<bool, SandboxError> {
        line.say(plan).await.map_err(setup("tell the sandbox its plan"))?;
        loop {
            match line.hear().await.map_err(setup("hear from the sandbox"))? {
                Some(Report::Unshared) => {
                    self.map(host_ids).map_err(|err| {
                        refused(&Failure {
                            step: Step::Namespaces,
                            doing: "write the user map".into(),
                            errno: err.raw_os_error(),
                            message: err.to_string(),
                        })
                    })?;
                    line.say(&Mapped).await.map_err(setup("tell the sandbox its user"))?;
                }
                Some(Report::Ready { landlock }) => return Ok(landlock),
                Some(Report::Failed(failure)) => return Err(refused(&failure)),
                Some(Report::Ended(_)) | None => return Err(self.ended_early().await),
            }
        }
    }

    /// Gives the user inside its user outside. A process of the outside writes it, since only there may one map any
    /// other user than one's own.
    fn map(&self, (uid, gid): (u32, u32)) -> io::Result<()> {
        let pid = self.child.id().ok_or_else(|| io::Error::other("it has ended"))?;
        let inner = super::init::INNER_ID;
        fs::write(format!("/proc/{pid}/setgroups"), "deny")?;
        fs::write(format!("/proc/{pid}/gid_map"), format!("{inner} {gid} 1"))?;
        fs::write(format!("/proc/{pid}/uid_map"), format!("{inner} {uid} 1"))
    }

    async fn ended_early(&mut self) -> SandboxError {
        if let Some(stderr) = self.child.stderr.take() {
            self.words.listen(stderr).await;
        }
        SandboxError::EndedEarly { last_words: self.words.text().trim().to_owned() }
    }
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

struct Tended {
    first: First,
    line: Line,
    watch: Watch,
    groups: Groups,
    ended: oneshot::Sender<io::Result<ExitStatus>>,
}

/// Looks after one sandbox until nothing is left of it.
async fn tend(it: Tended) {
    let Tended { mut first, mut line, watch, groups, ended } = it;
    let clock = watch.clock.clone();
    let stderr: Option<ChildStderr> = first.child.stderr.take();
    let words = first.words.clone();
    let mut listening = std::pin::pin!(async {
        if let Some(stderr) = stderr {
            words.listen(stderr).await;
        }
    });
    let mut heard = false;
    let mut said = None;
    let work = async {
        tokio::select! {
            // The end of the line comes with the end of the sandbox, and `Ended` before it where the agent ended.
            () = until_end(&mut line, &mut said) => {}
            why = watch.passed() => {
                first.words.add(format!("\n{why}\n").as_bytes());
            }
        }
        drop(line.write); // shuts the line down: the process outside ends everything
        match clock.timeout(END_LIMIT, first.child.wait()).await {
            Ok(status) => status,
            Err(_) => {
                first.child.start_kill()?;
                first.child.wait().await
            }
        }
    };
    let status = {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                status = &mut work => break status,
                () = &mut listening, if !heard => heard = true,
            }
        }
    };
    // Everything inside is dead, so its last words are here; they only have to be read.
    if !heard && let Err(late) = clock.timeout(WORDS_LIMIT, listening).await {
        tracing::debug!("not all last words were heard: {late}");
    }
    groups.remove(&clock).await;
    let status = match said {
        Some(raw) => Ok(ExitStatus::from_raw(raw)),
        None => status,
    };
    // Nobody waits when the `AgentProcess` was dropped.
    drop(ended.send(status));
}

async fn until_end(line: &mut Line, said: &mut Option<i32>) {
    loop {
        match line.hear().await {
            Ok(Some(Report::Ended(raw))) => *said = Some(raw),
            Ok(Some(other)) => tracing::warn!("a running sandbox says {other:?}"),
            Ok(None) => return,
            Err(err) => {
                tracing::warn!("a sandbox can't be heard: {err}");
                return;
            }
        }
    }
}
