//! The driver `claude-code`: Anthropic's command line, which keeps its own session, loop and tools.
//!
//! ```text
//! gateway ── frames ── this process ── stream-json ── claude ── tools, sub-agents
//!                        │   ▲                          │ │
//!                        │   └──────── MCP ─────────────┘ │ HTTP on the loopback
//!                        └──── broker's socket ◀──────────┘
//! ```
//! One process of it is kept for the prompts of its lane. It is started anew, in the same session, when a prompt begins
//! elsewhere than the one before ended, or when the model or the instructions have changed.

use std::path::PathBuf;

use ngb_core::{
    clock::Clock,
    frame::{Failure, ModelSpec, Outcome, Prompt, ProviderKind, SessionMark},
    toolbox::Toolbox,
};

use crate::{
    Folders,
    builtin::prompt,
    tools::Tools,
    turn::{Turn, Worked},
    ways::Ways,
};

mod session;
mod wire;

mod archive;
mod cli;

mod conversation;

use cli::{Cli, Start};
use conversation::{Conversation, Heard};
use session::Begin;

/// The driver.
pub(crate) struct Claude {
    /// The command line's executable.
    program: PathBuf,
    tools: Tools,
    clock: Clock,
    ways: Option<Ways>,
    live: Option<Live>,
}

/// A process that waits for its next prompt.
struct Live {
    cli: Cli,
    setup: Setup,
    heard: Heard,
    /// Where the prompt before ended.
    mark: Option<SessionMark>,
}

/// What a process was started with, and can't change.
#[derive(PartialEq, Eq)]
struct Setup {
    model: ModelSpec,
    instructions: String,
    toolbox: Toolbox,
}

/// Why there is no answer.
struct Trouble {
    failure: Failure,
    reason: String,
}

impl Claude {
    pub(crate) fn new(program: PathBuf, folders: Folders, clock: Clock) -> Self {
        let tools = Tools::new(folders, clock.clone());
        Self { program, tools, clock, ways: None, live: None }
    }

    pub(crate) async fn work(&mut self, prompt: &Prompt, turn: &Turn) -> Worked {
        match self.answer(prompt, turn).await {
            Ok(worked) => worked,
            Err(Trouble { failure, reason }) => {
                let outcome = Outcome::Failed { failure, reason };
                Worked { outcome, session: prompt.session.clone() }
            }
        }
    }

    async fn answer(&mut self, prompt: &Prompt, turn: &Turn) -> Result<Worked, Trouble> {
        let setup = self.setup(prompt)?;
        self.tools.renew(&prompt.toolbox);
        let mut live = match self.live.take() {
            Some(live) if live.goes_on(prompt, &setup) => live,
            // Two at a time would be twice the memory, and one session's two writers.
            old => {
                drop(old);
                self.start(prompt, setup).await?
            }
        };
        let Some(ways) = &mut self.ways else { return Err(gone("the loopback port is closed")) };
        ways.host_calls.refuse_left_over();
        let folders = self.tools.folders.clone();
        let mut conversation = Conversation::new(
            turn,
            &folders,
            &self.clock,
            &prompt.toolbox,
            std::mem::take(&mut live.heard),
        );
        let outcome = tokio::select! {
            biased;
            outcome = conversation.work(&mut live.cli, prompt) => outcome,
            never = ways.host_calls.serve(&mut self.tools, turn) => match never {},
        };
        let outcome = outcome.map_err(gone)?;
        let leaves_work = conversation.leaves_work();
        live.heard = conversation.heard;
        if let Outcome::Failed { .. } = outcome {
            // The next try begins at the mark, in a process of its own.
            return Ok(Worked { outcome, session: prompt.session.clone() });
        }
        live.mark = live.heard.mark().or_else(|| prompt.session.clone());
        let session = live.mark.clone();
        if !leaves_work {
            self.live = Some(live);
        }
        Ok(Worked { outcome, session })
    }

    fn setup(&self, prompt: &Prompt) -> Result<Setup, Trouble> {
        let permanent =
            |reason: &str| Trouble { failure: Failure::Permanent, reason: reason.to_owned() };
        let model = prompt.model.clone().ok_or_else(|| permanent("no model is set"))?;
        if model.kind != ProviderKind::Anthropic {
            return Err(permanent(
                "the driver `claude-code` needs a model of a provider of kind `anthropic`",
            ));
        }
        let standing = prompt::standing(&self.tools.folders);
        let instructions = format!("{}\n\n{standing}", prompt::FIXED);
        Ok(Setup { model, instructions, toolbox: prompt.toolbox.clone() })
    }

    async fn start(&mut self, prompt: &Prompt, setup: Setup) -> Result<Live, Trouble> {
        let folders = &self.tools.folders;
        let ways = match &mut self.ways {
            Some(ways) => ways,
            none => none.insert(Ways::open(folders).await.map_err(gone)?),
        };
        link_skills(folders).map_err(gone)?;
        let begin = Begin::of(folders, prompt.session.as_ref(), prompt.resumed.is_some());
        let start = Start {
            program: &self.program,
            folders,
            clock: &self.clock,
            model: &setup.model,
            variables: ways.variables(Some(&setup.model)),
            host_calls: ways.host_calls.command().map_err(gone)?,
            instructions: &setup.instructions,
            mcp: &setup.toolbox.mcp,
            begin: &begin,
        };
        let cli = Cli::start(start).await.map_err(gone)?;
        Ok(Live { cli, setup, heard: Heard::default(), mark: None })
    }
}

/// Puts the skills where the command line looks for them; what the lane has there itself is left alone.
fn link_skills(folders: &Folders) -> std::io::Result<()> {
    let at = folders.lane.join(".claude/skills");
    if !folders.skills.is_dir() || at.symlink_metadata().is_ok() {
        return Ok(());
    }
    std::fs::create_dir_all(folders.lane.join(".claude"))?;
    std::os::unix::fs::symlink(&folders.skills, at)
}

impl Live {
    /// Whether `prompt` begins where the one before ended.
    fn goes_on(&self, prompt: &Prompt, setup: &Setup) -> bool {
        prompt.resumed.is_none()
            && prompt.session.is_some()
            && prompt.session == self.mark
            && *setup == self.setup
    }
}

impl Heard {
    fn mark(&self) -> Option<SessionMark> {
        Some(session::mark(self.session.as_ref()?, self.message.as_ref()?, self.turns))
    }
}

/// Something that may be there at the next try.
fn gone(why: impl ToString) -> Trouble {
    Trouble { failure: Failure::Passing, reason: why.to_string() }
}
