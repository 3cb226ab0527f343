//! Fitting text to a channel's limits.

use unicode_segmentation::UnicodeSegmentation as _;

/// What a platform counts when it limits a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// UTF-8 bytes (WeCom).
    Bytes,
    /// Unicode code points (Discord, Slack, WhatsApp).
    Chars,
    /// UTF-16 code units (Telegram).
    Utf16,
}

impl Unit {
    pub fn count(self, text: &str) -> usize {
        match self {
            Self::Bytes => text.len(),
            Self::Chars => text.chars().count(),
            Self::Utf16 => text.chars().map(char::len_utf16).sum(),
        }
    }
}

/// The longest text of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub max: usize,
    pub unit: Unit,
}

impl Limit {
    pub fn fits(self, text: &str) -> bool {
        self.unit.count(text) <= self.max
    }
}

/// The least limit that [`split`] takes: room for a code fence and some text in it.
pub const LEAST_LIMIT: usize = 32;

/// Splits Markdown into parts that each fit, in this order of preference: at a blank line, at a line end, after a white
/// space, between two graphemes; inside a grapheme only when it alone is too long.
///
/// A code fence that is cut is closed at the end of its part and opened again, with its language, in the next one.
/// Without these added lines the parts, joined, are `text` again.
///
/// # Panics
///
/// When `limit.max` is less than [`LEAST_LIMIT`].
pub fn split(text: &str, limit: Limit) -> Vec<String> {
    assert!(LEAST_LIMIT <= limit.max, "a limit of {} leaves no room for text", limit.max);
    let mut parts = Vec::new();
    let mut rest = text;
    let mut open: Option<Fence<'_>> = None;
    while !rest.is_empty() {
        let head = open.map(Fence::reopen).unwrap_or_default();
        let room = limit.max - limit.unit.count(&head);
        let whole = cut_at(rest, room, limit.unit);
        let (take, after) = if whole == rest.len() {
            (whole, fence_after(open, rest))
        } else {
            // Room for the closing line, in case the cut is inside a fence.
            let take = cut_at(rest, room - limit.unit.count(CLOSE), limit.unit);
            (take, fence_after(open, &rest[..take]))
        };
        let mut part = head + &rest[..take];
        rest = &rest[take..];
        if after.is_some() && !rest.is_empty() {
            part += if part.ends_with('\n') { CLOSE.trim_start() } else { CLOSE };
        }
        parts.push(part);
        open = after;
    }
    parts
}

const CLOSE: &str = "\n```";

/// Longest language of a fence that is repeated when the fence is opened again, in bytes.
const MAX_FENCE_LANGUAGE_BYTES: usize = 12;

/// A code fence that is open at some point of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fence<'a> {
    language: &'a str,
}

impl Fence<'_> {
    fn reopen(self) -> String {
        format!("```{}\n", self.language)
    }
}

/// The fence that is open after `text`, when `before` was open at its start.
fn fence_after<'a>(before: Option<Fence<'a>>, text: &'a str) -> Option<Fence<'a>> {
    let mut open = before;
    for line in text.lines() {
        let Some(info) = line.trim_start().strip_prefix("```") else { continue };
        open = match open {
            Some(_) => None,
            None => {
                let language = info.trim();
                let plain = language
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '_' | '#'));
                let short = language.len() <= MAX_FENCE_LANGUAGE_BYTES;
                Some(Fence { language: if plain && short { language } else { "" } })
            }
        };
    }
    open
}

/// Where to cut so that at most `max` units stand before; the length of `text` if all of it fits.
fn cut_at(text: &str, max: usize, unit: Unit) -> usize {
    let mut used = 0;
    let mut end = 0;
    for grapheme in text.graphemes(true) {
        let more = unit.count(grapheme);
        if max < used + more {
            break;
        }
        used += more;
        end += grapheme.len();
    }
    if end == text.len() {
        return end;
    }
    if end == 0 {
        return first_chars(text, max, unit);
    }
    let head = &text[..end];
    let half = head.len() / 2;
    let paragraph = head.rfind("\n\n").map(|at| at + 2).filter(|at| half < *at);
    let line = head.rfind('\n').map(|at| at + 1);
    let word = head
        .rfind(char::is_whitespace)
        .map(|at| at + head[at..].chars().next().map_or(1, char::len_utf8));
    paragraph.or(line).or(word).unwrap_or(end)
}

/// One grapheme that is too long for a whole message: as many of its characters as fit, at least one.
fn first_chars(text: &str, max: usize, unit: Unit) -> usize {
    let mut used = 0;
    let mut end = 0;
    for c in text.chars() {
        used += unit.count(c.encode_utf8(&mut [0; 4]));
        if max < used && 0 < end {
            break;
        }
        end += c.len_utf8();
    }
    end
}

/// The first `max` characters of `text`, with `…` where something was left out.
pub fn shorten(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.to_owned(),
        Some(_) => {
            let cut = text.char_indices().nth(max.saturating_sub(1)).map_or(0, |(at, _)| at);
            format!("{}…", &text[..cut])
        }
    }
}

/// Longest file name that is kept, in bytes. Most file systems hold 255.
const MAX_FILE_NAME_BYTES: usize = 120;

/// A file name like `name` that is safe on every file system: no path, no control characters, no leading dot.
pub fn file_name(name: &str) -> String {
    let base = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let bad = |c: char| c.is_control() || matches!(c, '<' | '>' | ':' | '"' | '|' | '?' | '*');
    let clean: String = base.chars().map(|c| if bad(c) { '_' } else { c }).collect();
    let clean = clean.trim().trim_start_matches('.').trim();
    if clean.is_empty() {
        return "file".to_owned();
    }
    if clean.len() <= MAX_FILE_NAME_BYTES {
        return clean.to_owned();
    }
    // The end says what kind of file it is, so it stays.
    let (stem, end) = match clean.rfind('.') {
        Some(at) if clean.len() - at <= 16 => clean.split_at(at),
        _ => (clean, ""),
    };
    let mut keep = MAX_FILE_NAME_BYTES - end.len();
    while !stem.is_char_boundary(keep) {
        keep -= 1;
    }
    format!("{}{end}", &stem[..keep])
}

/// `text` without what stands between `<internal>` and `</internal>`, which is the agent's own; one that is never
/// closed goes to the end.
pub fn without_internal(text: &str) -> String {
    const OPEN: &str = "<internal>";
    const SHUT: &str = "</internal>";
    let mut res = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(OPEN) {
        res += &rest[..at];
        let inner = &rest[at + OPEN.len()..];
        match inner.find(SHUT) {
            Some(end) => rest = &inner[end + SHUT.len()..],
            None => rest = "",
        }
    }
    res += rest;
    if res.len() == text.len() { res } else { res.trim().to_owned() }
}

/// An error with its causes, in one line.
pub fn with_causes(err: &dyn std::error::Error) -> String {
    let mut text = err.to_string();
    let mut cause = err.source();
    while let Some(it) = cause {
        text += &format!(": {it}");
        cause = it.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn utf16(max: usize) -> Limit {
        Limit { max, unit: Unit::Utf16 }
    }

    #[test]
    fn split_table() {
        let a = |n: usize| "a".repeat(n);
        let long_line = format!("{}\n{}", a(30), a(10));
        let paragraphs = format!("{}\n\n{}\n{}", a(15), a(8), a(20));
        let fenced = format!("```rust\n{}\n{}\n```\nend", a(15), a(15));
        #[rustfmt::skip]
        let table: &[(&str, Limit, &[&str])] = &[
            ("",                        utf16(32), &[]),
            (&a(32),                    utf16(32), &[&a(32)]),
            (&a(33),                    utf16(32), &[&a(28), &a(5)]),
            (&long_line,                utf16(36), &[&format!("{}\n", a(30)), &a(10)]),
            (&paragraphs,               utf16(36), &[&format!("{}\n\n", a(15)), &format!("{}\n{}", a(8), a(20))]),
            (&"日".repeat(12),           Limit { max: 32, unit: Unit::Bytes }, &[&"日".repeat(9), &"日".repeat(3)]),
            (&"😀".repeat(17),           utf16(32), &[&"😀".repeat(14), &"😀".repeat(3)]),
            (&fenced,                   utf16(36), &[&format!("```rust\n{}\n```", a(15)), &format!("```rust\n{}\n```\nend", a(15))]),
        ];
        for (text, limit, want) in table {
            let got = split(text, *limit);
            assert_eq!(&got, want, "{text:?} at {limit:?}");
        }
    }

    #[test]
    fn shorten_table() {
        for (text, max, want) in
            [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("日本語です", 3, "日本…"), ("", 3, "")]
        {
            assert_eq!(shorten(text, max), want);
        }
    }

    #[test]
    fn file_name_table() {
        let long = format!("{}.pdf", "x".repeat(300));
        #[rustfmt::skip]
        let table = [
            ("report.pdf",           "report.pdf".to_owned()),
            ("../../etc/passwd",     "passwd".to_owned()),
            ("C:\\a\\b.txt",         "b.txt".to_owned()),
            (".bashrc",              "bashrc".to_owned()),
            ("a\0b\nc",              "a_b_c".to_owned()),
            ("",                     "file".to_owned()),
            ("..",                   "file".to_owned()),
            ("报告 1.docx",           "报告 1.docx".to_owned()),
            (&long,                  format!("{}.pdf", "x".repeat(116))),
        ];
        for (name, want) in table {
            assert_eq!(file_name(name), want, "{name:?}");
        }
    }

    #[test]
    fn internal_is_never_said() {
        #[rustfmt::skip]
        let table = [
            ("hello",                                    "hello"),
            ("a <internal>secret</internal> b",          "a  b"),
            ("<internal>x</internal>hi",                 "hi"),
            ("hi <internal>never closed",                "hi"),
            ("<internal>a</internal><internal>b",        ""),
        ];
        for (text, want) in table {
            assert_eq!(without_internal(text), want);
        }
    }

    proptest! {
        #[test]
        fn every_part_fits_and_nothing_is_lost(
            text in "([a-m日😀 \n`]|[ \n]{2}|👨‍👩‍👧|```rust\n|```\n){0,200}", max in 32..80_usize, at in 0..3_usize,
        ) {
            let limit = Limit { max, unit: [Unit::Bytes, Unit::Chars, Unit::Utf16][at] };
            let parts = split(&text, limit);
            for part in &parts {
                prop_assert!(limit.fits(part), "{} of {max}: {part:?}", limit.unit.count(part));
            }
            // Fences may be added, nothing else may: without what they are made of it is the same text.
            let bare = |text: &str| text.replace(['`', '\n', 'r', 'u', 's', 't'], "");
            prop_assert_eq!(bare(&parts.concat()), bare(&text));
        }

        #[test]
        fn without_fences_the_parts_are_the_text(text in "[a-z日😀 \n]{0,300}", max in 32..80_usize) {
            prop_assert_eq!(split(&text, utf16(max)).concat(), text);
        }

        #[test]
        fn any_name_becomes_a_file_name(name in ".{0,300}") {
            let got = file_name(&name);
            prop_assert!(!got.is_empty() && got.len() <= MAX_FILE_NAME_BYTES);
            prop_assert!(!got.starts_with('.') && !got.contains(['/', '\\', '\0']), "{got:?}");
        }
    }
}
