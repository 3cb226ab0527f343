//! Files that no row needs any more are forgotten; those that one needs are not.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use ngb_channels::Retry;
use ngb_core::{
    frame::{FromAgent, HostCall, ToAgent},
    group::Scope,
};
use ngb_store::Cutoffs;

use crate::stage::{Actor, Setting, Stage};

const TWO_DAYS: Duration = Duration::from_secs(2 * 24 * 60 * 60);

/// An agent that sends `a.txt`, and then says so.
async fn sender(mut actor: Actor) {
    while let Some(frame) = actor.hear().await {
        let ToAgent::Prompt(prompt) = frame else { continue };
        let what = HostCall::SendFile { path: "a.txt".into(), caption: String::new() };
        actor.say(&FromAgent::Call { prompt: prompt.id, call: 1, what }).await;
        let Some(ToAgent::CallResult { .. }) = actor.hear().await else { return };
        actor.done(prompt.id, "sent").await;
    }
}

/// Makes all files of a folder look two days old; how many there are.
#[expect(clippy::disallowed_methods, reason = "a file's time is the machine's")]
fn age(dir: &Path) -> usize {
    let files = std::fs::read_dir(dir).unwrap().map(|it| it.unwrap().path());
    let old = |path: std::path::PathBuf| {
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - TWO_DAYS).unwrap();
    };
    files.map(old).count()
}

#[tokio::test]
async fn a_file_stays_until_it_is_sent() {
    let mut stage = Stage::set(Setting::default(), sender).await;
    stage.group("home", "1", Scope::Thread).await;
    std::fs::write(stage.home().join("groups/home/a.txt"), "x").unwrap();
    let outgoing = stage.home().join("outgoing");
    stage.platform.faults.lock().unwrap().push(Retry::After(Duration::from_secs(2)));
    stage.write("1", "go").await;
    // The file waits for its second try, and the answer behind it.
    while stage.gateway.store().unsent_files().await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    age(&outgoing);
    let gone = stage.gateway.prune(Cutoffs::default(), false).await.unwrap();
    assert_eq!(gone.outgoing_files, 0, "somebody has to send it yet");
    assert!(stage.heard().await.1.contains("a.txt"));
    assert_eq!(stage.heard().await.1, "sent");
    age(&outgoing);
    for dry_run in [true, false] {
        let gone = stage.gateway.prune(Cutoffs::default(), dry_run).await.unwrap();
        assert_eq!(gone.outgoing_files, 1, "dry run: {dry_run}");
    }
    assert_eq!(age(&outgoing), 0);
}

#[tokio::test]
async fn a_long_text_goes_with_its_messages() {
    let mut stage = Stage::set(Setting::default(), super::echo).await;
    stage.group("home", "1", Scope::Thread).await;
    stage.write("1", &"x".repeat(100_000)).await;
    stage.heard().await;
    let long = stage.home().join("long");
    let now = stage.gateway.clock().now();
    let all = Cutoffs { messages: Some(now), ..Cutoffs::default() };
    assert_eq!(stage.gateway.prune(all, true).await.unwrap().long_texts, 0, "it is too young");
    assert_eq!(age(&long), 1);
    let none = stage.gateway.prune(Cutoffs::default(), false).await.unwrap();
    assert_eq!(none.long_texts, 0, "messages are kept for ever");
    assert_eq!(stage.gateway.prune(all, false).await.unwrap().long_texts, 1);
    assert_eq!(age(&long), 0);
}
