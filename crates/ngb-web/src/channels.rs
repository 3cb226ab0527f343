//! `/api/channels`: the accounts on platforms.

use std::time::Duration;

use axum::{Json, extract::State};
use ngb_channels::{
    Answer,
    setup::{self, Seen, Stage},
};
use ngb_core::{
    address::{Account, ChannelKind},
    secret::Secret,
};
use ngb_gateway::{account_book, accounts};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    App,
    door::Who,
    error::ApiError,
    input::{Input, Path, Query},
    status::{self, ChannelView, Webhook},
};

/// Every account, and how it is doing.
pub(crate) async fn list(State(app): State<App>) -> Result<Json<Vec<ChannelView>>, ApiError> {
    Ok(Json(status::channels(&app).await?))
}

/// The account that `name` is: `telegram@main`, or `telegram` where there is one only.
fn find(app: &App, name: &str) -> Result<Account, ApiError> {
    let accounts = app.gateway.accounts().into_iter().map(|it| it.account);
    let named: Vec<Account> =
        accounts.filter(|it| it.to_string() == name || it.channel().as_str() == name).collect();
    match named.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(ApiError::not_found(format_args!("account `{name}`"))
            .hint("`nanogridbot channel list` shows them")),
        several => {
            let names: Vec<String> = several.iter().map(|it| format!("`{it}`")).collect();
            Err(ApiError::bad(format!("`{name}` has several accounts: {}", names.join(", "))))
        }
    }
}

/// A platform, and what an account on it wants.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ChannelKind")]
pub(crate) struct Kind {
    kind: &'static str,
    /// Where it is set up.
    console: Option<&'static str>,
    /// In which ways it is connected, the usual one first.
    ways: Vec<Way>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ChannelWay")]
struct Way {
    says: &'static str,
    wants: Vec<Want>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ChannelWant")]
struct Want {
    key: &'static str,
    /// Where it is found.
    help: &'static str,
    is_secret: bool,
}

/// The platforms that accounts may be added on.
pub(crate) async fn kinds(State(app): State<App>) -> Json<Vec<Kind>> {
    let want =
        |it: account_book::Want| Want { key: it.key, help: it.help, is_secret: it.is_secret };
    let way = |it: account_book::Way| Way {
        says: it.says,
        wants: it.wants.into_iter().map(want).collect(),
    };
    let kind = |kind: &ChannelKind| Kind {
        kind: kind.as_str(),
        console: setup::guide(*kind, false).map(|it| it.console),
        ways: app.gateway.account_ways(*kind).into_iter().map(way).collect(),
    };
    let all = ChannelKind::ALL.iter().map(kind);
    Json(all.filter(|it| !it.ways.is_empty()).collect())
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "NewChannel")]
#[serde(deny_unknown_fields)]
pub(crate) struct New {
    /// `telegram`, `slack`, …
    kind: String,
    /// Of this login among those on the platform; `main` unless said.
    name: Option<String>,
    /// By the names that `/api/channels/kinds` lists; also `api_url` and whatever else the section takes.
    #[schemars(with = "std::collections::BTreeMap<String, String>")]
    settings: std::collections::BTreeMap<String, Secret>,
}

/// Writes an account into the settings and connects it.
pub(crate) async fn add(
    State(app): State<App>,
    who: Who,
    Input(new): Input<New>,
) -> Result<Json<ChannelView>, ApiError> {
    let kind: ChannelKind = new.kind.parse().map_err(|err| ApiError::bad(format!("{err}")))?;
    let name = new.name.as_deref().unwrap_or("main");
    let account = Account::new(kind, name).map_err(|err| ApiError::bad(err.to_string()))?;
    let trimmed = |it: Secret| Secret::new(it.expose().trim());
    let settings: Vec<(String, Secret)> =
        new.settings.into_iter().map(|(key, value)| (key, trimmed(value))).collect();
    app.gateway.add_account(&account, &settings).await?;
    app.gateway.store().audit(&who.name, "channel added", &account.to_string()).await?;
    Ok(Json(shown(&app, &account).await?))
}

/// Takes an account out of the settings; its messages and bindings stay.
pub(crate) async fn remove(
    State(app): State<App>,
    who: Who,
    Path(name): Path<String>,
) -> Result<Json<Reloaded>, ApiError> {
    let account = find(&app, &name)?;
    let reloaded = app.gateway.remove_account(&account).await?;
    app.gateway.store().audit(&who.name, "channel removed", &account.to_string()).await?;
    Ok(Json(told(&app, reloaded).await?))
}

async fn shown(app: &App, account: &Account) -> Result<ChannelView, ApiError> {
    let found = status::channels(app).await?.into_iter().find(|it| it.account == *account);
    found.ok_or_else(|| ApiError::missing("account", account))
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "ChannelChange")]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    paused: bool,
}

/// Has an account rest, or go on.
pub(crate) async fn change(
    State(app): State<App>,
    who: Who,
    Path(name): Path<String>,
    Input(change): Input<Change>,
) -> Result<Json<ChannelView>, ApiError> {
    let account = find(&app, &name)?;
    app.gateway.pause_account(&account, change.paused).await?;
    let what = if change.paused { "channel paused" } else { "channel resumed" };
    app.gateway.store().audit(&who.name, what, &account.to_string()).await?;
    Ok(Json(shown(&app, &account).await?))
}

/// What the platform said.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ChannelTest")]
pub(crate) struct Tested {
    #[serde(flatten)]
    channel: ChannelView,
    me: Me,
    /// What stands in the way.
    remarks: Vec<String>,
}

/// Who we are on the platform.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "OwnAccount")]
struct Me {
    id: Option<String>,
    name: Option<String>,
}

/// Asks the platform who we are to it, and what stands in the way.
pub(crate) async fn test(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<Tested>, ApiError> {
    let account = find(&app, &name)?;
    let (id, name, remarks) = match app.gateway.test_account(&account).await? {
        Answer::Me { id, name, remarks } => (Some(id), Some(name), remarks),
        Answer::Sent(_) | Answer::CanNot => {
            (None, None, vec!["this platform can't be asked who we are".to_owned()])
        }
    };
    Ok(Json(Tested { channel: shown(&app, &account).await?, me: Me { id, name }, remarks }))
}

/// How often an account is looked at that rests.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Longest that somebody waits for the next stage of a set-up.
const MAX_WAIT: Duration = Duration::from_secs(60);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// The stage that is known: the answer comes once it is another.
    after: Option<Stage>,
    /// … or after so many seconds.
    #[serde(default)]
    wait_s: u64,
}

/// How far the setting up of an account has come.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ChannelSetup")]
pub(crate) struct Setup {
    account: Account,
    stage: Stage,
    why: Option<String>,
    /// What may be missing, the likeliest first.
    missing: Vec<String>,
    me: Option<Me>,
    /// Where it is done.
    console: Option<&'static str>,
    steps: Option<&'static [&'static str]>,
    import: Option<Paste>,
    /// How the first message is written.
    write: Option<&'static str>,
    others: Option<&'static str>,
    webhook: Option<Webhook>,
}

/// Something to paste into a platform's console.
#[derive(Debug, Serialize, JsonSchema)]
struct Paste {
    place: &'static str,
    text: String,
}

/// How far the setting up of an account has come, what to do next, and what may be missing.
pub(crate) async fn setup(
    State(app): State<App>,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Json<Setup>, ApiError> {
    let account = find(&app, &name)?;
    let wait = Duration::from_secs(asked.wait_s).min(MAX_WAIT);
    let next = async {
        let mut watch = app.gateway.watch_account(&account);
        while let Some(it) = &mut watch {
            if asked.after != stage_of(&app, &account) {
                return;
            }
            // One that rests, or is made anew at this moment, tells nothing by itself.
            if !it.changed().await {
                app.gateway.clock().sleep(LOOK_AGAIN).await;
                watch = app.gateway.watch_account(&account);
            }
        }
    };
    let waits = asked.after.is_some() && !wait.is_zero();
    if waits && app.gateway.clock().timeout(wait, next).await.is_err() {
        tracing::debug!("`{account}` is where it was after {wait:?}");
    }
    let shown = shown(&app, &account).await?;
    let stage = stage_of(&app, &account).ok_or_else(|| ApiError::not_found("such account"))?;
    let guide = setup::guide(account.channel(), shown.webhook.is_some());
    // What the platform itself says is in the way comes first.
    let mut missing = Vec::new();
    let mut me = None;
    if let Stage::Connected | Stage::CantAnswer = stage {
        match app.gateway.test_account(&account).await {
            Ok(Answer::Me { id, name, remarks }) => {
                me = Some(Me { id: Some(id), name: Some(name) });
                missing = remarks;
            }
            Ok(Answer::Sent(_) | Answer::CanNot) => (),
            Err(err) => missing.push(format!("{:#}", anyhow::Error::from(err))),
        }
    }
    // A platform that calls us is not connected before it has called.
    let is_called = shown.webhook.is_some();
    let as_if = if is_called && stage == Stage::Connecting { Stage::Connected } else { stage };
    missing.extend(guide.into_iter().flat_map(|it| it.missing(as_if)).map(|it| (*it).to_owned()));
    let import = guide.and_then(|it| it.import).map(|it| {
        let id = me.as_ref().and_then(|it| it.id.as_deref()).unwrap_or("YOUR_APPLICATION_ID");
        Paste { place: it.place, text: it.text.replace("{id}", id) }
    });
    Ok(Json(Setup {
        account: account.clone(),
        stage,
        why: match stage {
            Stage::CantAnswer => shown.send_error,
            _ => Some(shown.why),
        },
        missing,
        me,
        console: guide.map(|it| it.console),
        steps: guide.map(|it| it.steps),
        import,
        write: guide.map(|it| it.write),
        others: guide.map(|it| it.others),
        webhook: shown.webhook,
    }))
}

fn stage_of(app: &App, account: &Account) -> Option<Stage> {
    let it = app.gateway.accounts().into_iter().find(|it| it.account == *account)?;
    Some(setup::stage(Seen {
        connecting: it.state == "connecting",
        up: it.state == "up",
        heard: 0 < it.events,
        sent: it.last_event_at <= it.last_sent_at,
        failed: it.can_send == Some(false),
    }))
}

/// What is different now.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ChannelsReloaded")]
pub(crate) struct Reloaded {
    added: Vec<Account>,
    changed: Vec<Account>,
    removed: Vec<Account>,
    channels: Vec<ChannelView>,
}

/// Reads the accounts of the settings anew.
pub(crate) async fn reload(State(app): State<App>, who: Who) -> Result<Json<Reloaded>, ApiError> {
    let done = app.gateway.reload_accounts().await?;
    let list = |it: &[Account]| it.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    for (what, accounts) in [
        ("channels added", &done.added),
        ("channels changed", &done.changed),
        ("channels removed", &done.removed),
    ] {
        if !accounts.is_empty() {
            app.gateway.store().audit(&who.name, what, &list(accounts)).await?;
        }
    }
    Ok(Json(told(&app, done).await?))
}

async fn told(app: &App, done: accounts::Reloaded) -> Result<Reloaded, ApiError> {
    let accounts::Reloaded { added, changed, removed } = done;
    Ok(Reloaded { added, changed, removed, channels: status::channels(app).await? })
}
