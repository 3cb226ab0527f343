//! Tasks over HTTP: the original's field names, and ours beside them.

use std::time::Duration;

use axum::{Json, extract::State};
use ngb_core::{
    address::{Jid, Place},
    clock::Timestamp,
    id::{GroupId, JobId, TaskId},
    role::{Right, Role, role_in},
    schedule::{Misfire, Overlap, Schedule, Zone, parse_interval},
};
use ngb_gateway::{
    handle::HandleError,
    store::{FireRow, TaskDoes, TaskRow},
    timetable::Task,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    App,
    door::Who,
    error::ApiError,
    groups,
    input::{Input, Path, Query},
    shape::Instant,
};

/// Fires that a preview shows unless it is told how many.
const PREVIEW: usize = 20;

/// Most fires of a preview or of a history.
const MAX_FIRES: u32 = 500;

/// Longest jitter, in seconds: a day.
const MAX_JITTER_SECONDS: u32 = 24 * 60 * 60;

/// When something fires, as people write it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(rename = "Schedule")]
#[serde(deny_unknown_fields)]
pub(crate) struct When {
    /// `cron`, `interval` or `once`.
    schedule_type: String,
    /// The expression; `90s`, `15m`, `2h`, `1d`; an instant, or a time in the zone.
    schedule_value: String,
    /// An IANA time zone; default the gateway's own.
    zone: Option<String>,
}

impl When {
    fn schedule(&self, app: &App) -> Result<Schedule, ApiError> {
        let zone: Zone = self.zone.as_deref().unwrap_or(app.gateway.zone()).parse()?;
        let now = app.gateway.clock().now();
        Ok(match self.schedule_type.as_str() {
            "cron" => Schedule::cron(&self.schedule_value, zone, now)?,
            "interval" => Schedule::every(parse_interval(&self.schedule_value)?)?,
            "once" => Schedule::once(zone.instant(&self.schedule_value)?, now)?,
            other => {
                let what = format!("`schedule_type` is `{other}`; known: cron, interval, once");
                return Err(ApiError::bad(what));
            }
        })
    }
}

/// A task as a client describes it.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "NewTask")]
#[serde(deny_unknown_fields)]
pub(crate) struct Draft {
    /// The group's number, name or folder.
    #[serde(alias = "group_folder")]
    group: String,
    prompt: String,
    schedule_type: String,
    schedule_value: String,
    zone: Option<String>,
    /// `group` (default): in the conversation of its chat. `isolated`: each fire begins one of its own.
    #[serde(default)]
    context_mode: Context,
    /// `think` (default): the agent is given the prompt. `say`: the prompt is said, without a model.
    #[serde(default)]
    does: Does,
    #[serde(default)]
    misfire: Misfire,
    #[serde(default)]
    overlap: Overlap,
    #[serde(default)]
    jitter_s: u32,
    #[serde(alias = "target_chat_jid")]
    chat_jid: Option<String>,
    thread: Option<String>,
    /// Whose rights its runs have, one's own at most; default one's own.
    role: Option<Role>,
    /// Whether a new task waits to be resumed before it fires.
    #[serde(default)]
    paused: bool,
    /// Why it is paused.
    note: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Context {
    #[default]
    Group,
    Isolated,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Does {
    #[default]
    Think,
    Say,
}

/// The task of that number, for somebody who has `right` in its group.
async fn find(app: &App, who: &Who, id: TaskId, right: Right) -> Result<TaskRow, ApiError> {
    let row = app.gateway.task(id).await?;
    if !who.may_in(row.task.group, Right::Read) {
        // In the words of one that is not there.
        return Err(HandleError::NoTask(id).into());
    }
    let directory = app.gateway.directory().snapshot();
    if let Some(group) = directory.group(row.task.group) {
        who.need_in(group, right)?;
    }
    Ok(row)
}

fn task(app: &App, who: &Who, draft: Draft) -> Result<Task, ApiError> {
    let group = groups::find_for(app, who, &draft.group, Right::Schedule)?.id;
    if MAX_JITTER_SECONDS < draft.jitter_s {
        return Err(ApiError::bad(format!("`jitter_s` is {MAX_JITTER_SECONDS} at most")));
    }
    let place = match &draft.chat_jid {
        Some(jid) => Some(Place {
            jid: groups::resolve(app, jid)?,
            thread: draft.thread.as_deref().map(Into::into),
        }),
        None => None,
    };
    let own = role_in(&who.roles, group).unwrap_or(Role::Viewer);
    let when = When {
        schedule_type: draft.schedule_type,
        schedule_value: draft.schedule_value,
        zone: draft.zone,
    };
    Ok(Task {
        group,
        does: match draft.does {
            Does::Think => TaskDoes::Think,
            Does::Say => TaskDoes::Say,
        },
        schedule: when.schedule(app)?,
        text: draft.prompt,
        misfire: draft.misfire,
        overlap: draft.overlap,
        jitter_ms: draft.jitter_s * 1_000,
        place,
        isolated: matches!(draft.context_mode, Context::Isolated),
        // Nobody gives a task more than they have.
        role: draft.role.unwrap_or(own).min(own),
        made_by: who.name.clone(),
    })
}

/// A task, as it stands.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Task")]
pub(crate) struct TaskView {
    id: TaskId,
    group: GroupId,
    group_name: Option<String>,
    group_folder: Option<String>,
    prompt: String,
    does: &'static str,
    schedule_type: &'static str,
    schedule_value: String,
    zone: String,
    status: &'static str,
    note: Option<String>,
    next_run: Option<Instant>,
    /// In the task's zone.
    next_run_local: Option<String>,
    last_run: Option<Instant>,
    /// Fires that were left out.
    missed: u64,
    context_mode: &'static str,
    misfire: &'static str,
    overlap: &'static str,
    jitter_s: u32,
    target_chat_jid: Jid,
    thread: Option<String>,
    /// Whose rights its runs have.
    role: Role,
    created_by: String,
    created_at: Instant,
}

fn shown(app: &App, it: &TaskRow) -> TaskView {
    let directory = app.gateway.directory().snapshot();
    let group = directory.group(it.task.group);
    let zone = it.task.schedule.zone();
    TaskView {
        id: it.id,
        group: it.task.group,
        group_name: group.map(|it| it.name.to_string()),
        group_folder: group.map(|it| it.folder.to_string()),
        prompt: it.task.text.clone(),
        does: it.task.does.as_str(),
        schedule_type: it.task.schedule.kind(),
        schedule_value: it.task.schedule.value(),
        zone: zone.name().to_owned(),
        status: it.state.as_str(),
        note: it.note.clone(),
        next_run: it.next_at.map(Instant),
        next_run_local: it.next_at.map(|at| zone.show(at)),
        last_run: it.last_at.map(Instant),
        missed: it.missed,
        context_mode: if it.task.lane_key.is_some() { "group" } else { "isolated" },
        misfire: it.task.misfire.as_str(),
        overlap: it.task.overlap.as_str(),
        jitter_s: it.task.jitter_ms / 1_000,
        target_chat_jid: it.task.place.jid.clone(),
        thread: it.task.place.thread.as_deref().map(str::to_owned),
        role: it.task.role,
        created_by: it.task.made_by.clone(),
        created_at: Instant(it.created_at),
    }
}

/// One fire of a task.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Fire")]
pub(crate) struct FireView {
    /// The instant that was due.
    slot: Instant,
    fired_at: Instant,
    /// Why it was left out.
    skipped: Option<String>,
    job: Option<JobId>,
    outcome: Option<String>,
    error: Option<String>,
    duration_ms: Option<u64>,
    delivery: Delivery,
}

/// Messages of a fire.
#[derive(Debug, Serialize, JsonSchema)]
struct Delivery {
    sent: u64,
    not_sent: u64,
}

fn fire(it: &FireRow) -> FireView {
    let took = it.began_at.zip(it.ended_at).map(|(began, ended)| ended.since(began));
    FireView {
        slot: Instant(it.slot_at),
        fired_at: Instant(it.fired_at),
        skipped: it.skipped.clone(),
        job: it.job,
        outcome: it.state.clone(),
        error: it.error.clone(),
        duration_ms: took.map(|it: Duration| u64::try_from(it.as_millis()).unwrap_or(u64::MAX)),
        delivery: Delivery { sent: it.sent, not_sent: it.unsent },
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OfGroup {
    group: Option<String>,
}

/// Tasks that are not cancelled.
pub(crate) async fn list(
    State(app): State<App>,
    who: Who,
    Query(of): Query<OfGroup>,
) -> Result<Json<Vec<TaskView>>, ApiError> {
    let group = of.group.map(|it| groups::find_for(&app, &who, &it, Right::Read)).transpose()?;
    let tasks = app.gateway.store().tasks(group.map(|it| it.id)).await?;
    let mine = tasks.iter().filter(|it| who.may_in(it.task.group, Right::Read));
    Ok(Json(mine.map(|it| shown(&app, it)).collect()))
}

/// Makes a task.
pub(crate) async fn add(
    State(app): State<App>,
    who: Who,
    Input(draft): Input<Draft>,
) -> Result<Json<TaskView>, ApiError> {
    let (paused, note) = (draft.paused, draft.note.clone());
    let task = task(&app, &who, draft)?;
    let made = match paused {
        true => app.gateway.add_paused_task(task, note).await?,
        false => app.gateway.add_task(task).await?,
    };
    audit(&app, &who, "task added", made.id).await?;
    Ok(Json(shown(&app, &made)))
}

pub(crate) async fn show(
    State(app): State<App>,
    who: Who,
    Path(id): Path<TaskId>,
) -> Result<Json<TaskView>, ApiError> {
    Ok(Json(shown(&app, &find(&app, &who, id, Right::Read).await?)))
}

/// A task in the words of a [`Draft`].
fn draft(it: &TaskRow) -> Value {
    json!({
        "group": it.task.group.to_string(),
        "prompt": it.task.text,
        "schedule_type": it.task.schedule.kind(),
        "schedule_value": it.task.schedule.value(),
        "zone": it.task.schedule.zone().name(),
        "context_mode": if it.task.lane_key.is_some() { "group" } else { "isolated" },
        "does": it.task.does.as_str(),
        "misfire": it.task.misfire.as_str(),
        "overlap": it.task.overlap.as_str(),
        "jitter_s": it.task.jitter_ms / 1_000,
        "chat_jid": it.task.place.jid,
        "thread": it.task.place.thread,
    })
}

/// What is to change of a task: fields of a [`Draft`].
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct TaskChange(serde_json::Map<String, Value>);

/// Changes what is named of a task; the rest stays.
pub(crate) async fn change(
    State(app): State<App>,
    who: Who,
    Path(id): Path<TaskId>,
    Input(TaskChange(change)): Input<TaskChange>,
) -> Result<Json<TaskView>, ApiError> {
    let mut all = draft(&find(&app, &who, id, Right::Schedule).await?);
    for (key, value) in change {
        let key = match key.as_str() {
            "group_folder" => "group",
            "target_chat_jid" => "chat_jid",
            other => other,
        };
        all[key] = value;
    }
    let draft: Draft = serde_json::from_value(all)
        .map_err(|err| ApiError::bad(format!("this is no task: {err}")))?;
    if draft.paused || draft.note.is_some() {
        return Err(ApiError::bad(
            "a task that is there is paused by `POST /api/tasks/{id}/pause`",
        ));
    }
    let changed = app.gateway.change_task(id, task(&app, &who, draft)?).await?;
    audit(&app, &who, "task changed", id).await?;
    Ok(Json(shown(&app, &changed)))
}

pub(crate) async fn pause(
    State(app): State<App>,
    who: Who,
    Path(id): Path<TaskId>,
) -> Result<Json<TaskView>, ApiError> {
    act(&app, &who, id, "task paused", app.gateway.pause_task(id)).await
}

pub(crate) async fn resume(
    State(app): State<App>,
    who: Who,
    Path(id): Path<TaskId>,
) -> Result<Json<TaskView>, ApiError> {
    act(&app, &who, id, "task resumed", app.gateway.resume_task(id)).await
}

pub(crate) async fn cancel(
    State(app): State<App>,
    who: Who,
    Path(id): Path<TaskId>,
) -> Result<Json<TaskView>, ApiError> {
    act(&app, &who, id, "task cancelled", app.gateway.cancel_task(id)).await
}

/// Fires it now.
pub(crate) async fn run(
    State(app): State<App>,
    who: Who,
    Path(id): Path<TaskId>,
) -> Result<Json<TaskView>, ApiError> {
    act(&app, &who, id, "task run", app.gateway.run_task(id)).await
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HowMany {
    n: Option<u32>,
}

/// When it fires next.
pub(crate) async fn next(
    State(app): State<App>,
    who: Who,
    Path(id): Path<TaskId>,
    Query(HowMany { n }): Query<HowMany>,
) -> Result<Json<Fires>, ApiError> {
    let row = find(&app, &who, id, Right::Read).await?;
    // The row's own next fire is the truth; what follows is reckoned from it.
    let first = row.next_at.into_iter();
    let rest = row.next_at.into_iter().flat_map(|at| row.task.schedule.fires_after(at));
    Ok(Json(fires(&row.task.schedule, first.chain(rest), n)))
}

/// What a schedule would do, without making a task.
pub(crate) async fn preview(
    State(app): State<App>,
    Query(HowMany { n }): Query<HowMany>,
    Input(when): Input<When>,
) -> Result<Json<Fires>, ApiError> {
    let schedule = when.schedule(&app)?;
    let now = app.gateway.clock().now();
    Ok(Json(fires(&schedule, schedule.fires_after(now), n)))
}

/// The next fires of a schedule.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Fires {
    zone: String,
    fires: Vec<NextFire>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct NextFire {
    at: Instant,
    /// In the schedule's zone.
    local: String,
}

fn fires(schedule: &Schedule, at: impl Iterator<Item = Timestamp>, n: Option<u32>) -> Fires {
    let zone = schedule.zone();
    let n = n.map_or(PREVIEW, |it| it.min(MAX_FIRES) as usize);
    let one = |at: Timestamp| NextFire { at: Instant(at), local: zone.show(at) };
    Fires { zone: zone.name().to_owned(), fires: at.take(n).map(one).collect() }
}

/// Its latest fires, with what became of them.
pub(crate) async fn logs(
    State(app): State<App>,
    who: Who,
    Path(id): Path<TaskId>,
    Query(HowMany { n }): Query<HowMany>,
) -> Result<Json<Vec<FireView>>, ApiError> {
    let row = find(&app, &who, id, Right::Read).await?;
    let fires = app.gateway.store().fires(row.id, n.unwrap_or(50).min(MAX_FIRES)).await?;
    Ok(Json(fires.iter().map(fire).collect()))
}

/// Does one thing to a task, for somebody who may, and keeps that it was done. `does` begins only after the check.
async fn act(
    app: &App,
    who: &Who,
    id: TaskId,
    what: &'static str,
    does: impl Future<Output = Result<TaskRow, HandleError>>,
) -> Result<Json<TaskView>, ApiError> {
    find(app, who, id, Right::Schedule).await?;
    let row = does.await?;
    audit(app, who, what, id).await?;
    Ok(Json(shown(app, &row)))
}

async fn audit(app: &App, who: &Who, what: &'static str, id: TaskId) -> Result<(), ApiError> {
    Ok(app.gateway.store().audit(&who.name, what, &id.to_string()).await?)
}
