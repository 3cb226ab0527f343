//! `/api/status`: everything that the page shows of the gateway itself.

use axum::{Json, extract::State};
use ngb_channels::setup;
use ngb_core::{
    address::{Account, ChannelKind, Jid},
    driver::Driver,
    id::GroupId,
    role::Right,
};
use ngb_gateway::{
    handle::{Probe, SandboxState},
    store::{Counts, Disk},
};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{App, door::Who, error::ApiError, hooks, messages::now, shape::Instant};

/// How the gateway is doing.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Status")]
pub(crate) struct StatusView {
    /// What the assistant is called.
    name: String,
    version: String,
    started_at: Instant,
    now: Instant,
    /// Who answers.
    agent: String,
    demo: bool,
    /// Where the database comes from while it is held: nothing is taken, sent or answered.
    restored: Option<RestoredView>,
    sandbox: SandboxView,
    disk: DiskView,
    agents: AgentsView,
    /// Empty for those who belong to some groups only.
    channels: Vec<ChannelView>,
    /// None for those who belong to some groups only.
    counts: Option<Counts>,
    groups: Vec<GroupStatus>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct GroupStatus {
    id: GroupId,
    jid: Jid,
    name: String,
    active: bool,
}

/// A backup that was put back.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Restored")]
struct RestoredView {
    /// When it was put back.
    at: Instant,
    /// When the backup was made.
    made_at: Instant,
}

/// Live agents.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Agents")]
pub(crate) struct AgentsView {
    pub(crate) working: usize,
    pub(crate) idle: usize,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Disk")]
#[serde(tag = "state", rename_all = "lowercase")]
enum DiskView {
    Ok,
    Full { since: Instant },
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Sandbox")]
#[serde(tag = "state", rename_all = "lowercase")]
enum SandboxView {
    Proving,
    Ready(Probe),
    Away { why: String, remedy: String, since: Instant },
    Refused { why: String, remedy: String },
}

/// How the gateway is doing.
///
/// Who belongs to some groups only is told nothing of the whole: no figures, no accounts.
pub(crate) async fn show(State(app): State<App>, who: Who) -> Result<Json<StatusView>, ApiError> {
    let all = who.may(Right::Read);
    let about = app.gateway.about();
    let agents = app.gateway.agents();
    let counts = app.gateway.store().counts().await?;
    let directory = app.gateway.directory().snapshot();
    let active = app.live.active();
    let mine = directory.groups().filter(|it| who.may_in(it.id, Right::Read));
    let groups = mine.map(|it| GroupStatus {
        id: it.id,
        jid: crate::groups::page_jid(it),
        name: it.name.to_string(),
        active: active.contains(&it.id),
    });
    let channels = if all { channels(&app).await? } else { Vec::new() };
    Ok(Json(StatusView {
        name: app.settings.name.clone(),
        version: about.version.to_string(),
        started_at: Instant(about.started_at),
        now: Instant(now(&app)),
        agent: app.gateway.answers().to_string(),
        demo: app.gateway.answers().driver == Driver::Demo,
        restored: about
            .restored
            .as_ref()
            .map(|it| RestoredView { at: Instant(it.at), made_at: Instant(it.made_at) }),
        sandbox: sandbox(&about.sandbox.borrow()),
        disk: disk(*app.gateway.store().disk().borrow()),
        agents: AgentsView { working: agents.working, idle: agents.waiting },
        channels,
        counts: all.then_some(counts),
        groups: groups.collect(),
    }))
}

fn disk(disk: Disk) -> DiskView {
    match disk {
        Disk::Roomy => DiskView::Ok,
        Disk::Full { since } => DiskView::Full { since: Instant(since) },
    }
}

fn sandbox(state: &SandboxState) -> SandboxView {
    match state {
        SandboxState::Proving => SandboxView::Proving,
        SandboxState::Ready(probe) => SandboxView::Ready(probe.clone()),
        SandboxState::Away { why, remedy, since } => {
            SandboxView::Away { why: why.clone(), remedy: remedy.clone(), since: Instant(*since) }
        }
        SandboxState::Refused { why, remedy } => {
            SandboxView::Refused { why: why.clone(), remedy: remedy.clone() }
        }
    }
}

/// An account, with the original's words beside ours.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Channel")]
pub(crate) struct ChannelView {
    name: ChannelKind,
    pub(crate) account: Account,
    connected: bool,
    /// `connecting`, `up`, `waiting`, `down`, `contested`, `paused`
    pub(crate) state: String,
    pub(crate) why: String,
    can_receive: bool,
    /// Whether the platform took the last thing that was sent; none before the first.
    can_send: Option<bool>,
    /// How often the line was lost or could not be opened.
    reconnects: u64,
    last_failure: Option<Failure>,
    /// What people did, as far as it was stored.
    events: u64,
    last_event_at: Option<Instant>,
    /// Rows that wait to be sent or are being sent.
    backlog: u64,
    /// What another program on the same account does to this one.
    others: Option<&'static str>,
    last_heard_at: Option<Instant>,
    last_sent_at: Option<Instant>,
    pub(crate) send_error: Option<String>,
    /// What the account's canary proved; none where there is none.
    canary: Option<Canary>,
    /// Where the platform calls, for those that do.
    pub(crate) webhook: Option<Webhook>,
}

/// How the line was lost last.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ChannelFailure")]
struct Failure {
    at: Instant,
    why: String,
}

/// Proof that an account works.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ChannelCanary")]
struct Canary {
    /// When the last one proved it.
    proven_at: Option<Instant>,
    /// Whether that is of receiving too; else of sending alone.
    both_ways: bool,
    /// Why the last one failed, if none succeeded since.
    error: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Webhook {
    path: String,
    /// As far as `[web] public_url` says it.
    url: Option<String>,
}

/// Every account.
pub(crate) async fn channels(app: &App) -> Result<Vec<ChannelView>, ApiError> {
    let backlog = app.gateway.store().backlog().await?;
    let accounts = app.gateway.accounts().into_iter();
    let shown = accounts.map(|it| ChannelView {
        name: it.account.channel(),
        connected: it.state == "up",
        state: it.state.to_string(),
        why: it.why.clone(),
        can_receive: it.can_receive,
        can_send: it.can_send,
        reconnects: it.failures,
        last_failure: it.last_failure.map(|(at, why)| Failure { at: Instant(at), why }),
        events: it.events,
        last_event_at: it.last_event_at.map(Instant),
        backlog: backlog.get(&it.account).copied().unwrap_or(0),
        others: setup::guide(it.account.channel(), it.webhook).map(|it| it.others),
        last_heard_at: it.last_heard_at.map(Instant),
        last_sent_at: it.last_sent_at.map(Instant),
        send_error: it.send_error.clone(),
        canary: it.canary.map(|it| Canary {
            proven_at: it.proven_at.map(Instant),
            both_ways: it.both_ways,
            error: it.error,
        }),
        webhook: it.webhook.then(|| webhook(app, &it.account)),
        account: it.account,
    });
    Ok(shown.collect())
}

/// Where the platform calls: what to paste into its console, as far as the settings say it.
fn webhook(app: &App, account: &Account) -> Webhook {
    let url = app.settings.public_url.as_deref().map(|it| hooks::address(it, account));
    Webhook { path: hooks::address("", account), url }
}
