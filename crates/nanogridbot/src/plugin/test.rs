//! `nanogridbot plugin test`: recorded events go to a plugin that is not installed.

use std::{path::Path, process::ExitCode};

use anyhow::Context as _;
use ngb_plugins::wasm::{Limits, Proof, Step, rehearse};

use crate::{
    context::Context,
    plugin::install::candidate,
    print::{harmless, say},
};

pub(super) async fn test(ctx: &Context, file: &Path, source: &Path) -> anyhow::Result<ExitCode> {
    let recording = std::fs::read_to_string(file)
        .with_context(|| format!("could not read `{}`", file.display()))?;
    let it = candidate(ctx, source, &Proof::default()).await?;
    let program = it.program(it.manifest.capabilities.clone(), Limits::default())?;
    let steps = rehearse(program, &it.manifest.config, &recording).await?;
    let wrong = steps.iter().filter(|it| !it.is_right).count();
    ctx.show(&serde_json::json!({ "steps": steps, "wrong": wrong }), |_| {
        steps.iter().for_each(print_step);
        say(&format!("{} events, {wrong} not as expected", steps.len()));
    });
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print_step(step: &Step) {
    let mark = match (&step.expected, step.is_right) {
        (None, _) => "     ",
        (Some(_), true) => "ok   ",
        (Some(_), false) => "WRONG",
    };
    say(&harmless(&format!("{mark} {:3} {}: {}", step.line, step.event, step.said)));
    if let Some(expected) = step.expected.as_ref().filter(|_| !step.is_right) {
        say(&harmless(&format!("          expected: {expected}")));
    }
    for note in &step.notes {
        say(&harmless(&format!("          {note}")));
    }
}
