//! What lies in the folder runs: new, changed, broken and removed plugins, seen by the kernel's own bell.

use std::sync::Arc;

use ngb_core::clock::{Clock, Timestamp};
use ngb_plugins::wasm::{Change, Folder, LivePlugins, Manifest, Record, WasmVerdict};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    Bench,
    guests::{self, ANSWER, component, on_message, verdict},
    message,
};

const TEXT: &str = "name = 'guest'\nversion = '1.0.0'\nhooks = ['message-received']\n";

/// Answers each message with `letter`.
fn letter(letter: char) -> Vec<u8> {
    let body = on_message(&format!(
        "(i32.store8 (i32.const 4096) (i32.const {})) {}",
        letter as u32,
        verdict(ANSWER, "(i32.const 4096)", "(i32.const 1)")
    ));
    component(&guests::manifest("'message-received'", ""), "", &body)
}

fn put(folder: &Folder, bytes: &[u8]) {
    let manifest: Manifest = TEXT.parse().unwrap();
    let record = Record {
        sha256: "00".to_owned(),
        is_signed: false,
        installed_at: Timestamp(0),
        granted: manifest.capabilities.clone(),
    };
    folder.put(&manifest, TEXT, bytes, &record).unwrap();
}

fn live(bench: &Bench) -> (Folder, LivePlugins) {
    let folder = Folder::new(bench.dir.path().join("plugins"));
    let live = LivePlugins::new(folder.clone(), bench.cache(), bench.desk.clone());
    (folder, live)
}

async fn answer(live: &LivePlugins) -> String {
    let plugin = live.all()["guest"].running.clone().unwrap().0;
    match plugin.ask(message("hello"), "{}".into()).await.unwrap() {
        WasmVerdict::Answer(text) => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn there_is_no_engine_without_a_plugin() {
    let bench = Bench::new();
    let (folder, live) = live(&bench);
    assert!(live.look().await.unwrap().is_empty());
    assert!(!live.has_engine());
    put(&folder, &letter('a'));
    assert!(matches!(&live.look().await.unwrap()[..], [Change::Started(it)] if it == "guest"));
    assert!(live.has_engine());
    assert!(live.look().await.unwrap().is_empty(), "nothing has changed");
}

#[tokio::test]
async fn a_file_that_is_replaced_half_written_leaves_the_old_one() {
    let bench = Bench::new();
    let (folder, live) = live(&bench);
    put(&folder, &letter('a'));
    live.look().await.unwrap();
    let file = folder.open("guest").unwrap().component;
    let new = letter('b');
    std::fs::write(&file, &new[..new.len() / 2]).unwrap();
    let changes = live.look().await.unwrap();
    assert!(matches!(&changes[..], [Change::Failed(it, _)] if it == "guest"), "{changes:?}");
    assert_eq!(answer(&live).await, "a");
    let error = live.all()["guest"].error.clone().unwrap().to_string();
    assert!(error.contains("can't be compiled"), "{error}");
    assert!(live.reload("guest").await.is_err());
    std::fs::write(&file, &new).unwrap();
    assert!(matches!(&live.look().await.unwrap()[..], [Change::Replaced(_)]));
    assert_eq!(answer(&live).await, "b");
    assert!(live.all()["guest"].error.is_none());
    live.reload("guest").await.unwrap();
    assert!(live.reload("other").await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_folder_is_watched() {
    let bench = Bench::new();
    let (folder, live) = live(&bench);
    let live = Arc::new(live);
    let (told, mut changes) = mpsc::unbounded_channel();
    let drain = CancellationToken::new();
    let clock = Clock::System;
    let watch = live.watch(&clock, drain.clone(), |it| told.send(it.clone()).unwrap());
    let operator = async {
        put(&folder, &letter('a'));
        assert!(matches!(changes.recv().await, Some(Change::Started(_))));
        assert_eq!(answer(&live).await, "a");
        // Installed anew: the folder changes its place as a whole.
        put(&folder, &letter('b'));
        assert!(matches!(changes.recv().await, Some(Change::Replaced(_))));
        assert_eq!(answer(&live).await, "b");
        // Written by hand into the folder.
        std::fs::write(folder.open("guest").unwrap().component, letter('c')).unwrap();
        assert!(matches!(changes.recv().await, Some(Change::Replaced(_))));
        assert_eq!(answer(&live).await, "c");
        folder.remove("guest").unwrap();
        assert!(matches!(changes.recv().await, Some(Change::Removed(_))));
        assert!(live.all().is_empty());
        drain.cancel();
    };
    let (watched, ()) = tokio::join!(watch, operator);
    watched.unwrap();
}
