//! How the backups go that the gateway makes by itself.

use ngb_core::clock::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Store, StoreError};

/// The value that says so.
const KEY: &str = "backups";

/// How the backups go that the gateway makes by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backups {
    /// How often one is to be made, in milliseconds.
    pub every_ms: i64,
    /// Since when they are to be made.
    pub since: Timestamp,
    /// When the latest was begun that is whole.
    pub made_at: Option<Timestamp>,
    /// When it was tried last, and why that failed.
    pub failed: Option<(Timestamp, String)>,
}

impl Backups {
    /// When one is due.
    pub fn due_at(&self) -> Timestamp {
        let before = self.made_at.map(|it| Timestamp(it.0.saturating_add(self.every_ms)));
        before.unwrap_or(self.since)
    }

    /// Whether one is missing for half as long as lies between two.
    pub fn is_late(&self, now: Timestamp) -> bool {
        self.due_at().0.saturating_add(self.every_ms / 2) < now.0
    }
}

impl Store {
    /// None where none are to be made.
    pub async fn backups(&self) -> Result<Option<Backups>, StoreError> {
        let Some(text) = self.get(KEY).await? else { return Ok(None) };
        let read = serde_json::from_str(&text);
        read.map_err(|err| StoreError::Sql { doing: "read a value", source: err.into() })
    }

    pub async fn note_backups(&self, it: Option<&Backups>) -> Result<(), StoreError> {
        self.put(KEY, &crate::sql::to_json(&it)?).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_is_half_as_long_again() {
        let none = Backups { every_ms: 100, since: Timestamp(0), made_at: None, failed: None };
        let made = Backups { made_at: Some(Timestamp(1_000)), ..none.clone() };
        for (it, due, late) in [(none, 0, 51), (made, 1_100, 1_151)] {
            assert_eq!(it.due_at(), Timestamp(due));
            assert!(it.is_late(Timestamp(late)) && !it.is_late(Timestamp(late - 1)));
        }
    }
}
