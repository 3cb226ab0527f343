//! What we put under messages, for platforms that want to know more than its name when it is to go.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// Most that is remembered; then all is forgotten, which leaves a sign under a message.
const MOST: usize = 1_000;

/// What was put somewhere last.
#[derive(Default)]
pub(crate) struct Put(Mutex<HashMap<String, String>>);

impl Put {
    pub(crate) fn note(&self, at: String, what: String) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if MOST <= all.len() {
            all.clear();
        }
        all.insert(at, what);
    }

    /// What was put there last, which is forgotten.
    pub(crate) fn take(&self, at: &str) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(at)
    }
}
