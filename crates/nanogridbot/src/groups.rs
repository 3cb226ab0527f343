//! `nanogridbot group`, `bind` and `unbind`.

use std::process::ExitCode;

use ngb_core::queue::Queue;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    cli::{self, BadArgument},
    client::{Client, escaped},
    context::Context,
    print::{self, say, text},
};

/// `nanogridbot group …`
pub(crate) async fn group(ctx: &Context, command: &cli::Group) -> anyhow::Result<ExitCode> {
    let answer = ctx
        .with_gateway(async |client| match command {
            cli::Group::Add { main: true, .. } => {
                let why = "there is a main group already; every home has one from its first start";
                Err(BadArgument(why.to_owned()).into())
            }
            cli::Group::Add { name, folder, .. } => {
                client.post("/api/groups", json!({ "name": name, "folder": folder })).await
            }
            cli::Group::List => client.get("/api/groups").await,
            cli::Group::Show { group } => client.get(&group_path(group)).await,
            cli::Group::Rename { group, name } => {
                client.call(Method::PATCH, &group_path(group), Some(json!({ "name": name }))).await
            }
            cli::Group::Set { group, limits } => set(client, group, limits).await,
            cli::Group::Pause { group } => pause(client, group, true).await,
            cli::Group::Resume { group } => pause(client, group, false).await,
            cli::Group::Remove { group, purge } => {
                let path = format!("{}?purge={purge}", group_path(group));
                client.call(Method::DELETE, &path, None).await
            }
        })
        .await?;
    ctx.show(&answer, |it| match command {
        cli::Group::List => {
            let row = |it: &Value| {
                let chats = it["bindings"].as_array().map_or(0, Vec::len).to_string();
                vec![
                    it["id"].to_string(),
                    text(it, "name").into(),
                    text(it, "folder").into(),
                    chats,
                ]
            };
            let rows: Vec<_> = it.as_array().into_iter().flatten().map(row).collect();
            print::table(&["id", "name", "folder", "chats"], &rows);
        }
        cli::Group::Pause { group } => say(&format!("`{group}` rests; what is written waits")),
        cli::Group::Resume { group } => say(&format!("`{group}` goes on")),
        cli::Group::Remove { group, .. } => say(&format!("removed `{group}`")),
        _ => {
            let paused = if it["paused"] == true { ", paused" } else { "" };
            say(&format!(
                "{} (id {}, folder {}{paused})",
                text(it, "name"),
                it["id"],
                text(it, "folder")
            ));
            for binding in it["bindings"].as_array().into_iter().flatten() {
                say(&binding_line(binding));
            }
            for (name, value) in it["limits"].as_object().into_iter().flatten() {
                say(&format!("  {name} = {value}"));
            }
        }
    });
    Ok(ExitCode::SUCCESS)
}

/// A binding in words: where, when it engages, who shares a conversation, who may speak.
fn binding_line(binding: &Value) -> String {
    let mut res = format!("  {} {}", text(binding, "jid"), text(binding, "engage"));
    for (key, usual) in
        [("pattern", ""), ("thread", ""), ("scope", "thread"), ("senders", "everyone")]
    {
        match text(binding, key) {
            "" => (),
            it if it == usual => (),
            it => res += &format!(", {key} {it}"),
        }
    }
    for (id, how) in binding["exceptions"]["senders"].as_object().into_iter().flatten() {
        res += &format!(", {id} {}", how.as_str().unwrap_or_default());
    }
    if let Some(bots @ 1..) = binding["exceptions"]["bots_per_hour"].as_u64() {
        res += &format!(", bots {bots} times an hour");
    }
    let usual = serde_json::to_value(Queue::default()).unwrap_or_default();
    for (key, value) in binding["queue"].as_object().into_iter().flatten() {
        if *value != usual[key] {
            let value = value.as_str().map_or(value.to_string(), str::to_owned);
            res += &format!(", {key} {value}");
        }
    }
    res
}

async fn pause(client: &Client, group: &str, paused: bool) -> anyhow::Result<Value> {
    client.call(Method::PATCH, &group_path(group), Some(json!({ "paused": paused }))).await
}

fn group_path(group: &str) -> String {
    format!("/api/groups/{}", escaped(group))
}

/// What the variables of the environment begin with, among the limits.
const VARIABLE: &str = "env.";

/// What MCP servers begin with.
const SERVER: &str = "mcp.";

/// Limits that are lists of names.
const LISTS: &[&str] = &["tools", "approve_tools"];

/// Changes limits and variables; the variables are one limit, of which the API wants the whole.
async fn set(client: &Client, group: &str, limits: &[String]) -> anyhow::Result<Value> {
    let (variables, limits): (Vec<_>, Vec<_>) =
        limits.iter().partition(|it| it.starts_with(VARIABLE));
    let (servers, limits): (Vec<_>, Vec<_>) =
        limits.into_iter().partition(|it| it.starts_with(SERVER));
    let mut body = limit_values(&limits)?;
    let (added, body_hosts) = hosts(&limits)?;
    if let Some(hosts) = body_hosts {
        let mut all = hosts;
        if added {
            let group = client.get(&group_path(group)).await?;
            let before = group["limits"]["hosts"].as_array().cloned().unwrap_or_default();
            all.splice(0..0, before);
        }
        body["hosts"] = all.into();
    }
    if !variables.is_empty() {
        let mut all = client.get(&group_path(group)).await?["limits"]["environment"].take();
        for variable in variables {
            let (name, value) = parts(variable)?;
            let name = name.strip_prefix(VARIABLE).unwrap_or(name);
            match (value, all.as_object_mut()) {
                ("none", Some(all)) => drop(all.remove(name)),
                _ => all[name] = value.into(),
            }
        }
        body["environment"] = all;
    }
    if !servers.is_empty() {
        let mut all = client.get(&group_path(group)).await?["limits"]["mcp"].take();
        for server in servers {
            let (name, value) = parts(server)?;
            let name = name.strip_prefix(SERVER).unwrap_or(name);
            match (value, all.as_object_mut()) {
                ("none", Some(all)) => drop(all.remove(name)),
                _ => all[name] = mcp_server(value)?,
            }
        }
        body["mcp"] = all;
    }
    client.call(Method::PATCH, &group_path(group), Some(json!({ "limits": body }))).await
}

/// An MCP server: its address, its command with its arguments, or a JSON object with all there is.
fn mcp_server(value: &str) -> Result<Value, BadArgument> {
    let value = value.trim();
    if value.starts_with('{') {
        let why = |err| BadArgument(format!("`{value}` is no JSON: {err}"));
        return serde_json::from_str(value).map_err(why);
    }
    if value.starts_with("http://") || value.starts_with("https://") {
        return Ok(json!({ "url": value }));
    }
    let words: Vec<&str> = value.split_whitespace().collect();
    if value.contains(['"', '\'', '\\']) {
        let why = "quotes are not understood here; give it as JSON: {\"command\":[\"program\",\"an argument\"]}";
        return Err(BadArgument(why.to_owned()));
    }
    Ok(json!({ "command": words }))
}

fn parts(limit: &str) -> Result<(&str, &str), BadArgument> {
    let why = || BadArgument(format!("`{limit}` is not of the form `name=value`"));
    limit.split_once('=').ok_or_else(why)
}

/// `hosts=A,B`, `hosts=+A` or `hosts=none`: whether they are added to those that are there, and which.
fn hosts(limits: &[&String]) -> Result<(bool, Option<Vec<Value>>), BadArgument> {
    let mut res = (false, None);
    for limit in limits {
        let ("hosts", value) = parts(limit)? else { continue };
        let (added, value) = match value.strip_prefix('+') {
            Some(rest) => (true, rest),
            None => (false, value),
        };
        let of = |it: &str| Value::from(it.trim().trim_start_matches('+'));
        let all = if value == "none" { Vec::new() } else { value.split(',').map(of).collect() };
        res = (added, Some(all));
    }
    Ok(res)
}

/// Limits that are words.
const WORDS: &[&str] = &["approve_role", "driver", "egress", "model", "session_reset"];

/// `name=value` as the API takes them; `none` takes a limit away where there need not be one.
pub(crate) fn limit_values(limits: &[&String]) -> Result<Value, BadArgument> {
    let mut res = serde_json::Map::new();
    for limit in limits {
        let (name, value) = parts(limit)?;
        if name == "hosts" {
            continue;
        }
        let value = match (value, value.parse::<u64>()) {
            ("none", _) if name == "approve_tools" => json!([]),
            ("none", _) if matches!(name, "approve_role" | "driver" | "model") => Value::Null,
            (list, _) if LISTS.contains(&name) && list != "none" => {
                list.split(',').map(str::trim).collect()
            }
            (word, _) if WORDS.contains(&name) => word.into(),
            ("none", _) => Value::Null,
            (_, Ok(number)) => number.into(),
            (_, Err(_)) if name == "cost_per_day" => {
                let units = value.parse::<f64>();
                units.map_err(|_| BadArgument(format!("`{value}` is no amount of money")))?.into()
            }
            (_, Err(_)) => return Err(BadArgument(format!("`{value}` is no number"))),
        };
        res.insert(name.to_owned(), value);
    }
    Ok(Value::Object(res))
}

/// `nanogridbot bind`
pub(crate) async fn bind(ctx: &Context, args: &cli::Bind) -> anyhow::Result<ExitCode> {
    let engage = match (&args.trigger, args.always) {
        (Some(_), _) => "trigger",
        (None, true) => "always",
        (None, false) if args.never => "never",
        (None, false) => "mention",
    };
    let body = json!({
        "jid": args.jid, "thread": args.thread, "engage": engage, "pattern": args.trigger,
        "scope": args.scope, "senders": args.senders.map(cli::Senders::as_str),
        "queue": queue(&args.queue),
        "exceptions": { "senders": of_senders(&args.of_senders)?, "bots_per_hour": args.bots_per_hour },
    });
    let path = format!("{}/bindings", group_path(&args.group));
    let answer = ctx.with_gateway(async |client| client.post(&path, body).await).await?;
    ctx.show(&answer, |it| say(&format!("bound `{}` to `{}`", args.jid, text(it, "name"))));
    Ok(ExitCode::SUCCESS)
}

/// `ID=HOW` as the API takes them.
fn of_senders(args: &[String]) -> Result<Value, BadArgument> {
    let mut res = serde_json::Map::new();
    for arg in args {
        // An id may have the sign in it, a word for how has not.
        let Some((id, how)) = arg.rsplit_once('=') else {
            return Err(BadArgument(format!(
                "`{arg}` is not of the form `ID=always|mention|never`"
            )));
        };
        res.insert(id.to_owned(), how.into());
    }
    Ok(Value::Object(res))
}

/// What the flags say of a queue, as the API takes it.
fn queue(args: &cli::Queue) -> Value {
    let all = json!({
        "mode": args.queue, "debounce_ms": args.debounce_ms, "max_waiting": args.max_waiting,
        "stale_seconds": args.stale_after, "stale": args.stale,
    });
    let Value::Object(all) = all else { return all };
    Value::Object(all.into_iter().filter(|it| !it.1.is_null()).collect())
}

/// `nanogridbot unbind`
pub(crate) async fn unbind(ctx: &Context, args: &cli::Unbind) -> anyhow::Result<ExitCode> {
    let path = format!("{}/bindings", group_path(&args.group));
    let body = Some(json!({ "jid": args.jid, "thread": args.thread }));
    let answer =
        ctx.with_gateway(async |client| client.call(Method::DELETE, &path, body).await).await?;
    ctx.show(&answer, |it| say(&format!("took `{}` from `{}`", args.jid, text(it, "name"))));
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_numbers() {
        let values = |it: &str| limit_values(&[&it.to_owned()]);
        assert_eq!(values("pids=64").unwrap(), json!({ "pids": 64 }));
        let rule = values("session_reset=daily 04:00").unwrap();
        assert_eq!(rule, json!({ "session_reset": "daily 04:00" }));
        assert_eq!(values("cost_per_day=0.5").unwrap(), json!({ "cost_per_day": 0.5 }));
        assert!(values("cost_per_day=much").is_err());
        assert_eq!(values("egress=none").unwrap(), json!({ "egress": "none" }));
        assert_eq!(values("tools=read, bash").unwrap(), json!({ "tools": ["read", "bash"] }));
        assert_eq!(values("tools=none").unwrap(), json!({ "tools": null }));
        assert_eq!(values("approve_tools=none").unwrap(), json!({ "approve_tools": [] }));
        assert_eq!(values("approve_role=owner").unwrap(), json!({ "approve_role": "owner" }));
        assert_eq!(values("a=none").unwrap(), json!({ "a": null }));
        for bad in ["pids", "pids=many"] {
            assert!(values(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn servers_of_mcp() {
        let env = r#"{"command":["a"],"env":{"B":"c"}}"#;
        #[rustfmt::skip]
        let table = [
            ("npx -y x /workspace/group", json!({ "command": ["npx", "-y", "x", "/workspace/group"] })),
            ("https://example.com/mcp",   json!({ "url": "https://example.com/mcp" })),
            (env,                         json!({ "command": ["a"], "env": { "B": "c" } })),
        ];
        for (given, want) in table {
            assert_eq!(mcp_server(given).unwrap(), want);
        }
        for bad in ["a 'b c'", "{a"] {
            assert!(mcp_server(bad).is_err(), "{bad}");
        }
    }
}
