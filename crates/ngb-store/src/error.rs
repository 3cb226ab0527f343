//! What goes wrong in a store, and whether the database itself is the trouble.

use ngb_core::id::RunId;
use thiserror::Error;

/// Where in a store something went wrong.
#[derive(Debug, Error)]
pub enum StoreError {
    #[error("could not open the database `{url}`")]
    Open {
        /// Without a password.
        url: String,
        #[source]
        source: DatabaseError,
    },
    #[error("the database `{url}` is damaged: {why}")]
    Damaged { url: String, why: String },
    #[error("the database is of a newer version ({found}) than this program ({known})")]
    Newer { found: i64, known: i64 },
    #[error("migration {version} failed; the database is as it was")]
    Migration {
        version: i64,
        #[source]
        source: DatabaseError,
    },
    #[error("could not copy the database to `{to}` before the migration")]
    Backup {
        to: String,
        #[source]
        source: std::io::Error,
    },
    #[error("a query failed while doing `{doing}`")]
    Sql {
        doing: &'static str,
        #[source]
        source: DatabaseError,
    },
    #[error("row {row} of table `{table}` does not make sense: {why}")]
    Inconsistent { table: &'static str, row: i64, why: String },
    /// A name or place that must be unique is taken.
    #[error("{what} `{name}` exists already")]
    Taken { what: &'static str, name: String },
    #[error("there is no {what} `{name}`")]
    NotFound { what: &'static str, name: String },
    /// A run wrote that no longer holds its lease.
    #[error("run {0} no longer holds its lane")]
    Fenced(RunId),
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Whether the address itself makes no sense, as opposed to a database that can't be reached.
    pub fn is_bad_address(&self) -> bool {
        use DatabaseError::{Postgres, Scheme};
        matches!(self, Self::Open { source: Scheme | Postgres(sqlx::Error::Configuration(_)), .. })
    }
}

/// What a database said, or what is wrong with what it gave.
#[derive(Debug, Error)]
pub enum DatabaseError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Postgres(#[from] sqlx::Error),
    /// The file could not be made.
    #[error(transparent)]
    File(#[from] std::io::Error),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error("column `{column}` is {why}")]
    Column { column: String, why: &'static str },
    /// The error of a whole batch, as each of its commands gets it.
    #[error("{0}")]
    Batch(String),
    #[error("no transaction is open")]
    NoTransaction,
    #[error("it begins with neither `sqlite://` nor `postgres://`")]
    Scheme,
}

/// Primary result codes: <https://sqlite.org/rescode.html>
const SQLITE_ERROR: i32 = 1;
const SQLITE_CORRUPT: i32 = 11;
const SQLITE_FULL: i32 = 13;
const SQLITE_TOOBIG: i32 = 18;
const SQLITE_CONSTRAINT: i32 = 19;
const SQLITE_MISMATCH: i32 = 20;
const SQLITE_NOTADB: i32 = 26;

/// The index of the log could not grow; an extended code.
const SQLITE_IOERR_SHMSIZE: i32 = 4_874;

impl DatabaseError {
    /// Whether the file is no sound database.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(self.sqlite_code(), Some(SQLITE_CORRUPT | SQLITE_NOTADB))
    }

    /// Whether the database itself is the trouble (a full disk, a lock), and not what it was asked to write.
    fn is_trouble(&self) -> bool {
        match self {
            Self::Sqlite(_) => self.sqlite_code().is_some_and(|code| {
                !matches!(code, SQLITE_ERROR | SQLITE_TOOBIG | SQLITE_CONSTRAINT | SQLITE_MISMATCH)
            }),
            Self::Postgres(err) => match err.as_database_error() {
                // Data exception, constraint, syntax: https://www.postgresql.org/docs/15/errcodes-appendix.html
                Some(db) => {
                    let code = db.code().unwrap_or_default();
                    !["22", "23", "42"].iter().any(|class| code.starts_with(class))
                }
                None => !matches!(err, sqlx::Error::Encode(_)),
            },
            Self::File(_)
            | Self::Json(_)
            | Self::Column { .. }
            | Self::Batch(_)
            | Self::NoTransaction
            | Self::Scheme => false,
        }
    }

    /// Whether the disk is full.
    fn is_full(&self) -> bool {
        let Self::Sqlite(err) = self else { return false };
        let extended = err.sqlite_error().map(|it| it.extended_code);
        self.sqlite_code() == Some(SQLITE_FULL) || extended == Some(SQLITE_IOERR_SHMSIZE)
    }

    fn sqlite_code(&self) -> Option<i32> {
        let Self::Sqlite(err) = self else { return None };
        // The low byte of an extended code is the primary one.
        err.sqlite_error().map(|it| it.extended_code & 0xff)
    }
}

/// Whether the database itself is the trouble, and not what it was asked to write.
pub(crate) fn is_trouble(err: &StoreError) -> bool {
    matches!(err, StoreError::Sql { source, .. } if source.is_trouble())
}

/// Whether the disk of an SQLite database is full.
pub(crate) fn is_full(err: &StoreError) -> bool {
    matches!(err, StoreError::Sql { source, .. } if source.is_full())
}

/// An error with its causes.
pub(crate) fn chain(err: &dyn std::error::Error) -> String {
    let mut res = err.to_string();
    let mut next = err.source();
    while let Some(cause) = next {
        res = format!("{res}: {cause}");
        next = cause.source();
    }
    res
}
