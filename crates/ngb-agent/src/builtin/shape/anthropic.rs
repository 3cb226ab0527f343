//! The Messages API: <https://docs.anthropic.com/en/api/messages> and its streaming events.

use serde_json::{Value, json};

use super::{Ask, Delta, Entry, Reply, Thought, summary_text};

pub(super) fn body(ask: &Ask<'_>) -> Value {
    let cached = json!({"type": "ephemeral"});
    let mut system = vec![json!({"type": "text", "text": ask.fixed, "cache_control": cached})];
    if !ask.standing.is_empty() {
        system.push(json!({"type": "text", "text": ask.standing}));
    }
    let mut body = json!({
        "model": ask.spec.model, "max_tokens": ask.spec.max_output_tokens, "stream": true,
        "system": system, "messages": messages(ask.entries),
    });
    if !ask.tools.is_empty() {
        let tools = ask.tools.iter().map(|it| {
            json!({"name": it["name"], "description": it["description"], "input_schema": it["parameters"]})
        });
        body["tools"] = tools.collect();
    }
    body
}

fn messages(entries: &[Entry]) -> Vec<Value> {
    let mut res: Vec<Value> = Vec::new();
    let mut results: Vec<Value> = Vec::new();
    for entry in entries {
        if let Entry::Result { call, ok, output, .. } = entry {
            // All results of one answer belong into one message.
            results.push(json!({
                "type": "tool_result", "tool_use_id": call, "is_error": !ok,
                "content": [{"type": "text", "text": if output.is_empty() { "[nothing]" } else { output }}],
            }));
            continue;
        }
        if !results.is_empty() {
            res.push(json!({"role": "user", "content": std::mem::take(&mut results)}));
        }
        match entry {
            Entry::User { text } => res.push(user(text)),
            Entry::Summary { text, facts } => res.push(user(&summary_text(text, facts))),
            Entry::Assistant { text, thoughts, calls } => {
                let mut content = Vec::new();
                // Without its signature a thought is refused.
                for it in thoughts.iter().filter(|it| !it.signature.is_empty()) {
                    content.push(json!({
                        "type": "thinking", "thinking": it.thinking, "signature": it.signature,
                    }));
                }
                if !text.trim().is_empty() {
                    content.push(json!({"type": "text", "text": text}));
                }
                for it in calls {
                    content.push(json!({
                        "type": "tool_use", "id": it.id, "name": it.name, "input": it.input,
                    }));
                }
                if content.is_empty() {
                    content.push(json!({"type": "text", "text": "[nothing said]"}));
                }
                res.push(json!({"role": "assistant", "content": content}));
            }
            Entry::Result { .. } | Entry::Restart { .. } => {}
        }
    }
    if !results.is_empty() {
        res.push(json!({"role": "user", "content": results}));
    }
    res
}

fn user(text: &str) -> Value {
    json!({"role": "user", "content": [{"type": "text", "text": text}]})
}

pub(super) fn take(reply: &mut Reply, data: &Value) -> Option<Delta> {
    let index = || data["index"].as_u64().and_then(|it| usize::try_from(it).ok()).unwrap_or(0);
    match data["type"].as_str()? {
        "message_start" => {
            let usage = &data["message"]["usage"];
            let keys = ["input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"];
            reply.input_tokens = keys.iter().filter_map(|it| usage[*it].as_u64()).sum();
            None
        }
        "content_block_start" => {
            let block = &data["content_block"];
            match block["type"].as_str()? {
                "tool_use" => {
                    let call = reply.call_at(index())?;
                    call.id = block["id"].as_str()?.to_owned();
                    call.name = block["name"].as_str()?.to_owned();
                }
                "thinking" => reply
                    .thoughts
                    .push(Thought { thinking: String::new(), signature: String::new() }),
                _ => {}
            }
            None
        }
        "content_block_delta" => {
            let delta = &data["delta"];
            match delta["type"].as_str()? {
                "text_delta" => reply.add_text(delta["text"].as_str()?),
                "thinking_delta" => reply.add_thinking(delta["thinking"].as_str()?),
                "signature_delta" => {
                    reply.thoughts.last_mut()?.signature += delta["signature"].as_str()?;
                    None
                }
                "input_json_delta" => {
                    reply.call_at(index())?.json += delta["partial_json"].as_str()?;
                    None
                }
                _ => None,
            }
        }
        "message_delta" => {
            let told = data["usage"]["output_tokens"].as_u64();
            reply.output_tokens = told.unwrap_or(reply.output_tokens);
            None
        }
        "message_stop" => {
            reply.ended = true;
            None
        }
        _ => None,
    }
}
