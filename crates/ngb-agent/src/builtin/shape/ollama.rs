//! Ollama's own chat: <https://github.com/ollama/ollama/blob/main/docs/api.md>. Unlike its OpenAI dress it takes
//! `num_ctx`, without which a prompt is cut silently at a few thousand tokens.

use serde_json::{Value, json};

use super::{
    Ask, Delta, Reply,
    chat::{self, Dialect},
};

const DIALECT: Dialect = Dialect {
    call: |it| json!({"function": {"name": it.name, "arguments": it.input}}),
    result: |_, tool, output| json!({"role": "tool", "tool_name": tool, "content": output}),
};

pub(super) fn body(ask: &Ask<'_>) -> Value {
    let mut body = json!({
        "model": ask.spec.model, "stream": true, "messages": chat::messages(ask, &DIALECT),
        "options": {"num_ctx": ask.spec.window_tokens, "num_predict": ask.spec.max_output_tokens},
    });
    if !ask.tools.is_empty() {
        body["tools"] = chat::functions(ask.tools);
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
