//! What a chat sees of a run while it goes on.

use std::time::Duration;

use ngb_channels::Accepted;
use ngb_core::{
    clock::{Clock, Timestamp},
    frame::{FromAgent, Outcome, Step, ToAgent},
    group::Scope,
    message::{Happening, Inbound, Outbound},
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
    let Outbound::Text { text, buttons, .. } = &first else { panic!("{first:?}") };
    assert_eq!(text, want);
    assert_eq!(buttons.len(), 1, "it can be stopped: {first:?}");

    go.send_replace(1);
    steps(1).await;
    // The receipt of the first send has the message's id, without which there is nothing to edit.
    while stage.gateway.store().counts().await.unwrap().outbox_sending != 0 {}
    later(20_000);
    let edit = stage.item().await.1;
    let want = "Still working (40 s): bash make test";
    let Outbound::Edit { text, buttons: still, .. } = &edit else { panic!("{edit:?}") };
    assert_eq!((text.as_str(), still), (want, buttons));

    go.send_replace(2);
    steps(2).await;
    later(20_000);
    let edit = stage.item().await.1;
    let want = "It works.\n\nStill working (60 s): bash make clean";
    assert!(matches!(&edit, Outbound::Edit { text, .. } if text == want), "{edit:?}");

    go.send_replace(3);
    let last = stage.item().await.1;
    let want = "It works, and is clean.";
    let Outbound::Edit { text, buttons, .. } = &last else { panic!("{last:?}") };
    assert_eq!((text.as_str(), buttons.as_slice()), (want, [].as_slice()));
}

/// An agent that says "working", then waits to be stopped.
async fn endless(mut actor: Actor) {
    while let Some(frame) = actor.hear().await {
        let ToAgent::Prompt(prompt) = frame else { continue };
        let step = Step::Text { delta: "working".into() };
        actor.say(&FromAgent::Progress { prompt: prompt.id, step }).await;
        while !matches!(actor.hear().await, Some(ToAgent::Interrupt { .. })) {}
        let (prompts, outcome) = (vec![prompt.id], Outcome::Interrupted);
        actor.say(&FromAgent::Done { prompts, outcome, session: None }).await;
    }
}

/// A press of the button under a live answer, by `sender`.
fn press(stage: &Stage, chat: &str, sender: &str, value: &str) -> Inbound {
    let mut event = stage.message(chat, "");
    event.sender.id = sender.into();
    event.what = Happening::Pressed { platform_id: "p1".into(), value: value.into() };
    event
}

#[tokio::test]
async fn a_button_stops_the_answer_above_it_for_whoever_asked() {
    let mut stage = Stage::set(Setting::default(), endless).await;
    stage.group("home", "1", Scope::Thread).await;
    let mut stopped: Option<String> = None;
    for question in ["first", "second"] {
        stage.write("1", question).await;
        let shown = stage.item().await.1;
        let Outbound::Text { text, buttons, .. } = &shown else { panic!("{shown:?}") };
        assert_eq!((text.as_str(), buttons.len()), ("working", 1));
        let value = &buttons[0].value;
        // The button that was left under the first answer stops nothing of the second.
        if let Some(old) = &stopped {
            assert_ne!(old, value);
            stage.write_all(vec![press(&stage, "1", "u1", old)]).await;
        }
        let elsewhere = press(&stage, "2", "u1", value);
        let stranger = press(&stage, "1", "8", value);
        let told = stage.write_all(vec![elsewhere, stranger]).await;
        assert_eq!(told, [Accepted::New, Accepted::NotYours]);
        let theirs = press(&stage, "1", "u1", value);
        assert_eq!(stage.write_all(vec![theirs]).await, [Accepted::New]);
        let last = stage.item().await.1;
        let Outbound::Edit { text, buttons, .. } = &last else { panic!("{last:?}") };
        assert_eq!((text.as_str(), buttons.as_slice()), ("working\n\nStopped.", [].as_slice()));
        stopped = Some(value.clone());
    }
    let asked = stage.message_id("first").await;
    let steps = stage.gateway.store().why(asked).await.unwrap().decisions;
    let refused = steps.iter().any(|it| it.detail.contains("not theirs to stop"));
    assert!(refused, "{steps:?}");
}
