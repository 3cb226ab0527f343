//! Any event is read or kept, also with a signature that is none.

use ngb_core::clock::Timestamp;
use serde_json::Value;

use super::{hook, wire};

#[test]
fn any_event_is_read() {
    let account = "qq@bot".parse().unwrap();
    let me = wire::Me { id: "B1".into(), name: "Nano".into() };
    let key = hook::key_of("secret").unwrap();
    crate::fuzz::run("qq-bot", |input| {
        let text = String::from_utf8_lossy(input);
        assert!(!hook::is_signed(&key, &text, "1725442341", input), "nobody signed it");
        let Ok(frame) = serde_json::from_slice::<Value>(input) else { return };
        let said = |key: &str| frame[key].as_str().unwrap_or_default();
        let (kind, id, d) = (said("t"), said("id"), &frame["d"]);
        let (account, me, now) = (&account, &me, Timestamp(7));
        let read = wire::read(&wire::Said { kind, id, d, account, me, now });
        if kind == "C2C_MESSAGE_CREATE" && d["author"]["user_openid"] != "B1" {
            assert!(read.is_some(), "what can't be read is kept");
        }
    });
}
