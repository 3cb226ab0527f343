//! JSON as platforms send it, also where a text in it is broken.

use serde_json::Value;

/// Reads `body`. Bytes that are no UTF-8, and halves of surrogate pairs, become U+FFFD: a text that somebody broke must not
/// hold back what came along with it.
///
/// # Errors
///
/// When it is no JSON even so.
pub(crate) fn read(body: &[u8]) -> Result<Value, serde_json::Error> {
    match serde_json::from_slice(body) {
        Ok(value) => Ok(value),
        Err(err) => serde_json::from_str(&mended(body)).map_err(|_| err),
    }
}

fn mended(body: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(body).into_owned();
    let mut at = 0;
    while let Some(found) = text[at..].find('\\') {
        at += found;
        at += match (unit(&text[at..]), unit(text.get(at + 6..).unwrap_or_default())) {
            // A pair.
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => {
                text.replace_range(at..at + 6, "\\ufffd");
                6
            }
            (Some(_), _) => 6,
            // Another escape: a character follows, which begins none, and may be longer than a byte.
            (None, _) => 1 + text[at + 1..].chars().next().map_or(0, char::len_utf8),
        };
    }
    text
}

/// The UTF-16 unit that an escape at the beginning of `text` stands for.
fn unit(text: &str) -> Option<u32> {
    u32::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn broken_texts_are_mended() {
        #[rustfmt::skip]
        let table: [(&[u8], _); 8] = [
            (br#"["a\ud83d\ude00b"]"#, json!(["a😀b"])),
            (br#"["a\ud83db"]"#,       json!(["a\u{fffd}b"])),
            (br#"["\ude00\ud83d"]"#,   json!(["\u{fffd}\u{fffd}"])),
            (br#"["\ud83d\ud83d\ude00"]"#, json!(["\u{fffd}😀"])),
            (br#"["\\ud83d \ud83d"]"#, json!(["\\ud83d \u{fffd}"])),
            (b"[\"a\xffb\", 1]",       json!(["a\u{fffd}b", 1])),
            (b"[\"\xc3\", \"\xe4\xbd\"]", json!(["\u{fffd}", "\u{fffd}"])),
            (b"[\"\xff\\\\\", \"\\\"\"]", json!(["\u{fffd}\\", "\""])),
        ];
        for (body, read) in table {
            assert_eq!(super::read(body).unwrap(), read, "{}", String::from_utf8_lossy(body));
        }
        for none in [&b""[..], b"{", b"[\"\\ud8", b"\\", b"[\"\xff"] {
            assert!(super::read(none).is_err(), "{none:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(body: Vec<u8>) {
            drop(super::read(&body));
        }

        #[test]
        fn what_is_whole_is_not_touched(text: String) {
            let body = json!([text]).to_string();
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&super::mended(body.as_bytes())).unwrap(), json!([text]));
        }
    }
}
