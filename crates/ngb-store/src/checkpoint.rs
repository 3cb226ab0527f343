//! Moves SQLite's write-ahead log into the database beside the writer, so that no commit has to wait for much of it.
//!
//! What is committed meanwhile is left to the writer: only while nobody writes can all of it be moved, and only then the log
//! is begun anew in the file that is there. A log that grows costs each commit the file's new size as well: 0.25 ms
//! instead of 0.10 on the machine of `docs/benchmarks.md`.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
};

use ngb_core::tasks::blocking;
use tokio::sync::{Notify, mpsc};

use crate::{sqlite::Connection, writer::Command};

/// Commits after which the log is looked at.
const COMMITS: u64 = 100;

/// Size of the log from which a checkpoint is due, in bytes.
const WAL_BYTES: u64 = 4 * 1024 * 1024;

/// Size of the log from which it is also cut, in bytes; that makes writers wait for a moment.
const WAL_CUT_BYTES: u64 = 64 * 1024 * 1024;

/// How the writer tells that it has committed.
#[derive(Debug, Default)]
pub(crate) struct Commits {
    done: AtomicU64,
    due: Notify,
}

impl Commits {
    pub(crate) fn count(&self) {
        if self.done.fetch_add(1, Ordering::Relaxed) % COMMITS == COMMITS - 1 {
            self.due.notify_one();
        }
    }

    /// Asks for a look at the log.
    pub(crate) fn nudge(&self) {
        self.due.notify_one();
    }
}

/// Works until it is aborted.
pub(crate) async fn work(
    path: PathBuf,
    commits: std::sync::Arc<Commits>,
    writer: mpsc::WeakUnboundedSender<Command>,
) {
    let wal = {
        let mut name = path.clone().into_os_string();
        name.push("-wal");
        PathBuf::from(name)
    };
    let mut conn: Option<Connection> = None;
    loop {
        commits.due.notified().await;
        let size = match tokio::fs::metadata(&wal).await {
            Ok(it) => it.len(),
            Err(err) => {
                tracing::debug!("no write-ahead log to look at: {err}");
                continue;
            }
        };
        if size < WAL_BYTES {
            continue;
        }
        let (open, path) = (conn.take(), path.clone());
        let done = blocking("checkpoint", move || {
            let conn = open.map_or_else(|| Connection::open(&path), Ok)?;
            conn.checkpoint(WAL_CUT_BYTES <= size).map(|()| conn)
        });
        match done.await {
            Ok(it) => conn = Some(it),
            Err(err) => {
                tracing::warn!("checkpoint failed: {err}");
                continue;
            }
        }
        // One that has ended needs no log.
        if let Some(writer) = writer.upgrade() {
            let _ = writer.send(Command::RestartLog);
        }
    }
}
