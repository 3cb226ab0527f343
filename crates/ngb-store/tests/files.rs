//! The database as a file: its rights, its version, its damage, its locks.
#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]

mod common;

use std::{os::unix::fs::PermissionsExt as _, path::Path};

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

/// The schema as version 1 made it, with rows, still opens and answers.
#[tokio::test]
async fn the_first_schema_is_still_known() {
    let dir = tempfile::tempdir().unwrap();
    raw(dir.path()).execute_batch(include_str!("fixtures/v1.sql")).unwrap();
    let url = format!("sqlite://{}/db.sqlite", dir.path().display());
    let store = another(&dir, &url, &Clock::System, "n").await.unwrap();
    let registry = store.registry().await.unwrap();
    assert_eq!(registry.groups[0].name.as_str(), "home");
    assert_eq!(store.claim(1, T0, T0 + LEASE).await.unwrap().claims.len(), 1);
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
