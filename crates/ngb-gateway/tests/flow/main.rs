//! The gateway as a chat transcript: what people write, what is said back.
#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]

mod acceptance;
mod albums;
mod alerts;
mod canary;
mod commands;
mod desk;
mod engine;
mod failures;
mod forget;
mod lookups;
mod memory;
mod pair;
mod plugins;
mod questions;
mod queue;
mod reactions;
mod retention;
mod rogue;
mod sessions;
mod stage;
mod tasks;
mod watched;

use std::{
    os::fd::AsRawFd as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ngb_channels::{Accepted, Retry};
use ngb_core::{
    clock::Clock,
    decision::Decision,
    frame::{CallOutcome, Failure, FromAgent, HostCall, Outcome, ToAgent},
    group::Scope,
    message::{Button, ChatKind},
    tasks::Stopped,
};
use ngb_store::MessageFilter;
use stage::{Actor, Setting, Stage, asked};

/// An agent that repeats what it was asked.
async fn echo(mut actor: Actor) {
    while let Some(frame) = actor.hear().await {
        match frame {
            ToAgent::Prompt(prompt) => {
                actor.done(prompt.id, &format!("you said {}", asked(&prompt))).await
            }
            ToAgent::Stop => return,
            _ => (),
        }
    }
}

/// An agent that needs a second for each answer.
async fn slow(mut actor: Actor) {
    while let Some(frame) = actor.hear().await {
        match frame {
            ToAgent::Prompt(prompt) => {
                Clock::System.sleep(Duration::from_secs(1)).await;
                actor.done(prompt.id, &asked(&prompt)).await;
            }
            ToAgent::Stop => return,
            _ => (),
        }
    }
}

#[tokio::test]
async fn a_message_gets_one_answer_and_a_repeat_none() {
    let mut stage = Stage::set(Setting::default(), echo).await;
    stage.group("home", "1", Scope::Thread).await;
    let hello = stage.message("1", "hello");
    assert_eq!(
        stage.write_all(vec![hello.clone(), hello.clone()]).await,
        [Accepted::New, Accepted::Repeat]
    );
    assert_eq!(stage.heard().await, ("1".into(), "you said hello".into()));
    assert_eq!(stage.write_all(vec![hello]).await, [Accepted::Repeat]);
    stage.write("1", "again").await;
    assert_eq!(stage.heard().await, ("1".into(), "you said again".into()));
    assert!(stage.is_quiet());
    assert_eq!(stage.end().await, Stopped::Clean);
}

#[tokio::test]
async fn an_unknown_chat_gets_a_code_and_after_approval_answers() {
    let mut stage = Stage::set(Setting::default(), echo).await;
    stage.write("7", "hello").await;
    let (chat, text) = stage.heard().await;
    assert_eq!(chat, "7");
    let code = text
        .split_whitespace()
        .find(|it| it.contains('-'))
        .unwrap()
        .trim_end_matches('.')
        .to_owned();
    stage.write("7", "anybody there?").await;
    let approve = ngb_gateway::handle::Approve { group: None, me: None, by: "test".into() };
    let pairing = stage.gateway.approve(&code, approve.clone()).await.unwrap();
    assert!(pairing.is_direct);
    assert_eq!(stage.heard().await, ("7".into(), "This chat is approved. Write to me!".into()));
    stage.write("7", "hello").await;
    assert_eq!(stage.heard().await, ("7".into(), "you said hello".into()));
    let again = stage.gateway.approve(&code, approve).await.unwrap_err().to_string();
    assert!(again.contains("there is no open pairing code"), "{again}");
    assert!(stage.is_quiet(), "the second message was offered no second code");
}

#[tokio::test]
async fn what_comes_while_the_agent_works_is_one_prompt() {
    let (go, gate) = tokio::sync::watch::channel(false);
    let script = move |mut actor: Actor| {
        let mut gate = gate.clone();
        async move {
            while let Some(ToAgent::Prompt(prompt)) = actor.hear().await {
                gate.wait_for(|open| *open).await.unwrap();
                actor.done(prompt.id, &asked(&prompt)).await;
            }
        }
    };
    let mut stage = Stage::set(Setting::default(), script).await;
    stage.group("home", "1", Scope::Thread).await;
    for text in ["a", "b", "c"] {
        stage.write("1", text).await;
    }
    go.send_replace(true);
    assert_eq!(stage.heard().await.1, "a");
    assert_eq!(stage.heard().await.1, "b+c");
}

#[tokio::test]
async fn a_passing_failure_is_tried_again_and_a_permanent_one_told() {
    #[rustfmt::skip]
    let table = [
        (Failure::Passing,      2, "ok after 2"),
        (Failure::KeyRefused,   9, "I could not answer: the model provider refused the key. Whoever runs me can set a new one. (#1)"),
        (Failure::Passing,      9, "I tried several times and could not answer. Send it again, or ask whoever runs me. (#1)"),
    ];
    for (failure, times, want) in table {
        let count = Arc::new(AtomicUsize::new(0));
        let script = move |mut actor: Actor| {
            let count = count.clone();
            async move {
                while let Some(ToAgent::Prompt(prompt)) = actor.hear().await {
                    let n = count.fetch_add(1, Ordering::SeqCst);
                    if times <= n {
                        actor.done(prompt.id, &format!("ok after {n}")).await;
                        continue;
                    }
                    let outcome = Outcome::Failed { failure, reason: "scripted".into() };
                    actor
                        .say(&FromAgent::Done { prompts: vec![prompt.id], outcome, session: None })
                        .await;
                }
            }
        };
        let mut stage = Stage::set(Setting::default(), script).await;
        stage.group("home", "1", Scope::Thread).await;
        stage.write("1", "hi").await;
        assert_eq!(stage.heard().await.1, want, "{failure:?} {times} times");
    }
}

#[tokio::test]
async fn an_agent_that_dies_is_started_again() {
    let count = Arc::new(AtomicUsize::new(0));
    let script = move |mut actor: Actor| {
        let count = count.clone();
        async move {
            while let Some(ToAgent::Prompt(prompt)) = actor.hear().await {
                if count.fetch_add(1, Ordering::SeqCst) == 0 {
                    return;
                }
                actor.done(prompt.id, "here I am").await;
            }
        }
    };
    let mut stage = Stage::set(Setting::default(), script).await;
    stage.group("home", "1", Scope::Thread).await;
    stage.write("1", "hi").await;
    assert_eq!(stage.heard().await.1, "here I am");
}

#[tokio::test]
async fn a_send_that_fails_is_tried_again_and_order_is_kept() {
    let mut stage = Stage::set(Setting::default(), echo).await;
    stage.group("home", "1", Scope::Thread).await;
    *stage.platform.faults.lock().unwrap() = vec![Retry::After(Duration::from_millis(50))];
    stage.write("1", "a").await;
    stage.write("1", "b").await;
    assert_eq!(stage.heard().await.1, "you said a");
    assert_eq!(stage.heard().await.1, "you said b");
}

#[tokio::test]
async fn stop_interrupts_and_the_next_message_works() {
    let script = |mut actor: Actor| async move {
        while let Some(frame) = actor.hear().await {
            let ToAgent::Prompt(prompt) = frame else { continue };
            if asked(&prompt) != "work" {
                actor.done(prompt.id, "next").await;
                continue;
            }
            let Some(ToAgent::Interrupt { prompt }) = actor.hear().await else { return };
            let outcome = Outcome::Interrupted;
            actor.say(&FromAgent::Done { prompts: vec![prompt], outcome, session: None }).await;
        }
    };
    let mut stage = Stage::set(Setting::default(), script).await;
    stage.group("home", "1", Scope::Thread).await;
    let mut runs = stage.runs();
    stage.write("1", "work").await;
    runs.begun().await;
    stage.write("1", "/stop").await;
    assert_eq!(stage.heard().await.1, "Stopped.");
    stage.write("1", "hello").await;
    assert_eq!(stage.heard().await.1, "next");
    stage.write("1", "/stop").await;
    assert_eq!(stage.heard().await.1, "There is nothing to stop.");
}

#[tokio::test]
async fn a_question_waits_for_a_person() {
    let script = |mut actor: Actor| async move {
        while let Some(frame) = actor.hear().await {
            let ToAgent::Prompt(prompt) = frame else { continue };
            let option = |label: &str| Button { label: label.into(), value: label.to_lowercase() };
            let what = HostCall::Ask {
                question: "Sure?".into(),
                options: vec![option("Yes"), option("No")],
                least: None,
            };
            actor.say(&FromAgent::Call { prompt: prompt.id, call: 1, what }).await;
            let Some(ToAgent::CallResult { outcome: CallOutcome::Ok { value }, .. }) =
                actor.hear().await
            else {
                return;
            };
            actor.done(prompt.id, &format!("you chose {}", value.as_str().unwrap())).await;
        }
    };
    let mut stage = Stage::set(Setting::default(), script).await;
    stage.group("home", "1", Scope::Thread).await;
    let mut events = stage.gateway.hub().subscribe(None);
    stage.write("1", "do it").await;
    assert_eq!(stage.heard().await.1, "Sure?");
    let options = loop {
        let ngb_gateway::events::Next::Events(batch) = events.next().await else { continue };
        let asked = batch.into_iter().find_map(|it| match it.event {
            ngb_gateway::events::Event::Asked { options, .. } => Some(options),
            _ => None,
        });
        if let Some(options) = asked {
            break options;
        }
    };
    let chat = stage::place("1").jid;
    stage.gateway.press(&chat, "u1", &options[1].value).await.unwrap();
    assert_eq!(stage.heard().await.1, "you chose no");
}

#[tokio::test]
async fn a_reminder_is_said_later_by_itself() {
    let script = |mut actor: Actor| async move {
        while let Some(frame) = actor.hear().await {
            let ToAgent::Prompt(prompt) = frame else { continue };
            let what = HostCall::ScheduleTask { after_seconds: 1, text: "tea!".into() };
            actor.say(&FromAgent::Call { prompt: prompt.id, call: 1, what }).await;
            let Some(ToAgent::CallResult { outcome, .. }) = actor.hear().await else { return };
            let word = match outcome {
                CallOutcome::Ok { .. } => "I will".to_owned(),
                CallOutcome::Refused { reason } => reason,
            };
            actor.done(prompt.id, &word).await;
        }
    };
    let mut stage = Stage::set(Setting::default(), script).await;
    stage.group("home", "1", Scope::Thread).await;
    stage.write("1", "remind me").await;
    assert_eq!(stage.heard().await.1, "a guest may not have things done later");
    let account = stage::place("1").jid.account().clone();
    let ann = stage.gateway.store().add_person("Ann").await.unwrap();
    stage.gateway.store().link(ann, &account, "u1").await.unwrap();
    stage.gateway.store().grant(ann, None, ngb_core::role::Role::Member).await.unwrap();
    stage.group("other", "2", Scope::Thread).await;
    stage.write("1", "remind me").await;
    assert_eq!(stage.heard().await.1, "I will");
    assert_eq!(stage.heard().await.1, "tea!");
}

#[tokio::test]
async fn a_flooder_does_not_starve_the_others() {
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = order.clone();
    let script = move |mut actor: Actor| {
        let seen = seen.clone();
        async move {
            while let Some(ToAgent::Prompt(prompt)) = actor.hear().await {
                seen.lock().unwrap().push(prompt.place.clone());
                tokio::task::yield_now().await;
                actor.done(prompt.id, "ok").await;
            }
        }
    };
    let setting = Setting { max_runs: 4, ..Setting::default() };
    let mut stage = Stage::set(setting, script).await;
    // One group with a thousand chats of its own, ten with one each.
    let flooder = stage.group("flooder", "f0", Scope::Sender).await;
    for n in 0..10 {
        stage.group(&format!("g{n}"), &format!("c{n}"), Scope::Thread).await;
    }
    let mut flood: Vec<_> = (0..200)
        .map(|n| {
            let mut event = stage.message("f0", "x");
            event.sender.id = format!("s{n}");
            event
        })
        .collect();
    flood.extend((0..10).map(|n| stage.message(&format!("c{n}"), "hello")));
    stage.write_all(flood).await;
    stage.heard_by_chat(210).await;
    let order = order.lock().unwrap();
    for n in 0..10 {
        let at = order.iter().position(|it| it.ends_with(&format!(":c{n}"))).unwrap();
        let before = order[..at].iter().filter(|it| it.ends_with(":f0")).count();
        assert!(
            before < 4 + 8 + 4,
            "group g{n} began after {before} runs of the flooder ({flooder})"
        );
    }
}

#[tokio::test]
async fn twenty_threads_of_one_chat_with_a_model_of_a_second() {
    let mut stage = Stage::set(Setting::default(), slow).await;
    stage.group("home", "1", Scope::Thread).await;
    let events = (0..20)
        .map(|n| {
            let mut event = stage.message("1", &format!("t{n}"));
            event.place.thread = Some(n.to_string().into());
            event.chat.kind = ChatKind::Group;
            event
        })
        .collect();
    let began = Clock::System.now();
    stage.write_all(events).await;
    let all = stage.heard_by_chat(20).await;
    let took = Clock::System.now().since(began);
    assert_eq!(all["1"].len(), 20);
    // Four at a time: five rounds of a second.
    assert!(took < Duration::from_secs(7), "{took:?}");
}

#[tokio::test]
async fn one_persons_chat_is_never_in_anothers_prompt() {
    let script = |mut actor: Actor| async move {
        while let Some(ToAgent::Prompt(prompt)) = actor.hear().await {
            let all: Vec<String> = prompt.messages.iter().map(|it| it.text.clone()).collect();
            actor.done(prompt.id, &all.join("|")).await;
        }
    };
    let mut stage = Stage::set(Setting::default(), script).await;
    stage.group("home", "1", Scope::Thread).await;
    stage.group("home", "2", Scope::Thread).await;
    stage.write("1", "my secret is 42").await;
    assert_eq!(stage.heard().await.1, "my secret is 42");
    stage.write("2", "what did they say?").await;
    assert_eq!(stage.heard().await.1, "what did they say?");
}

#[tokio::test]
async fn a_text_of_ten_megabytes_comes_as_a_file() {
    let script = |mut actor: Actor| async move {
        while let Some(ToAgent::Prompt(prompt)) = actor.hear().await {
            let message = &prompt.messages[0];
            let word = format!("{} {}", message.text.len() < 70_000, message.files.join(","));
            actor.done(prompt.id, &word).await;
        }
    };
    let mut stage = Stage::set(Setting::default(), script).await;
    stage.group("home", "1", Scope::Thread).await;
    stage.write("1", &"日".repeat(3_500_000)).await;
    assert_eq!(stage.heard().await.1, "true /workspace/group/inbox/1-0-message.txt");
    let path = stage.home().join("groups/home/inbox/1-0-message.txt");
    assert_eq!(std::fs::metadata(path).unwrap().len(), 10_500_000);
}

#[tokio::test]
async fn new_instructions_count_from_the_next_run_of_a_live_agent() {
    let home = Arc::new(tempfile::TempDir::new().unwrap());
    let starts = Arc::new(AtomicUsize::new(0));
    let staged = home.path().join("run/instructions/home/group");
    let script = {
        let (staged, starts) = (staged.clone(), Arc::clone(&starts));
        move |mut actor: Actor| {
            starts.fetch_add(1, Ordering::Relaxed);
            let staged = staged.clone();
            async move {
                // What a live process sees of its read-only mount is this very folder.
                let folder = std::fs::File::open(&staged).unwrap();
                while let Some(ToAgent::Prompt(prompt)) = actor.hear().await {
                    let path = format!("/proc/self/fd/{}/AGENTS.md", folder.as_raw_fd());
                    let text = std::fs::read_to_string(path).unwrap_or("none".into());
                    actor.done(prompt.id, &text).await;
                }
            }
        }
    };
    let mut stage = Stage::on(Arc::clone(&home), Setting::default(), script).await;
    stage.group("home", "1", Scope::Thread).await;
    let source = home.path().join("instructions/home/AGENTS.md");
    std::fs::create_dir_all(source.parent().unwrap()).unwrap();
    for want in ["none", "be brief", "be kind", "none"] {
        match want {
            "none" => drop(std::fs::remove_file(&source)),
            text => std::fs::write(&source, text).unwrap(),
        }
        stage.write("1", "go").await;
        assert_eq!(stage.heard().await.1, want);
    }
    let names: Vec<_> = std::fs::read_dir(&staged).unwrap().collect();
    assert!(names.is_empty(), "nothing half written is left: {names:?}");
    assert_eq!(starts.load(Ordering::Relaxed), 1, "one process did it all");
}

#[tokio::test]
async fn decisions_are_told_in_order() {
    let mut stage = Stage::set(Setting::default(), echo).await;
    stage.group("home", "1", Scope::Thread).await;
    stage.write("1", "hello").await;
    stage.heard().await;
    let filter = MessageFilter { limit: 1, ..MessageFilter::default() };
    let newest = stage.gateway.store().messages(filter).await.unwrap();
    // The receipt is written after the platform has it.
    let why = loop {
        let why = stage.gateway.store().why(newest[0].id).await.unwrap();
        if why.decisions.iter().any(|it| it.kind == Decision::Sent) {
            break why;
        }
    };
    let kinds: Vec<Decision> = why.decisions.iter().map(|it| it.kind).collect();
    use Decision::{Answered, Claimed, Prompted, Queued, Received, SandboxStarted, Sending, Sent};
    assert_eq!(
        kinds,
        [Received, Queued, Claimed, SandboxStarted, Prompted, Answered, Sending, Sent]
    );
}
