//! `nanogridbot usage`: tokens and money, by day, group and model.

use std::process::ExitCode;

use serde_json::Value;

use crate::{
    cli,
    client::escaped,
    context::Context,
    print::{self, say, text},
};

/// `nanogridbot usage`
pub(crate) async fn usage(ctx: &Context, args: &cli::Usage) -> anyhow::Result<ExitCode> {
    let mut path = format!("/api/usage?days={}", args.days);
    if let Some(group) = &args.group {
        path += &format!("&group={}", escaped(group));
    }
    let answer = ctx.with_gateway(async |client| client.get(&path).await).await?;
    ctx.show(&answer, |it| {
        let lines = it["lines"].as_array().map(Vec::as_slice).unwrap_or_default();
        if lines.is_empty() {
            return say("nothing was used");
        }
        let rows: Vec<_> = lines.iter().map(|line| row(line, text(it, "currency"))).collect();
        print::table(&["day", "group", "model", "runs", "input", "output", "cost"], &rows);
        let guessed: u64 = lines.iter().filter_map(|it| it["estimated_tokens"].as_u64()).sum();
        if 0 < guessed {
            say(&format!("{guessed} of the tokens are estimated: no provider counted them"));
        }
        if lines.iter().any(|it| it["cost"].is_null()) {
            say("a cost is unknown where `[prices]` has no price for the model");
        }
    });
    Ok(ExitCode::SUCCESS)
}

fn row(line: &Value, currency: &str) -> Vec<String> {
    let cost = line["cost"].as_f64();
    vec![
        text(line, "day").to_owned(),
        text(line, "group").to_owned(),
        format!("{}/{}", text(line, "provider"), text(line, "model")),
        line["runs"].to_string(),
        line["input_tokens"].to_string(),
        line["output_tokens"].to_string(),
        cost.map_or_else(|| "unknown".to_owned(), |it| format!("{it:.4} {currency}")),
    ]
}
