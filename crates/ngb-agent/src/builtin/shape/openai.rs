//! Chat completions: <https://platform.openai.com/docs/api-reference/chat>, which many other servers speak too.

use serde_json::{Value, json};

use super::{
    Ask, Delta, Reply,
    chat::{self, Dialect},
};

const DIALECT: Dialect = Dialect {
    call: |it| {
        json!({"id": it.id, "type": "function",
               "function": {"name": it.name, "arguments": it.input.to_string()}})
    },
    result: |call, _, output| json!({"role": "tool", "tool_call_id": call, "content": output}),
};

pub(super) fn body(ask: &Ask<'_>) -> Value {
    let mut body = json!({
        "model": ask.spec.model, "max_completion_tokens": ask.spec.max_output_tokens,
        "stream": true, "stream_options": {"include_usage": true},
        "messages": chat::messages(ask, &DIALECT),
    });
    if !ask.tools.is_empty() {
        body["tools"] = chat::functions(ask.tools);
    }
    body
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
