//! Markdown, as DingTalk shows it: headings, bold, italic, links, lists, quotes and code; a line that ends is joined with the
//! next unless two blanks stand before its end. <https://open.dingtalk.com/document/orgapp/robot-message-type>

use ngb_core::text::shorten;

use crate::dialect::{self, Dialect};

const DINGTALK: Dialect =
    Dialect { bold: "**", italic: "*", struck: "", fence: "```", headings: true, links: true };

/// Longest title, in characters: what lists of chats show.
const MAX_TITLE_CHARS: usize = 20;

pub(super) fn render(markdown: &str) -> String {
    let text = dialect::render(markdown, DINGTALK);
    let mut shown = String::with_capacity(text.len() + 64);
    let mut in_code = false;
    let mut lines = text.split('\n').peekable();
    while let Some(line) = lines.next() {
        shown += line;
        let is_fence = line.trim_start_matches(['>', ' ']).starts_with("```");
        in_code ^= is_fence;
        let Some(next) = lines.peek() else { break };
        let joins = !in_code && !is_fence && !line.trim().is_empty() && !next.trim().is_empty();
        shown += if joins { "  \n" } else { "\n" };
    }
    shown
}

/// What stands for a message where there is no room for it. DingTalk wants one.
pub(super) fn title(text: &str) -> String {
    let marks = |it: char| it.is_whitespace() || "#*>`-_~[]".contains(it);
    let line = text.lines().map(|it| it.trim_matches(marks)).find(|it| !it.is_empty());
    shorten(line.unwrap_or("…"), MAX_TITLE_CHARS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn render_table() {
        #[rustfmt::skip]
        let table = [
            ("hi",                       "hi"),
            ("# T\n\n**a** *b* `c`",     "# T\n\n**a** *b* `c`"),
            ("a\nb\n\nc",                "a  \nb\n\nc"),
            ("- 一\n- 二",                "- 一  \n- 二"),
            ("> q\n> r",                 "> q  \n> r"),
            ("```rust\nlet x;\nlet y;\n```\nz", "```\nlet x;\nlet y;\n```\n\nz"),
            ("|a|b|\n|-|-|\n|1|2|",      "```\na | b\n1 | 2\n```"),
            ("[a](https://b.c)",         "[a](https://b.c)"),
            ("~~no~~ 👩‍👩‍👧",                "no 👩‍👩‍👧"),
        ];
        for (markdown, want) in table {
            assert_eq!(render(markdown), want, "{markdown:?}");
        }
    }

    #[test]
    fn titles() {
        #[rustfmt::skip]
        let table = [
            ("# Good morning\n\nyou", "Good morning"),
            ("\n\n- one",             "one"),
            ("",                      "…"),
            ("***",                   "…"),
        ];
        for (text, want) in table {
            assert_eq!(title(text), want, "{text:?}");
        }
        assert_eq!(title(&"字".repeat(50)).chars().count(), MAX_TITLE_CHARS);
    }

    proptest! {
        #[test]
        fn nothing_said_is_nothing_lost(words in proptest::collection::vec("[a-z日😀]{1,6}", 1..12), joint in "( |\n|\n\n|\n- |\n> |\n# )") {
            let markdown = words.join(&joint);
            let shown = render(&markdown);
            for word in &words {
                prop_assert!(shown.contains(word.as_str()), "{markdown:?} became {shown:?}");
            }
            prop_assert!(!title(&shown).is_empty());
        }
    }
}
