//! Where statements go: readers, and the one connection that writes. One text for both databases.

use std::{collections::HashMap, sync::Arc};

use ngb_core::{clock::Timestamp, id::GroupId};
use sqlx::{AssertSqlSafe, PgPool, Postgres, Transaction, postgres::PgArguments, query::Query};

use crate::{
    DatabaseError, DayUse, NewDecision, StoreError,
    bursts::Bursts,
    dialect::Dialect,
    fullness::Fullness,
    sql::{Row, Sql, Value, row, sql},
    sqlite,
};

/// Most values in one statement: PostgreSQL counts them in 16 bits.
const MAX_VALUES: usize = 32_000;

/// Where reads go.
#[derive(Clone, Debug)]
pub(crate) enum Readers {
    Sqlite(sqlite::Readers),
    Postgres(PgPool),
}

impl Readers {
    pub(crate) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// The rows that `query` reads.
    pub(crate) async fn rows(&self, mut query: Sql) -> Result<Vec<Row>, StoreError> {
        prepare(&mut query, self.dialect());
        let doing = query.doing;
        match self {
            Self::Sqlite(it) => Ok(it.rows(query).await?.into_iter().map(Row::Sqlite).collect()),
            Self::Postgres(pool) => match bound(query).fetch_all(pool).await {
                Ok(rows) => Ok(rows.into_iter().map(Row::Postgres).collect()),
                Err(err) => Err(StoreError::Sql { doing, source: err.into() }),
            },
        }
    }

    /// The first row that `query` reads.
    pub(crate) async fn row(&self, query: Sql) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(query).await?.into_iter().next())
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(it) => it.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

/// What the writer knows without asking: rows that never change, or hardly.
#[derive(Default)]
pub(crate) struct Cache {
    /// Ids of lanes by group and key.
    pub(crate) lanes: HashMap<(i64, String), i64>,
    /// Chats as they were last written: title and when.
    pub(crate) chats: HashMap<String, (String, Timestamp)>,
    pub(crate) bursts: Bursts,
    pub(crate) fullness: Fullness,
    /// What groups used on the day that begins at that time.
    pub(crate) used: HashMap<GroupId, (Timestamp, DayUse)>,
}

/// Entries of each kind that the [`Cache`] holds; it begins anew when it is full.
const MAX_CACHED: usize = 10_000;

impl Cache {
    pub(crate) fn trim(&mut self) {
        self.fullness.trim(MAX_CACHED);
        if MAX_CACHED < self.lanes.len() {
            self.lanes.clear();
        }
        if MAX_CACHED < self.chats.len() {
            self.chats.clear();
        }
        if MAX_CACHED < self.used.len() {
            self.used.clear();
        }
    }
}

/// What the writer writes by, and the transaction that is open there.
///
/// On SQLite its functions are done when they are first polled: a whole transaction runs on the thread of the writer.
pub(crate) struct Tx {
    conn: Conn,
    pub(crate) node: Arc<str>,
    pub(crate) now: Timestamp,
    pub(crate) cache: Cache,
    decisions: Vec<(Timestamp, NewDecision)>,
}

/// A connection to write by.
pub(crate) enum Conn {
    Sqlite(sqlite::Connection),
    Postgres { pool: PgPool, open: Option<Transaction<'static, Postgres>> },
}

fn bound(query: Sql) -> Query<'static, Postgres, PgArguments> {
    let mut res = sqlx::query(AssertSqlSafe(query.text));
    for value in query.values {
        res = match value {
            Value::Int(it) => res.bind(it),
            Value::Text(it) => res.bind(it),
        };
    }
    res
}

fn prepare(query: &mut Sql, dialect: Dialect) {
    query.fill(dialect);
    #[cfg(test)]
    note(&query.text);
}

impl Tx {
    pub(crate) fn new(conn: Conn, node: Arc<str>) -> Self {
        let (now, cache, decisions) = (Timestamp(0), Cache::default(), Vec::new());
        Self { conn, node, now, cache, decisions }
    }

    pub(crate) fn dialect(&self) -> Dialect {
        match self.conn {
            Conn::Sqlite(_) => Dialect::Sqlite,
            Conn::Postgres { .. } => Dialect::Postgres,
        }
    }

    /// Begins a transaction.
    pub(crate) async fn begin(&mut self, now: Timestamp) -> Result<(), StoreError> {
        self.now = now;
        let done = match &mut self.conn {
            Conn::Sqlite(conn) => conn.begin(),
            Conn::Postgres { pool, open } => match pool.begin().await {
                Ok(it) => {
                    *open = Some(it);
                    Ok(())
                }
                Err(err) => Err(err.into()),
            },
        };
        done.map_err(|source| StoreError::Sql { doing: "begin", source })
    }

    /// The rows that `query` reads or, by `RETURNING`, wrote.
    pub(crate) async fn rows(&mut self, mut query: Sql) -> Result<Vec<Row>, StoreError> {
        prepare(&mut query, self.dialect());
        let doing = query.doing;
        let rows = match &mut self.conn {
            Conn::Sqlite(conn) => {
                conn.rows(&query).map(|it| it.into_iter().map(Row::Sqlite).collect())
            }
            Conn::Postgres { open: Some(tx), .. } => {
                let rows = bound(query).fetch_all(&mut **tx).await;
                rows.map(|it| it.into_iter().map(Row::Postgres).collect()).map_err(Into::into)
            }
            Conn::Postgres { open: None, .. } => Err(DatabaseError::NoTransaction),
        };
        rows.map_err(|source| StoreError::Sql { doing, source })
    }

    pub(crate) async fn row(&mut self, query: Sql) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(query).await?.into_iter().next())
    }

    /// Runs `query`; returns how many rows it wrote.
    pub(crate) async fn run(&mut self, mut query: Sql) -> Result<u64, StoreError> {
        prepare(&mut query, self.dialect());
        let doing = query.doing;
        let done = match &mut self.conn {
            Conn::Sqlite(conn) => conn.run(&query),
            Conn::Postgres { open: Some(tx), .. } => {
                let done = bound(query).execute(&mut **tx).await;
                done.map(|it| it.rows_affected()).map_err(Into::into)
            }
            Conn::Postgres { open: None, .. } => Err(DatabaseError::NoTransaction),
        };
        done.map_err(|source| StoreError::Sql { doing, source })
    }

    /// Runs `query` for all `rows`.
    pub(crate) async fn run_many(
        &mut self,
        query: Sql,
        rows: Vec<Vec<Value>>,
    ) -> Result<(), StoreError> {
        self.rows_many(query, rows).await.map(drop)
    }

    /// Like [`Tx::run_many`], with what `RETURNING` gave.
    ///
    /// On SQLite it is one short statement a row, on PostgreSQL as few as its values allow: only there each is a round trip.
    pub(crate) async fn rows_many(
        &mut self,
        query: Sql,
        rows: Vec<Vec<Value>>,
    ) -> Result<Vec<Row>, StoreError> {
        let Some(width) = rows.first().map(Vec::len) else { return Ok(Vec::new()) };
        if let Conn::Sqlite(conn) = &self.conn {
            let mut query = query.one_row(width);
            prepare(&mut query, Dialect::Sqlite);
            return match conn.rows_each(&query, &rows) {
                Ok(rows) => Ok(rows.into_iter().map(Row::Sqlite).collect()),
                Err(source) => Err(StoreError::Sql { doing: query.doing, source }),
            };
        }
        let mut res = Vec::new();
        for part in parts(rows, MAX_VALUES / width.max(1) - 1) {
            res.append(&mut self.rows(query.clone().rows(part)).await?);
        }
        Ok(res)
    }

    /// A decision of this transaction; all of them are written before the commit.
    pub(crate) fn decide(&mut self, decision: NewDecision) {
        self.decisions.push((self.now, decision));
    }

    /// A decision that was made earlier.
    pub(crate) fn decide_at(&mut self, at: Timestamp, decision: NewDecision) {
        self.decisions.push((at, decision));
    }

    /// Makes all of it durable. After an error nothing of it is.
    pub(crate) async fn commit(&mut self) -> Result<(), StoreError> {
        let done = match self.write_decisions().await {
            Ok(()) => self.end().await,
            Err(err) => Err(err),
        };
        match done {
            Ok(()) => self.cache.trim(),
            Err(_) => self.rollback().await,
        }
        done
    }

    async fn write_decisions(&mut self) -> Result<(), StoreError> {
        let rows: Vec<_> = std::mem::take(&mut self.decisions)
            .into_iter()
            .map(|(at, it)| row![at, it.message, it.job, it.run, it.kind.as_str(), it.detail])
            .collect();
        let text =
            "INSERT INTO decisions (at, message_id, job_id, run_id, kind, detail) VALUES {values}";
        self.run_many(sql("write decisions", text), rows).await
    }

    async fn end(&mut self) -> Result<(), StoreError> {
        let done = match &mut self.conn {
            Conn::Sqlite(conn) => conn.commit(),
            Conn::Postgres { open, .. } => match open.take() {
                Some(tx) => tx.commit().await.map_err(Into::into),
                None => Err(DatabaseError::NoTransaction),
            },
        };
        done.map_err(|source| StoreError::Sql { doing: "commit", source })
    }

    /// Drops what was written since [`Tx::begin`], and what was learnt.
    pub(crate) async fn rollback(&mut self) {
        self.decisions.clear();
        self.cache = Cache::default();
        let done = match &mut self.conn {
            Conn::Sqlite(conn) => conn.rollback(),
            Conn::Postgres { open, .. } => match open.take() {
                Some(tx) => tx.rollback().await.map_err(Into::into),
                None => Ok(()),
            },
        };
        if let Err(err) = done {
            // The next one begins by ending it.
            tracing::warn!("rollback failed: {err}");
        }
    }
}

impl Tx {
    /// Moves what is left of SQLite's log into the database. Nobody else writes meanwhile, so the next commit begins the log
    /// anew, in the file that is there: it grows no more, and a commit has no new size to make durable.
    pub(crate) fn restart_log(&self) {
        let Conn::Sqlite(conn) = &self.conn else { return };
        if let Err(err) = conn.checkpoint(false) {
            tracing::warn!("the write-ahead log could not be begun anew: {err}");
        }
    }

    /// Closes the connection.
    pub(crate) async fn close(self) {
        match self.conn {
            Conn::Sqlite(conn) => drop(conn),
            Conn::Postgres { pool, open } => {
                drop(open);
                pool.close().await;
            }
        }
    }
}

/// `rows` in pieces of up to `size`.
fn parts(rows: Vec<Vec<Value>>, size: usize) -> impl Iterator<Item = Vec<Vec<Value>>> {
    let mut rows = rows.into_iter();
    std::iter::from_fn(move || {
        let part: Vec<_> = rows.by_ref().take(size.max(1)).collect();
        (!part.is_empty()).then_some(part)
    })
}

/// The texts that were run in this process, for the test of their plans.
#[cfg(test)]
pub(crate) fn log() -> &'static std::sync::Mutex<Vec<String>> {
    static LOG: std::sync::Mutex<Vec<String>> = std::sync::Mutex::new(Vec::new());
    &LOG
}

#[cfg(test)]
fn note(text: &str) {
    let mut log = log().lock().unwrap();
    if !log.iter().any(|it| it == text) && !text.starts_with("CREATE") {
        log.push(text.to_owned());
    }
}
