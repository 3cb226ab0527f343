//! What the two chat shapes, OpenAI's and Ollama's, have in common.

use serde_json::{Value, json};

use super::{Ask, Entry, ToolUse, summary_text};

/// How a shape writes what both have, but not alike.
pub(super) struct Dialect {
    pub(super) call: fn(&ToolUse) -> Value,
    /// The result of a call, by its id, the tool and the output.
    pub(super) result: fn(&str, &str, &str) -> Value,
}

/// The conversation as messages, with the system prompt at its head.
pub(super) fn messages(ask: &Ask<'_>, dialect: &Dialect) -> Vec<Value> {
    let mut messages = vec![json!({"role": "system", "content": ask.system()})];
    for entry in ask.entries {
        match entry {
            Entry::User { text } => messages.push(json!({"role": "user", "content": text})),
            Entry::Summary { text, facts } => {
                messages.push(json!({"role": "user", "content": summary_text(text, facts)}));
            }
            Entry::Assistant { text, calls, .. } => {
                let mut message = json!({"role": "assistant", "content": text});
                if !calls.is_empty() {
                    message["tool_calls"] = calls.iter().map(dialect.call).collect();
                }
                messages.push(message);
            }
            Entry::Result { call, tool, output, .. } => {
                messages.push((dialect.result)(call, tool, output));
            }
            Entry::Restart { .. } => {}
        }
    }
    messages
}

/// Tools as functions.
pub(super) fn functions(tools: &[Value]) -> Value {
    tools.iter().map(|it| json!({"type": "function", "function": it})).collect()
}
