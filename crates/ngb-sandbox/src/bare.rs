//! No walls: the agent is a process like any other. It must be named in the settings, and warns at each start.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::net::UnixStream as StdUnixStream,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use ngb_core::{
    clock::Clock,
    tasks::{Crew, blocking},
};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    net::UnixStream,
    process::{Child, Command},
    sync::oneshot,
};

use crate::{
    AgentProcess, Kept, LastWords, Probe, RunSpec, Sandbox, SandboxError, last_words::WORDS_LIMIT,
    native::memory_bytes, streams::Streams,
};

/// Names the folder that has `group`, `lane` and `broker` in it; inside a real sandbox the first two stand in
/// `/workspace`, and the third is `/run/ngb`.
pub const WORKSPACE: &str = "NGB_WORKSPACE";

/// Marks the processes of an installation.
const INSTALL: &str = "NGB_INSTALL";

/// What is handed on of the gateway's environment: nothing that could be a secret.
const HANDED_ON: &[&str] = &["PATH", "LANG", "TMPDIR", "USER", "TZ"];

/// The engine `bare`.
pub struct Bare {
    home: PathBuf,
    exe: PathBuf,
    install_id: String,
    environment: HashMap<String, String>,
    crew: Mutex<Crew>,
}

impl Bare {
    /// `exe` is the executable that is started as `exe agent ..`; `environment` is the gateway's, of which `PATH`,
    /// `LANG`, `TMPDIR`, `USER` and `TZ` are handed on.
    pub fn new(
        home: PathBuf,
        exe: PathBuf,
        install_id: String,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let environment =
            environment.into_iter().filter(|(key, _)| HANDED_ON.contains(&key.as_str())).collect();
        Self { home, exe, install_id, environment, crew: Mutex::default() }
    }

    /// Links to the lane's folders, under names that are the same for every lane.
    fn workspace(&self, spec: &RunSpec) -> io::Result<PathBuf> {
        let dir = self.home.join("run/bare").join(spec.lane.to_string());
        fs::create_dir_all(&dir)?;
        let links = [
            ("group", Some(&spec.group_dir)),
            ("lane", Some(&spec.lane_dir)),
            ("broker", spec.broker_dir.as_ref()),
        ];
        for (name, target) in links {
            let link = dir.join(name);
            match fs::remove_file(&link) {
                Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
                _ => {}
            }
            if let Some(target) = target {
                std::os::unix::fs::symlink(fs::canonicalize(target)?, link)?;
            }
        }
        Ok(dir)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    fn spawn(&self, spec: &RunSpec) -> io::Result<(Group, UnixStream)> {
        let workspace = self.workspace(spec)?;
        let (ours, theirs) = StdUnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let child = Command::new(&self.exe)
            .arg("agent")
            .args(&spec.args)
            .env_clear()
            .envs(&self.environment)
            .env("HOME", &spec.lane_dir)
            .env("TERM", "dumb")
            .env(WORKSPACE, &workspace)
            .env(INSTALL, &self.install_id)
            .current_dir(&spec.group_dir)
            .process_group(0)
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs.try_clone()?)))
            .stdout(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
            .stderr(Stdio::piped())
            .spawn()?;
        let id = child.id().and_then(|it| Pid::from_raw(i32::try_from(it).ok()?));
        let id = id.ok_or_else(|| io::Error::other("it has no process id"))?;
        Ok((Group { child, id }, UnixStream::from_std(ours)?))
    }
}

/// The agent and its process group; whoever leaves the group escapes.
struct Group {
    child: Child,
    id: Pid,
}

impl Drop for Group {
    fn drop(&mut self) {
        // The child is not waited for before this, or it is gone and the group with it: the number is still its own.
        kill_group(self.id);
    }
}

fn kill_group(id: Pid) {
    if let Err(err) = kill_process_group(id, Signal::KILL) {
        tracing::trace!("process group {id:?} is gone: {err}");
    }
}

#[async_trait]
impl Sandbox for Bare {
    fn engine(&self) -> &'static str {
        "bare"
    }

    async fn probe(&self) -> Result<Probe, SandboxError> {
        let none = Kept::NotEnforced;
        tracing::warn!("agents run without any isolation: `[sandbox] engine` is \"bare\"");
        Ok(Probe {
            engine: "bare",
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
        let (mut group, io) = self.spawn(spec).map_err(|source| SandboxError::Setup {
            doing: format!("start `{}`", self.exe.display()),
            source,
        })?;
        let pid = group.child.id().unwrap_or_default();
        let last_words = LastWords::default();
        let words = last_words.clone();
        let (ended, status) = oneshot::channel();
        let (hold, mut let_go) = oneshot::channel::<()>();
        let tend = async move {
            let stderr = group.child.stderr.take();
            let mut listening = std::pin::pin!(async {
                if let Some(stderr) = stderr {
                    words.listen(stderr).await;
                }
            });
            let mut heard = false;
            let status = loop {
                tokio::select! {
                    status = group.child.wait() => break status,
                    // The other half is never sent to, so this is its end.
                    _ = &mut let_go => break Err(io::Error::other("let go")),
                    () = &mut listening, if !heard => heard = true,
                }
            };
            drop(group);
            // Whoever left the group may hold the stream open, so this has an end of its own.
            if !heard && let Err(late) = Clock::System.timeout(WORDS_LIMIT, listening).await {
                tracing::debug!("not all last words were heard: {late}");
            }
            // Nobody waits when the `AgentProcess` was dropped.
            let _ = ended.send(status);
        };
        self.crew.lock().unwrap_or_else(PoisonError::into_inner).spawn("bare agent", tend);
        let exited = Box::pin(async move {
            let _hold = hold;
            status.await.unwrap_or_else(|_| Err(io::Error::other("the gateway stops")))
        });
        let memory = Box::new(move || memory_bytes(pid));
        Ok(AgentProcess { io: Box::new(Streams(io)), last_words, exited, memory })
    }

    async fn reap(&self) -> Result<usize, SandboxError> {
        let mark = format!("{INSTALL}={}", self.install_id);
        Ok(blocking("find leftovers", move || reap(mark.as_bytes())).await)
    }
}

/// Kills the process groups of an earlier gateway's agents. Those of this process are its children, and stay.
fn reap(mark: &[u8]) -> usize {
    let me = std::process::id();
    let mut groups = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let marked = fs::read(entry.path().join("environ"))
            .is_ok_and(|it| it.split(|byte| *byte == 0).any(|it| it == mark));
        let Some(group) = stat(&entry.path()).filter(|_| marked).map(|it| it.group) else {
            continue;
        };
        let leader = stat(&Path::new("/proc").join(group.to_string()));
        if leader.map(|it| it.parent) != Some(me) && !groups.contains(&group) {
            groups.push(group);
        }
    }
    for &group in &groups {
        if let Some(id) = i32::try_from(group).ok().and_then(Pid::from_raw) {
            kill_group(id);
        }
    }
    groups.len()
}

struct Stat {
    parent: u32,
    group: u32,
}

/// Fields 4 and 5 of proc_pid_stat(5); the name before them may hold anything, a parenthesis too.
fn stat(dir: &Path) -> Option<Stat> {
    let text = fs::read_to_string(dir.join("stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(1);
    Some(Stat { parent: fields.next()?.parse().ok()?, group: fields.next()?.parse().ok()? })
}
