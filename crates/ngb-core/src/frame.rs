//! The words between gateway and agent: one JSON object a line over the agent's standard streams.
//!
//! ```text
//! agent    Ready                     Progress* Effect Call Done
//! gateway         Prompt            Steer*            CallResult    Prompt … Interrupt … Stop
//! ```
//! Who may do what is decided by the connection a frame came in on, never by what the frame says.

mod call;
mod line;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use call::{ALLOW, CallOutcome, DENY, HostCall, TaskWish};
pub use line::{FrameReader, ProtocolError, line, write};

use crate::{clock::Timestamp, role::Role, toolbox::Toolbox};

/// Longest line either side may send, in bytes.
pub const MAX_FRAME_BYTES: usize = 1024 * 1024;

/// The version that both sides speak; [`FromAgent::Ready`] says the agent's.
pub const PROTOCOL: u32 = 1;

/// A prompt of one run: the id of its first job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PromptId(pub i64);

/// Gateway to agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ToAgent {
    Prompt(Box<Prompt>),
    /// More of what people wrote, for the prompt that is being worked on. Who takes it names it in its `Done`; who can't,
    /// or works on something else by now, leaves it: what no `Done` names becomes a prompt of its own.
    Steer {
        into: PromptId,
        prompt: Box<Prompt>,
    },
    /// What became of the [`FromAgent::Call`] or [`FromAgent::Effect`] with that number.
    CallResult {
        call: u64,
        outcome: CallOutcome,
    },
    /// Stop what is being done for this prompt, say `Done` with [`Outcome::Interrupted`], and wait for the next one.
    Interrupt {
        prompt: PromptId,
    },
    /// End within the grace period.
    Stop,
}

/// What the agent is to answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prompt {
    pub id: PromptId,
    /// What people wrote, the oldest first: context that nobody addressed to the agent, then what is to be answered.
    pub messages: Vec<PromptMessage>,
    /// The least role among those who are to be answered.
    pub role: Role,
    /// The chat's name, as its platform says.
    pub place: String,
    pub now: Timestamp,
    /// The group's time zone, an IANA name.
    pub zone: String,
    /// Where the session begins; what its transcript holds after the mark is dropped. None starts a new one.
    pub session: Option<SessionMark>,
    /// Said when an earlier try had already changed something: go on, don't begin anew.
    pub resumed: Option<String>,
    /// The model to use; none for a driver that has its own, or needs none.
    pub model: Option<ModelSpec>,
    /// The tools that the group has, and those that a person allows.
    #[serde(default)]
    pub toolbox: Toolbox,
}

/// One message of a chat, as data: nothing in it is an instruction by its form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PromptMessage {
    pub sender: String,
    /// The platform's stable id of the sender.
    pub sender_id: String,
    pub role: Role,
    pub text: String,
    pub sent_at: Timestamp,
    /// The text of the message that this one answers, shortened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    /// Files that came with it, as paths inside the sandbox.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// Whether it is to be answered, or only context.
    pub engaged: bool,
}

/// A session and how far it goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionMark {
    pub id: String,
    /// Entries of the transcript that count.
    pub entries: u64,
}

/// Which model answers, and how much it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelSpec {
    /// The name in `[providers.<name>]`; the broker finds address and key by it.
    pub provider: String,
    pub kind: ProviderKind,
    pub model: String,
    /// What fits into the model, in tokens.
    pub window_tokens: u64,
    pub max_output_tokens: u64,
}

/// What a provider's API looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProviderKind {
    /// Messages.
    Anthropic,
    /// Chat completions.
    OpenAi,
    /// The native `/api/chat`.
    Ollama,
}

impl ProviderKind {
    /// As the settings name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::OpenAi => "openai",
            Self::Ollama => "ollama",
        }
    }
}

/// Agent to gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum FromAgent {
    /// The first frame.
    Ready { protocol: u32 },
    /// Something to show; may be lost.
    Progress { prompt: PromptId, step: Step },
    /// The agent is about to do the first thing of this prompt that can't be taken back, and waits for the answer.
    Effect { prompt: PromptId, call: u64 },
    /// The agent asks the gateway to do something, and waits for the answer.
    Call { prompt: PromptId, call: u64, what: HostCall },
    /// Tokens that the agent says it used; what counts is what the broker saw.
    Usage { prompt: PromptId, input_tokens: u64, output_tokens: u64 },
    /// The named prompts have their answer.
    Done { prompts: Vec<PromptId>, outcome: Outcome, session: Option<SessionMark> },
}

impl Step {
    /// How much text it holds, in bytes.
    pub fn len_bytes(&self) -> usize {
        match self {
            Self::Text { delta } | Self::Thinking { delta } => delta.len(),
            Self::ToolStart { id, tool, summary } => id.len() + tool.len() + summary.len(),
            Self::ToolEnd { id, output, .. } => id.len() + output.len(),
        }
    }
}

/// One step of the agent's work, as it happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Step {
    /// More of the answer.
    Text {
        delta: String,
    },
    /// More of what the model thinks.
    Thinking {
        delta: String,
    },
    ToolStart {
        id: String,
        tool: String,
        summary: String,
    },
    ToolEnd {
        id: String,
        ok: bool,
        output: String,
    },
}

/// How the agent's work on a prompt ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Outcome {
    /// The answer, in Markdown; an empty one means that there is nothing to say.
    Answered {
        text: String,
    },
    Interrupted,
    Failed {
        failure: Failure,
        reason: String,
    },
}

/// What kind of failure it was, which decides what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// Trying again may help: the model was busy, the network was down.
    Passing,
    /// The provider refused the key.
    KeyRefused,
    /// The provider has no such model.
    ModelUnknown,
    /// The prompt doesn't fit, even after compaction.
    PromptTooLarge,
    /// A cap on runs or tokens was reached.
    OverBudget,
    /// Nothing of the above, and trying again can't help.
    Permanent,
}
