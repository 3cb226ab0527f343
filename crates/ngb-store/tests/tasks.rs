//! Tasks: each slot is fired once, whoever looks, and what was missed follows the task's own rule.
#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]

mod common;

use std::time::Duration;

use common::*;
use ngb_core::{
    clock::Timestamp,
    id::{GroupId, TaskId},
    job::JobState,
    role::Role,
    schedule::{Misfire, Overlap, Schedule},
};
use ngb_store::*;

on_both!(
    a_slot_is_fired_once,
    two_nodes_fire_once,
    what_was_missed_follows_the_policy,
    a_fire_that_finds_the_one_before,
    a_fire_that_ends_the_one_before,
    it_is_paused_after_five_failures,
    a_task_of_its_own_begins_anew,
    paused_resumed_changed_cancelled,
    a_thousand_in_one_second,
);

const MINUTE: Duration = Duration::from_secs(60);

fn minutes(n: u32) -> Timestamp {
    T0 + MINUTE * n
}

/// A task that fires each minute from the first one on.
fn each_minute(group: GroupId) -> NewTask {
    NewTask {
        group,
        does: TaskDoes::Think,
        text: "look at the news".into(),
        schedule: Schedule::every(MINUTE).unwrap(),
        misfire: Misfire::Once,
        overlap: Overlap::Queue,
        jitter_ms: 0,
        place: place("1"),
        lane_key: Some("telegram@main:1".into()),
        role: Role::Member,
        made_by: "Ann".into(),
        next_at: minutes(1),
    }
}

/// Claims what is due at `now` and ends it so; returns how many jobs there were.
async fn work(fix: &Fix, now: Timestamp, end: &JobState) -> usize {
    let mut jobs = 0;
    loop {
        let claims = fix.store.claim(10, now, now + LEASE).await.unwrap().claims;
        if claims.is_empty() {
            return jobs;
        }
        for claim in claims {
            let work = fix.store.work(&claim).await.unwrap();
            jobs += work.jobs.len();
            fix.store.finish(finish(claim, &work, now, end)).await.unwrap();
        }
    }
}

fn finish(claim: Claim, work: &Work, now: Timestamp, end: &JobState) -> Finish {
    Finish {
        claim,
        now,
        jobs: work.jobs.iter().map(|it| (it.id, end.clone(), it.tries)).collect(),
        answer: None,
        outbox: vec![],
        session: None,
        usage: vec![],
        error: None,
        context_given: false,
        decisions: vec![],
    }
}

async fn slots(fix: &Fix, task: TaskId) -> Vec<i64> {
    let fires = fix.store.fires(task, 100).await.unwrap();
    let mut res: Vec<i64> = fires.iter().map(|it| (it.slot_at.0 - T0.0) / 60_000).collect();
    res.reverse();
    res
}

async fn a_slot_is_fired_once(fix: Fix) {
    let group = fix.group("home").await;
    let task = fix.store.add_task(each_minute(group)).await.unwrap();
    assert_eq!(fix.store.next_task_at().await.unwrap(), Some(minutes(1)));
    assert_eq!(fix.store.fire_tasks(T0, 10).await.unwrap(), Fired::default(), "not yet");
    let now = minutes(1) + Duration::from_millis(5);
    assert_eq!(fix.store.fire_tasks(now, 10).await.unwrap().jobs, 1);
    assert_eq!(fix.store.fire_tasks(now, 10).await.unwrap().jobs, 0, "it is fired already");
    assert_eq!(fix.store.next_task_at().await.unwrap(), Some(minutes(2)), "it keeps its beat");

    let claim = fix.store.claim(1, now, now + LEASE).await.unwrap().claims[0];
    let work = fix.store.work(&claim).await.unwrap();
    let slot_at = minutes(1);
    let kind = JobKind::Task { task, text: "look at the news".into(), slot_at };
    assert_eq!((&work.jobs[0].kind, work.jobs[0].role), (&kind, Role::Member));
    fix.store.finish(finish(claim, &work, now, &JobState::Done)).await.unwrap();
    let fires = fix.store.fires(task, 10).await.unwrap();
    assert_eq!(fires.len(), 1);
    assert_eq!((fires[0].slot_at, fires[0].state.as_deref()), (slot_at, Some("done")));
    assert_eq!((fires[0].began_at, fires[0].ended_at), (Some(now), Some(now)));
}

async fn two_nodes_fire_once(fix: Fix) {
    let group = fix.group("home").await;
    let task = fix.store.add_task(each_minute(group)).await.unwrap();
    if fix.store.is_sqlite() {
        return; // The lock on the home keeps a second node away.
    }
    let other = another(&fix.dir, &fix.url, &fix.clock, "node-2").await.unwrap();
    for n in 1..=20 {
        let (a, b) =
            tokio::join!(fix.store.fire_tasks(minutes(n), 10), other.fire_tasks(minutes(n), 10),);
        assert_eq!(a.unwrap().jobs + b.unwrap().jobs, 1, "minute {n}");
    }
    assert_eq!(slots(&fix, task).await, (1..=20).collect::<Vec<i64>>());
}

async fn what_was_missed_follows_the_policy(fix: Fix) {
    let group = fix.group("home").await;
    let mut ids = Vec::new();
    for misfire in [Misfire::Skip, Misfire::Once, Misfire::All] {
        ids.push(fix.store.add_task(NewTask { misfire, ..each_minute(group) }).await.unwrap());
    }
    let now = minutes(4) + Duration::from_millis(70_000);
    fix.store.fire_tasks(now, 10).await.unwrap();
    for (id, want, missed) in
        [(ids[0], vec![5], 4), (ids[1], vec![5], 4), (ids[2], vec![1, 2, 3, 4, 5], 0)]
    {
        assert_eq!(slots(&fix, id).await, want, "task {id}");
        assert_eq!(fix.store.task(id).await.unwrap().unwrap().missed, missed, "task {id}");
    }
    // An hour later the latest one is too late for `skip`, whose grace is a minute.
    let hourly = Schedule::every(MINUTE * 60).unwrap();
    let late = NewTask { schedule: hourly, misfire: Misfire::Skip, ..each_minute(group) };
    let late = fix.store.add_task(late).await.unwrap();
    fix.store.fire_tasks(minutes(30), 10).await.unwrap();
    assert_eq!(slots(&fix, late).await, Vec::<i64>::new());
    assert_eq!(fix.store.task(late).await.unwrap().unwrap().next_at, Some(minutes(61)));
}

async fn a_fire_that_finds_the_one_before(fix: Fix) {
    let group = fix.group("home").await;
    let of = |overlap| NewTask { overlap, ..each_minute(group) };
    let queue = fix.store.add_task(of(Overlap::Queue)).await.unwrap();
    let skip = fix.store.add_task(of(Overlap::Skip)).await.unwrap();
    let replace = fix.store.add_task(of(Overlap::Replace)).await.unwrap();
    fix.store.fire_tasks(minutes(1), 10).await.unwrap();
    // One of them runs; all are in one lane.
    let claim = fix.store.claim(1, minutes(1), minutes(2)).await.unwrap().claims[0];
    let running = fix.store.work(&claim).await.unwrap().jobs[0].kind.clone();
    assert!(matches!(running, JobKind::Task { task, .. } if task == queue));
    let fired = fix.store.fire_tasks(minutes(2), 10).await.unwrap();
    assert_eq!((fired.jobs, fired.replaced), (2, vec![]), "one waits, one took the place");
    let states = async |task| {
        let fires = fix.store.fires(task, 10).await.unwrap();
        fires
            .iter()
            .rev()
            .map(|it| it.state.clone().or(it.skipped.clone()).unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(states(queue).await, ["running", "queued"]);
    assert_eq!(states(skip).await, ["queued", "the fire before was still at work"]);
    assert_eq!(states(replace).await, ["cancelled", "queued"]);
}

async fn a_fire_that_ends_the_one_before(fix: Fix) {
    let group = fix.group("home").await;
    let task = NewTask { overlap: Overlap::Replace, ..each_minute(group) };
    fix.store.add_task(task).await.unwrap();
    fix.store.fire_tasks(minutes(1), 10).await.unwrap();
    let claim = fix.store.claim(1, minutes(1), minutes(3)).await.unwrap().claims[0];
    let fired = fix.store.fire_tasks(minutes(2), 10).await.unwrap();
    assert_eq!((fired.jobs, fired.replaced), (1, vec![claim.lane]));
}

async fn it_is_paused_after_five_failures(fix: Fix) {
    let group = fix.group("home").await;
    let task = fix.store.add_task(each_minute(group)).await.unwrap();
    let dead = JobState::Dead { reason: "no model".into() };
    for n in 1..=5 {
        assert_eq!(fix.store.fire_tasks(minutes(n), 10).await.unwrap().jobs, 1, "minute {n}");
        assert_eq!(work(&fix, minutes(n), &dead).await, 1);
    }
    let fired = fix.store.fire_tasks(minutes(6), 10).await.unwrap();
    assert_eq!((fired.jobs, fired.paused), (0, vec![task]));
    let row = fix.store.task(task).await.unwrap().unwrap();
    assert_eq!((row.state, row.next_at), (TaskState::Paused, None));
    assert!(row.note.unwrap().contains("5 times"));
    // Resumed, it has all its tries again.
    fix.hand.send_replace(minutes(7));
    let next_at = minutes(8);
    fix.store.change_task(task, TaskChange::Resume { next_at }).await.unwrap();
    assert_eq!(fix.store.fire_tasks(minutes(8), 10).await.unwrap().jobs, 1);
}

async fn a_task_of_its_own_begins_anew(fix: Fix) {
    let group = fix.group("home").await;
    let task = NewTask { lane_key: None, ..each_minute(group) };
    fix.store.add_task(task).await.unwrap();
    for n in 1..=2 {
        fix.store.fire_tasks(minutes(n), 10).await.unwrap();
        let claim = fix.store.claim(1, minutes(n), minutes(n) + LEASE).await.unwrap().claims[0];
        let work = fix.store.work(&claim).await.unwrap();
        assert_eq!((work.lane_key.as_str(), &work.session), ("task:1", &None));
        let session = Some(ngb_core::frame::SessionMark { id: "s".into(), entries: 4 });
        let end = Finish { session, ..finish(claim, &work, minutes(n), &JobState::Done) };
        fix.store.finish(end).await.unwrap();
    }
}

async fn paused_resumed_changed_cancelled(fix: Fix) {
    let group = fix.group("home").await;
    let task = fix.store.add_task(each_minute(group)).await.unwrap();
    fix.store.fire_tasks(minutes(1), 10).await.unwrap();
    fix.store.change_task(task, TaskChange::Pause { note: None }).await.unwrap();
    assert_eq!(fix.store.fire_tasks(minutes(2), 10).await.unwrap().jobs, 0);
    let err = fix.store.change_task(task, TaskChange::Pause { note: None }).await.unwrap_err();
    assert!(matches!(err, StoreError::NotFound { .. }));
    fix.store.change_task(task, TaskChange::Resume { next_at: minutes(10) }).await.unwrap();
    let new = NewTask { text: "other news".into(), next_at: minutes(12), ..each_minute(group) };
    fix.store.change_task(task, TaskChange::Replace(Box::new(new))).await.unwrap();
    let row = fix.store.task(task).await.unwrap().unwrap();
    assert_eq!((row.task.text.as_str(), row.next_at), ("other news", Some(minutes(12))));
    fix.store.fire_now(task, minutes(11)).await.unwrap();
    fix.store.fire_now(task, minutes(11)).await.unwrap();
    assert_eq!(slots(&fix, task).await, [1, 11]);
    fix.store.change_task(task, TaskChange::Cancel).await.unwrap();
    assert_eq!(work(&fix, minutes(11), &JobState::Done).await, 0, "what waited is cancelled too");
    assert_eq!(fix.store.tasks(Some(group)).await.unwrap(), []);
    assert_eq!(fix.store.next_task_at().await.unwrap(), None);
}

async fn a_thousand_in_one_second(fix: Fix) {
    let group = fix.group("home").await;
    for _ in 0..1_000 {
        fix.store.add_task(each_minute(group)).await.unwrap();
    }
    let mut jobs = 0;
    loop {
        let fired = fix.store.fire_tasks(minutes(1), 500).await.unwrap();
        jobs += fired.jobs;
        if !fired.more {
            break;
        }
    }
    assert_eq!(jobs, 1_000);
}
