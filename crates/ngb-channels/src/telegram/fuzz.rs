//! Any update is read or kept and never holds up those behind it, and any text is shown.

use serde_json::Value;

use super::{markup, wire};

#[test]
fn any_update_is_read() {
    let account = "telegram@main".parse().unwrap();
    let me = wire::Me { id: 123_456, username: "nano_test_bot".into(), reads_all: true };
    crate::fuzz::run("telegram", |input| {
        if let Ok(Value::Array(updates)) = serde_json::from_slice(input) {
            let ids = updates.iter().filter_map(|it| it["update_id"].as_i64());
            let last = ids.filter(|it| *it < i64::MAX).max();
            let read = wire::read_all(&updates, &account, &me);
            assert!(last <= read.next_offset.map(|it| it - 1), "an update is not confirmed");
        }
        markup::render(&String::from_utf8_lossy(input));
    });
}
