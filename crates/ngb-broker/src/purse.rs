//! What a group may still spend today. All its doors share one purse, so that calls at the same time can't spend the same
//! twice: each reserves what it may cost before it goes out, and gives back what it did not use.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ngb_core::clock::Timestamp;
use tokio::sync::Notify;

/// Tokens, in and out together, and money in millionths of the currency's unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    pub tokens: u64,
    pub micros: u64,
}

impl Amount {
    fn and(self, more: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_add(more.tokens),
            micros: self.micros.saturating_add(more.micros),
        }
    }

    fn less(self, part: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_sub(part.tokens),
            micros: self.micros.saturating_sub(part.micros),
        }
    }

    fn max(self, other: Self) -> Self {
        Self { tokens: self.tokens.max(other.tokens), micros: self.micros.max(other.micros) }
    }
}

/// Most that may be spent in a day; none is no cap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    pub tokens: Option<u64>,
    pub micros: Option<u64>,
}

impl Caps {
    fn hold(self, amount: Amount) -> bool {
        self.tokens.is_none_or(|it| amount.tokens <= it)
            && self.micros.is_none_or(|it| amount.micros <= it)
    }

    fn are_used_up(self, used: Amount) -> bool {
        self.tokens.is_some_and(|it| it <= used.tokens)
            || self.micros.is_some_and(|it| it <= used.micros)
    }
}

/// The purse of one group; clones are the same one. A new one has no caps.
#[derive(Clone, Debug, Default)]
pub struct Purse(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Something was given back.
    settled: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Its beginning, in UTC.
    day: Timestamp,
    caps: Caps,
    used: Amount,
    /// What open calls may still cost.
    reserved: Amount,
    open: u32,
}

/// The day's caps leave no room for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spent;

impl Purse {
    /// Takes up the caps as they are now, and what is known to be used of the day that began at `day`.
    pub fn renew(&self, day: Timestamp, caps: Caps, used: Amount) {
        let mut state = self.state();
        // What was stored may be behind, by what open calls have used.
        state.used = if state.day == day { state.used.max(used) } else { used };
        (state.day, state.caps) = (day, caps);
        drop(state);
        self.0.settled.notify_waiters();
    }

    /// Whether money is capped, so that what has no price can't be bought.
    pub(crate) fn counts_money(&self) -> bool {
        self.state().caps.micros.is_some()
    }

    /// Sets aside what a call may cost: `least` for certain, `most` at the end. A call goes when the caps hold all that
    /// open calls may cost; when none is open, it needs room for its `least` only. Waits for open calls to end while that
    /// may make room.
    pub(crate) async fn reserve(&self, least: Amount, most: Amount) -> Result<Reserved, Spent> {
        loop {
            let settled = self.0.settled.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            {
                let mut state = self.state();
                let used = state.used;
                if state.caps.are_used_up(used) || !state.caps.hold(used.and(least)) {
                    return Err(Spent);
                }
                if state.open == 0 || state.caps.hold(used.and(state.reserved).and(most)) {
                    state.open += 1;
                    state.reserved = state.reserved.and(most);
                    drop(state);
                    return Ok(Reserved { purse: self.clone(), most, used: Amount::default() });
                }
            }
            settled.await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is set aside for one call. Dropping it gives back what was not used.
#[derive(Debug)]
pub(crate) struct Reserved {
    purse: Purse,
    most: Amount,
    used: Amount,
}

impl Reserved {
    /// Sets what the call has cost until now. It may be less than was said before: a provider corrects an estimate.
    pub(crate) fn set(&mut self, now: Amount) {
        let (before, held) = (self.used, self.held());
        self.used = now;
        let mut state = self.purse.state();
        state.used = state.used.less(before).and(now);
        state.reserved = state.reserved.less(held).and(self.held());
    }

    fn held(&self) -> Amount {
        self.most.less(self.used)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let mut state = self.purse.state();
        state.open = state.open.saturating_sub(1);
        state.reserved = state.reserved.less(self.held());
        drop(state);
        self.purse.0.settled.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const DAY: Timestamp = Timestamp(86_400_000);

    fn tokens(tokens: u64) -> Amount {
        Amount { tokens, micros: 0 }
    }

    fn purse(cap: u64) -> Purse {
        let purse = Purse::default();
        purse.renew(DAY, Caps { tokens: Some(cap), micros: None }, Amount::default());
        purse
    }

    /// Fifty calls at once, with room for ten: ten go. The others wait, and find out when these have ended.
    #[test]
    fn calls_at_once_never_spend_the_same() {
        for (cost_of_each, go_later) in [(10, 0), (5, 40)] {
            let purse = purse(if go_later == 0 { 100 } else { 500 });
            let most = if go_later == 0 { tokens(10) } else { tokens(50) };
            let mut asking: Vec<_> =
                (0..50).map(|_| Box::pin(purse.reserve(tokens(1), most))).collect();
            let (mut open, mut refused, mut went) = (Vec::new(), 0, 0);
            while !asking.is_empty() {
                asking.retain_mut(|it| match it.as_mut().now_or_never() {
                    None => true,
                    Some(Ok(it)) => {
                        open.push(it);
                        false
                    }
                    Some(Err(Spent)) => {
                        refused += 1;
                        false
                    }
                });
                assert!(open.len() <= 10, "{} at once", open.len());
                went += open.len();
                for mut it in open.drain(..) {
                    it.set(tokens(cost_of_each));
                }
            }
            assert_eq!((went, refused), (10 + go_later, 40 - go_later));
            let state = purse.state();
            assert_eq!(state.used, tokens(cost_of_each * went as u64));
            assert_eq!((state.reserved, state.open), (Amount::default(), 0));
        }
    }

    #[test]
    fn what_is_left_is_used_up_by_one_call_alone() {
        let purse = purse(100);
        let of = |it: &Purse, least, most| {
            it.reserve(tokens(least), tokens(most)).now_or_never().expect("nothing is open")
        };
        let mut first = of(&purse, 10, 1_000).unwrap();
        assert!(purse.reserve(tokens(1), tokens(1)).now_or_never().is_none(), "it waits");
        first.set(tokens(95));
        drop(first);
        assert_eq!(of(&purse, 6, 6).unwrap_err(), Spent);
        drop(of(&purse, 5, 6).unwrap());
    }

    #[test]
    fn a_correction_gives_back_and_a_new_day_begins_anew() {
        let purse = purse(100);
        let mut it = purse.reserve(tokens(80), tokens(90)).now_or_never().unwrap().unwrap();
        it.set(tokens(80));
        it.set(tokens(30));
        drop(it);
        assert_eq!(purse.state().used, tokens(30));
        let caps = Caps { tokens: Some(100), micros: Some(5) };
        purse.renew(DAY, caps, tokens(20));
        assert_eq!(purse.state().used, tokens(30), "what is stored is behind");
        purse.renew(DAY, caps, tokens(60));
        assert_eq!(purse.state().used, tokens(60), "another gateway used some");
        assert!(purse.counts_money());
        purse.renew(Timestamp(2 * DAY.0), caps, Amount { tokens: 0, micros: 4 });
        let dear = Amount { tokens: 1, micros: 2 };
        assert_eq!(purse.reserve(dear, dear).now_or_never().unwrap().unwrap_err(), Spent);
        let cheap = Amount { tokens: 1, micros: 1 };
        let mut it = purse.reserve(cheap, cheap).now_or_never().unwrap().unwrap();
        it.set(cheap);
        drop(it);
        let free = Amount::default();
        assert_eq!(purse.reserve(free, dear).now_or_never().unwrap().unwrap_err(), Spent);
    }
}
