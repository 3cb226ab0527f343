//! `nanogridbot export` and `apply`: groups, bindings, tasks and people as one file, and such a file made true.
//!
//! Both speak to the gateway by its API, whether it runs or is started for the command: what a page may not do, a file may
//! not either.

mod document;
mod export;
mod hidden;
mod people;
mod plan;
mod tasks;

use std::{
    io::{Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Args;
use ngb_core::clock::Clock;
use serde_json::json;

pub(crate) use self::document::{Binding, Document, Group, Person, Task};
use self::{hidden::Hidden, plan::Step};
use crate::{cli::BadArgument, client::Client, context::Context, print};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  nanogridbot export gateway.toml
  nanogridbot export | diff gateway.toml -")]
pub(crate) struct Export {
    /// Write this file, which must not be there; default standard output.
    file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  nanogridbot apply gateway.toml --dry-run
  nanogridbot apply gateway.toml
  ssh old nanogridbot export | nanogridbot apply -")]
pub(crate) struct Apply {
    /// What `nanogridbot export` writes; `-` reads standard input.
    file: PathBuf,
    /// Only say what would change.
    #[arg(long)]
    dry_run: bool,
    /// Remove what is not in the file: groups (their folders are kept aside), bindings, tasks, people's roles.
    #[arg(long)]
    prune: bool,
}

/// `nanogridbot export`
pub(crate) async fn export(ctx: &Context, args: &Export) -> anyhow::Result<ExitCode> {
    let hidden = Hidden::read(&ctx.home)?;
    let now = ctx.with_gateway(async |client| export::read(client).await).await?;
    let text = hidden.conceal(&now.document.to_text()?);
    let Some(file) = &args.file else {
        if ctx.json {
            print::json(&json!({ "document": text }));
        } else {
            print::say(text.trim_end());
        }
        return Ok(ExitCode::SUCCESS);
    };
    let failed = || format!("could not write `{}`", file.display());
    let mut options = std::fs::File::options();
    let out = options.write(true).create_new(true).mode(0o600).open(file);
    out.and_then(|mut it| it.write_all(text.as_bytes())).with_context(failed)?;
    let it = &now.document;
    let (groups, tasks, people) = (it.groups.len(), it.tasks.len(), it.people.len());
    let answer = json!({ "file": file, "groups": groups, "tasks": tasks, "people": people });
    ctx.show(&answer, |_| {
        print::say(&format!(
            "{}: {groups} groups, {tasks} tasks, {people} people; secrets are in it as references only",
            file.display()
        ));
    });
    Ok(ExitCode::SUCCESS)
}

/// `nanogridbot apply`
pub(crate) async fn apply(ctx: &Context, args: &Apply) -> anyhow::Result<ExitCode> {
    let text = Hidden::read(&ctx.home)?.reveal(&read(&args.file)?)?;
    let wanted = Document::parse(&text, &args.file)?;
    let zone = crate::make::zone(&ctx.home)?;
    let steps = ctx
        .with_gateway(async |client| {
            let now = export::read(client).await?;
            let steps = plan::plan(&wanted, &now, &zone, Clock::System.now(), args.prune)?;
            if !args.dry_run {
                take(client, &steps).await?;
            }
            Ok(steps)
        })
        .await?;
    let changes = steps.iter().filter(|it| !it.calls.is_empty()).count();
    let lines: Vec<String> = steps.iter().map(Step::line).collect();
    ctx.show(&json!({ "dry_run": args.dry_run, "changes": changes, "steps": lines }), |_| {
        print::lines(&lines);
        print::say(&match (changes, args.dry_run) {
            (0, _) => "nothing to change".to_owned(),
            (n, true) => format!("{n} changes; without `--dry-run` they are made"),
            (n, false) => format!("{n} changes made"),
        });
    });
    Ok(ExitCode::SUCCESS)
}

fn read(file: &Path) -> anyhow::Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("could not read standard input")?;
        return Ok(text);
    }
    let text = std::fs::read_to_string(file);
    text.map_err(|err| BadArgument(format!("could not read `{}`: {err}", file.display())).into())
}

/// Takes the steps one after the other. Whatever stops it half-way, the same file goes on from there.
async fn take(client: &Client, steps: &[Step]) -> anyhow::Result<()> {
    for step in steps {
        let mut made: Option<String> = None;
        for call in &step.calls {
            let path = match (&made, call.path.contains(plan::MADE)) {
                (Some(id), true) => call.path.replace(plan::MADE, id),
                _ => call.path.clone(),
            };
            let answer = client.call(call.method.clone(), &path, call.body.clone()).await;
            let answer = answer.with_context(|| format!("could not go on at: {}", step.line()))?;
            if let Some(id) = answer["id"].as_i64() {
                made.get_or_insert(id.to_string());
            }
        }
    }
    Ok(())
}

/// Makes `wanted` true, for an import; what it doesn't name stays, and is not spoken of.
pub(crate) async fn make_true(
    client: &Client,
    wanted: &Document,
    zone: &str,
    is_dry: bool,
) -> anyhow::Result<Vec<String>> {
    let now = export::read(client).await?;
    let mut steps = plan::plan(wanted, &now, zone, Clock::System.now(), false)?;
    steps.retain(|it| !it.is_surplus());
    if !is_dry {
        take(client, &steps).await?;
    }
    Ok(steps.iter().map(Step::line).collect())
}
