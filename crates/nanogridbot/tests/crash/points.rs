//! The gateway dies once at each step of a message's way; what there is at the end is one of each effect.

use futures_util::{StreamExt as _, stream};

use crate::common::Stage;

/// What the agent says by a call, before its answer.
const CALLED: &str = "called-in-between.";

/// What it has said later, by another call.
const REMINDED: &str = "reminded-of-it.";

/// Stages at a time.
const AT_A_TIME: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn one_death_at_each_step() {
    #[rustfmt::skip]
    let table = [
        // point                 reached  sends that nobody can tell
        ("before-accept",         1,      0),
        ("after-accept",          1,      0),
        ("after-acknowledgement", 1,      0),
        ("before-claim",          1,      0),
        // The answer that made the lane free is on its way meanwhile.
        ("after-claim",           1,      1),
        ("before-call",           1,      0),
        ("before-call",           2,      0),
        ("after-call",            1,      0),
        ("after-call",            2,      0),
        // What was said is on its way beside the answer to the call.
        ("after-call-answered",   1,      1),
        ("before-effect",         1,      0),
        ("after-effect",          1,      0),
        ("after-done",            1,      0),
        ("after-done",            2,      0),
        ("before-finish",         1,      0),
        // The second run is the reminder, which needs no agent: what was said before it may be on its way still.
        ("before-finish",         2,      1),
        ("after-finish",          1,      0),
        ("after-finish",          2,      1),
        ("before-send",           1,      0),
        ("before-send",           2,      0),
        ("before-send",           3,      0),
        ("after-send",            1,      1),
        ("after-send",            2,      1),
        ("after-send",            3,      1),
        ("after-settle",          1,      0),
        ("after-settle",          2,      0),
        ("after-settle",          3,      0),
    ];
    // The commits of a start and of the messages' way, one after the other. Which of them is the receipt of a send is
    // not always the same, and a send may be under way beside any of them, so one double is allowed at each.
    let commits = (1..=10).flat_map(|n| [("before-commit", n, 1), ("after-commit", n, 1)]);
    let rows: Vec<_> = table.into_iter().chain(commits).collect();
    let count = rows.len();
    let doubled: usize = stream::iter(rows)
        .map(|(point, n, may_double)| die_at(point, n, may_double))
        .buffer_unordered(AT_A_TIME)
        .fold(0, |sum, it| async move { sum + it })
        .await;
    println!("crash: one death at each of {count} steps: lost 0, doubled {doubled}");
}

/// Dies as the point is reached for the `n`-th time, starts again, and returns what was sent twice.
async fn die_at(point: &str, n: u32, may_double: usize) -> usize {
    let what = format!("{point}:{n}");
    let mut stage = Stage::new().await;
    stage.model.behave(|it| it.first_token_ms = 100);
    let (first, chats) = stage.with_chats(1).await;
    // Whoever has no role may not have things done later.
    stage.with_owner(chats[0]).await;
    stage.kill(first).await;

    stage.env.insert("NGB_KILL_AT".into(), what.clone());
    let calls = format!(
        "tool:send_message {{\"text\":\"{CALLED}\"}}\n\
         tool:schedule_task {{\"after_seconds\":0,\"text\":\"{REMINDED}\"}}"
    );
    let before = stage.platform().figures().sent;
    stage.push_with(&chats, &[&calls]);
    let mut gateway = stage.start();
    // The second message finds its lane busy, so that it takes a claim of its own.
    let called = stage.platform().wait(|it| before < it.sent);
    tokio::select! {
        status = gateway.ended() => assert!(!status.success(), "{what}"),
        _ = called => (),
    }
    stage.push_with(&chats, &["tool:bash {\"command\":\"echo x >> effects\"}"]);
    let status = gateway.ended().await;
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(9),
        "{what}: {status}\n{}",
        stage.tail()
    );

    // Whatever the row allows, only a send that was under way may come twice.
    stage.in_doubt = may_double.min(stage.under_way().await);
    stage.env.clear();
    let gateway = stage.start();
    let figures = stage.settled().await;
    let mut calls = 0;
    for text in [CALLED, REMINDED] {
        stage.settled_text(text).await;
        calls += stage.platform().sent(0).iter().filter(|it| it.text == text).count();
    }
    let doubled = figures.doubled + calls - 2;
    let said: Vec<String> = stage.platform().sent(0).into_iter().map(|it| it.text).collect();
    assert_eq!(figures.lost, 0, "{what}: {figures:?} {said:?}\n{}", stage.tail());
    let in_doubt = stage.in_doubt;
    assert!(doubled <= in_doubt, "{what}: {figures:?}, {calls} calls\n{}", stage.tail());
    if point.ends_with("-effect") {
        let effects = std::fs::read_to_string(stage.home.join("groups/main/effects")).unwrap();
        assert_eq!(effects, "x\n", "{what}");
    }
    drop(gateway);
    doubled
}
