//! Faults: what goes wrong, where, and how often.

use serde::{Deserialize, Serialize};

/// Something that goes wrong by script.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// The name of a method; `send*` for all that put something before people, `*` for all there are.
    pub method: String,
    pub how: How,
    pub when: When,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum How {
    /// 429 with `retry_after`; nothing is done.
    TooManyRequests { retry_after_s: u32 },
    /// A status in the platform's envelope, or with a page of HTML for 502 and above; nothing is done.
    Status { code: u16 },
    /// The Bot API's own refusal with these words; nothing is done.
    Refuse { code: u16, description: String },
    /// The connection closes and nothing is done.
    CutBefore,
    /// It is done, and the connection closes without an answer.
    CutAfter,
    /// It is done, and the connection closes half-way through the answer.
    HalfBody,
    /// It is done, and each U+FFFD of the answer is a byte that is no UTF-8. Telegram's simulator only.
    BadText,
    /// It is done, and the answer takes this long.
    Slow { ms: u64 },
}

/// How often it goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// The next so many calls.
    Next(u32),
    /// Each call with this probability, 0 to 1.
    Fraction(f64),
}

/// All faults that are set, and the dice.
#[derive(Debug)]
pub(crate) struct Faults {
    set: Vec<Fault>,
    dice: u64,
}

impl Faults {
    pub(crate) fn new(seed: u64) -> Self {
        Self { set: Vec::new(), dice: seed }
    }

    pub(crate) fn add(&mut self, fault: Fault) {
        self.set.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.set.clear();
    }

    /// What goes wrong with this call.
    pub(crate) fn pick(&mut self, method: &str) -> Option<How> {
        let mut picked = None;
        for fault in &mut self.set {
            let meant = match fault.method.as_str() {
                "*" => true,
                "send*" => is_send(method),
                name => name.eq_ignore_ascii_case(method),
            };
            if !meant {
                continue;
            }
            let hit = match &mut fault.when {
                When::Next(0) => false,
                When::Next(left) => {
                    *left -= 1;
                    true
                }
                When::Fraction(p) => roll(&mut self.dice) < *p,
            };
            if hit {
                picked = Some(fault.how.clone());
                break;
            }
        }
        self.set.retain(|it| it.when != When::Next(0));
        picked
    }
}

/// Whether a call of this method puts something before people, so that a lost answer leaves it in doubt.
pub(crate) fn is_send(method: &str) -> bool {
    let method = method.to_ascii_lowercase();
    let of_others =
        ["chat.postmessage", "chat.update", "files.completeuploadexternal", "createmessage"];
    method.starts_with("editmessage")
        || (method.starts_with("send") && method != "sendchataction")
        || of_others.contains(&method.as_str())
}

/// The next number of SplitMix64, as a fraction of 1. Seeded, so that a run can be repeated.
fn roll(dice: &mut u64) -> f64 {
    *dice = dice.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *dice;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    // 53 bits are what a double holds.
    (z >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_comes_so_often_and_then_never() {
        let mut faults = Faults::new(1);
        faults.add(Fault { method: "send*".into(), how: How::CutBefore, when: When::Next(2) });
        let got = ["sendMessage", "getMe", "sendChatAction", "editMessageText", "sendPhoto"]
            .map(|it| faults.pick(it).is_some());
        assert_eq!(got, [true, false, false, true, false]);
    }

    #[test]
    fn a_fraction_is_about_that_and_the_same_each_time() {
        let count = || {
            let mut faults = Faults::new(7);
            faults.add(Fault { method: "*".into(), how: How::CutAfter, when: When::Fraction(0.2) });
            (0..1000).filter(|_| faults.pick("getMe").is_some()).count()
        };
        assert!((150..250).contains(&count()), "{}", count());
        assert_eq!(count(), count());
    }
}
