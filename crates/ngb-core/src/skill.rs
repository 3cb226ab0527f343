//! Skills: folders with a `SKILL.md`, which says at its top what it is called and when it helps. See
//! <https://agentskills.io/specification>.

use serde::{Deserialize, Serialize};

/// The file that makes a folder a skill.
pub const FILE: &str = "SKILL.md";

/// The folder of skills, beside the operator's instructions.
pub const FOLDER: &str = "skills";

/// Skills that an agent is told of.
pub const MAX_SKILLS: usize = 64;

/// Files of one skill, and what they may hold together, in bytes.
pub const MAX_FILES: usize = 256;
pub const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// How deep a skill's folders may lie in each other.
pub const MAX_DEPTH: usize = 6;

/// Longest name and longest description, in characters.
const MAX_NAME_CHARS: usize = 64;
const MAX_DESCRIPTION_CHARS: usize = 1_024;

/// What a skill says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Skill {
    /// Its folder's name.
    pub name: String,
    /// What it does, and when it helps.
    pub description: String,
}

/// Whether a folder's name can be a skill's: 1 to 64 of letters, digits, `-`, `_` and `.`, no dot first.
pub fn is_name(name: &str) -> bool {
    let plain = |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '_' | '.');
    (1..=MAX_NAME_CHARS).contains(&name.len()) && name.chars().all(plain) && !name.starts_with('.')
}

impl Skill {
    /// Reads what `text`, a `SKILL.md` in the folder `name`, says of itself.
    ///
    /// # Errors
    ///
    /// Why it is no skill.
    pub fn parse(name: &str, text: &str) -> Result<Self, String> {
        let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
        let mut lines = text.lines();
        if lines.next().map(str::trim_end) != Some("---") {
            return Err(format!("`{FILE}` does not begin with `---` and its `description`"));
        }
        let head: Vec<&str> = lines.by_ref().take_while(|it| it.trim_end() != "---").collect();
        let description = value(&head, "description").unwrap_or_default();
        if description.is_empty() {
            return Err(format!("`{FILE}` has no `description`, which says when it helps"));
        }
        let description = crate::text::shorten(&description, MAX_DESCRIPTION_CHARS);
        Ok(Self { name: name.to_owned(), description })
    }
}

/// The value of `key` in a head of YAML: on its line, in quotes or not, or in the lines below that are further in.
fn value(head: &[&str], key: &str) -> Option<String> {
    let start =
        |it: &&str| it.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with(':'));
    let at = head.iter().position(start)?;
    let (_, first) = head[at].split_once(':')?;
    let below = head[at + 1..].iter().take_while(|it| it.starts_with([' ', '\t']));
    let first = first.trim();
    // `>` and `|`, with or without a sign, say that the text is below.
    let first = if first.starts_with(['>', '|']) { "" } else { first };
    let words: Vec<&str> = std::iter::once(first)
        .chain(below.map(|it| it.trim()))
        .filter(|it| !it.is_empty())
        .collect();
    let text = words.join(" ");
    let quoted = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote).map(str::to_owned);
    Some(quoted('"').or_else(|| quoted('\'')).unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_skill_says() {
        #[rustfmt::skip]
        let table = [
            ("---\nname: x\ndescription: Makes tea.\n---\nBoil water.",          Ok("Makes tea.")),
            ("---\ndescription: \"Makes: tea\"\n---",                              Ok("Makes: tea")),
            ("---\r\ndescription: >-\r\n  Makes tea\r\n  and more.\r\nlicense: x\r\n---\r\n", Ok("Makes tea and more.")),
            ("---\ndescription:\n  Makes tea\n---",                                Ok("Makes tea")),
            ("\u{FEFF}---\ndescription: 沏茶\n---",                                 Ok("沏茶")),
            ("Boil water.",                                                        Err("does not begin with")),
            ("---\nname: x\n---",                                                  Err("no `description`")),
            ("",                                                                   Err("does not begin with")),
        ];
        for (text, want) in table {
            let got = Skill::parse("tea", text).map(|it| it.description);
            match (got, want) {
                (Ok(got), Ok(want)) => assert_eq!(got, want),
                (Err(got), Err(want)) => assert!(got.contains(want), "{got}"),
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
        for (name, want) in
            [("tea", true), ("a.b-c_1", true), ("..", false), ("a/b", false), ("", false)]
        {
            assert_eq!(is_name(name), want, "{name}");
        }
    }
}
