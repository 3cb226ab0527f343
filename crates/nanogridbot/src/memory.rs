//! `nanogridbot memory`: what a group's conversations remember, and the way back.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::{
    cli,
    client::escaped,
    context::Context,
    print::{self, harmless, say, text},
};

/// `nanogridbot memory …`
pub(crate) async fn memory(ctx: &Context, command: &cli::Memory) -> anyhow::Result<ExitCode> {
    let answer = ctx
        .with_gateway(async |client| match command {
            cli::Memory::Show { group } | cli::Memory::History { group } => {
                client.get(&format!("/api/groups/{}/memory", escaped(group))).await
            }
            cli::Memory::Revert { lane, version } => {
                let body = json!({ "version": version });
                client.post(&format!("/api/lanes/{lane}/memory"), body).await
            }
        })
        .await?;
    ctx.show(&answer, |it| match command {
        cli::Memory::Show { group } => {
            let lanes = lanes(it);
            if lanes.is_empty() {
                say(&format!("`{group}` remembers nothing yet"));
            }
            for lane in lanes {
                say(&format!("# lane {}, {}", lane["lane"], text(lane, "key")));
                say(harmless(text(lane, "text")).trim_end());
            }
        }
        cli::Memory::History { group } => {
            let rows: Vec<Vec<String>> = lanes(it).into_iter().flat_map(rows).collect();
            match rows.is_empty() {
                true => say(&format!("`{group}` has no earlier versions")),
                false => print::table(&["lane", "version", "conversation"], &rows),
            }
        }
        cli::Memory::Revert { lane, version } => {
            say(&format!(
                "lane {lane} remembers version {version} again; what was there is a version now"
            ));
        }
    });
    Ok(ExitCode::SUCCESS)
}

fn lanes(answer: &Value) -> Vec<&Value> {
    answer["lanes"].as_array().into_iter().flatten().collect()
}

/// A line for each earlier version of a lane.
fn rows(lane: &Value) -> Vec<Vec<String>> {
    let versions = lane["versions"].as_array().into_iter().flatten();
    let row =
        |it: &Value| vec![lane["lane"].to_string(), it.to_string(), text(lane, "key").to_owned()];
    versions.map(row).collect()
}
