//! What happened lately, for the first page: by the minute, by the step, and what it cost today.

use std::time::Duration;

use axum::{Json, extract::State};
use ngb_core::{clock::Timestamp, decision::Decision, id::GroupId, role::Right};
use ngb_gateway::store::{Activity, Minute, Step, StepTimes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    App,
    door::Who,
    error::ApiError,
    input::Query,
    messages::now,
    shape::{self, Instant},
};

/// Minutes that are shown unless another number is asked for, and at most.
const MINUTES: u32 = 60;
const MAX_MINUTES: u32 = 24 * 60;

const MINUTE: Duration = Duration::from_secs(60);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    /// Until now, the one that has just begun included; 60 unless said, 1440 at most.
    minutes: Option<u32>,
}

/// What happened in the last minutes, in the groups that one belongs to.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Overview {
    /// When the first of the minutes begins.
    since: Instant,
    /// One entry a minute, the earliest first.
    minutes: Vec<MinuteView>,
    /// How long messages took, step by step, in milliseconds.
    steps: Vec<StepView>,
    /// What failed, and how often.
    troubles: Vec<Trouble>,
    today: Today,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "OverviewMinute")]
struct MinuteView {
    messages_in: u64,
    messages_out: u64,
    runs: u64,
    runs_failed: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "OverviewStep")]
struct StepView {
    /// `queue`, `sandbox`, `model`, `delivery`, or `whole`
    step: &'static str,
    /// Messages that took it.
    count: u64,
    p50_ms: u64,
    p95_ms: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "OverviewTrouble")]
struct Trouble {
    kind: Decision,
    count: u64,
}

/// What was used since midnight, in UTC.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "OverviewToday")]
struct Today {
    runs: u64,
    input_tokens: u64,
    output_tokens: u64,
    currency: String,
    /// None when a part of it has no known price: unknown is not nothing.
    cost: Option<f64>,
}

/// What happened lately.
pub(crate) async fn show(
    State(app): State<App>,
    who: Who,
    Query(which): Query<Which>,
) -> Result<Json<Overview>, ApiError> {
    let minutes = which.minutes.unwrap_or(MINUTES);
    if !(1..=MAX_MINUTES).contains(&minutes) {
        return Err(ApiError::bad(format!("`minutes` is from 1 to {MAX_MINUTES}")));
    }
    let now = now(&app);
    let since = minute_of(now) - MINUTE * (minutes - 1);
    let snapshot = app.gateway.directory().snapshot();
    let groups: Vec<GroupId> =
        snapshot.groups().filter(|it| who.may_in(it.id, Right::Read)).map(|it| it.id).collect();
    // Whoever sees all groups sees also what is of none.
    let only = (!who.may(Right::Read)).then_some(groups.as_slice());
    let activity = app.gateway.store().activity(since, only).await?;
    Ok(Json(Overview {
        since: Instant(since),
        minutes: (0..minutes).map(|n| minute(&activity, since + MINUTE * n)).collect(),
        steps: activity.steps.iter().map(step).collect(),
        troubles: activity
            .troubles
            .iter()
            .map(|(kind, count)| Trouble { kind: *kind, count: *count })
            .collect(),
        today: today(&app, &groups, now).await?,
    }))
}

/// When the minute of `now` began.
fn minute_of(now: Timestamp) -> Timestamp {
    let ms = i64::try_from(MINUTE.as_millis()).unwrap_or(i64::MAX);
    Timestamp(now.0 - now.0.rem_euclid(ms))
}

fn minute(activity: &Activity, at: Timestamp) -> MinuteView {
    let Minute { messages_in, messages_out, runs, runs_failed } =
        activity.minutes.get(&at).copied().unwrap_or_default();
    MinuteView { messages_in, messages_out, runs, runs_failed }
}

fn step((step, times): &(Step, StepTimes)) -> StepView {
    let step = match step {
        Step::Queue => "queue",
        Step::Sandbox => "sandbox",
        Step::Model => "model",
        Step::Delivery => "delivery",
        Step::Whole => "whole",
    };
    StepView { step, count: times.count, p50_ms: times.p50_ms, p95_ms: times.p95_ms }
}

async fn today(app: &App, groups: &[GroupId], now: Timestamp) -> Result<Today, ApiError> {
    let mut res = Today { currency: app.gateway.currency().to_string(), ..Today::default() };
    let (mut cost, mut is_priced) = (0, true);
    for group in groups {
        for it in app.gateway.store().day_usage(*group, now.day_start()).await? {
            res.runs += it.runs;
            res.input_tokens += it.input_tokens;
            res.output_tokens += it.output_tokens;
            cost += it.cost_micros;
            is_priced &= it.unpriced_tokens == 0;
        }
    }
    res.cost = is_priced.then(|| shape::money(cost));
    Ok(res)
}
