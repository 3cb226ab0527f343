//! What was used: tokens and money, by day, group and model.

use std::time::Duration;

use axum::{Json, extract::State};
use ngb_core::role::Right;
use ngb_gateway::store::DayUsage;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    App,
    door::Who,
    error::ApiError,
    groups,
    input::Query,
    messages::now,
    shape::{self, Instant},
};

/// Days that are shown unless more are asked for, and at most.
const DAYS: u32 = 7;
const MAX_DAYS: u32 = 366;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    group: Option<String>,
    /// Today and those before it, in UTC.
    days: Option<u32>,
}

/// What each group used, the latest day first.
pub(crate) async fn show(
    State(app): State<App>,
    who: Who,
    Query(which): Query<Which>,
) -> Result<Json<Used>, ApiError> {
    let days = which.days.unwrap_or(DAYS);
    if !(1..=MAX_DAYS).contains(&days) {
        return Err(ApiError::bad(format!("`days` is from 1 to {MAX_DAYS}")));
    }
    let wanted = match &which.group {
        Some(group) => vec![groups::find_for(&app, &who, group, Right::Read)?],
        None => {
            let snapshot = app.gateway.directory().snapshot();
            snapshot.groups().filter(|it| who.may_in(it.id, Right::Read)).cloned().collect()
        }
    };
    let since = now(&app).day_start() - Duration::from_secs(24 * 60 * 60) * (days - 1);
    let mut lines = Vec::new();
    for group in wanted {
        let used = app.gateway.store().day_usage(group.id, since).await?;
        lines.extend(used.iter().map(|it| (it.day, line(group.name.as_str(), it))));
    }
    lines.sort_by_key(|it| std::cmp::Reverse(it.0));
    let lines = lines.into_iter().map(|it| it.1).collect();
    let currency = app.gateway.currency().to_string();
    Ok(Json(Used { since: Instant(since), currency, lines }))
}

/// What was used since a day.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Used {
    since: Instant,
    currency: String,
    lines: Vec<Line>,
}

/// What a group used of a model in a day.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "UsedInDay")]
struct Line {
    /// `2026-07-01`, in UTC.
    day: String,
    group: String,
    provider: String,
    model: String,
    runs: u64,
    input_tokens: u64,
    output_tokens: u64,
    cached_tokens: u64,
    estimated_tokens: u64,
    /// None when a part of it has no known price: unknown is not nothing.
    cost: Option<f64>,
    unpriced_tokens: u64,
}

fn line(group: &str, it: &DayUsage) -> Line {
    Line {
        day: it.day.to_string()[..10].to_owned(),
        group: group.to_owned(),
        provider: it.provider.clone(),
        model: it.model.clone(),
        runs: it.runs,
        input_tokens: it.input_tokens,
        output_tokens: it.output_tokens,
        cached_tokens: it.cached_tokens,
        estimated_tokens: it.estimated_tokens,
        cost: (it.unpriced_tokens == 0).then(|| shape::money(it.cost_micros)),
        unpriced_tokens: it.unpriced_tokens,
    }
}
