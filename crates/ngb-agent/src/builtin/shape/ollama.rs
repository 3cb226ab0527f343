//! Ollama's own chat: <https://github.com/ollama/ollama/blob/main/docs/api.md>. Unlike its OpenAI dress it takes
//! `num_ctx`, without which a prompt is cut silently at a few thousand tokens.

use serde_json::{Value, json};

use super::{Ask, Delta, Entry, Reply, openai::functions, summary_text};

pub(super) fn body(ask: &Ask<'_>) -> Value {
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
                    let calls = calls
                        .iter()
                        .map(|it| json!({"function": {"name": it.name, "arguments": it.input}}));
                    message["tool_calls"] = calls.collect();
                }
                messages.push(message);
            }
            Entry::Result { tool, output, .. } => {
                messages.push(json!({"role": "tool", "tool_name": tool, "content": output}));
            }
            Entry::Restart { .. } => {}
        }
    }
    let mut body = json!({
        "model": ask.spec.model, "stream": true, "messages": messages,
        "options": {"num_ctx": ask.spec.window_tokens, "num_predict": ask.spec.max_output_tokens},
    });
    if !ask.tools.is_empty() {
        body["tools"] = functions(ask.tools);
    }
    body
}

pub(super) fn take(reply: &mut Reply, data: &Value) -> Option<Delta> {
    if data["done"] == true {
        reply.ended = true;
        reply.input_tokens = data["prompt_eval_count"].as_u64().unwrap_or(0);
        reply.output_tokens = data["eval_count"].as_u64().unwrap_or(0);
    }
    let message = &data["message"];
    for call in message["tool_calls"].as_array().into_iter().flatten() {
        let index = reply.calls.len();
        let partial = reply.call_at(index)?;
        partial.name = call["function"]["name"].as_str()?.to_owned();
        partial.json = call["function"]["arguments"].to_string();
    }
    if let Some(thinking) = message["thinking"].as_str()
        && !thinking.is_empty()
    {
        return reply.add_thinking(thinking);
    }
    reply.add_text(message["content"].as_str()?)
}
