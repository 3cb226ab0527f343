//! Asking the people in the chat whether a tool may be used.

use ngb_core::{
    frame::{ALLOW, HostCall},
    text::shorten,
};
use serde_json::Value;

use crate::turn::Turn;

/// Characters of what an agent wants to do that a question shows: enough to judge a command.
const MAX_SHOWN_CHARS: usize = 1_200;

/// Asks, and waits for the answer; silence is a no.
///
/// # Errors
///
/// Why it may not be done, for the agent.
pub(crate) async fn ask(turn: &Turn, tool: &str, input: &Value) -> Result<(), String> {
    let what = HostCall::Approve { tool: tool.to_owned(), shown: shown(input) };
    match turn.call(what).await {
        Ok(Value::String(answer)) if answer == ALLOW => Ok(()),
        Ok(_) => Err("a person in the chat said no".to_owned()),
        Err(refused) => Err(format!("nobody allowed it: {refused}")),
    }
}

/// The argument that says most, then the others: nothing is allowed unseen.
fn shown(input: &Value) -> String {
    const TELLING: &[&str] = &["command", "file_path", "path", "url"];
    let mut others = input.clone();
    let told = TELLING.iter().find_map(|key| others.as_object_mut()?.remove(*key));
    let text = match told {
        Some(Value::String(told)) if others.as_object().is_some_and(|it| it.is_empty()) => told,
        Some(Value::String(told)) => format!("{told}\n{others}"),
        _ => input.to_string(),
    };
    shorten(&text, MAX_SHOWN_CHARS)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_arguments_are_shown() {
        #[rustfmt::skip]
        let table = [
            (json!({ "command": "ls" }),               "ls"),
            (json!({ "path": "a", "content": "b" }),   "a\n{\"content\":\"b\"}"),
            (json!({ "x": 1 }),                        "{\"x\":1}"),
            (json!({ "path": ["a"] }),                 "{\"path\":[\"a\"]}"),
        ];
        for (input, want) in table {
            assert_eq!(shown(&input), want);
        }
    }
}
