//! An agent that does what no agent should, when it is told to: it stands in for `nanogridbot` in a real sandbox.
//!
//! An example and not a binary, since `cargo test` builds it and nobody installs it.

#![expect(clippy::disallowed_methods, reason = "this is a test program, it starts processes")]

use std::{
    io::{BufRead as _, StdoutLock, Write as _},
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

use ngb_core::frame::{FromAgent, Outcome, PROTOCOL, Prompt, Step, ToAgent};
use ngb_sandbox::native::init_main;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("__sandbox") => init_main(),
        Some("agent") => match agent() {
            Ok(()) => ExitCode::SUCCESS,
            Err(err) => {
                eprintln!("{err:#}");
                ExitCode::FAILURE
            }
        },
        other => {
            eprintln!("what is {other:?}?");
            ExitCode::FAILURE
        }
    }
}

fn agent() -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    say(&mut out, &FromAgent::Ready { protocol: PROTOCOL })?;
    for line in std::io::stdin().lock().lines() {
        if let ToAgent::Prompt(prompt) = serde_json::from_str(&line?)? {
            obey(&mut out, &prompt)?;
        }
    }
    Ok(())
}

fn obey(out: &mut StdoutLock<'_>, prompt: &Prompt) -> anyhow::Result<()> {
    let text = prompt.messages.last().map(|it| it.text.clone()).unwrap_or_default();
    match text.as_str() {
        "exit" => std::process::exit(3),
        "garbage" => out.write_all(b"\xff\xfe\0 is no frame\n")?,
        "giant" => {
            for _ in 0..100 {
                out.write_all(&[b'x'; 1 << 20])?;
            }
        }
        "flood" => loop {
            let step = Step::Text { delta: "lorem ipsum ".repeat(5_000) };
            say(out, &FromAgent::Progress { prompt: prompt.id, step })?;
        },
        "hang" => shell("sleep 1000"),
        "forks" => shell("bomb() { bomb | bomb & }; bomb 2>/dev/null; sleep 1000"),
        "fills" => shell("i=0; while :; do i=$((i+1)); head -c 1M /dev/zero > $i; done"),
        _ => {
            let outcome = Outcome::Answered { text: format!("you said {text}\0") };
            say(out, &FromAgent::Done { prompts: vec![prompt.id], outcome, session: None })?;
        }
    }
    Ok(())
}

/// Becomes a shell that runs `script`.
fn shell(script: &str) {
    let err = Command::new("/bin/sh").args(["-c", script]).exec();
    eprintln!("no shell: {err}");
}

fn say(out: &mut StdoutLock<'_>, frame: &FromAgent) -> anyhow::Result<()> {
    serde_json::to_writer(&mut *out, frame)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}
