//! What a chat sees of a run while it goes on.

use std::time::Duration;

use ngb_core::{
    clock::{Clock, Timestamp},
    frame::{FromAgent, Step, ToAgent},
    group::Scope,
    message::Outbound,
};

use crate::stage::{Actor, Setting, Stage};

#[tokio::test]
async fn something_is_seen_within_a_second_and_what_runs_after_twenty_in_one_message() {
    let (hand, clock) = Clock::manual(Timestamp(1_795_348_800_000));
    let (go, gate) = tokio::sync::watch::channel(0);
    let script = move |mut actor: Actor| {
        let mut gate = gate.clone();
        async move {
            let Some(ToAgent::Prompt(prompt)) = actor.hear().await else { return };
            let start = |n: u32, command: &str| FromAgent::Progress {
                prompt: prompt.id,
                step: Step::ToolStart {
                    id: n.to_string(),
                    tool: "bash".into(),
                    summary: command.into(),
                },
            };
            actor.say(&start(1, "make")).await;
            gate.wait_for(|it| 1 <= *it).await.unwrap();
            actor.say(&start(2, "make test")).await;
            gate.wait_for(|it| 2 <= *it).await.unwrap();
            let step = Step::Text { delta: "It works.".into() };
            actor.say(&FromAgent::Progress { prompt: prompt.id, step }).await;
            actor.say(&start(3, "make clean")).await;
            gate.wait_for(|it| 3 <= *it).await.unwrap();
            actor.done(prompt.id, "It works, and is clean.").await;
            actor.hear().await;
        }
    };
    let setting = Setting { clock, ..Setting::default() };
    let mut stage = Stage::set(setting, script).await;
    stage.group("home", "1", Scope::Thread).await;
    let mut typing = stage.platform.typing.subscribe();
    let mut events = stage.gateway.hub().subscribe(None);
    // A step that the gateway has heard is published.
    let mut steps = async |n: usize| {
        let mut seen = 0;
        while seen < n {
            let ngb_gateway::events::Next::Events(batch) = events.next().await else { continue };
            let is_step = |it: &&ngb_gateway::events::Numbered| {
                matches!(it.event, ngb_gateway::events::Event::Step { .. })
            };
            seen += batch.iter().filter(is_step).count();
        }
    };
    stage.write("1", "build it").await;
    steps(1).await;
    // The start of a sandbox is told by a sign of its own; the next one comes within a second.
    typing.wait_for(|it| 1 <= *it).await.unwrap();
    let later = |ms: u64| hand.send_modify(|now| *now = *now + Duration::from_millis(ms));
    later(1_000);
    typing.wait_for(|it| 2 <= *it).await.unwrap();
    assert!(stage.is_quiet());
    later(19_000);
    let first = stage.item().await.1;
    let want = "Still working (20 s): bash make";
    assert!(matches!(&first, Outbound::Text { text, .. } if text == want), "{first:?}");

    go.send_replace(1);
    steps(1).await;
    // The receipt of the first send has the message's id, without which there is nothing to edit.
    while stage.gateway.store().counts().await.unwrap().outbox_sending != 0 {}
    later(20_000);
    let edit = stage.item().await.1;
    let want = "Still working (40 s): bash make test";
    assert!(matches!(&edit, Outbound::Edit { text, .. } if text == want), "{edit:?}");

    go.send_replace(2);
    steps(2).await;
    later(20_000);
    let edit = stage.item().await.1;
    let want = "It works.\n\nStill working (60 s): bash make clean";
    assert!(matches!(&edit, Outbound::Edit { text, .. } if text == want), "{edit:?}");

    go.send_replace(3);
    let last = stage.item().await.1;
    let want = "It works, and is clean.";
    assert!(matches!(&last, Outbound::Edit { text, .. } if text == want), "{last:?}");
}
