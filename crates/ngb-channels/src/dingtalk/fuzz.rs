//! Any message is read or kept, and any text is shown.

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
