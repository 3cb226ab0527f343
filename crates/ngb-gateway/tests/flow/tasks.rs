//! What is scheduled, as a chat transcript.

use ngb_core::{
    clock::{Clock, Timestamp},
    frame::ToAgent,
    group::Scope,
    id::GroupId,
    role::Role,
    schedule::{Misfire, Overlap, Schedule},
};
use ngb_gateway::timetable::{Task, TaskError};
use ngb_store::{TaskDoes, TaskState};

use super::{
    echo,
    stage::{Actor, Setting, Stage, asked, place},
};

/// A task that is due at once.
fn once(group: GroupId, text: &str) -> Task {
    Task {
        group,
        does: TaskDoes::Think,
        text: text.into(),
        schedule: Schedule::Once(Clock::System.now()),
        misfire: Misfire::Once,
        overlap: Overlap::Skip,
        jitter_ms: 0,
        place: None,
        isolated: false,
        role: Role::Member,
        made_by: "Ann".into(),
    }
}

#[tokio::test]
async fn a_task_is_done_by_the_agent_and_answered_in_its_chat() {
    let mut stage = Stage::set(Setting::default(), echo).await;
    let group = stage.group("home", "1", Scope::Thread).await;
    let task = stage.gateway.add_task(once(group, "look at the news")).await.unwrap();
    assert_eq!(task.task.place, place("1"), "the only chat of the group on a platform");
    assert_eq!(stage.heard().await, ("1".into(), "you said look at the news".into()));
    let row = stage.gateway.task(task.id).await.unwrap();
    assert_eq!((row.state, row.next_at), (TaskState::Done, None));
    stage.end().await;
}

/// The agent of this stage ends at once, so that nothing but the text itself can be said.
#[tokio::test]
async fn a_reminder_needs_no_agent() {
    let mut stage = Stage::set(Setting::default(), async |_: Actor| ()).await;
    let group = stage.group("home", "1", Scope::Thread).await;
    let task = Task { does: TaskDoes::Say, ..once(group, "tea is ready") };
    stage.gateway.add_task(task).await.unwrap();
    assert_eq!(stage.heard().await, ("1".into(), "tea is ready".into()));
}

#[tokio::test]
async fn the_agent_is_told_that_the_clock_asks() {
    let script = async |mut actor: Actor| {
        while let Some(ToAgent::Prompt(prompt)) = actor.hear().await {
            let message = &prompt.messages[0];
            let text =
                format!("{}: {}, {}", message.sender_id, asked(&prompt), prompt.session.is_none());
            actor.done(prompt.id, &text).await;
        }
    };
    let mut stage = Stage::set(Setting::default(), script).await;
    let group = stage.group("home", "1", Scope::Thread).await;
    let task = Task { isolated: true, ..once(group, "count") };
    let task = stage.gateway.add_task(task).await.unwrap();
    assert_eq!(stage.heard().await.1, format!("task:{}: count, true", task.id));
}

#[tokio::test]
async fn what_is_no_task_is_refused() {
    let stage = Stage::set(Setting::default(), echo).await;
    let group = stage.group("home", "1", Scope::Thread).await;
    let refused = async |task: Task| stage.gateway.add_task(task).await.unwrap_err().to_string();
    assert_eq!(refused(once(group, " ")).await, TaskError::Empty.to_string());
    let long = once(group, &"x".repeat(20_000));
    assert_eq!(refused(long).await, TaskError::TooLong(20_000).to_string());
    let elsewhere = Task { place: Some(place("9")), ..once(group, "hi") };
    assert_eq!(refused(elsewhere).await, TaskError::NotBound(place("9")).to_string());
    let never = Schedule::stored("cron", "0 0 31 2 *", "UTC").unwrap();
    assert_eq!(
        refused(Task { schedule: never, ..once(group, "hi") }).await,
        TaskError::Never.to_string()
    );
    assert_eq!(refused(once(GroupId(99), "hi")).await, "there is no group `99`");
    assert_eq!(stage.gateway.store().next_task_at().await.unwrap(), None::<Timestamp>);
}
