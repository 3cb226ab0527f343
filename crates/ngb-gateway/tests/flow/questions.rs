//! Questions in a chat: who may answer, with buttons and without; texts that are longer than the platform takes.

use ngb_channels::Accepted;
use ngb_core::{
    frame::{CallOutcome, FromAgent, HostCall, ToAgent},
    group::{Limits, Scope},
    id::GroupId,
    message::{Button, Happening, Inbound, Outbound},
    role::Role,
    tasks::Stopped,
};
use ngb_store::GroupChange;

use crate::stage::{self, Actor, Setting, Stage, asked};

/// An agent that asks where the cat is, and says what it was told.
async fn curious(mut actor: Actor) {
    while let Some(frame) = actor.hear().await {
        let ToAgent::Prompt(prompt) = frame else { continue };
        if asked(&prompt) != "find the cat" {
            actor.done(prompt.id, &format!("you said {}", asked(&prompt))).await;
            continue;
        }
        let option = |label: &str| Button { label: label.into(), value: label.to_lowercase() };
        let options = vec![option("The attic"), option("The cellar")];
        let what = HostCall::Ask { question: "Where is it?".into(), options, least: None };
        actor.say(&FromAgent::Call { prompt: prompt.id, call: 1, what }).await;
        let Some(ToAgent::CallResult { outcome: CallOutcome::Ok { value }, .. }) =
            actor.hear().await
        else {
            return;
        };
        actor.done(prompt.id, &format!("I look in {}", value.as_str().unwrap())).await;
    }
}

fn from(sender: &str, mut event: Inbound) -> Inbound {
    event.sender.id = sender.into();
    event
}

#[tokio::test]
async fn without_buttons_a_number_or_the_words_answer() {
    for answer in ["2", "the cellar!"] {
        let setting = Setting { buttons: false, ..Setting::default() };
        let mut stage = Stage::set(setting, curious).await;
        stage.group("home", "1", Scope::Thread).await;
        stage.write("1", "find the cat").await;
        let (_, item) = stage.item().await;
        let want =
            "Where is it?\n\n1. The attic\n2. The cellar\n\nAnswer with the number or the words.";
        assert_eq!(item, Outbound::Text { text: want.into(), reply_to: None, buttons: Vec::new() });
        stage.write("1", answer).await;
        assert_eq!(stage.heard().await.1, "I look in the cellar", "{answer}");
        // The question is closed: the same words are a message like any other.
        stage.write("1", answer).await;
        assert_eq!(stage.heard().await.1, format!("you said {answer}"));
    }
}

#[tokio::test]
async fn a_press_of_a_stranger_changes_nothing() {
    let mut stage = Stage::set(Setting::default(), curious).await;
    stage.group("home", "1", Scope::Thread).await;
    stage.write("1", "find the cat").await;
    let (_, Outbound::Text { buttons, .. }) = stage.item().await else { panic!("no question") };
    let press = |stage: &Stage, sender: &str, n: usize| {
        let mut event = from(sender, stage.message("1", ""));
        let value = buttons[n].value.clone();
        event.what = Happening::Pressed { platform_id: String::new(), value };
        event
    };
    let strangers = press(&stage, "stranger", 0);
    assert_eq!(stage.write_all(vec![strangers]).await, [Accepted::NotYours]);
    let chat = stage::place("1").jid;
    let refused = stage.gateway.press(&chat, "user:99", &buttons[0].value).await.unwrap_err();
    assert!(refused.to_string().contains("for whoever asked"), "{refused}");
    // Who keeps things running may answer for everybody.
    let store = stage.gateway.store();
    let bob = store.add_person("Bob").await.unwrap();
    store.link(bob, chat.account(), "bob").await.unwrap();
    store.grant(bob, None, Role::Operator).await.unwrap();
    // Reads the people anew.
    stage.group("other", "2", Scope::Thread).await;
    let operators = press(&stage, "bob", 1);
    assert_eq!(stage.write_all(vec![operators]).await, [Accepted::New]);
    assert_eq!(stage.heard().await.1, "I look in the cellar");
    let late = press(&stage, "u1", 0);
    assert_eq!(stage.write_all(vec![late]).await, [Accepted::New]);
    let gone = stage.gateway.press(&chat, "local", &buttons[0].value).await.unwrap_err();
    assert!(gone.to_string().contains("no question with that button is open"), "{gone}");
}

#[tokio::test]
async fn a_question_outlives_the_gateway() {
    let setting = || Setting { buttons: false, ..Setting::default() };
    let mut stage = Stage::set(setting(), curious).await;
    stage.group("home", "1", Scope::Thread).await;
    stage.write("1", "find the cat").await;
    stage.heard().await;
    // An end that waited for people would take as long as they do.
    let home = stage.keep();
    assert_eq!(stage.end().await, Stopped::Clean);
    let mut stage = Stage::on(home, setting(), curious).await;
    // The key of the first message is taken.
    let _ = stage.message("1", "");
    stage.write("1", "1").await;
    assert_eq!(stage.heard().await.1, "I look in the attic");
    assert!(stage.is_quiet(), "it was not asked again");
}

/// An agent that runs a tool when it is allowed, and then says something by a host call.
async fn careful(mut actor: Actor) {
    while let Some(frame) = actor.hear().await {
        let ToAgent::Prompt(prompt) = frame else { continue };
        let mut told = Vec::new();
        for (call, what) in [
            HostCall::Approve { tool: "bash".into(), shown: "rm -rf `x`".into() },
            HostCall::SendMessage { text: "told".into(), to: None },
        ]
        .into_iter()
        .enumerate()
        {
            let call = call as u64 + 1;
            actor.say(&FromAgent::Call { prompt: prompt.id, call, what }).await;
            let Some(ToAgent::CallResult { outcome, .. }) = actor.hear().await else { return };
            told.push(match outcome {
                CallOutcome::Ok { value } => value.to_string(),
                CallOutcome::Refused { reason } => reason,
            });
        }
        actor.done(prompt.id, &told.join("; ")).await;
    }
}

async fn approving(stage: &Stage, group: GroupId, approve_role: Option<Role>) {
    let limits = Limits {
        approve_tools: vec!["bash".into(), "send_message".into()],
        approve_role,
        run_seconds: 24 * 60 * 60,
        ..Limits::default()
    };
    let change = GroupChange { limits: Some(limits), ..GroupChange::default() };
    stage.gateway.change_group(group, change).await.unwrap();
}

/// The buttons of the next question, which is about `tool`.
async fn question(stage: &mut Stage, tool: &str) -> Vec<Button> {
    let (_, Outbound::Text { text, buttons, .. }) = stage.item().await else { panic!("no text") };
    assert!(text.starts_with(&format!("May I use `{tool}`?\n\n```text\n")), "{text}");
    assert!(!text.contains("`x`"), "what is shown ends no fence: {text}");
    let labels: Vec<&str> = buttons.iter().map(|it| it.label.as_str()).collect();
    assert_eq!(labels, ["Allow", "Deny"]);
    buttons
}

fn pressing(stage: &Stage, sender: &str, button: &Button) -> Inbound {
    let mut event = from(sender, stage.message("1", ""));
    let value = button.value.clone();
    event.what = Happening::Pressed { platform_id: String::new(), value };
    event
}

#[tokio::test]
async fn a_tool_waits_for_whoever_may_allow_it() {
    let mut stage = Stage::set(Setting::default(), careful).await;
    let group = stage.group("home", "1", Scope::Thread).await;
    let store = stage.gateway.store();
    let chat = stage::place("1").jid;
    let bob = store.add_person("Bob").await.unwrap();
    store.link(bob, chat.account(), "bob").await.unwrap();
    store.grant(bob, None, Role::Operator).await.unwrap();
    approving(&stage, group, Some(Role::Operator)).await;
    stage.write("1", "go").await;
    let buttons = question(&mut stage, "bash").await;
    // Who asked is no operator, and the group wants one.
    let askers = pressing(&stage, "u1", &buttons[0]);
    assert_eq!(stage.write_all(vec![askers]).await, [Accepted::NotYours]);
    let yes = pressing(&stage, "bob", &buttons[0]);
    assert_eq!(stage.write_all(vec![yes]).await, [Accepted::New]);
    // What is asked of the gateway is asked about by the gateway, whatever the agent says.
    let buttons = question(&mut stage, "send_message").await;
    assert!(stage.is_quiet(), "nothing is said before it is allowed");
    let no = pressing(&stage, "bob", &buttons[1]);
    assert_eq!(stage.write_all(vec![no]).await, [Accepted::New]);
    assert_eq!(stage.heard().await.1, "\"allow\"; a person in the chat said no");
    // Whoever asked may allow it where no role is named; then it is done.
    approving(&stage, group, None).await;
    stage.write("1", "go").await;
    for tool in ["bash", "send_message"] {
        let buttons = question(&mut stage, tool).await;
        let yes = pressing(&stage, "u1", &buttons[0]);
        stage.write_all(vec![yes]).await;
    }
    assert_eq!(stage.heard().await.1, "told");
    assert!(stage.heard().await.1.starts_with("\"allow\"; {"));
    let why = stage.gateway.store().why(stage.message_id("go").await).await.unwrap();
    let notes: Vec<&str> = why.decisions.iter().map(|it| it.detail.as_str()).collect();
    for want in ["approve bash", "bash allowed", "approve send_message", "send_message allowed"] {
        assert!(notes.contains(&want), "{want}: {notes:?}");
    }
}

/// `send_message` is split like an answer; each part is a row of its own.
#[tokio::test]
async fn a_long_word_before_the_answer_comes_in_parts() {
    let script = |mut actor: Actor| async move {
        while let Some(frame) = actor.hear().await {
            let ToAgent::Prompt(prompt) = frame else { continue };
            let text = match asked(&prompt).as_str() {
                "code" => format!("```rust\n{}```", "let x = 1;\n".repeat(500)),
                _ => "x".repeat(100 * 1024),
            };
            let what = HostCall::SendMessage { text, to: None };
            actor.say(&FromAgent::Call { prompt: prompt.id, call: 1, what }).await;
            let Some(ToAgent::CallResult { outcome, .. }) = actor.hear().await else { return };
            let word = match outcome {
                CallOutcome::Ok { .. } => "done".to_owned(),
                CallOutcome::Refused { reason } => reason,
            };
            actor.done(prompt.id, &word).await;
        }
    };
    let mut stage = Stage::set(Setting::default(), script).await;
    stage.group("home", "1", Scope::Thread).await;
    stage.write("1", "code").await;
    for _ in 0..2 {
        let (_, part) = stage.heard().await;
        assert!(part.starts_with("```rust\n") && part.ends_with("```"), "{part}");
        assert!(part.len() <= 4096, "{}", part.len());
    }
    assert_eq!(stage.heard().await.1, "done");
    stage.write("1", "too long").await;
    assert!(stage.heard().await.1.contains("longer than 64 KiB"));
}
