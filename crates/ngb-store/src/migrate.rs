//! Opening a database: its file, its version, the steps that bring it to ours.

use std::{
    fs::OpenOptions as FileOptions,
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use ngb_core::clock::{Clock, Timestamp};
use sqlx::{
    Connection as _, PgConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::{
    DatabaseError, StoreError,
    db::{Conn, Readers, Tx},
    dialect::{self, Address, Dialect},
    schema::Migration,
    sql::sql,
    sqlite,
};

/// Connections to a PostgreSQL database, the writer's included.
const POSTGRES_CONNECTIONS: u32 = 8;

/// How long a start waits for a PostgreSQL server that does not answer: long enough for one that is just starting, short
/// enough for whoever looks on.
const POSTGRES_WAIT: Duration = Duration::from_secs(5);

/// How many steps newer than this program a database may be.
const GOES_BACK: i64 = 1;

/// Between two tries.
const POSTGRES_PAUSE: Duration = Duration::from_millis(250);

/// An open database: where to write, and where to read.
pub(crate) struct Opened {
    pub(crate) tx: Tx,
    pub(crate) readers: Readers,
}

/// A database that is to be opened.
pub(crate) struct Opening {
    pub(crate) url: String,
    /// Where an SQLite database is copied to before it is migrated.
    pub(crate) backups_dir: PathBuf,
    pub(crate) node: Arc<str>,
    pub(crate) now: Timestamp,
    /// All that this program knows; [`crate::schema::MIGRATIONS`] but in tests.
    pub(crate) migrations: &'static [Migration],
}

impl Opening {
    /// Opens the database, makes it where there is none, and migrates it.
    pub(crate) async fn open(&self) -> Result<Opened, StoreError> {
        let address = Address::parse(&self.url)?;
        let connected = connect(&address).await;
        let (conn, readers) = connected.map_err(|source| self.failed(source))?;
        let mut tx = Tx::new(conn, Arc::clone(&self.node));
        match self.migrate(&mut tx, &address).await {
            Ok(()) => Ok(Opened { tx, readers }),
            Err(err) => {
                readers.close().await;
                Err(err)
            }
        }
    }

    /// Does it on this thread, which waits: for the disk, and for another process that writes.
    pub(crate) fn open_here(&self) -> Result<Opened, StoreError> {
        tokio::runtime::Handle::current().block_on(self.open())
    }

    /// Refuses a database in which there is something already.
    pub(crate) async fn check_empty(&self) -> Result<(), StoreError> {
        let address = Address::parse(&self.url)?;
        let taken = || StoreError::Taken { what: "database", name: dialect::shown(&self.url) };
        if let Address::Sqlite(path) = &address {
            return if path.exists() { Err(taken()) } else { Ok(()) };
        }
        let (conn, readers) = connect(&address).await.map_err(|source| self.failed(source))?;
        let mut tx = Tx::new(conn, Arc::clone(&self.node));
        let found = match tx.begin(self.now).await {
            Ok(()) => version(&mut tx).await,
            Err(err) => Err(err),
        };
        tx.rollback().await;
        readers.close().await;
        if found? == 0 { Ok(()) } else { Err(taken()) }
    }

    async fn migrate(&self, tx: &mut Tx, address: &Address) -> Result<(), StoreError> {
        tx.begin(self.now).await?;
        let found = version(tx).await;
        tx.rollback().await;
        let found = found.map_err(|err| match err {
            StoreError::Sql { source, .. } => self.failed(source),
            err => err,
        })?;
        let known = self.migrations.last().map_or(0, |it| it.version);
        // A step only adds, so that the version before still runs on it: an upgrade that went wrong goes back.
        if known + GOES_BACK < found {
            return Err(StoreError::Newer { found, known });
        }
        if 0 < found
            && found < known
            && let Address::Sqlite(path) = address
        {
            self.back_up(path, found)?;
        }
        for step in self.migrations.iter().filter(|it| found < it.version) {
            let done = apply(tx, step, self.now).await;
            done.map_err(|err| match err {
                StoreError::Sql { source, .. } => {
                    StoreError::Migration { version: step.version, source }
                }
                err => err,
            })?;
        }
        Ok(())
    }

    /// Copies the database before it is changed.
    fn back_up(&self, path: &Path, version: i64) -> Result<(), StoreError> {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let when = self.now.to_string().replace([':', '.'], "-");
        let to = self.backups_dir.join(format!("{name}-v{version}-{when}.sqlite"));
        let copy = || {
            std::fs::create_dir_all(&self.backups_dir)?;
            // SQLite copies into an empty file that is there already, and leaves its rights alone.
            make_file(&to)?;
            let conn = sqlite::Connection::open(path).map_err(std::io::Error::other)?;
            conn.copy_to(&to).map_err(std::io::Error::other)
        };
        copy().map_err(|source| StoreError::Backup { to: to.display().to_string(), source })
    }

    /// What kept a database from being opened.
    fn failed(&self, source: DatabaseError) -> StoreError {
        let url = dialect::shown(&self.url);
        if source.is_damage() {
            return StoreError::Damaged { url, why: source.to_string() };
        }
        StoreError::Open { url, source }
    }
}

async fn connect(address: &Address) -> Result<(Conn, Readers), DatabaseError> {
    match address {
        Address::Sqlite(path) => {
            make_file(path)?;
            let conn = sqlite::Connection::open(path)?;
            Ok((Conn::Sqlite(conn), Readers::Sqlite(sqlite::Readers::new(path.clone()))))
        }
        Address::Postgres(options) => {
            reach(options).await?;
            let pool = PgPoolOptions::new()
                .max_connections(POSTGRES_CONNECTIONS)
                .test_before_acquire(false)
                .connect_with((**options).clone())
                .await?;
            Ok((Conn::Postgres { pool: pool.clone(), open: None }, Readers::Postgres(pool)))
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

/// The latest migration that was applied; 0 for an empty database.
async fn version(tx: &mut Tx) -> Result<i64, StoreError> {
    let table = match tx.dialect() {
        Dialect::Sqlite => "SELECT count(*) AS n FROM sqlite_master WHERE name = 'migrations'",
        Dialect::Postgres => {
            "SELECT count(*) AS n FROM pg_tables
             WHERE tablename = 'migrations' AND schemaname = current_schema()"
        }
    };
    let made = tx.row(sql("look for the schema", table)).await?;
    if made.map_or(Ok(0), |it| it.int("n"))? == 0 {
        return Ok(0);
    }
    let text = "SELECT coalesce(max(version), 0) AS n FROM migrations";
    tx.row(sql("read the schema's version", text)).await?.map_or(Ok(0), |it| it.int("n"))
}

/// One step, in one transaction.
async fn apply(tx: &mut Tx, step: &Migration, now: Timestamp) -> Result<(), StoreError> {
    tx.begin(now).await?;
    match run(tx, step, now).await {
        Ok(()) => tx.commit().await,
        Err(err) => {
            tx.rollback().await;
            Err(err)
        }
    }
}

async fn run(tx: &mut Tx, step: &Migration, now: Timestamp) -> Result<(), StoreError> {
    let table =
        "CREATE TABLE IF NOT EXISTS migrations (version BIGINT PRIMARY KEY, at BIGINT NOT NULL)";
    tx.run(sql("make the table of migrations", table)).await?;
    if step.version <= version(tx).await? {
        // Another process was quicker.
        return Ok(());
    }
    for statement in step.statements {
        tx.run(sql("migrate", *statement)).await?;
    }
    let text = "INSERT INTO migrations (version, at) VALUES ($1, $2)";
    let note = sql("note the migration", text).bind(step.version).bind(now);
    tx.run(note).await.map(drop)
}

/// The file of an SQLite database.
pub(crate) fn file(url: &str) -> Option<PathBuf> {
    match Address::parse(url) {
        Ok(Address::Sqlite(path)) => Some(path),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::schema::MIGRATIONS;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    /// Ours, and a step that a later program may bring.
    fn with(statements: &'static [&'static str]) -> &'static [Migration] {
        let version = MIGRATIONS.last().unwrap().version + 1;
        let next = Migration { version, statements };
        Box::leak(MIGRATIONS.iter().copied().chain([next]).collect())
    }

    fn opening(dir: &Path, migrations: &'static [Migration]) -> Opening {
        Opening {
            url: format!("sqlite://{}", dir.join("db.sqlite").display()),
            backups_dir: dir.join("backups"),
            node: "n".into(),
            now: NOW,
            migrations,
        }
    }

    /// A database of this version with something in it.
    async fn filled(dir: &Path) {
        let mut opened = opening(dir, MIGRATIONS).open().await.unwrap();
        opened.tx.begin(NOW).await.unwrap();
        let text = "INSERT INTO kv (name, value) VALUES ('name', 'value')";
        opened.tx.run(sql("fill", text)).await.unwrap();
        opened.tx.commit().await.unwrap();
    }

    /// How many columns `more` table `kv` has, and how many rows, in the file.
    fn found(file: &Path) -> (i64, i64) {
        let conn = rusqlite::Connection::open(file).unwrap();
        let columns = "SELECT count(*) FROM pragma_table_info('kv') WHERE name = 'more'";
        let count = |text: &str| conn.query_row(text, [], |it| it.get(0)).unwrap();
        (count(columns), count("SELECT count(*) FROM kv"))
    }

    fn backups(dir: &Path) -> Vec<PathBuf> {
        let Ok(list) = std::fs::read_dir(dir.join("backups")) else { return Vec::new() };
        list.map(|it| it.unwrap().path()).collect()
    }

    #[tokio::test]
    async fn a_database_is_copied_before_it_is_migrated() {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path()).await;
        assert_eq!(backups(dir.path()), Vec::<PathBuf>::new(), "a new one needs no copy");
        let later = with(&["ALTER TABLE kv ADD COLUMN more TEXT"]);
        opening(dir.path(), later).open().await.unwrap();
        assert_eq!(found(&dir.path().join("db.sqlite")), (1, 1));
        let copies = backups(dir.path());
        let [copy] = copies.as_slice() else { panic!("{copies:?}") };
        let version = MIGRATIONS.last().unwrap().version;
        let name = format!("db-v{version}-2027-01-15T08-00-00-000Z.sqlite");
        assert!(copy.ends_with(&name), "{copy:?}");
        assert_eq!(copy.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(found(copy), (0, 1), "it is as it was before");
        opening(dir.path(), later).open().await.unwrap();
        assert_eq!(backups(dir.path()).len(), 1, "nothing to do, nothing to copy");
        // Back by one step, and no further.
        opening(dir.path(), MIGRATIONS).open().await.unwrap();
        let older = opening(dir.path(), &MIGRATIONS[..MIGRATIONS.len() - 1]).open().await.map(drop);
        assert!(matches!(older, Err(StoreError::Newer { .. })), "{older:?}");
    }

    #[tokio::test]
    async fn a_failed_migration_leaves_the_database_in_use() {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path()).await;
        let bad =
            with(&["ALTER TABLE kv ADD COLUMN more TEXT", "ALTER TABLE nowhere ADD COLUMN x TEXT"]);
        let failed = opening(dir.path(), bad).open().await.map(drop);
        assert!(matches!(failed, Err(StoreError::Migration { .. })), "{failed:?}");
        assert_eq!(found(&dir.path().join("db.sqlite")), (0, 1));
        assert_eq!(backups(dir.path()).len(), 1);
        opening(dir.path(), MIGRATIONS).open().await.unwrap();
    }

    #[tokio::test]
    async fn without_a_copy_nothing_is_migrated() {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path()).await;
        std::fs::write(dir.path().join("backups"), "no folder").unwrap();
        let later = with(&["ALTER TABLE kv ADD COLUMN more TEXT"]);
        let failed = opening(dir.path(), later).open().await.map(drop);
        assert!(matches!(failed, Err(StoreError::Backup { .. })), "{failed:?}");
        assert_eq!(found(&dir.path().join("db.sqlite")), (0, 1));
    }
}
