//! A copy of a whole database in a form of our own, so that one of SQLite can be put back into PostgreSQL and the other way
//! round: tables in the order in which they refer to each other, each row a line that is a JSON array.
//!
//! It is read in one snapshot while others write, and written in one transaction: there is no half of either.

use std::{io, path::PathBuf};

use ngb_core::tasks::blocking;
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, Row as _};

use crate::{
    StoreError,
    db::Tx,
    dialect::{Address, Dialect},
    migrate::{self, Opening},
    restored::{self, Restored},
    schema::{MIGRATIONS, Migration},
    sql::{Value, sql},
    sqlite,
};

/// Rows that are read, and written, at a time.
const ROWS: usize = 1_000;

/// What belongs to the gateway that was copied, not to what it knew.
const LEFT_OUT: &[&str] = &["leases"];

/// Some rows of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    /// The version of the schema.
    pub schema: i64,
    pub table: String,
    pub columns: Vec<String>,
    /// The largest number that the table has given a row, also one that is gone; none where it numbers none.
    pub last_id: Option<i64>,
    /// Each a JSON array with a value a column.
    #[serde(skip)]
    pub lines: Vec<String>,
}

/// The tables of a version, each after those that it refers to.
fn tables(version: i64) -> Vec<&'static str> {
    let steps = MIGRATIONS.iter().filter(|it| it.version <= version);
    let made = steps.flat_map(|it| it.statements).filter_map(|it| it.strip_prefix("CREATE TABLE "));
    let names = made.filter_map(|it| it.split_whitespace().next());
    names.filter(|it| !LEFT_OUT.contains(it)).collect()
}

/// The columns of the table `$1`.
fn columns(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => "SELECT name, upper(type) AS kind FROM pragma_table_info($1)",
        Dialect::Postgres => {
            "SELECT CAST(column_name AS TEXT) AS name, upper(CAST(data_type AS TEXT)) AS kind
             FROM information_schema.columns
             WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position"
        }
    }
}

/// Reads the database at `url` as it is at this moment; gives `to` its rows and returns the version of its schema, 0
/// where there is none yet.
///
/// # Errors
///
/// When the database can't be read, or `to` fails.
pub async fn read(
    url: String,
    mut to: impl FnMut(Rows) -> io::Result<()> + Send + 'static,
) -> Result<i64, StoreError> {
    match Address::parse(&url)? {
        Address::Sqlite(path) => {
            blocking("copy the database", move || read_sqlite(path, url, &mut to)).await
        }
        Address::Postgres(options) => {
            let mut reader = Server::connect(*options, &url).await?;
            reader.read(&mut to).await
        }
    }
}

fn taken(source: io::Error) -> StoreError {
    StoreError::Sql { doing: "write the copy", source: source.into() }
}

fn known(found: i64) -> Result<i64, StoreError> {
    let known = MIGRATIONS.last().map_or(0, |it| it.version);
    if known < found { Err(StoreError::Newer { found, known }) } else { Ok(found) }
}

fn read_sqlite(
    path: PathBuf,
    url: String,
    to: &mut impl FnMut(Rows) -> io::Result<()>,
) -> Result<i64, StoreError> {
    let failed = |doing| move |source| StoreError::Sql { doing, source };
    if !path.exists() {
        return Ok(0);
    }
    let conn = sqlite::Connection::open(&path)
        .map_err(|source| StoreError::Open { url: url.clone(), source })?;
    // The first statement that reads fixes what all of them see.
    conn.statement("BEGIN").map_err(failed("begin to copy"))?;
    let count = |text: &str| conn.number(text, None).map_err(failed("read the schema's version"));
    if count("SELECT count(*) FROM sqlite_master WHERE name = 'migrations'")? == Some(0) {
        return Ok(0);
    }
    let version = known(count("SELECT max(version) FROM migrations")?.unwrap_or(0))?;
    for table in tables(version) {
        let (names, _) = kinds(conn.pairs(&columns(Dialect::Sqlite).replace('$', "?"), table))
            .map_err(failed("read columns"))?;
        let last = conn.number("SELECT seq FROM sqlite_sequence WHERE name = ?1", Some(table));
        let last_id = last.map_err(failed("read the last number"))?;
        let head = Rows {
            schema: version,
            table: table.to_owned(),
            columns: names,
            last_id,
            lines: Vec::new(),
        };
        let text = format!("SELECT json_array({}) FROM {table}", head.columns.join(", "));
        let mut part = head.clone();
        let each = conn.each(&text, |line| {
            part.lines.push(line);
            if ROWS <= part.lines.len() {
                return to(std::mem::replace(&mut part, head.clone()));
            }
            Ok(())
        });
        each.map_err(failed("copy a table"))?.map_err(taken)?;
        to(part).map_err(taken)?;
    }
    Ok(version)
}

/// Names of columns, and which of them hold text.
fn kinds<E>(pairs: Result<Vec<(String, String)>, E>) -> Result<(Vec<String>, Vec<bool>), E> {
    Ok(pairs?.into_iter().map(|(name, kind)| (name, kind == "TEXT")).unzip())
}

/// A connection of its own to PostgreSQL, on which a snapshot is held.
struct Server(sqlx::PgConnection);

impl Server {
    async fn connect(
        options: sqlx::postgres::PgConnectOptions,
        url: &str,
    ) -> Result<Self, StoreError> {
        let failed = |source: sqlx::Error| StoreError::Open {
            url: crate::dialect::shown(url),
            source: source.into(),
        };
        let conn = <sqlx::PgConnection as sqlx::Connection>::connect_with(&options);
        Ok(Self(conn.await.map_err(failed)?))
    }

    async fn rows(
        &mut self,
        text: String,
        value: Option<&str>,
    ) -> Result<Vec<sqlx::postgres::PgRow>, StoreError> {
        let query = sqlx::query(AssertSqlSafe(text));
        let query = match value {
            Some(it) => query.bind(it.to_owned()),
            None => query,
        };
        let rows = query.fetch_all(&mut self.0).await;
        rows.map_err(|err| StoreError::Sql { doing: "copy the database", source: err.into() })
    }

    async fn number(&mut self, text: String) -> Result<Option<i64>, StoreError> {
        let rows = self.rows(text, None).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        row.try_get(0).map_err(|err| StoreError::Sql { doing: "read a number", source: err.into() })
    }

    async fn read(
        &mut self,
        to: &mut (impl FnMut(Rows) -> io::Result<()> + Send),
    ) -> Result<i64, StoreError> {
        let cell = |err: sqlx::Error| StoreError::Sql { doing: "copy a row", source: err.into() };
        self.rows("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY".into(), None).await?;
        let made = "SELECT count(*) FROM pg_tables
                    WHERE tablename = 'migrations' AND schemaname = current_schema()";
        if self.number(made.to_owned()).await? == Some(0) {
            return Ok(0);
        }
        let version = self.number("SELECT max(version) FROM migrations".to_owned()).await?;
        let version = known(version.unwrap_or(0))?;
        for table in tables(version) {
            let found = self.rows(columns(Dialect::Postgres).to_owned(), Some(table)).await?;
            let pairs = found.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
            let (names, _) = kinds(pairs.collect()).map_err(cell)?;
            let mut last_id = None;
            let text = format!("SELECT pg_get_serial_sequence('{table}', 'id')");
            if names.iter().any(|it| it == "id")
                && let Some(row) = self.rows(text, None).await?.first()
                && let Some(sequence) = row.try_get::<Option<String>, _>(0).map_err(cell)?
            {
                let text =
                    format!("SELECT CASE WHEN is_called THEN last_value END FROM {sequence}");
                last_id = self.number(text).await?;
            }
            let head = Rows {
                schema: version,
                table: table.to_owned(),
                columns: names,
                last_id,
                lines: Vec::new(),
            };
            let list = head.columns.join(", ");
            let cursor = format!(
                "DECLARE copied NO SCROLL CURSOR FOR SELECT CAST(json_build_array({list}) AS TEXT) FROM {table}"
            );
            self.rows(cursor, None).await?;
            loop {
                let rows = self.rows(format!("FETCH {ROWS} FROM copied"), None).await?;
                let lines: Result<Vec<String>, _> = rows.iter().map(|it| it.try_get(0)).collect();
                let lines = lines.map_err(cell)?;
                let over = lines.len() < ROWS;
                to(Rows { lines, ..head.clone() }).map_err(taken)?;
                if over {
                    break;
                }
            }
            self.rows("CLOSE copied".into(), None).await?;
        }
        Ok(version)
    }
}

/// Puts a copy into the database at `url`, which must be empty, and has the gateway that starts on it
/// be held. `next` gives the rows in the order in which they were read; a failure in there leaves the database empty.
///
/// # Errors
///
/// When the database is in use, the copy is of a newer program, or a row does not fit.
pub async fn write(
    url: String,
    restored: Restored,
    mut next: impl FnMut() -> io::Result<Option<Rows>> + Send + 'static,
) -> Result<(), StoreError> {
    let first = blocking("read the copy", move || next().map(|it| (it, next))).await;
    let (first, mut next) = first.map_err(taken)?;
    let Some(first) = first else { return Err(taken(io::ErrorKind::UnexpectedEof.into())) };
    let version = known(first.schema)?;
    // Up to where the copy is: what comes after it changes rows as well, and is done when the database is opened.
    let upto = MIGRATIONS.iter().filter(|it| it.version <= version).count();
    let migrations: &'static [Migration] = &MIGRATIONS[..upto];
    let opening = Opening {
        url,
        backups_dir: PathBuf::new(),
        node: "restore".into(),
        now: restored.at,
        migrations,
    };
    blocking("write the database", move || {
        tokio::runtime::Handle::current().block_on(async move {
            opening.check_empty().await?;
            let opened = opening.open().await?;
            let mut tx = opened.tx;
            let done = fill(&mut tx, first, &restored, &mut next).await;
            if done.is_err() {
                tx.rollback().await;
            }
            opened.readers.close().await;
            tx.close().await;
            done
        })
    })
    .await
}

async fn fill(
    tx: &mut Tx,
    first: Rows,
    restored: &Restored,
    next: &mut impl FnMut() -> io::Result<Option<Rows>>,
) -> Result<(), StoreError> {
    let version = first.schema;
    tx.begin(restored.at).await?;
    // Migrations have filled some.
    for table in tables(version).into_iter().rev() {
        tx.run(sql("empty a table", format!("DELETE FROM {table}"))).await?;
    }
    let mut rows = Some(first);
    while let Some(it) = rows {
        insert(tx, version, &it).await?;
        rows = next().map_err(taken)?;
    }
    // Nobody else claims to do any of it: the next start takes it up.
    tx.run(sql("end old claims", "UPDATE runs SET lease_until = 0 WHERE state = 'running'"))
        .await?;
    tx.run(sql("end old claims", "UPDATE outbox SET taken_at = 0 WHERE state = 'sending'")).await?;
    restored::hold(tx, restored).await?;
    tx.commit().await
}

async fn insert(tx: &mut Tx, version: i64, rows: &Rows) -> Result<(), StoreError> {
    let odd = |row: usize, why: String| StoreError::Inconsistent {
        table: "copy",
        row: i64::try_from(row).unwrap_or(0),
        why: format!("{}: {why}", rows.table),
    };
    let known = tables(version);
    let table = known.into_iter().find(|it| *it == rows.table);
    let table = table.ok_or_else(|| odd(0, "no such table".to_owned()))?;
    let found = tx.rows(sql("read columns", columns(tx.dialect())).bind(table)).await?;
    let pairs = found.iter().map(|row| Ok::<_, StoreError>((row.text("name")?, row.text("kind")?)));
    let (names, texts) = kinds(pairs.collect())?;
    let kind = |name: &String| names.iter().position(|it| it == name).map(|it| texts[it]);
    let kinds: Option<Vec<bool>> = rows.columns.iter().map(kind).collect();
    let kinds = kinds.ok_or_else(|| odd(0, "a column that is not there".to_owned()))?;
    let mut all = Vec::with_capacity(rows.lines.len());
    for (n, line) in rows.lines.iter().enumerate() {
        let cells: Vec<serde_json::Value> =
            serde_json::from_str(line).map_err(|err| odd(n, err.to_string()))?;
        if cells.len() != kinds.len() {
            return Err(odd(n, format!("{} values for {} columns", cells.len(), kinds.len())));
        }
        let value = |(cell, is_text): (serde_json::Value, &bool)| match (cell, *is_text) {
            (serde_json::Value::Null, true) => Ok(Value::Text(None)),
            (serde_json::Value::Null, false) => Ok(Value::Int(None)),
            (serde_json::Value::String(it), true) => Ok(Value::Text(Some(it))),
            (serde_json::Value::Number(it), false) if it.is_i64() => Ok(Value::Int(it.as_i64())),
            (cell, _) => Err(odd(n, format!("`{cell}` is of another kind"))),
        };
        all.push(cells.into_iter().zip(&kinds).map(value).collect::<Result<Vec<_>, _>>()?);
    }
    let over = match tx.dialect() {
        Dialect::Sqlite => "",
        Dialect::Postgres => "OVERRIDING SYSTEM VALUE",
    };
    let list = rows.columns.join(", ");
    let text = format!("INSERT INTO {table} ({list}) {over} VALUES {{values}}");
    tx.run_many(sql("put rows back", text), all).await?;
    let Some(last) = rows.last_id else { return Ok(()) };
    let texts: &[&str] = match tx.dialect() {
        Dialect::Sqlite => &[
            "DELETE FROM sqlite_sequence WHERE name = $1",
            "INSERT INTO sqlite_sequence (name, seq) VALUES ($1, $2)",
        ],
        Dialect::Postgres => &["SELECT setval(pg_get_serial_sequence($1, 'id'), $2)"],
    };
    for text in texts {
        let query = sql("go on with the numbers", *text).bind(table);
        let query = if text.contains("$2") { query.bind(last) } else { query };
        tx.rows(query).await?;
    }
    Ok(())
}

/// What SQLite itself finds wrong with a database, line by line; nothing on a server, which looks after its own.
///
/// # Errors
///
/// When the file can't be opened or read.
pub async fn damage(url: String) -> Result<Vec<String>, StoreError> {
    let Some(path) = migrate::file(&url) else { return Ok(Vec::new()) };
    blocking("check the database", move || {
        let failed = |source| StoreError::Sql { doing: "check the database", source };
        let conn = sqlite::Connection::open(&path).map_err(failed)?;
        let mut found = Vec::new();
        let each = conn.each("PRAGMA integrity_check", |line| {
            found.extend((line != "ok").then_some(line));
            Ok(())
        });
        each.map_err(failed)?.map_err(taken)?;
        let broken = conn.number("SELECT count(*) FROM pragma_foreign_key_check", None);
        if let Some(count @ 1..) = broken.map_err(failed)? {
            found.push(format!("{count} rows refer to rows that are not there"));
        }
        Ok(found)
    })
    .await
}
