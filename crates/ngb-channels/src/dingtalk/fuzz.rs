//! Any message is read or kept, and any text is shown.

use ngb_core::{clock::Timestamp, message::Happening};
use serde_json::{Value, json};

use super::{markup, wire};

#[test]
fn any_message_is_read() {
    let account = "dingtalk@main".parse().unwrap();
    crate::fuzz::run("dingtalk", |input| {
        let text = String::from_utf8_lossy(input);
        assert!(wire::read(&text, "f", &account).is_some(), "what can't be read is kept");
        markup::render(&text);
    });
}

#[test]
fn any_press_is_read() {
    let account = "dingtalk@main".parse().unwrap();
    crate::fuzz::run("dingtalk-press", |input| {
        let text = String::from_utf8_lossy(input);
        let read = |text: &str| wire::read_press(text, "f", &account, Timestamp(7));
        assert!(read(&text).is_some(), "what can't be read is kept");
        // Its content is JSON in a text, which a change of the whole hardly gets into.
        let content =
            json!({"cardPrivateData": serde_json::from_slice::<Value>(input).unwrap_or_default()});
        let data = json!({"userId": "u", "outTrackId": "c", "content": content.to_string()});
        let found = read(&data.to_string()).expect("it is kept");
        let what = found.event.what;
        assert!(matches!(what, Happening::Pressed { .. } | Happening::Unknown { .. }), "{what:?}");
    });
}
