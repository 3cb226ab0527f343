//! `nanogridbot skill`: what a group's agents are told of how things are done.

use std::process::ExitCode;

use anyhow::Context as _;
use ngb_core::{group::FolderName, skill};
use ngb_gateway::skills::{self, Found};
use serde_json::{Value, json};

use crate::{
    cli::{self, BadArgument},
    client::escaped,
    context::Context,
    print::{self, say, text},
};

/// `nanogridbot skill …`
pub(crate) async fn skill(ctx: &Context, command: &cli::Skill) -> anyhow::Result<ExitCode> {
    let (cli::Skill::List { group } | cli::Skill::Show { group, .. }) = command;
    let path = format!("/api/groups/{}", escaped(group));
    let found = ctx.with_gateway(async |it| it.get(&path).await).await?;
    let folder: FolderName = text(&found, "folder").parse()?;
    let all = skills::of_group(ctx.home.path(), &folder).context("read the skills")?;
    match command {
        cli::Skill::List { .. } => {
            let answer: Value = all.iter().map(row).collect();
            ctx.show(&answer, show_list);
        }
        cli::Skill::Show { name, .. } => {
            let Some(found) = all.iter().find(|it| it.name == *name) else {
                let why =
                    format!("`{group}` has no skill `{name}`; `nanogridbot skill list` shows them");
                return Err(BadArgument(why).into());
            };
            let file = found.path.join(skill::FILE);
            let said = std::fs::read_to_string(&file)
                .with_context(|| format!("read `{}`", file.display()))?;
            let mut answer = row(found);
            answer["text"] = said.into();
            ctx.show(&answer, |it| say(text(it, "text").trim_end()));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn row(found: &Found) -> Value {
    let (description, why) = match &found.skill {
        Ok(it) => (Some(&it.description), None),
        Err(why) => (None, Some(why)),
    };
    json!({
        "name": found.name, "for": if found.is_global { "all groups" } else { "this group" },
        "description": description, "why_not": why, "path": found.path,
    })
}

fn show_list(all: &Value) {
    let row = |it: &Value| {
        let says = match it["why_not"].as_str() {
            Some(why) => format!("can't be used: {why}"),
            None => text(it, "description").to_owned(),
        };
        vec![text(it, "name").to_owned(), text(it, "for").to_owned(), says]
    };
    let rows: Vec<_> = all.as_array().into_iter().flatten().map(row).collect();
    print::table(&["name", "for", "says"], &rows);
}
