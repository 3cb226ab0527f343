//! What the commands print: words for people, one JSON document for programs, the agent's answer.

use std::{net::TcpListener, process::Stdio, time::Duration};

use ngb_core::clock::Clock;

use crate::stand::{Stand, done};

#[test]
fn a_prompt_is_answered_and_explained() {
    let stand = Stand::new();
    let got = stand.run(&["run", "-p", "echo hi"]);
    assert_eq!((got.code, got.out.as_str()), (Some(0), "hi\n"), "{got:?}");

    // Of standard input, with the same agent, explained from the first step to the last.
    let mut command = stand.command(&["run"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"echo again").unwrap();
    let got = done(child.wait_with_output().unwrap());
    assert_eq!((got.code, got.out.as_str()), (Some(0), "again\n"), "{got:?}");

    let why = stand.run(&["why", "1"]);
    assert_eq!(why.code, Some(0), "{why:?}");
    let at = |word: &str| why.out.find(word).unwrap_or_else(|| panic!("no {word}: {}", why.out));
    assert!(at("received") < at("queued"), "{}", why.out);
    assert!(at("queued") < at("claimed"), "{}", why.out);
    assert!(at("claimed") < at("sent "), "{}", why.out);
    assert!(why.out.contains("ms"), "how long each step took: {}", why.out);
}

/// It went on for as long as the command's own gateway waits for work to end.
#[test]
fn a_model_that_never_answers_costs_no_more_than_the_timeout() {
    const LATEST: Duration = Duration::from_secs(10);
    // Connections are made by the kernel, and nobody takes them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let stand = Stand::with(&format!(
        "[agent]\nmodel = \"m/x\"\n[providers.m]\nkind = \"openai\"\nbase_url = \"http://{}/v1\"\n",
        silent.local_addr().unwrap()
    ));
    let started_at = Clock::System.now();
    let got = stand.run(&["run", "-p", "hello", "--timeout", "2s"]);
    let took = Clock::System.now().since(started_at);
    assert_eq!(got.code, Some(1), "{got:?}");
    assert!(
        got.err.contains("error: no answer within 2s; `nanogridbot why 1` tells more"),
        "{got:?}"
    );
    assert!(took < LATEST, "{took:?}");

    // What it had under way is not lost: it waits for a gateway.
    let database = rusqlite::Connection::open(stand.home().join("nanogridbot.db")).unwrap();
    let left = "SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')";
    assert_eq!(database.query_row(left, [], |row| row.get(0)), Ok(1));

    // Not for a command that only looks: nobody asks the model again.
    silent.set_nonblocking(true).unwrap();
    while silent.accept().is_ok() {}
    let started_at = Clock::System.now();
    let why = stand.run(&["why", "1"]);
    assert_eq!(why.code, Some(0), "{why:?}");
    let took = Clock::System.now().since(started_at);
    assert!(took < LATEST, "{took:?}");
    assert!(silent.accept().is_err(), "the model was asked");
}

#[test]
fn ten_megabytes_by_the_command_line() {
    let stand = Stand::new();
    let text = "echo pear ".to_owned() + &"x".repeat(10 << 20);
    let mut command = stand.command(&["--json", "run"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
    let got = done(child.wait_with_output().unwrap());
    assert_eq!(got.code, Some(0), "{}", got.err);
    let answer: serde_json::Value = serde_json::from_str(&got.out).unwrap();
    let said = answer["answer"]["text"].as_str().unwrap();
    let told = "… (the whole text is in the file `message.txt`)";
    assert!(said.starts_with("pear xxx") && said.ends_with(told), "{} characters", said.len());
    let kept = std::fs::read_dir(stand.home().join("groups/main/inbox")).unwrap();
    let sizes: Vec<u64> = kept.map(|it| it.unwrap().metadata().unwrap().len()).collect();
    assert_eq!(sizes, [text.len() as u64]);

    // More than the gateway takes: said so, and nothing of it is stored.
    let mut command = stand.command(&["run"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &vec![b'x'; 17 << 20]).unwrap();
    let got = done(child.wait_with_output().unwrap());
    assert_eq!(got.code, Some(1), "{got:?}");
    assert!(got.err.contains("larger than 16777216 bytes"), "{}", got.err);
}

#[test]
fn the_start_says_what_one_needs() {
    let stand = Stand::with("");
    // Read as the environment is; names of the original are told from what is nobody's.
    std::fs::write(stand.home().join(".env"), "WEB_PORT=1\nNOBODYS=1\n").unwrap();
    let gateway =
        stand.serve_in(&["--port", "0"], &[("SSH_CONNECTION", "192.0.2.1 1 192.0.2.2 22")]);
    let done = gateway.stop();
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.out.lines().count() <= 10, "{}", done.out);
    let port = done.out.split_once("http://127.0.0.1:").unwrap().1;
    let (port, _) = port.split_once('/').unwrap();
    let tunnel = format!("ssh -L {port}:127.0.0.1:{port} ");
    assert!(done.out.contains("#login=") && done.out.contains(&tunnel), "{}", done.out);
    assert!(done.err.contains("`WEB_PORT` is not read; write `NGB_WEB__PORT`"), "{}", done.err);
    assert!(!done.err.contains("NOBODYS"), "{}", done.err);
}

#[test]
fn each_command_prints_one_json_document() {
    let stand = Stand::new();
    let answer = stand.json(&["run", "-p", "echo hi"]);
    assert_eq!(answer["answer"]["text"], "hi");
    let message = answer["id"].to_string();
    let gateway = stand.serve(&[]);
    let table: &[&[&str]] = &[
        &["status"],
        &["doctor"],
        &["memory", "show"],
        &["memory", "history", "main"],
        &["open"],
        &["group", "list"],
        &["group", "show", "main"],
        &["group", "add", "a"],
        &["group", "rename", "a", "b"],
        &["group", "set", "b", "pids=64", "session_reset=idle 2h"],
        &["bind", "telegram@main:5", "b"],
        &["unbind", "telegram@main:5", "b"],
        &["group", "remove", "b"],
        &["why", &message],
        &["simulate", "--chat", "web:main", "--from", "me", "--direct", "hi"],
        &["message", "list", "-g", "main", "--search", "hi"],
        &["message", "show", &message],
        &["dead", "list"],
        &["alerts", "list"],
        &["session", "search", "hi"],
        &["session", "ls"],
        &["session", "show", "1"],
        &["session", "export", "1"],
        &["session", "new", "1"],
        &["session", "kill", "1"],
        &["people", "list"],
        &["usage"],
        &["task", "list"],
        &["mount", "list"],
        &["skill", "list"],
        &["channel", "list"],
        &["logs", "level"],
        &["prune", "--before", "2020-01-01", "--dry-run"],
        &["config"],
        &["run", "-p", "echo hi"],
    ];
    for args in table {
        stand.json(args);
        // And words for people, who get no braces.
        let got = stand.run(args);
        let is_gone =
            matches!(args[0], "group" | "bind" | "unbind") && matches!(got.code, Some(1 | 2));
        assert!(is_gone || !got.out.is_empty() && !got.out.starts_with('{'), "{args:?}: {got:?}");
    }
    assert!(gateway.announced.contains("#login="), "{}", gateway.announced);
}

#[test]
fn nothing_is_coloured_when_nobody_wants_it() {
    let stand = Stand::new();
    for args in [&["--help"][..], &["nope"], &["group", "list"]] {
        let got = done(stand.command(args).env("NO_COLOR", "1").output().unwrap());
        assert!(!got.out.contains('\u{1b}') && !got.err.contains('\u{1b}'), "{args:?}: {got:?}");
    }
    let done = stand.serve(&["--debug"]).stop();
    assert!(!done.err.is_empty() && !done.err.contains('\u{1b}'), "{done:?}");
}

#[test]
fn the_version_and_the_generated_pages() {
    let stand = Stand::new();
    let got = stand.run(&["--version"]);
    assert_eq!((got.code, got.out), (Some(0), "nanogridbot 0.1.0\n".to_owned()));
    for (page, head) in [("roles", "# Roles\n"), ("configuration", "# Configuration\n")] {
        let got = stand.run(&["docs", page]);
        assert!(got.code == Some(0) && got.out.starts_with(head), "{got:?}");
    }
    let got = stand.run(&["completions", "bash"]);
    assert!(got.code == Some(0) && got.out.contains("_nanogridbot()"), "{got:?}");
    assert!(!stand.home().exists(), "nothing of this needs a home");
}
