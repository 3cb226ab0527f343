//! What was used through one door, so that nothing is lost when a stream is cut and nothing is told twice.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ngb_core::{id::RunId, price::TokenCounts};

/// Tokens of one request, or of a part of it when it was still under way when [`crate::Door::take_usage`] asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The run that was current when the request came.
    pub run: RunId,
    pub provider: String,
    pub model: String,
    /// Without what was read from, or written to, the provider's cache.
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub cache_read_tokens: u64,
    pub cache_write_tokens: u64,
    /// Whether the provider said how many; otherwise the stream was cut and what was missing is estimated as a quarter
    /// of the bytes.
    pub complete: bool,
}

impl Usage {
    fn sum(&self) -> u64 {
        self.input_tokens + self.output_tokens + self.cache_read_tokens + self.cache_write_tokens
    }
}

/// What is more in `now` than in `before`.
fn since(now: TokenCounts, before: TokenCounts) -> TokenCounts {
    TokenCounts {
        input: now.input.saturating_sub(before.input),
        output: now.output.saturating_sub(before.output),
        cache_read: now.cache_read.saturating_sub(before.cache_read),
        cache_write: now.cache_write.saturating_sub(before.cache_write),
    }
}

struct Entry {
    run: RunId,
    provider: String,
    model: String,
    now: TokenCounts,
    taken: TokenCounts,
    complete: bool,
    open: bool,
}

impl Entry {
    /// What is more than was taken before.
    fn more(&self) -> Usage {
        let more = since(self.now, self.taken);
        Usage {
            run: self.run,
            provider: self.provider.clone(),
            model: self.model.clone(),
            input_tokens: more.input,
            output_tokens: more.output,
            cache_read_tokens: more.cache_read,
            cache_write_tokens: more.cache_write,
            complete: self.complete,
        }
    }
}

/// The requests of one door that were not told yet.
#[derive(Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<Entries>>);

#[derive(Default)]
struct Entries {
    last: u64,
    list: BTreeMap<u64, Entry>,
}

impl Ledger {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a request; its line is closed when what is returned is dropped.
    pub(crate) fn begin(&self, run: RunId, provider: &str, model: &str) -> LedgerLine {
        let mut entries = self.entries();
        entries.last += 1;
        let key = entries.last;
        let (provider, model) = (provider.to_owned(), model.to_owned());
        let (now, taken) = (TokenCounts::default(), TokenCounts::default());
        let entry = Entry { run, provider, model, now, taken, complete: false, open: true };
        entries.list.insert(key, entry);
        LedgerLine { ledger: self.clone(), key }
    }

    /// What was used and not taken before.
    pub(crate) fn take(&self) -> Vec<Usage> {
        self.take_those(|_| true)
    }

    /// The same of requests that are over: what is known of them changes no more.
    pub(crate) fn take_ended(&self) -> Vec<Usage> {
        self.take_those(|it| !it.open)
    }

    /// What requests that are under way used so far, and was not taken before. Nothing of it is taken.
    pub(crate) fn open(&self) -> Vec<Usage> {
        let entries = self.entries();
        let open = entries.list.values().filter(|it| it.open);
        open.map(Entry::more).filter(|it| 0 < it.sum()).collect()
    }

    fn take_those(&self, which: impl Fn(&Entry) -> bool) -> Vec<Usage> {
        let mut res = Vec::new();
        self.entries().list.retain(|_, it| {
            if !which(it) {
                return true;
            }
            res.push(it.more());
            it.taken = it.now;
            it.open
        });
        res.retain(|it| 0 < it.sum());
        res
    }
}

/// One request that is under way.
pub(crate) struct LedgerLine {
    ledger: Ledger,
    key: u64,
}

impl LedgerLine {
    /// Sets what is known now.
    pub(crate) fn set(&self, now: TokenCounts, complete: bool) {
        if let Some(entry) = self.ledger.entries().list.get_mut(&self.key) {
            entry.now = now;
            entry.complete = complete;
        }
    }
}

impl Drop for LedgerLine {
    fn drop(&mut self) {
        if let Some(entry) = self.ledger.entries().list.get_mut(&self.key) {
            entry.open = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_token_is_told_once() {
        let ledger = Ledger::default();
        let line = ledger.begin(RunId(1), "p", "m");
        let told = |ledger: &Ledger| -> Vec<(u64, u64, bool)> {
            ledger
                .take()
                .iter()
                .map(|it| (it.input_tokens, it.output_tokens, it.complete))
                .collect()
        };
        assert_eq!(told(&ledger), []);
        line.set(TokenCounts { input: 10, output: 1, ..TokenCounts::default() }, false);
        assert_eq!(told(&ledger), [(10, 1, false)]);
        line.set(TokenCounts { input: 10, output: 7, ..TokenCounts::default() }, true);
        let open = |ledger: &Ledger| ledger.open().iter().map(|it| it.output_tokens).sum::<u64>();
        assert_eq!((open(&ledger), open(&ledger)), (6, 6), "a look takes nothing");
        drop(line);
        assert_eq!(open(&ledger), 0);
        assert_eq!(told(&ledger), [(0, 6, true)]);
        assert_eq!(told(&ledger), []);

        let (ended, open) = (ledger.begin(RunId(1), "p", "m"), ledger.begin(RunId(1), "p", "m"));
        ended.set(TokenCounts { input: 3, ..TokenCounts::default() }, true);
        open.set(TokenCounts { input: 4, ..TokenCounts::default() }, false);
        drop(ended);
        assert_eq!(ledger.take_ended().iter().map(|it| it.input_tokens).collect::<Vec<_>>(), [3]);
        drop(open);
        assert_eq!(told(&ledger), [(4, 0, false)]);
        assert!(ledger.entries().list.is_empty());
    }
}
