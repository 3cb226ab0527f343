//! Any frame is read or kept, and any file of somebody else's is decrypted to something or refused.

use ngb_core::clock::Timestamp;
use serde_json::Value;

use super::wire;
use crate::wecom::crypt::{FileKey, Opener};

/// A key as it comes with a file.
const KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

#[test]
fn any_frame_is_read() {
    let account = "wecom@bot".parse().unwrap();
    let key = FileKey::read(KEY).unwrap();
    crate::fuzz::run("wecom-bot", |input| {
        if let Ok(frame) = serde_json::from_slice::<Value>(input) {
            assert!(
                wire::read(&frame, &account, Timestamp(7)).is_some(),
                "what can't be read is kept"
            );
        }
        drop(FileKey::read(&String::from_utf8_lossy(input)));
        // The pieces in which it comes do not matter.
        let whole = opened(&key, input, input.len().max(1));
        assert_eq!(opened(&key, input, 7), whole);
    });
}

fn opened(key: &FileKey, input: &[u8], piece: usize) -> Option<Vec<u8>> {
    let mut opener = Opener::new(key);
    let mut plain: Vec<u8> = input.chunks(piece).flat_map(|it| opener.push(it)).collect();
    plain.extend(opener.finish().ok()?);
    Some(plain)
}
