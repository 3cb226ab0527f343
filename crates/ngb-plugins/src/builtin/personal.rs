//! What credentials and personal data look like.

use regex::Regex;

/// Something that must not be seen.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    serde::Deserialize,
    serde::Serialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Keys, tokens, passwords, private keys.
    Credential,
    Email,
    /// Telephone numbers with a country code, and Chinese mobile numbers.
    Phone,
    /// Numbers of payment cards.
    Card,
    /// International bank account numbers.
    Iban,
    /// Chinese identity numbers.
    ChineseId,
}

impl Kind {
    pub(crate) const ALL: &[Self] =
        &[Self::Credential, Self::Email, Self::Iban, Self::Card, Self::ChineseId, Self::Phone];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Credential => "credential",
            Self::Email => "e-mail",
            Self::Phone => "phone",
            Self::Card => "card",
            Self::Iban => "iban",
            Self::ChineseId => "id number",
        }
    }

    /// The shapes; where there is a group `v`, only that is the secret.
    fn patterns(self) -> &'static [&'static str] {
        match self {
            Self::Credential => &[
                r"\bsk-[A-Za-z0-9_-]{20,}",
                r"\bgh[pousr]_[A-Za-z0-9]{36,}",
                r"\bgithub_pat_[A-Za-z0-9_]{22,}",
                r"\bglpat-[A-Za-z0-9_-]{20,}",
                r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
                r"\bxapp-[0-9]-[A-Za-z0-9-]{10,}",
                r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
                r"\bAIza[0-9A-Za-z_-]{35}",
                r"\b[0-9]{8,10}:[A-Za-z0-9_-]{35}\b",
                r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]+",
                r"\bnpm_[A-Za-z0-9]{36}\b",
                r"\bhf_[A-Za-z0-9]{30,}",
                r"\b[rs]k_(?:live|test)_[0-9A-Za-z]{16,}",
                r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)",
                r"\b[a-z][a-z0-9+.-]*://[^\s/:@]+:(?P<v>[^\s/@]+)@",
                r#"(?i)\b(?:password|passwd|pwd|secret|api[_ -]?key|access[_ -]?token|auth[_ -]?token)\b["']?\s*(?:[:=]|is)\s*["']?(?P<v>[^\s"',;]{6,})"#,
                r"(?:密码|口令|密钥)\s*(?:[:：=]|是)\s*(?P<v>[^\s，。；]{4,})",
            ],
            Self::Email => &[r"(?i)\b[a-z0-9._%+-]+@[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]{2,}\b"],
            Self::Phone => &[
                r"\+[1-9][0-9]{0,2}[ .-]?(?:\([0-9]{1,4}\)[ .-]?)?[0-9]{2,4}(?:[ .-]?[0-9]{2,4}){1,4}\b",
                r"\b1[3-9][0-9][ -]?[0-9]{4}[ -]?[0-9]{4}\b",
            ],
            Self::Card => &[r"\b[0-9](?:[ -]?[0-9]){12,18}\b"],
            Self::Iban => &[r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b"],
            Self::ChineseId => &[r"\b[1-9][0-9]{16}[0-9Xx]\b"],
        }
    }

    /// How much of a text of that shape is one; what follows a number may look like more of it.
    fn of(self, text: &str) -> Option<usize> {
        let whole = |holds: bool| holds.then_some(text.len());
        let part = |holds: fn(&str) -> bool| {
            let cuts = text.rmatch_indices([' ', '-']).map(|(at, _)| at);
            std::iter::once(text.len()).chain(cuts).find(|end| holds(&text[..*end]))
        };
        match self {
            Self::Credential | Self::Email => whole(true),
            Self::Phone => whole(8 <= text.chars().filter(char::is_ascii_digit).count()),
            Self::Card => part(luhn),
            Self::Iban => part(iban),
            Self::ChineseId => whole(chinese_id(text)),
        }
    }
}

/// Finds what must not be seen.
pub(crate) struct Finder(Vec<(Kind, Regex)>);

impl Finder {
    pub(crate) fn new(kinds: &[Kind]) -> Self {
        let wanted = Kind::ALL.iter().filter(|it| kinds.contains(it));
        let of = |it: &Kind| {
            let kind = *it;
            // Chinese is written without spaces: a word ends where its own letters end.
            let ascii = |it: &str| it.replace(r"\b", r"(?-u:\b)");
            let compile = |it: &&str| Regex::new(&ascii(it)).expect("the patterns are ours");
            it.patterns().iter().map(compile).map(move |it| (kind, it)).collect::<Vec<_>>()
        };
        Self(wanted.flat_map(of).collect())
    }

    /// The text with `mask` in the place of each.
    pub(crate) fn mask(&self, text: &str, mask: impl Fn(Kind) -> String) -> String {
        let mut text = text.to_owned();
        for (kind, pattern) in &self.0 {
            let mut left = String::new();
            let mut at = 0;
            let mut from = 0;
            while let Some(found) = pattern.captures_at(&text, from) {
                let Some(it) = found.name("v").or_else(|| found.get(0)) else { break };
                match kind.of(it.as_str()) {
                    Some(length) => {
                        left += &text[at..it.start()];
                        left += &mask(*kind);
                        at = it.start() + length;
                        from = at;
                    }
                    // A number may begin within what was none.
                    None => from = text.ceil_char_boundary(it.start() + 1),
                }
            }
            if 0 < at {
                left += &text[at..];
                text = left;
            }
        }
        text
    }
}

/// ISO/IEC 7812-1, annex B.
fn luhn(text: &str) -> bool {
    let digits: Vec<u32> = text.chars().filter_map(|it| it.to_digit(10)).collect();
    let doubled = |it: u32| if 4 < it { 2 * it - 9 } else { 2 * it };
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(n, it)| if n % 2 == 1 { doubled(*it) } else { *it })
        .sum();
    (13..=19).contains(&digits.len()) && sum.is_multiple_of(10) && digits.iter().any(|it| *it != 0)
}

/// ISO 13616: moved round and read as a number, 1 remains of 97.
fn iban(text: &str) -> bool {
    let text: String = text.chars().filter(|it| !it.is_whitespace()).collect();
    if !(15..=34).contains(&text.len()) {
        return false;
    }
    let turned = text[4..].chars().chain(text[..4].chars());
    turned
        .filter_map(|it| it.to_digit(36))
        .fold(0, |rest, it| (if it < 10 { rest * 10 + it } else { rest * 100 + it }) % 97)
        == 1
}

/// GB 11643-1999: the last place checks the others.
fn chinese_id(text: &str) -> bool {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let sum: u32 =
        text.chars().zip(WEIGHTS).filter_map(|(it, weight)| Some(it.to_digit(10)? * weight)).sum();
    let check = b"10X98765432"[(sum % 11) as usize];
    text.as_bytes().last().is_some_and(|it| it.to_ascii_uppercase() == check)
}
