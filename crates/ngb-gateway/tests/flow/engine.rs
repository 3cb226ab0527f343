//! An engine that is away: messages wait for it, their chats are told once, and they can be taken back.

use std::time::Duration;

use ngb_core::{
    clock::{Clock, Timestamp},
    frame::ToAgent,
    group::Scope,
    id::JobId,
    job::Tries,
    tasks::Stopped,
};
use ngb_gateway::handle::SandboxState;

use crate::stage::{Actor, Setting, Stage, asked, away};

const NOON: Timestamp = Timestamp(1_795_348_800_000);

#[tokio::test]
async fn a_message_waits_for_an_engine_that_is_away_and_the_chat_is_told_once() {
    let (hand, clock) = Clock::manual(NOON);
    let script = |mut actor: Actor| async move {
        while let Some(ToAgent::Prompt(prompt)) = actor.hear().await {
            actor.done(prompt.id, &asked(&prompt)).await;
        }
    };
    let setting = Setting { clock, away: true, ..Setting::default() };
    let mut stage = Stage::set(setting, script).await;
    stage.group("home", "1", Scope::Thread).await;
    let mut runs = stage.runs();
    stage.write("1", "hi").await;
    runs.begun().await;
    assert!(stage.is_quiet());
    hand.send_modify(|now| *now = *now + Duration::from_secs(20));
    let word = "I can't begin at the moment, since what keeps my agents apart from this machine does not answer. Your \
        message waits, and I answer it by myself as soon as I can.";
    assert_eq!(stage.heard().await.1, word);
    // It answers again, goes away once more before anything began, and is back: nothing is said of that.
    stage.engine.send_replace(SandboxState::Proving);
    stage.engine.send_replace(away(NOON));
    let probe = stage.probe.clone();
    stage.engine.send_replace(SandboxState::Ready(probe));
    assert_eq!(stage.heard().await.1, "hi");
    let job = stage.gateway.store().job(JobId(1)).await.unwrap().unwrap();
    assert_eq!(job.tries, Tries::default(), "waiting is no failure");
}

#[tokio::test]
async fn a_message_that_waits_for_an_engine_can_be_stopped_and_does_not_hold_up_a_stop() {
    let script = |_: Actor| async {};
    let mut stage = Stage::set(Setting { away: true, ..Setting::default() }, script).await;
    stage.group("home", "1", Scope::Thread).await;
    let mut runs = stage.runs();
    stage.write("1", "hi").await;
    runs.begun().await;
    stage.write("1", "/stop").await;
    assert_eq!(stage.heard().await.1, "Stopped.");

    stage.write("1", "and this?").await;
    runs.begun().await;
    assert_eq!(stage.end().await, Stopped::Clean);
}
