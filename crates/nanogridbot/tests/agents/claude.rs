//! The driver `claude-code`, from the chat to the answer.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use ngb_sim::telegram::{Draft, Press, SentMessage};
use serde_json::{Value, json};

use crate::common::{Gateway, Stage};

/// A folder of agents that `tests/agents/package.json` pins; `scripts/test` installs it.
#[expect(clippy::disallowed_methods, reason = "which ones are tested is said by the environment")]
pub(crate) fn program(name: &str) -> PathBuf {
    let folder =
        std::env::var("NGB_TEST_AGENTS").expect("NGB_TEST_AGENTS names a folder of agents");
    PathBuf::from(folder).join(name)
}

/// A stage whose model is of Anthropic's shape, and whose agent is Claude Code.
pub(crate) async fn stage() -> Stage {
    let mut stage = Stage::new().await;
    stage.model.behave(|it| {
        it.first_token_ms = 0;
        it.key = Some("sk-planted-4455".into());
    });
    let claude = program("claude").to_str().unwrap().to_owned();
    for (name, value) in [
        ("NGB_PROVIDERS__SIM__KIND", "anthropic"),
        ("NGB_PROVIDERS__SIM__BASE_URL", &stage.model.url()),
        ("NGB_PROVIDERS__SIM__API_KEY", "sk-planted-4455"),
        ("NGB_AGENT__DRIVER", "claude-code"),
        ("NGB_AGENT__CLAUDE_PATH", &claude),
    ] {
        stage.env.insert(name.into(), value.into());
    }
    stage
}

/// What `group` answers to `prompt`.
pub(crate) async fn ask(stage: &Stage, group: &str, prompt: &str) -> String {
    let out = stage.output(&["run", "-g", group, "-p", prompt]).await;
    String::from_utf8(out.stdout).unwrap()
}

/// Longest that the agent may take to write what it remembers, and how often that is looked for: a file tells nobody that it
/// grew.
const LIMIT: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Waits until an agent has written what it was told: when it does is its own affair, and what is not on the disk is gone
/// with it.
pub(crate) async fn remembered(stage: &Stage, text: &str) {
    let written = async {
        while !is_written(&stage.home.join("lanes"), text) {
            stage.clock.sleep(LOOK_AGAIN).await;
        }
    };
    stage.clock.timeout(LIMIT, written).await.expect("it writes what it was told");
}

/// Whether a transcript below `folder` has `text` in it.
fn is_written(folder: &Path, text: &str) -> bool {
    fs::read_dir(folder).into_iter().flatten().flatten().any(|it| {
        let path = it.path();
        match path.is_dir() {
            true => is_written(&path, text),
            false => {
                path.extension().is_some_and(|it| it == "jsonl")
                    && fs::read_to_string(&path).is_ok_and(|it| it.contains(text))
            }
        }
    })
}

/// A line that has the simulator run a command.
fn bash(command: &str) -> String {
    format!("tool:Bash {}\n", json!({ "command": command, "description": "test" }))
}

fn rules(stage: &Stage, rules: &Value) {
    let folder = stage.home.join("claude-code");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("managed-settings.json"), rules.to_string()).unwrap();
}

/// What the model was told so far.
fn told(stage: &Stage) -> String {
    stage.model.requests().iter().map(|it| it.body.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_works_behind_the_walls_and_remembers() {
    let stage = stage().await;
    rules(&stage, &json!({ "permissions": { "deny": ["Bash(git push *)"] } }));
    fs::create_dir_all(stage.home.join("groups/global")).unwrap();
    fs::write(stage.home.join("groups/global/AGENTS.md"), "the operator says 4711").unwrap();
    let gateway = stage.started().await;
    stage.cli(&["group", "add", "team"]).await;
    let script = "id -u; pwd; echo $HOME; echo x > a.txt; cat /etc/claude-code/managed-settings.json; \
                  echo x 2>&- >> /etc/claude-code/managed-settings.json || echo rules are kept; env; cat /proc/*/environ; \
                  test -e /root || echo no host; git push origin";
    let said = ask(&stage, "team", &format!("the fact is 6120\n{}", bash(script))).await;
    assert!(!said.contains("sk-planted"), "{said}");
    // The part that a rule forbids takes the whole command with it.
    assert!(said.contains("denied") || said.contains("permission"), "{said}");
    let said = ask(&stage, "team", &bash(&script.replace("; git push origin", ""))).await;
    for needle in
        ["1000\n/workspace/group\n/workspace/lane\n", "git push *", "rules are kept", "no host"]
    {
        assert!(said.contains(needle), "{needle}: {said}");
    }
    assert!(said.contains("ANTHROPIC_API_KEY=the-broker-has-it"), "{said}");
    assert!(!said.contains("sk-planted"), "{said}");
    assert!(stage.home.join("groups/team/a.txt").exists());
    assert!(told(&stage).contains("the operator says 4711"));

    // The next gateway's agent takes up the session.
    remembered(&stage, "the fact is 6120").await;
    drop(gateway);
    let _gateway = stage.started().await;
    assert!(ask(&stage, "team", "recall:6120").await.contains("the fact is 6120"));

    // The main group is where those instructions are written.
    let before = stage.model.requests().len();
    ask(&stage, "main", "say:hello").await;
    let main: String =
        stage.model.requests()[before..].iter().map(|it| it.body.to_string()).collect();
    assert!(!main.contains("the operator says 4711"));
}

/// A gateway with a chat that has an owner, 7, and a rule that asks before anything is removed.
async fn asking(stage: &Stage) -> (Gateway, i64) {
    rules(stage, &json!({ "permissions": { "ask": ["Bash(rm *)"] } }));
    let (gateway, chats) = stage.with_chats(1).await;
    (gateway, chats[0])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_of_the_operator_asks_in_the_chat() {
    let stage = stage().await;
    let (_gateway, chat) = asking(&stage).await;
    let platform = stage.platform();
    for (button, is_left) in [(1, true), (0, false)] {
        let name = format!("kept-{button}.txt");
        let kept = stage.home.join("groups/main").join(&name);
        fs::write(&kept, "x").unwrap();
        let end = format!("{name} is settled");
        let work = format!("{}say:{end}", bash(&format!("rm -f {name}")));
        platform.push(&[Draft::text(chat, work)]);
        let question = || {
            let asks = |it: &SentMessage| it.reply_markup.is_some() && it.text.contains(&name);
            platform.sent(0).into_iter().find(asks)
        };
        platform.wait(|it| it.in_flight == 0 && question().is_some()).await;
        let question = question().unwrap();
        assert!(question.text.contains(&format!("rm -f {name}")), "{}", question.text);
        let keys = question.reply_markup.unwrap();
        let data = keys["inline_keyboard"][button][0]["callback_data"].as_str().unwrap();
        let press = Press { message_id: question.id, data: data.to_owned() };
        platform.push(&[Draft { press: Some(press), ..Draft::text(chat, "") }]);
        stage.settled_text(&end).await;
        assert_eq!(kept.exists(), is_left, "button {button}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_program_the_run_fails_at_once_and_says_what_to_do() {
    let mut stage = stage().await;
    stage.env.remove("NGB_AGENT__CLAUDE_PATH");
    stage.env.insert("PATH".into(), "/usr/sbin:/sbin".into());
    let _gateway = stage.started().await;
    let out = stage.output(&["--json", "run", "-g", "main", "-p", "hello"]).await;
    let answer: Value = serde_json::from_slice(&out.stdout).unwrap();
    let said = answer["answer"]["text"].as_str().unwrap();
    assert!(said.contains("the agent that was chosen is not installed"), "{answer}");
    let install = "npm install --global @anthropic-ai/claude-code@2.1.330";
    let why = stage.output(&["why", &answer["id"].to_string()]).await;
    assert!(String::from_utf8(why.stdout).unwrap().contains(install));
    let doctor = stage.output(&["doctor", "--offline"]).await;
    let said = String::from_utf8(doctor.stdout).unwrap();
    assert!(
        !doctor.status.success() && said.contains("FAIL  agent") && said.contains(install),
        "{said}"
    );
    stage.env.insert("NGB_AGENT__CLAUDE_PATH".into(), program("claude").to_str().unwrap().into());
    let doctor = stage.output(&["doctor", "--offline"]).await;
    let said = String::from_utf8(doctor.stdout).unwrap();
    assert!(said.contains("Claude Code 2.1.330 at"), "{said}");
}
