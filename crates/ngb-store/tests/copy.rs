//! A copy of a whole database, and putting it into an empty one of either kind.
#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]

mod common;

use std::sync::{Arc, Mutex};

use common::*;
use ngb_store::{copy::Rows, *};

async fn copied(url: &str) -> Vec<Rows> {
    let all = Arc::new(Mutex::new(Vec::new()));
    let to = Arc::clone(&all);
    let version = copy::read(url.to_owned(), move |it| {
        to.lock().unwrap().push(it);
        Ok(())
    });
    assert!(0 < version.await.unwrap());
    std::mem::take(&mut *all.lock().unwrap())
}

/// All of them but what says that it was restored, in an order that both databases have.
fn rows(copy: &[Rows]) -> Vec<(String, Vec<String>)> {
    let each = copy.iter().map(|it| {
        let lines = it.lines.iter().map(|line| line.parse::<serde_json::Value>().unwrap());
        let mut lines: Vec<_> = lines.filter(|it| it[0] != "restored").collect();
        // Nobody claims to be sending it any more.
        let taken = it.columns.iter().position(|it| it == "taken_at");
        lines.iter_mut().for_each(|line| drop(taken.map(|n| line[n].take())));
        lines.sort_by_key(ToString::to_string);
        (it.table.clone(), lines.iter().map(ToString::to_string).collect())
    });
    each.collect()
}

async fn there_and_back(from: Fix, to: Fix) {
    let group = from.group("notes").await;
    from.bind(group, "1").await;
    let texts = ["plain", "汉字 \"quoted\"\n\\ and 😀", ""];
    let arrivals = texts.iter().enumerate();
    let arrivals = arrivals.map(|(n, text)| engage(group, "1", &n.to_string(), text)).collect();
    from.accept(arrivals, 0).await;
    from.store.say(vec![say("1", "on its way", None)]).await.unwrap();
    let before = copied(&from.url).await;

    // What is in use is left alone.
    let restored = || Restored { at: T0, made_at: T0 };
    let first = before.clone();
    let mut parts = first.into_iter();
    let refused = copy::write(to.url.clone(), restored(), move || Ok(parts.next())).await;
    assert!(matches!(refused, Err(StoreError::Taken { .. })), "{refused:?}");
    assert!(to.store.restored().await.unwrap().is_none());
    let url = to.url.clone();
    empty(to).await;

    // One that breaks off leaves nothing behind.
    let mut parts = before.clone().into_iter().take(4);
    let broken = copy::write(url.clone(), restored(), move || match parts.next() {
        Some(it) => Ok(Some(it)),
        None => Err(std::io::ErrorKind::UnexpectedEof.into()),
    });
    assert!(broken.await.is_err());
    let url = match url.strip_prefix("sqlite://") {
        Some(file) => format!("sqlite://{file}.second"),
        None => {
            drop_all(&url).await;
            url
        }
    };

    let mut parts = before.clone().into_iter();
    copy::write(url.clone(), restored(), move || Ok(parts.next())).await.unwrap();
    let after = copied(&url).await;
    assert_eq!(rows(&before), rows(&after));
    let numbers = |all: &[Rows]| -> Vec<_> {
        let mut last: Vec<_> =
            all.iter().filter_map(|it| Some((it.table.clone(), it.last_id?))).collect();
        last.dedup();
        last
    };
    assert_eq!(numbers(&before), numbers(&after), "no number is given twice");
    assert_eq!(copy::damage(url.clone()).await.unwrap(), Vec::<String>::new());

    let dir = tempfile::tempdir().unwrap();
    let store = another(&dir, &url, &from.clock, "verify").await.unwrap();
    assert_eq!(store.restored().await.unwrap(), Some(restored()));
    store.take_over(T0).await.unwrap();
    let waits = store.waits(10).await.unwrap();
    assert_eq!((waits.jobs.len(), waits.sends.len()), (3, 1));
    assert!(waits.sends[0].in_doubt);
    assert!(store.release_restored(true).await.unwrap());
    assert!(!store.release_restored(true).await.unwrap());
    let waits = store.waits(10).await.unwrap();
    assert_eq!((waits.jobs.len(), waits.sends.len()), (0, 0));
    assert_eq!(
        (store.dead(10).await.unwrap().len(), store.unsent(10).await.unwrap().len()),
        (3, 1)
    );
    // Numbers go on where they were.
    let id = store.dead(1).await.unwrap()[0].id;
    store.revive(id).await.unwrap();
    assert_eq!(store.waits(10).await.unwrap().jobs.len(), 1);
    store.close().await;
}

async fn empty(fix: Fix) {
    fix.store.close().await;
    match fix.url.strip_prefix("sqlite://") {
        Some(file) => std::fs::remove_file(file).unwrap(),
        None => drop_all(&fix.url).await,
    }
    // Its folder is still used.
    std::mem::forget(fix.dir);
}

async fn drop_all(url: &str) {
    let pool = sqlx::PgPool::connect(url).await.unwrap();
    let schema: String =
        sqlx::query_scalar("SELECT CAST(current_schema() AS TEXT)").fetch_one(&pool).await.unwrap();
    for text in [format!("DROP SCHEMA {schema} CASCADE"), format!("CREATE SCHEMA {schema}")] {
        sqlx::query(sqlx::AssertSqlSafe(text)).execute(&pool).await.unwrap();
    }
    pool.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_a_file_to_a_server() {
    there_and_back(sqlite("copy_a").await, postgres("copy_b").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_a_server_to_a_file() {
    there_and_back(postgres("copy_c").await, sqlite("copy_d").await).await;
}
