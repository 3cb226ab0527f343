//! `nanogridbot import`: what another program of this family has, taken over.
//!
//! A reader makes of each program's files what `apply` takes ([`Document`]), a history, and files; from there on all are alike.

mod files;
mod flat;
mod split;
mod words;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, bail};
use clap::Args;
use ngb_core::{group::GroupName, tasks::blocking};
use serde_json::{Value, json};

use self::files::Given;
use crate::{
    cli::BadArgument,
    client::Client,
    context::Context,
    declare::{self, Document},
    print::{self, say, text},
};

/// Messages of one call of the API.
const MESSAGES_AT_ONCE: usize = 500;

/// Why an imported task is paused.
const NOTE: &str = "imported; `nanogridbot import --go-live` has it fire";

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  nanogridbot import ~/nanoclaw --dry-run
  nanogridbot import ~/nanoclaw
  nanogridbot import --go-live")]
pub(crate) struct Import {
    /// The folder of the other program, which must not run meanwhile; it is only read. NanoClaw (`data/v2.db`, or
    /// `store/messages.db` before that) and the NanoGridBot in Python are known.
    #[arg(required_unless_present = "go_live", conflicts_with = "go_live")]
    from: Option<PathBuf>,
    /// Only say what would be taken over, and what can't be.
    #[arg(long)]
    dry_run: bool,
    /// Have the tasks fire that were imported: until then they are paused, so that two programs don't both do them.
    #[arg(long)]
    go_live: bool,
}

/// What a program has, in our words.
pub(super) struct Found {
    /// What it is.
    program: &'static str,
    document: Document,
    /// By the folder of the group, as the API takes them.
    messages: Vec<(String, Value)>,
    files: Vec<Given>,
    /// What can't be taken over, and why.
    left: Vec<String>,
}

impl Found {
    fn new(program: &'static str) -> Self {
        Self {
            program,
            document: Document::new(),
            messages: Vec::new(),
            files: Vec::new(),
            left: Vec::new(),
        }
    }

    /// Gives groups names that can be theirs here: one that is no name, or another's, is the folder's.
    fn name_groups(&mut self) {
        let mut taken = std::collections::BTreeSet::new();
        for group in &mut self.document.groups {
            if group.name.parse::<GroupName>().is_err() || !taken.insert(group.name.clone()) {
                group.name.clone_from(&group.folder);
            }
        }
    }

    /// Notes what can't be taken over.
    fn leave(&mut self, what: impl std::fmt::Display, why: impl std::fmt::Display) {
        self.left.push(format!("{what}: {why}"));
    }
}

/// `nanogridbot import`
pub(crate) async fn import(ctx: &Context, args: &Import) -> anyhow::Result<ExitCode> {
    let Some(from) = &args.from else { return go_live(ctx, args.dry_run).await };
    let from = std::path::absolute(from)?;
    let source = from.clone();
    let found = blocking("read what is imported", move || {
        if source.join("data/v2.db").is_file() {
            return split::read(&source);
        }
        if source.join("store/messages.db").is_file() {
            return flat::read(&source);
        }
        let why = format!(
            "`{}` has neither `data/v2.db` nor `store/messages.db`: name the folder of a NanoClaw or NanoGridBot",
            source.display()
        );
        Err(BadArgument(why).into())
    });
    let mut found = found.await?;
    found.name_groups();
    let zone = crate::make::zone(&ctx.home)?;
    let (steps, added) = ctx
        .with_gateway(async |client| {
            let steps = declare::make_true(client, &found.document, &zone, args.dry_run).await?;
            let added = if args.dry_run { 0 } else { history(client, &found.messages).await? };
            Ok((steps, added))
        })
        .await?;
    let (home, given, dry) = (ctx.home.path().to_owned(), found.files, args.dry_run);
    let copied = blocking("copy files", move || files::copy(&home, &given, dry)).await?;
    let mut left = found.left;
    left.extend(copied.left);
    let answer = json!({
        "program": found.program, "dry_run": args.dry_run, "steps": steps, "messages_found": found.messages.len(),
        "messages_added": added, "files": copied.files, "left": left,
    });
    ctx.show(&answer, |_| {
        say(&format!("{} in {}", found.program, from.display()));
        print::lines(&steps);
        say(&match args.dry_run {
            true => format!(
                "{} messages, {} files; without `--dry-run` all this is taken over",
                found.messages.len(),
                copied.files.len()
            ),
            false => format!("{added} messages and {} files taken over", copied.files.len()),
        });
        if !left.is_empty() {
            say("Not taken over:");
            print::lines(&left.iter().map(|it| format!("  {it}")).collect::<Vec<_>>());
        }
        if !args.dry_run && !found.document.tasks.is_empty() {
            say("Its tasks are paused. End the other program, then: nanogridbot import --go-live");
        }
    });
    Ok(ExitCode::SUCCESS)
}

async fn history(client: &Client, messages: &[(String, Value)]) -> anyhow::Result<u64> {
    let mut added = 0;
    for same in messages.chunk_by(|a, b| a.0 == b.0) {
        for part in same.chunks(MESSAGES_AT_ONCE) {
            let all: Vec<&Value> = part.iter().map(|it| &it.1).collect();
            let body = json!({ "group": same[0].0, "messages": all });
            let answer =
                client.post("/api/imports", body).await.context("could not import messages")?;
            added += answer["added"].as_u64().unwrap_or_default();
        }
    }
    Ok(added)
}

/// Has imported tasks fire.
async fn go_live(ctx: &Context, is_dry: bool) -> anyhow::Result<ExitCode> {
    let tasks = ctx
        .with_gateway(async |client| {
            let all = client.get("/api/tasks").await?;
            let is_ours = |it: &&Value| text(it, "status") == "paused" && text(it, "note") == NOTE;
            let tasks: Vec<Value> =
                all.as_array().into_iter().flatten().filter(is_ours).cloned().collect();
            for task in tasks.iter().filter(|_| !is_dry) {
                let done =
                    client.post(&format!("/api/tasks/{}/resume", task["id"]), json!({})).await;
                if let Err(err) = done {
                    bail!("task {}: {err:#}", task["id"]);
                }
            }
            Ok(tasks)
        })
        .await?;
    let ids: Vec<&Value> = tasks.iter().map(|it| &it["id"]).collect();
    ctx.show(&json!({ "tasks": ids, "dry_run": is_dry }), |_| {
        for task in &tasks {
            say(&format!(
                "task {} of `{}`: {}",
                task["id"],
                text(task, "group_name"),
                text(task, "prompt")
            ));
        }
        say(&format!(
            "{} tasks {}",
            tasks.len(),
            if is_dry { "would go live" } else { "are live" }
        ));
    });
    Ok(ExitCode::SUCCESS)
}
