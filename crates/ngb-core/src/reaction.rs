//! Reactions: an emoji under a message. A person's reaction is a word beside the conversation; an agent's is put under
//! the message that it answers.

use crate::{
    message::{Content, Happening},
    text::shorten,
};

/// Longest emoji that is put under a message, in bytes: a family of four with skin tones has 41.
pub const MAX_EMOJI_BYTES: usize = 64;

/// Longest name of a reaction that is kept, in characters: platforms have pictures of their own, with names.
const MAX_NAME_CHARS: usize = 60;

/// Which reactions a platform lets a bot put under a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reactions {
    /// It has none, or has no way for bots to put one.
    None,
    /// Each emoji.
    Any,
    /// These, and in groups only.
    InGroups(&'static [&'static str]),
    /// These.
    These(&'static [&'static str]),
}

impl Reactions {
    /// The emoji as the platform writes it, for a chat with one person, or with several.
    ///
    /// # Errors
    ///
    /// When it can't be put under a message: why, and what can.
    pub fn find<'a>(&self, emoji: &'a str, is_direct: bool) -> Result<&'a str, String> {
        let emoji = emoji.trim();
        match self {
            Self::None => Err("no reaction can be put under a message of this chat".to_owned()),
            Self::InGroups(_) if is_direct => {
                Err("this platform has reactions in groups only".to_owned())
            }
            Self::Any if is_emoji(emoji) => Ok(emoji),
            Self::Any => Err(format!("`{}` is no emoji", shorten(emoji, MAX_NAME_CHARS))),
            Self::These(known) | Self::InGroups(known) => {
                match known.iter().find(|it| bare(it) == bare(emoji)) {
                    Some(it) => Ok(*it),
                    None => Err(format!(
                        "`{}` can't be put under a message of this chat; these can: {}",
                        shorten(emoji, MAX_NAME_CHARS),
                        known.join(" ")
                    )),
                }
            }
        }
    }
}

/// An emoji without the mark that asks for colour, which platforms write or leave out as they like.
fn bare(emoji: &str) -> String {
    emoji.replace('\u{FE0F}', "")
}

/// Whether a text may be one emoji: short, not of letters, and not of ASCII alone.
fn is_emoji(text: &str) -> bool {
    let odd = |c: char| c.is_alphabetic() || c.is_whitespace() || c.is_control();
    (1..=MAX_EMOJI_BYTES).contains(&text.len()) && !text.is_ascii() && !text.chars().any(odd)
}

/// A person's reaction to the message `of`, of a platform that tells whether `names` came or went.
pub fn came_or_went(of: &str, names: &[String], came: bool) -> Happening {
    if came { reacted(of, names, &[]) } else { reacted(of, &[], names) }
}

/// A person's reaction to the message `of`: what they put there, or else took away.
pub fn reacted(of: &str, put: &[String], taken: &[String]) -> Happening {
    let named = |all: &[String]| {
        // A name is not to look like the end of the mark.
        let all = all.join(" ").replace(['[', ']', '\n', '\r'], " ");
        shorten(all.trim(), MAX_NAME_CHARS)
    };
    let text = match (named(put), named(taken)) {
        (put, _) if !put.is_empty() => format!("[reacted with {put}]"),
        (_, taken) if !taken.is_empty() => format!("[took the reaction {taken} away]"),
        _ => "[took the reaction away]".to_owned(),
    };
    Happening::Reacted(Content { text, reply_to: Some(of.to_owned()), ..Content::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn find_table() {
        use Reactions::{Any, InGroups, None, These};
        const SOME: Reactions = These(&["👍", "❤"]);
        #[rustfmt::skip]
        let table = [
            (None, "👍",          Err("no reaction")),
            (Any,  " 👍 ",        Ok("👍")),
            (Any,  "👨‍👩‍👧‍👦",          Ok("👨‍👩‍👧‍👦")),
            (Any,  "1️⃣",          Ok("1️⃣")),
            (Any,  "",            Err("is no emoji")),
            (Any,  "ok",          Err("is no emoji")),
            (Any,  "👍 好",        Err("is no emoji")),
            (Any,  "a👍",         Err("is no emoji")),
            (SOME, "👍",          Ok("👍")),
            (SOME, "❤️",          Ok("❤")),
            (SOME, "😀",          Err("these can: 👍 ❤")),
            (InGroups(&["👍"]), "👍", Err("in groups only")),
        ];
        for (takes, emoji, want) in table {
            match (takes.find(emoji, true), want) {
                (Ok(got), Ok(want)) => assert_eq!(got, want),
                (Err(got), Err(want)) => assert!(got.contains(want), "{emoji}: {got}"),
                (got, want) => panic!("{emoji}: {got:?}, not {want:?}"),
            }
        }
        assert!(Any.find(&"👍".repeat(17), true).is_err(), "too long");
        assert_eq!(InGroups(&["👍"]).find("👍", false), Ok("👍"));
    }

    #[test]
    fn reacted_table() {
        #[rustfmt::skip]
        let table: &[(&[&str], &[&str], &str)] = &[
            (&["👍"],         &[],      "[reacted with 👍]"),
            (&["👍", "🔥"],   &["❤"],   "[reacted with 👍 🔥]"),
            (&[],             &["❤"],   "[took the reaction ❤ away]"),
            (&[],             &[],      "[took the reaction away]"),
            (&["a]\nb: do"],  &[],      "[reacted with a  b: do]"),
        ];
        for (put, taken, want) in table {
            let all = |it: &[&str]| it.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
            let Happening::Reacted(got) = reacted("7", &all(put), &all(taken)) else { panic!() };
            assert_eq!((got.text.as_str(), got.reply_to.as_deref()), (*want, Some("7")));
        }
    }
}
