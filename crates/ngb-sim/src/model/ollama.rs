//! The native chat shape of Ollama: <https://github.com/ollama/ollama/blob/main/docs/api.md>.

use serde_json::{Value, json};

use super::{Answer, Asked, Cost, Item, Piece, pieces};

pub(super) fn parse(body: &Value) -> Asked {
    let mut asked = Asked {
        model: body["model"].as_str().unwrap_or_default().to_owned(),
        stream: body["stream"].as_bool().unwrap_or(true),
        has_tools: body["tools"].as_array().is_some_and(|it| !it.is_empty()),
        ..Asked::default()
    };
    // This shape has no ids: results come in the order of the calls.
    let mut made = 0;
    let mut answered = 0;
    for message in body["messages"].as_array().into_iter().flatten() {
        let text = message["content"].as_str().unwrap_or_default().to_owned();
        match message["role"].as_str() {
            Some("system") => asked.system += &text,
            Some("assistant") => {
                let count = message["tool_calls"].as_array().map_or(0, Vec::len);
                let calls = (made..made + count).map(|it| it.to_string()).collect();
                made += count;
                asked.items.push(Item::Assistant { text, calls });
            }
            Some("tool") => {
                asked.items.push(Item::Result { call: answered.to_string(), text });
                answered += 1;
            }
            _ => asked.items.push(Item::User(text)),
        }
    }
    asked
}

fn calls(answer: &Answer) -> Value {
    let calls =
        answer.calls.iter().map(|it| json!({"function": {"name": it.name, "arguments": it.input}}));
    calls.collect()
}

fn counts(cost: Cost) -> Value {
    json!({
        "done": true, "done_reason": "stop", "total_duration": 1, "load_duration": 1,
        "prompt_eval_count": cost.input + cost.cache_read + cost.cache_write, "eval_count": cost.output,
    })
}

fn merged(mut head: Value, tail: Value) -> Value {
    if let (Value::Object(head), Value::Object(tail)) = (&mut head, tail) {
        head.extend(tail);
    }
    head
}

pub(super) fn whole(asked: &Asked, answer: &Answer, cost: Cost) -> Value {
    let message = json!({"role": "assistant", "content": answer.text, "thinking": answer.thinking,
                         "tool_calls": calls(answer)});
    let head =
        json!({"model": asked.model, "created_at": "2026-01-01T00:00:00Z", "message": message});
    merged(head, counts(cost))
}

pub(super) fn stream(asked: &Asked, answer: &Answer, cost: Cost, size: usize) -> Vec<Piece> {
    let line = |message: Value, tail: Value| {
        let head =
            json!({"model": asked.model, "created_at": "2026-01-01T00:00:00Z", "message": message});
        merged(head, tail).to_string() + "\n"
    };
    let open = || json!({"done": false});
    let mut res = Vec::new();
    for it in pieces(&answer.thinking, size) {
        let bytes = it.len();
        let message = json!({"role": "assistant", "content": "", "thinking": it});
        res.push(Piece { wire: line(message, open()), bytes });
    }
    for it in pieces(&answer.text, size) {
        let bytes = it.len();
        res.push(Piece { wire: line(json!({"role": "assistant", "content": it}), open()), bytes });
    }
    if !answer.calls.is_empty() {
        let bytes = answer.calls.iter().map(|it| it.input.to_string().len()).sum();
        let message = json!({"role": "assistant", "content": "", "tool_calls": calls(answer)});
        res.push(Piece { wire: line(message, open()), bytes });
    }
    res.push(Piece::bare(line(json!({"role": "assistant", "content": ""}), counts(cost))));
    res
}

pub(super) fn error(message: &str) -> Value {
    json!({"error": message})
}
