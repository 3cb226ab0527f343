//! Chat completions: <https://platform.openai.com/docs/api-reference/chat>, which many other servers speak too.

use serde_json::{Value, json};

use super::{Ask, Delta, Entry, Reply, summary_text};

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
                    let calls = calls.iter().map(|it| {
                        json!({"id": it.id, "type": "function",
                               "function": {"name": it.name, "arguments": it.input.to_string()}})
                    });
                    message["tool_calls"] = calls.collect();
                }
                messages.push(message);
            }
            Entry::Result { call, output, .. } => {
                messages.push(json!({"role": "tool", "tool_call_id": call, "content": output}));
            }
            Entry::Restart { .. } => {}
        }
    }
    let mut body = json!({
        "model": ask.spec.model, "max_completion_tokens": ask.spec.max_output_tokens,
        "stream": true, "stream_options": {"include_usage": true}, "messages": messages,
    });
    if !ask.tools.is_empty() {
        body["tools"] = functions(ask.tools);
    }
    body
}

/// Tools as functions, which is also how Ollama wants them.
pub(super) fn functions(tools: &[Value]) -> Value {
    tools.iter().map(|it| json!({"type": "function", "function": it})).collect()
}

pub(super) fn take(reply: &mut Reply, data: &Value) -> Option<Delta> {
    if let Some(usage) = data.get("usage").filter(|it| it.is_object()) {
        reply.input_tokens = usage["prompt_tokens"].as_u64().unwrap_or(0);
        reply.output_tokens = usage["completion_tokens"].as_u64().unwrap_or(0);
    }
    let choice = data["choices"].get(0)?;
    if choice["finish_reason"].is_string() {
        reply.ended = true;
    }
    let delta = &choice["delta"];
    for call in delta["tool_calls"].as_array().into_iter().flatten() {
        let index = call["index"].as_u64().and_then(|it| usize::try_from(it).ok()).unwrap_or(0);
        let partial = reply.call_at(index)?;
        if let Some(id) = call["id"].as_str() {
            partial.id = id.to_owned();
        }
        if let Some(name) = call["function"]["name"].as_str() {
            partial.name += name;
        }
        if let Some(json) = call["function"]["arguments"].as_str() {
            partial.json += json;
        }
    }
    if let Some(thinking) = delta["reasoning_content"].as_str().or(delta["reasoning"].as_str())
        && !thinking.is_empty()
    {
        return reply.add_thinking(thinking);
    }
    reply.add_text(delta["content"].as_str()?)
}
