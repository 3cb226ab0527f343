//! Markdown, in the dialects of platforms that have no entities beside the text, only marks in it.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::lists::Lists;

/// What a platform shows, and by which marks. An empty mark is none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialect {
    pub(crate) bold: &'static str,
    pub(crate) italic: &'static str,
    pub(crate) struck: &'static str,
    /// Around code of several lines and tables; without it they are shown as they are.
    pub(crate) fence: &'static str,
    /// Whether `# ` makes a heading; else it is bold.
    pub(crate) headings: bool,
    /// Whether `[text](address)` makes a link; else the address stands behind its text.
    pub(crate) links: bool,
}

pub(crate) fn render(markdown: &str, dialect: Dialect) -> String {
    let mut page = Page::new(dialect);
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
struct Page {
    dialect: Dialect,
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
    fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            text: String::new(),
            lists: Lists::default(),
            gap: 0,
            quotes: 0,
            bold: 0,
            in_code: false,
            cells: 0,
            links: Vec::new(),
        }
    }

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
            Tag::Heading { level, .. } => {
                self.block(2);
                if self.dialect.headings {
                    self.say(&format!("{} ", "#".repeat(level as usize)));
                } else {
                    self.embolden();
                }
            }
            Tag::BlockQuote(_) => {
                self.block(2);
                self.quotes += 1;
            }
            Tag::CodeBlock(_) | Tag::Table(_) => {
                self.block(self.lists.between());
                // Its language would be shown.
                let fence = self.dialect.fence;
                self.say(&if fence.is_empty() { String::new() } else { format!("{fence}\n") });
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
            Tag::Emphasis => self.say(self.dialect.italic),
            Tag::Strong => self.embolden(),
            Tag::Strikethrough => self.say(self.dialect.struck),
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => {
                self.say(if self.dialect.links { "[" } else { "" });
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
                if !self.dialect.headings {
                    self.lighten();
                }
                self.block(2);
            }
            TagEnd::BlockQuote(_) => {
                self.quotes = self.quotes.saturating_sub(1);
                self.block(2);
            }
            TagEnd::CodeBlock | TagEnd::Table => {
                self.gap = 0;
                if !self.dialect.fence.is_empty() {
                    if !self.text.ends_with('\n') {
                        self.push("\n");
                    }
                    self.push(self.dialect.fence);
                }
                self.in_code = false;
                self.block(self.lists.between());
            }
            TagEnd::List(_) => {
                self.lists.end();
                self.block(self.lists.between());
            }
            TagEnd::Item | TagEnd::TableHead | TagEnd::TableRow => self.block(1),
            TagEnd::Emphasis => self.say(self.dialect.italic),
            TagEnd::Strong => self.lighten(),
            TagEnd::Strikethrough => self.say(self.dialect.struck),
            TagEnd::Link | TagEnd::Image => self.close_link(),
            _ => (),
        }
    }

    fn embolden(&mut self) {
        if self.bold == 0 && !self.in_code {
            self.say(self.dialect.bold);
        }
        self.bold += 1;
    }

    fn lighten(&mut self) {
        self.bold = self.bold.saturating_sub(1);
        if self.bold == 0 && !self.in_code {
            self.say(self.dialect.bold);
        }
    }

    /// The address behind its text, unless the text is the address.
    fn close_link(&mut self) {
        let Some((url, from)) = self.links.pop() else { return };
        let said = self.text.get(from..).unwrap_or_default().trim();
        if self.dialect.links {
            let name = if said.is_empty() { url.clone() } else { String::new() };
            self.say(&format!("{name}]({url})"));
        } else if said.is_empty() {
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
