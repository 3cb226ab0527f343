//! Everything in which the two databases differ.

use std::{path::PathBuf, str::FromStr};

use sqlx::postgres::PgConnectOptions;

use crate::{DatabaseError, StoreError};

/// Statements that a connection keeps prepared.
const PREPARED_STATEMENTS: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// `text` with its named holes filled:
    ///
    /// - `{id}`: a primary key that the database numbers
    /// - `{now}`: the database's own time, in milliseconds since 1970
    /// - `{skip_locked}`: leave out the rows of table `g` that another transaction works on
    /// - `{no_rowid}`: keep the table as the index of its primary key, where a database can
    pub(crate) fn fill(self, text: &str) -> String {
        let (id, now, skip_locked, no_rowid) = match self {
            // AUTOINCREMENT: an id that was shown once is never given to another row.
            Self::Sqlite => (
                "INTEGER PRIMARY KEY AUTOINCREMENT",
                "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
                "",
                "WITHOUT ROWID",
            ),
            // NO KEY: rows that only refer to it are written meanwhile.
            Self::Postgres => (
                "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
                "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
                "FOR NO KEY UPDATE OF g SKIP LOCKED",
                "",
            ),
        };
        let text = text.replace("{id}", id).replace("{now}", now);
        text.replace("{skip_locked}", skip_locked).replace("{no_rowid}", no_rowid)
    }
}

/// Where the database is.
#[derive(Clone, Debug)]
pub(crate) enum Address {
    Sqlite(PathBuf),
    Postgres(Box<PgConnectOptions>),
}

impl Address {
    /// `sqlite:///path/db.sqlite`, or what PostgreSQL's own tools take: `postgres://user:password@host/name`.
    pub(crate) fn parse(url: &str) -> Result<Self, StoreError> {
        if let Some(path) = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")) {
            return Ok(Self::Sqlite(path.into()));
        }
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(StoreError::Open { url: shown(url), source: DatabaseError::Scheme });
        }
        match PgConnectOptions::from_str(url) {
            Ok(it) => Ok(Self::Postgres(Box::new(
                it.statement_cache_capacity(PREPARED_STATEMENTS).application_name("nanogridbot"),
            ))),
            Err(err) => Err(StoreError::Open { url: shown(url), source: err.into() }),
        }
    }
}

/// `url` without a password.
pub(crate) fn shown(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let Some((who, place)) = rest.rsplit_once('@') else { return url.to_owned() };
    let user = who.split(':').next().unwrap_or_default();
    format!("{scheme}://{user}@{place}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        #[rustfmt::skip]
        let table = [
            ("postgres://me:secret@host/db",      "postgres://me@host/db"),
            ("postgres://me:p@ss@host/db",        "postgres://me@host/db"),
            ("postgres://host/db",                "postgres://host/db"),
            ("sqlite:///var/db.sqlite",           "sqlite:///var/db.sqlite"),
        ];
        for (url, want) in table {
            assert_eq!(shown(url), want);
        }
    }

    #[test]
    fn another_kind_of_address_is_refused() {
        let err = Address::parse("mysql://me:secret@host/db").unwrap_err();
        assert_eq!(err.to_string(), "could not open the database `mysql://me@host/db`");
    }
}
