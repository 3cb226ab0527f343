//! Asking the people in the chat whether an agent that others wrote may do something.

use ngb_core::{frame::HostCall, message::Button, text::shorten};
use serde_json::Value;

use crate::turn::Turn;

/// Characters of what an agent wants to do that a question shows: enough to judge a command.
const MAX_SHOWN_CHARS: usize = 1_200;

const YES: &str = "allow";
const NO: &str = "deny";

/// Asks, and waits for the answer; silence is a no.
///
/// # Errors
///
/// Why it may not be done, for the agent.
pub(crate) async fn ask(turn: &Turn, tool: &str, input: &Value) -> Result<(), String> {
    let button =
        |label: &str, value: &str| Button { label: label.to_owned(), value: value.to_owned() };
    let question = format!("May I use `{tool}`?\n\n```text\n{}\n```", shown(input));
    let options = vec![button("Allow", YES), button("Deny", NO)];
    match turn.call(HostCall::Ask { question, options, least: None }).await {
        Ok(Value::String(answer)) if answer == YES => Ok(()),
        Ok(_) => Err("a person in the chat said no".to_owned()),
        Err(refused) => Err(format!("nobody allowed it: {refused}")),
    }
}

/// The argument that says most, else all of them.
fn shown(input: &Value) -> String {
    const TELLING: &[&str] = &["command", "file_path", "path", "url"];
    let told = TELLING.iter().find_map(|key| input.get(*key)?.as_str());
    let text = told.map_or_else(|| input.to_string(), str::to_owned);
    // A fence inside would end ours.
    shorten(&text.replace("```", "'''"), MAX_SHOWN_CHARS)
}
