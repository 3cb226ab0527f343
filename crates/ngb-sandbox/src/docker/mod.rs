//! Sandboxes that a container engine makes: Docker's or Podman's, by its socket.
//!
//! ```text
//! gateway ── create, start ──▶ engine ──▶ process 1 (inside.rs)           agent
//!    │                                    as the group's user of the host
//!    │ ◀── line, streams, standard error ─┤ connects (meeting.rs)
//!    │ ── plan ─────────────────────────▶ │ user namespace: is 1000
//!    │                                    │ rlimits, Landlock, seccomp ──── spawn ──▶ exec
//!    │ ◀── ready ──────────────────────── │ waits for orphans                 frames on
//!    │ ◀── ended ──────────────────────── │ and for the end of the line       its streams
//! ```
//!
//! The outer walls are the engine's: namespaces, a read-only root, no network, no capability, control groups
//! (create.rs has them all). The inner ones are those of `native`, put up by our own executable, which is mounted into
//! whatever the image is. As root, each group has the same user of its own on the host as in `native`; in the user
//! namespace that process 1 makes, it is user 1000, so files keep one owner across engines.
//!
//! The gateway speaks to the agent past the engine. The end of that line, also by the gateway's death, is the end of
//! process 1 and of the container, and the engine removes what has ended. So there are leftovers only where a gateway was
//! killed between "create" and "start"; labels tell them from those of other installations.

mod create;
mod error;
mod image;
mod inside;
mod meeting;
mod own;
mod process;
mod profile;
mod reap;
mod socket;

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bollard::query_parameters::EventsOptions;
use futures_util::StreamExt as _;
use ngb_core::{
    clock::Clock,
    id::{GroupId, LaneId},
    tasks::{Crew, blocking},
};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

pub(crate) use self::inside::{ARGUMENT, inside_main};
pub use self::socket::SocketNames;
use self::{
    create::INSTALL_LABEL,
    image::Image,
    process::setup,
    socket::{Engine, Traits},
};
use crate::{
    AgentProcess, Kept, Probe, RunSpec, Sandbox, SandboxError,
    native::{
        ScratchDir,
        check::{self, Expected, NO_LANDLOCK},
        init::INNER_ID,
        plan::Work,
    },
    users::Users,
};

/// What the folders begin with where containers are met.
const MEETING_PREFIX: &str = "c-";

/// The copy of our executable, where one is needed.
const EXE_COPY: &str = "nanogridbot";

/// What the engine needs to know.
#[derive(Clone, Debug)]
pub struct DockerConfig {
    /// The gateway's folder; sockets stand in `run/sandbox` below it.
    pub home: PathBuf,
    /// Our executable, which is static; it is mounted into each container.
    pub exe: PathBuf,
    /// Names this installation among others on the machine.
    pub install_id: String,
    /// See [`crate::native::DEFAULT_UID_BASE`].
    pub uid_base: u32,
    pub socket: SocketNames,
    /// The image of all containers; without one they have the host's programs.
    pub image: Option<String>,
    pub clock: Clock,
}

/// The engine `docker`.
pub struct Docker {
    shared: Arc<Shared>,
}

struct Shared {
    config: DockerConfig,
    users: Users,
    /// What the folders of this process begin with.
    own_prefix: String,
    /// The connection, made anew after it broke.
    engine: tokio::sync::Mutex<Option<Arc<Engine>>>,
    /// The latest sign that the engine is away.
    lost: watch::Sender<bool>,
    seccomp: OnceLock<String>,
    /// Tasks that start and look after one container each.
    crew: Mutex<Crew>,
    /// Containers that live.
    live: Mutex<HashSet<String>>,
    /// A lane has one container at a time: the next waits until the last process of the one before is dead.
    lanes: Mutex<HashMap<LaneId, Weak<tokio::sync::Mutex<()>>>>,
    started: AtomicU64,
}

impl Docker {
    /// # Errors
    ///
    /// When folders can't be made, or `/proc` can't be read. The engine is not asked yet.
    pub fn new(config: DockerConfig) -> Result<Self, SandboxError> {
        let dir = config.run_dir();
        let mut builder = fs::DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(&dir);
        made.map_err(setup("make a folder for containers"))?;
        image::write_ours(&config.ours_dir()).map_err(setup("write `/etc` of containers"))?;
        let shared = Shared {
            users: Users::here(config.uid_base)?,
            own_prefix: format!("{MEETING_PREFIX}{}-", config.clock.now().0),
            config,
            engine: tokio::sync::Mutex::default(),
            lost: watch::Sender::new(false),
            seccomp: OnceLock::new(),
            crew: Mutex::default(),
            live: Mutex::default(),
            lanes: Mutex::default(),
            started: AtomicU64::new(0),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// User and group on the host of what the group's agents write.
    ///
    /// # Errors
    ///
    /// When the group's number has no place in the range.
    pub fn host_ids(&self, group: GroupId) -> Result<(u32, u32), SandboxError> {
        self.shared.users.of(group)
    }
}

impl DockerConfig {
    fn run_dir(&self) -> PathBuf {
        self.home.join("run/sandbox")
    }

    /// What we write for `/etc` of all containers.
    fn ours_dir(&self) -> PathBuf {
        self.run_dir().join("container")
    }
}

impl Shared {
    /// The engine, asked who it is where it wasn't yet.
    async fn engine(&self) -> Result<Arc<Engine>, SandboxError> {
        let mut slot = self.engine.lock().await;
        if let Some(engine) = &*slot {
            return Ok(Arc::clone(engine));
        }
        let engine = Arc::new(Engine::connect(&self.config.socket.find()?).await?);
        *slot = Some(Arc::clone(&engine));
        self.lost.send_replace(false);
        Ok(engine)
    }

    /// What an error of the engine means. One that is away may come back as another, so it is asked again then.
    fn error(&self, doing: &str, err: bollard::errors::Error) -> SandboxError {
        let socket = self.config.socket.find().unwrap_or_default();
        let err = error::of(&socket, doing, err);
        if err.is_engine_away() {
            if let Ok(mut slot) = self.engine.try_lock() {
                *slot = None;
            }
            self.lost.send_replace(true);
        }
        err
    }

    /// Listens to what the engine tells of our containers, which ends when the engine does.
    async fn hear_events(&self) {
        let Ok(engine) = self.engine().await else { return };
        let Ok(id) = self.install_id(&engine) else { return };
        let label = format!("{INSTALL_LABEL}={id}");
        let options = EventsOptions {
            filters: Some([("label".to_owned(), vec![label])].into()),
            ..EventsOptions::default()
        };
        let mut events = std::pin::pin!(engine.client.events(Some(options)));
        while let Some(Ok(event)) = events.next().await {
            tracing::trace!("the engine tells: {event:?}");
        }
    }

    fn away(&self) -> SandboxError {
        SandboxError::NoEngine {
            socket: self.config.socket.find().unwrap_or_default(),
            source: io::Error::from(io::ErrorKind::ConnectionAborted).into(),
        }
    }

    async fn image(&self, engine: &Engine) -> Result<Image, SandboxError> {
        let (socket, ours) = (self.config.socket.find()?, self.config.ours_dir());
        match (&self.config.image, &engine.own) {
            (Some(name), _) => Image::named(engine, &socket, name, &ours).await,
            // "This machine's programs" are those of our container.
            (None, Some(own)) => Image::named(engine, &socket, &own.image, &ours).await,
            (None, None) => Image::own(engine, &socket, &ours).await,
        }
    }

    /// Our executable where the engine finds it: where the gateway is in a container, and the executable of its image, it
    /// is copied to the home, which is of the host.
    async fn exe(&self, engine: &Engine) -> Result<PathBuf, SandboxError> {
        match engine.outside(&self.config.exe) {
            Err(SandboxError::NotOfTheHost { .. }) => {}
            found => return found,
        }
        let (from, to) = (self.config.exe.clone(), self.config.run_dir().join(EXE_COPY));
        let copied = engine.outside(&to)?;
        let copy = move || {
            if fs::metadata(&to).is_ok_and(|it| fs::metadata(&from).is_ok_and(|of| same(&it, &of)))
            {
                return Ok(());
            }
            // Beside it first: agents that live have the old one open.
            let new = to.with_extension("new");
            fs::copy(&from, &new)?;
            File::options()
                .write(true)
                .open(&new)?
                .set_modified(fs::metadata(&from)?.modified()?)?;
            fs::rename(&new, &to)
        };
        blocking("copy the executable", copy).await.map_err(setup("copy our executable"))?;
        Ok(copied)
    }

    /// Tells our containers from those of others. A home in a container is called the same by everybody, so what it is on
    /// the host counts.
    fn install_id(&self, engine: &Engine) -> Result<String, SandboxError> {
        let id = &self.config.install_id;
        if engine.own.is_none() {
            return Ok(id.clone());
        }
        let home = engine.outside(&self.config.home)?;
        let hash = format!("{:x}", Sha256::digest(home.to_string_lossy().as_bytes()));
        Ok(format!("{id}-{}", &hash[..8]))
    }

    fn seccomp(&self) -> &str {
        self.seccomp.get_or_init(profile::profile)
    }

    fn lane(&self, lane: LaneId) -> Arc<tokio::sync::Mutex<()>> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.retain(|_, it| 0 < it.strong_count());
        if let Some(known) = lanes.get(&lane).and_then(Weak::upgrade) {
            return known;
        }
        let new = Arc::default();
        lanes.insert(lane, Arc::downgrade(&new));
        new
    }

    fn next_name(&self) -> String {
        format!("{}{}", self.own_prefix, self.started.fetch_add(1, Ordering::Relaxed))
    }

    fn note_live(&self, id: &str, lives: bool) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if lives {
            live.insert(id.to_owned())
        } else {
            live.remove(id)
        };
    }

    fn spawn(&self, name: &str, task: impl Future<Output = ()> + Send + 'static) {
        self.crew.lock().unwrap_or_else(PoisonError::into_inner).spawn(name, task);
    }
}

#[async_trait]
impl Sandbox for Docker {
    fn engine(&self) -> &'static str {
        "docker"
    }

    fn owner(&self, group: GroupId) -> Option<(u32, u32)> {
        self.shared.users.other_than_ours(group)
    }

    async fn probe(&self) -> Result<Probe, SandboxError> {
        let dir = self.shared.config.run_dir().join(format!("probe-{}", std::process::id()));
        let made = ScratchDir::new(&dir)?;
        let mut started = process::start(&self.shared, &made.spec(), Work::Check).await?;
        let uid = if started.is_user_1000 { INNER_ID } else { started.owner.0 };
        let engine = self.shared.engine().await?;
        let own_root = self.shared.config.image.is_none() && engine.own.is_none();
        let expected = Expected { uid, own_root };
        check::hear(&mut started.agent, &expected).await?;
        let traits = engine.traits.clone();
        let kernel = |does: bool| if does { Kept::Kernel } else { Kept::NotEnforced };
        Ok(Probe {
            engine: "docker",
            memory: started.memory,
            cpu: kernel(traits.cpu),
            // RLIMIT_NPROC in the user namespace holds too.
            pids: kernel(traits.pids || started.is_user_1000),
            disk: Kept::Watcher,
            network: Kept::Kernel,
            remarks: remarks(&started, &traits),
        })
    }

    async fn start(&self, spec: &RunSpec) -> Result<AgentProcess, SandboxError> {
        let work = Work::Agent(spec.args.clone());
        Ok(process::start(&self.shared, spec, work).await?.agent)
    }

    async fn reap(&self) -> Result<usize, SandboxError> {
        reap::reap(&self.shared).await
    }

    async fn lost(&self) -> SandboxError {
        let mut lost = self.shared.lost.subscribe();
        tokio::select! {
            // The sender lives as long as we do.
            _ = lost.wait_for(|it| *it) => {}
            () = self.shared.hear_events() => {}
        }
        *self.shared.engine.lock().await = None;
        self.shared.away()
    }
}

/// Whether a copy is of what is there.
fn same(copy: &fs::Metadata, of: &fs::Metadata) -> bool {
    copy.len() == of.len() && copy.modified().ok() == of.modified().ok()
}

fn remarks(started: &process::Started, traits: &Traits) -> Vec<String> {
    let mut remarks = Vec::new();
    if !started.landlock {
        remarks.push(NO_LANDLOCK.to_owned());
    }
    if !started.is_user_1000 {
        remarks.push(format!(
            "Containers get no user namespace here, so agents are not user {INNER_ID} inside but have the number of \
             their user on the host."
        ));
    }
    if !traits.memory || !traits.cpu || !traits.pids {
        remarks.push(
            "The engine can't use all control groups; `docker info` says which it lacks."
                .to_owned(),
        );
    }
    remarks
}

/// What mends an engine that does not answer at `socket`.
pub(crate) fn remedy(socket: &Path, source: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = Some(source);
    while let Some(err) = cause {
        if let Some(err) = err.downcast_ref::<io::Error>()
            && err.kind() == io::ErrorKind::PermissionDenied
        {
            return format!(
                "sudo usermod -aG $(stat -c %G {}) $USER   # and log in again",
                socket.display()
            );
        }
        cause = err.source();
    }
    if socket.to_string_lossy().contains("podman") {
        "systemctl enable --now podman.socket".to_owned()
    } else {
        "sudo systemctl enable --now docker   # or name its socket: `[sandbox] socket`".to_owned()
    }
}
