//! Markdown, as Telegram's text and entities.
//!
//! Entities beside the text need no escaping, so nothing that a model writes can break a message.

use ngb_core::text::Unit;
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use serde_json::{Value, json};

use crate::lists::Lists;

/// Most entities of a message; Telegram ignores the rest.
const MAX_ENTITIES: usize = 100;

/// A text and how it looks.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Rendered {
    pub(super) text: String,
    pub(super) entities: Vec<Value>,
}

pub(super) fn render(markdown: &str) -> Rendered {
    let mut page = Page::default();
    let options =
        Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TABLES | Options::ENABLE_TASKLISTS;
    for event in Parser::new_ext(markdown, options) {
        page.take(event);
    }
    let rendered = page.finish();
    // Markdown that shows nothing (a comment, a lone definition) is still what the agent said.
    if rendered.text.trim().is_empty() {
        return Rendered { text: markdown.to_owned(), entities: Vec::new() };
    }
    rendered
}

/// The text so far, and what is open in it.
#[derive(Default)]
struct Page {
    text: String,
    /// Length of `text` in UTF-16 units.
    units: usize,
    entities: Vec<Value>,
    open: Vec<Open>,
    lists: Lists,
    /// Blank lines owed before the next text.
    gap: usize,
    cells: usize,
}

/// An entity that began.
struct Open {
    kind: &'static str,
    offset: usize,
    more: Option<(&'static str, String)>,
}

impl Page {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => self.say(&text),
            Event::Code(code) => {
                self.begin("code", None);
                self.say(&code);
                self.close();
            }
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
            Tag::Paragraph if self.lists.is_empty() => self.block(2),
            Tag::Paragraph => self.block(1),
            Tag::Heading { .. } => {
                self.block(2);
                self.begin("bold", None);
            }
            Tag::BlockQuote(_) => {
                self.block(2);
                self.begin("blockquote", None);
            }
            Tag::CodeBlock(kind) => {
                self.block(self.lists.between());
                let language = match kind {
                    CodeBlockKind::Fenced(info) => {
                        info.split_whitespace().next().map(str::to_owned)
                    }
                    CodeBlockKind::Indented => None,
                };
                self.begin("pre", language.map(|it| ("language", it)));
            }
            Tag::List(first) => {
                self.block(self.lists.between());
                self.lists.begin(first);
            }
            Tag::Item => {
                self.block(1);
                let mark = self.lists.mark("  ", "•");
                self.say(&mark);
            }
            Tag::Emphasis => self.begin("italic", None),
            Tag::Strong => self.begin("bold", None),
            Tag::Strikethrough => self.begin("strikethrough", None),
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => {
                self.begin("text_link", Some(("url", dest_url.into_string())));
            }
            Tag::Table(_) => {
                self.block(2);
                self.begin("pre", None);
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
            TagEnd::Heading(_) | TagEnd::BlockQuote(_) | TagEnd::CodeBlock | TagEnd::Table => {
                self.close();
                self.block(self.lists.between());
            }
            TagEnd::List(_) => {
                self.lists.end();
                self.block(self.lists.between());
            }
            TagEnd::Item | TagEnd::TableHead | TagEnd::TableRow => self.block(1),
            TagEnd::Emphasis
            | TagEnd::Strong
            | TagEnd::Strikethrough
            | TagEnd::Link
            | TagEnd::Image => self.close(),
            _ => (),
        }
    }

    /// What comes next stands after this many line ends, unless it is the first.
    fn block(&mut self, lines: usize) {
        if !self.text.is_empty() {
            self.gap = self.gap.max(lines);
        }
    }

    fn say(&mut self, text: &str) {
        let missing = self.gap.saturating_sub(trailing_line_ends(&self.text));
        self.gap = 0;
        for _ in 0..missing {
            self.push("\n");
        }
        self.push(text);
    }

    fn push(&mut self, text: &str) {
        self.text += text;
        self.units += Unit::Utf16.count(text);
    }

    fn begin(&mut self, kind: &'static str, more: Option<(&'static str, String)>) {
        // So that the gap before a block is not part of it.
        self.say("");
        self.open.push(Open { kind, offset: self.units, more });
    }

    fn close(&mut self) {
        let Some(open) = self.open.pop() else { return };
        let said = Unit::Utf16.count(self.text.trim_end());
        let Some(length) = said.checked_sub(open.offset).filter(|it| 0 < *it) else { return };
        let mut entity = json!({"type": open.kind, "offset": open.offset, "length": length});
        match open.more {
            // What Telegram takes for no link would cost the message its other entities.
            Some(("url", url)) if !is_link(&url) => return,
            Some((key, value)) => entity[key] = value.into(),
            None => (),
        }
        self.entities.push(entity);
    }

    fn finish(mut self) -> Rendered {
        self.text.truncate(self.text.trim_end().len());
        let end = Unit::Utf16.count(&self.text);
        self.entities.retain(|it| it["offset"].as_u64().is_some_and(|at| at < end as u64));
        self.entities.sort_by_key(|it| it["offset"].as_u64());
        self.entities.truncate(MAX_ENTITIES);
        Rendered { text: self.text, entities: self.entities }
    }
}

fn trailing_line_ends(text: &str) -> usize {
    text.len() - text.trim_end_matches('\n').len()
}

fn is_link(url: &str) -> bool {
    ["http://", "https://", "tg://", "mailto:", "tel:"].iter().any(|it| url.starts_with(it))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn render_table() {
        let entity = |kind: &str, offset: usize, length: usize| json!({"type": kind, "offset": offset, "length": length});
        #[rustfmt::skip]
        let table: Vec<(&str, &str, Vec<Value>)> = vec![
            ("hi",                      "hi",                 vec![]),
            ("a **b** c",               "a b c",              vec![entity("bold", 2, 1)]),
            ("😀 *x*",                   "😀 x",               vec![entity("italic", 3, 1)]),
            ("`a.b`",                   "a.b",                vec![entity("code", 0, 3)]),
            ("~~no~~",                  "no",                 vec![entity("strikethrough", 0, 2)]),
            ("# T\n\ntext",             "T\n\ntext",          vec![entity("bold", 0, 1)]),
            ("a\n\nb",                  "a\n\nb",             vec![]),
            ("a\nb",                    "a\nb",               vec![]),
            ("- a\n- b\n  - c",         "• a\n• b\n  • c",    vec![]),
            ("3. a\n4. b",              "3. a\n4. b",         vec![]),
            ("- [x] a",                 "• ☑ a",              vec![]),
            ("> q\n\nr",                "q\n\nr",             vec![entity("blockquote", 0, 1)]),
            ("```rust\nlet x;\n```\nz", "let x;\n\nz",        vec![json!({"type": "pre", "offset": 0, "length": 6, "language": "rust"})]),
            ("[a](https://b.c)",        "a",                  vec![json!({"type": "text_link", "offset": 0, "length": 1, "url": "https://b.c"})]),
            ("[a](javascript:x)",       "a",                  vec![]),
            ("|a|b|\n|-|-|\n|1|2|",     "a | b\n1 | 2",       vec![entity("pre", 0, 11)]),
            ("2 < 3 & 4 > 1_a_b!",      "2 < 3 & 4 > 1_a_b!", vec![]),
            ("<b>x</b>",                "<b>x</b>",           vec![]),
            ("**",                      "**",                 vec![]),
        ];
        for (markdown, text, entities) in table {
            let got = render(markdown);
            assert_eq!((got.text.as_str(), got.entities), (text, entities), "{markdown:?}");
        }
    }

    #[test]
    fn no_more_entities_than_telegram_reads() {
        assert_eq!(render(&"*a* ".repeat(150)).entities.len(), MAX_ENTITIES);
    }

    proptest! {
        #[test]
        fn entities_lie_in_the_text(markdown in "([a-c😀日*_~`#>\\[\\]()\n -]|```|https://x\\.y){0,120}") {
            let got = render(&markdown);
            let end = Unit::Utf16.count(&got.text);
            for entity in &got.entities {
                let at = |key: &str| usize::try_from(entity[key].as_u64().unwrap()).unwrap();
                prop_assert!(0 < at("length"));
                prop_assert!(at("offset") + at("length") <= end, "{entity} in {:?}", got.text);
            }
        }
    }
}
