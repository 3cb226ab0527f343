//! For machines that watch: probes, health, metrics.

use std::fmt::Write as _;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use ngb_gateway::{
    accounts::AccountStatus,
    handle::SandboxState,
    store::{Counts, Disk},
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::{
    App,
    describe::{Given, Operation},
    error::ApiError,
    messages::now,
    shape::Instant,
    status::{self, AgentsView, ChannelView},
};

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

/// How the whole is.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Health {
    /// `healthy` or `degraded`
    status: &'static str,
    timestamp: Instant,
    version: String,
    /// `ready`, `proving`, `away` or `refused`
    sandbox: &'static str,
    channels_down: usize,
    /// Whether it answers.
    database: bool,
    /// `ok` or `full`
    disk: &'static str,
}

/// One word for the whole.
pub(crate) async fn health(State(app): State<App>) -> Json<Health> {
    let about = app.gateway.about();
    let sandbox = match *about.sandbox.borrow() {
        SandboxState::Ready(_) => "ready",
        SandboxState::Proving => "proving",
        SandboxState::Away { .. } => "away",
        SandboxState::Refused { .. } => "refused",
    };
    let is_down = |it: &AccountStatus| matches!(it.state, "down" | "contested");
    let down = app.gateway.accounts().iter().filter(|it| is_down(it)).count();
    let database = app.gateway.store().counts().await.is_ok();
    let room = has_room(&app);
    let well = !matches!(sandbox, "refused" | "away") && down == 0 && database && room;
    Json(Health {
        status: if well { "healthy" } else { "degraded" },
        timestamp: Instant(now(&app)),
        version: about.version.to_string(),
        sandbox,
        channels_down: down,
        database,
        disk: if room { "ok" } else { "full" },
    })
}

/// The original's figures, and ours.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Metrics {
    /// Live agents.
    active_containers: usize,
    registered_groups: u64,
    active_tasks: u64,
    connected_channels: usize,
    total_channels: usize,
    channels: Vec<ChannelView>,
    agents: AgentsView,
    counts: Counts,
}

/// The original's figures, and ours.
pub(crate) async fn metrics(State(app): State<App>) -> Result<Json<Metrics>, ApiError> {
    let agents = app.gateway.agents();
    let counts = app.gateway.store().counts().await?;
    let accounts = app.gateway.accounts();
    Ok(Json(Metrics {
        active_containers: agents.working + agents.waiting,
        registered_groups: counts.groups,
        active_tasks: counts.tasks_active,
        connected_channels: accounts.iter().filter(|it| it.state == "up").count(),
        total_channels: accounts.len(),
        channels: status::channels(&app).await?,
        agents: AgentsView { working: agents.working, idle: agents.waiting },
        counts,
    }))
}

/// A page of figures for Prometheus.
pub(crate) struct Page(String);

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], self.0).into_response()
    }
}

impl Given for Page {
    fn describe(to: &mut Operation<'_>) {
        to.answers("200", "The figures.", "text/plain", json!({ "type": "string" }));
    }
}

/// The same for Prometheus, in its text format 0.0.4.
pub(crate) async fn prometheus(State(app): State<App>) -> Result<Page, ApiError> {
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
    channels(&mut page, &app).await?;
    Ok(Page(page))
}

/// The figures of each account.
async fn channels(page: &mut String, app: &App) -> Result<(), ApiError> {
    let accounts = app.gateway.accounts();
    let backlog = app.gateway.store().backlog().await?;
    type Figure<'a> = &'a dyn Fn(&AccountStatus) -> Option<u64>;
    #[rustfmt::skip]
    let figures: [(&str, &str, &str, Figure<'_>); 6] = [
        ("up",          "gauge",   "Whether an account is connected.",                              &|it| Some(u64::from(it.state == "up"))),
        ("contested",   "gauge",   "Whether another program seems to use the account.",             &|it| Some(u64::from(it.state == "contested"))),
        ("can_send",    "gauge",   "Whether the platform took the last thing that was sent.",       &|it| it.can_send.map(u64::from)),
        ("failures",    "counter", "How often the line was lost or could not be opened.",           &|it| Some(it.failures)),
        ("events",      "counter", "What people did, as far as it was stored.",                     &|it| Some(it.events)),
        ("backlog",     "gauge",   "Rows that wait to be sent or are being sent.",                  &|it| Some(backlog.get(&it.account).copied().unwrap_or(0))),
    ];
    for (name, kind, help, figure) in figures {
        let name = format!("nanogridbot_channel_{name}");
        writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}").expect("writing to memory");
        for it in &accounts {
            // An account's name has no character that would need an escape.
            if let Some(value) = figure(it) {
                writeln!(page, "{name}{{account=\"{}\"}} {value}", it.account)
                    .expect("writing to memory");
            }
        }
    }
    Ok(())
}
