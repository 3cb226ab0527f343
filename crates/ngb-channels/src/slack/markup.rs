//! Markdown, as Slack's mrkdwn: <https://docs.slack.dev/messaging/formatting-message-text>.
//!
//! Only `&`, `<` and `>` have an escape there, so that nothing a model writes can call a channel together: of all that
//! stands in angle brackets only a person (`<@U…>`) is passed on.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd, TextMergeStream};

use crate::{grid::grid, lists::Lists};

/// Stands between a mark and a letter: Slack takes a mark only at the edge of a word, which many scripts don't have.
const EDGE: char = '\u{200b}';

pub(super) fn render(markdown: &str) -> String {
    let mut page = Page::default();
    let options =
        Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TABLES | Options::ENABLE_TASKLISTS;
    for event in TextMergeStream::new(Parser::new_ext(markdown, options)) {
        page.take(event);
    }
    let shown = page.text.trim_end();
    // Markdown that shows nothing (a comment, a lone definition) is still what the agent said.
    if shown.is_empty() { escape(markdown) } else { shown.to_owned() }
}

/// Text that Slack shows as it is.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The text so far, and what is open in it.
#[derive(Default)]
struct Page {
    text: String,
    /// The marks that are open, in order.
    marks: Vec<char>,
    /// A mark was closed, and nothing came since.
    closed: bool,
    lists: Lists,
    /// Line ends owed before the next text.
    gap: usize,
    quotes: usize,
    in_code: bool,
    /// The address of each link that is open, and where its label begins.
    links: Vec<(String, usize)>,
    table: Option<Vec<Vec<String>>>,
}

impl Page {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) if self.in_code => {
                // Three marks would end the block.
                self.say(&escape(&text).replace("```", "``\u{200b}`"));
            }
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => self.words(&text),
            Event::Code(code) => {
                let code = escape(&code).replace('`', "ˋ");
                match self.cell() {
                    Some(cell) => *cell += &code,
                    None => {
                        self.edge();
                        self.say(&format!("`{code}`"));
                        self.closed = true;
                    }
                }
            }
            Event::SoftBreak | Event::HardBreak => self.line_break(),
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
            Tag::Heading { .. } => {
                self.block(2);
                self.open('*');
            }
            Tag::Strong => self.open('*'),
            Tag::Emphasis => self.open('_'),
            Tag::Strikethrough => self.open('~'),
            Tag::BlockQuote(_) => {
                self.block(2);
                self.say("");
                self.quotes += 1;
                if self.quotes == 1 {
                    self.text += "> ";
                }
            }
            Tag::CodeBlock(_) => {
                self.block(inner);
                self.say("```\n");
                self.in_code = true;
            }
            Tag::List(first) => {
                self.block(inner);
                self.lists.begin(first);
            }
            Tag::Item => {
                self.block(1);
                let mark = self.lists.mark("    ", "•");
                self.say(&mark);
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
            _ => self.block(1),
        }
    }

    fn end(&mut self, tag: TagEnd) {
        let inner = self.lists.between();
        match tag {
            TagEnd::Paragraph => self.block(inner),
            TagEnd::Heading(_) => {
                self.close('*');
                self.block(2);
            }
            TagEnd::Strong => self.close('*'),
            TagEnd::Emphasis => self.close('_'),
            TagEnd::Strikethrough => self.close('~'),
            TagEnd::BlockQuote(_) => {
                self.quotes = self.quotes.saturating_sub(1);
                self.block(2);
            }
            TagEnd::CodeBlock => {
                self.in_code = false;
                if !self.text.ends_with('\n') {
                    self.text.push('\n');
                }
                self.text += "```";
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
                    let shown = grid(&rows);
                    self.say(&format!("```\n{shown}```"));
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

    /// Words of the text: escaped, but for people.
    fn words(&mut self, text: &str) {
        let shown = escape_but_people(text);
        if let Some(cell) = self.cell() {
            *cell += &shown;
            return;
        }
        let is_glued = std::mem::take(&mut self.closed) && self.gap == 0;
        if is_glued && text.starts_with(char::is_alphanumeric) {
            self.text.push(EDGE);
        }
        self.say(&shown);
    }

    /// A link whose address Slack takes; of any other only the label stays.
    fn end_link(&mut self) {
        let Some((url, at)) = self.links.pop() else { return };
        if self.table.is_some() {
            return;
        }
        let is_link = ["http://", "https://", "mailto:"].iter().any(|it| url.starts_with(it));
        let label = self.text.get(at..).unwrap_or_default().to_owned();
        let breaks = |c: char| matches!(c, '<' | '>' | '|') || c.is_whitespace();
        if !is_link || url.contains(breaks) || label.contains('\n') || label.contains('<') {
            return;
        }
        self.text.truncate(at);
        let url = url.replace('&', "&amp;");
        let label = label.replace('|', "¦");
        let shown = if label.is_empty() || label == url {
            format!("<{url}>")
        } else {
            format!("<{url}|{label}>")
        };
        self.text += &shown;
    }

    /// Marks don't reach over a line end.
    fn line_break(&mut self) {
        if let Some(cell) = self.cell() {
            cell.push(' ');
            return;
        }
        let marks: String = self.marks.iter().rev().collect();
        self.text += &marks;
        self.new_line();
        let marks: String = self.marks.iter().collect();
        self.text += &marks;
        self.closed = false;
    }

    fn open(&mut self, mark: char) {
        // A heading is bold already, and cells show no marks.
        if self.table.is_some() {
            return;
        }
        let is_open = self.marks.contains(&mark);
        self.say("");
        if !is_open {
            self.edge();
            self.text.push(mark);
        }
        self.marks.push(mark);
    }

    fn close(&mut self, mark: char) {
        if self.table.is_some() || self.marks.pop() != Some(mark) || self.marks.contains(&mark) {
            return;
        }
        if self.text.ends_with(mark) {
            // Nothing was said inside.
            self.text.pop();
        } else {
            self.text.push(mark);
            self.closed = true;
        }
    }

    /// Makes an edge of a word here.
    fn edge(&mut self) {
        if self.gap == 0 && self.text.ends_with(char::is_alphanumeric) {
            self.text.push(EDGE);
        }
    }

    /// What comes next stands after this many line ends, unless it is the first.
    fn block(&mut self, lines: usize) {
        if !self.text.is_empty() && self.table.is_none() {
            self.gap = self.gap.max(lines);
        }
    }

    fn say(&mut self, text: &str) {
        if 0 < self.gap {
            self.closed = false;
        }
        let quote_began = self.text.ends_with("> ") && 0 < self.quotes;
        let gap = std::mem::take(&mut self.gap);
        if !quote_began {
            for _ in 0..gap {
                self.new_line();
            }
        }
        match self.quotes {
            0 => self.text += text,
            _ => self.text += &text.replace('\n', "\n> "),
        }
    }

    fn new_line(&mut self) {
        self.text.push('\n');
        if 0 < self.quotes {
            self.text += "> ";
        }
    }
}

/// Escaped, but for `<@U…>`.
fn escape_but_people(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("<@") {
        let (before, from) = rest.split_at(at);
        shown += &escape(before);
        let end = from.find('>').filter(|end| {
            let id = &from[2..*end];
            id.starts_with(['U', 'W'])
                && id.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
        });
        let take = end.map_or(2, |it| it + 1);
        let (head, behind) = from.split_at(take);
        match end {
            Some(_) => shown += head,
            None => shown += &escape(head),
        }
        rest = behind;
    }
    shown + &escape(rest)
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
            ("*x* ~~y~~ `z`",                "_x_ ~y~ `z`"),
            ("这是**重点**内容",               "这是\u{200b}*重点*\u{200b}内容"),
            ("**a *b***",                    "*a _b_*"),
            ("# T\n\ntext",                  "*T*\n\ntext"),
            ("# **T**",                      "*T*"),
            ("a\nb",                         "a\nb"),
            ("**a\nb**",                     "*a*\n*b*"),
            ("- a\n- b\n  - c",              "• a\n• b\n    • c"),
            ("3. a\n4. b",                   "3. a\n4. b"),
            ("- [x] a",                      "• ☑ a"),
            ("> q\n> r\n\ns",                "> q\n> r\n\ns"),
            ("```rust\nlet x = a<b;\n```\nz", "```\nlet x = a&lt;b;\n```\n\nz"),
            ("[a](https://b.c/?x&y)",        "<https://b.c/?x&amp;y|a>"),
            ("<https://b.c>",                "<https://b.c>"),
            ("[a](javascript:x)",            "a"),
            ("[<!channel>](https://b.c)",    "<https://b.c|&lt;!channel&gt;>"),
            ("|a|b|\n|-|-|\n|1|22|\n|x|y|",  "```\na  b\n1  22\nx  y\n```"),
            ("1 < 2 & 3 > 2",                "1 &lt; 2 &amp; 3 &gt; 2"),
            ("<!channel> <!here>",           "&lt;!channel&gt; &lt;!here&gt;"),
            ("<@U0AB12> hi",                 "<@U0AB12> hi"),
            ("<@here> <#C1>",                "&lt;@here&gt; &lt;#C1&gt;"),
            ("<b>x</b>",                     "&lt;b&gt;x&lt;/b&gt;"),
            ("**",                           "**"),
            ("snake_case_name",              "snake_case_name"),
        ];
        for (markdown, want) in table {
            assert_eq!(render(markdown), want, "{markdown:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_called_together(
            markdown in "([a-c😀日*_~`#>\\[\\]()<!@|\n -]|```|<!here>|<!channel\\|x>|https://x\\.y|!channel){0,60}",
        ) {
            let shown = render(&markdown);
            prop_assert!(!shown.contains("<!"), "{shown:?}");
        }

        #[test]
        fn markdown_is_never_lost_as_a_whole(markdown in "[a-z*_ `\n]{1,40}") {
            if markdown.contains(char::is_alphabetic) {
                prop_assert!(render(&markdown).contains(char::is_alphabetic));
            }
        }
    }
}
