//! Starts and stops: two gateways on one home, a start after a crash, a stop in the midst of work.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::common::{Figures, Stage};

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_on_one_home() {
    let stage = Stage::new().await;
    let _first = stage.started().await;
    let second = stage.output(&["serve", "--port", "0"]).await;
    let said = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains("error: another gateway runs on"), "{said}");
    assert!(said.contains("hint: stop it first"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_takes_up_what_was_left() {
    const WITHIN: Duration = Duration::from_secs(1);
    let mut stage = Stage::new().await;
    stage.model.behave(|it| it.first_token_ms = 60_000);
    let (gateway, chats) = stage.with_chats(1).await;
    stage.push(&chats, 1);
    stage.typing_since(0).await;
    stage.kill(gateway).await;

    stage.model.behave(|it| it.first_token_ms = 0);
    let before = stage.platform().calls("sendChatAction").len();
    let started_at = stage.clock.now();
    let gateway = stage.start();
    stage.typing_since(before).await;
    let took = stage.clock.now().since(started_at);
    let figures = stage.settled().await;
    println!("crash: taken up {took:?} after the start");
    stage.check("a start after a crash", &figures);
    assert!(took < WITHIN, "{took:?}");
    drop(gateway);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_work_end() {
    let mut stage = Stage::new().await;
    stage.model.behave(|it| it.first_token_ms = 1_500);
    let (mut gateway, chats) = stage.with_chats(2).await;
    stage.push(&chats[..1], 1);
    stage.typing_since(0).await;
    let pid = Pid::from_raw(i32::try_from(gateway.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    // What comes before the signal is heard would rightly be answered.
    stage.heard("stopping: what runs may end").await;
    // One in the busy chat and one in another.
    stage.push(&chats, 2);
    let status = gateway.ended().await;
    assert_eq!(status.code(), Some(0), "{status}: {}", stage.tail());
    assert_eq!(stage.figures(), Figures { answered: 1, lost: 2, doubled: 0 }, "after the stop");

    let gateway = stage.start();
    let figures = stage.settled().await;
    stage.check("a stop in the midst of work", &figures);
    drop(gateway);
}
