//! What an agent may know of the gateway, and do about tasks. Its group is that of its connection, its rights are those of
//! the prompt's people; the main group sees all.

use ngb_core::{
    clock::Timestamp,
    frame::{HostCall, TaskWish},
    id::TaskId,
    price::Money,
    role::{Right, Role},
    schedule::{Misfire, Overlap, Schedule, ScheduleError, Zone, parse_interval},
    text::shorten,
};
use ngb_store::{CallEffect, MessageFilter, StoreError, TaskChange, TaskDoes, TaskRow, TaskState};
use serde_json::{Value, json};
use tracing::error;

use crate::{
    reach,
    timetable::{MAX_TASKS, Task},
    turn::Turn,
};

/// Messages that a search gives.
const MAX_FOUND: u32 = 20;

/// Characters of each of them.
const MAX_FOUND_CHARS: usize = 500;

/// Longest text that is searched for, in characters.
const MAX_SOUGHT_CHARS: usize = 200;

/// Answers a call that changes nothing, or says why not.
pub(crate) async fn look_up(turn: &Turn<'_>, what: &HostCall) -> Result<Value, String> {
    match what {
        HostCall::ListTasks => list_tasks(turn).await,
        HostCall::SearchMessages { text, whole_group } => search(turn, text, *whole_group).await,
        HostCall::ListGroups => list_groups(turn),
        HostCall::Refresh => reach::refresh(turn).await,
        HostCall::Usage => usage(turn).await,
        HostCall::SendMessage { .. }
        | HostCall::SendFile { .. }
        | HostCall::React { .. }
        | HostCall::ScheduleTask { .. }
        | HostCall::AddTask { .. }
        | HostCall::ChangeTask { .. }
        | HostCall::UpdateTask { .. }
        | HostCall::RegisterGroup { .. }
        | HostCall::Approve { .. }
        | HostCall::Ask { .. } => Err("it is no question".to_owned()),
    }
}

fn role(turn: &Turn<'_>) -> Role {
    turn.work.jobs[0].role
}

pub(crate) fn need(turn: &Turn<'_>, right: Right) -> Result<(), String> {
    let role = role(turn);
    if role.may(right) {
        return Ok(());
    }
    Err(format!("a {role} may not: to {} one has to be a {}", right.describe(), right.least()))
}

pub(crate) fn unreadable(err: StoreError) -> String {
    error!("could not answer an agent: {:#}", anyhow::Error::from(err));
    "the gateway could not read; try again".to_owned()
}

async fn list_tasks(turn: &Turn<'_>) -> Result<Value, String> {
    need(turn, Right::Command)?;
    let group = (!turn.group.is_main).then_some(turn.group.id);
    let tasks = turn.shared().store.tasks(group).await.map_err(unreadable)?;
    let open = |it: &TaskRow| matches!(it.state, TaskState::Active | TaskState::Paused);
    let snapshot = turn.shared().directory.snapshot();
    let shown = |it: TaskRow| {
        let zone = it.task.schedule.zone();
        json!({
            "task": it.id,
            "group": snapshot.group(it.task.group).map(|it| it.name.to_string()),
            "text": shorten(&it.task.text, MAX_FOUND_CHARS),
            "schedule": format!("{} {}", it.task.schedule.kind(), it.task.schedule.value()),
            "state": it.state.as_str(),
            "note": it.note,
            "next": it.next_at.map(|at| zone.show(at)),
        })
    };
    Ok(tasks.into_iter().filter(open).map(shown).collect())
}

async fn search(turn: &Turn<'_>, text: &str, whole_group: bool) -> Result<Value, String> {
    let text = text.trim();
    if text.is_empty() || MAX_SOUGHT_CHARS < text.chars().count() {
        return Err(format!("the text has 1 to {MAX_SOUGHT_CHARS} characters"));
    }
    // What a lane knows stays in it, but for those who belong to the group.
    let mut filter = MessageFilter { limit: MAX_FOUND, ..MessageFilter::default() };
    if whole_group {
        need(turn, Right::Command)?;
        filter.group = Some(turn.claim.group);
    } else {
        filter.lane = Some(turn.claim.lane);
    }
    let found = turn.shared().store.search(filter, text).await.map_err(unreadable)?;
    let zone = zone(turn)?;
    let shown = |it: ngb_store::StoredMessage| {
        json!({
            "message": it.id,
            "at": zone.show(it.received_at),
            "from": if it.sender_name.is_empty() { it.author.as_str().to_owned() } else { it.sender_name },
            "text": shorten(&it.content.text, MAX_FOUND_CHARS),
        })
    };
    Ok(found.into_iter().map(shown).collect())
}

/// Refuses what only the main group's agent may.
pub(crate) fn main_only(turn: &Turn<'_>) -> Result<(), String> {
    if turn.group.is_main {
        return Ok(());
    }
    Err("only the agent of the main group may see and change the other groups".to_owned())
}

fn list_groups(turn: &Turn<'_>) -> Result<Value, String> {
    need(turn, Right::Command)?;
    main_only(turn)?;
    let snapshot = turn.shared().directory.snapshot();
    let mut groups: Vec<_> = snapshot.groups().collect();
    groups.sort_by_key(|it| it.id);
    let shown = |it: &ngb_core::group::Group| {
        let chats: Vec<String> =
            snapshot.bindings_of(it.id).map(|it| it.place.to_string()).collect();
        json!({ "name": it.name, "folder": it.folder, "main": it.is_main, "chats": chats })
    };
    Ok(groups.into_iter().map(shown).collect())
}

async fn usage(turn: &Turn<'_>) -> Result<Value, String> {
    let shared = turn.shared();
    let today = shared.clock.now().day_start();
    let used = shared.store.used_today(turn.group.id, today).await.map_err(unreadable)?;
    let limits = &turn.group.limits;
    Ok(json!({
        "runs": used.runs, "runs_per_day": limits.runs_per_day,
        "tokens": used.tokens, "tokens_per_day": limits.tokens_per_day,
        "cost": Money { micros: used.cost_micros }, "cost_per_day": limits.cost_per_day,
    }))
}

fn zone(turn: &Turn<'_>) -> Result<Zone, String> {
    turn.shared().limits.zone.parse().map_err(|err: ScheduleError| err.to_string())
}

/// When something is to happen: of cron, interval and instant, one.
type When<'a> = (Option<&'a str>, Option<&'a str>, Option<&'a str>);

/// A task that an agent wants.
pub(crate) struct NewWish<'a> {
    pub(crate) text: &'a str,
    pub(crate) say: bool,
    pub(crate) to: Option<&'a str>,
    pub(crate) isolated: bool,
}

/// A task that the agent wants, in the place of its prompt or in another one that it may write to.
pub(crate) async fn new_task(
    turn: &Turn<'_>,
    wish: NewWish<'_>,
    when: When<'_>,
) -> Result<CallEffect, String> {
    need(turn, Right::Schedule)?;
    let now = turn.shared().clock.now();
    let schedule = schedule(when, zone(turn)?, now)?;
    let (group, place) = match wish.to {
        Some(to) => reach::destination(turn, to)?,
        None => (turn.group.id, turn.place().clone()),
    };
    let all = turn.shared().store.tasks(Some(group)).await.map_err(unreadable)?;
    if MAX_TASKS <= all.len() {
        return Err(format!("the group has {MAX_TASKS} tasks already; cancel some first"));
    }
    let task = Task {
        group,
        does: if wish.say { TaskDoes::Say } else { TaskDoes::Think },
        text: wish.text.to_owned(),
        schedule,
        misfire: Misfire::Once,
        overlap: Overlap::Skip,
        jitter_ms: 0,
        place: Some(place),
        isolated: wish.isolated,
        role: role(turn),
        made_by: format!("agent of group {}", turn.group.name),
    };
    let new = turn.gateway.new_task(task).map_err(|err| err.to_string())?;
    Ok(CallEffect::AddTask(Box::new(new)))
}

fn schedule(when: When<'_>, zone: Zone, now: Timestamp) -> Result<Schedule, String> {
    let schedule = match when {
        (Some(cron), None, None) => Schedule::cron(cron, zone, now),
        (None, Some(every), None) => parse_interval(every).and_then(Schedule::every),
        (None, None, Some(at)) => zone.instant(at).and_then(|at| Schedule::once(at, now)),
        _ => return Err("give exactly one of `cron`, `every` and `at`".to_owned()),
    };
    schedule.map_err(|err| err.to_string())
}

/// Another state of a task that the agent may touch.
pub(crate) async fn change_task(
    turn: &Turn<'_>,
    id: TaskId,
    to: TaskWish,
) -> Result<CallEffect, String> {
    let row = own_task(turn, id).await?;
    let change = match (to, row.state) {
        (TaskWish::Pause, TaskState::Active) => TaskChange::Pause { note: None },
        (TaskWish::Resume, TaskState::Paused) => {
            let next_at = row.task.schedule.next_after(turn.shared().clock.now());
            TaskChange::Resume { next_at: next_at.ok_or("it never fires")? }
        }
        (TaskWish::Cancel, TaskState::Active | TaskState::Paused) => TaskChange::Cancel,
        (_, state) => return Err(format!("task {id} is {}", state.as_str())),
    };
    Ok(CallEffect::ChangeTask(id, change))
}

/// Another text, or another schedule, of a task that the agent may touch.
pub(crate) async fn update_task(
    turn: &Turn<'_>,
    id: TaskId,
    text: Option<&str>,
    when: When<'_>,
) -> Result<CallEffect, String> {
    let row = own_task(turn, id).await?;
    if row.state == TaskState::Cancelled {
        return Err(format!("task {id} is {}", row.state.as_str()));
    }
    let old = row.task;
    let schedule = match when {
        (None, None, None) if text.is_none() => {
            return Err("say what is to be another: `text`, or one of `cron`, `every`, `at`".into());
        }
        (None, None, None) => old.schedule,
        // It is in the zone that it was made in.
        _ => schedule(when, old.schedule.zone().clone(), turn.shared().clock.now())?,
    };
    let task = Task {
        group: old.group,
        does: old.does,
        text: text.map_or(old.text, str::to_owned),
        schedule,
        misfire: old.misfire,
        overlap: old.overlap,
        jitter_ms: old.jitter_ms,
        place: Some(old.place),
        isolated: old.lane_key.is_none(),
        role: old.role,
        made_by: old.made_by,
    };
    let new = turn.gateway.new_task(task).map_err(|err| err.to_string())?;
    Ok(CallEffect::ChangeTask(id, TaskChange::Replace(Box::new(new))))
}

/// A task that the agent may touch. Of one that it may not it learns nothing.
async fn own_task(turn: &Turn<'_>, id: TaskId) -> Result<TaskRow, String> {
    need(turn, Right::Schedule)?;
    let found = turn.shared().store.task(id).await.map_err(unreadable)?;
    let may = |it: &TaskRow| turn.group.is_main || it.task.group == turn.group.id;
    let row = found.filter(may).ok_or_else(|| format!("there is no task {id} here"))?;
    // Nobody has somebody else's rights used by a task of theirs.
    if role(turn) < row.task.role {
        return Err(format!(
            "task {id} is of a {}, and this was asked by a {}",
            row.task.role,
            role(turn)
        ));
    }
    Ok(row)
}
