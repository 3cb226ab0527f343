//! Random codes and ids.

/// Letters of a code that people type: no 0, 1, I, L, O, U, which look or sound like others.
const LETTERS: &[u8; 30] = b"23456789ABCDEFGHJKMNPQRSTVWXYZ";

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has random numbers");
    bytes
}

/// An id that nobody can guess: 128 bits as hex.
pub fn random_id() -> String {
    random::<16>().iter().map(|it| format!("{it:02x}")).collect()
}

/// A code that people read and type, `ABCD-EFGH`: 39 bits, enough for one that expires and whose guesses are counted.
pub fn typed_code() -> String {
    let letters = random::<8>().map(|it| char::from(LETTERS[usize::from(it) % LETTERS.len()]));
    let [a, b, c, d, e, f, g, h] = letters;
    format!("{a}{b}{c}{d}-{e}{f}{g}{h}")
}

/// A number for one start of the gateway, small enough for JSON in a browser (53 bits).
pub fn instance() -> u64 {
    u64::from_le_bytes(random::<8>()) >> 11
}
