//! Markdown, as WeCom's app messages show it: headings, bold, links, `code` and quotes; lists and code of several lines
//! as they are written. <https://developer.work.weixin.qq.com/document/path/90236>

use crate::dialect::{self, Dialect};

const WECOM: Dialect =
    Dialect { bold: "**", italic: "", struck: "", fence: "", headings: true, links: true };

pub(super) fn render(markdown: &str) -> String {
    tame(&dialect::render(markdown, WECOM))
}

/// Without what calls everybody. `<@userid>` calls one person, in a robot's group
/// (<https://developer.work.weixin.qq.com/document/path/99110>).
pub(super) fn tame(text: &str) -> String {
    text.replace("<@all>", "@all")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn render_table() {
        #[rustfmt::skip]
        let table = [
            ("# T\n\n**a** *b* `c`",    "# T\n\n**a** b `c`"),
            ("[a](https://b.c)",        "[a](https://b.c)"),
            ("<https://b.c>",           "[https://b.c](https://b.c)"),
            ("- 一\n- 二",               "- 一\n- 二"),
            ("> q\n\nr",                "> q\n\nr"),
            ("```rust\nlet x;\n```\nz", "let x;\n\nz"),
            ("<@zhangsan> look",         "<@zhangsan> look"),
            ("<@all> look",             "@all look"),
            ("|a|b|\n|-|-|\n|1|2|",     "a | b\n1 | 2"),
        ];
        for (markdown, want) in table {
            assert_eq!(render(markdown), want, "{markdown:?}");
        }
    }
}
