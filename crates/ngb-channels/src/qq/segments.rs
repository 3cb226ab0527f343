//! Messages as OneBot writes them: an array of segments, or the same in CQ codes.
//!
//! <https://github.com/botuniverse/onebot-11/tree/master/message>

use serde_json::{Map, Value, json};

/// Most segments of a message that are read.
const MOST: usize = 500;

/// The segments of a message in either form.
pub(super) fn read(message: &Value) -> Vec<Value> {
    match message {
        Value::Array(all) => all.iter().take(MOST).cloned().collect(),
        Value::String(text) => from_cq(text),
        // One alone, which some implementations send bare.
        Value::Object(_) => vec![message.clone()],
        _ => Vec::new(),
    }
}

pub(super) fn text(text: &str) -> Value {
    json!({"type": "text", "data": {"text": text}})
}

/// Reads CQ codes: `text[CQ:image,file=a.jpg]`. What is no whole code is text.
fn from_cq(text_in: &str) -> Vec<Value> {
    let mut all = Vec::new();
    let mut rest = text_in;
    let mut plain = String::new();
    while let Some((before, after)) = rest.split_once("[CQ:") {
        plain += before;
        let Some((code, behind)) = after.split_once(']').filter(|_| all.len() < MOST) else {
            plain += "[CQ:";
            rest = after;
            continue;
        };
        if !plain.is_empty() {
            all.push(text(&unescape(&std::mem::take(&mut plain))));
        }
        let mut parts = code.split(',');
        let kind = parts.next().unwrap_or_default();
        let pairs = parts.filter_map(|it| it.split_once('='));
        let data: Map<String, Value> =
            pairs.map(|(name, value)| (name.to_owned(), unescape(value).into())).collect();
        all.push(json!({"type": kind, "data": data}));
        rest = behind;
    }
    plain += rest;
    if !plain.is_empty() {
        all.push(text(&unescape(&plain)));
    }
    all
}

fn unescape(text: &str) -> String {
    text.replace("&#91;", "[").replace("&#93;", "]").replace("&#44;", ",").replace("&amp;", "&")
}

/// The text on its way out, with people whom it names as `@` and their number. Only in groups can anybody be named.
pub(super) fn write(said: &str, in_group: bool) -> Vec<Value> {
    let mut all = Vec::new();
    let mut plain = String::new();
    let mut rest = said;
    while let Some(at) = rest.find('@').filter(|_| in_group) {
        let (before, after) = rest.split_at(at);
        plain += before;
        let after = &after[1..];
        let digits = after.len() - after.trim_start_matches(|it: char| it.is_ascii_digit()).len();
        let stands_alone = !plain.ends_with(|it: char| it.is_ascii_alphanumeric());
        // QQ numbers have 5 to 11 digits.
        if stands_alone && (5..=11).contains(&digits) {
            if !plain.is_empty() {
                all.push(text(&std::mem::take(&mut plain)));
            }
            all.push(json!({"type": "at", "data": {"qq": &after[..digits]}}));
            rest = &after[digits..];
        } else {
            plain.push('@');
            rest = after;
        }
    }
    plain += rest;
    if !plain.is_empty() {
        all.push(text(&plain));
    }
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_forms_are_the_same() {
        #[rustfmt::skip]
        let table = [
            ("hi",                                   json!([text("hi")])),
            ("a &#91;CQ:at&#93; &amp;amp;",          json!([text("a [CQ:at] &amp;")])),
            ("[CQ:at,qq=10001] hi",                  json!([{"type": "at", "data": {"qq": "10001"}}, text(" hi")])),
            ("x[CQ:image,file=a.jpg,url=https://b/c?d=e&amp;f&#44;g]", json!([text("x"), {"type": "image", "data": {"file": "a.jpg", "url": "https://b/c?d=e&f,g"}}])),
            ("[CQ:shake]",                           json!([{"type": "shake", "data": {}}])),
            ("[CQ:at,qq=1",                          json!([text("[CQ:at,qq=1")])),
            ("",                                     json!([])),
        ];
        for (cq, want) in table {
            assert_eq!(Value::Array(read(&cq.into())), want, "{cq}");
            assert_eq!(Value::Array(read(&want)), want);
        }
    }

    #[test]
    fn people_are_named_by_their_number_in_groups() {
        let at = |it: &str| json!({"type": "at", "data": {"qq": it}});
        #[rustfmt::skip]
        let table = [
            ("hi @10001!",       vec![text("hi "), at("10001"), text("!")]),
            ("@10001@10002",     vec![at("10001"), at("10002")]),
            ("a@10001 @1 @all",  vec![text("a@10001 @1 @all")]),
            ("[CQ:at,qq=all]",   vec![text("[CQ:at,qq=all]")]),
        ];
        for (said, want) in table {
            assert_eq!(write(said, true), want, "{said}");
            assert_eq!(write(said, false), [text(said)], "{said}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_much(said in "(\\[CQ:|\\]|,|=|&#?[0-9a-z]{0,3};|@[0-9]{0,12}|[a-z日😀 ]){0,60}") {
            read(&said.clone().into());
            let joined: String = write(&said, true).iter().map(|it| match it["type"].as_str() {
                Some("at") => format!("@{}", it["data"]["qq"].as_str().unwrap()),
                _ => it["data"]["text"].as_str().unwrap().to_owned(),
            }).collect();
            prop_assert_eq!(joined, said);
        }
    }
}
