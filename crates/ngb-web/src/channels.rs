//! `/api/channels`: the accounts on platforms.

use axum::{
    Json,
    extract::{Path, State},
};
use ngb_channels::Answer;
use ngb_core::address::Account;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{App, door::Who, error::ApiError, input::Input, status};

/// Every account, and how it is doing.
pub(crate) async fn list(State(app): State<App>) -> Json<Value> {
    Json(status::channels(&app).into())
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

fn shown(app: &App, account: &Account) -> Value {
    let found = status::channels(app).into_iter().find(|it| it["account"] == account.to_string());
    found.unwrap_or(Value::Null)
}

#[derive(Deserialize)]
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
) -> Result<Json<Value>, ApiError> {
    let account = find(&app, &name)?;
    app.gateway.pause_account(&account, change.paused).await?;
    let what = if change.paused { "channel paused" } else { "channel resumed" };
    app.gateway.store().audit(&who.name, what, &account.to_string()).await?;
    Ok(Json(shown(&app, &account)))
}

/// Asks the platform who we are to it, and what stands in the way.
pub(crate) async fn test(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let account = find(&app, &name)?;
    let (id, name, remarks) = match app.gateway.test_account(&account).await? {
        Answer::Me { id, name, remarks } => (Some(id), Some(name), remarks),
        Answer::Sent(_) | Answer::CanNot => {
            (None, None, vec!["this platform can't be asked who we are".to_owned()])
        }
    };
    let mut res = shown(&app, &account);
    res["me"] = json!({ "id": id, "name": name });
    res["remarks"] = remarks.into();
    Ok(Json(res))
}

/// Reads the accounts of the settings anew.
pub(crate) async fn reload(State(app): State<App>, who: Who) -> Result<Json<Value>, ApiError> {
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
    Ok(Json(json!({
        "added": done.added,
        "changed": done.changed,
        "removed": done.removed,
        "channels": status::channels(&app),
    })))
}
