//! Steps of tasks. A task has no name: it is the one that is the same, else the one that differs least.

use ngb_core::{
    clock::Timestamp,
    schedule::{Schedule, ScheduleError, Zone, parse_interval},
};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    document::{Document, Task},
    export::Now,
    plan::{Step, call, group_path},
};
use crate::cli::BadArgument;

pub(super) fn plan(
    wanted: &Document,
    now: &Now,
    when: (&str, Timestamp),
    prune: bool,
    steps: &mut Vec<Step>,
) -> Result<(), BadArgument> {
    let mut open: Vec<(&Task, i64)> =
        now.document.tasks.iter().zip(now.tasks.iter().copied()).collect();
    let mut rest = Vec::new();
    for task in &wanted.tasks {
        let is_there = |all: &Document| all.groups.iter().any(|it| it.folder == task.group);
        if !is_there(wanted) && !is_there(&now.document) {
            let why = format!("a task is of the group `{}`, which is not there", task.group);
            return Err(BadArgument(why));
        }
        rest.push(
            plain(task, when.0)
                .map_err(|err| BadArgument(format!("the task `{}`: {err}", title(task))))?,
        );
    }
    // Those that are the same first, so that none of them is taken for another that changed.
    rest.retain(|task| take(&mut open, |it| is_met(task, it)).is_none());
    let alike: [fn(&Task, &Task) -> bool; 2] = [
        |a, b| a.group == b.group && a.prompt == b.prompt,
        |a, b| {
            let key = |it: &Task| (it.schedule_type.clone(), it.schedule_value.clone());
            a.group == b.group && key(a) == key(b) && a.chat.is_some() && a.chat == b.chat
        },
    ];
    for alike in alike {
        rest.retain(|task| match take(&mut open, |it| alike(task, it)) {
            Some((old, id)) => {
                steps.push(change(task, old, id, now));
                false
            }
            None => true,
        });
    }
    for task in &rest {
        steps.push(match passed(task, when.1) {
            true => Step::new(
                '!',
                format!("task `{}`: its time has passed, so it is left out", title(task)),
                Vec::new(),
            ),
            false => come(task, now),
        });
    }
    for (task, id) in open {
        let what = format!("task `{}` of `{}`", title(task), task.group);
        steps.push(Step::surplus(what, prune, format!("/api/tasks/{id}"), None));
    }
    Ok(())
}

fn take<'a>(
    open: &mut Vec<(&'a Task, i64)>,
    is_it: impl Fn(&Task) -> bool,
) -> Option<(&'a Task, i64)> {
    let at = open.iter().position(|it| is_it(it.0))?;
    Some(open.remove(at))
}

/// Whether `old` is all that `task` says.
fn is_met(task: &Task, old: &Task) -> bool {
    let mut wanted = Task { note: old.note.clone(), ..task.clone() };
    if wanted.chat.is_none() {
        // Wherever the gateway chose.
        wanted.chat.clone_from(&old.chat);
        wanted.thread.clone_from(&old.thread);
    }
    wanted == *old
}

/// `task` with its schedule as the gateway would say it.
fn plain(task: &Task, zone: &str) -> Result<Task, ScheduleError> {
    let zone: Zone = task.zone.as_deref().unwrap_or(zone).parse()?;
    let schedule = match task.schedule_type.as_str() {
        "interval" => Schedule::every(parse_interval(&task.schedule_value)?)?,
        "once" => Schedule::Once(zone.instant(&task.schedule_value)?),
        kind => Schedule::stored(kind, &task.schedule_value, zone.name())?,
    };
    Ok(Task {
        schedule_value: schedule.value(),
        zone: Some(schedule.zone().name().to_owned()),
        prompt: task.prompt.trim().to_owned(),
        ..task.clone()
    })
}

/// Whether it would never fire.
fn passed(task: &Task, now: Timestamp) -> bool {
    let at = Zone::utc().instant(&task.schedule_value);
    task.schedule_type == "once" && at.is_ok_and(|at| at <= now)
}

fn body(task: &Task, now: &Now) -> Value {
    let path = group_path(&task.group, now);
    json!({
        "group": path.rsplit('/').next(), "prompt": task.prompt, "schedule_type": task.schedule_type,
        "schedule_value": task.schedule_value, "zone": task.zone, "does": task.does,
        "context_mode": task.context_mode, "chat_jid": task.chat, "thread": task.thread,
        "misfire": task.misfire, "overlap": task.overlap, "jitter_s": task.jitter_s, "role": task.role,
        "paused": task.paused, "note": task.note,
    })
}

fn come(task: &Task, now: &Now) -> Step {
    let paused = if task.paused { ", paused" } else { "" };
    let what = format!("task `{}` of `{}`: {}{paused}", title(task), task.group, when(task));
    Step::new('+', what, vec![call(Method::POST, "/api/tasks", Some(body(task, now)))])
}

fn change(task: &Task, old: &Task, id: i64, now: &Now) -> Step {
    let mut calls = Vec::new();
    let same_pause = Task { paused: old.paused, ..task.clone() };
    if !is_met(&same_pause, old) {
        let mut body = body(task, now);
        if let Some(body) = body.as_object_mut() {
            body.remove("paused");
            body.remove("note");
            if task.chat.is_none() {
                body.remove("chat_jid");
                body.remove("thread");
            }
        }
        calls.push(call(Method::PATCH, format!("/api/tasks/{id}"), Some(body)));
    }
    if task.paused != old.paused {
        let what = if task.paused { "pause" } else { "resume" };
        calls.push(call(Method::POST, format!("/api/tasks/{id}/{what}"), Some(json!({}))));
    }
    let (was, is) = (when(old), when(task));
    let how = if was == is { is } else { format!("{was} -> {is}") };
    let pause = match (old.paused, task.paused) {
        (false, true) => ", paused",
        (true, false) => ", goes on",
        _ => "",
    };
    Step::new('~', format!("task `{}` of `{}`: {how}{pause}", title(task), task.group), calls)
}

fn when(it: &Task) -> String {
    format!("{} {} ({})", it.schedule_type, it.schedule_value, it.zone.as_deref().unwrap_or("UTC"))
}

/// Its beginning.
fn title(it: &Task) -> String {
    ngb_core::text::shorten(it.prompt.lines().next().unwrap_or_default(), 40)
}
