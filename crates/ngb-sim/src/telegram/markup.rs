//! What Telegram's server makes of markup, and what it refuses.

use ngb_core::text::Unit;
use serde_json::{Value, json};

/// Text without markup, and its entities; or what can't be parsed.
pub(super) type Parsed = Result<(String, Vec<Value>), String>;

/// Checks a list of entities that came beside a text.
pub(super) fn check(text: &str, entities: &[Value]) -> Result<(), String> {
    let end = Unit::Utf16.count(text);
    for entity in entities {
        let at = |key: &str| entity[key].as_u64().and_then(|it| usize::try_from(it).ok());
        let (Some(offset), Some(length)) = (at("offset"), at("length")) else {
            return Err("an entity has no offset or length".into());
        };
        if entity["type"].as_str().is_none_or(str::is_empty) {
            return Err("an entity has no type".into());
        }
        if length == 0 || end < offset + length {
            return Err(format!("entity beyond the text at byte offset {offset}"));
        }
        let cut = |at: usize| !is_boundary(text, at);
        if cut(offset) || cut(offset + length) {
            return Err(format!("entity begins or ends in a surrogate pair at {offset}"));
        }
        if entity["type"] == "text_link" && entity["url"].as_str().is_none_or(str::is_empty) {
            return Err("a text_link has no url".into());
        }
    }
    Ok(())
}

fn is_boundary(text: &str, units: usize) -> bool {
    let mut at = 0;
    for c in text.chars() {
        if units <= at {
            break;
        }
        at += c.len_utf16();
    }
    at == units
}

/// An entity that is open.
struct Open {
    mark: String,
    kind: &'static str,
    offset: usize,
    url: Option<String>,
}

impl Open {
    fn close(self, end: usize) -> Option<Value> {
        let length = end - self.offset;
        let mut entity = json!({"type": self.kind, "offset": self.offset, "length": length});
        if let Some(url) = self.url {
            entity["url"] = url.into();
        }
        (0 < length).then_some(entity)
    }
}

/// `parse_mode` HTML.
pub(super) fn html(text: &str) -> Parsed {
    let mut plain = String::new();
    let mut entities = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if c == '<' {
            let Some(end) = rest.find('>') else { return Err("unclosed start tag".into()) };
            let tag = &rest[1..end];
            rest = &rest[end + 1..];
            let here = Unit::Utf16.count(&plain);
            if let Some(name) = tag.strip_prefix('/') {
                match open.pop() {
                    Some(it) if it.mark == name => entities.extend(it.close(here)),
                    Some(it) => {
                        return Err(format!(
                            "unmatched end tag, expected \"</{}>\", found \"</{name}>\"",
                            it.mark
                        ));
                    }
                    None => return Err(format!("unexpected end tag \"</{name}>\"")),
                }
                continue;
            }
            let name = tag.split_whitespace().next().unwrap_or_default();
            let kind = match name {
                "b" | "strong" => "bold",
                "i" | "em" => "italic",
                "u" | "ins" => "underline",
                "s" | "strike" | "del" => "strikethrough",
                "tg-spoiler" | "span" => "spoiler",
                "code" => "code",
                "pre" => "pre",
                "blockquote" => "blockquote",
                "a" => "text_link",
                _ => return Err(format!("unsupported start tag \"{name}\"")),
            };
            let url =
                tag.split_once("href=").map(|(_, it)| it.trim_matches(['"', '\'']).to_owned());
            open.push(Open { mark: name.to_owned(), kind, offset: here, url });
        } else if c == '&' {
            let known = [("&lt;", '<'), ("&gt;", '>'), ("&amp;", '&'), ("&quot;", '"')];
            match known.iter().find(|(it, _)| rest.starts_with(it)) {
                Some((name, c)) => {
                    plain.push(*c);
                    rest = &rest[name.len()..];
                }
                None => {
                    plain.push('&');
                    rest = &rest[1..];
                }
            }
        } else {
            plain.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    match open.pop() {
        Some(it) => Err(format!("can't find end tag corresponding to start tag \"{}\"", it.mark)),
        None => Ok((plain, entities)),
    }
}

/// `parse_mode` MarkdownV2.
pub(super) fn markdown_v2(text: &str) -> Parsed {
    const MARKS: &[(&str, &str)] = &[
        ("```", "pre"),
        ("`", "code"),
        ("||", "spoiler"),
        ("__", "underline"),
        ("*", "bold"),
        ("_", "italic"),
        ("~", "strikethrough"),
        ("[", "text_link"),
    ];
    let mut plain = String::new();
    let mut entities = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let here = Unit::Utf16.count(&plain);
        let inside = open.last().map(|it| it.kind);
        let in_code = matches!(inside, Some("pre" | "code"));
        if c == '\\' {
            let next = rest[1..].chars().next();
            plain.push(next.unwrap_or('\\'));
            rest = &rest[1 + next.map_or(0, char::len_utf8)..];
        } else if c == ']' && inside == Some("text_link") {
            let url = rest[1..].strip_prefix('(').and_then(|it| it.split_once(')'));
            let (Some((url, after)), Some(mut it)) = (url, open.pop()) else {
                return Err("can't find end of a URL".into());
            };
            it.url = Some(url.to_owned());
            entities.extend(it.close(here));
            rest = after;
        } else if let Some((mark, kind)) = MARKS
            .iter()
            .find(|(mark, kind)| rest.starts_with(mark) && (!in_code || inside == Some(kind)))
        {
            if inside == Some(kind) && *mark != "[" {
                entities.extend(open.pop().and_then(|it| it.close(here)));
            } else {
                open.push(Open { mark: (*mark).to_owned(), kind, offset: here, url: None });
            }
            rest = &rest[mark.len()..];
        } else if !in_code && "])()>#+-=|{}.!".contains(c) && !(c == '>' && starts_line(&plain)) {
            return Err(format!(
                "Character '{c}' is reserved and must be escaped with the preceding '\\'"
            ));
        } else {
            plain.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    match open.pop() {
        Some(it) => Err(format!("can't find end of the entity starting at offset {}", it.offset)),
        None => Ok((plain, entities)),
    }
}

fn starts_line(before: &str) -> bool {
    before.is_empty() || before.ends_with('\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_table() {
        type Row<'a> = (fn(&str) -> Parsed, &'a str, Result<(&'a str, usize), &'a str>);
        #[rustfmt::skip]
        let table: &[Row<'_>] = &[
            (html,        "a <b>b</b> &lt;",           Ok(("a b <", 1))),
            (html,        "<a href=\"http://x\">y</a>", Ok(("y", 1))),
            (html,        "a <b>b",                    Err("can't find end tag")),
            (html,        "<blink>b</blink>",          Err("unsupported start tag")),
            (html,        "<b><i>x</b></i>",           Err("unmatched end tag")),
            (markdown_v2, "*b* _i_ `c.` [x](http://y)", Ok(("b i c. x", 4))),
            (markdown_v2, "done\\.",                   Ok(("done.", 0))),
            (markdown_v2, "done.",                     Err("Character '.' is reserved")),
            (markdown_v2, "*open",                     Err("can't find end of the entity")),
        ];
        for (parse, text, want) in table {
            let got = parse(text);
            match (&got, want) {
                (Ok((plain, entities)), Ok((want, count))) => {
                    assert_eq!((plain.as_str(), entities.len()), (*want, *count), "{text}");
                }
                (Err(why), Err(needle)) => assert!(why.contains(needle), "{text}: {why}"),
                _ => panic!("{text}: {got:?}"),
            }
        }
    }

    #[test]
    fn entities_must_lie_in_the_text() {
        #[rustfmt::skip]
        let table = [
            ("a😀b", json!({"type": "bold", "offset": 1, "length": 2}), true),
            ("a😀b", json!({"type": "bold", "offset": 2, "length": 2}), false),
            ("a😀b", json!({"type": "bold", "offset": 3, "length": 2}), false),
            ("a😀b", json!({"type": "bold", "offset": 0}),              false),
            ("a😀b", json!({"type": "bold", "offset": 0, "length": 0}), false),
        ];
        for (text, entity, fine) in table {
            assert_eq!(check(text, std::slice::from_ref(&entity)).is_ok(), fine, "{entity}");
        }
    }
}
