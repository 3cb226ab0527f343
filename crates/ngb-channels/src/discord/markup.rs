//! Markdown, as Discord shows it: <https://docs.discord.com/developers/reference#message-formatting>.
//!
//! Discord reads much of Markdown itself, but not tables, deep headings and pictures, and some marks mean something else
//! there (`__` underlines, `||` hides). So all is written anew, and what was text is escaped.

use pulldown_cmark::{
    CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd, TextMergeStream,
};

use crate::{grid::grid, lists::Lists};

pub(super) fn render(markdown: &str) -> String {
    let mut page = Page { starts_line: true, ..Page::default() };
    let options =
        Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TABLES | Options::ENABLE_TASKLISTS;
    for event in TextMergeStream::new(Parser::new_ext(markdown, options)) {
        page.take(event);
    }
    let shown = page.text.trim_end();
    // Markdown that shows nothing (a comment, a lone definition) is still what the agent said.
    if shown.trim().is_empty() { markdown.to_owned() } else { shown.to_owned() }
}

/// The text so far, and what is open in it.
#[derive(Default)]
struct Page {
    text: String,
    lists: Lists,
    /// Line ends owed before the next text.
    gap: usize,
    quotes: usize,
    in_code: bool,
    /// A mark at this place would begin a heading, a list or a quote.
    starts_line: bool,
    /// Headings that are shown bold, since Discord knows three levels.
    bold_heading: bool,
    /// The address of each link that is open, and where its label begins.
    links: Vec<(String, usize)>,
    table: Option<Vec<Vec<String>>>,
}

impl Page {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            // Three marks would end the block.
            Event::Text(text) if self.in_code => self.say(&text.replace("```", "``\u{200b}`")),
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => self.words(&text),
            Event::Code(code) => match self.cell() {
                Some(cell) => *cell += &code,
                None => self.say(&code_span(&code)),
            },
            Event::SoftBreak | Event::HardBreak => match self.cell() {
                Some(cell) => cell.push(' '),
                None => self.say("\n"),
            },
            Event::Rule => {
                self.block(2);
                self.say("———");
                self.block(2);
            }
            Event::TaskListMarker(done) => self.say(if done { "☑ " } else { "☐ " }),
            Event::FootnoteReference(name) => self.words(&format!("[{name}]")),
            Event::InlineMath(text) | Event::DisplayMath(text) => self.words(&text),
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        let inner = self.lists.between();
        match tag {
            Tag::Paragraph => self.block(inner),
            Tag::Heading { level, .. } => {
                self.block(2);
                let mark = match level {
                    HeadingLevel::H1 => "# ",
                    HeadingLevel::H2 => "## ",
                    HeadingLevel::H3 => "### ",
                    _ => "**",
                };
                self.bold_heading = mark == "**";
                self.say(mark);
            }
            // A heading that is bold is so as a whole.
            Tag::Strong if !self.bold_heading => self.mark("**"),
            Tag::Emphasis => self.mark("*"),
            Tag::Strikethrough => self.mark("~~"),
            Tag::BlockQuote(_) => {
                self.block(2);
                self.say("");
                self.quotes += 1;
                if self.quotes == 1 {
                    self.text += "> ";
                }
            }
            Tag::CodeBlock(kind) => {
                self.block(inner);
                let info = match &kind {
                    CodeBlockKind::Fenced(it) => it.trim(),
                    CodeBlockKind::Indented => "",
                };
                let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '#');
                // What is no language is the first line.
                match info.chars().all(plain) {
                    true => self.say(&format!("```{info}\n")),
                    false => self.say(&format!("```\n{}\n", info.replace("```", "``\u{200b}`"))),
                }
                self.in_code = true;
            }
            Tag::List(first) => {
                self.block(inner);
                self.lists.begin(first);
            }
            Tag::Item => {
                self.block(1);
                let mark = self.lists.mark("  ", "-");
                self.say(&mark);
                self.starts_line = true;
            }
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => {
                self.say("");
                self.links.push((dest_url.to_string(), self.text.len()));
            }
            Tag::Table(_) => {
                self.block(inner);
                self.table = Some(Vec::new());
            }
            Tag::TableHead | Tag::TableRow => {
                if let Some(rows) = &mut self.table {
                    rows.push(Vec::new());
                }
            }
            Tag::TableCell => {
                if let Some(row) = self.table.as_mut().and_then(|it| it.last_mut()) {
                    row.push(String::new());
                }
            }
            Tag::Strong => (),
            _ => self.block(1),
        }
    }

    fn end(&mut self, tag: TagEnd) {
        let inner = self.lists.between();
        match tag {
            TagEnd::Paragraph => self.block(inner),
            TagEnd::Heading(_) => {
                if std::mem::take(&mut self.bold_heading) {
                    self.say("**");
                }
                self.block(2);
            }
            TagEnd::Strong if !self.bold_heading => self.mark("**"),
            TagEnd::Emphasis => self.mark("*"),
            TagEnd::Strikethrough => self.mark("~~"),
            TagEnd::BlockQuote(_) => {
                self.quotes = self.quotes.saturating_sub(1);
                self.block(2);
            }
            TagEnd::CodeBlock => {
                self.in_code = false;
                if !self.text.ends_with('\n') && !self.text.ends_with("\n> ") {
                    self.say("\n");
                }
                self.say("```");
                self.block(inner);
            }
            TagEnd::List(_) => {
                self.lists.end();
                self.block(self.lists.between());
            }
            TagEnd::Item => self.block(1),
            TagEnd::Link | TagEnd::Image => self.end_link(),
            TagEnd::Table => {
                if let Some(rows) = self.table.take() {
                    self.say(&format!("```\n{}```", grid(&rows)));
                    self.block(inner);
                }
            }
            _ => (),
        }
    }

    /// The cell that is being filled.
    fn cell(&mut self) -> Option<&mut String> {
        self.table.as_mut()?.last_mut()?.last_mut()
    }

    fn words(&mut self, text: &str) {
        if let Some(cell) = self.cell() {
            *cell += text;
            return;
        }
        let starts_line = self.starts_line || 0 < self.gap;
        self.say(&escape(text, starts_line));
    }

    /// Cells show no marks.
    fn mark(&mut self, mark: &str) {
        if self.table.is_none() {
            self.say(mark);
        }
    }

    /// A link whose address Discord takes; of any other only the label stays.
    fn end_link(&mut self) {
        let Some((url, at)) = self.links.pop() else { return };
        let is_link = url.starts_with("http://") || url.starts_with("https://");
        let breaks = |c: char| matches!(c, '<' | '>') || c.is_whitespace() || c.is_control();
        if self.table.is_some() || !is_link || url.contains(breaks) {
            return;
        }
        let label = self.text.get(at..).unwrap_or_default().to_owned();
        self.text.truncate(at);
        let url = url.replace('(', "%28").replace(')', "%29");
        // Discord shows no label that looks like an address.
        let bare = label.is_empty() || label.contains("://") || label.contains('\n');
        let shown = match bare {
            true if label.is_empty() || unescaped(&label) == url => url,
            true => format!("{label} ({url})"),
            false => format!("[{}]({url})", label.replace('[', "\\[").replace(']', "\\]")),
        };
        self.text += &shown;
    }

    /// What comes next stands after this many line ends, unless it is the first.
    fn block(&mut self, lines: usize) {
        if !self.text.is_empty() && self.table.is_none() {
            self.gap = self.gap.max(lines);
        }
    }

    fn say(&mut self, text: &str) {
        let quote_began = self.text.ends_with("> ") && 0 < self.quotes;
        let gap = std::mem::take(&mut self.gap);
        let quoted = |text: &str| match self.quotes {
            0 => text.to_owned(),
            _ => text.replace('\n', "\n> "),
        };
        let (gap, text) = (quoted(&"\n".repeat(if quote_began { 0 } else { gap })), quoted(text));
        self.text += &gap;
        self.text += &text;
        self.starts_line =
            self.text.is_empty() || self.text.ends_with(['\n']) || self.text.ends_with("\n> ");
    }
}

fn code_span(code: &str) -> String {
    match code.contains('`') {
        false => format!("`{code}`"),
        // Two marks hold one; more can't be shown.
        true => format!("`` {} ``", code.replace("``", "`\u{200b}`")),
    }
}

fn unescaped(text: &str) -> String {
    text.replace('\\', "")
}

/// Text that Discord shows as it is; but addresses stay whole, and people, channels and emoji of Discord's are passed on.
pub(super) fn escape(text: &str, starts_line: bool) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    let mut starts_line = starts_line;
    while let Some(c) = rest.chars().next() {
        if let Some(whole) = whole(rest, shown.chars().next_back()) {
            shown += whole;
            rest = &rest[whole.len()..];
            starts_line = false;
            continue;
        }
        let begins = starts_line && matches!(c, '#' | '>' | '-');
        if begins || matches!(c, '\\' | '*' | '_' | '~' | '`' | '|') {
            shown.push('\\');
        }
        shown.push(c);
        starts_line = c == '\n';
        rest = &rest[c.len_utf8()..];
    }
    shown
}

/// What at the beginning of this is not to be touched.
fn whole(text: &str, before: Option<char>) -> Option<&str> {
    if text.starts_with("http://") || text.starts_with("https://") {
        if before.is_some_and(char::is_alphanumeric) {
            return None;
        }
        return Some(
            text.split(|c: char| c.is_whitespace() || matches!(c, '<' | '>'))
                .next()
                .unwrap_or(text),
        );
    }
    let inside = text.strip_prefix('<')?;
    let end = inside.find('>')?;
    let inside = &inside[..end];
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '@' | '!' | '&' | '#');
    let is_discords =
        inside.starts_with(['@', '#', ':']) || inside.starts_with("a:") || inside.starts_with("t:");
    (is_discords && inside.chars().all(plain)).then(|| &text[..end + 2])
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
            ("a __b__ c",                    "a **b** c"),
            ("*x* ~~y~~ `z`",                "*x* ~~y~~ `z`"),
            ("这是**重点**内容",               "这是**重点**内容"),
            ("# T\n\ntext",                  "# T\n\ntext"),
            ("#### T **u**",                 "**T u**"),
            ("a\nb",                         "a\nb"),
            ("- a\n- b\n  - c",              "- a\n- b\n  - c"),
            ("3. a\n4. b",                   "3. a\n4. b"),
            ("- [x] a",                      "- ☑ a"),
            ("> q\n> r\n\ns",                "> q\n> r\n\ns"),
            ("```rust\nlet x = a*b;\n```\nz", "```rust\nlet x = a*b;\n```\n\nz"),
            ("> ```\n> x\n> ```",            "> ```\n> x\n> ```"),
            ("[a](https://b.c/?x_y)",        "[a](https://b.c/?x_y)"),
            ("![a](https://b.c)",            "[a](https://b.c)"),
            ("<https://b.c/x_y>",            "https://b.c/x_y"),
            ("see https://b.c/x_y_z now_a",  "see https://b.c/x_y_z now\\_a"),
            ("[https://a.b](https://c.d)",   "https://a.b (https://c.d)"),
            ("[a](javascript:x)",            "a"),
            ("|a|b|\n|-|-|\n|1|22|\n|x|y|",  "```\na  b\n1  22\nx  y\n```"),
            ("a ||b|| \\*c\\*",              "a \\|\\|b\\|\\| \\*c\\*"),
            ("\\# a",                        "\\# a"),
            ("<@12> <#3> <:a_b:4> @everyone", "<@12> <#3> <:a_b:4> @everyone"),
            ("1 < 2 & 3 > 2",                "1 < 2 & 3 > 2"),
            ("`` a`b ``",                    "`` a`b ``"),
            ("snake_case_name",              "snake\\_case\\_name"),
            ("**",                           "\\*\\*"),
            ("---",                          "———"),
        ];
        for (markdown, want) in table {
            assert_eq!(render(markdown), want, "{markdown:?}");
        }
    }

    proptest! {
        #[test]
        fn markdown_is_never_lost_as_a_whole(
            markdown in "([a-c😀日*_~`#>\\[\\]()<!@|\n -]|```|<@1>|https://x\\.y_z|[0-9]\\. ){0,60}",
        ) {
            let shown = render(&markdown);
            if markdown.contains(char::is_alphabetic) {
                prop_assert!(shown.contains(char::is_alphabetic), "{shown:?}");
            }
        }
    }
}
