//! Texts as cards: <https://open.feishu.cn/document/feishu-cards/card-json-v2-structure>.

use ngb_core::{
    message::{Button, MAX_BUTTON_BYTES},
    text::shorten,
};
use serde_json::{Value, json};

use super::api::ApiError;
use crate::dialect::{self, Dialect};

/// The element that holds the text, by which a stream names it.
pub(super) const TEXT: &str = "text";

/// Longest label of a button, in characters.
const MAX_LABEL_CHARS: usize = 100;

/// Longest words that a list of chats shows of a card, in characters.
const MAX_SUMMARY_CHARS: usize = 60;

/// Cards show headings and links; more than a few tables in one are refused, so that they are lines in a code block.
const DIALECT: Dialect =
    Dialect { bold: "**", italic: "*", struck: "~~", fence: "```", headings: true, links: true };

/// Markdown as a card shows it. Nobody is called but who is named by id.
pub(super) fn markdown(text: &str) -> String {
    tame(&dialect::render(text, DIALECT))
}

/// The card of a text.
pub(super) fn of(text: &str, buttons: &[Button], streams: bool) -> Result<Value, ApiError> {
    let long = |it: &&Button| it.value.is_empty() || MAX_BUTTON_BYTES < it.value.len();
    if let Some(it) = buttons.iter().find(long) {
        let why =
            format!("the value of the button `{}` is not 1 to {MAX_BUTTON_BYTES} bytes", it.label);
        return Err(ApiError::unfit(why));
    }
    let mut elements =
        vec![json!({"tag": "markdown", "element_id": TEXT, "content": markdown(text)})];
    elements.extend(buttons.iter().map(|it| {
        let label = json!({"tag": "plain_text", "content": shorten(&it.label, MAX_LABEL_CHARS)});
        let behaviour = json!({"type": "callback", "value": {"v": it.value}});
        json!({"tag": "button", "text": label, "behaviors": [behaviour]})
    }));
    let summary = text.lines().find(|it| !it.trim().is_empty()).unwrap_or_default();
    let summary = json!({"content": shorten(summary, MAX_SUMMARY_CHARS)});
    let config = json!({"update_multi": true, "streaming_mode": streams, "summary": summary});
    Ok(json!({"schema": "2.0", "config": config, "body": {"elements": elements}}))
}

/// Without what calls everybody: of `<at …>` only a person's id is passed on.
pub(super) fn tame(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = find_at(rest) {
        let (before, from) = rest.split_at(at);
        shown += before;
        let end = from.find('>').map_or(from.len(), |it| it + 1);
        // Of a tag that is no person's only the beginning is passed over: another one may stand in it.
        let take = if person(&from[..end]).is_some() {
            shown += &from[..end];
            end
        } else {
            shown += "<\u{200b}";
            1
        };
        rest = &from[take..];
    }
    shown + rest
}

fn find_at(text: &str) -> Option<usize> {
    let lower = text.to_ascii_lowercase();
    lower.match_indices("<at").map(|it| it.0).next()
}

/// The person of `<at id=ou_…>`.
fn person(tag: &str) -> Option<&str> {
    let id = tag.strip_prefix("<at ")?.strip_suffix('>')?.trim();
    let id = id.strip_prefix("id=").or_else(|| id.strip_prefix("user_id="))?;
    let id = id.trim_matches('"');
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (id.starts_with("ou_") && id.chars().all(plain)).then_some(id)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn markdown_table() {
        #[rustfmt::skip]
        let table = [
            ("# T\n\n**b** *i* ~~s~~ `c`",          "# T\n\n**b** *i* ~~s~~ `c`"),
            ("[a](https://b.c)",                    "[a](https://b.c)"),
            ("hi <at id=ou_1></at>",                "hi <at id=ou_1></at>"),
            ("hi <at user_id=\"ou_1\">Bo</at>",     "hi <at user_id=\"ou_1\">Bo</at>"),
            ("hi <at id=all></at>",                 "hi <\u{200b}at id=all></at>"),
            ("hi <AT ID=ALL></AT>",                 "hi <\u{200b}AT ID=ALL></AT>"),
            ("hi <at\nid=all></at>",                "hi <\u{200b}at\nid=all></at>"),
            ("这是**重点**内容 😀",                    "这是**重点**内容 😀"),
        ];
        for (text, want) in table {
            assert_eq!(markdown(text), want, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn nobody_is_called_together(text in "([a-c😀日*`<> \n=\"]|<at |<AT|id=all|id=ou_1|</at>|```){0,40}") {
            for part in markdown(&text).to_ascii_lowercase().split("<at").skip(1) {
                let id = part.split('>').next().unwrap_or_default();
                prop_assert!(id.contains("ou_") && !id.contains("all"), "{part:?}");
            }
        }
    }
}
