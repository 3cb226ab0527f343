//! Recordings: what is expected is held against what is said, and what can't be read says where.

use ngb_plugins::wasm::{RehearsalError, Step, rehearse};

use crate::{
    Bench, TEXT, TEXT_BYTES,
    guests::{self, ANSWER, component, on_message, verdict},
};

async fn play(recording: &str) -> Result<Vec<Step>, RehearsalError> {
    let bench = Bench::new();
    let manifest = guests::manifest("'message-received'", "");
    let bytes = component(&manifest, "", &on_message(&verdict(ANSWER, TEXT, TEXT_BYTES)));
    let program = bench.program(&manifest, &bytes, manifest.capabilities.clone()).unwrap();
    rehearse(program, &serde_json::Map::new(), recording).await
}

#[tokio::test]
async fn what_is_expected_is_held_against_what_is_said() {
    let recording = r#"
// A comment, and an empty line above.
{"message_received": {"chat": "web@a:b", "text": "hi"}, "expect": {"answer": "hi"}}
{"message_received": {"chat": "web@a:b", "text": "hi"}, "expect": "pass"}
{"message_received": {"chat": "web@a:b", "text": "hi"}}
{"reload": {}, "expect": "pass"}
{"tick": {}, "expect": {"error": "it does not export `tick`"}}
"#;
    let steps = play(recording).await.unwrap();
    let right: Vec<(usize, bool)> = steps.iter().map(|it| (it.line, it.is_right)).collect();
    assert_eq!(right, [(3, true), (4, false), (5, true), (6, true), (7, true)]);
}

#[tokio::test]
async fn a_line_that_can_not_be_read_says_where() {
    for (recording, want) in [
        ("\n{\"message_received\"", "line 2"),
        ("{\"message_recieved\": {}}", "line 1"),
        ("{\"message_received\": {\"chat\": \"a\"}}", "missing field `text`"),
        ("", "no events"),
    ] {
        let said = play(recording).await.unwrap_err().to_string();
        assert!(said.contains(want), "{recording}: {said}");
    }
}
