//! The driver `claude-code`: the real command line, a real broker and the model simulator.

use std::{fs, path::Path};

use ngb_broker::{Allowed, Auth, Current};
use ngb_core::frame::{
    CallOutcome, Failure, FromAgent, HostCall, Outcome, PromptId, ProviderKind, Step, ToAgent,
};
use ngb_sim::model::Behaviour;
use serde_json::{Value, json};

use crate::{
    kitchen::{KEY, Kitchen, current},
    process::prompt,
};

/// The command line that `tests/agents/package.json` pins; `scripts/test` installs it.
#[expect(clippy::disallowed_methods, reason = "which one is tested is said by the environment")]
fn program() -> String {
    let folder =
        std::env::var("NGB_TEST_AGENTS").expect("NGB_TEST_AGENTS names the folder of agents");
    format!("{folder}/claude")
}

async fn kitchen() -> Kitchen {
    Kitchen::with(&["claude-code", &program()], ProviderKind::Anthropic, Auth::XApiKey).await
}

/// A line that has the simulator call a tool.
fn call(tool: &str, input: &Value) -> String {
    format!("tool:{tool} {input}\n")
}

fn bash(command: &str) -> String {
    call("Bash", &json!({ "command": command, "description": "test" }))
}

/// The texts of all requests so far, where what a model was told is looked for.
fn told(at: &Kitchen) -> String {
    at.sim.requests().iter().map(|it| it.body.to_string()).collect()
}

#[tokio::test]
async fn it_talks_works_and_remembers() {
    let mut at = kitchen().await;
    fs::create_dir_all(at.path("instructions/global")).unwrap();
    fs::write(at.path("instructions/global/AGENTS.md"), "the operator says 4711").unwrap();
    fs::write(at.path("lane/MEMORY.md"), "likes tea").unwrap();
    assert_eq!(at.ask("say:hello\nthe fact is 7431").await, "hello");
    for needle in ["the operator says 4711", "likes tea", "People's messages come as JSON lines"] {
        assert!(told(&at).contains(needle), "{needle}");
    }
    assert!(!at.agent.seen.iter().any(|it| matches!(it, FromAgent::Effect { .. })));
    let read = call("Read", &json!({ "file_path": at.path("lane/MEMORY.md") }));
    let text = at
        .ask(&format!(
            "think:well well\n{read}{}say:done <internal>x</internal>",
            bash("echo $HOME > a.txt")
        ))
        .await;
    assert_eq!(text, "done");
    assert_eq!(
        Path::new(fs::read_to_string(at.path("group/a.txt")).unwrap().trim()),
        at.path("lane")
    );
    let shown = |want: &dyn Fn(&Step) -> bool| {
        at.agent.seen.iter().any(|it| matches!(it, FromAgent::Progress { step, .. } if want(step)))
    };
    assert!(shown(&|it| *it == Step::Text { delta: "hello".into() }));
    assert!(shown(&|it| *it == Step::Thinking { delta: "well well".into() }));
    assert!(shown(
        &|it| matches!(it, Step::ToolStart { tool, summary, .. } if tool == "Bash" && summary == "echo $HOME > a.txt")
    ));
    assert!(shown(
        &|it| matches!(it, Step::ToolEnd { ok: true, output, .. } if output.contains("likes tea"))
    ));
    let effects = at.agent.seen.iter().filter(|it| matches!(it, FromAgent::Effect { .. })).count();
    assert_eq!(effects, 1, "one for the command, none for the file that was read");

    // Another process takes up the session where the last answer ended.
    at.restart().await;
    assert!(at.ask("recall:7431").await.contains("the fact is 7431"));
    // The key stays outside, and what the broker counted is what the model gave.
    assert!(!format!("{:?}", at.agent.seen).contains(KEY));
    let usage = at.door.take_usage();
    let totals = at.sim.totals()["sim-1"];
    assert_eq!(usage.iter().map(|it| it.output_tokens).sum::<u64>(), totals.output_tokens);
    let said: u64 = at
        .agent
        .seen
        .iter()
        .map(|it| match it {
            FromAgent::Usage { output_tokens, .. } => *output_tokens,
            _ => 0,
        })
        .sum();
    assert!(0 < said);
}

#[tokio::test]
async fn a_retry_begins_where_the_last_answer_ended() {
    let mut at = kitchen().await;
    at.ask("say:one").await;
    let mark = at.mark.clone();
    at.ask("say:two\nwhat was lost 8152").await;
    at.mark = mark;
    assert_eq!(at.ask("recall:8152").await, "I know nothing of 8152");
    // After an effect it goes on from the end, with a note.
    at.ask("the fact is 9163\nsay:three").await;
    at.mark = None;
    let mut again = prompt(PromptId(77), "recall:9163", None, Some(at.spec.clone()));
    again.resumed = Some("An earlier try at this was cut off".into());
    at.agent.send(ToAgent::Prompt(Box::new(again))).await;
    let (_, outcome, _) = at.agent.done().await;
    let Outcome::Answered { text } = outcome else { panic!("{outcome:?}") };
    assert!(text.contains("the fact is 9163"), "{text}");
}

#[tokio::test]
async fn host_calls_reach_the_gateway() {
    let mut at = kitchen().await;
    at.agent.host = |what| match what {
        HostCall::SendMessage { text, .. } if text == "on my way" => {
            CallOutcome::Ok { value: json!("sent") }
        }
        HostCall::ListTasks => CallOutcome::Refused { reason: "not for guests".into() },
        other => panic!("{other:?}"),
    };
    let said = call("mcp__nanogridbot__send_message", &json!({ "text": "on my way" }));
    let tasks = call("mcp__nanogridbot__list_tasks", &json!({}));
    let text = at.ask(&format!("{said}{tasks}both")).await;
    assert!(text.contains("sent") && text.contains("not for guests"), "{text}");
    let starts = at
        .agent
        .seen
        .iter()
        .filter(|it| matches!(it, FromAgent::Progress { step: Step::ToolStart { .. }, .. }));
    assert_eq!(starts.count(), 2, "each is shown once");
    for hidden in
        ["mcp__nanogridbot__bash", "\"WebSearch\"", "\"AskUserQuestion\"", "\"CronCreate\""]
    {
        let offered =
            at.sim.requests().iter().any(|it| it.body["tools"].to_string().contains(hidden));
        assert!(!offered, "{hidden}");
    }
}

#[tokio::test]
async fn what_a_rule_asks_about_is_asked_in_the_chat() {
    let mut at = kitchen().await;
    fs::create_dir_all(at.path("lane/.claude")).unwrap();
    let rules = json!({ "permissions": { "ask": ["Bash(rm *)"] } });
    fs::write(at.path("lane/.claude/settings.json"), rules.to_string()).unwrap();
    for (answer, is_left) in [("deny", true), ("allow", false)] {
        fs::write(at.path("group/a.txt"), "x").unwrap();
        at.agent.host = match answer {
            "deny" => |what| asked(what, "deny"),
            _ => |what| asked(what, "allow"),
        };
        let text = at.ask(&format!("{}say:so be it", bash("rm a.txt"))).await;
        assert_eq!(text, "so be it");
        assert_eq!(at.path("group/a.txt").exists(), is_left, "{answer}");
    }
    assert!(told(&at).contains("a person in the chat said no"));
}

fn asked(what: &HostCall, answer: &str) -> CallOutcome {
    let HostCall::Approve { tool, shown } = what else { panic!("{what:?}") };
    assert!(tool == "Bash" && shown.contains("rm a.txt"), "{tool}: {shown}");
    CallOutcome::Ok { value: answer.into() }
}

#[tokio::test]
async fn skills_stand_where_it_looks_for_them() {
    let mut at = kitchen().await;
    fs::create_dir_all(at.path("skills/tea")).unwrap();
    let text = "---\nname: tea\ndescription: Makes tea of leaves.\n---\nBoil water.";
    fs::write(at.path("skills/tea/SKILL.md"), text).unwrap();
    at.ask("say:hello").await;
    let asked: String = at.sim.requests().iter().map(|it| it.body.to_string()).collect();
    assert!(asked.contains("Makes tea of leaves."), "{asked}");
}

#[tokio::test]
async fn an_interrupt_ends_the_work_and_not_the_session() {
    let mut at = kitchen().await;
    at.ask("the fact is 5521\nsay:noted").await;
    let command = "for i in $(seq 1000); do sleep 1; done";
    let id = at.agent.ask(&bash(command), at.mark.clone(), Some(at.spec.clone())).await;
    at.agent.step(|it| matches!(it, Step::ToolStart { tool, .. } if tool == "Bash")).await;
    at.agent.send(ToAgent::Interrupt { prompt: id }).await;
    let (done, outcome, mark) = at.agent.done().await;
    assert_eq!((done, outcome), (id, Outcome::Interrupted));
    at.mark = mark;
    assert!(at.ask("recall:5521").await.contains("the fact is 5521"));
}

/// Steers into `id`, and gives what was answered at the end.
async fn steered(at: &mut Kitchen, id: PromptId, text: &str) -> (Vec<PromptId>, Outcome) {
    let more = prompt(PromptId(id.0 + 500), text, None, None);
    at.agent.send(ToAgent::Steer { into: id, prompt: Box::new(more) }).await;
    let done = |frame: &FromAgent| match frame {
        FromAgent::Done { prompts, outcome, .. } => Some((prompts.clone(), outcome.clone())),
        _ => None,
    };
    at.agent.until(done).await
}

#[tokio::test]
async fn what_is_written_meanwhile_is_taken_up() {
    let mut at = kitchen().await;
    let work = format!("{}say:first", bash("sleep 0.4; echo a"));
    let id = at.agent.ask(&work, None, Some(at.spec.clone())).await;
    at.agent.step(|it| matches!(it, Step::ToolStart { .. })).await;
    let (prompts, outcome) = steered(&mut at, id, "and the window, please").await;
    assert_eq!(prompts, [id, PromptId(id.0 + 500)], "{outcome:?}");
    assert!(told(&at).contains("and the window, please"));
}

/// Its last request is on its way already: the model is asked once more, before anything is called answered.
#[tokio::test]
async fn what_is_written_during_the_last_reply_is_taken_up_too() {
    let mut at = kitchen().await;
    at.sim.behave(|it| it.first_token_ms = 300);
    let work = format!("{}say:first", bash("echo a"));
    let id = at.agent.ask(&work, None, Some(at.spec.clone())).await;
    at.agent.step(|it| matches!(it, Step::ToolEnd { .. })).await;
    let (prompts, outcome) = steered(&mut at, id, "say:and the window").await;
    assert_eq!(prompts, [id, PromptId(id.0 + 500)], "{outcome:?}");
    let Outcome::Answered { text } = outcome else { panic!("{outcome:?}") };
    assert_eq!(text, "first\n\nand the window");
}

#[tokio::test]
async fn sub_agents_finish_before_the_answer() {
    let mut at = kitchen().await;
    let prompt = format!("{}say:from the sub-agent", bash("sleep 0.4; echo x > sub.txt"));
    let agent = json!({ "description": "sub", "prompt": prompt, "subagent_type": "general-purpose", "run_in_background": true });
    let text = at.ask(&format!("{}say:it works on it", call("Agent", &agent))).await;
    assert!(text.contains("it works on it"), "{text}");
    assert!(
        text.contains("task-notification") || text.contains("SYSTEM NOTIFICATION"),
        "its end is answered too: {text}"
    );
    assert!(at.path("group/sub.txt").exists());
}

#[tokio::test]
async fn what_is_compacted_is_kept_as_a_file() {
    let mut at = kitchen().await;
    at.ask("the fact is 3310\nsay:noted").await;
    // The command line compacts by itself when its window is nearly full.
    let much = "lorem ipsum ".repeat(34_000);
    at.ask(&format!("say:read\n{much}")).await;
    at.ask("say:and now").await;
    let files = fs::read_dir(at.path("group/conversations")).unwrap().flatten();
    let texts: Vec<String> = files.map(|it| fs::read_to_string(it.path()).unwrap()).collect();
    assert!(texts.iter().any(|it| it.contains("**Ann**: the fact is 3310")), "{texts:?}");
}

#[tokio::test]
async fn failures_are_told_apart() {
    let mut at = kitchen().await;
    let usual = Behaviour { key: Some(KEY.into()), ..Behaviour::default() };
    #[rustfmt::skip]
    let table = [
        (Behaviour { key: Some("another".into()), ..usual.clone() },  Failure::KeyRefused),
        (Behaviour { models: Some(Vec::new()), ..usual.clone() },     Failure::ModelUnknown),
        (Behaviour { window_tokens: Some(10), ..usual.clone() },      Failure::PromptTooLarge),
        (Behaviour { fail_percent: 100, ..usual.clone() },            Failure::Passing),
    ];
    for (behaviour, want) in table {
        at.sim.behave(|it| *it = behaviour);
        let outcome = at.outcome("say:hello").await;
        let Outcome::Failed { failure, reason } = outcome else { panic!("{want:?}: {outcome:?}") };
        assert_eq!(failure, want, "{reason}");
        assert!(!reason.contains(KEY));
    }
    at.sim.behave(|it| *it = usual);
    assert_eq!(at.ask("say:hello").await, "hello");
    at.door.admit(current(Some(1)));
    let outcome = at.outcome("say:hello").await;
    let over = |it: &Outcome| matches!(it, Outcome::Failed { failure: Failure::OverBudget, .. });
    assert!(over(&outcome), "{outcome:?}");
    // What the broker refuses by itself says nothing of the key.
    let other = Allowed { provider: "sim".into(), model: "sim-2".into(), price: None };
    #[rustfmt::skip]
    let table = [
        (Some(Current { model: Some(other), ..current(None).unwrap() }), Failure::Permanent, "this run's model is"),
        (None,                                                           Failure::Passing,   "no run is current"),
    ];
    for (admitted, want, words) in table {
        at.door.admit(admitted);
        let outcome = at.outcome("say:hello").await;
        let Outcome::Failed { failure, reason } = outcome else { panic!("{want:?}: {outcome:?}") };
        assert_eq!(failure, want, "{reason}");
        assert!(reason.contains(words), "{reason}");
    }
    at.spec.kind = ProviderKind::OpenAi;
    let outcome = at.outcome("say:hello").await;
    assert!(
        matches!(outcome, Outcome::Failed { failure: Failure::Permanent, reason } if reason.contains("`anthropic`"))
    );
}
