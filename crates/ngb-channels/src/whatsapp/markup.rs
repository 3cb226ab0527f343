//! Markdown, as WhatsApp writes it: `*bold*`, `_italic_`, `~struck~`, code, quotes and lists; no headings, no tables, no
//! links with a text. <https://faq.whatsapp.com/539178204879377>

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::lists::Lists;

pub(super) fn render(markdown: &str) -> String {
    let mut page = Page::default();
    let options =
        Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TABLES | Options::ENABLE_TASKLISTS;
    for event in Parser::new_ext(markdown, options) {
        page.take(event);
    }
    let rendered = page.text.trim_end();
    // Markdown that shows nothing (a comment, a lone definition) is still what the agent said.
    if rendered.trim().is_empty() { markdown.to_owned() } else { rendered.to_owned() }
}

/// The text so far, and what is open in it.
#[derive(Default)]
struct Page {
    text: String,
    lists: Lists,
    /// Line ends owed before the next text.
    gap: usize,
    quotes: usize,
    /// How many things that are open are shown bold: marks don't nest.
    bold: usize,
    in_code: bool,
    cells: usize,
    /// Links that are open: their address, and where their text began.
    links: Vec<(String, usize)>,
}

impl Page {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => self.say(&text),
            Event::Code(code) => self.say(&format!("`{code}`")),
            Event::SoftBreak | Event::HardBreak => self.say("\n"),
            Event::Rule => {
                self.block(2);
                self.say("———");
                self.block(2);
            }
            Event::TaskListMarker(done) => self.say(if done { "☑ " } else { "☐ " }),
            Event::FootnoteReference(name) => self.say(&format!("[{name}]")),
            Event::InlineMath(text) | Event::DisplayMath(text) => self.say(&text),
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Paragraph => self.block(self.lists.between()),
            Tag::Heading { .. } => {
                self.block(2);
                self.embolden();
            }
            Tag::BlockQuote(_) => {
                self.block(2);
                self.quotes += 1;
            }
            Tag::CodeBlock(_) | Tag::Table(_) => {
                self.block(self.lists.between());
                // Its language would be shown.
                self.say("```\n");
                self.in_code = true;
            }
            Tag::List(first) => {
                self.block(self.lists.between());
                self.lists.begin(first);
            }
            Tag::Item => {
                self.block(1);
                let mark = self.lists.mark("  ", "-");
                self.say(&mark);
            }
            Tag::Emphasis => self.say("_"),
            Tag::Strong => self.embolden(),
            Tag::Strikethrough => self.say("~"),
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => {
                self.say("");
                self.links.push((dest_url.into_string(), self.text.len()));
            }
            Tag::TableHead | Tag::TableRow => {
                self.block(1);
                self.cells = 0;
            }
            Tag::TableCell => {
                if 0 < self.cells {
                    self.say(" | ");
                }
                self.cells += 1;
            }
            _ => self.block(1),
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Paragraph => self.block(self.lists.between()),
            TagEnd::Heading(_) => {
                self.lighten();
                self.block(2);
            }
            TagEnd::BlockQuote(_) => {
                self.quotes = self.quotes.saturating_sub(1);
                self.block(2);
            }
            TagEnd::CodeBlock | TagEnd::Table => {
                self.gap = 0;
                if !self.text.ends_with('\n') {
                    self.push("\n");
                }
                self.push("```");
                self.in_code = false;
                self.block(self.lists.between());
            }
            TagEnd::List(_) => {
                self.lists.end();
                self.block(self.lists.between());
            }
            TagEnd::Item | TagEnd::TableHead | TagEnd::TableRow => self.block(1),
            TagEnd::Emphasis => self.say("_"),
            TagEnd::Strong => self.lighten(),
            TagEnd::Strikethrough => self.say("~"),
            TagEnd::Link | TagEnd::Image => self.close_link(),
            _ => (),
        }
    }

    fn embolden(&mut self) {
        if self.bold == 0 && !self.in_code {
            self.say("*");
        }
        self.bold += 1;
    }

    fn lighten(&mut self) {
        self.bold = self.bold.saturating_sub(1);
        if self.bold == 0 && !self.in_code {
            self.say("*");
        }
    }

    /// The address behind its text, unless the text is the address.
    fn close_link(&mut self) {
        let Some((url, from)) = self.links.pop() else { return };
        let said = self.text.get(from..).unwrap_or_default().trim();
        if said.is_empty() {
            self.say(&url);
        } else if said != url && url != format!("mailto:{said}") && !url.is_empty() {
            self.say(&format!(" ({url})"));
        }
    }

    /// What comes next stands after this many line ends, unless it is the first.
    fn block(&mut self, lines: usize) {
        if !self.text.is_empty() {
            self.gap = self.gap.max(lines);
        }
    }

    fn say(&mut self, text: &str) {
        let bare = self.text.trim_end_matches(['>', ' ']);
        let missing = self.gap.saturating_sub(bare.len() - bare.trim_end_matches('\n').len());
        self.gap = 0;
        for _ in 0..missing {
            self.push("\n");
        }
        self.push(text);
    }

    /// Each line of a quote begins with its mark.
    fn push(&mut self, text: &str) {
        let mark = "> ".repeat(self.quotes);
        for line in text.split_inclusive('\n') {
            if !mark.is_empty()
                && (self.text.is_empty() || self.text.ends_with('\n'))
                && line != "\n"
            {
                self.text += &mark;
            }
            self.text += line;
        }
    }
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
