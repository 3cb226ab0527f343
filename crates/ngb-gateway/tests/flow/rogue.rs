//! Agents that misbehave in a real sandbox: the chat gets a sentence, `why` the reason, and all others their answers.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use ngb_core::{
    clock::Clock,
    group::{Limits, Scope},
};
use ngb_sandbox::{
    Sandbox,
    native::{DEFAULT_UID_BASE, Native, NativeConfig},
};

use crate::stage::{Actor, Setting, Stage};

/// The example `rogue`, which stands beside the tests.
fn rogue() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let exe = test.ancestors().nth(2).unwrap().join("examples/rogue");
    assert!(exe.exists(), "`cargo test -p ngb-gateway` builds it: {}", exe.display());
    exe
}

fn native(home: &Path) -> Arc<dyn Sandbox> {
    let config = NativeConfig {
        home: home.to_owned(),
        exe: rogue(),
        install_id: format!("rogue{}", std::process::id()),
        uid_base: DEFAULT_UID_BASE,
        clock: Clock::System,
    };
    Arc::new(Native::new(config).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_may_do_its_worst() {
    const GAVE_UP: &str = "I tried several times and could not answer.";
    const TOO_LONG: &str = "I stopped after 1 minutes without an answer.";
    #[rustfmt::skip]
    let table = [
        // what it does, the sentence for the chat,                          the reason for the operator
        ("exit",    GAVE_UP,                                                 "the agent ended"),
        ("garbage", GAVE_UP,                                                 "a line is not a known frame: `\u{FFFD}\u{FFFD}\u{FFFD} is no frame`"),
        ("giant",   GAVE_UP,                                                 "a line is longer than 1048576 bytes"),
        ("flood",   "I stopped: the agent said far more than it may.",       "the agent flooded the gateway"),
        ("hang",    TOO_LONG,                                                "the group's `silence_seconds` of 3 s ran out"),
        ("forks",   TOO_LONG,                                                "the group's `silence_seconds` of 3 s ran out"),
        ("fills",   GAVE_UP,                                                 "its folders hold more than 20 MiB"),
    ];
    let setting = Setting { sandbox: Some(native), ..Setting::default() };
    let mut stage = Stage::set(setting, |_: Actor| async {}).await;
    let limits =
        Limits { silence_seconds: 3, disk_mib: 20, pids: 64, memory_mib: 256, ..Limits::default() };
    let mut chats = HashMap::new();
    for (n, (what, sentence, reason)) in table.into_iter().enumerate() {
        let chat = (n + 1).to_string();
        let group = stage.group(what, &chat, Scope::Thread).await;
        let limits = Some(limits.clone());
        let change = ngb_store::GroupChange { limits, ..Default::default() };
        stage.gateway.change_group(group, change).await.unwrap();
        stage.write(&chat, what).await;
        chats.insert(chat, (what, sentence, reason));
    }
    // Beside all of them, one that behaves; a NUL is in nobody's text.
    stage.group("well", "99", Scope::Thread).await;
    stage.write("99", "hello").await;
    chats.insert("99".into(), ("well", "you said hello\u{FFFD}", ""));

    while !chats.is_empty() {
        let (chat, text) = stage.heard().await;
        // What is shown in between, and that it is tried again, may come or not.
        let Some((what, sentence, _)) = chats.get(&chat) else { panic!("again: {chat} {text}") };
        if text.starts_with(sentence) {
            chats.remove(&chat);
        } else {
            assert!(
                text.starts_with("lorem ipsum") || text.contains("still trying"),
                "{what}: {text}"
            );
        }
    }
    let dead = stage.gateway.store().dead(100).await.unwrap();
    for (what, _, reason) in table {
        let group = stage.gateway.group(what).unwrap().id;
        let job = dead.iter().find(|it| it.group == group).unwrap();
        let error = job.error.clone().unwrap();
        assert!(error.contains(reason), "{what}: {error}");
    }
}
