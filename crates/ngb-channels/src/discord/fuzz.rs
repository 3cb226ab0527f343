//! Any event is read or kept, and any text is shown.

use serde_json::Value;

use super::{known::Facts, markup, wire};

#[test]
fn any_event_is_read() {
    let (account, facts) = ("discord@main".parse().unwrap(), Facts::default());
    crate::fuzz::run("discord", |input| {
        if let Ok(frame) = serde_json::from_slice::<Value>(input) {
            wire::read(frame["t"].as_str().unwrap_or_default(), &frame["d"], &account, &facts);
        }
        markup::render(&String::from_utf8_lossy(input));
    });
}
