//! Any body is read or kept, and any text is shown.

use serde_json::Value;

use super::{markup, wire::Reader};

#[test]
fn any_body_is_read() {
    let account = "whatsapp@main".parse().unwrap();
    crate::fuzz::run("whatsapp", |input| {
        if let Ok(body) = serde_json::from_slice::<Value>(input) {
            let number = "106540352242922";
            Reader { account: &account, number, unread_key: "k" }.read(&body);
        }
        markup::render(&String::from_utf8_lossy(input));
    });
}
