//! A live agent: its process in a sandbox, and the frames to and from it.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use ngb_core::{
    clock::Clock,
    driver::Driver,
    frame::{self, FrameReader, FromAgent, PROTOCOL, ProtocolError, ToAgent},
    group::{Group, Limits},
    id::LaneId,
};
use ngb_sandbox::{
    AgentProcess, HostMount, LastWords, MemoryGauge, Pipe, RunSpec, Sandbox, SandboxError,
};
use thiserror::Error;
use tokio::io::{BufReader, ReadHalf, WriteHalf};

use crate::{
    homes::{GLOBAL, Homes},
    programs::{NoProgram, Outfit, Programs},
};

/// Longest that an agent may take from its start to its first frame.
const READY_LIMIT: Duration = Duration::from_secs(20);

/// Longest that an agent may take to end by itself.
const END_LIMIT: Duration = Duration::from_secs(2);

/// An agent that speaks our protocol. Dropping it kills everything in its sandbox.
pub(crate) struct Agent {
    reader: FrameReader<BufReader<ReadHalf<Box<dyn Pipe>>>>,
    writer: WriteHalf<Box<dyn Pipe>>,
    exited: std::pin::Pin<Box<dyn Future<Output = io::Result<std::process::ExitStatus>> + Send>>,
    last_words: LastWords,
    pub(crate) memory: Arc<MemoryGauge>,
    pub(crate) door: ngb_broker::Door,
    pub(crate) driver: Driver,
    /// What it was started with, so that a change counts from the next run on.
    pub(crate) limits: Limits,
    pub(crate) mounts: Vec<HostMount>,
}

/// What an agent is started with.
pub(crate) struct Start<'a> {
    pub(crate) sandbox: &'a dyn Sandbox,
    pub(crate) homes: &'a Homes,
    pub(crate) broker: &'a ngb_broker::Broker,
    pub(crate) group: &'a Group,
    pub(crate) lane: LaneId,
    pub(crate) driver: Driver,
    pub(crate) programs: &'a Programs,
    pub(crate) mounts: Vec<HostMount>,
    pub(crate) clock: &'a Clock,
}

/// An agent could not be started, or its words made no sense.
#[derive(Debug, Error)]
pub(crate) enum AgentError {
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error("could not prepare the sandbox's folders")]
    Folder(#[source] io::Error),
    #[error(transparent)]
    NoProgram(#[from] NoProgram),
    #[error("the agent said nothing for {READY_LIMIT:?} after its start: {last_words}")]
    NotReady { last_words: String },
    #[error("the agent ended: {last_words}")]
    Ended { last_words: String },
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
}

impl AgentError {
    /// Whether nothing can be started until an engine is back.
    pub(crate) fn is_engine_away(&self) -> bool {
        matches!(self, Self::Sandbox(err) if err.is_engine_away())
    }

    /// Whether trying again may help without anybody changing the machine.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Sandbox(err) => err.is_passing(),
            Self::NoProgram(_) | Self::Protocol(ProtocolError::WrongVersion(_)) => false,
            Self::Folder(_) | Self::NotReady { .. } | Self::Ended { .. } | Self::Protocol(_) => {
                true
            }
        }
    }
}

impl Agent {
    /// Starts one and waits for its first frame.
    pub(crate) async fn start(start: Start<'_>) -> Result<Self, AgentError> {
        let Start { sandbox, homes, broker, group, lane, driver, programs, mounts, clock } = start;
        let Outfit { args, mut read_only } =
            programs.outfit(driver, sandbox.engine() != ngb_sandbox::bare::ENGINE)?;
        let lane_dir = homes.make_lane(lane).await.map_err(AgentError::Folder)?;
        homes.make_group(&group.folder).await.map_err(AgentError::Folder)?;
        let instructions = homes
            .stage_instructions(&group.folder, sandbox.owner(group.id), clock.now())
            .await
            .map_err(AgentError::Folder)?;
        read_only.push(
            homes
                .stage_skills(&group.folder, sandbox.owner(group.id))
                .await
                .map_err(AgentError::Folder)?,
        );
        // The main group is where the instructions for the others are written.
        read_only.extend(
            instructions.into_iter().filter(|(_, it)| !(group.is_main && it.ends_with(GLOBAL))),
        );
        if driver == Driver::ClaudeCode {
            read_only.extend(
                homes
                    .stage_rules(&group.folder, sandbox.owner(group.id))
                    .await
                    .map_err(AgentError::Folder)?,
            );
        }
        let door = broker.open(lane, group.id).map_err(AgentError::Folder)?;
        let spec = RunSpec {
            group: group.id,
            lane,
            group_dir: homes.group(&group.folder),
            lane_dir,
            read_only,
            mounts: mounts.clone(),
            broker_dir: Some(PathBuf::from(door.dir())),
            args,
            limits: group.limits.clone(),
        };
        let AgentProcess { io, last_words, exited, memory } = sandbox.start(&spec).await?;
        let (reader, writer) = tokio::io::split(io);
        let reader = FrameReader::new(BufReader::new(reader));
        let memory = Arc::new(memory);
        let limits = group.limits.clone();
        let mut agent =
            Self { reader, writer, exited, last_words, memory, door, driver, limits, mounts };
        let first = match clock.timeout(READY_LIMIT, agent.next()).await {
            Ok(first) => first?,
            Err(_) => return Err(AgentError::NotReady { last_words: agent.last_words() }),
        };
        match first {
            FromAgent::Ready { protocol: PROTOCOL } => Ok(agent),
            FromAgent::Ready { protocol } => Err(ProtocolError::WrongVersion(protocol).into()),
            _ => Err(AgentError::NotReady {
                last_words: "its first frame was not `ready`".to_owned(),
            }),
        }
    }

    /// The next frame. It may be dropped at any await and called again.
    ///
    /// # Errors
    ///
    /// When the agent ended or said something that is no frame; it is of no use any more then.
    pub(crate) async fn next(&mut self) -> Result<FromAgent, AgentError> {
        match self.reader.next().await? {
            Some(frame) => Ok(frame),
            None => Err(AgentError::Ended { last_words: self.last_words() }),
        }
    }

    pub(crate) async fn send(&mut self, frame: &ToAgent) -> Result<(), AgentError> {
        match frame::write(&mut self.writer, frame).await {
            Ok(()) => Ok(()),
            Err(ProtocolError::Io(_)) => Err(AgentError::Ended { last_words: self.last_words() }),
            Err(err) => Err(err.into()),
        }
    }

    /// Asks it to end, and kills it when it doesn't.
    pub(crate) async fn end(mut self, clock: &Clock) {
        if self.send(&ToAgent::Stop).await.is_ok()
            && let Err(late) = clock.timeout(END_LIMIT, &mut self.exited).await
        {
            tracing::debug!("an agent did not end by itself: {late}");
        }
    }

    /// The end of what it wrote to its standard error, on one line.
    fn last_words(&self) -> String {
        let words = self.last_words.0.lock().expect("nobody panics while holding it");
        let words = words.trim();
        if words.is_empty() { "it said nothing".to_owned() } else { words.replace('\n', " | ") }
    }
}
