//! How long to wait before the next try.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher as _, Hasher as _},
    time::Duration,
};

/// Waits that double, from `first` to `longest`, each shortened by up to half at random.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    /// The wait before the next try; the one after it is twice as long.
    pub fn wait(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.longest);
        jittered(wait, roll())
    }

    /// Something was achieved, so the next failure is a first one.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

/// Between half of `wait` and all of it, so that a thousand gateways don't come back at once.
fn jittered(wait: Duration, roll: u8) -> Duration {
    wait / 2 + wait / 2 * u32::from(roll) / 255
}

/// A number that differs from time to time; each `RandomState` has keys of its own.
fn roll() -> u8 {
    RandomState::new().build_hasher().finish().to_le_bytes()[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_begin_anew() {
        let second = Duration::from_secs(1);
        let mut backoff = Backoff::new(second, second * 5);
        for whole in [1, 2, 4, 5, 5] {
            let wait = backoff.wait();
            assert!((second * whole / 2..=second * whole).contains(&wait), "{wait:?} of {whole} s");
        }
        backoff.reset();
        assert!(backoff.wait() <= second);
    }

    #[test]
    fn jitter_keeps_between_half_and_whole() {
        let wait = Duration::from_secs(8);
        let got = [0, 51, 255].map(|it| jittered(wait, it).as_millis());
        assert_eq!(got, [4000, 4800, 8000]);
    }
}
