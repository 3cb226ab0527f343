//! Any XML and any encrypted words are read, kept or refused, and any text is shown.

use ngb_core::secret::Secret;

use super::{crypt::Crypt, markup, wire::Reader, xml};

#[test]
fn any_call_is_read() {
    let account = "wecom@main".parse().unwrap();
    let key = Secret::new("abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG");
    let crypt = Crypt::new(Secret::new("token"), &key, "ww1").unwrap();
    crate::fuzz::run("wecom", |input| {
        let text = String::from_utf8_lossy(input);
        if let Ok(fields) = xml::read(&text) {
            Reader { account: &account, unread_key: "k" }.read(&fields);
        }
        // Words of somebody else, which is what all of these are, are refused.
        assert!(crypt.decrypt(&text).is_err());
        markup::render(&text);
    });
}
