//! WeCom's XML: flat, small, and nothing else.

use std::collections::BTreeMap;

use quick_xml::{Reader, escape::resolve_predefined_entity, events::Event};
use thiserror::Error;

/// Elements that may be open at a time.
const MAX_DEPTH: usize = 8;

/// Elements of a document.
const MAX_ELEMENTS: usize = 200;

#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub(super) struct BadXml(String);

/// The texts of all elements below the root, by their path: `MsgType`, `SendPicsInfo/Count`. Of a path that comes twice
/// the first counts. A document type, and entities but the five of XML, are refused: nothing expands.
pub(super) fn read(text: &str) -> Result<BTreeMap<String, String>, BadXml> {
    let bad = |why: &str| BadXml(why.to_owned());
    let mut reader = Reader::from_str(text);
    let mut open: Vec<String> = Vec::new();
    let mut found = BTreeMap::<String, String>::new();
    let mut said = String::new();
    let mut count = 0;
    loop {
        match reader.read_event().map_err(|err| BadXml(err.to_string()))? {
            Event::Start(it) => {
                count += 1;
                if MAX_DEPTH <= open.len() || MAX_ELEMENTS < count {
                    return Err(bad("too many elements"));
                }
                open.push(it.name().into_inner().to_owned());
                said.clear();
            }
            Event::End(_) => {
                let path = open.get(1..).unwrap_or_default().join("/");
                open.pop();
                if !path.is_empty() {
                    found.entry(path).or_insert_with(|| std::mem::take(&mut said));
                }
                said.clear();
            }
            Event::Text(it) => said += &it.xml10_content(),
            Event::CData(it) => said += &it.xml10_content(),
            Event::GeneralRef(it) => {
                match it.resolve_char_ref().map_err(|_| bad("a bad character"))? {
                    Some(c) => said.push(c),
                    None => {
                        let text = resolve_predefined_entity(&it);
                        said += text.ok_or_else(|| BadXml(format!("the entity `{}`", &*it)))?;
                    }
                }
            }
            Event::DocType(_) => return Err(bad("a document type")),
            Event::Eof if open.is_empty() && 0 < count => return Ok(found),
            Event::Eof => return Err(bad("it ends too early")),
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => (),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn read_table() {
        let deep = "<a>".repeat(9);
        let bomb = "<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><xml><C>&b;</C></xml>";
        #[rustfmt::skip]
        let table = [
            ("<xml><A>1</A><B><![CDATA[x <b> & y]]></B></xml>",  Ok("A=1;B=x <b> & y;")),
            ("<xml><A>&lt;&#65;&amp;</A></xml>",                 Ok("A=<A&;")),
            ("<xml><P><C>2</C></P></xml>",                       Ok("P=;P/C=2;")),
            ("<xml><A>1</A><A>2</A></xml>",                      Ok("A=1;")),
            ("<xml><A>&x;</A></xml>",                            Err("the entity `x`")),
            (bomb,                                               Err("a document type")),
            (&deep,                                              Err("too many elements")),
            ("<xml><A>1</A>",                                    Err("it ends too early")),
            ("",                                                 Err("it ends too early")),
            ("<xml></b>",                                        Err("")),
        ];
        for (text, want) in table {
            match (read(text), want) {
                (Ok(got), Ok(want)) => {
                    let got: String = got.iter().map(|(key, it)| format!("{key}={it};")).collect();
                    assert_eq!(got, want, "{text}");
                }
                (Err(got), Err(want)) => assert!(got.0.contains(want), "{text}: {got}"),
                (got, want) => panic!("{text}: {got:?} for {want:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_much(text in "(<xml>|</xml>|<A>|</A>|<!\\[CDATA\\[|\\]\\]>|&#?[a-z0-9]{0,4};|[a-z<>&日]){0,40}") {
            drop(read(&text));
        }
    }
}
