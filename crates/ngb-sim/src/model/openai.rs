//! The chat completions shape: <https://platform.openai.com/docs/api-reference/chat>.

use serde_json::{Value, json};

use super::{Answer, Asked, Cost, Item, Piece, pieces};

pub(super) fn parse(body: &Value) -> Asked {
    let mut asked = Asked {
        model: body["model"].as_str().unwrap_or_default().to_owned(),
        stream: body["stream"].as_bool().unwrap_or(false),
        has_tools: body["tools"].as_array().is_some_and(|it| !it.is_empty()),
        ..Asked::default()
    };
    for message in body["messages"].as_array().into_iter().flatten() {
        let text = message["content"].as_str().unwrap_or_default().to_owned();
        match message["role"].as_str() {
            Some("system" | "developer") => asked.system += &text,
            Some("assistant") => {
                let uses = message["tool_calls"].as_array().into_iter().flatten();
                let calls =
                    uses.map(|it| it["id"].as_str().unwrap_or_default().to_owned()).collect();
                asked.items.push(Item::Assistant { text, calls });
            }
            Some("tool") => {
                let call = message["tool_call_id"].as_str().unwrap_or_default().to_owned();
                asked.items.push(Item::Result { call, text });
            }
            _ => asked.items.push(Item::User(text)),
        }
    }
    asked
}

fn finish_reason(answer: &Answer) -> &'static str {
    if answer.calls.is_empty() { "stop" } else { "tool_calls" }
}

fn usage(cost: Cost) -> Value {
    let prompt = cost.input + cost.cache_read + cost.cache_write;
    json!({
        "prompt_tokens": prompt, "completion_tokens": cost.output, "total_tokens": prompt + cost.output,
        "prompt_tokens_details": {"cached_tokens": cost.cache_read},
    })
}

pub(super) fn whole(asked: &Asked, answer: &Answer, cost: Cost) -> Value {
    let mut message = json!({"role": "assistant", "content": answer.text});
    if !answer.calls.is_empty() {
        let calls = answer.calls.iter().map(|it| {
            json!({"id": it.id, "type": "function",
                   "function": {"name": it.name, "arguments": it.input.to_string()}})
        });
        message["tool_calls"] = calls.collect();
    }
    json!({
        "id": "chatcmpl-sim", "object": "chat.completion", "created": 0, "model": asked.model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason(answer)}],
        "usage": usage(cost),
    })
}

pub(super) fn stream(
    asked: &Asked,
    answer: &Answer,
    cost: Cost,
    size: usize,
    with_usage: bool,
) -> Vec<Piece> {
    let event = |choices: Value, usage: Value| {
        let data = json!({
            "id": "chatcmpl-sim", "object": "chat.completion.chunk", "created": 0, "model": asked.model,
            "choices": choices, "usage": usage,
        });
        format!("data: {data}\n\n")
    };
    let delta = |delta: Value| {
        event(json!([{"index": 0, "delta": delta, "finish_reason": null}]), Value::Null)
    };
    let mut res = vec![Piece::bare(delta(json!({"role": "assistant", "content": ""})))];
    for it in pieces(&answer.thinking, size) {
        let bytes = it.len();
        res.push(Piece { wire: delta(json!({"reasoning_content": it})), bytes });
    }
    for it in pieces(&answer.text, size) {
        let bytes = it.len();
        res.push(Piece { wire: delta(json!({"content": it})), bytes });
    }
    for (index, call) in answer.calls.iter().enumerate() {
        let open = json!({"index": index, "id": call.id, "type": "function",
                          "function": {"name": call.name, "arguments": ""}});
        res.push(Piece::bare(delta(json!({"tool_calls": [open]}))));
        for it in pieces(&call.input.to_string(), size) {
            let bytes = it.len();
            let more = json!({"index": index, "function": {"arguments": it}});
            res.push(Piece { wire: delta(json!({"tool_calls": [more]})), bytes });
        }
    }
    let last = json!([{"index": 0, "delta": {}, "finish_reason": finish_reason(answer)}]);
    res.push(Piece::bare(event(last, Value::Null)));
    if with_usage {
        res.push(Piece::bare(event(json!([]), usage(cost))));
    }
    res.push(Piece::bare("data: [DONE]\n\n".to_owned()));
    res
}

pub(super) fn error(status: u16, message: &str) -> Value {
    let (kind, code) = match status {
        401 => ("invalid_request_error", "invalid_api_key"),
        404 => ("invalid_request_error", "model_not_found"),
        429 => ("requests", "rate_limit_exceeded"),
        400 if message.contains("too long") => ("invalid_request_error", "context_length_exceeded"),
        400 => ("invalid_request_error", "invalid_value"),
        _ => ("server_error", "server_error"),
    };
    json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
}
