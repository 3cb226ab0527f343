//! What people read in a message: <https://open.feishu.cn/document/server-docs/im-v1/message-content-description/message_content>.

use serde_json::Value;

use super::wire::{Me, text as word};

/// Deepest nesting of a card that is looked through.
const MAX_DEPTH: usize = 12;

/// The words of a message of this kind; nothing where it has none.
pub(super) fn text(kind: &str, content: &Value, mentions: &Value, me: &Me) -> String {
    let said = |key: &str| content[key].as_str().unwrap_or_default().trim();
    let shown = match kind {
        "text" => said("text").to_owned(),
        "post" => post(content),
        "image" | "file" | "audio" | "media" => String::new(),
        "sticker" => "[sticker]".to_owned(),
        "share_chat" => format!("[a chat: {}]", said("chat_id")),
        "share_user" => format!("[a person: {}]", said("user_id")),
        "location" => {
            format!(
                "[location: {} ({}, {})]",
                said("name"),
                word(&content["latitude"]),
                word(&content["longitude"])
            )
        }
        "todo" | "calendar" | "share_calendar_event" | "general_calendar" => {
            let mut words = Vec::new();
            gather(content, &mut words, 0);
            format!("[{kind}: {}]", words.join(" "))
        }
        "interactive" => {
            let mut words = Vec::new();
            gather(content, &mut words, 0);
            words.join("\n")
        }
        "merge_forward" => "[forwarded messages]".to_owned(),
        "system" => String::new(),
        other => {
            if content.is_null() {
                String::new()
            } else {
                format!("[{other}]")
            }
        }
    };
    named(shown, mentions, me)
}

/// Whether a mention is of everybody.
pub(super) fn is_everybody(mention: &Value) -> bool {
    mention["key"] == "@_all" || mention["id"] == "all" || mention["id"]["open_id"] == "all"
}

/// `@_user_1` stands for a person.
fn named(mut shown: String, mentions: &Value, me: &Me) -> String {
    let all = mentions.as_array().map_or(&[][..], Vec::as_slice);
    let mut all: Vec<(&str, String)> = all
        .iter()
        .filter_map(|it| {
            let name = it["name"].as_str().filter(|it| !it.is_empty()).unwrap_or(&me.name);
            Some((it["key"].as_str().filter(|it| !it.is_empty())?, format!("@{name}")))
        })
        .collect();
    // `@_user_1` begins `@_user_12` as well.
    all.sort_by_key(|it| std::cmp::Reverse(it.0.len()));
    for (key, name) in all {
        shown = shown.replace(key, &name);
    }
    shown.replace("@_all", "@all")
}

/// A rich text: its title, then lines of pieces. What is sent has its languages outside, what comes does not.
fn post(content: &Value) -> String {
    let inner = match &content["content"] {
        Value::Array(_) => content,
        _ => content
            .as_object()
            .and_then(|it| it.values().find(|it| it["content"].is_array()))
            .unwrap_or(content),
    };
    let mut lines: Vec<String> = Vec::new();
    lines.extend(inner["title"].as_str().filter(|it| !it.is_empty()).map(str::to_owned));
    for line in inner["content"].as_array().into_iter().flatten() {
        let pieces = line.as_array().into_iter().flatten().map(piece);
        lines.push(pieces.collect());
    }
    lines.join("\n").trim().to_owned()
}

fn piece(piece: &Value) -> String {
    let said = |key: &str| piece[key].as_str().unwrap_or_default();
    match said("tag") {
        "a" if said("text").is_empty() || said("text") == said("href") => said("href").to_owned(),
        "a" => format!("{} ({})", said("text"), said("href")),
        // The key of a mention, or the id of one of everybody.
        "at" if said("user_id") == "all" || said("user_id") == "@_all" => "@all".to_owned(),
        "at" => said("user_id").to_owned(),
        "emotion" => format!("[{}]", said("emoji_type")),
        "hr" => "———".to_owned(),
        "code_block" => {
            format!("\n```{}\n{}\n```\n", said("language").to_lowercase(), said("text"))
        }
        _ => said("text").to_owned(),
    }
}

/// The words of a card, wherever they stand.
fn gather(value: &Value, words: &mut Vec<String>, depth: usize) {
    if MAX_DEPTH < depth {
        return;
    }
    match value {
        Value::Object(fields) => {
            for (key, it) in fields {
                match (key.as_str(), it) {
                    ("text" | "content" | "title" | "summary" | "name", Value::String(it))
                        if !it.is_empty() =>
                    {
                        words.push(it.clone());
                    }
                    _ => gather(it, words, depth + 1),
                }
            }
        }
        Value::Array(all) => all.iter().for_each(|it| gather(it, words, depth + 1)),
        _ => (),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn text_table() {
        let me = Me { open_id: "ou_bot".into(), app_id: "cli_1".into(), name: "nano".into() };
        let mentions = json!([
            {"key": "@_user_1", "id": {"open_id": "ou_bot"}, "name": "nano"},
            {"key": "@_user_12", "id": {"open_id": "ou_2"}, "name": "Bo"},
        ]);
        let post = json!({"title": "T", "content": [
            [{"tag": "text", "text": "see "}, {"tag": "a", "text": "here", "href": "https://a.b"}],
            [{"tag": "at", "user_id": "@_user_12"}, {"tag": "img", "image_key": "i"}],
            [{"tag": "code_block", "language": "RUST", "text": "let x;"}],
        ]});
        #[rustfmt::skip]
        let table = [
            ("text",        json!({"text": "@_user_1 hi @_user_12"}),       "@nano hi @Bo"),
            ("text",        json!({"text": "@_all hi"}),                    "@all hi"),
            ("text",        json!({"text": ""}),                            ""),
            ("post",        post.clone(),                                   "T\nsee here (https://a.b)\n@Bo\n\n```rust\nlet x;\n```"),
            ("post",        json!({"zh_cn": post}),                         "T\nsee here (https://a.b)\n@Bo\n\n```rust\nlet x;\n```"),
            ("sticker",     json!({"file_key": "f"}),                       "[sticker]"),
            ("interactive", json!({"elements": [[{"tag": "text", "text": "red"}]], "title": "CI"}), "red\nCI"),
            ("location",    json!({"name": "x", "latitude": "1", "longitude": "2"}), "[location: x (1, 2)]"),
            ("brand_new",   json!({"a": 1}),                                "[brand_new]"),
            ("image",       json!({"image_key": "i"}),                      ""),
        ];
        for (kind, content, want) in table {
            assert_eq!(text(kind, &content, &mentions, &me), want, "{kind}");
        }
    }

    proptest! {
        #[test]
        fn any_content_is_read(kind in "text|post|interactive|todo|x", text_of in ".{0,40}", key in "@_user_[0-9]?|") {
            let content = json!({"text": text_of, "content": [[{"tag": "at", "user_id": key}, 5, null]], "x": [{"title": text_of}]});
            text(&kind, &content, &json!([{"key": key, "name": text_of}, 5]), &Me::default());
        }
    }
}
