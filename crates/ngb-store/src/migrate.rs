//! Opening a database: its file, its version, the steps that bring it to ours.

use std::{
    fs::OpenOptions as FileOptions,
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use ngb_core::clock::{Clock, Timestamp};
use sqlx::{
    Connection as _, PgConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::SqlitePoolOptions,
};

use crate::{
    StoreError,
    db::Pool,
    dialect::{self, Address, Dialect, sqlite_code},
    schema::{MIGRATIONS, Migration},
    sql::sql,
};

/// Readers of an SQLite database.
const SQLITE_READERS: u32 = 4;

/// Connections to a PostgreSQL database, the writer's included.
const POSTGRES_CONNECTIONS: u32 = 8;

/// How long a start waits for a PostgreSQL server that does not answer: long enough for one that is just starting, short
/// enough for whoever looks on.
const POSTGRES_WAIT: Duration = Duration::from_secs(5);

/// Between two tries.
const POSTGRES_PAUSE: Duration = Duration::from_millis(250);

/// The two ways to a database.
pub(crate) struct Pools {
    /// One connection where the database takes one writer.
    pub(crate) writer: Pool,
    pub(crate) readers: Pool,
}

/// Opens what `url` names, and migrates it.
pub(crate) async fn open(url: &str, backups: &Path, now: Timestamp) -> Result<Pools, StoreError> {
    let address = Address::parse(url)?;
    let pools = connect(&address, url).await?;
    let migrated = async {
        let found = version(&pools.writer).await.map_err(|err| opening(err, url))?;
        let known = MIGRATIONS.last().map_or(0, |it| it.version);
        if known < found {
            return Err(StoreError::Newer { found, known });
        }
        if 0 < found
            && found < known
            && let Address::Sqlite(path) = &address
        {
            back_up(&pools.writer, path, backups, found, now).await?;
        }
        for step in MIGRATIONS.iter().filter(|it| found < it.version) {
            apply(&pools.writer, step, now).await?;
        }
        Ok(())
    };
    match migrated.await {
        Ok(()) => Ok(pools),
        Err(err) => {
            pools.readers.close().await;
            pools.writer.close().await;
            Err(err)
        }
    }
}

async fn connect(address: &Address, url: &str) -> Result<Pools, StoreError> {
    let failed = |source| opening(StoreError::Sql { doing: "connect", source }, url);
    match address {
        Address::Sqlite(path) => {
            make_file(path)
                .map_err(|err| StoreError::Open { url: url.to_owned(), source: err.into() })?;
            let options = dialect::sqlite(path);
            let writer = SqlitePoolOptions::new()
                .max_connections(1)
                .test_before_acquire(false)
                .idle_timeout(None)
                .max_lifetime(None)
                .connect_with(options.clone())
                .await
                .map_err(failed)?;
            let readers = SqlitePoolOptions::new()
                .max_connections(SQLITE_READERS)
                .test_before_acquire(false)
                .max_lifetime(None)
                .connect_lazy_with(options.pragma("query_only", "ON"));
            Ok(Pools { writer: Pool::Sqlite(writer), readers: Pool::Sqlite(readers) })
        }
        Address::Postgres(options) => {
            reach(options).await.map_err(failed)?;
            let pool = PgPoolOptions::new()
                .max_connections(POSTGRES_CONNECTIONS)
                .test_before_acquire(false)
                .connect_with((**options).clone())
                .await
                .map_err(failed)?;
            Ok(Pools { writer: Pool::Postgres(pool.clone()), readers: Pool::Postgres(pool) })
        }
    }
}

/// Proves that the server takes connections. A pool would try for half a minute and not say why it failed.
async fn reach(options: &PgConnectOptions) -> Result<(), sqlx::Error> {
    // The server's time is real time, whatever the store's clock is.
    let clock = Clock::System;
    let deadline = clock.now() + POSTGRES_WAIT;
    loop {
        let left = deadline.since(clock.now());
        let tried = match clock.timeout(left, PgConnection::connect_with(options)).await {
            Ok(tried) => tried,
            Err(_) => {
                let why = format!("no answer within {POSTGRES_WAIT:?}");
                Err(io::Error::new(io::ErrorKind::TimedOut, why).into())
            }
        };
        match tried {
            Ok(conn) => return conn.close().await,
            // Nobody listens yet: both may just have been started.
            Err(sqlx::Error::Io(_)) if clock.now() + POSTGRES_PAUSE < deadline => {
                clock.sleep(POSTGRES_PAUSE).await;
            }
            Err(err) => return Err(err),
        }
    }
}

/// Makes the file, so that only its owner reads it; SQLite gives the same rights to `-wal` and `-shm`.
fn make_file(path: &Path) -> std::io::Result<()> {
    FileOptions::new().create(true).append(true).mode(0o600).open(path).map(drop)
}

/// https://sqlite.org/rescode.html
const SQLITE_CORRUPT: i32 = 11;
const SQLITE_NOTADB: i32 = 26;

/// What kept a database from being opened.
fn opening(err: StoreError, url: &str) -> StoreError {
    let url = dialect::shown(url);
    let StoreError::Sql { source, .. } = err else { return err };
    let damaged = matches!(sqlite_code(&source), Some(SQLITE_CORRUPT | SQLITE_NOTADB));
    if damaged {
        return StoreError::Damaged { url, why: source.to_string() };
    }
    StoreError::Open { url, source }
}

/// The latest migration that was applied; 0 for an empty database.
async fn version(pool: &Pool) -> Result<i64, StoreError> {
    let table = match pool.dialect() {
        Dialect::Sqlite => "SELECT count(*) AS n FROM sqlite_master WHERE name = 'migrations'",
        Dialect::Postgres => {
            "SELECT count(*) AS n FROM pg_tables
             WHERE tablename = 'migrations' AND schemaname = current_schema()"
        }
    };
    let made = pool.row(sql("look for the schema", table)).await?;
    if made.map_or(Ok(0), |it| it.int("n"))? == 0 {
        return Ok(0);
    }
    let text = "SELECT coalesce(max(version), 0) AS n FROM migrations";
    pool.row(sql("read the schema's version", text)).await?.map_or(Ok(0), |it| it.int("n"))
}

/// Copies the database before it is changed.
async fn back_up(
    pool: &Pool,
    path: &Path,
    folder: &Path,
    version: i64,
    now: Timestamp,
) -> Result<(), StoreError> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let when = now.to_string().replace([':', '.'], "-");
    let to = folder.join(format!("{name}-v{version}-{when}.sqlite"));
    let failed = |to: &Path, source| StoreError::Backup { to: to.display().to_string(), source };
    std::fs::create_dir_all(folder).map_err(|err| failed(&to, err))?;
    // SQLite copies into an empty file that is there already, and leaves its rights alone.
    make_file(&to).map_err(|err| failed(&to, err))?;
    let quoted = to.display().to_string().replace('\'', "''");
    let Pool::Sqlite(pool) = pool else { return Ok(()) };
    let text = sqlx::AssertSqlSafe(format!("VACUUM INTO '{quoted}'"));
    match sqlx::query(text).execute(pool).await {
        Ok(_) => Ok(()),
        Err(err) => Err(failed(&to, std::io::Error::other(err))),
    }
}

async fn apply(pool: &Pool, step: &Migration, now: Timestamp) -> Result<(), StoreError> {
    let version = step.version;
    let failed = |err| match err {
        StoreError::Sql { source, .. } => StoreError::Migration { version, source },
        err => err,
    };
    let mut tx = pool.begin("".into(), now).await.map_err(failed)?;
    let table =
        "CREATE TABLE IF NOT EXISTS migrations (version BIGINT PRIMARY KEY, at BIGINT NOT NULL)";
    let mut steps = vec![sql("make the table of migrations", table)];
    steps.extend(step.statements.iter().map(|it| sql("migrate", *it)));
    let text = "INSERT INTO migrations (version, at) VALUES ($1, $2)";
    steps.push(sql("note the migration", text).bind(version).bind(now));
    for step in steps {
        if let Err(err) = tx.run(step).await {
            tx.rollback().await;
            return Err(failed(err));
        }
    }
    tx.commit().await.map(drop).map_err(failed)
}

/// The file of an SQLite database.
pub(crate) fn file(url: &str) -> Option<PathBuf> {
    match Address::parse(url) {
        Ok(Address::Sqlite(path)) => Some(path),
        _ => None,
    }
}
