//! Any envelope is read or kept, and any text is shown.

use std::collections::HashMap;

use serde_json::Value;

use super::{markup, wire};

#[test]
fn any_envelope_is_read() {
    let (account, me) =
        ("slack@main".parse().unwrap(), wire::Me { user: "U0BOT".into(), ..wire::Me::default() });
    crate::fuzz::run("slack", |input| {
        let text = String::from_utf8_lossy(input);
        if let Ok(envelope) = serde_json::from_slice::<Value>(input) {
            wire::read(&envelope, &account, &me);
        }
        wire::plain(&text, &HashMap::new());
        markup::render(&text);
    });
}
