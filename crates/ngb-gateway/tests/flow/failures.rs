//! Runs that fail: which are tried again and when, which are told at once, and what is left of those given up.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ngb_channels::Retry;
use ngb_core::{
    clock::{Clock, Timestamp},
    decision::Decision,
    frame::{CallOutcome, Failure, FromAgent, Outcome, PromptId, ToAgent},
    group::Scope,
    id::JobId,
    job::BASE_BACKOFF,
};
use ngb_gateway::events::{Event, Next, Subscription};

use crate::stage::{Actor, Setting, Stage, asked};

const NOON: Timestamp = Timestamp(1_795_348_800_000);

/// Says that a prompt failed.
async fn fail(actor: &mut Actor, prompt: PromptId, failure: Failure) {
    let outcome = Outcome::Failed { failure, reason: "scripted".into() };
    actor.say(&FromAgent::Done { prompts: vec![prompt], outcome, session: None }).await;
}

/// Marks an effect, and waits until it is on disk.
async fn effect(actor: &mut Actor, prompt: PromptId) {
    actor.say(&FromAgent::Effect { prompt, call: 1 }).await;
    let Some(ToAgent::CallResult { outcome: CallOutcome::Ok { .. }, .. }) = actor.hear().await
    else {
        panic!("the effect is marked");
    };
}

/// Waits for the end of a run; returns its outcome's word.
async fn run_ended(events: &mut Subscription) -> &'static str {
    loop {
        let Next::Events(batch) = events.next().await else { continue };
        let ended = batch.iter().find_map(|it| match it.event {
            Event::RunFinished { outcome, .. } => Some(outcome),
            _ => None,
        });
        if let Some(outcome) = ended {
            return outcome;
        }
    }
}

#[tokio::test]
async fn passing_failures_are_tried_after_5_10_20_40_80_s_and_told_once() {
    let (hand, clock) = Clock::manual(NOON);
    let script = |mut actor: Actor| async move {
        while let Some(ToAgent::Prompt(prompt)) = actor.hear().await {
            fail(&mut actor, prompt.id, Failure::Passing).await;
        }
    };
    let setting = Setting { clock, retry_base: BASE_BACKOFF, ..Setting::default() };
    let mut stage = Stage::set(setting, script).await;
    stage.group("home", "1", Scope::Thread).await;
    let mut events = stage.gateway.hub().subscribe(None);
    stage.write("1", "hi").await;
    let mut at = NOON;
    for (wait, told) in [(5, false), (10, false), (20, true), (40, false), (80, false)] {
        assert_eq!(run_ended(&mut events).await, "retry");
        let job = stage.gateway.store().job(JobId(1)).await.unwrap().unwrap();
        assert_eq!(job.run_at.since(at), Duration::from_secs(wait));
        if told {
            let word = "I could not answer yet and am still trying; nothing is lost. (#1)";
            assert_eq!(stage.heard().await.1, word);
        }
        assert!(stage.is_quiet(), "before the wait of {wait} s");
        at = job.run_at;
        hand.send_replace(at);
    }
    assert_eq!(run_ended(&mut events).await, "retry");
    let word =
        "I tried several times and could not answer. Send it again, or ask whoever runs me. (#1)";
    assert_eq!(stage.heard().await.1, word);

    // It is a dead letter now, which can be put back with all its tries, or dropped.
    let dead = stage.gateway.store().dead(10).await.unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].error.as_deref(), Some("gave up after 5 retries: scripted"));
    stage.gateway.revive(dead[0].id).await.unwrap();
    assert_eq!(run_ended(&mut events).await, "retry");
    assert_eq!(stage.gateway.store().dead(10).await.unwrap(), []);
    assert!(stage.gateway.discard(dead[0].id).await.is_err(), "it waits again");
}

#[tokio::test]
async fn what_trying_again_cannot_help_is_told_at_once() {
    #[rustfmt::skip]
    let table = [
        (Failure::KeyRefused,     "I could not answer: the model provider refused the key. Whoever runs me can set a new one. (#1)"),
        (Failure::ModelUnknown,   "I could not answer: the provider has no such model. Whoever runs me can choose another. (#1)"),
        (Failure::PromptTooLarge, "I could not answer: this is too long for the model. Send less of it at a time. (#1)"),
        (Failure::OverBudget,     "I could not answer: today's budget is used up. Try again tomorrow. (#1)"),
    ];
    for (failure, want) in table {
        let tries = Arc::new(AtomicUsize::new(0));
        let count = tries.clone();
        let script = move |mut actor: Actor| {
            let count = count.clone();
            async move {
                while let Some(ToAgent::Prompt(prompt)) = actor.hear().await {
                    count.fetch_add(1, Ordering::SeqCst);
                    fail(&mut actor, prompt.id, failure).await;
                }
            }
        };
        let mut stage = Stage::set(Setting::default(), script).await;
        stage.group("home", "1", Scope::Thread).await;
        stage.write("1", "hi").await;
        assert_eq!(stage.heard().await.1, want);
        assert_eq!(stage.gateway.store().dead(10).await.unwrap().len(), 1, "{failure:?}");
        assert_eq!(tries.load(Ordering::SeqCst), 1, "{failure:?}");
    }
}

#[tokio::test]
async fn a_sandbox_that_cannot_be_had_is_told_at_once() {
    let script = |_: Actor| async {};
    let setting = Setting { refused: Some("no user namespaces"), ..Setting::default() };
    let mut stage = Stage::set(setting, script).await;
    stage.group("home", "1", Scope::Thread).await;
    stage.write("1", "hi").await;
    let word = "I can't work safely on this machine at the moment. Whoever runs me can run `nanogridbot doctor`. (#1)";
    assert_eq!(stage.heard().await.1, word);
    let dead = stage.gateway.store().dead(10).await.unwrap();
    assert!(dead[0].error.as_deref().unwrap().contains("no user namespaces"), "{dead:?}");
}

#[tokio::test]
async fn a_panic_in_a_worker_is_a_failure_that_passes() {
    let script = |mut actor: Actor| async move {
        while let Some(ToAgent::Prompt(prompt)) = actor.hear().await {
            actor.done(prompt.id, &asked(&prompt)).await;
        }
    };
    let setting = Setting { panics: 2, max_runs: 1, ..Setting::default() };
    let mut stage = Stage::set(setting, script).await;
    stage.group("home", "1", Scope::Thread).await;
    stage.write("1", "hi").await;
    assert_eq!(stage.heard().await.1, "hi");
    let job = stage.gateway.store().job(JobId(1)).await.unwrap().unwrap();
    assert_eq!((job.state.as_str(), job.tries.failures), ("done", 2));
    let why = stage.gateway.store().why(job.message.unwrap()).await.unwrap();
    let retry = why.decisions.iter().find(|it| it.kind == Decision::Retry).unwrap();
    assert!(retry.detail.contains("worker panicked: a planted panic"), "{retry:?}");
    stage.write("1", "again").await;
    assert_eq!(stage.heard().await.1, "again");
}

/// A send that panics is tried again, and what waits behind it in its place is not stuck.
#[tokio::test]
async fn a_panic_in_a_send_is_a_failure_that_passes() {
    let (hand, clock) = Clock::manual(NOON);
    let script = |mut actor: Actor| async move {
        while let Some(ToAgent::Prompt(prompt)) = actor.hear().await {
            actor.done(prompt.id, &asked(&prompt)).await;
        }
    };
    let mut stage = Stage::set(Setting { clock, ..Setting::default() }, script).await;
    stage.group("home", "1", Scope::Thread).await;
    stage.platform.panics.store(1, Ordering::SeqCst);
    let mut events = stage.gateway.hub().subscribe(None);
    stage.write("1", "a").await;
    assert_eq!(run_ended(&mut events).await, "answered");
    let row = loop {
        let why = stage.gateway.store().why(ngb_core::id::MessageId(1)).await.unwrap();
        match why.outbox.into_iter().next() {
            Some(it) if it.error.is_some() => break it,
            _ => tokio::task::yield_now().await,
        }
    };
    assert_eq!(row.state, "unknown", "it may have gone out: {row:?}");
    assert!(row.error.unwrap().contains("panicked while it sent: a planted panic"));
    hand.send_modify(|now| *now = *now + Duration::from_secs(10));
    assert_eq!(stage.heard().await.1, "a");
    stage.write("1", "b").await;
    assert_eq!(stage.heard().await.1, "b");
}

/// A platform that nobody reaches for an hour gets the answer when it is back; one that is there and fails at this item each
/// time is not asked for ever.
#[tokio::test]
async fn an_answer_outlives_a_platform_that_is_away() {
    for (maybe_done, fails, want) in [(false, 60, "sent"), (true, 60, "failed"), (true, 7, "sent")]
    {
        let (hand, clock) = Clock::manual(NOON);
        let script = |mut actor: Actor| async move {
            while let Some(ToAgent::Prompt(prompt)) = actor.hear().await {
                actor.done(prompt.id, &asked(&prompt)).await;
            }
        };
        let stage = Stage::set(Setting { clock, ..Setting::default() }, script).await;
        stage.group("home", "1", Scope::Thread).await;
        *stage.platform.faults.lock().unwrap() = vec![Retry::Backoff; fails];
        stage.platform.maybe_done.store(maybe_done, Ordering::SeqCst);
        stage.write("1", "a").await;
        let mut left = fails;
        let state = loop {
            let why = stage.gateway.store().why(ngb_core::id::MessageId(1)).await.unwrap();
            let row = why.outbox.into_iter().next();
            match row.as_ref().map(|it| it.state.as_str()) {
                Some("sent" | "failed") => break row.unwrap(),
                Some("pending" | "unknown") => {
                    let now_left = stage.platform.faults.lock().unwrap().len();
                    if now_left < left {
                        left = now_left;
                        hand.send_modify(|now| *now = *now + Duration::from_secs(600));
                    }
                }
                _ => (),
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(state.state, want, "{maybe_done} {fails}: {state:?}");
    }
}

/// What was done before a failure is said: by a note to the agent that goes on, and to people when nobody does.
#[tokio::test]
async fn a_failure_after_an_effect_goes_on_or_is_told() {
    #[rustfmt::skip]
    let table = [
        (Failure::Passing,    1, "An earlier try at this was cut off after it had already changed something. Look at what is done, and go on from there."),
        (Failure::Passing,    9, "I did a part of this and then could not go on. Look at what is done before you send it again. (#1)"),
        (Failure::KeyRefused, 9, "I could not answer: the model provider refused the key. Whoever runs me can set a new one.\n\
                                  I did a part of this and then could not go on. Look at what is done before you send it again. (#1)"),
    ];
    for (failure, times, want) in table {
        let tries = Arc::new(AtomicUsize::new(0));
        let script = move |mut actor: Actor| {
            let tries = tries.clone();
            async move {
                while let Some(ToAgent::Prompt(prompt)) = actor.hear().await {
                    let n = tries.fetch_add(1, Ordering::SeqCst);
                    assert_eq!(prompt.resumed.is_some(), 0 < n, "the first try knows of nothing");
                    if times <= n {
                        actor.done(prompt.id, &prompt.resumed.unwrap_or_default()).await;
                        continue;
                    }
                    effect(&mut actor, prompt.id).await;
                    fail(&mut actor, prompt.id, failure).await;
                }
            }
        };
        let mut stage = Stage::set(Setting::default(), script).await;
        stage.group("home", "1", Scope::Thread).await;
        stage.write("1", "hi").await;
        assert_eq!(stage.heard().await.1, want, "{failure:?} {times} times");
    }
}

/// How often an agent says a word that talks on and on.
const A_WORD_EVERY: Duration = Duration::from_secs(10);

/// Waits for the next word of an agent; false when its run is over.
async fn heard_before_the_end(events: &mut Subscription) -> bool {
    loop {
        let Next::Events(batch) = events.next().await else { continue };
        let has = |of: fn(&Event) -> bool| batch.iter().any(|it| of(&it.event));
        if has(|it| matches!(it, Event::RunFinished { .. })) {
            return false;
        }
        if has(|it| matches!(it, Event::Step { .. })) {
            return true;
        }
    }
}

#[tokio::test]
async fn a_run_has_a_time_limit_and_a_silence_limit() {
    let limits = ngb_core::group::Limits::default();
    #[rustfmt::skip]
    let table = [
        // Whether it goes on talking, which limit ends it, and how much later that may be seen.
        (false, limits.silence_seconds, Duration::ZERO),
        (true,  limits.run_seconds,     A_WORD_EVERY),
    ];
    for (talks, ends_after, late) in table {
        let ends_after = Duration::from_secs(ends_after);
        let (hand, clock) = Clock::manual(NOON);
        let its_clock = clock.clone();
        let script = move |mut actor: Actor| {
            let clock = its_clock.clone();
            async move {
                while let Some(ToAgent::Prompt(prompt)) = actor.hear().await {
                    if asked(&prompt) != "work" {
                        actor.done(prompt.id, "next").await;
                        continue;
                    }
                    loop {
                        // Known before the word is said: whoever hears it moves the clock.
                        let next = clock.now() + A_WORD_EVERY;
                        let step = ngb_core::frame::Step::Thinking { delta: "hm".into() };
                        actor.say(&FromAgent::Progress { prompt: prompt.id, step }).await;
                        if !talks {
                            std::future::pending::<()>().await;
                        }
                        clock.sleep_until(next).await;
                    }
                }
            }
        };
        let setting = Setting { clock: clock.clone(), ..Setting::default() };
        let mut stage = Stage::set(setting, script).await;
        stage.group("home", "1", Scope::Thread).await;
        let mut events = stage.gateway.hub().subscribe(None);
        stage.write("1", "work").await;
        // The clock stands still until the word is heard that it brought about, however long that takes.
        let mut last_heard = Duration::ZERO;
        while heard_before_the_end(&mut events).await {
            last_heard = clock.now().since(NOON);
            let more = if talks { A_WORD_EVERY } else { ends_after };
            hand.send_replace(clock.now() + more);
        }
        assert!(last_heard <= ends_after, "a word at {last_heard:?}");
        let ended = clock.now().since(NOON);
        assert!(ends_after <= ended && ended <= ends_after + late, "{ended:?}");
        let want = format!("I stopped after {} minutes", ends_after.as_secs().div_ceil(60));
        let told = loop {
            let (_, text) = stage.heard().await;
            if !text.starts_with("Still working") {
                break text;
            }
        };
        assert!(told.starts_with(&want), "{told}");
        stage.write("1", "hello").await;
        assert_eq!(stage.heard().await.1, "next", "in a sandbox of its own");
    }
}

#[tokio::test]
async fn a_group_has_so_many_runs_a_day() {
    let (hand, clock) = Clock::manual(NOON);
    let script = |mut actor: Actor| async move {
        while let Some(ToAgent::Prompt(prompt)) = actor.hear().await {
            actor.done(prompt.id, &asked(&prompt)).await;
        }
    };
    let mut stage = Stage::set(Setting { clock, ..Setting::default() }, script).await;
    let group = stage.group("home", "1", Scope::Thread).await;
    let limits = ngb_core::group::Limits { runs_per_day: 2, ..Default::default() };
    let change = ngb_store::GroupChange { limits: Some(limits), ..Default::default() };
    stage.gateway.change_group(group, change).await.unwrap();
    let capped = "This group has used what it may today (runs_per_day). Try again tomorrow, or ask whoever runs me. (#5)";
    for (text, want) in [("a", "a"), ("b", "b"), ("c", capped)] {
        stage.write("1", text).await;
        assert_eq!(stage.heard().await.1, want);
    }
    hand.send_modify(|now| *now = *now + Duration::from_secs(12 * 60 * 60));
    stage.write("1", "tomorrow").await;
    assert_eq!(stage.heard().await.1, "tomorrow");
}

/// Sets how many runs a group has a day.
async fn runs_per_day(stage: &Stage, group: ngb_core::id::GroupId, runs_per_day: u64) {
    let limits = ngb_core::group::Limits { runs_per_day, ..Default::default() };
    let change = ngb_store::GroupChange { limits: Some(limits), ..Default::default() };
    stage.gateway.change_group(group, change).await.unwrap();
}

/// The message is given up without a word, and `why` says so; what the chat hears next is the answer to a later one.
async fn given_up_silently(stage: &mut Stage, events: &mut Subscription, text: &str) {
    stage.write("1", text).await;
    assert_eq!(run_ended(events).await, "failed");
    let id = stage.message_id(text).await;
    let why = stage.gateway.store().why(id).await.unwrap();
    let dead = why.decisions.iter().find(|it| it.kind == Decision::Dead).unwrap();
    let want = "is used up; the chat was told so already today";
    assert!(dead.detail.ends_with(want), "{dead:?}");
    assert_eq!(why.outbox.len(), 0, "{why:?}");
}

#[tokio::test]
async fn a_cap_that_is_used_up_is_told_once_a_day() {
    let (hand, clock) = Clock::manual(NOON);
    let script = |mut actor: Actor| async move {
        while let Some(ToAgent::Prompt(prompt)) = actor.hear().await {
            actor.done(prompt.id, &asked(&prompt)).await;
        }
    };
    let mut stage = Stage::set(Setting { clock, ..Setting::default() }, script).await;
    let group = stage.group("home", "1", Scope::Thread).await;
    runs_per_day(&stage, group, 1).await;
    let capped = "This group has used what it may today (runs_per_day).";
    let mut events = stage.gateway.hub().subscribe(None);
    for (text, want, outcome) in [("a", "a", "answered"), ("b", capped, "failed")] {
        stage.write("1", text).await;
        let said = stage.heard().await.1;
        assert!(said.starts_with(want), "{said}");
        assert_eq!(run_ended(&mut events).await, outcome);
    }
    given_up_silently(&mut stage, &mut events, "c").await;

    given_up_silently(&mut stage, &mut events, "d").await;
    assert_eq!(stage.gateway.store().dead(10).await.unwrap().len(), 3, "none of them is lost");

    // Another cap is another matter, and so is another day.
    runs_per_day(&stage, group, 5).await;
    stage.write("1", "e").await;
    assert_eq!(stage.heard().await.1, "e");
    assert_eq!(run_ended(&mut events).await, "answered");
    stage.write("1", "f").await;
    let said = stage.heard().await.1;
    assert!(said.starts_with(capped), "{said}");
    assert_eq!(run_ended(&mut events).await, "failed");
    hand.send_modify(|now| *now = *now + Duration::from_secs(12 * 60 * 60));
    for (text, want) in [("g", "g"), ("h", "h"), ("i", "i"), ("j", "j"), ("k", "k"), ("l", capped)]
    {
        stage.write("1", text).await;
        let said = stage.heard().await.1;
        assert!(said.starts_with(want), "{said}");
    }
}
