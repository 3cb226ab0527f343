//! What the pages for people say: each command that they show is run, and what they say lies in a home is what lies there.

use std::{collections::BTreeSet, path::Path};

use ngb_sim::telegram::{Config, Server};

use crate::stand::Stand;

/// The pages whose commands are run, in this order, on one home.
const PAGES: &[&str] = &["README.md", "docs/operations.md", "docs/tasks.md", "docs/queue.md"];

/// Commands that wait for somebody, with the test that runs each.
const ELSEWHERE: &[(&str, &str)] = &[
    ("nanogridbot channel add telegram", "channel.rs"),
    ("nanogridbot shell -g family", "shell.rs"),
    ("nanogridbot logs -f", "logs.rs"),
];

/// A message that the pages name.
const NAMED: &str = "42";

fn page(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::read_to_string(root.join(name)).unwrap()
}

/// The lines behind `$ nanogridbot` in a page, without what is said about them.
fn commands(page: &str) -> Vec<String> {
    let lines = page.lines().filter_map(|it| it.trim().strip_prefix("$ "));
    let lines = lines.map(|it| it.split_once("  #").map_or(it, |(it, _)| it).trim().to_owned());
    lines.filter(|it| it.starts_with("nanogridbot ")).collect()
}

/// The words of a command, as a shell reads them.
fn words(line: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    for c in line.chars() {
        match quote {
            Some(it) if c == it => quote = None,
            None if c == '\'' || c == '"' => quote = Some(c),
            None if c == ' ' => all.push(std::mem::take(&mut word)),
            _ => word.push(c),
        }
    }
    all.push(word);
    all.retain(|it| !it.is_empty());
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_command_of_the_pages_does_what_it_says_and_the_home_holds_what_they_say() {
    let server = Server::start(Config::default()).await.unwrap();
    let (token, api) = (&server.token, &server.url);
    let account = format!("[channels.telegram.main]\ntoken = \"{token}\"\napi_url = \"{api}\"\n");
    let stand = Stand::with(&format!("[web]\nport = 0\n[log]\nlevel = \"debug\"\n{account}"));
    let gateway = stand.serve(&[]);
    let mut message = String::new();
    let mut ran = BTreeSet::new();
    for name in PAGES {
        let found = commands(&page(name));
        assert!(!found.is_empty(), "{name} shows no command any more");
        for line in found {
            ran.insert(line.clone());
            if ELSEWHERE.iter().any(|it| it.0 == line) {
                continue;
            }
            let words = words(&line);
            let args: Vec<&str> = words[1..].iter().map(String::as_str).collect();
            let args: Vec<&str> = args
                .into_iter()
                .map(|it| if it == NAMED { message.as_str() } else { it })
                .collect();
            let got = stand.run(&args);
            assert_eq!(got.code, Some(0), "{name}: {line}: {got:?}");
            if args[0] == "run" {
                message = stand.json(&["run", "-g", "family", "-p", "again"])["id"].to_string();
                assert!(message.parse::<i64>().is_ok(), "{message}");
            }
        }
    }
    for (line, file) in ELSEWHERE {
        assert!(ran.contains(*line), "no page shows `{line}` ({file}) any more");
    }

    // A table row names each thing that lies in the home, with the gateway at work.
    let layout = page("docs/layout.md");
    for entry in std::fs::read_dir(stand.home()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(layout.contains(&format!("| `{name}` |")), "the page does not name `{name}`");
    }
    assert_eq!(gateway.stop().code, Some(0), "the first signal drains");
}

#[test]
fn words_of_a_command() {
    let line = "nanogridbot bind telegram:-1 family --trigger '^@andy\\b' -p \"a b\"";
    let want =
        ["nanogridbot", "bind", "telegram:-1", "family", "--trigger", "^@andy\\b", "-p", "a b"];
    assert_eq!(words(line), want);
}
