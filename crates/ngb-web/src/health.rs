//! For machines that watch: probes, health, metrics.

use std::fmt::Write as _;

use axum::{Json, extract::State, response::IntoResponse};
use http::{StatusCode, header};
use ngb_gateway::{handle::SandboxState, store::Disk};
use serde_json::{Value, json};

use crate::{App, error::ApiError, messages::now, shape, status};

/// Whether the process answers at all.
pub(crate) async fn live() -> &'static str {
    "ok\n"
}

/// Whether messages are taken and answered; says no more than that.
pub(crate) async fn ready(State(app): State<App>) -> (StatusCode, &'static str) {
    let answers = app.gateway.store().counts().await.is_ok();
    let runs = matches!(*app.gateway.about().sandbox.borrow(), SandboxState::Ready(_));
    if answers && runs && has_room(&app) && !app.drain.is_cancelled() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

/// Whether the disk of the database has room for more than messages.
fn has_room(app: &App) -> bool {
    *app.gateway.store().disk().borrow() == Disk::Roomy
}

/// One word for the whole.
pub(crate) async fn health(State(app): State<App>) -> Json<Value> {
    let about = app.gateway.about();
    let sandbox = match *about.sandbox.borrow() {
        SandboxState::Ready(_) => "ready",
        SandboxState::Proving => "proving",
        SandboxState::Away { .. } => "away",
        SandboxState::Refused { .. } => "refused",
    };
    let down = app.gateway.accounts().iter().filter(|it| it.state == "down").count();
    let database = app.gateway.store().counts().await.is_ok();
    let room = has_room(&app);
    let well = !matches!(sandbox, "refused" | "away") && down == 0 && database && room;
    Json(json!({
        "status": if well { "healthy" } else { "degraded" },
        "timestamp": shape::iso(now(&app)),
        "version": about.version,
        "sandbox": sandbox,
        "channels_down": down,
        "database": database,
        "disk": if room { "ok" } else { "full" },
    }))
}

/// The original's figures, and ours.
pub(crate) async fn metrics(State(app): State<App>) -> Result<Json<Value>, ApiError> {
    let agents = app.gateway.agents();
    let counts = app.gateway.store().counts().await?;
    let accounts = app.gateway.accounts();
    Ok(Json(json!({
        "active_containers": agents.working + agents.waiting,
        "registered_groups": counts.groups,
        "active_tasks": counts.tasks_active,
        "connected_channels": accounts.iter().filter(|it| it.state == "up").count(),
        "total_channels": accounts.len(),
        "channels": status::channels(&app),
        "agents": { "working": agents.working, "idle": agents.waiting },
        "counts": counts,
    })))
}

/// The same for Prometheus, in its text format 0.0.4.
pub(crate) async fn prometheus(State(app): State<App>) -> Result<impl IntoResponse, ApiError> {
    let mut page = String::new();
    let mut one = |name: &str, kind: &str, help: &str, value: u64| {
        let name = format!("nanogridbot_{name}");
        writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}")
            .expect("writing to memory");
    };
    one(
        "disk_full",
        "gauge",
        "Whether the disk of the database is full.",
        u64::from(!has_room(&app)),
    );
    let agents = app.gateway.agents();
    let up_for = now(&app).since(app.gateway.about().started_at);
    one("up_seconds", "gauge", "Time since the start.", up_for.as_secs());
    one("agents_working", "gauge", "Agents at work.", agents.working as u64);
    one("agents_idle", "gauge", "Agents that wait for a prompt.", agents.waiting as u64);
    let counts = app.gateway.store().counts().await?;
    let counts = serde_json::to_value(&counts).expect("counts have only string keys");
    for (name, value) in counts.as_object().into_iter().flatten() {
        let help = format!("Rows: {}.", name.replace('_', " "));
        one(name, "gauge", &help, value.as_u64().unwrap_or_default());
    }
    page += "# HELP nanogridbot_channel_up Whether an account is connected.\n";
    page += "# TYPE nanogridbot_channel_up gauge\n";
    for it in app.gateway.accounts() {
        let up = u8::from(it.state == "up");
        // An account's name has no character that would need an escape.
        writeln!(page, "nanogridbot_channel_up{{account=\"{}\"}} {up}", it.account)
            .expect("writing to memory");
    }
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], page))
}
