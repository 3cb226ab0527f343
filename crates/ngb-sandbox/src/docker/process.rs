//! Starts a container, meets its process 1, and has somebody look after both.

use std::{
    io,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::Arc,
    time::Duration,
};

use bollard::query_parameters::{RemoveContainerOptions, WaitContainerOptions};
use futures_util::StreamExt as _;
use ngb_core::{clock::Clock, tasks::blocking};
use tokio::{net::UnixStream, sync::oneshot};

use super::{
    Shared,
    create::Cell,
    error,
    inside::{Judged, Plan},
    meeting::{Meeting, Met},
    socket::Engine,
};
use crate::{
    AgentProcess, HostMount, Kept, LastWords, MemoryGauge, RunSpec, SandboxError,
    last_words::WORDS_LIMIT,
    line::Line,
    native::{
        cgroup::OWN_PROCESSES,
        give_folders, memory_bytes,
        plan::{Report, Work},
        watch::Watch,
    },
    outside::exited,
    streams::Streams,
};

/// Longest from the call to an agent that runs, with the wait for a dying sandbox of the same lane. A container takes a
/// third of a second where nothing else is done.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Longest wait for a container that was told to end, before the engine is asked to end it.
const END_LIMIT: Duration = Duration::from_secs(5);

/// Longest wait for the engine to remove what has ended.
const REMOVE_LIMIT: Duration = Duration::from_secs(30);

/// A container with its agent running.
pub(super) struct Started {
    pub(super) agent: AgentProcess,
    pub(super) landlock: bool,
    pub(super) is_user_1000: bool,
    pub(super) owner: (u32, u32),
    pub(super) memory: Kept,
}

/// Starts `work` in a container of its own. A caller that goes away leaves nothing behind.
pub(super) async fn start(
    shared: &Arc<Shared>,
    spec: &RunSpec,
    work: Work,
) -> Result<Started, SandboxError> {
    let (done, started) = oneshot::channel();
    let begin = {
        let (shared, spec) = (Arc::clone(shared), spec.clone());
        async move {
            let clock = shared.config.clock.clone();
            let begun = clock.timeout(START_LIMIT, begin(&shared, &spec, work)).await;
            let begun = begun.unwrap_or_else(|late| {
                let source = io::Error::new(io::ErrorKind::TimedOut, late);
                Err(SandboxError::Setup { doing: "start a container".into(), source })
            });
            // Where nobody waits any more the agent goes with this, and its container with it.
            drop(done.send(begun));
        }
    };
    shared.spawn("container start", begin);
    let stopping = |_| SandboxError::Setup {
        doing: "start a container".into(),
        source: io::Error::other("the gateway stops"),
    };
    started.await.map_err(stopping)?
}

async fn begin(shared: &Arc<Shared>, spec: &RunSpec, work: Work) -> Result<Started, SandboxError> {
    let lane = shared.lane(spec.lane).lock_owned().await;
    let owner = shared.users.of(spec.group)?;
    let (meeting, judged) = {
        let (shared, spec) = (Arc::clone(shared), spec.clone());
        blocking("prepare a container", move || {
            give_folders(&spec, owner)?;
            let open = |it: &HostMount| {
                Judged::open(it).map_err(setup(&format!("open `{}`", it.real.display())))
            };
            let judged: Vec<Judged> = spec.mounts.iter().map(open).collect::<Result<_, _>>()?;
            let dir = shared.config.run_dir().join(shared.next_name());
            let meeting = Meeting::open(dir).map_err(setup("open a socket for a container"))?;
            Ok::<_, SandboxError>((meeting, judged))
        })
        .await?
    };
    let engine = shared.engine().await?;
    let image = shared.image(&engine).await?;
    let exe = shared.exe(&engine).await?;
    let outside = |(from, to): &(PathBuf, PathBuf)| Ok((engine.outside(from)?, to.clone()));
    let fixed: Vec<_> = image.fixed.iter().map(outside).collect::<Result<_, SandboxError>>()?;
    let body = Cell {
        spec: &seen_from_outside(&engine, spec)?,
        traits: &engine.traits,
        install_id: &shared.install_id(&engine)?,
        image: &image.id,
        volumes: &image.volumes,
        owner,
        seccomp: shared.seccomp(),
        meeting: &engine.outside(meeting.dir())?,
        exe: &exe,
        fixed: &fixed,
    }
    .body();
    let container = Container::make(shared, &engine, body).await?;
    let met = container.meet(&meeting, owner.0).await;
    let met = match met {
        Ok(met) => met,
        Err(err) => {
            container.remove().await;
            return Err(err);
        }
    };
    let mut environment = image.environment;
    environment.extend(spec.limits.environment.clone());
    let plan = Plan {
        work,
        environment,
        mounts: judged,
        file_bytes: spec.limits.file_mib << 20,
        processes: u64::from(spec.limits.pids) + OWN_PROCESSES,
    };
    let Met { mut line, io, words: stderr, pid } = met;
    let words = LastWords::default();
    let (landlock, is_user_1000) = match built(&mut line, &plan).await {
        Ok(built) => built,
        Err(err) => {
            drop(line);
            container.remove().await;
            return Err(match err {
                SandboxError::EndedEarly { .. } => {
                    words.listen(stderr).await;
                    SandboxError::EndedEarly { last_words: words.text().trim().to_owned() }
                }
                other => other,
            });
        }
    };
    let memory: MemoryGauge = Box::new(move || pid.and_then(memory_bytes));
    let kept = match (engine.traits.memory, pid) {
        (true, _) => Kept::Kernel,
        (false, Some(_)) => Kept::Watcher,
        (false, None) => Kept::NotEnforced,
    };
    let watch = Watch {
        clock: shared.config.clock.clone(),
        first: pid.unwrap_or_default(),
        limits: spec.limits.clone(),
        folders: [spec.group_dir.clone(), spec.lane_dir.clone()],
        memory: kept,
    };
    let (ended, status) = oneshot::channel();
    let agent = AgentProcess {
        io: Box::new(Streams(io)),
        last_words: words.clone(),
        exited: Box::pin(exited(line.hold(), status)),
        memory,
    };
    let tended = async move {
        let status = tend(container, line, words, stderr, watch).await;
        // All that was in it is dead: the lane is free.
        drop((lane, meeting));
        // Nobody waits when the `AgentProcess` was dropped.
        drop(ended.send(Ok(status)));
    };
    shared.spawn("container", tended);
    Ok(Started { agent, landlock, is_user_1000, owner, memory: kept })
}

/// The same with the paths that the engine has for them.
fn seen_from_outside(engine: &Engine, spec: &RunSpec) -> Result<RunSpec, SandboxError> {
    let at = |path: &Path| engine.outside(path);
    let read_only = |(from, to): &(PathBuf, PathBuf)| Ok((at(from)?, to.clone()));
    let mount = |it: &HostMount| Ok(HostMount { real: at(&it.real)?, ..it.clone() });
    Ok(RunSpec {
        group_dir: at(&spec.group_dir)?,
        lane_dir: at(&spec.lane_dir)?,
        read_only: spec.read_only.iter().map(read_only).collect::<Result<_, SandboxError>>()?,
        mounts: spec.mounts.iter().map(mount).collect::<Result<_, SandboxError>>()?,
        broker_dir: spec.broker_dir.as_deref().map(at).transpose()?,
        ..spec.clone()
    })
}

/// Until the agent runs; says whether Landlock is among the walls, and whether the agent is user 1000.
async fn built(line: &mut Line, plan: &Plan) -> Result<(bool, bool), SandboxError> {
    line.say(plan).await.map_err(setup("tell the container its plan"))?;
    match line.hear().await.map_err(setup("hear from the container"))? {
        Some(Report::Ready { landlock, is_user_1000 }) => Ok((landlock, is_user_1000)),
        Some(Report::Failed(failure)) => {
            let source = match failure.errno {
                Some(errno) => io::Error::from_raw_os_error(errno),
                None => io::Error::other(failure.message),
            };
            Err(SandboxError::Setup { doing: failure.doing, source })
        }
        Some(Report::Unshared | Report::Ended(_)) | None => {
            Err(SandboxError::EndedEarly { last_words: String::new() })
        }
    }
}

/// Looks after a container until it is gone.
async fn tend(
    container: Container,
    mut line: Line,
    words: LastWords,
    stderr: UnixStream,
    watch: Watch,
) -> ExitStatus {
    let clock = container.clock.clone();
    let mut said = None;
    let mut listening = std::pin::pin!(words.listen(stderr));
    let mut heard = false;
    {
        let mut work = std::pin::pin!(async {
            tokio::select! {
                () = line.until_end(&mut said) => {}
                why = watch.passed() => words.add(format!("\n{why}\n").as_bytes()),
            }
        });
        loop {
            tokio::select! {
                () = &mut work => break,
                () = &mut listening, if !heard => heard = true,
            }
        }
    }
    drop(line); // process 1 ends, and everything with it
    let mut gone = std::pin::pin!(container.gone());
    if clock.timeout(END_LIMIT, gone.as_mut()).await.is_err() {
        container.remove().await;
    }
    if !heard && let Err(late) = clock.timeout(WORDS_LIMIT, listening).await {
        tracing::debug!("not all last words were heard: {late}");
    }
    container.forget();
    // Killed, where process 1 could not say more: by the kernel for its memory, by us, by the operator.
    ExitStatus::from_raw(said.unwrap_or(libc::SIGKILL))
}

/// A container that was made.
pub(super) struct Container {
    shared: std::sync::Weak<Shared>,
    clock: Clock,
    engine: Arc<Engine>,
    id: String,
}

impl Container {
    async fn make(
        shared: &Arc<Shared>,
        engine: &Arc<Engine>,
        body: bollard::models::ContainerCreateBody,
    ) -> Result<Self, SandboxError> {
        let made = engine.client.create_container(None, body).await;
        let made = made.map_err(|err| shared.error("make a container", err))?;
        for warning in made.warnings {
            tracing::debug!("the engine warns: {warning}");
        }
        shared.note_live(&made.id, true);
        Ok(Self::found(shared, engine, made.id))
    }

    /// One that is there already.
    pub(super) fn found(shared: &Arc<Shared>, engine: &Arc<Engine>, id: String) -> Self {
        Self {
            shared: Arc::downgrade(shared),
            clock: shared.config.clock.clone(),
            engine: Arc::clone(engine),
            id,
        }
    }

    /// Starts it and waits for its process 1.
    async fn meet(&self, meeting: &Meeting, uid: u32) -> Result<Met, SandboxError> {
        let started = self.engine.client.start_container(&self.id, None).await;
        if let Err(err) = started {
            return Err(match self.shared.upgrade() {
                Some(shared) => shared.error("start a container", err),
                None => setup("start a container")(io::Error::other(err.to_string())),
            });
        }
        tokio::select! {
            met = meeting.met(uid) => met.map_err(setup("meet the container's process 1")),
            () = self.gone() => Err(SandboxError::EndedEarly {
                last_words: "it ended before it reached the gateway".to_owned(),
            }),
        }
    }

    /// Until it has ended and was removed; also where the engine is away, for then it can't be known.
    async fn gone(&self) {
        let options = WaitContainerOptions { condition: "removed".to_owned() };
        let mut wait = std::pin::pin!(self.engine.client.wait_container(&self.id, Some(options)));
        if let Some(Err(err)) = wait.next().await {
            tracing::trace!("container {}: {err}", self.id);
        }
    }

    /// Kills it, and waits until it is gone.
    pub(super) async fn remove(&self) {
        let options =
            RemoveContainerOptions { force: true, v: true, ..RemoveContainerOptions::default() };
        match self.engine.client.remove_container(&self.id, Some(options)).await {
            Ok(()) => {}
            Err(err) if error::is_gone(&err) => {
                if let Err(late) = self.clock.timeout(REMOVE_LIMIT, self.gone()).await {
                    tracing::warn!("container {} does not go: {late}", self.id);
                }
            }
            // What is left is reaped at the next start, or when the engine is back.
            Err(err) => tracing::warn!("can't remove container {}: {err}", self.id),
        }
        self.forget();
    }

    fn forget(&self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.note_live(&self.id, false);
        }
    }
}

pub(super) fn setup(doing: &str) -> impl FnOnce(io::Error) -> SandboxError {
    move |source| SandboxError::Setup { doing: doing.to_owned(), source }
}
