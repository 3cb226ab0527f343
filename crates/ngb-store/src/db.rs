//! Connections: a pool to read from, a transaction to write in. One text for both databases.

use std::{collections::HashMap, sync::Arc};

use ngb_core::clock::Timestamp;
use sqlx::{
    AssertSqlSafe, PgPool, Postgres, Sqlite, SqlitePool, Transaction, pool::PoolConnection,
    postgres::PgArguments, query::Query, sqlite::SqliteArguments,
};

use crate::{
    NewDecision, StoreError,
    dialect::Dialect,
    sql::{Row, Sql, Value, sql},
};

#[derive(Clone, Debug)]
pub(crate) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// What the writer knows without asking: rows that never change, or hardly.
#[derive(Default)]
pub(crate) struct Cache {
    /// Ids of lanes by group and key.
    pub(crate) lanes: HashMap<(i64, String), i64>,
    /// Chats as they were last written: title and when.
    pub(crate) chats: HashMap<String, (String, Timestamp)>,
}

/// Entries of each kind that the [`Cache`] holds; it begins anew when it is full.
const MAX_CACHED: usize = 10_000;

impl Cache {
    pub(crate) fn trim(&mut self) {
        if MAX_CACHED < self.lanes.len() {
            self.lanes.clear();
        }
        if MAX_CACHED < self.chats.len() {
            self.chats.clear();
        }
    }
}

/// A transaction of the writer.
pub(crate) struct Tx {
    conn: Conn,
    pub(crate) node: Arc<str>,
    pub(crate) now: Timestamp,
    pub(crate) cache: Cache,
    decisions: Vec<(Timestamp, NewDecision)>,
}

enum Conn {
    /// Without sqlx's own count of open transactions: SQLite ends one by itself when the disk is full, and sqlx would take
    /// it for open ever after.
    Sqlite(PoolConnection<Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

macro_rules! bound {
    ($db:ident, $args:ident, $query:expr) => {{
        let mut query: Query<'_, $db, $args> = sqlx::query(AssertSqlSafe($query.text));
        for value in $query.values {
            query = match value {
                Value::Int(it) => query.bind(it),
                Value::Text(it) => query.bind(it),
            };
        }
        query
    }};
}

/// Runs `$query` on `$on`, an executor of either database.
macro_rules! fetch {
    (Sqlite, $query:ident, $on:expr) => {
        bound!(Sqlite, SqliteArguments, $query)
            .fetch_all($on)
            .await
            .map(|rows| rows.into_iter().map(Row::Sqlite).collect())
    };
    (Postgres, $query:ident, $on:expr) => {
        bound!(Postgres, PgArguments, $query)
            .fetch_all($on)
            .await
            .map(|rows| rows.into_iter().map(Row::Postgres).collect())
    };
}

impl Pool {
    pub(crate) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// The rows that `query` reads.
    pub(crate) async fn rows(&self, mut query: Sql) -> Result<Vec<Row>, StoreError> {
        query.fill(self.dialect());
        #[cfg(test)]
        note(&query.text);
        let doing = query.doing;
        let rows: Result<Vec<Row>, sqlx::Error> = match self {
            Self::Sqlite(pool) => fetch!(Sqlite, query, pool),
            Self::Postgres(pool) => fetch!(Postgres, query, pool),
        };
        rows.map_err(|source| StoreError::Sql { doing, source })
    }

    /// The first row that `query` reads.
    pub(crate) async fn row(&self, query: Sql) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(query).await?.into_iter().next())
    }

    /// Begins a transaction that writes.
    pub(crate) async fn begin(&self, node: Arc<str>, now: Timestamp) -> Result<Tx, StoreError> {
        let conn = match self {
            // IMMEDIATE: a transaction that read first could not wait for another process's lock.
            Self::Sqlite(pool) => begin_immediate(pool).await.map(Conn::Sqlite),
            Self::Postgres(pool) => pool.begin().await.map(Conn::Postgres),
        };
        let conn = conn.map_err(|source| StoreError::Sql { doing: "begin", source })?;
        Ok(Tx { conn, node, now, cache: Cache::default(), decisions: Vec::new() })
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

impl Tx {
    pub(crate) fn dialect(&self) -> Dialect {
        match self.conn {
            Conn::Sqlite(_) => Dialect::Sqlite,
            Conn::Postgres(_) => Dialect::Postgres,
        }
    }

    /// The rows that `query` reads or, by `RETURNING`, wrote.
    pub(crate) async fn rows(&mut self, mut query: Sql) -> Result<Vec<Row>, StoreError> {
        query.fill(self.dialect());
        #[cfg(test)]
        note(&query.text);
        let doing = query.doing;
        let rows: Result<Vec<Row>, sqlx::Error> = match &mut self.conn {
            Conn::Sqlite(tx) => fetch!(Sqlite, query, &mut **tx),
            Conn::Postgres(tx) => fetch!(Postgres, query, &mut **tx),
        };
        rows.map_err(|source| StoreError::Sql { doing, source })
    }

    pub(crate) async fn row(&mut self, query: Sql) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(query).await?.into_iter().next())
    }

    /// Runs `query`; returns how many rows it wrote.
    pub(crate) async fn run(&mut self, mut query: Sql) -> Result<u64, StoreError> {
        query.fill(self.dialect());
        #[cfg(test)]
        note(&query.text);
        let doing = query.doing;
        let done = match &mut self.conn {
            Conn::Sqlite(tx) => bound!(Sqlite, SqliteArguments, query)
                .execute(&mut **tx)
                .await
                .map(|it| it.rows_affected()),
            Conn::Postgres(tx) => bound!(Postgres, PgArguments, query)
                .execute(&mut **tx)
                .await
                .map(|it| it.rows_affected()),
        };
        done.map_err(|source| StoreError::Sql { doing, source })
    }

    /// Runs `query` for all `rows` with as few statements as its values allow.
    pub(crate) async fn run_many(
        &mut self,
        query: Sql,
        rows: Vec<Vec<Value>>,
    ) -> Result<(), StoreError> {
        for part in parts(rows) {
            self.run(query.clone().rows(part, self.dialect())).await?;
        }
        Ok(())
    }

    /// Like [`Tx::run_many`], with what `RETURNING` gave.
    pub(crate) async fn rows_many(
        &mut self,
        query: Sql,
        rows: Vec<Vec<Value>>,
    ) -> Result<Vec<Row>, StoreError> {
        let mut res = Vec::new();
        for part in parts(rows) {
            res.append(&mut self.rows(query.clone().rows(part, self.dialect())).await?);
        }
        Ok(res)
    }

    /// A decision of this transaction; all of them are written by one statement before the commit.
    pub(crate) fn decide(&mut self, decision: NewDecision) {
        self.decisions.push((self.now, decision));
    }

    /// A decision that was made earlier.
    pub(crate) fn decide_at(&mut self, at: Timestamp, decision: NewDecision) {
        self.decisions.push((at, decision));
    }

    /// Makes all of it durable; gives back what was learnt.
    pub(crate) async fn commit(mut self) -> Result<Cache, StoreError> {
        let rows: Vec<_> = std::mem::take(&mut self.decisions)
            .into_iter()
            .map(|(at, it)| {
                crate::sql::row![at, it.message, it.job, it.run, it.kind.as_str(), it.detail]
            })
            .collect();
        let text =
            "INSERT INTO decisions (at, message_id, job_id, run_id, kind, detail) VALUES {values}";
        self.run_many(sql("write decisions", text), rows).await?;
        let done = match self.conn {
            Conn::Sqlite(conn) => end(conn, "COMMIT").await,
            Conn::Postgres(tx) => tx.commit().await,
        };
        done.map_err(|source| StoreError::Sql { doing: "commit", source })?;
        Ok(self.cache)
    }

    pub(crate) async fn rollback(self) {
        let done = match self.conn {
            Conn::Sqlite(conn) => end(conn, "ROLLBACK").await,
            Conn::Postgres(tx) => tx.rollback().await,
        };
        if let Err(err) = done {
            // That connection is closed, and with it the transaction is gone.
            tracing::debug!("rollback failed: {err}");
        }
    }
}

async fn begin_immediate(pool: &SqlitePool) -> Result<PoolConnection<Sqlite>, sqlx::Error> {
    let mut conn = pool.acquire().await?;
    match sqlx::query("BEGIN IMMEDIATE").execute(&mut *conn).await {
        Ok(_) => Ok(conn),
        Err(err) => {
            close(conn).await;
            Err(err)
        }
    }
}

/// Ends a transaction. A connection that can't is closed, so that the next one begins with nothing open.
async fn end(mut conn: PoolConnection<Sqlite>, statement: &'static str) -> Result<(), sqlx::Error> {
    match sqlx::query(statement).execute(&mut *conn).await {
        Ok(_) => Ok(()),
        Err(err) => {
            close(conn).await;
            Err(err)
        }
    }
}

async fn close(conn: PoolConnection<Sqlite>) {
    if let Err(err) = conn.close().await {
        tracing::debug!("could not close a connection: {err}");
    }
}

/// `rows` in pieces that fit into a statement.
fn parts(rows: Vec<Vec<Value>>) -> impl Iterator<Item = Vec<Vec<Value>>> {
    let width = rows.first().map_or(1, Vec::len).max(1);
    let size = (crate::sql::MAX_VALUES / width).saturating_sub(1).max(1);
    let mut rows = rows.into_iter();
    std::iter::from_fn(move || {
        let part: Vec<_> = rows.by_ref().take(size).collect();
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
