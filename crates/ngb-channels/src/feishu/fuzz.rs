//! Any frame, event and encrypted call is read, kept or refused, and any text is shown.

use ngb_core::{clock::Timestamp, secret::Secret};
use serde_json::Value;

use super::{
    Callbacks, card,
    crypt::Crypt,
    frame::{Frame, Parts},
    wire,
};

#[test]
fn any_event_is_read() {
    let account = "feishu@main".parse().unwrap();
    let me = wire::Me { open_id: "ou_bot".into(), ..wire::Me::default() };
    let key = Callbacks { encrypt_key: Secret::new("test key"), verification_token: None };
    let crypt = Crypt::new(key);
    crate::fuzz::run("feishu", |input| {
        if let Some(frame) = Frame::read(input) {
            Parts::default().take(&frame, Timestamp(0));
        }
        if let Ok(body) = serde_json::from_slice::<Value>(input) {
            wire::read(&body, &account, &me);
        }
        crypt.decrypt(input);
        card::markdown(&String::from_utf8_lossy(input));
    });
}
