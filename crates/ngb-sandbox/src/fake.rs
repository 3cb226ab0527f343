//! A sandbox for tests of other crates: the agent is a closure in this process, over a pipe in memory.

use std::{os::unix::process::ExitStatusExt as _, pin::Pin, process::ExitStatus, sync::Mutex};

use async_trait::async_trait;
use ngb_core::tasks::Crew;
use tokio::{io::DuplexStream, sync::oneshot};

use crate::{AgentProcess, Kept, LastWords, Probe, RunSpec, Sandbox, SandboxError};

/// Room in each direction of the pipe, in bytes.
const PIPE_BYTES: usize = 64 << 10;

/// What a fake agent is: given its spec and its streams, it returns an exit code.
type Agent =
    dyn Fn(RunSpec, DuplexStream) -> Pin<Box<dyn Future<Output = u8> + Send>> + Send + Sync;

/// For tests only: nothing is apart from anything.
pub struct Fake {
    agent: Box<Agent>,
}

impl Fake {
    /// Each start calls `agent` once; what it returns is the exit code.
    pub fn new<F, Done>(agent: F) -> Self
    where
        F: Fn(RunSpec, DuplexStream) -> Done + Send + Sync + 'static,
        Done: Future<Output = u8> + Send + 'static,
    {
        Self { agent: Box::new(move |spec, io| Box::pin(agent(spec, io))) }
    }
}

#[async_trait]
impl Sandbox for Fake {
    fn engine(&self) -> &'static str {
        "fake"
    }

    async fn probe(&self) -> Result<Probe, SandboxError> {
        let none = Kept::NotEnforced;
        Ok(Probe {
            engine: "fake",
            memory: none,
            cpu: none,
            pids: none,
            disk: none,
            network: none,
            remarks: vec!["This engine is for tests.".into()],
        })
    }

    async fn start(&self, spec: &RunSpec) -> Result<AgentProcess, SandboxError> {
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        let work = (self.agent)(spec.clone(), theirs);
        let (ended, code) = oneshot::channel();
        let mut crew = Crew::default();
        crew.spawn("fake agent", async move {
            let code = work.await;
            // Nobody waits when the `AgentProcess` was dropped.
            let _ = ended.send(code);
        });
        let crew = Mutex::new(crew);
        let exited = Box::pin(async move {
            let _kill_with = crew;
            // An agent that panics ends like a process that aborts.
            let raw =
                code.await.map_or(rustix::process::Signal::ABORT.as_raw(), |it| i32::from(it) << 8);
            Ok(ExitStatus::from_raw(raw))
        });
        Ok(AgentProcess {
            io: Box::new(ours),
            last_words: LastWords::default(),
            exited,
            memory: Box::new(|| None),
        })
    }

    async fn reap(&self) -> Result<usize, SandboxError> {
        Ok(0)
    }
}
