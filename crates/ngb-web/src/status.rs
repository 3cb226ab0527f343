//! `/api/status`: everything that the page shows of the gateway itself.

use axum::{Json, extract::State};
use ngb_channels::setup;
use ngb_core::{address::Account, role::Right};
use ngb_gateway::{handle::SandboxState, start::Driver, store::Disk};
use serde_json::{Value, json};

use crate::{App, door::Who, error::ApiError, hooks, messages::now, shape};

/// How the gateway is doing.
///
/// Who belongs to some groups only is told nothing of the whole: no figures, no accounts.
pub(crate) async fn show(State(app): State<App>, who: Who) -> Result<Json<Value>, ApiError> {
    let all = who.may(Right::Read);
    let about = app.gateway.about();
    let agents = app.gateway.agents();
    let counts = app.gateway.store().counts().await?;
    let directory = app.gateway.directory().snapshot();
    let active = app.live.active();
    let mine = directory.groups().filter(|it| who.may_in(it.id, Right::Read));
    let groups = mine.map(|it| {
        let active = active.contains(&it.id);
        json!({ "id": it.id, "jid": crate::groups::page_jid(it), "name": it.name, "active": active })
    });
    Ok(Json(json!({
        "name": app.settings.name,
        "version": about.version,
        "started_at": shape::iso(about.started_at),
        "now": shape::iso(now(&app)),
        "agent": app.gateway.answers().to_string(),
        "demo": app.gateway.answers().driver == Driver::Demo,
        "sandbox": sandbox(&about.sandbox.borrow()),
        "disk": disk(*app.gateway.store().disk().borrow()),
        "agents": { "working": agents.working, "idle": agents.waiting },
        "channels": if all { channels(&app).await? } else { Vec::new() },
        "counts": all.then_some(counts),
        "groups": groups.collect::<Vec<_>>(),
    })))
}

fn disk(disk: Disk) -> Value {
    match disk {
        Disk::Roomy => json!({ "state": "ok" }),
        Disk::Full { since } => json!({ "state": "full", "since": shape::iso(since) }),
    }
}

fn sandbox(state: &SandboxState) -> Value {
    match state {
        SandboxState::Proving => json!({ "state": "proving" }),
        SandboxState::Ready(probe) => {
            let mut res = serde_json::to_value(probe).expect("a probe has only string keys");
            res["state"] = "ready".into();
            res
        }
        SandboxState::Away { why, remedy, since } => {
            json!({ "state": "away", "why": why, "remedy": remedy, "since": shape::iso(*since) })
        }
        SandboxState::Refused { why, remedy } => {
            json!({ "state": "refused", "why": why, "remedy": remedy })
        }
    }
}

/// Every account, with the original's words beside ours.
pub(crate) async fn channels(app: &App) -> Result<Vec<Value>, ApiError> {
    let backlog = app.gateway.store().backlog().await?;
    let accounts = app.gateway.accounts().into_iter();
    let shown = accounts.map(|it| {
        let failure = it.last_failure.map(|(at, why)| json!({ "at": shape::iso(at), "why": why }));
        let guide = setup::guide(it.account.channel(), it.webhook);
        json!({
            "name": it.account.channel(),
            "account": it.account,
            "connected": it.state == "up",
            "state": it.state,
            "why": it.why,
            "can_receive": it.can_receive,
            "can_send": it.can_send,
            "reconnects": it.failures,
            "last_failure": failure,
            "events": it.events,
            "last_event_at": it.last_event_at.map(shape::iso),
            "backlog": backlog.get(&it.account).copied().unwrap_or(0),
            "others": guide.map(|it| it.others),
            "last_heard_at": it.last_heard_at.map(shape::iso),
            "last_sent_at": it.last_sent_at.map(shape::iso),
            "send_error": it.send_error,
            "webhook": it.webhook.then(|| webhook(app, &it.account)),
        })
    });
    Ok(shown.collect())
}

/// Where the platform calls: what to paste into its console, as far as the settings say it.
fn webhook(app: &App, account: &Account) -> Value {
    let url = app.settings.public_url.as_deref().map(|it| hooks::address(it, account));
    json!({ "path": hooks::address("", account), "url": url })
}
