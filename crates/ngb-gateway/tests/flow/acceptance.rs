//! What the program before this one got wrong, as the list in docs/queue.md names it: messages that were taken for one
//! another, groups that waited for nothing, answers that waited for a clock.

use std::sync::Arc;

use ngb_core::{
    clock::{Clock, Timestamp},
    decision::Decision,
    frame::{FromAgent, Outcome, ToAgent},
    group::Scope,
    id::JobId,
    message::{Content, Happening},
    queue::{Mode, Queue},
};
use tokio::sync::{Semaphore, watch};

use crate::stage::{Actor, Setting, Stage, asked};

const NOON: Timestamp = Timestamp(1_795_348_800_000);

async fn echo(mut actor: Actor) {
    while let Some(ToAgent::Prompt(prompt)) = actor.hear().await {
        actor.done(prompt.id, &asked(&prompt)).await;
    }
}

#[tokio::test]
async fn two_chats_with_equal_platform_message_ids_coexist() {
    let mut stage = Stage::set(Setting::default(), echo).await;
    for chat in ["1", "2"] {
        stage.group("home", chat, Scope::Thread).await;
    }
    let content = |text: &str| Content {
        platform_id: "7".into(),
        text: text.into(),
        addressed: ngb_core::message::Addressed::Direct,
        ..Content::default()
    };
    let mut events = Vec::new();
    for (chat, text) in [("1", "one"), ("2", "two")] {
        let mut event = stage.message(chat, text);
        event.what = Happening::Message(content(text));
        events.push(event);
    }
    stage.write_all(events).await;
    let all = stage.heard_by_chat(2).await;
    assert_eq!(
        (all["1"].as_slice(), all["2"].as_slice()),
        (&["one".into()][..], &["two".into()][..])
    );

    // What becomes of one is nothing to the other.
    let (one, two) = (stage.message_id("one").await, stage.message_id("two").await);
    let mut delete = stage.message("1", "");
    delete.what = Happening::Delete { platform_id: "7".into() };
    stage.write_all(vec![delete]).await;
    for (id, want) in [(one, true), (two, false)] {
        let why = stage.gateway.store().why(id).await.unwrap();
        let deleted = why.decisions.iter().any(|it| it.kind == Decision::Deleted);
        assert_eq!(deleted, want, "{why:?}");
    }
}

#[tokio::test]
async fn two_messages_of_one_second_are_both_answered() {
    let (_hand, clock) = Clock::manual(NOON);
    let mut stage = Stage::set(Setting { clock, ..Setting::default() }, echo).await;
    let queue = Queue { mode: Mode::Followup, ..Queue::default() };
    stage.group_with("home", "1", Scope::Thread, queue).await;
    let mut events = [stage.message("1", "one"), stage.message("1", "two")];
    for event in &mut events {
        event.sent_at = NOON;
    }
    stage.write_all(events.into()).await;
    assert_eq!(stage.heard().await.1, "one");
    assert_eq!(stage.heard().await.1, "two");
}

#[tokio::test]
async fn with_a_cap_of_five_the_sixth_group_runs_when_one_is_done() {
    let begun = Arc::new(watch::Sender::new(0));
    let gate = Arc::new(Semaphore::new(0));
    let script = {
        let (begun, gate) = (Arc::clone(&begun), Arc::clone(&gate));
        move |mut actor: Actor| {
            let (begun, gate) = (Arc::clone(&begun), Arc::clone(&gate));
            async move {
                while let Some(ToAgent::Prompt(prompt)) = actor.hear().await {
                    begun.send_modify(|it| *it += 1);
                    gate.acquire().await.unwrap().forget();
                    actor.done(prompt.id, &asked(&prompt)).await;
                }
            }
        }
    };
    // Time stands still: nothing that is looked for now and then would be found.
    let (_hand, clock) = Clock::manual(NOON);
    let mut stage = Stage::set(Setting { clock, max_runs: 5, ..Setting::default() }, script).await;
    let mut watched = begun.subscribe();
    for n in 1..=6 {
        stage.group(&format!("g{n}"), &n.to_string(), Scope::Thread).await;
        stage.write(&n.to_string(), &format!("m{n}")).await;
        watched.wait_for(|it| *it == n.min(5)).await.unwrap();
    }
    let sixth = stage.gateway.store().job(JobId(6)).await.unwrap().unwrap();
    assert_eq!(sixth.state.as_str(), "queued");
    gate.add_permits(1);
    stage.heard().await;
    watched.wait_for(|it| *it == 6).await.unwrap();
    gate.add_permits(5);
    stage.heard_by_chat(5).await;
}

#[tokio::test]
async fn a_followup_reaches_a_live_agent_while_time_stands_still() {
    let begun = Arc::new(watch::Sender::new(false));
    let script = {
        let begun = Arc::clone(&begun);
        move |mut actor: Actor| {
            let begun = Arc::clone(&begun);
            async move {
                let Some(ToAgent::Prompt(first)) = actor.hear().await else { return };
                begun.send_replace(true);
                let Some(ToAgent::Steer { prompt: more, .. }) = actor.hear().await else {
                    panic!("it is given what came meanwhile");
                };
                let text = format!("{} and {}", asked(&first), asked(&more));
                let (prompts, outcome) = (vec![first.id, more.id], Outcome::Answered { text });
                actor.say(&FromAgent::Done { prompts, outcome, session: None }).await;
            }
        }
    };
    let (_hand, clock) = Clock::manual(NOON);
    let mut stage = Stage::set(Setting { clock, ..Setting::default() }, script).await;
    let queue = Queue { mode: Mode::Steer, ..Queue::default() };
    stage.group_with("home", "1", Scope::Thread, queue).await;
    stage.write("1", "one").await;
    begun.subscribe().wait_for(|it| *it).await.unwrap();
    stage.write("1", "two").await;
    assert_eq!(stage.heard().await.1, "one and two");
}
