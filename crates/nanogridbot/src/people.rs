//! `nanogridbot people`: who may do what, and which addresses are theirs.

use std::process::ExitCode;

use clap::Subcommand;
use ngb_core::role::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    cli::BadArgument,
    client::{Client, escaped},
    context::Context,
    print::{self, harmless, say, text},
};

#[derive(Debug, Subcommand)]
pub(crate) enum People {
    /// List the people whom the gateway knows, with their roles and addresses.
    List,
    /// Invite somebody; prints a link that logs them in, once.
    #[command(after_help = "Examples:
  nanogridbot people invite Ann --role member -g family
  nanogridbot people invite Olga --role operator")]
    Invite {
        name: String,
        #[arg(long)]
        role: Role,
        /// Only for this group; may be given several times.
        #[arg(short, long)]
        group: Vec<String>,
    },
    /// Give a person another role.
    Role {
        /// The person's number or name.
        person: String,
        role: Role,
        /// Only for this group; may be given several times.
        #[arg(short, long)]
        group: Vec<String>,
    },
    /// Print a fresh link that logs a person in, once.
    Login {
        /// The person's number or name.
        person: String,
    },
    /// Say that an address is a person's: they have their roles there, too. In a chat, `/pair` does it for oneself.
    #[command(after_help = "Example:
  nanogridbot people link Ann telegram@main#4711")]
    Link {
        /// The person's number or name.
        person: String,
        /// `<channel>@<account>#<id>`, as `people list` and the audit show them.
        address: String,
    },
    /// Say that an address is a person's no more.
    Unlink {
        /// The person's number or name.
        person: String,
        address: String,
    },
    /// Forget all that a person said, wherever it is kept: messages and answers, files, conversations of agents, what they
    /// noted meanwhile. In a chat, `/forget me` does it for oneself.
    #[command(after_help = "Example:
  nanogridbot people forget telegram@main#4711 --yes")]
    Forget {
        /// One of their addresses, as `people list` and the audit show them; the others are found by it.
        address: String,
        /// It can't be taken back, so it wants this.
        #[arg(long)]
        yes: bool,
    },
    /// Take all roles of a person, and end their logins.
    Remove {
        /// The person's number or name.
        person: String,
    },
}

/// `nanogridbot people …`
pub(crate) async fn people(ctx: &Context, command: &People) -> anyhow::Result<ExitCode> {
    let answer = ctx.with_gateway(async |client| call(client, command).await).await?;
    ctx.show(&answer, |it| match command {
        People::List => {
            let rows: Vec<_> = it.as_array().into_iter().flatten().map(line).collect();
            print::table(&["id", "name", "role", "addresses"], &rows);
        }
        People::Invite { .. } | People::Login { .. } => say(text(it, "url")),
        People::Role { person, role, .. } => say(&format!("`{person}` is {role}")),
        People::Link { person, address } => say(&format!("`{address}` is `{person}`")),
        People::Unlink { person, address } => say(&format!("`{address}` is no longer `{person}`")),
        People::Forget { .. } => forgot(it),
        People::Remove { person } => say(&format!("`{person}` has no role any more")),
    });
    Ok(ExitCode::SUCCESS)
}

async fn call(client: &Client, command: &People) -> anyhow::Result<Value> {
    match command {
        People::List => client.get("/api/people").await,
        People::Invite { name, role, group } => {
            let groups = (!group.is_empty()).then_some(group);
            let body = json!({ "name": name, "role": role, "groups": groups });
            client.post("/api/people", body).await
        }
        People::Role { person, role, group } => {
            let groups = (!group.is_empty()).then_some(group);
            let body = json!({ "role": role, "groups": groups });
            client.call(Method::PATCH, &path(client, person, "").await?, Some(body)).await
        }
        People::Login { person } => {
            client.post(&path(client, person, "/link").await?, json!({})).await
        }
        People::Link { person, address } => {
            let body = json!({ "address": address });
            client.post(&path(client, person, "/addresses").await?, body).await
        }
        People::Unlink { person, address } => {
            let path = path(client, person, "/addresses").await?;
            let path = format!("{path}?address={}", escaped(address));
            client.call(Method::DELETE, &path, None).await
        }
        People::Forget { address, yes } => {
            if !yes {
                let why = "forgetting can't be taken back; say `--yes` when you are sure";
                return Err(BadArgument(why.to_owned()).into());
            }
            client.post("/api/people/forget", json!({ "address": address })).await
        }
        People::Remove { person } => {
            client.call(Method::DELETE, &path(client, person, "").await?, None).await
        }
    }
}

/// The path of a person whom somebody named by number or, where only one is called so, by name.
pub(crate) async fn path(client: &Client, person: &str, rest: &str) -> anyhow::Result<String> {
    if person.parse::<i64>().is_ok() {
        return Ok(format!("/api/people/{person}{rest}"));
    }
    let all = client.get("/api/people").await?;
    let named = all.as_array().into_iter().flatten().filter(|it| text(it, "name") == person);
    let ids: Vec<&Value> = named.map(|it| &it["id"]).collect();
    match ids[..] {
        [id] => Ok(format!("/api/people/{id}{rest}")),
        [] => anyhow::bail!("nobody is called `{person}`; `nanogridbot people list` shows all"),
        _ => anyhow::bail!(
            "{} people are called `{person}`; name one by its number in `nanogridbot people list`",
            ids.len()
        ),
    }
}

fn forgot(it: &Value) {
    let (messages, files, lines) = (&it["messages"], &it["files"], &it["memory_lines"]);
    say(&format!("forgot {messages} messages, {files} files and {lines} lines of memory"));
    let backups: Vec<&str> =
        it["backups"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !backups.is_empty() {
        say(&format!("copies in `<home>/backups` still hold them: {}", backups.join(", ")));
    }
    say(&format!("the audit log keeps sha256 {}", text(it, "hash")));
}

fn line(it: &Value) -> Vec<String> {
    let mut roles: Vec<String> = it["role"].as_str().map(str::to_owned).into_iter().collect();
    for of in it["groups"].as_array().into_iter().flatten() {
        roles.push(format!("{} of group {}", text(of, "role"), of["id"]));
    }
    let addresses = it["addresses"].as_array().into_iter().flatten().filter_map(Value::as_str);
    vec![
        it["id"].to_string(),
        harmless(text(it, "name")),
        if roles.is_empty() { "guest".to_owned() } else { roles.join(", ") },
        harmless(&addresses.collect::<Vec<_>>().join(" ")),
    ]
}
