//! Values that must not be shown.

use std::{
    fmt,
    sync::{Arc, RwLock},
};

use serde::{Deserialize, Deserializer};

/// A password, token or key. Neither `Debug` nor `Display` shows it, and it can't be serialized.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    pub fn new(value: impl Into<Box<str>>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(Self::new)
    }
}

/// Shortest value that [`Redactor`] looks for; anything shorter would blank ordinary words.
const SHORTEST_REDACTED_BYTES: usize = 6;

/// Blanks known secrets in text that leaves the program: logs, API answers, decisions, `doctor`. Clones know the same.
#[derive(Clone, Debug, Default)]
pub struct Redactor {
    /// The longest first: a secret may contain another one.
    known: Arc<RwLock<Vec<Secret>>>,
}

impl Redactor {
    pub fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        let redactor = Self::default();
        redactor.add(secrets);
        redactor
    }

    /// Blanks these as well, from now on.
    pub fn add(&self, secrets: impl IntoIterator<Item = Secret>) {
        let mut known = self.known.write().expect("nobody panics while holding it");
        for secret in secrets {
            if SHORTEST_REDACTED_BYTES <= secret.expose().len() && !known.contains(&secret) {
                known.push(secret);
            }
        }
        known.sort_by_key(|it| std::cmp::Reverse(it.expose().len()));
    }

    /// `text` with every known secret replaced by `[secret]`.
    pub fn redact<'a>(&self, text: &'a str) -> std::borrow::Cow<'a, str> {
        let mut res = std::borrow::Cow::Borrowed(text);
        for secret in &*self.known.read().expect("nobody panics while holding it") {
            if res.contains(secret.expose()) {
                res = res.replace(secret.expose(), "[secret]").into();
            }
        }
        res
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_shown() {
        let key = Secret::new("sk-1234567");
        assert_eq!(format!("{key} {key:?}"), "[secret] [secret]");
        assert_eq!(key.expose(), "sk-1234567");
    }

    #[test]
    fn redact_table() {
        let red = Redactor::new(["sk-1234567", "sk-1234567-long", "abc"].map(Secret::new));
        #[rustfmt::skip]
        let table = [
            ("nothing here",           "nothing here"),
            ("key sk-1234567!",        "key [secret]!"),
            ("sk-1234567-long",        "[secret]"),
            ("abc is too short",       "abc is too short"),
        ];
        for (text, want) in table {
            assert_eq!(red.redact(text), want, "{text}");
        }
    }
}
