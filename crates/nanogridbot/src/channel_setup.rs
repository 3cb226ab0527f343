//! `nanogridbot channel setup`: what is left to do at the platform, until the first message is answered.

use std::{process::ExitCode, time::Duration};

use ngb_core::clock::Clock;
use serde_json::Value;

use crate::{
    cli::BadArgument,
    client::{Client, escaped},
    context::Context,
    print::{self, harmless, say, text},
    settings::parse_duration,
};

/// How long somebody at a terminal is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// Longest that one question to the gateway waits, in seconds.
const ASK_AGAIN_S: u64 = 30;

/// The time that `text` names.
pub(crate) fn patience(text: &str) -> anyhow::Result<Duration> {
    Ok(parse_duration(text).map_err(|err| BadArgument(err.to_string()))?)
}

/// Says what is left to do and follows the account until its first message is answered, or for as long as `wait`; fails
/// when it is refused or can't answer.
pub(crate) async fn follow(
    ctx: &Context,
    client: &Client,
    account: &str,
    wait: Duration,
) -> anyhow::Result<ExitCode> {
    let clock = Clock::System;
    let until = clock.now() + wait;
    let path = format!("/api/channels/{}/setup", escaped(account));
    let mut it = client.get(&path).await?;
    let mut guided = false;
    loop {
        if !ctx.json {
            tell(&it, &mut guided);
        }
        let left = until.since(clock.now());
        if left.is_zero() || matches!(text(&it, "stage"), "refused" | "cant_answer" | "answered") {
            break;
        }
        let wait_s = left.as_secs().clamp(1, ASK_AGAIN_S);
        let stage = text(&it, "stage").to_owned();
        let mut next = it.clone();
        while next["stage"] == it["stage"] && clock.now() < until {
            next = client.get(&format!("{path}?after={stage}&wait_s={wait_s}")).await?;
        }
        if next["stage"] == it["stage"] {
            break;
        }
        it = next;
    }
    if ctx.json {
        print::json(&it);
    }
    let failed = matches!(text(&it, "stage"), "refused" | "cant_answer");
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// One stage, in words.
fn tell(it: &Value, guided: &mut bool) {
    let account = text(it, "account");
    let why = harmless(text(it, "why"));
    match text(it, "stage") {
        "connecting" if it["webhook"].is_null() => say(&format!("`{account}` is connecting")),
        "connecting" => {
            say(&format!("`{account}` waits for its platform's first call"));
            guide(it, guided);
        }
        "refused" => say(&format!("`{account}` is not connected: {why}")),
        "connected" => {
            say(&format!("`{account}` is connected"));
            guide(it, guided);
        }
        "heard" => say("a message came"),
        "answered" => {
            say("a message came and was answered; nothing is missing");
            say("a chat that was shown a code is let in by `nanogridbot approve CODE --me`");
        }
        _ => {
            say(&format!("a message came, and could not be answered: {why}"));
            list("what may be missing:", &it["missing"]);
        }
    }
}

/// What is left to do at the platform; once.
fn guide(it: &Value, guided: &mut bool) {
    if std::mem::replace(guided, true) {
        return;
    }
    let console = text(it, "console");
    let steps = it["steps"].as_array().into_iter().flatten().filter_map(Value::as_str);
    say(&format!("what is left to do on {console} (what is done already need not be done again):"));
    for (number, step) in (1..).zip(steps) {
        say(&format!("  {number}. {step}"));
    }
    if let Some(path) = it["webhook"]["path"].as_str() {
        let missing = format!("{path} (set `[web] public_url` for the whole address)");
        say(&format!("the address: {}", it["webhook"]["url"].as_str().unwrap_or(&missing)));
    }
    if let Some(pasted) = it["import"]["text"].as_str() {
        say(&format!("to paste into {}:", text(&it["import"], "place")));
        say(pasted);
    }
    say(&format!("then {}", text(it, "write")));
    list("if no message comes, what may be missing:", &it["missing"]);
    say(&format!("note: {}", text(it, "others")));
    say("waiting for the first message; the account stays when you end this");
}

fn list(head: &str, items: &Value) {
    say(head);
    for item in items.as_array().into_iter().flatten().filter_map(Value::as_str) {
        say(&format!("  - {}", harmless(item)));
    }
}
