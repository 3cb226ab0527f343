//! No walls: the agent is a process like any other. It must be named in the settings, and warns at each start.
//!
//! What walls would do for the end is done by a process outside ([`outside_main`]): all that the agent starts becomes its
//! child in the end, so it ends with the agent and with the gateway, also what has left its session.

mod outside;
mod reap;

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use ngb_core::{
    clock::Clock,
    tasks::{Crew, blocking},
};
use tokio::{net::UnixStream, process::Command, sync::oneshot};

pub(crate) use self::outside::{ARGUMENT, outside_main};
use crate::{
    AgentProcess, Kept, Probe, RunSpec, Sandbox, SandboxError,
    native::memory_bytes,
    outside::{Outside, exited},
    streams::Streams,
};

/// The word in `[sandbox] engine`: there is no other file system inside.
pub const ENGINE: &str = "bare";

/// Names the folder that has `group`, `lane`, `instructions` and `broker` in it; inside a real sandbox the first three
/// stand in `/workspace`, and the last is `/run/ngb`.
pub const WORKSPACE: &str = "NGB_WORKSPACE";

/// Where those stand inside a real sandbox; what is given read-only below it has its link in the workspace.
const INSIDE: &str = "/workspace";

/// Marks the processes of an installation.
const INSTALL: &str = "NGB_INSTALL";

/// What is handed on of the gateway's environment: nothing that could be a secret.
const HANDED_ON: &[&str] = &["PATH", "LANG", "TMPDIR", "USER", "TZ"];

/// The engine `bare`.
pub struct Bare {
    config: BareConfig,
    environment: HashMap<String, String>,
    crew: Mutex<Crew>,
}

/// What the engine needs to know.
#[derive(Clone, Debug)]
pub struct BareConfig {
    /// The gateway's folder; workspaces stand in `run/bare` below it.
    pub home: PathBuf,
    /// The executable that is started as `exe agent ..`.
    pub exe: PathBuf,
    pub install_id: String,
    pub clock: Clock,
}

impl Bare {
    /// `environment` is the gateway's, of which `PATH`, `LANG`, `TMPDIR`, `USER` and `TZ` are handed on.
    pub fn new(
        config: BareConfig,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let environment =
            environment.into_iter().filter(|(key, _)| HANDED_ON.contains(&key.as_str())).collect();
        Self { config, environment, crew: Mutex::default() }
    }

    /// Links to the lane's folders, under names that are the same for every lane.
    fn workspace(&self, spec: &RunSpec) -> io::Result<PathBuf> {
        let dir = self.config.home.join("run/bare").join(spec.lane.to_string());
        match fs::remove_dir_all(&dir) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
            _ => {}
        }
        fs::create_dir_all(&dir)?;
        link(&spec.group_dir, &dir.join("group"))?;
        link(&spec.lane_dir, &dir.join("lane"))?;
        if let Some(broker) = &spec.broker_dir {
            link(broker, &dir.join("broker"))?;
        }
        let mounts = spec.mounts.iter().map(|it| (&it.real, &it.inside));
        for (from, inside) in spec.read_only.iter().map(|it| (&it.0, &it.1)).chain(mounts) {
            // Anything else stands where it stands: there is no other root to put it in.
            let Ok(below) = inside.strip_prefix(INSIDE) else { continue };
            let at = dir.join(below);
            fs::create_dir_all(at.parent().unwrap_or(&dir))?;
            link(from, &at)?;
        }
        Ok(dir)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    fn spawn(&self, spec: &RunSpec) -> io::Result<(Outside, UnixStream)> {
        let workspace = self.workspace(spec)?;
        let mut command = Command::new(&self.config.exe);
        command
            .args(["__sandbox", ARGUMENT])
            .args(&spec.args)
            .env_clear()
            .envs(&self.environment)
            .envs(&spec.limits.environment)
            .env("HOME", &spec.lane_dir)
            .env("TERM", "dumb")
            .env(WORKSPACE, &workspace)
            .env(INSTALL, &self.config.install_id)
            .current_dir(&spec.group_dir);
        Outside::start(&mut command)
    }
}

fn link(target: &Path, at: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(fs::canonicalize(target)?, at)
}

#[async_trait]
impl Sandbox for Bare {
    fn engine(&self) -> &'static str {
        ENGINE
    }

    async fn probe(&self) -> Result<Probe, SandboxError> {
        let none = Kept::NotEnforced;
        tracing::warn!("agents run without any isolation: `[sandbox] engine` is \"bare\"");
        Ok(Probe {
            engine: ENGINE,
            memory: none,
            cpu: none,
            pids: none,
            disk: none,
            network: none,
            remarks: vec![
                "Agents may read, change and send whatever the gateway's user can.".into(),
            ],
        })
    }

    async fn start(&self, spec: &RunSpec) -> Result<AgentProcess, SandboxError> {
        let (outside, io) = self.spawn(spec).map_err(|source| SandboxError::Setup {
            doing: format!("start `{}`", self.config.exe.display()),
            source,
        })?;
        let pid = outside.pid();
        let last_words = outside.words.clone();
        let (ended, status) = oneshot::channel();
        let exited = Box::pin(exited(outside.line.hold(), status));
        let clock = self.config.clock.clone();
        let tend = async move {
            // Nobody waits when the `AgentProcess` was dropped.
            drop(ended.send(outside.tend(&clock, std::future::pending()).await));
        };
        self.crew.lock().unwrap_or_else(PoisonError::into_inner).spawn("bare agent", tend);
        let memory = Box::new(move || memory_bytes(pid));
        Ok(AgentProcess { io: Box::new(Streams(io)), last_words, exited, memory })
    }

    async fn reap(&self) -> Result<usize, SandboxError> {
        let mark = format!("{INSTALL}={}", self.config.install_id);
        Ok(blocking("find leftovers", move || reap::reap(mark.as_bytes())).await)
    }
}
