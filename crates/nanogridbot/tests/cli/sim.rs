//! Simulated platforms for people: the page with nine chats, and scenarios.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Stdio},
    time::Duration,
};

use ngb_core::clock::Clock;
use serde_json::{Value, json};

use crate::stand::Stand;

/// Longest that nine answers may take.
const LIMIT: Duration = Duration::from_secs(60);

const BARE: &str = "[web]\nport = 0\n[sandbox]\nengine = \"bare\"\n";

/// The example of the page about scenarios.
fn example() -> &'static str {
    let page = include_str!("../../../../docs/scenarios.md");
    page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap()
}

#[test]
fn the_documented_scenario_comes_true_on_all_eight() {
    let stand = Stand::with(BARE);
    let file = stand.home().join("scenario.toml");
    std::fs::write(&file, example()).unwrap();
    let got = stand.json(&["sim", "scenario", file.to_str().unwrap()]);
    assert_eq!(got["passed"], true, "{got}");
    let steps = got["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 9 + 8 + 1, "QQ has two accounts: {got}");
    assert!(!stand.home().join("nanogridbot.db").exists(), "the home is not touched");
}

#[test]
fn what_does_not_come_true_is_told_with_what_came_instead() {
    let stand = Stand::with(BARE);
    let file = stand.home().join("scenario.json");
    let steps = json!({"step": [{"on": ["qq"], "say": "one", "expect": "another", "within_s": 2}]});
    std::fs::write(&file, steps.to_string()).unwrap();
    let got = stand.run(&["sim", "scenario", file.to_str().unwrap()]);
    assert_eq!(got.code, Some(1), "{got:?}");
    assert!(got.out.contains("step  1  qq        FAILED"), "{got:?}");
    assert!(got.out.contains("shown: ") && got.out.contains("one"), "{got:?}");

    std::fs::write(&file, r#"{"step": [{"say": "hi", "expects": "x"}]}"#).unwrap();
    let got = stand.run(&["sim", "scenario", file.to_str().unwrap()]);
    assert_eq!(got.code, Some(2), "{got:?}");
    assert!(got.err.contains("unknown field `expects`"), "{got:?}");
    let got = stand.run(&["sim", "scenario", "/nowhere.toml"]);
    assert_eq!(got.code, Some(1), "{got:?}");
    assert!(got.err.contains("could not read `/nowhere.toml`"), "{got:?}");
}

/// The simulators as a process that is gone with its handle.
struct Town {
    child: Child,
    page: String,
}

impl Drop for Town {
    fn drop(&mut self) {
        // It may have ended by itself, which the test has noticed by then.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn town(stand: &Stand, args: &[&str]) -> Town {
    let mut command = stand.command(&[&["sim", "all", "--bind", "127.0.0.1:0"], args].concat());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let page = line.trim().rsplit(' ').next().unwrap().to_owned();
    assert!(page.starts_with("http://127.0.0.1:"), "{line}");
    Town { child, page }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_plays_the_people_on_one_page() {
    // Another test of this process may have done so.
    drop(rustls::crypto::ring::default_provider().install_default());
    let stand = Stand::with(BARE);
    let gateway = stand.serve(&[]);
    let line = gateway.announced.lines().find(|it| it.contains("  page ")).unwrap();
    let base = line.split_whitespace().last().unwrap().split("/#").next().unwrap();
    let town = town(&stand, &["--write", "--gateway", base]);
    let http = reqwest::Client::new();
    let page = http.get(&town.page).send().await.unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    assert!(page.text().await.unwrap().contains("Nine chats"));

    // Once a platform has its gateway, what a person writes there is answered there.
    let played = play(&http, &town.page);
    Clock::System.timeout(LIMIT, played).await.expect("all nine answer");

    // Only this page may speak for them.
    let url = format!("{}api/say", town.page);
    let body = r#"{"on": "qq", "text": "x"}"#;
    let simple = http.post(&url).header("content-type", "text/plain").body(body);
    assert_eq!(simple.send().await.unwrap().status(), 400);
    let rebound = http.get(&town.page).header("host", "evil.example");
    assert_eq!(rebound.send().await.unwrap().status(), 403);
    assert_eq!(gateway.stop().code, Some(0));
}

/// Says hello on each platform once its gateway is there, until each hello is answered.
async fn play(http: &reqwest::Client, page: &str) {
    let mut version = Value::Null;
    let mut said = Vec::new();
    loop {
        let url = format!("{page}api/chats?after={version}");
        let got: Value = http.get(url).send().await.unwrap().json().await.unwrap();
        version = got["version"].clone();
        let chats = got["chats"].as_array().unwrap();
        assert_eq!(chats.len(), 9);
        for it in chats {
            let kind = it["kind"].as_str().unwrap();
            if it["connected"] == true && !said.contains(&kind.to_owned()) {
                said.push(kind.to_owned());
                let body = json!({"on": kind, "text": format!("hello {kind}")});
                let url = format!("{page}api/say");
                let answer = http.post(url).json(&body).send().await.unwrap();
                assert!(answer.status().is_success());
            }
        }
        let is_answered = |it: &Value| {
            let word = format!("hello {}", it["kind"].as_str().unwrap());
            let shown = it["shown"].as_array().unwrap();
            shown.iter().any(|it| it["text"].as_str().unwrap().contains(&word))
        };
        if chats.iter().all(is_answered) {
            return;
        }
    }
}
