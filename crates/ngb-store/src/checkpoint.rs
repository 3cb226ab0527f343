//! Moves SQLite's write-ahead log into the database beside the writer, so that no commit ever does.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
};

use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::Notify;

use crate::dialect;

/// Commits after which the log is looked at.
const COMMITS: u64 = 200;

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
pub(crate) async fn work(path: PathBuf, commits: std::sync::Arc<Commits>) {
    let wal = {
        let mut name = path.clone().into_os_string();
        name.push("-wal");
        PathBuf::from(name)
    };
    let mut conn: Option<SqliteConnection> = None;
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
        let statement = if size < WAL_CUT_BYTES {
            "PRAGMA wal_checkpoint(PASSIVE)"
        } else {
            "PRAGMA wal_checkpoint(TRUNCATE)"
        };
        let mut open = match conn.take() {
            Some(it) => it,
            None => match SqliteConnection::connect_with(&dialect::sqlite(&path)).await {
                Ok(it) => it,
                Err(err) => {
                    tracing::warn!("checkpoint: could not open the database: {err}");
                    continue;
                }
            },
        };
        match sqlx::query(statement).execute(&mut open).await {
            Ok(_) => conn = Some(open),
            Err(err) => tracing::warn!("checkpoint failed: {err}"),
        }
    }
}
