//! Markdown, as WhatsApp writes it: `*bold*`, `_italic_`, `~struck~`, code, quotes and lists; no headings, no tables, no
//! links with a text. <https://faq.whatsapp.com/539178204879377>

use crate::dialect::{self, Dialect};

const WHATSAPP: Dialect =
    Dialect { bold: "*", italic: "_", struck: "~", fence: "```", headings: false, links: false };

pub(super) fn render(markdown: &str) -> String {
    dialect::render(markdown, WHATSAPP)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn render_table() {
        #[rustfmt::skip]
        let table = [
            ("hi",                           "hi"),
            ("a **b** c",                    "a *b* c"),
            ("*x* and _y_",                  "_x_ and _y_"),
            ("~~no~~",                       "~no~"),
            ("`a.b`",                        "`a.b`"),
            ("# T\n\ntext",                  "*T*\n\ntext"),
            ("# A **b** c",                  "*A b c*"),
            ("a\n\nb\nc",                    "a\n\nb\nc"),
            ("- a\n- b\n  - c",              "- a\n- b\n  - c"),
            ("3. a\n4. b",                   "3. a\n4. b"),
            ("- [x] a",                      "- ☑ a"),
            ("> q\n> r\n\ns",                "> q\n> r\n\ns"),
            ("```rust\nlet x;\n```\nz",      "```\nlet x;\n```\n\nz"),
            ("[a](https://b.c)",             "a (https://b.c)"),
            ("<https://b.c>",                "https://b.c"),
            ("![](https://b.c/p.png)",       "https://b.c/p.png"),
            ("|a|b|\n|-|-|\n|1|**2**|",      "```\na | b\n1 | 2\n```"),
            ("2 < 3 & 4 > 1_a_b!",           "2 < 3 & 4 > 1_a_b!"),
            ("مرحبا **بك** 👩‍👩‍👧",            "مرحبا *بك* 👩‍👩‍👧"),
            ("<!-- -->",                     "<!-- -->"),
            ("**",                           "**"),
        ];
        for (markdown, want) in table {
            assert_eq!(render(markdown), want, "{markdown:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_said_is_nothing_lost(words in proptest::collection::vec("[a-z日😀]{1,6}", 1..12), joint in "( |\n|\n\n|\n- |\n> |\n# )") {
            let markdown = words.join(&joint);
            let shown = render(&markdown);
            for word in &words {
                prop_assert!(shown.contains(word.as_str()), "{markdown:?} became {shown:?}");
            }
        }

        #[test]
        fn any_text_is_rendered(markdown in "([a-c😀日*_~`#>|\\[\\]()\n -]|```|https://x\\.y){0,120}") {
            prop_assert!(markdown.trim().is_empty() || !render(&markdown).trim().is_empty());
        }
    }
}
