//! Alerts: what an operator should know of, told once when it begins, again while it lasts, and once when it ends.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// How often an alert that lasts is told again.
pub const REPEAT: Duration = Duration::from_secs(6 * 60 * 60);

/// A condition that holds now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Names it, as `account:telegram@main`.
    pub key: String,
    /// What is wrong, as a sentence.
    pub says: String,
    /// What to do about it, as a sentence.
    pub remedy: String,
    /// How long it has to last before anybody is told.
    pub patience: Duration,
    /// Whether whoever noticed it has told it already, in words of their own.
    pub told_elsewhere: bool,
}

/// An alert that has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    pub since: Timestamp,
    pub says: String,
    pub remedy: String,
    /// When it was last told; none while it has to last longer, or is told elsewhere.
    pub told_at: Option<Timestamp>,
}

/// Every alert that has begun, and which of them nobody wants to hear of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Book {
    pub open: BTreeMap<String, Open>,
    pub muted: BTreeMap<String, Timestamp>,
}

impl Book {
    /// Takes note of all that holds now; gives what is to be said.
    pub fn look(&mut self, found: Vec<Found>, now: Timestamp) -> Vec<String> {
        let mut say = Vec::new();
        self.muted.retain(|_, until| now < *until);
        let mut before = std::mem::take(&mut self.open);
        for it in found {
            let known = before.remove(&it.key);
            let since = known.as_ref().map_or(now, |it| it.since);
            let told_at = known.and_then(|it| it.told_at);
            let lasts = since + it.patience <= now && !it.told_elsewhere;
            let due = lasts && told_at.is_none_or(|told| told + REPEAT <= now);
            let told_at = if due && !self.muted.contains_key(&it.key) {
                let begins = if told_at.is_some() { "Still so" } else { "Alert" };
                say.push(format!("{begins}: {} {}", it.says, it.remedy));
                Some(now)
            } else {
                told_at
            };
            let Found { key, says, remedy, .. } = it;
            self.open.insert(key, Open { since, says, remedy, told_at });
        }
        // Who was told that it began is told that it ended, muted or not.
        say.extend(
            before
                .into_values()
                .filter(|it| it.told_at.is_some())
                .map(|it| format!("Over: {}", it.says)),
        );
        say
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(key: &str, patience: u64) -> Found {
        let (says, remedy) = (format!("{key} is wrong."), "Mend it.".to_owned());
        let patience = Duration::from_secs(patience);
        Found { key: key.to_owned(), says, remedy, patience, told_elsewhere: false }
    }

    #[test]
    fn told_when_it_begins_every_six_hours_and_when_it_ends() {
        let mut book = Book::default();
        let hour = 3_600;
        #[rustfmt::skip]
        let table: &[(u64, Vec<Found>, &[&str])] = &[
            (0,             vec![found("a", 0)],                   &["Alert: a is wrong. Mend it."]),
            (60,            vec![found("a", 0), found("b", 120)],  &[]),
            (120,           vec![found("a", 0), found("b", 120)],  &[]),
            (180,           vec![found("a", 0), found("b", 120)],  &["Alert: b is wrong. Mend it."]),
            (5 * hour,      vec![found("a", 0)],                   &["Over: b is wrong."]),
            (6 * hour - 1,  vec![found("a", 0)],                   &[]),
            (6 * hour,      vec![found("a", 0)],                   &["Still so: a is wrong. Mend it."]),
            (7 * hour,      vec![],                                &["Over: a is wrong."]),
            // What was too short for anybody to hear of ends in silence.
            (8 * hour,      vec![found("b", 120)],                 &[]),
            (8 * hour + 60, vec![],                                &[]),
        ];
        for (at, holds, want) in table {
            let now = Timestamp(0) + Duration::from_secs(*at);
            assert_eq!(book.look(holds.clone(), now), *want, "after {at} s");
        }
        assert_eq!(book, Book::default());
    }

    #[test]
    fn a_muted_one_is_not_told_until_then() {
        let mut book = Book::default();
        book.muted.insert("a".into(), Timestamp(10_000));
        assert!(book.look(vec![found("a", 0)], Timestamp(0)).is_empty());
        assert_eq!(book.open["a"].told_at, None, "it is shown all the same");
        assert_eq!(book.look(vec![found("a", 0)], Timestamp(10_000)).len(), 1);
    }

    #[test]
    fn what_was_told_elsewhere_is_only_shown() {
        let mut book = Book::default();
        let it = Found { told_elsewhere: true, ..found("disk-full", 0) };
        assert!(book.look(vec![it], Timestamp(0)).is_empty());
        assert!(book.open.contains_key("disk-full"));
        assert!(book.look(Vec::new(), Timestamp(1)).is_empty());
    }
}
