//! The driver `acp`: an agent by script, and the one of `tests/agents` that others wrote.

use std::fs;

use ngb_broker::Auth;
use ngb_core::frame::{
    CallOutcome, Failure, FromAgent, HostCall, Outcome, ProviderKind, Step, ToAgent,
};
use serde_json::json;

use crate::kitchen::{KEY, Kitchen};

const SCRIPTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/agents/scripted_acp.py");

async fn kitchen(command: &[&str]) -> Kitchen {
    let driver: Vec<&str> = ["acp"].iter().chain(command).copied().collect();
    Kitchen::with(&driver, ProviderKind::Anthropic, Auth::XApiKey).await
}

async fn scripted() -> Kitchen {
    kitchen(&["/usr/bin/python3", SCRIPTED]).await
}

#[tokio::test]
async fn a_scripted_agent_answers_shows_its_work_and_goes_on() {
    let mut at = scripted().await;
    assert_eq!(at.ask("hello").await, "prompt 1; told True; model sim-1");
    assert_eq!(at.ask("hello").await, "prompt 2; told False; model sim-1");
    fs::write(at.path("lane/MEMORY.md"), "likes tea").unwrap();
    assert_eq!(at.ask("hello").await, "prompt 3; told True; model sim-1", "what changed is told");
    assert_eq!(at.ask("a tool").await, "I looked");
    let shown = |want: &dyn Fn(&Step) -> bool| {
        at.agent.seen.iter().any(|it| matches!(it, FromAgent::Progress { step, .. } if want(step)))
    };
    assert!(shown(&|it| matches!(it, Step::ToolStart { summary, .. } if summary == "look around")));
    assert!(shown(
        &|it| matches!(it, Step::ToolEnd { ok: true, output, .. } if output == "nothing here")
    ));
    assert!(shown(&|it| *it == Step::Thinking { delta: "hm".into() }));
    // Nothing is known of what it does, so all of it counts.
    let effects = at.agent.seen.iter().filter(|it| matches!(it, FromAgent::Effect { .. })).count();
    assert_eq!(effects, 4);
    // Another process loads the session; what that tells is no answer.
    at.restart().await;
    assert_eq!(at.ask("hello").await, "prompt 5; told True; model sim-1");
    // Where it is gone, a new one begins.
    fs::remove_file(at.path("lane/.scripted/s0")).unwrap();
    at.restart().await;
    assert_eq!(at.ask("hello").await, "prompt 1; told True; model sim-1");
}

#[tokio::test]
async fn what_it_asks_is_asked_in_the_chat() {
    let mut at = scripted().await;
    for (answer, want) in [("allow", "o-yes"), ("deny", "o-no")] {
        at.agent.host = match answer {
            "allow" => |what| asked(what, "allow"),
            _ => |what| asked(what, "deny"),
        };
        assert_eq!(at.ask("permission").await, want);
    }
}

fn asked(what: &HostCall, answer: &str) -> CallOutcome {
    let HostCall::Approve { tool, shown } = what else { panic!("{what:?}") };
    assert!(tool == "launch" && shown.contains("launch --all"), "{tool}: {shown}");
    CallOutcome::Ok { value: answer.into() }
}

#[tokio::test]
async fn interrupts_deaths_and_refusals() {
    let mut at = scripted().await;
    let id = at.agent.ask("wait", None, Some(at.spec.clone())).await;
    at.agent.step(|it| matches!(it, Step::Text { delta } if delta == "waiting")).await;
    at.agent.send(ToAgent::Interrupt { prompt: id }).await;
    let (_, outcome, mark) = at.agent.done().await;
    assert_eq!(outcome, Outcome::Interrupted);
    at.mark = mark;
    assert_eq!(at.ask("hello").await, "prompt 2; told False; model sim-1", "the session goes on");
    let outcome = at.outcome("die").await;
    let Outcome::Failed { failure: Failure::Passing, reason } = outcome else {
        panic!("{outcome:?}")
    };
    assert!(reason.contains("a planted death"), "{reason}");
    assert_eq!(at.ask("hello").await, "prompt 4; told True; model sim-1");
    let outcome = at.outcome("refuse").await;
    assert!(matches!(outcome, Outcome::Failed { failure: Failure::Permanent, .. }), "{outcome:?}");
    let mut at = kitchen(&["/nowhere/agent"]).await;
    let outcome = at.outcome("hello").await;
    assert!(
        matches!(&outcome, Outcome::Failed { failure: Failure::Permanent, reason } if reason.contains("/nowhere/agent")),
        "{outcome:?}"
    );
}

/// npm's `@zed-industries/claude-code-acp`.
#[expect(clippy::disallowed_methods, reason = "which one is tested is said by the environment")]
fn zeds() -> String {
    let folder =
        std::env::var("NGB_TEST_AGENTS").expect("NGB_TEST_AGENTS names a folder of agents");
    format!("{folder}/claude-code-acp")
}

#[tokio::test]
async fn an_agent_that_others_wrote_works_calls_the_host_and_remembers() {
    let mut at = kitchen(&[&zeds()]).await;
    at.agent.host = |what| match what {
        HostCall::Approve { .. } => CallOutcome::Ok { value: "allow".into() },
        HostCall::SendMessage { text, .. } if text == "on my way" => {
            CallOutcome::Ok { value: json!("sent") }
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(at.ask("say:hello\nthe fact is 7431").await, "hello");
    let bash = json!({ "command": "echo hi > a.txt", "description": "test" });
    let said = json!({ "text": "on my way" });
    let prompt = format!("tool:Bash {bash}\ntool:mcp__nanogridbot__send_message {said}\nsay:done");
    assert_eq!(at.ask(&prompt).await, "done");
    assert_eq!(fs::read_to_string(at.path("group/a.txt")).unwrap(), "hi\n");
    at.restart().await;
    assert!(at.ask("recall:7431").await.contains("the fact is 7431"));
    assert!(!format!("{:?}", at.agent.seen).contains(KEY));
    assert!(!at.door.take_usage().is_empty(), "the broker counted it");
}
