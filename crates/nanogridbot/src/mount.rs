//! `nanogridbot mount`: host folders in a group's sandboxes, and why one may not be there.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use ngb_core::mount::MountName;
use ngb_gateway::mounts::Mounts;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    cli::{self, BadArgument},
    client::{Client, escaped},
    context::Context,
    print::{self, say, text},
};

/// `nanogridbot mount …`
pub(crate) async fn mount(ctx: &Context, command: &cli::Mount) -> anyhow::Result<ExitCode> {
    match command {
        cli::Mount::Check { path, write, group } => {
            check(ctx, path, *write, group.as_deref()).await
        }
        cli::Mount::List { group } => {
            let found = ctx.with_gateway(async |it| it.get(&group_path(group)).await).await?;
            let mounts = found["limits"]["mounts"].clone();
            ctx.show(&mounts, show_list);
            Ok(ExitCode::SUCCESS)
        }
        cli::Mount::Add { path, name, write, group } => {
            let name = match name {
                Some(name) => name.clone(),
                None => MountName::of(path).ok_or_else(|| {
                    let path = path.display();
                    BadArgument(format!(
                        "`{path}` gives no name for the mount; choose one with `--as`"
                    ))
                })?,
            };
            let new = json!({ "host": absolute(path)?, "name": name, "write": write });
            let mounts = change(ctx, group, |mounts| {
                mounts.retain(|it| text(it, "name") != name.as_str());
                mounts.push(new.clone());
                Ok(())
            });
            let mounts = mounts.await?;
            ctx.show(&mounts, |_| say(&format!("the next run sees it as /workspace/extra/{name}")));
            Ok(ExitCode::SUCCESS)
        }
        cli::Mount::Remove { name, group } => {
            let mounts = change(ctx, group, |mounts| {
                let before = mounts.len();
                mounts.retain(|it| text(it, "name") != name);
                if mounts.len() == before {
                    let why = format!("`{group}` has no mount `{name}`; `mount list` shows them");
                    return Err(BadArgument(why).into());
                }
                Ok(())
            });
            let mounts = mounts.await?;
            ctx.show(&mounts, |_| say(&format!("the next run sees no `{name}`")));
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Says what would come of a mount, without a gateway unless a group is named. Exits with 1 where it is refused.
async fn check(
    ctx: &Context,
    path: &PathBuf,
    write: bool,
    group: Option<&str>,
) -> anyhow::Result<ExitCode> {
    let by_main = match group {
        None => false,
        Some(group) => {
            let found = ctx.with_gateway(async |it| it.get(&group_path(group)).await).await?;
            found["is_main"] == true
        }
    };
    let home = ctx.home.path();
    let path = absolute(path)?;
    let mounts = Mounts::read(home);
    let judged = match &mounts {
        Ok(mounts) => mounts.check(&path, write, by_main),
        Err(refusal) => Err(refusal.clone()),
    };
    let list = mounts.map_or_else(|_| home.join("mount-allowlist.toml"), |it| it.list_path);
    let how = if write { "write" } else { "read" };
    let (answer, code) = match judged {
        Ok(it) => {
            let answer =
                json!({ "allowed": true, "path": it.real, "mode": how, "remarks": it.remarks });
            (answer, ExitCode::SUCCESS)
        }
        Err(it) => {
            let answer = json!({ "allowed": false, "mode": how, "why": it.to_string(), "hint": it.hint(&list) });
            (answer, ExitCode::FAILURE)
        }
    };
    ctx.show(&answer, |it| {
        if it["allowed"] == true {
            say(&format!("`{}` may be mounted to {how}", text(it, "path")));
            for remark in it["remarks"].as_array().into_iter().flatten() {
                say(&format!("  note: {}", remark.as_str().unwrap_or_default()));
            }
        } else {
            say(&format!("refused: {}", text(it, "why")));
            say(&format!("  {}", text(it, "hint")));
        }
    });
    Ok(code)
}

/// Reads a group's mounts, changes them, writes them.
async fn change(
    ctx: &Context,
    group: &str,
    how: impl Fn(&mut Vec<Value>) -> anyhow::Result<()>,
) -> anyhow::Result<Value> {
    let path = group_path(group);
    let change = async |client: &Client| {
        let found = client.get(&path).await?;
        let mut mounts = found["limits"]["mounts"].as_array().cloned().unwrap_or_default();
        how(&mut mounts)?;
        let body = json!({ "limits": { "mounts": mounts } });
        let changed = client.call(Method::PATCH, &path, Some(body)).await?;
        Ok(changed["limits"]["mounts"].clone())
    };
    ctx.with_gateway(change).await
}

fn show_list(mounts: &Value) {
    let row = |it: &Value| {
        let how = if it["write"] == true { "write" } else { "read" };
        let inside = format!("/workspace/extra/{}", text(it, "name"));
        vec![text(it, "name").to_owned(), text(it, "host").to_owned(), inside, how.to_owned()]
    };
    let rows: Vec<_> = mounts.as_array().into_iter().flatten().map(row).collect();
    match rows.is_empty() {
        true => say("no mounts; `nanogridbot mount add --help` says how"),
        false => print::table(&["name", "on the host", "inside", "to"], &rows),
    }
}

/// From where the command was given; `~/` stays, and is the folder of the gateway's user.
fn absolute(path: &PathBuf) -> anyhow::Result<PathBuf> {
    if path.starts_with("~") {
        return Ok(path.clone());
    }
    std::path::absolute(path).with_context(|| format!("`{}` is no path", path.display()))
}

fn group_path(group: &str) -> String {
    format!("/api/groups/{}", escaped(group))
}
