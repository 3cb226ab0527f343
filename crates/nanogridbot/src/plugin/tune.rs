//! `nanogridbot plugin show|enable|disable|config|history|revert|reload`: plugins and their settings, while the gateway runs.

use std::process::ExitCode;

use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::{
    cli::BadArgument,
    client::escaped,
    context::Context,
    print::{self, say, text},
};

fn path(name: &str) -> String {
    format!("/api/plugins/known/{}", escaped(name))
}

/// Shows a plugin and its settings.
pub(super) async fn show(ctx: &Context, name: &str) -> anyhow::Result<ExitCode> {
    let answer = ctx.with_gateway(async |client| client.get(&path(name)).await).await?;
    ctx.show(&answer, print_known);
    Ok(ExitCode::SUCCESS)
}

fn print_known(it: &Value) {
    let settings = &it["settings"];
    let state = if settings["enabled"] == true { "on" } else { "off" };
    let required = if settings["required"] == true { ", required" } else { "" };
    say(&format!(
        "{} {}: {state}{required}, order {}",
        text(it, "name"),
        text(it, "version"),
        settings["order"]
    ));
    if !text(it, "about").is_empty() {
        say(&format!("  {}", text(it, "about")));
    }
    for grant in it["grants"].as_array().into_iter().flatten() {
        say(&format!("  {}", allowed(grant)));
    }
    let from =
        if it["changed"] == true { "changed while the gateway ran" } else { "as in config.toml" };
    say(&format!("  settings {from}:"));
    let mut all = it["defaults"].as_object().cloned().unwrap_or_default();
    all.extend(settings["config"].as_object().cloned().unwrap_or_default());
    for (key, value) in &all {
        say(&format!("    {key} = {value}"));
    }
    for (group, own) in settings["groups"].as_object().into_iter().flatten() {
        say(&format!("  in group `{group}`: {own}"));
    }
    let may = it["schema"]["properties"].as_object().into_iter().flatten();
    for (key, of) in may.filter(|(key, _)| !all.contains_key(*key)) {
        let default = of.get("default").map(|it| format!(", default {it}")).unwrap_or_default();
        let about = of["description"].as_str().unwrap_or_default().replace('\n', " ");
        say(format!("  may also be set: {key}{default}  {about}").trim_end());
    }
}

/// What a plugin may do, or may not although it asked for it.
fn allowed(grant: &Value) -> String {
    let may = if grant["granted"] == true { "may" } else { "may not" };
    let names: Vec<_> =
        grant["names"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let names = if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) };
    format!("{may} {} ({}){names}", text(grant, "about"), text(grant, "capability"))
}

async fn change(ctx: &Context, name: &str, change: Value) -> anyhow::Result<ExitCode> {
    let answer = ctx
        .with_gateway(async |client| client.call(Method::PATCH, &path(name), Some(change)).await)
        .await?;
    ctx.show(&answer, print_known);
    Ok(ExitCode::SUCCESS)
}

/// Switches it on or off.
pub(super) async fn enable(ctx: &Context, name: &str, enabled: bool) -> anyhow::Result<ExitCode> {
    change(ctx, name, json!({ "enabled": enabled })).await
}

/// Changes some of its own settings, everywhere or in one group.
pub(super) async fn config(
    ctx: &Context,
    name: &str,
    changes: &[String],
    group: Option<&str>,
) -> anyhow::Result<ExitCode> {
    let changes = changes.iter().map(|it| assignment(it)).collect::<Result<Vec<_>, _>>()?;
    let answer = ctx
        .with_gateway(async |client| {
            let settings = client.get(&path(name)).await?["settings"].take();
            let body = match group {
                None => json!({ "config": changed(&settings["config"], &changes) }),
                Some(group) => {
                    let mut groups = settings["groups"].as_object().cloned().unwrap_or_default();
                    let own = changed(groups.get(group).unwrap_or(&Value::Null), &changes);
                    groups.insert(group.to_owned(), own.into());
                    json!({ "groups": groups })
                }
            };
            client.call(Method::PATCH, &path(name), Some(body)).await
        })
        .await?;
    ctx.show(&answer, print_known);
    Ok(ExitCode::SUCCESS)
}

/// A key, and its value; none where it is to go.
type Assignment = (String, Option<Value>);

fn assignment(words: &str) -> Result<Assignment, BadArgument> {
    let Some((key, value)) = words.split_once('=').filter(|it| !it.0.is_empty()) else {
        return Err(BadArgument(format!("`{words}` is no `KEY=VALUE`")));
    };
    let value = match value {
        "" => None,
        text => Some(serde_json::from_str(text).unwrap_or_else(|_| text.into())),
    };
    Ok((key.to_owned(), value))
}

fn changed(before: &Value, changes: &[Assignment]) -> Map<String, Value> {
    let mut all = before.as_object().cloned().unwrap_or_default();
    for (key, value) in changes {
        match value {
            Some(value) => drop(all.insert(key.clone(), value.clone())),
            None => drop(all.remove(key)),
        }
    }
    all
}

/// Lists its settings before.
pub(super) async fn history(ctx: &Context, name: &str) -> anyhow::Result<ExitCode> {
    let path = format!("{}/history", path(name));
    let answer = ctx.with_gateway(async |client| client.get(&path).await).await?;
    ctx.show(&answer, |it| {
        let row = |it: &Value| {
            let settings = match &it["settings"] {
                Value::Null => "as in config.toml".to_owned(),
                it => it.to_string(),
            };
            vec![it["version"].to_string(), text(it, "at").into(), text(it, "who").into(), settings]
        };
        let rows: Vec<_> = it.as_array().into_iter().flatten().map(row).collect();
        match rows.is_empty() {
            true => say("nobody changed its settings; those of config.toml count"),
            false => print::table(&["version", "since", "by", "settings"], &rows),
        }
    });
    Ok(ExitCode::SUCCESS)
}

/// Puts earlier settings back.
pub(super) async fn revert(ctx: &Context, name: &str, version: i64) -> anyhow::Result<ExitCode> {
    let path = format!("{}/revert", path(name));
    let body = json!({ "version": version });
    let answer = ctx.with_gateway(async |client| client.post(&path, body).await).await?;
    ctx.show(&answer, print_known);
    Ok(ExitCode::SUCCESS)
}

/// Has its files read anew.
pub(super) async fn reload(ctx: &Context, name: &str) -> anyhow::Result<ExitCode> {
    let path = format!("{}/reload", path(name));
    let answer = ctx.with_gateway(async |client| client.post(&path, json!({})).await).await?;
    ctx.show(&answer, |_| say(&format!("`{name}` was read anew")));
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignment_table() {
        #[rustfmt::skip]
        let table = [
            ("a=1",          Some(("a", Some(json!(1))))),
            ("a=true",       Some(("a", Some(json!(true))))),
            ("a=hold",       Some(("a", Some(json!("hold"))))),
            (r#"a=["x"]"#,   Some(("a", Some(json!(["x"]))))),
            ("a=b=c",        Some(("a", Some(json!("b=c"))))),
            ("a=",           Some(("a", None))),
            ("=1",           None),
            ("a",            None),
        ];
        for (words, want) in table {
            let got = assignment(words).ok();
            assert_eq!(got, want.map(|(key, value)| (key.to_owned(), value)), "{words}");
        }
    }
}
