//! The words between gateway and agent: one JSON object a line over the agent's standard streams.
//!
//! ```text
//! agent    Ready                     Progress* Effect Call Done
//! gateway         Prompt            Steer*            CallResult    Prompt … Interrupt … Stop
//! ```
//! Who may do what is decided by the connection a frame came in on, never by what the frame says.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::{clock::Timestamp, id::TaskId, message::Button, role::Role};

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

/// What an agent may ask of the gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum HostCall {
    /// Say something in the prompt's place before the answer is done.
    SendMessage { text: String },
    /// Send a file of the workspace to the prompt's place.
    SendFile {
        path: String,
        #[serde(default)]
        caption: String,
    },
    /// Say `text` in the prompt's place after so many seconds.
    ScheduleTask { after_seconds: u64, text: String },
    /// Have something done, or said, by the clock in the prompt's place. Exactly one of `cron`, `every` and `at` is given.
    AddTask {
        text: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cron: Option<String>,
        /// As `2h` or `10m`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        every: Option<String>,
        /// An instant, or a local time in the group's zone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<String>,
        /// Whether the text itself is said, with no agent.
        #[serde(default)]
        say: bool,
    },
    /// Pause, resume or cancel a task of the group; of any group, for the main group.
    ChangeTask { task: TaskId, to: TaskWish },
    /// The tasks of the group; of all groups, for the main group.
    ListTasks,
    /// The newest messages of this conversation that have `text` in them; of the whole group's, when asked for.
    SearchMessages {
        text: String,
        #[serde(default)]
        whole_group: bool,
    },
    /// The groups there are; for the main group.
    ListGroups,
    /// What the group used today, and may use.
    Usage,
    /// Ask the people in the prompt's place; the answer is the value of the option that was chosen.
    Ask {
        question: String,
        options: Vec<Button>,
        /// Who has at least this role may answer, besides who asked; operators in any case.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        least: Option<Role>,
    },
}

/// What an agent wants of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskWish {
    Pause,
    Resume,
    Cancel,
}

impl HostCall {
    /// Whether it changes something; one that only looks is no effect, and may be made again.
    pub fn changes(&self) -> bool {
        match self {
            Self::SendMessage { .. }
            | Self::SendFile { .. }
            | Self::ScheduleTask { .. }
            | Self::AddTask { .. }
            | Self::ChangeTask { .. }
            | Self::Ask { .. } => true,
            Self::ListTasks | Self::SearchMessages { .. } | Self::ListGroups | Self::Usage => false,
        }
    }

    /// Its name on the wire, and the kind in its key.
    pub fn name(&self) -> &'static str {
        match self {
            Self::SendMessage { .. } => "send_message",
            Self::SendFile { .. } => "send_file",
            Self::ScheduleTask { .. } => "schedule_task",
            Self::AddTask { .. } => "add_task",
            Self::ChangeTask { .. } => "change_task",
            Self::ListTasks => "list_tasks",
            Self::SearchMessages { .. } => "search_messages",
            Self::ListGroups => "list_groups",
            Self::Usage => "usage",
            Self::Ask { .. } => "ask",
        }
    }

    /// A hash of the arguments, as hex: with job, name and count it is the call's key.
    pub fn arguments_hash(&self) -> String {
        use sha2::{Digest as _, Sha256};
        let json = serde_json::to_vec(self).expect("calls have only string keys");
        Sha256::digest(&json).iter().map(|it| format!("{it:02x}")).collect()
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CallOutcome {
    Ok {
        value: Value,
    },
    /// It was not done; the reason says what to do instead.
    Refused {
        reason: String,
    },
}

#[derive(Debug, Error)]
pub enum ProtocolError {
    #[error("a line is longer than {MAX_FRAME_BYTES} bytes")]
    TooLong,
    #[error("a line is not a known frame: `{line}`")]
    NotAFrame {
        line: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("the agent speaks protocol {0}, the gateway {PROTOCOL}")]
    WrongVersion(u32),
    #[error("the pipe to the agent broke")]
    Io(#[from] std::io::Error),
}

/// A frame as it is written: one line, with its end.
///
/// # Errors
///
/// When it is too long for the other side.
pub fn line<T: Serialize>(frame: &T) -> Result<Vec<u8>, ProtocolError> {
    let mut line = serde_json::to_vec(frame).expect("frames have only string keys");
    line.push(b'\n');
    if MAX_FRAME_BYTES < line.len() { Err(ProtocolError::TooLong) } else { Ok(line) }
}

/// Writes one frame and flushes it.
///
/// # Errors
///
/// When the frame is too long for the other side, or the pipe broke.
pub async fn write<T: Serialize>(
    to: &mut (impl AsyncWrite + Unpin),
    frame: &T,
) -> Result<(), ProtocolError> {
    to.write_all(&line(frame)?).await?;
    to.flush().await?;
    Ok(())
}

/// Reads frames. The limit is in the read, so that a hostile side can't fill the memory.
///
/// [`FrameReader::next`] may be dropped at any await and called again: what was read stays.
#[derive(Debug)]
pub struct FrameReader<R> {
    reader: R,
    line: Vec<u8>,
}

impl<R: AsyncBufRead + Unpin> FrameReader<R> {
    pub fn new(reader: R) -> Self {
        Self { reader, line: Vec::new() }
    }

    /// The next frame, or `None` once the other side closed between frames.
    ///
    /// # Errors
    ///
    /// When the line is too long, is no frame, or the pipe broke.
    pub async fn next<T: for<'de> Deserialize<'de>>(&mut self) -> Result<Option<T>, ProtocolError> {
        let room = (MAX_FRAME_BYTES + 1 - self.line.len()) as u64;
        (&mut self.reader).take(room).read_until(b'\n', &mut self.line).await?;
        if self.line.is_empty() {
            return Ok(None);
        }
        if MAX_FRAME_BYTES < self.line.len() {
            return Err(ProtocolError::TooLong);
        }
        let mut line = std::mem::take(&mut self.line);
        without_nuls(&mut line);
        serde_json::from_slice(&line).map(Some).map_err(|source| ProtocolError::NotAFrame {
            line: String::from_utf8_lossy(&line[..line.len().min(120)]).trim_end().to_owned(),
            source,
        })
    }
}

/// Makes U+FFFD of each NUL in the strings of a line of JSON: no platform and no PostgreSQL takes one.
fn without_nuls(line: &mut [u8]) {
    const NUL: &[u8] = b"\\u0000";
    let mut at = 0;
    while at < line.len() {
        if line[at] != b'\\' {
            at += 1;
            continue;
        }
        if line[at..].starts_with(NUL) {
            line[at..at + NUL.len()].copy_from_slice(b"\\ufffd");
        }
        // An escape has two characters at least, and the second begins none.
        at += 2;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::BufReader;

    use super::*;

    #[tokio::test]
    async fn frames() {
        let done = FromAgent::Done {
            prompts: vec![PromptId(7)],
            outcome: Outcome::Answered { text: "hi".into() },
            session: None,
        };
        let done_line = serde_json::to_string(&done).unwrap() + "\n";
        #[rustfmt::skip]
        let table = [
            ("{\"type\":\"ready\",\"protocol\":1}\n",   Ok(Some(FromAgent::Ready { protocol: 1 }))),
            (done_line.as_str(),                        Ok(Some(done))),
            (r#"{"type":"call","prompt":1,"call":2,"what":{"name":"send_message","text":"a\u0000\\\\u0000"}}"#, Ok(Some(FromAgent::Call {
                prompt: PromptId(1), call: 2, what: HostCall::SendMessage { text: "a\u{FFFD}\\\\u0000".into() },
            }))),
            ("",                                        Ok(None)),
            ("hello\n",                                 Err("not a known frame: `hello`")),
            ("{\"type\":\"format_disk\"}\n",            Err("not a known frame")),
            ("{\"type\":\"ready\",\"protocol\":1,\"x\":2}\n", Err("not a known frame")),
        ];
        for (wire, want) in table {
            let got = FrameReader::new(wire.as_bytes()).next::<FromAgent>().await;
            match want {
                Ok(want) => assert_eq!(got.unwrap(), want, "{wire}"),
                Err(needle) => {
                    let err = got.unwrap_err().to_string();
                    assert!(err.contains(needle), "{wire}: {err}");
                }
            }
        }
    }

    #[tokio::test]
    async fn an_endless_line_is_refused() {
        let (near, mut far) = tokio::io::duplex(64 * 1024);
        let flood = async { while far.write_all(&[b'x'; 4096]).await.is_ok() {} };
        let mut reader = FrameReader::new(BufReader::new(near));
        tokio::select! {
            got = reader.next::<FromAgent>() => assert!(matches!(got, Err(ProtocolError::TooLong))),
            () = flood => panic!("the reader hung up first"),
        }
    }

    #[tokio::test]
    async fn a_read_that_was_dropped_half_way_loses_nothing() {
        let (near, mut far) = tokio::io::duplex(1024);
        let mut reader = FrameReader::new(BufReader::new(near));
        far.write_all(b"{\"type\":\"ready\",").await.unwrap();
        let mut first = tokio_test::task::spawn(reader.next::<FromAgent>());
        assert!(first.poll().is_pending());
        drop(first);
        far.write_all(b"\"protocol\":1}\n").await.unwrap();
        assert_eq!(reader.next().await.unwrap(), Some(FromAgent::Ready { protocol: 1 }));
    }
}
