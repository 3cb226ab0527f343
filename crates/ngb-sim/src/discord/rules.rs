//! What Discord takes, and what it says of what it doesn't.

use serde_json::{Value, json};

/// A refusal: status, code, words, and what is wrong with which field.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) body: Value,
}

pub(super) fn refuse(status: u16, code: i64, message: &str) -> Refusal {
    Refusal { status, body: json!({"code": code, "message": message}) }
}

/// One field of a form is wrong.
pub(super) fn bad_field(field: &str, message: &str) -> Refusal {
    let errors = json!({field: {"_errors": [{"code": "BASE_TYPE_BAD", "message": message}]}});
    Refusal {
        status: 400,
        body: json!({"code": 50035, "message": "Invalid Form Body", "errors": errors}),
    }
}

const MAX_CONTENT_CHARS: usize = 2_000;

/// Checks what a message says.
pub(super) fn check(body: &Value, has_files: bool) -> Result<(), Refusal> {
    let chars = |it: &Value| it.as_str().unwrap_or_default().chars().count();
    if MAX_CONTENT_CHARS < chars(&body["content"]) {
        return Err(bad_field("content", "Must be 2000 or fewer in length."));
    }
    let has_embeds = body["embeds"].as_array().is_some_and(|it| !it.is_empty());
    if chars(&body["content"]) == 0 && !has_files && !has_embeds {
        return Err(refuse(400, 50_006, "Cannot send an empty message"));
    }
    if 25 < chars(&body["nonce"]) {
        return Err(bad_field("nonce", "Must be 25 or fewer in length."));
    }
    let rows = body["components"].as_array().map_or(&[][..], Vec::as_slice);
    let is_button = |it: &Value| {
        it["type"] == 2
            && (1..=80).contains(&chars(&it["label"]))
            && (1..=100).contains(&chars(&it["custom_id"]))
    };
    let is_row = |it: &Value| {
        let buttons = it["components"].as_array().map_or(&[][..], Vec::as_slice);
        it["type"] == 1 && (1..=5).contains(&buttons.len()) && buttons.iter().all(is_button)
    };
    if 5 < rows.len() || !rows.iter().all(is_row) {
        return Err(bad_field("components", "The specified component type is invalid"));
    }
    let mut ids: Vec<&Value> = rows
        .iter()
        .flat_map(|it| it["components"].as_array())
        .flatten()
        .map(|it| &it["custom_id"])
        .collect();
    let count = ids.len();
    ids.sort_by_key(|it| it.to_string());
    ids.dedup();
    if ids.len() < count {
        return Err(bad_field("components", "Component custom id cannot be duplicated"));
    }
    let users = body["allowed_mentions"]["users"].as_array().map_or(0, Vec::len);
    if 100 < users {
        return Err(bad_field("allowed_mentions", "Must be 100 or fewer in length."));
    }
    Ok(())
}
