//! What was used: tokens and money, by day, group and model.

use std::time::Duration;

use axum::{
    Json,
    extract::{Query, State},
};
use ngb_core::role::Right;
use ngb_gateway::store::DayUsage;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{App, door::Who, error::ApiError, groups, messages::now, shape};

/// Days that are shown unless more are asked for, and at most.
const DAYS: u32 = 7;
const MAX_DAYS: u32 = 366;

#[derive(Deserialize)]
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
) -> Result<Json<Value>, ApiError> {
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
    let lines: Vec<Value> = lines.into_iter().map(|it| it.1).collect();
    Ok(Json(json!({
        "since": shape::iso(since),
        "currency": app.gateway.currency(),
        "lines": lines,
    })))
}

fn line(group: &str, it: &DayUsage) -> Value {
    json!({
        "day": &shape::iso(it.day)[..10],
        "group": group,
        "provider": it.provider,
        "model": it.model,
        "runs": it.runs,
        "input_tokens": it.input_tokens,
        "output_tokens": it.output_tokens,
        "cached_tokens": it.cached_tokens,
        "estimated_tokens": it.estimated_tokens,
        // Unknown is not nothing.
        "cost": (it.unpriced_tokens == 0).then(|| shape::money(it.cost_micros)),
        "unpriced_tokens": it.unpriced_tokens,
    })
}
