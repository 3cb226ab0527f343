//! The database as a file: its rights, its version, its damage, its locks.
#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]

mod common;

use std::{collections::BTreeSet, os::unix::fs::PermissionsExt as _, path::Path};

use common::*;
use ngb_core::clock::Clock;
use ngb_store::*;

/// The database, as another process sees it.
fn raw(fix_dir: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(fix_dir.join("db.sqlite")).unwrap()
}

#[tokio::test]
async fn only_its_owner_reads_it() {
    let fix = sqlite("").await;
    fix.group("home").await;
    for name in ["db.sqlite", "db.sqlite-wal", "db.sqlite-shm"] {
        let mode = std::fs::metadata(fix.dir.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_newer_database_is_left_alone() {
    let fix = sqlite("").await;
    fix.store.close().await;
    assert!(matches!(fix.store.put("a", "b").await, Err(StoreError::Closed)));
    raw(fix.dir.path()).execute("INSERT INTO migrations VALUES (99, 0)", []).unwrap();
    let err = another(&fix.dir, &fix.url, &fix.clock, "n").await.unwrap_err().to_string();
    assert_eq!(err, "the database is of a newer version (99) than this program (10)");
}

#[tokio::test]
async fn a_damaged_database_is_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("db.sqlite"), "this is no database, ".repeat(1_000)).unwrap();
    let url = format!("sqlite://{}/db.sqlite", dir.path().display());
    let err = another(&dir, &url, &Clock::System, "n").await.unwrap_err();
    assert!(matches!(err, StoreError::Damaged { .. }), "{err:?}");
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/no/db.sqlite", dir.path().display());
    let err = another(&dir, &url, &Clock::System, "n").await.unwrap_err();
    assert!(err.to_string().contains("/no/db.sqlite"), "{err}");
}

/// While another process holds the write lock, writes wait and reads don't; then nothing has failed.
#[tokio::test]
async fn a_locked_database_is_waited_for() {
    let fix = sqlite("").await;
    let group = fix.group("home").await;
    let conn = raw(fix.dir.path());
    conn.execute("BEGIN IMMEDIATE", []).unwrap();
    let batch = accept(vec![engage(group, "1", "a", "hi")], 1);
    let mut accepted = std::pin::pin!(fix.store.accept(batch));
    let reads = async {
        for _ in 0..100 {
            assert_eq!(fix.store.registry().await.unwrap().groups.len(), 1);
        }
    };
    tokio::select! {
        biased;
        done = &mut accepted => panic!("it wrote in spite of the lock: {done:?}"),
        () = reads => {}
    }
    conn.execute("COMMIT", []).unwrap();
    assert_eq!(accepted.await.unwrap().claims.len(), 1);
}

/// Each schema that was ever landed, as SQLite kept it.
const LANDED: [(&str, &str); 3] = [
    ("v1", include_str!("fixtures/v1.sql")),
    ("v9", include_str!("fixtures/v9.sql")),
    ("v10", include_str!("fixtures/v10.sql")),
];

/// The same as PostgreSQL kept it, where the first version that people ran was the ninth.
const LANDED_ON_POSTGRES: [(&str, &str); 2] = [
    ("v9", include_str!("fixtures/v9.postgres.sql")),
    ("v10", include_str!("fixtures/v10.postgres.sql")),
];

/// What a file of SQLite is made of, however it was written down.
fn shape_of(conn: &rusqlite::Connection) -> BTreeSet<(String, String)> {
    let text =
        "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name <> 'sqlite_sequence'";
    let mut all = conn.prepare(text).unwrap();
    let squeezed = |sql: String| sql.split_whitespace().collect::<String>();
    let rows = all.query_map([], |it| Ok((it.get(0)?, squeezed(it.get(1)?))));
    rows.unwrap().map(Result::unwrap).collect()
}

/// How many migrations a file of SQLite has seen.
fn migrations(dir: &Path) -> i64 {
    raw(dir).query_row("SELECT count(*) FROM migrations", [], |it| it.get(0)).unwrap()
}

/// The schemas of all landed versions, with rows, become today's, and what they hold still opens, answers and goes on.
#[tokio::test]
async fn each_landed_schema_becomes_todays() {
    let fresh = sqlite("").await;
    let today = shape_of(&raw(fresh.dir.path()));
    for (version, made) in LANDED {
        let dir = tempfile::tempdir().unwrap();
        raw(dir.path()).execute_batch(made).unwrap();
        let before = migrations(dir.path());
        let url = format!("sqlite://{}/db.sqlite", dir.path().display());
        let store = another(&dir, &url, &Clock::System, "node-1").await.unwrap();
        assert_eq!(shape_of(&raw(dir.path())), today, "{version}");
        // What is today's already is not copied.
        let is_older = before < migrations(dir.path());
        let copies = std::fs::read_dir(dir.path().join("backups")).map_or(0, Iterator::count);
        assert_eq!(copies, usize::from(is_older), "{version}");
        goes_on(&store, version).await;
    }
}

/// The same of PostgreSQL.
#[tokio::test]
async fn each_landed_schema_becomes_todays_on_postgres() {
    let fresh = postgres("fresh").await;
    let today = shape_on(&sqlx::PgPool::connect(&fresh.url).await.unwrap()).await;
    let empty = "DO $$ DECLARE it text; BEGIN
        FOR it IN SELECT tablename FROM pg_tables WHERE schemaname = current_schema() LOOP
            EXECUTE format('DROP TABLE %I CASCADE', it);
        END LOOP; END $$";
    for (version, made) in LANDED_ON_POSTGRES {
        let old = postgres(version).await;
        let pool = sqlx::PgPool::connect(&old.url).await.unwrap();
        old.store.close().await;
        sqlx::raw_sql(empty).execute(&pool).await.unwrap();
        sqlx::raw_sql(made).execute(&pool).await.unwrap();
        let store = another(&old.dir, &old.url, &Clock::System, "node-1").await.unwrap();
        assert_eq!(shape_on(&pool).await, today, "{version}");
        goes_on(&store, version).await;
    }
}

/// Columns and indexes of the schema that a connection is in.
async fn shape_on(pool: &sqlx::PgPool) -> BTreeSet<String> {
    let text = "SELECT concat_ws(' ', table_name, column_name, data_type, is_nullable, column_default) AS it
                FROM information_schema.columns WHERE table_schema = current_schema()
                UNION ALL SELECT replace(indexdef, current_schema() || '.', '') FROM pg_indexes
                WHERE schemaname = current_schema()";
    let rows: Vec<(String,)> = sqlx::query_as(text).fetch_all(pool).await.unwrap();
    assert!(100 < rows.len(), "{rows:?}");
    rows.into_iter().map(|it| it.0).collect()
}

/// What the fixture left is there, and its one job is claimed: at once, or after the gateway that had it is given up.
async fn goes_on(store: &Store, version: &str) {
    let registry = store.registry().await.unwrap();
    assert!(!registry.groups.is_empty() && !registry.bindings.is_empty(), "{version}");
    let recovered = store.take_over(T0).await.unwrap();
    assert_eq!(recovered.runs, u64::from(version != "v1"), "{version}");
    let claims = store.claim(1, T0, T0 + LEASE).await.unwrap().claims;
    let [claim] = claims.as_slice() else { panic!("{version}: {claims:?}") };
    assert_eq!(store.work(claim).await.unwrap().jobs.len(), 1, "{version}");
}

/// The log goes into the database beside the writer, while the store is open.
#[tokio::test]
async fn the_log_is_moved_into_the_database() {
    let fix = sqlite("").await;
    let file = fix.dir.path().join("db.sqlite");
    let value = "x".repeat(40_000);
    let before = std::fs::metadata(&file).unwrap().len();
    for n in 0..220 {
        fix.store.put(&format!("key {n}"), &value).await.unwrap();
    }
    let moved = || before + 4 * 1024 * 1024 < std::fs::metadata(&file).unwrap().len();
    while !moved() {
        // Writing and reading go on beside it.
        fix.store.put("key", "value").await.unwrap();
        assert_eq!(fix.store.get("key").await.unwrap().as_deref(), Some("value"));
    }
    assert_eq!(fix.store.get("key 219").await.unwrap(), Some(value));
}
