//! Fuzzing on the stable compiler: a kept corpus, mutated, against whatever reads what a platform sends.
//!
//! `corpus/<target>/` holds one input a file, made after the shapes that the platforms document. Each run tries all of them
//! and then mutants until its time is over; a mutant that panics is written beside them, and so is in each later run.
//! A coverage-guided fuzzer wants a nightly compiler or a crate that brings its own runner; readers of JSON need neither:
//! what breaks them is a value where another was expected, and that is what the mutants are made of.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    time::Duration,
};

use ngb_core::clock::Clock;
use serde_json::{Value, json};

/// How long each target is fuzzed; eight of them, two at a time on two cores. `NGB_FUZZ_SECONDS` makes it longer.
const BUDGET: Duration = Duration::from_secs(2);

/// Longest mutant, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// What a reader that trusts its platform does not expect, as JSON and as text.
fn hostile(dice: &mut Dice) -> Value {
    let deep = (0..100).fold(json!(0), |inner, _| json!([inner]));
    let all = [
        Value::Null,
        json!(true),
        json!(0),
        json!(-1),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(1e308),
        json!(""),
        json!("12345"),
        json!("a\u{301}👩‍👩‍👧‍👦 \u{202e}مرحبا\u{0}"),
        json!("../../etc/passwd"),
        json!("http://169.254.169.254/latest/meta-data"),
        json!("<@U1|<!channel>&lt;```**_~|[x](y)"),
        json!("[CQ:at,qq=all]&#91;"),
        json!("x".repeat(70_000)),
        json!([]),
        json!({}),
        json!([[], {}, null]),
        deep,
    ];
    all[dice.below(all.len())].clone()
}

/// Tries the corpus of `target` and mutants of it.
///
/// # Panics
///
/// When `read` panics; the input is kept in the corpus.
#[expect(clippy::disallowed_methods, reason = "a test has no settings")]
pub(crate) fn run(target: &str, read: impl Fn(&[u8])) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut files: Vec<PathBuf> =
        fs::read_dir(&folder).unwrap().map(|it| it.unwrap().path()).collect();
    files.sort();
    let corpus: Vec<Vec<u8>> = files.iter().map(|it| fs::read(it).unwrap()).collect();
    assert!(!corpus.is_empty(), "{}: no input", folder.display());
    let number = |name: &str| std::env::var(name).ok().and_then(|it| it.parse::<u64>().ok());
    let budget = number("NGB_FUZZ_SECONDS").map_or(BUDGET, Duration::from_secs);
    // The same mutants in each run, unless somebody asks for others.
    let mut dice = Dice(number("NGB_TEST_SEED").unwrap_or(1));
    let until = Clock::System.now() + budget;
    let mut tried = 0_u64;
    let mut mutants =
        std::iter::from_fn(|| (Clock::System.now() < until).then(|| mutant(&corpus, &mut dice)));
    for input in corpus.iter().cloned().chain(&mut mutants) {
        tried += 1;
        if catch_unwind(AssertUnwindSafe(|| read(&input))).is_err() {
            let name = folder.join(format!("panic-{tried}"));
            fs::write(&name, &input).unwrap();
            panic!("input {tried} panicked; it is kept as {}", name.display());
        }
    }
    assert!(corpus.len() as u64 <= tried, "{target}: not all of the corpus was tried");
}

fn mutant(corpus: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let seed = &corpus[dice.below(corpus.len())];
    let mut bytes = match serde_json::from_slice::<Value>(seed) {
        Ok(mut value) if dice.below(4) != 0 => {
            for _ in 0..=dice.below(3) {
                change(&mut value, dice);
            }
            value.to_string().into_bytes()
        }
        _ => seed.clone(),
    };
    // Most mutants stay JSON, so that they get past the first door.
    if dice.below(4) == 0 {
        for _ in 0..=dice.below(4) {
            scratch(&mut bytes, &corpus[dice.below(corpus.len())], dice);
        }
    }
    bytes.truncate(MAX_BYTES);
    bytes
}

/// Puts something else in one place of `value`, takes the place away, or has it twice.
fn change(value: &mut Value, dice: &mut Dice) {
    match value {
        Value::Object(fields) if !fields.is_empty() && dice.below(6) != 0 => {
            let key = fields.keys().nth(dice.below(fields.len())).cloned().unwrap_or_default();
            match dice.below(8) {
                0 => {
                    fields.remove(&key);
                }
                1 => {
                    let moved = fields.get(&key).cloned().unwrap_or_default();
                    let other = fields.keys().nth(dice.below(fields.len())).cloned();
                    fields.insert(other.unwrap_or_default(), moved);
                }
                _ => change(&mut fields[&key], dice),
            }
        }
        Value::Array(items) if !items.is_empty() && dice.below(6) != 0 => {
            let at = dice.below(items.len());
            match dice.below(8) {
                0 => {
                    items.remove(at);
                }
                1 => items.push(items[at].clone()),
                _ => change(&mut items[at], dice),
            }
        }
        Value::Number(number) if dice.below(3) == 0 => *value = number.to_string().into(),
        other => *other = hostile(dice),
    }
}

/// Flips, cuts, repeats or splices bytes.
fn scratch(bytes: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    if bytes.is_empty() {
        bytes.extend_from_slice(other);
        return;
    }
    let at = dice.below(bytes.len());
    let end = at + dice.below((bytes.len() - at).min(64) + 1);
    match dice.below(5) {
        0 => bytes[at] ^= 1 << dice.below(8),
        1 => {
            bytes.drain(at..end);
        }
        2 => {
            let again = bytes[at..end].to_vec();
            bytes.splice(at..at, again);
        }
        3 => bytes.truncate(at),
        _ => {
            let from = dice.below(other.len() + 1);
            bytes.splice(at..end, other[from..].iter().copied().take(64));
        }
    }
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
    /// A number below `end`, which is not 0.
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % end as u64).unwrap_or_default()
    }
}
