//! The driver `demo`, as the process that the gateway starts.

use ngb_core::frame::{CallOutcome, FromAgent, HostCall, Outcome, Step, ToAgent};
use serde_json::{Value, json};

use crate::process::{Agent, workspace};

#[tokio::test]
async fn what_it_says() {
    #[rustfmt::skip]
    let table: &[(&str, &[&str])] = &[
        ("echo marker-1",               &["=marker-1"]),
        ("echo two\nlines ",            &["=two\nlines "]),
        ("你好 [m-2]",                   &["你好 [m-2]", "演示代理", "写一个文件"]),
        ("Schöne Grüße! [m-2a]",        &["Schöne Grüße! [m-2a]", "five things"]),
        ("ファイルを書いて [m-2b] 日本",    &["ファイルを書いて [m-2b] 日本", "five things"]),
        ("مرحبا [m-2c] 👩‍👩‍👧",              &["مرحبا [m-2c] 👩‍👩‍👧", "five things"]),
        ("hello [m-3]",                 &["hello [m-3]", "demonstration", "five things", "show the walls"]),
        ("please write a file m-4",     &["m-4", "wrote 6", "Written by the demonstration agent at 2"]),
        ("write a file again",          &["wrote 6", "Written by the demonstration agent at 2"]),
        ("remind me in a minute m-5",   &["m-5", "reminder comes in a minute"]),
        ("ask for an approval m-6",     &["m-6", "The answer was: No"]),
        ("show the walls m-7",          &["m-7", "/etc/shadow", "/root", "1.1.1.1:443", "127.0.0.1:8080", "Uid:", "CapEff:", "NoNewPrivs:", "Seccomp:"]),
    ];
    let mut agent = Agent::start(&["demo"], workspace()).await;
    agent.host = |what| {
        let value = match what {
            HostCall::Ask { options, .. } => json!(options[1].value),
            HostCall::ScheduleTask { after_seconds: 60, .. } => Value::Null,
            other => return CallOutcome::Refused { reason: format!("unexpected {other:?}") },
        };
        CallOutcome::Ok { value }
    };
    for (text, needles) in table {
        let id = agent.ask(text, None, None).await;
        let (done, outcome, _) = agent.done().await;
        assert_eq!(done, id);
        let Outcome::Answered { text: got } = outcome else { panic!("{text}: {outcome:?}") };
        for needle in *needles {
            match needle.strip_prefix('=') {
                Some(whole) => assert_eq!(got, whole),
                None => assert!(got.contains(needle), "{needle} in {got}"),
            }
        }
    }
    assert!(agent.dir.path().join("group/demo.txt").exists());
}

#[tokio::test]
async fn an_effect_is_announced_before_the_first_and_only_the_first() {
    let mut agent = Agent::start(&["demo"], workspace()).await;
    agent.ask("write a file", None, None).await;
    let call = agent
        .until(|frame| match frame {
            FromAgent::Effect { call, .. } => Some(*call),
            _ => None,
        })
        .await;
    let file = agent.dir.path().join("group/demo.txt");
    assert!(!file.exists(), "nothing is done before the gateway knows");
    agent.send(ToAgent::CallResult { call, outcome: CallOutcome::Ok { value: Value::Null } }).await;
    agent.answer().await;
    assert!(file.exists());
    let effects = agent.seen.iter().filter(|it| matches!(it, FromAgent::Effect { .. })).count();
    assert_eq!(effects, 1);
}

#[tokio::test]
async fn a_long_answer_is_interrupted_and_the_next_prompt_works() {
    let mut agent = Agent::start(&["demo"], workspace()).await;
    let long = agent.ask("a long answer", None, None).await;
    let follow_up = agent.ask("echo later", None, None).await;
    let dropped = agent.ask("echo never", None, None).await;
    agent.step(|it| matches!(it, Step::Text { delta } if delta.contains("Line 2 "))).await;
    agent.send(ToAgent::Interrupt { prompt: dropped }).await;
    assert_eq!(agent.done().await, (dropped, Outcome::Interrupted, None));
    agent.send(ToAgent::Interrupt { prompt: long }).await;
    assert_eq!(agent.done().await, (long, Outcome::Interrupted, None));
    let want = Outcome::Answered { text: "later".into() };
    assert_eq!(agent.done().await, (follow_up, want, None));
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_cut_with_a_remark() {
    let mut agent = Agent::start(&["demo"], workspace()).await;
    agent.ask(&format!("echo {}", "日".repeat(300_000)), None, None).await;
    let text = agent.answer().await;
    assert!(text.starts_with('日') && text.ends_with("of 900000 bytes]"), "{} bytes", text.len());
}

#[tokio::test]
async fn it_ends_when_told_and_when_left() {
    for busy in [false, true] {
        let mut agent = Agent::start(&["demo"], workspace()).await;
        if busy {
            agent.ask("a long answer", None, None).await;
            agent.step(|it| matches!(it, Step::Text { .. })).await;
            agent.hang_up();
        } else {
            agent.send(ToAgent::Stop).await;
        }
        assert!(agent.child.wait().await.unwrap().success(), "busy: {busy}");
    }
}

#[tokio::test]
async fn nonsense_ends_it_with_a_word() {
    let mut agent = Agent::start(&["demo"], workspace()).await;
    let call = 1;
    let outcome = CallOutcome::Refused { reason: "nobody asked".into() };
    agent.send(ToAgent::CallResult { call, outcome }).await;
    agent.ask("echo still here", None, None).await;
    assert_eq!(agent.answer().await, "still here");
    agent.send_raw("hello\n").await;
    assert_eq!(agent.child.wait().await.unwrap().code(), Some(1));
}
