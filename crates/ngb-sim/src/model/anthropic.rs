//! The Messages shape: <https://docs.anthropic.com/en/api/messages>.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use super::{Answer, Asked, Cost, Item, Piece, pieces};

/// An id that no other answer has: clients put together what has the same one.
fn next_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("msg_sim_{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(super) fn parse(body: &Value) -> Asked {
    let mut asked = Asked {
        model: body["model"].as_str().unwrap_or_default().to_owned(),
        stream: body["stream"].as_bool().unwrap_or(false),
        system: text_of(&body["system"]),
        has_tools: body["tools"].as_array().is_some_and(|it| !it.is_empty()),
        ..Asked::default()
    };
    let prefix = format!("{}{}", body["tools"], body["system"]);
    asked.cacheable = prefix.contains("cache_control").then_some(prefix);
    for message in body["messages"].as_array().into_iter().flatten() {
        let content = &message["content"];
        let blocks: &[Value] = content.as_array().map_or(&[], Vec::as_slice);
        // Said by the program that asks, in the midst of the conversation (beta).
        if message["role"] == "system" {
            asked.system.push('\n');
            asked.system += &text_of(content);
            continue;
        }
        if message["role"] == "assistant" {
            let uses = blocks.iter().filter(|it| it["type"] == "tool_use");
            let calls = uses.map(|it| it["id"].as_str().unwrap_or_default().to_owned()).collect();
            asked.items.push(Item::Assistant { text: text_of(content), calls });
            continue;
        }
        for block in blocks.iter().filter(|it| it["type"] == "tool_result") {
            let call = block["tool_use_id"].as_str().unwrap_or_default().to_owned();
            asked.items.push(Item::Result { call, text: text_of(&block["content"]) });
        }
        let text = text_of(content);
        if !text.is_empty() {
            asked.items.push(Item::User(text));
        }
    }
    asked
}

/// A string, or the texts of a list of blocks.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(it) => it.clone(),
        Value::Array(blocks) => {
            let texts = blocks.iter().filter_map(|it| it["text"].as_str());
            texts.collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}

pub(super) fn whole(asked: &Asked, answer: &Answer, cost: Cost) -> Value {
    let mut content = Vec::new();
    if !answer.thinking.is_empty() {
        content.push(json!({"type": "thinking", "thinking": answer.thinking, "signature": "sim"}));
    }
    if !answer.text.is_empty() {
        content.push(json!({"type": "text", "text": answer.text}));
    }
    for it in &answer.calls {
        content.push(json!({"type": "tool_use", "id": it.id, "name": it.name, "input": it.input}));
    }
    json!({
        "id": next_id(), "type": "message", "role": "assistant", "model": asked.model, "content": content,
        "stop_reason": stop_reason(answer), "usage": usage(cost, cost.output),
    })
}

fn stop_reason(answer: &Answer) -> &'static str {
    if answer.calls.is_empty() { "end_turn" } else { "tool_use" }
}

fn usage(cost: Cost, output: u64) -> Value {
    json!({
        "input_tokens": cost.input, "output_tokens": output,
        "cache_read_input_tokens": cost.cache_read, "cache_creation_input_tokens": cost.cache_write,
    })
}

pub(super) fn stream(asked: &Asked, answer: &Answer, cost: Cost, size: usize) -> Vec<Piece> {
    let event = |data: Value| {
        format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap_or_default())
    };
    let start = json!({"type": "message_start", "message": {
        "id": next_id(), "type": "message", "role": "assistant", "model": asked.model, "content": [],
        "stop_reason": null, "usage": usage(cost, 1),
    }});
    let mut res = vec![Piece::bare(event(start)), Piece::bare(event(json!({"type": "ping"})))];
    let mut index = 0;
    let mut block = |open: Value, deltas: Vec<(Value, usize)>| {
        let start = json!({"type": "content_block_start", "index": index, "content_block": open});
        res.push(Piece::bare(event(start)));
        for (delta, bytes) in deltas {
            let delta = json!({"type": "content_block_delta", "index": index, "delta": delta});
            res.push(Piece { wire: event(delta), bytes });
        }
        res.push(Piece::bare(event(json!({"type": "content_block_stop", "index": index}))));
        index += 1;
    };
    let parts = |text: &str, kind: &str, key: &str| -> Vec<(Value, usize)> {
        pieces(text, size)
            .into_iter()
            .map(|it| (json!({"type": kind, key: it}), it.len()))
            .collect()
    };
    if !answer.thinking.is_empty() {
        let mut deltas = parts(&answer.thinking, "thinking_delta", "thinking");
        deltas.push((json!({"type": "signature_delta", "signature": "sim"}), 0));
        block(json!({"type": "thinking", "thinking": "", "signature": ""}), deltas);
    }
    if !answer.text.is_empty() {
        block(json!({"type": "text", "text": ""}), parts(&answer.text, "text_delta", "text"));
    }
    for it in &answer.calls {
        let open = json!({"type": "tool_use", "id": it.id, "name": it.name, "input": {}});
        block(open, parts(&it.input.to_string(), "input_json_delta", "partial_json"));
    }
    let end = json!({
        "type": "message_delta", "delta": {"stop_reason": stop_reason(answer), "stop_sequence": null},
        "usage": {"output_tokens": cost.output},
    });
    res.push(Piece::bare(event(end)));
    res.push(Piece::bare(event(json!({"type": "message_stop"}))));
    res
}

pub(super) fn error(status: u16, message: &str) -> Value {
    let kind = match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        400 => "invalid_request_error",
        _ => "api_error",
    };
    json!({"type": "error", "error": {"type": kind, "message": message}})
}
