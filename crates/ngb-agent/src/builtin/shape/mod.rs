//! What each provider's API looks like: a request made of a conversation, and a reply made of a stream.

use bytes::Bytes;
use ngb_core::frame::{ModelSpec, ProviderKind};
use serde_json::{Value, json};

use super::entry::{Entry, Thought, ToolUse};

mod anthropic;
mod chat;
mod ollama;
mod openai;

/// What is asked of a model.
pub(crate) struct Ask<'a> {
    pub(crate) spec: &'a ModelSpec,
    pub(crate) fixed: &'a str,
    pub(crate) standing: &'a str,
    pub(crate) entries: &'a [Entry],
    /// As [`crate::tools::DECLARED`]; empty for none.
    pub(crate) tools: &'a [Value],
}

/// A request as it goes out.
pub(crate) struct Request {
    pub(crate) kind: ProviderKind,
    pub(crate) path: String,
    pub(crate) body: Bytes,
}

impl Ask<'_> {
    pub(crate) fn request(&self) -> Request {
        let (path, body) = match self.spec.kind {
            ProviderKind::Anthropic => ("v1/messages", anthropic::body(self)),
            ProviderKind::OpenAi => ("chat/completions", openai::body(self)),
            ProviderKind::Ollama => ("api/chat", ollama::body(self)),
        };
        let path = format!("/model/{}/{path}", self.spec.provider);
        Request { kind: self.spec.kind, path, body: body.to_string().into() }
    }

    /// The system prompt in one text.
    fn system(&self) -> String {
        format!("{}\n\n{}", self.fixed, self.standing).trim().to_owned()
    }
}

/// The text that a summary stands for in a request.
fn summary_text(text: &str, facts: &[String]) -> String {
    let facts = facts.join("\n");
    format!("[What was said before, shortened by you]\n{text}\n[Facts, word for word]\n{facts}")
}

/// A reply of a model, as far as it came.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    pub(crate) text: String,
    pub(crate) thoughts: Vec<Thought>,
    calls: Vec<PartialCall>,
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
    /// Whether the provider said that this is all.
    pub(crate) ended: bool,
    /// The provider's error in the middle of the stream.
    pub(crate) error: Option<String>,
}

#[derive(Debug, Default)]
struct PartialCall {
    id: String,
    name: String,
    json: String,
}

/// More of a reply, to be shown.
#[derive(Debug, PartialEq)]
pub(crate) enum Delta {
    Text(String),
    Thinking(String),
}

impl Reply {
    /// Takes one line of the stream; returns what is to be shown of it.
    pub(crate) fn take(&mut self, kind: ProviderKind, line: &[u8]) -> Option<Delta> {
        let data = match kind {
            ProviderKind::Ollama => line,
            ProviderKind::Anthropic | ProviderKind::OpenAi => line.strip_prefix(b"data:")?,
        };
        let data = data.trim_ascii();
        if data == b"[DONE]" {
            self.ended = true;
            return None;
        }
        let data: Value = serde_json::from_slice(data).ok()?;
        if let Some(error) = data.get("error").filter(|it| !it.is_null()) {
            let text = error["message"].as_str().or(error.as_str());
            self.error = Some(text.unwrap_or("the provider reported an error").to_owned());
            return None;
        }
        match kind {
            ProviderKind::Anthropic => anthropic::take(self, &data),
            ProviderKind::OpenAi => openai::take(self, &data),
            ProviderKind::Ollama => ollama::take(self, &data),
        }
    }

    fn add_text(&mut self, delta: &str) -> Option<Delta> {
        self.text += delta;
        (!delta.is_empty()).then(|| Delta::Text(delta.to_owned()))
    }

    fn add_thinking(&mut self, delta: &str) -> Option<Delta> {
        if delta.is_empty() {
            return None;
        }
        if self.thoughts.is_empty() {
            self.thoughts.push(Thought { thinking: String::new(), signature: String::new() });
        }
        if let Some(last) = self.thoughts.last_mut() {
            last.thinking += delta;
        }
        Some(Delta::Thinking(delta.to_owned()))
    }

    fn call_at(&mut self, index: usize) -> Option<&mut PartialCall> {
        /// More calls in one reply are nonsense, or an attack on the memory.
        const MAX_CALLS: usize = 128;
        if MAX_CALLS <= index {
            return None;
        }
        if self.calls.len() <= index {
            self.calls.resize_with(index + 1, PartialCall::default);
        }
        self.calls.get_mut(index)
    }

    /// The tools that the model calls. Arguments that are no JSON object become an empty one, which the tool refuses.
    pub(crate) fn calls(&self) -> Vec<ToolUse> {
        let named = self.calls.iter().filter(|it| !it.name.is_empty());
        named
            .map(|it| {
                let input = serde_json::from_str::<Value>(&it.json).ok().filter(Value::is_object);
                let input = input.unwrap_or_else(|| json!({}));
                ToolUse { id: it.id.clone(), name: it.name.clone(), input }
            })
            .collect()
    }
}
