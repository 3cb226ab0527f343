//! Decisions that nobody waits for: they go with the next commit, whoever makes it, and wake nobody for that.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ngb_core::clock::{Clock, Timestamp};
use tokio::sync::{Notify, mpsc};

use crate::{NewDecision, writer::Command};

/// Longest that a noted decision waits for a commit to go with.
const NOTES_WAIT: Duration = Duration::from_millis(200);

/// Noted decisions that wait before they are committed by themselves.
const MAX_NOTES: usize = 1_000;

/// What waits.
#[derive(Default)]
pub(crate) struct Notes {
    waiting: Mutex<Vec<(Timestamp, NewDecision)>>,
    /// Fires when the first one comes.
    first: Notify,
}

impl Notes {
    /// Keeps decisions for the next commit; true when there are so many that they need one of their own.
    pub(crate) fn add(&self, at: Timestamp, notes: Vec<NewDecision>) -> bool {
        let mut waiting = self.waiting();
        if waiting.is_empty() && !notes.is_empty() {
            self.first.notify_one();
        }
        waiting.extend(notes.into_iter().map(|it| (at, it)));
        MAX_NOTES <= waiting.len()
    }

    pub(crate) fn take(&self) -> Vec<(Timestamp, NewDecision)> {
        std::mem::take(&mut *self.waiting())
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<(Timestamp, NewDecision)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the writer write what no other commit took along. Works until nobody is left who could note something.
    pub(crate) async fn work(&self, clock: Clock, writer: mpsc::WeakUnboundedSender<Command>) {
        loop {
            self.first.notified().await;
            clock.sleep(NOTES_WAIT).await;
            if self.waiting().is_empty() {
                continue;
            }
            let Some(writer) = writer.upgrade() else { return };
            if writer.send(Command::WriteNotes).is_err() {
                return;
            }
        }
    }
}
