//! `nanogridbot logs`: the log of this home, as it is or as it grows, whole or of one message.

mod tail;

use std::{
    collections::BTreeSet,
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use ngb_core::tasks::blocking;
use reqwest::Method;
use serde_json::{Value, json};

use self::tail::Tail;
use crate::{
    cli::{self, BadArgument},
    client::Client,
    context::Context,
    print::{say, text},
};

/// `nanogridbot logs`
pub(crate) async fn logs(ctx: &Context, args: &cli::Logs) -> anyhow::Result<ExitCode> {
    if let Some(cli::LogsCommand::Level { level, target }) = &args.command {
        return change(ctx, level.as_deref(), target.as_deref()).await;
    }
    let dir = ctx.home.logs();
    let filter = args.message.map(OfMessage::new);
    let (follow, lines, json) = (args.follow, args.lines, ctx.json);
    // Reading waits for the file to grow; Ctrl-C ends the process as it does any other's.
    blocking("logs", move || show(&dir, Shown { follow, lines, json, filter })).await
}

/// What is printed.
struct Shown {
    follow: bool,
    lines: usize,
    json: bool,
    filter: Option<OfMessage>,
}

fn show(dir: &std::path::Path, mut shown: Shown) -> anyhow::Result<ExitCode> {
    let unreadable = || format!("could not read the log in `{}`", dir.display());
    if !dir.join(crate::log::FILE).exists() {
        bail!("there is no log in `{}`; a gateway makes it when it starts", dir.display());
    }
    let mut tail = Tail::open(dir).with_context(unreadable)?;
    let enough = shown.filter.is_none().then_some(shown.lines);
    let mut found = tail.past(enough).with_context(unreadable)?;
    match &mut shown.filter {
        // Every line counts: the first that names the message may be days old.
        Some(filter) => {
            found.iter().for_each(|it| filter.learn(it));
            found.retain(|it| filter.takes(it));
        }
        None => drop(found.drain(..found.len().saturating_sub(shown.lines))),
    }
    if found.is_empty()
        && let Some(OfMessage { id, .. }) = &shown.filter
    {
        eprintln!(
            "no line of the log names message {id}; `nanogridbot why {id}` shows its way, and"
        );
        eprintln!("`nanogridbot logs level debug` writes more down from now on");
    }
    loop {
        for line in &found {
            if let Some(filter) = &mut shown.filter {
                filter.learn(line);
                if !filter.takes(line) {
                    continue;
                }
            }
            let line = if shown.json { as_json(line).to_string() } else { line.clone() };
            if writeln!(io::stdout(), "{line}").is_err() {
                // Whoever read it has gone.
                return Ok(ExitCode::SUCCESS);
            }
        }
        if !shown.follow {
            return Ok(ExitCode::SUCCESS);
        }
        found = tail.more().with_context(unreadable)?;
    }
}

/// A line as one JSON document: itself where the log is written so, else its time, level and words.
fn as_json(line: &str) -> Value {
    if let Ok(value @ Value::Object(_)) = serde_json::from_str(line) {
        return value;
    }
    let mut words = line.splitn(2, ' ');
    let (at, rest) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (level, said) = rest.trim_start().split_once(' ').unwrap_or_default();
    match at.parse::<jiff::Timestamp>() {
        Ok(_) => json!({ "timestamp": at, "level": level, "text": said.trim_start() }),
        // A further line of what was said before.
        Err(_) => json!({ "text": line }),
    }
}

/// Knows the lines of one message: those that name it, and those of the runs that carried it.
struct OfMessage {
    id: u64,
    runs: BTreeSet<u64>,
}

impl OfMessage {
    fn new(id: u64) -> Self {
        Self { id, runs: BTreeSet::new() }
    }

    /// Notes the run that a line says the message is carried by.
    fn learn(&mut self, line: &str) {
        if numbers(line, "messages").any(|it| it == self.id) {
            self.runs.extend(numbers(line, "run"));
        }
    }

    fn takes(&self, line: &str) -> bool {
        numbers(line, "messages").any(|it| it == self.id)
            || numbers(line, "run").any(|it| self.runs.contains(&it))
    }
}

/// The numbers of the field `key`, as `key=1,2` or `"key":"1,2"`.
fn numbers<'a>(line: &'a str, key: &'a str) -> impl Iterator<Item = u64> {
    let fields = line.match_indices(key).filter_map(move |(at, _)| {
        let is_word = |it: char| it.is_ascii_alphanumeric() || it == '_';
        let rest = &line[at + key.len()..];
        let value = rest.strip_prefix('=').or_else(|| rest.strip_prefix("\":"))?;
        let begins = !line[..at].ends_with(is_word);
        begins.then(|| value.trim_start_matches('"'))
    });
    fields.flat_map(|value| {
        let end = value.find(|it: char| !it.is_ascii_digit() && it != ',').unwrap_or(value.len());
        value[..end].split(',').filter_map(|it| it.parse().ok())
    })
}

/// `nanogridbot logs level`
async fn change(
    ctx: &Context,
    level: Option<&str>,
    target: Option<&str>,
) -> anyhow::Result<ExitCode> {
    let Some(client) = Client::connect(&ctx.home.socket()).await? else {
        bail!(
            "no gateway runs on `{}`; `[log] level` says what the next one logs",
            ctx.home.path().display()
        );
    };
    let answer = match (level, target) {
        (Some(level), target) => {
            let body = json!({ "level": level, "target": target });
            client.call(Method::PATCH, "/api/log", Some(body)).await?
        }
        (None, Some(_)) => {
            return Err(BadArgument("say which level the target is to have".to_owned()).into());
        }
        (None, None) => client.get("/api/log").await?,
    };
    ctx.show(&answer, |it| {
        let of = |(name, level): (&String, &Value)| {
            format!(",{name}={}", level.as_str().unwrap_or_default())
        };
        let targets: String = it["targets"].as_object().into_iter().flatten().map(of).collect();
        say(&format!("{}{targets}", text(it, "level")));
    });
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_message_and_of_its_runs() {
        #[rustfmt::skip]
        let lines = [
            ("INFO something else",                                     false),
            ("DEBUG stored messages=7",                                 true),
            ("DEBUG stored messages=71",                                false),
            ("DEBUG run begins run=3 messages=5,7",                     true),
            (r#"{"fields":{"message":"run begins","run":"4","messages":"7"}}"#, true),
            ("INFO audit: model request lane=1 group=1 run=3",          true),
            (r#"{"fields":{"message":"model request","run":"4"}}"#,     true),
            ("INFO audit: model request run=33",                        false),
            ("DEBUG rerun=3",                                           false),
        ];
        let mut filter = OfMessage::new(7);
        lines.iter().for_each(|it| filter.learn(it.0));
        for (line, want) in lines {
            assert_eq!(filter.takes(line), want, "{line}");
        }
    }

    #[test]
    fn lines_as_json() {
        #[rustfmt::skip]
        let table = [
            ("2026-11-22T20:51:03.123456Z  INFO all is well a=1", json!({"timestamp": "2026-11-22T20:51:03.123456Z", "level": "INFO", "text": "all is well a=1"})),
            (r#"{"level":"INFO"}"#,                               json!({"level": "INFO"})),
            ("and more of it",                                    json!({"text": "and more of it"})),
            ("",                                                  json!({"text": ""})),
        ];
        for (line, want) in table {
            assert_eq!(as_json(line), want);
        }
    }
}
