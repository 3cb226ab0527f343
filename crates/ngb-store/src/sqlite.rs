//! SQLite: a connection, and those that read beside the writer. A statement runs on the thread that asks for it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use ngb_core::tasks::blocking;
use rusqlite::{OpenFlags, config::DbConfig, functions::FunctionFlags, types::ToSqlOutput};
use tokio::sync::Semaphore;

use crate::{
    DatabaseError, StoreError,
    sql::{Cells, Sql, Value},
};

/// How long a statement waits for a database that another process has locked.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Statements that a connection keeps prepared.
const PREPARED_STATEMENTS: usize = 256;

/// Size of a page of a new database, in bytes. A message changes a few rows each in some seventy pages, and all of a page is
/// written to the log: of the default of 4,096 bytes most is what was there before.
const PAGE_BYTES: u32 = 1_024;

/// Reads at a time.
const READERS: u32 = 4;

/// One connection to a database file.
#[derive(Debug)]
pub(crate) struct Connection {
    conn: rusqlite::Connection,
    path: PathBuf,
}

impl Connection {
    /// Opens a file that is there.
    ///
    /// # Errors
    ///
    /// Also when it is no database.
    pub(crate) fn open(path: &Path) -> Result<Self, DatabaseError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = rusqlite::Connection::open_with_flags(path, flags)?;
        conn.busy_timeout(BUSY_TIMEOUT)?;
        conn.set_prepared_statement_cache_capacity(PREPARED_STATEMENTS);
        conn.pragma_update(None, "page_size", PAGE_BYTES)?;
        conn.pragma_update(None, "journal_mode", "WAL")?;
        conn.pragma_update(None, "synchronous", "FULL")?;
        conn.pragma_update(None, "foreign_keys", true)?;
        // A checkpoint within a commit would make somebody wait for it; `checkpoint.rs` does them beside.
        conn.pragma_update(None, "wal_autocheckpoint", 0)?;
        // A bound LIMIT may change the plan, so by default a statement is planned anew whenever another one is bound: twice a
        // message, and about as long as all its other statements took together.
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        // SQLite's own knows ASCII only; PostgreSQL's knows all letters.
        let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
        conn.create_scalar_function("lower", 1, flags, |it| {
            Ok(it.get::<Option<String>>(0)?.map(|text| text.to_lowercase()))
        })?;
        // What was deleted is gone from the file.
        conn.pragma_update(None, "secure_delete", true)?;
        // What somebody wrote into the schema is not run.
        conn.pragma_update(None, "trusted_schema", false)?;
        Ok(Self { conn, path: path.to_owned() })
    }

    /// Like [`Connection::open`], for one that can't write.
    fn open_to_read(path: &Path) -> Result<Self, DatabaseError> {
        let conn = Self::open(path)?;
        conn.conn.pragma_update(None, "query_only", true)?;
        Ok(conn)
    }

    /// Begins to write; waits while another process does.
    pub(crate) fn begin(&mut self) -> Result<(), DatabaseError> {
        if let Err(err) = self.rollback() {
            tracing::warn!(
                "the database is opened anew, since a transaction could not be ended: {err}"
            );
            *self = Self::open(&self.path)?;
        }
        // IMMEDIATE: a transaction that read first could not wait for another process's lock.
        self.statement("BEGIN IMMEDIATE")
    }

    pub(crate) fn commit(&self) -> Result<(), DatabaseError> {
        self.statement("COMMIT")
    }

    /// Drops what was written since [`Connection::begin`]. SQLite may have done so by itself, on a full disk.
    pub(crate) fn rollback(&self) -> Result<(), DatabaseError> {
        if self.conn.is_autocommit() {
            return Ok(());
        }
        self.statement("ROLLBACK")
    }

    pub(crate) fn statement(&self, text: &'static str) -> Result<(), DatabaseError> {
        self.conn.prepare_cached(text)?.raw_execute()?;
        Ok(())
    }

    /// Runs a statement that gives no rows; returns how many it wrote.
    pub(crate) fn run(&self, query: &Sql) -> Result<u64, DatabaseError> {
        let mut statement = self.conn.prepare_cached(&query.text)?;
        bind(&mut statement, &query.values, 0)?;
        Ok(u64::try_from(statement.raw_execute()?).unwrap_or(u64::MAX))
    }

    /// The rows that a statement reads or, by `RETURNING`, wrote.
    pub(crate) fn rows(&self, query: &Sql) -> Result<Vec<Cells>, DatabaseError> {
        let mut res = Vec::new();
        let mut statement = self.conn.prepare_cached(&query.text)?;
        bind(&mut statement, &query.values, 0)?;
        collect(&mut statement, &mut res)?;
        Ok(res)
    }

    /// Runs a statement that has places for one row of values, once for each of `rows`; returns what it gave.
    ///
    /// There is no way to the database that many rows would have to share, and a text that is always the same stays
    /// prepared.
    pub(crate) fn rows_each(
        &self,
        query: &Sql,
        rows: &[Vec<Value>],
    ) -> Result<Vec<Cells>, DatabaseError> {
        let mut res = Vec::new();
        let mut statement = self.conn.prepare_cached(&query.text)?;
        for row in rows {
            bind(&mut statement, &query.values, 0)?;
            bind(&mut statement, row, query.values.len())?;
            collect(&mut statement, &mut res)?;
        }
        Ok(res)
    }

    /// The one number that `text` gives; none where it gives no row, or NULL.
    pub(crate) fn number(
        &self,
        text: &str,
        value: Option<&str>,
    ) -> Result<Option<i64>, DatabaseError> {
        let mut statement = self.conn.prepare(text)?;
        let mut rows = statement.query(rusqlite::params_from_iter(value))?;
        Ok(match rows.next()? {
            Some(row) => row.get(0)?,
            None => None,
        })
    }

    /// The rows of two texts that `text` gives for `value`.
    pub(crate) fn pairs(
        &self,
        text: &str,
        value: &str,
    ) -> Result<Vec<(String, String)>, DatabaseError> {
        let mut statement = self.conn.prepare(text)?;
        let rows = statement.query_map([value], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Gives `to` the text of each row, until it fails: the inner error.
    pub(crate) fn each(
        &self,
        text: &str,
        mut to: impl FnMut(String) -> std::io::Result<()>,
    ) -> Result<std::io::Result<()>, DatabaseError> {
        let mut statement = self.conn.prepare(text)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if let Err(err) = to(row.get(0)?) {
                return Ok(Err(err));
            }
        }
        Ok(Ok(()))
    }

    /// Copies the database into an empty file.
    pub(crate) fn copy_to(&self, to: &Path) -> Result<(), DatabaseError> {
        self.conn.execute("VACUUM INTO ?1", [to.to_string_lossy()])?;
        Ok(())
    }

    /// Moves the log into the database; with `cut` the log's file becomes empty too, and writers wait for that.
    pub(crate) fn checkpoint(&self, cut: bool) -> Result<(), DatabaseError> {
        let text =
            if cut { "PRAGMA wal_checkpoint(TRUNCATE)" } else { "PRAGMA wal_checkpoint(PASSIVE)" };
        Ok(self.conn.query_row(text, [], |_| Ok(()))?)
    }
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Self::Int(it) => it.to_sql(),
            Self::Text(it) => it.to_sql(),
        }
    }
}

fn bind(
    statement: &mut rusqlite::Statement<'_>,
    values: &[Value],
    after: usize,
) -> Result<(), DatabaseError> {
    for (i, value) in values.iter().enumerate() {
        statement.raw_bind_parameter(after + i + 1, value)?;
    }
    Ok(())
}

fn collect(
    statement: &mut rusqlite::Statement<'_>,
    res: &mut Vec<Cells>,
) -> Result<(), DatabaseError> {
    let columns = statement.column_count();
    let mut names: Option<Arc<[String]>> = None;
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next()? {
        // Most statements of a batch give none.
        let names =
            names.get_or_insert_with(|| row.as_ref().column_names().map(str::to_owned).collect());
        let cells = (0..columns).map(|i| row.get(i)).collect::<Result<_, _>>()?;
        res.push(Cells { names: Arc::clone(names), cells });
    }
    Ok(())
}

/// Connections that read while the writer writes.
#[derive(Clone, Debug)]
pub(crate) struct Readers {
    path: PathBuf,
    idle: Arc<std::sync::Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    /// Nothing is opened before it is needed.
    pub(crate) fn new(path: PathBuf) -> Self {
        let permits = Arc::new(Semaphore::new(READERS as usize));
        Self { path, idle: Arc::default(), permits }
    }

    /// The rows that `query` reads, on a thread that may wait for the disk.
    pub(crate) async fn rows(&self, query: Sql) -> Result<Vec<Cells>, StoreError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|_| StoreError::Closed)?;
        let readers = self.clone();
        blocking("read the database", move || {
            let rows = readers.read(&query);
            drop(permit);
            rows.map_err(|source| StoreError::Sql { doing: query.doing, source })
        })
        .await
    }

    fn read(&self, query: &Sql) -> Result<Vec<Cells>, DatabaseError> {
        let idle = self.idle().pop();
        let conn = idle.map_or_else(|| Connection::open_to_read(&self.path), Ok)?;
        let rows = conn.rows(query)?;
        // One that failed is not used again.
        self.idle().push(conn);
        Ok(rows)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        // A connection is in here or in use, also when somebody panicked.
        self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Waits for the reads that are under way, and closes the connections.
    pub(crate) async fn close(&self) {
        // Closed already when there are none.
        let all = self.permits.acquire_many(READERS).await;
        self.permits.close();
        self.idle().clear();
        drop(all);
    }
}
