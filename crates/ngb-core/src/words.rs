//! What a text can be found by: its words, and pairs of signs in scripts that put no space between words.
//!
//! No database has to know a language for it: both keep these as plain texts and compare them for equality. Most Chinese
//! words have two signs, so pairs find them; a single sign is kept as well.

use std::collections::BTreeSet;

/// Words of one text that are kept. What is longer is a file, and found by its beginning.
pub const MAX_WORDS: usize = 2_000;

/// Characters of a word that count.
const MAX_WORD_CHARS: usize = 40;

/// Words of a question that count, the longest.
pub const MAX_SOUGHT: usize = 16;

/// The words that `text` is found by.
pub fn words(text: &str) -> BTreeSet<String> {
    let mut res = BTreeSet::new();
    split(text, |word| {
        match word {
            Word::Whole(it) => drop(res.insert(it)),
            Word::Signs(signs) => {
                res.extend(signs.iter().map(ToString::to_string));
                res.extend(pairs(&signs));
            }
        }
        res.len() < MAX_WORDS
    });
    res
}

/// The words that a text must have to be what somebody looks for with `text`, the longest first; none when there is
/// nothing in it but signs of another kind.
pub fn sought(text: &str) -> Vec<String> {
    let mut res = BTreeSet::new();
    split(text, |word| {
        match word {
            Word::Whole(it) => drop(res.insert(it)),
            Word::Signs(signs) if signs.len() == 1 => drop(res.insert(signs[0].to_string())),
            Word::Signs(signs) => res.extend(pairs(&signs)),
        }
        res.len() < MAX_WORDS
    });
    let mut res: Vec<String> = res.into_iter().collect();
    // Rare words are long, and a pair of signs is about as rare as a word of six letters: it has as many bytes.
    res.sort_by_key(|it| std::cmp::Reverse(it.len()));
    res.truncate(MAX_SOUGHT);
    res
}

enum Word {
    Whole(String),
    /// A run of signs without a space.
    Signs(Vec<char>),
}

fn pairs(signs: &[char]) -> impl Iterator<Item = String> {
    signs.windows(2).map(|it| it.iter().collect())
}

/// Hands out the words of a text until nobody wants more.
fn split(text: &str, mut found: impl FnMut(Word) -> bool) {
    let (mut whole, mut chars, mut signs) = (String::new(), 0, Vec::new());
    for c in text.chars().map(narrow).flat_map(char::to_lowercase).chain([' ']) {
        let is_sign = is_unspaced(c);
        let is_letter = !is_sign && (c.is_alphanumeric() || is_mark(c) && !whole.is_empty());
        if !is_letter && !whole.is_empty() {
            chars = 0;
            if !found(Word::Whole(std::mem::take(&mut whole))) {
                return;
            }
        }
        // A long run without an end is handed out in pieces that share a sign, so that each pair is in one.
        if !signs.is_empty() && (!is_sign || signs.len() == MAX_WORD_CHARS) {
            let next = signs.last().copied().filter(|_| is_sign);
            if !found(Word::Signs(std::mem::replace(&mut signs, next.into_iter().collect()))) {
                return;
            }
        }
        if is_sign {
            signs.push(c);
        } else if is_letter && chars < MAX_WORD_CHARS {
            whole.push(c);
            chars += 1;
        }
    }
}

/// The usual form of the wide letters and digits that Chinese and Japanese keyboards give.
fn narrow(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
        other => other,
    }
}

/// An accent that stands behind its letter.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}')
}

/// Whether its script puts no space between words: Chinese, Japanese, Korean (whose endings stick to words), Thai, Lao,
/// Burmese, Khmer.
fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{3040}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
        | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}' | '\u{ff66}'..='\u{ff9d}' | '\u{20000}'..='\u{323af}'
        | '\u{0e01}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '々')
        && !matches!(c, '\u{30a0}' | '\u{30fb}' | '\u{0e3f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_table() {
        #[rustfmt::skip]
        let table: &[(&str, &[&str], &[&str])] = &[
            ("",                   &[],                                 &[]),
            ("Hello, WORLD! hello", &["hello", "world"],                &["hello", "world"]),
            ("it's 42°",           &["42", "it", "s"],                  &["42", "it", "s"]),
            ("去上海",              &["上", "上海", "去", "去上", "海"],     &["上海", "去上"]),
            ("猫",                  &["猫"],                             &["猫"]),
            ("用Rust写",            &["rust", "写", "用"],               &["rust", "写", "用"]),
            ("ＡＢＣ１２",           &["abc12"],                          &["abc12"]),
            ("ÜBER Straße",        &["straße", "über"],                &["straße", "über"]),
            ("cafe\u{301} bar",    &["bar", "cafe\u{301}"],             &["cafe\u{301}", "bar"]),
            ("上海，北京",           &["上", "上海", "京", "北", "北京", "海"], &["上海", "北京"]),
            ("?!… 😀",              &[],                                 &[]),
            ("한국어",               &["국", "국어", "어", "한", "한국"],     &["국어", "한국"]),
        ];
        for (text, want, asked) in table {
            let got = words(text);
            assert_eq!(got.iter().map(String::as_str).collect::<Vec<_>>(), *want, "{text}");
            let mut got = sought(text);
            assert!(got.is_sorted_by_key(|it| std::cmp::Reverse(it.len())), "{got:?}");
            got.sort();
            let mut asked = asked.to_vec();
            asked.sort_unstable();
            assert_eq!(got, asked, "asked for {text}");
        }
    }

    #[test]
    fn a_long_run_has_each_of_its_pairs() {
        let signs: Vec<char> = ('\u{4e00}'..).take(300).collect();
        let text: String = signs.iter().collect();
        let found = words(&text);
        for pair in pairs(&signs) {
            assert!(found.contains(&pair), "{pair}");
        }
    }

    #[test]
    fn there_is_an_end() {
        let many: String = (0..10_000).map(|it| format!("w{it} ")).collect();
        assert_eq!(words(&many).len(), MAX_WORDS);
        assert_eq!(sought(&many).len(), MAX_SOUGHT);
        let long = "x".repeat(100_000);
        assert_eq!(words(&long), [("x".repeat(MAX_WORD_CHARS))].into());
        assert_eq!(sought(&long), ["x".repeat(MAX_WORD_CHARS)]);
    }

    proptest::proptest! {
        #[test]
        fn what_is_cut_out_at_spaces_is_found(a in ".{0,20}", b in "[a-z上海北京]{1,12}", c in ".{0,20}") {
            let text = format!("{a} {b} {c}");
            let has = words(&text);
            for word in sought(&b) {
                proptest::prop_assert!(has.contains(&word), "{} lacks {}", text, word);
            }
        }
    }
}
