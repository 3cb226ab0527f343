//! How messages wait: collected, given to the agent at work, one by one, instead of what runs; too many, too old.

use std::{collections::HashMap, sync::Arc, time::Duration};

use ngb_core::{
    clock::Clock,
    frame::{FromAgent, Outcome, ToAgent},
    group::Scope,
    message::{Content, Happening, Outbound},
    queue::{Mode, Queue, Stale},
    schedule::{Misfire, Overlap, Schedule},
};
use ngb_gateway::timetable::Task;
use ngb_store::TaskDoes;
use tokio::sync::watch;

use crate::stage::{Actor, Setting, Stage, asked};

/// What agents wait for, and what they were given while they worked.
struct Gate {
    open: watch::Sender<bool>,
    steers: watch::Sender<usize>,
}

impl Gate {
    fn new(open: bool) -> Arc<Self> {
        Arc::new(Self { open: watch::Sender::new(open), steers: watch::Sender::new(0) })
    }
}

/// An agent that answers when it is let; it takes up what is given to it meanwhile, or not.
fn patient(
    gate: &Arc<Gate>,
    takes: bool,
) -> impl Fn(Actor) -> futures_util::future::BoxFuture<'static, ()> + Send + Sync + Clone + 'static
{
    let gate = Arc::clone(gate);
    move |mut actor: Actor| {
        let gate = Arc::clone(&gate);
        Box::pin(async move {
            let mut is_open = gate.open.subscribe();
            while let Some(frame) = actor.hear().await {
                let prompt = match frame {
                    ToAgent::Prompt(prompt) => prompt,
                    ToAgent::Stop => return,
                    _ => continue,
                };
                let (mut prompts, mut texts) = (vec![prompt.id], vec![asked(&prompt)]);
                let mut outcome = None;
                while outcome.is_none() {
                    tokio::select! {
                        biased;
                        frame = actor.hear() => match frame {
                            Some(ToAgent::Steer { into, prompt: more }) => {
                                assert_eq!(into, prompt.id);
                                if takes {
                                    prompts.push(more.id);
                                    texts.push(asked(&more));
                                }
                                gate.steers.send_modify(|it| *it += 1);
                            }
                            Some(ToAgent::Interrupt { .. }) => outcome = Some(Outcome::Interrupted),
                            Some(_) => (),
                            None => return,
                        },
                        open = is_open.wait_for(|open| *open) => {
                            open.unwrap();
                            let text = texts.join(" and then ");
                            outcome = Some(Outcome::Answered { text });
                        }
                    }
                }
                let outcome = outcome.unwrap();
                actor.say(&FromAgent::Done { prompts, outcome, session: None }).await;
            }
        })
    }
}

fn mode(mode: Mode) -> Queue {
    Queue { mode, ..Queue::default() }
}

#[tokio::test]
async fn each_mode_deals_with_what_comes_meanwhile() {
    #[rustfmt::skip]
    let table: &[(Mode, bool, &[&str])] = &[
        (Mode::Collect,   true,  &["a", "b+c"]),
        (Mode::Followup,  true,  &["a", "b", "c"]),
        (Mode::Steer,     true,  &["a and then b and then c"]),
        // What the agent can't take up is a prompt of its own, and nothing is answered twice.
        (Mode::Steer,     false, &["a", "b+c"]),
        (Mode::Interrupt, true,  &["c"]),
    ];
    for (mode_, takes, want) in table {
        let gate = Gate::new(false);
        let mut stage = Stage::set(Setting::default(), patient(&gate, *takes)).await;
        stage.group_with("home", "1", Scope::Thread, mode(*mode_)).await;
        let mut runs = stage.runs();
        stage.write("1", "a").await;
        runs.begun().await;
        let mut steers = gate.steers.subscribe();
        for (n, text) in [(1, "b"), (2, "c")] {
            stage.write("1", text).await;
            match mode_ {
                Mode::Steer => drop(steers.wait_for(|it| *it == n).await.unwrap()),
                Mode::Interrupt => runs.begun().await,
                Mode::Collect | Mode::Followup => (),
            }
        }
        gate.open.send_replace(true);
        for want in *want {
            assert_eq!(stage.heard().await.1, *want, "{mode_:?}, takes it up: {takes}");
        }
        assert!(stage.is_quiet(), "{mode_:?}");
        stage.end().await;
    }
}

#[tokio::test]
async fn a_guest_does_not_interrupt_what_another_asked_for() {
    let gate = Gate::new(false);
    let mut stage = Stage::set(Setting::default(), patient(&gate, true)).await;
    stage.group_with("home", "1", Scope::Thread, mode(Mode::Interrupt)).await;
    let mut runs = stage.runs();
    stage.write("1", "a").await;
    runs.begun().await;
    let mut other = stage.message("1", "b");
    other.sender.id = "somebody else".into();
    stage.write_all(vec![other]).await;
    gate.open.send_replace(true);
    assert_eq!(stage.heard().await.1, "a");
    assert_eq!(stage.heard().await.1, "b");
}

#[tokio::test]
async fn a_burst_is_one_prompt() {
    let gate = Gate::new(true);
    let (hand, clock) = Clock::manual(Clock::System.now());
    let setting = Setting { clock, ..Setting::default() };
    let mut stage = Stage::set(setting, patient(&gate, true)).await;
    let queue = Queue { debounce_ms: 500, ..Queue::default() };
    stage.group_with("home", "1", Scope::Thread, queue).await;
    for text in ["a", "b", "c"] {
        stage.write("1", text).await;
    }
    hand.send_modify(|now| *now = *now + Duration::from_millis(500));
    assert_eq!(stage.heard().await.1, "a+b+c");
}

#[tokio::test]
async fn a_full_lane_refuses_and_says_so_once() {
    let gate = Gate::new(false);
    let mut stage = Stage::set(Setting::default(), patient(&gate, true)).await;
    let queue = Queue { max_waiting: 2, ..Queue::default() };
    stage.group_with("home", "1", Scope::Thread, queue).await;
    let mut runs = stage.runs();
    stage.write("1", "a").await;
    runs.begun().await;
    let more = ["b", "c", "d", "e"].map(|it| stage.message("1", it));
    stage.write_all(more.into()).await;
    let told = stage.heard().await.1;
    assert!(told.starts_with("2 messages wait here already"), "{told}");
    gate.open.send_replace(true);
    assert_eq!(stage.heard().await.1, "a");
    assert_eq!(stage.heard().await.1, "b+c");
    stage.write("1", "f").await;
    assert_eq!(stage.heard().await.1, "f", "there is room again");
    let why = stage.gateway.store().why(stage.message_id("d").await).await.unwrap();
    let sentence = ngb_gateway::sentence::of(&why);
    assert!(sentence.contains("2 messages wait in its lane already"), "{sentence}");
}

#[tokio::test]
async fn a_stop_is_answered_before_any_of_a_thousand_jobs_that_wait() {
    // Half of them wait in the lane that is stopped, half in another for the only place at work.
    const WAITING: u32 = 500;
    let script = |mut actor: Actor| async move {
        while let Some(frame) = actor.hear().await {
            let ToAgent::Prompt(prompt) = frame else { continue };
            if asked(&prompt) != "work" {
                actor.done(prompt.id, &asked(&prompt)).await;
                continue;
            }
            let Some(ToAgent::Interrupt { prompt }) = actor.hear().await else { return };
            let outcome = Outcome::Interrupted;
            actor.say(&FromAgent::Done { prompts: vec![prompt], outcome, session: None }).await;
        }
    };
    let mut stage = Stage::set(Setting { max_runs: 1, ..Setting::default() }, script).await;
    let queue = Queue { max_waiting: WAITING, ..Queue::default() };
    for chat in ["1", "2"] {
        stage.group_with("home", chat, Scope::Thread, queue).await;
    }
    let mut runs = stage.runs();
    stage.write("1", "work").await;
    runs.begun().await;
    let texts: Vec<String> = (0..WAITING).map(|n| format!("job {n}")).collect();
    for chat in ["1", "2"] {
        stage.write_all(texts.iter().map(|it| stage.message(chat, it)).collect()).await;
    }
    assert!(stage.is_quiet(), "all of them wait");
    stage.write("1", "/stop").await;
    assert_eq!(stage.heard().await, ("1".into(), "Stopped.".into()));
    // What waited is not lost by it, and nothing of it is answered twice.
    let mut said: HashMap<String, Vec<String>> = HashMap::new();
    while said.values().map(Vec::len).sum::<usize>() < 2 * texts.len() {
        let (chat, text) = stage.heard().await;
        said.entry(chat).or_default().extend(text.split('+').map(str::to_owned));
    }
    for chat in ["1", "2"] {
        assert_eq!(said.get(chat), Some(&texts), "chat {chat}");
    }
    assert!(stage.is_quiet());
}

#[tokio::test]
async fn what_waits_can_be_edited_and_taken_back() {
    let gate = Gate::new(false);
    let mut stage = Stage::set(Setting::default(), patient(&gate, true)).await;
    stage.group("home", "1", Scope::Thread).await;
    let mut runs = stage.runs();
    stage.write("1", "a").await;
    runs.begun().await;
    let (b, c) = (stage.message("1", "b"), stage.message("1", "c"));
    let id = |it: &ngb_core::message::Inbound| it.event_key.clone();
    let mut edit = stage.message("1", "");
    let edited = Content { platform_id: id(&b), text: "B".into(), ..Content::default() };
    edit.what = Happening::Edit(edited);
    let mut delete = stage.message("1", "");
    delete.what = Happening::Delete { platform_id: id(&c) };
    stage.write_all(vec![b, c, edit, delete]).await;
    gate.open.send_replace(true);
    assert_eq!(stage.heard().await.1, "a");
    assert_eq!(stage.heard().await.1, "B");
    assert!(stage.is_quiet());
}

#[tokio::test]
async fn a_due_task_goes_before_what_people_wrote() {
    let gate = Gate::new(false);
    let mut stage = Stage::set(Setting::default(), patient(&gate, true)).await;
    let group = stage.group("home", "1", Scope::Thread).await;
    let mut runs = stage.runs();
    stage.write("1", "a").await;
    runs.begun().await;
    stage.write("1", "b").await;
    let at = stage.gateway.clock().now() + Duration::from_secs(3600);
    let task = Task {
        group,
        does: TaskDoes::Think,
        text: "water the plants".into(),
        schedule: Schedule::Once(at),
        misfire: Misfire::Once,
        overlap: Overlap::Skip,
        jitter_ms: 0,
        place: Some(crate::stage::place("1")),
        isolated: false,
        role: ngb_core::role::Role::Member,
        made_by: "test".into(),
    };
    let task = stage.gateway.add_task(task).await.unwrap();
    stage.gateway.run_task(task.id).await.unwrap();
    gate.open.send_replace(true);
    for want in ["a", "water the plants", "b"] {
        assert_eq!(stage.heard().await.1, want);
    }
}

#[tokio::test]
async fn what_is_too_old_is_not_answered_blindly() {
    #[rustfmt::skip]
    let table = [
        // buttons, answer, what is heard after it
        (true,  Some("skip"),   None),
        (true,  Some("Answer"), Some("are you open?")),
        (false, Some("1"),      Some("are you open?")),
        (false, Some("2"),      None),
    ];
    for (buttons, answer, want) in table {
        let gate = Gate::new(true);
        let setting = Setting { buttons, ..Setting::default() };
        let mut stage = Stage::set(setting, patient(&gate, true)).await;
        stage.group("home", "1", Scope::Thread).await;
        let mut old = stage.message("1", "are you open?");
        old.sent_at = Clock::System.now() - Duration::from_secs(16 * 60);
        stage.write_all(vec![old]).await;
        let (_, Outbound::Text { text, buttons: shown, .. }) = stage.item().await else {
            panic!("no question")
        };
        assert!(text.starts_with("This waited for 16 minutes: “are you open?”"), "{text}");
        assert_eq!(shown.len(), if buttons { 2 } else { 0 });
        if let Some(answer) = answer {
            stage.write("1", answer).await;
        }
        // What is new is answered at once, whatever is held.
        if let Some(want) = want {
            assert_eq!(stage.heard().await.1, want, "{answer:?}");
        }
        stage.write("1", "thanks").await;
        assert_eq!(stage.heard().await.1, "thanks", "{answer:?}");
        stage.end().await;
    }
}

#[tokio::test]
async fn what_is_too_old_can_be_dropped_or_answered_and_outlives_the_gateway() {
    let gate = Gate::new(true);
    let home = Arc::new(tempfile::TempDir::new().unwrap());
    let mut stage = Stage::on(home, Setting::default(), patient(&gate, true)).await;
    for (chat, stale) in [("1", Stale::Drop), ("2", Stale::Answer), ("3", Stale::Ask)] {
        let queue = Queue { stale, ..Queue::default() };
        stage.group_with(&format!("g{chat}"), chat, Scope::Thread, queue).await;
        let mut old = stage.message(chat, "old");
        old.sent_at = Clock::System.now() - Duration::from_secs(16 * 60);
        stage.write_all(vec![old]).await;
        if stale != Stale::Drop {
            let heard = stage.heard().await.1;
            assert_eq!(heard == "old", stale == Stale::Answer, "{heard}");
        }
    }
    let home = stage.keep();
    stage.end().await;
    let mut stage = Stage::on(home, Setting::default(), patient(&gate, true)).await;
    for _ in 0..3 {
        // The keys of the messages before are taken.
        let _ = stage.message("3", "");
    }
    stage.write("3", "answer").await;
    assert_eq!(stage.heard().await, ("3".into(), "old".into()));
    assert!(stage.is_quiet());
}
