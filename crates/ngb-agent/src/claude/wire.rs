//! The command line's stream-json: what of it is read, and what is said.
//!
//! Not in its manual, so taken from the command line itself (2.1.330), its `--help`, and what it says on its streams.
//! It is another program's protocol and grows with each release: what is not known here is passed over.

use serde::Deserialize;
use serde_json::{Value, json};

/// One line that the command line says.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum FromCli {
    System(System),
    /// A piece of a reply, in the words of the Messages API.
    StreamEvent {
        event: Value,
        parent_tool_use_id: Option<String>,
    },
    /// A block of a reply, whole.
    Assistant {
        message: Message,
        uuid: String,
        parent_tool_use_id: Option<String>,
    },
    /// Results of tools; or what was said to it, when it takes that up (`--replay-user-messages`).
    User {
        message: Message,
        uuid: Option<String>,
    },
    Result(Box<TurnResult>),
    ControlRequest {
        request_id: String,
        request: Request,
    },
    ControlResponse {
        response: Value,
    },
    #[serde(other)]
    Other,
}

#[derive(Debug, Deserialize)]
pub(super) struct System {
    pub(super) subtype: String,
    /// Of `session_state_changed`: `running`, `requires_action`, `idle`. The last comes when sub-agents are done as well.
    pub(super) state: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Message {
    #[serde(default)]
    content: Value,
}

impl Message {
    /// Its blocks; a message of plain text has none.
    pub(super) fn blocks(&self) -> &[Value] {
        self.content.as_array().map_or(&[], Vec::as_slice)
    }
}

/// The end of one turn. A prompt may have several: a sub-agent that ends later makes another one.
#[derive(Debug, Deserialize)]
pub(super) struct TurnResult {
    pub(super) session_id: String,
    pub(super) is_error: bool,
    #[serde(default)]
    pub(super) result: Option<String>,
    #[serde(default)]
    pub(super) errors: Vec<Value>,
    pub(super) api_error_status: Option<u16>,
    #[serde(default)]
    pub(super) usage: Usage,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Usage {
    input_tokens: u64,
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
    pub(super) output_tokens: u64,
}

impl Usage {
    pub(super) fn all_input_tokens(&self) -> u64 {
        self.input_tokens + self.cache_creation_input_tokens + self.cache_read_input_tokens
    }
}

/// What the command line asks, and waits for.
#[derive(Debug, Deserialize)]
#[serde(tag = "subtype", rename_all = "snake_case")]
pub(super) enum Request {
    /// A rule says that a person decides.
    CanUseTool {
        tool_name: String,
        input: Value,
    },
    HookCallback {
        callback_id: String,
        input: Value,
    },
    #[serde(other)]
    Other,
}

/// The names under which our hooks are called back.
pub(super) const BEFORE_TOOL: &str = "before-tool";
pub(super) const BEFORE_COMPACTION: &str = "before-compaction";

/// The first thing that is said.
pub(super) fn initialize(request_id: &str) -> Value {
    let hook = |id: &str| json!([{ "matcher": null, "hookCallbackIds": [id] }]);
    let hooks = json!({ "PreToolUse": hook(BEFORE_TOOL), "PreCompact": hook(BEFORE_COMPACTION) });
    control(request_id, &json!({ "subtype": "initialize", "hooks": hooks }))
}

pub(super) fn interrupt(request_id: &str) -> Value {
    control(request_id, &json!({ "subtype": "interrupt" }))
}

fn control(request_id: &str, request: &Value) -> Value {
    json!({ "type": "control_request", "request_id": request_id, "request": request })
}

pub(super) fn answer(request_id: &str, response: &Value) -> Value {
    let response = json!({ "subtype": "success", "request_id": request_id, "response": response });
    json!({ "type": "control_response", "response": response })
}

pub(super) fn cannot(request_id: &str) -> Value {
    let error = "this host doesn't know such a request";
    let response = json!({ "subtype": "error", "request_id": request_id, "error": error });
    json!({ "type": "control_response", "response": response })
}

/// What a person wrote. The command line names it by `uuid` when it takes it up.
pub(super) fn user(uuid: &str, text: &str) -> Value {
    let message = json!({ "role": "user", "content": text });
    json!({ "type": "user", "uuid": uuid, "message": message, "parent_tool_use_id": null, "session_id": "" })
}

/// Whether a tool may go on.
pub(super) fn hook_verdict(verdict: &Result<(), String>) -> Value {
    match verdict {
        Ok(()) => json!({}),
        Err(reason) => json!({ "hookSpecificOutput": {
            "hookEventName": "PreToolUse", "permissionDecision": "deny", "permissionDecisionReason": reason,
        } }),
    }
}

/// What people said about a tool's use.
pub(super) fn permission(verdict: &Result<(), String>, input: &Value) -> Value {
    match verdict {
        Ok(()) => json!({ "behavior": "allow", "updatedInput": input }),
        Err(message) => json!({ "behavior": "deny", "message": message }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_passed_over() {
        for line in [
            r#"{"type":"rate_limit_event","x":1}"#,
            r#"{"type":"control_request","request_id":"1","request":{"subtype":"new"}}"#,
            r#"{"type":"system","subtype":"init","tools":[]}"#,
        ] {
            serde_json::from_str::<FromCli>(line).unwrap();
        }
    }
}
