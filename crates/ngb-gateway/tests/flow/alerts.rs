//! What an operator is told: each condition is provoked once, told once, and told again when it is over.

use std::time::Duration;

use ngb_channels::Retry;
use ngb_core::{
    clock::{Clock, Timestamp},
    frame::{Failure, FromAgent, Outcome, ToAgent},
    group::{Limits, Scope},
    id::JobId,
    role::Role,
    schedule::{Misfire, Overlap, Schedule},
};
use ngb_gateway::{alerts::AlertSettings, timetable::Task};
use ngb_plugins::chain::Chain;
use ngb_store::{Backups, GroupChange, TaskDoes};
use tokio::sync::watch;

use crate::stage::{Actor, Setting, Stage, asked, place};

const NOON: Timestamp = Timestamp(1_795_348_800_000);

/// How often the gateway looks.
const LOOK: Duration = Duration::from_secs(30);

/// Long enough for what a look says to get to the platform.
const MOMENT: Duration = Duration::from_millis(100);

/// An agent that can't answer what is called `hard`.
async fn plain(mut actor: Actor) {
    while let Some(frame) = actor.hear().await {
        let ToAgent::Prompt(prompt) = frame else { continue };
        if asked(&prompt) == "hard" {
            let (failure, reason) = (Failure::Permanent, "too hard".to_owned());
            let outcome = Outcome::Failed { failure, reason };
            let prompts = vec![prompt.id];
            actor.say(&FromAgent::Done { prompts, outcome, session: None }).await;
        } else {
            actor.done(prompt.id, "done").await;
        }
    }
}

/// A stage whose chat `ops` is told of alerts.
async fn set() -> (Stage, watch::Sender<Timestamp>) {
    set_with(Chain::default()).await
}

async fn set_with(plugins: Chain) -> (Stage, watch::Sender<Timestamp>) {
    let (hand, clock) = Clock::manual(NOON);
    let to = vec![place("ops").jid];
    let alerts = AlertSettings { to, account_after: LOOK, short_percent: 0 };
    let setting = Setting { clock, alerts, plugins, ..Setting::default() };
    (Stage::set(setting, plain).await, hand)
}

/// Moves the clock until something is said to the operators; whatever else is said meanwhile is passed over.
async fn told(stage: &mut Stage, hand: &watch::Sender<Timestamp>) -> String {
    loop {
        hand.send_modify(|now| *now = *now + LOOK);
        // A look is over when its alerts are said, and there may be none.
        while let Some((chat, text)) = stage.heard_within(MOMENT).await {
            if chat == "ops" {
                return text;
            }
        }
    }
}

async fn keys(stage: &Stage) -> Vec<String> {
    stage.gateway.alerts().await.into_iter().map(|it| it.key).collect()
}

#[tokio::test]
async fn dead_letters_are_told_when_they_come_and_when_they_are_gone() {
    let (mut stage, hand) = set().await;
    stage.group("home", "1", Scope::Thread).await;
    stage.write("1", "hard").await;
    assert!(stage.heard().await.1.starts_with("I could not answer"));
    let text = told(&mut stage, &hand).await;
    assert_eq!(
        text,
        "Alert: 1 messages or tasks were given up. `nanogridbot dead list` shows them; requeue or drop them."
    );
    assert_eq!(keys(&stage).await, ["dead-letters"]);
    stage.gateway.discard(JobId(1)).await.unwrap();
    assert_eq!(told(&mut stage, &hand).await, "Over: 1 messages or tasks were given up.");
    assert!(keys(&stage).await.is_empty());
}

#[tokio::test]
async fn a_budget_is_told_near_its_end_and_at_it() {
    let (mut stage, hand) = set().await;
    let group = stage.group("home", "1", Scope::Thread).await;
    let limits = Limits { runs_per_day: 5, ..Limits::default() };
    let change = GroupChange { limits: Some(limits), ..GroupChange::default() };
    stage.gateway.change_group(group, change).await.unwrap();
    for n in 0..4 {
        stage.write("1", &n.to_string()).await;
        assert_eq!(stage.heard().await.1, "done");
    }
    let text = told(&mut stage, &hand).await;
    assert!(text.starts_with("Alert: Group `home` used 4 of 5 runs of today."), "{text}");
    assert_eq!(keys(&stage).await, ["budget-near:runs:home"]);
    stage.write("1", "and the last").await;
    assert_eq!(stage.heard().await.1, "done");
    let text = told(&mut stage, &hand).await;
    assert!(text.starts_with("Alert: Group `home` used 5 of 5 runs of today."), "{text}");
    assert_eq!(told(&mut stage, &hand).await, "Over: Group `home` used 4 of 5 runs of today.");
}

#[tokio::test]
async fn a_task_that_fails_each_time_is_told() {
    let (mut stage, hand) = set().await;
    let group = stage.group("home", "1", Scope::Thread).await;
    let task = Task {
        group,
        does: TaskDoes::Think,
        text: "hard".into(),
        schedule: Schedule::every(Duration::from_secs(60)).unwrap(),
        misfire: Misfire::Once,
        overlap: Overlap::Queue,
        jitter_ms: 0,
        place: Some(place("1")),
        isolated: true,
        role: Role::Member,
        made_by: "Ann".into(),
    };
    stage.gateway.add_task(task).await.unwrap();
    loop {
        let text = told(&mut stage, &hand).await;
        if text.starts_with("Alert: Task 1 is paused: it failed 5 times in a row.") {
            break;
        }
    }
    assert!(keys(&stage).await.contains(&"task-failed:1".to_owned()));
}

#[tokio::test]
async fn an_account_that_can_not_send_is_never_told_through_itself() {
    let (hand, clock) = Clock::manual(NOON);
    let alerts = AlertSettings { to: Vec::new(), account_after: LOOK, short_percent: 0 };
    let mut stage = Stage::set(Setting { clock, alerts, ..Setting::default() }, plain).await;
    // The main group has a chat on the platform, and the page.
    stage.group("main", "ops", Scope::Thread).await;
    stage.group("home", "1", Scope::Thread).await;
    *stage.platform.faults.lock().unwrap() = vec![Retry::Never];
    stage.write("1", "hi").await;
    let account = place("1").jid.account().clone();
    let failed = |stage: &Stage| {
        let all = stage.gateway.accounts();
        all.iter().any(|it| it.account == account && it.can_send == Some(false))
    };
    while !failed(&stage) {
        tokio::task::yield_now().await;
    }
    let told = async |stage: &Stage| {
        let all = stage.gateway.alerts().await;
        all.iter().any(|it| it.key.starts_with("account:") && it.open.told_at.is_some())
    };
    while !told(&stage).await {
        hand.send_modify(|now| *now = *now + LOOK);
        let said = stage.heard_within(MOMENT).await;
        assert_eq!(said, None, "it can't be said through the account that is down");
    }
    assert_eq!(keys(&stage).await, ["account:telegram@main"]);
    let to = stage.gateway.test_alert().await.unwrap();
    assert_eq!(to.iter().map(ToString::to_string).collect::<Vec<_>>(), ["web@main:main"]);
    // What is muted is shown, and not told.
    let until = NOON + Duration::from_secs(24 * 60 * 60);
    stage.gateway.mute_alert("account:telegram@main", until).await.unwrap();
    let all = stage.gateway.alerts().await;
    let account = all.iter().find(|it| it.key.starts_with("account:")).unwrap();
    assert_eq!(account.muted_until, Some(until));
}

#[tokio::test]
async fn a_backup_that_fails_or_is_late_is_told() {
    const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
    let (mut stage, hand) = set().await;
    let store = stage.gateway.store().clone();
    let made_at = Some(NOON - Duration::from_secs(3_600));
    let good = Backups { every_ms: DAY_MS, since: NOON, made_at, failed: None };
    let bad = Backups { failed: Some((NOON, "no room".to_owned())), ..good.clone() };
    store.note_backups(Some(&bad)).await.unwrap();
    let said = told(&mut stage, &hand).await;
    assert!(
        said.starts_with("Alert: The backup of ") && said.contains("failed: no room"),
        "{said}"
    );
    store.note_backups(Some(&good)).await.unwrap();
    assert!(told(&mut stage, &hand).await.starts_with("Over: The backup of "));
    let late = Backups { made_at: Some(NOON - Duration::from_secs(2 * 86_400)), ..good };
    store.note_backups(Some(&late)).await.unwrap();
    assert!(told(&mut stage, &hand).await.starts_with("Alert: The latest backup is of "));
    store.note_backups(None).await.unwrap();
    assert!(told(&mut stage, &hand).await.starts_with("Over: The latest backup is of "));
}

#[tokio::test]
async fn a_plugin_that_is_switched_off_is_told() {
    let wrong = serde_json::json!({"rules": "none"});
    let plugins = Chain::new(vec![crate::plugins::plugin("auto_reply", wrong)]);
    let (mut stage, hand) = set_with(plugins).await;
    stage.group("home", "1", Scope::Thread).await;
    for n in 0..3 {
        stage.write("1", &format!("{n}")).await;
        assert_eq!(stage.heard().await, ("1".into(), "done".into()));
    }
    let said = told(&mut stage, &hand).await;
    assert!(said.starts_with("Alert: Plugin `auto_reply` failed too often in a row"), "{said}");
    let lines = stage.gateway.plugin_lines(0, Some("auto_reply"));
    assert_eq!(
        lines.iter().map(|it| it.level).collect::<Vec<_>>(),
        ["warn", "warn", "warn", "error"]
    );
    assert_eq!(stage.gateway.plugin_lines(lines[2].number, None).len(), 1);
}
