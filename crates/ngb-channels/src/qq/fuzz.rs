//! Any event is read or kept, and any text becomes segments.

use serde_json::Value;

use super::{segments, wire};

#[test]
fn any_event_is_read() {
    let account = "qq@main".parse().unwrap();
    crate::fuzz::run("qq", |input| {
        if let Ok(event) = serde_json::from_slice::<Value>(input) {
            wire::read(&event, &account, |_| false);
        }
        let text = String::from_utf8_lossy(input);
        segments::read(&Value::from(text.as_ref()));
        segments::write(&text, true);
    });
}
