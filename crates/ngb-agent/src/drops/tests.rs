//! What files ask for, and when they are looked for.

use futures_util::FutureExt as _;
use ngb_core::frame::{CallOutcome, FromAgent, PromptId};
use tokio::sync::mpsc;

use super::*;
use crate::turn::OpenCalls;

#[test]
fn each_kind_of_file() {
    let call = |text: &str| {
        serde_json::from_str::<Dropped>(text).map_err(|it| it.to_string())?.into_call()
    };
    let add = |cron: Option<&str>, every: Option<&str>, at: Option<&str>, isolated| {
        let [cron, every, at] = [cron, every, at].map(|it| it.map(str::to_owned));
        HostCall::AddTask { text: "p".into(), cron, every, at, say: false, to: None, isolated }
    };
    #[rustfmt::skip]
    let table = [
        (r#"{"type":"message","chatJid":"web@main:home","text":"hi","groupFolder":"x","timestamp":"t"}"#,
            HostCall::SendMessage { text: "hi".into(), to: Some("web@main:home".into()) }),
        (r#"{"type":"schedule_task","prompt":"p","schedule_type":"cron","schedule_value":"0 9 * * *","context_mode":"group"}"#,
            add(Some("0 9 * * *"), None, None, false)),
        (r#"{"type":"schedule_task","prompt":"p","schedule_type":"interval","schedule_value":"60000"}"#,
            add(None, Some("60s"), None, true)),
        (r#"{"type":"schedule_task","prompt":"p","schedule_type":"once","schedule_value":"2030-01-01T09:00:00"}"#,
            add(None, None, Some("2030-01-01T09:00:00"), true)),
        (r#"{"type":"pause_task","taskId":"7","isMain":true}"#,
            HostCall::ChangeTask { task: TaskId(7), to: TaskWish::Pause }),
        (r#"{"type":"cancel_task","taskId":7}"#,
            HostCall::ChangeTask { task: TaskId(7), to: TaskWish::Cancel }),
        (r#"{"type":"refresh_groups"}"#, HostCall::Refresh),
        (r#"{"type":"register_group","jid":"telegram:1","name":"Family","folder":"family","trigger":"@A","requiresTrigger":false}"#,
            HostCall::RegisterGroup { group: "Family".into(), folder: Some("family".into()),
                chat: Some("telegram:1".into()), trigger: Some(String::new()) }),
    ];
    for (text, want) in table {
        assert_eq!(call(text), Ok(want), "{text}");
    }
    #[rustfmt::skip]
    let table = [
        (r#"{"type":"nonsense"}"#, "unknown variant `nonsense`"),
        (r#"{"type":"pause_task","taskId":"x"}"#, "no number of a task"),
        (r#"{"type":"schedule_task","prompt":"p","schedule_type":"interval","schedule_value":"0"}"#, "milliseconds"),
        (r#"{"type":"update_task","taskId":1,"schedule_type":"cron"}"#, "give both"),
    ];
    for (text, want) in table {
        let got = call(text).unwrap_err();
        assert!(got.contains(want), "{text}: {got}");
    }
}

#[tokio::test]
async fn a_file_is_done_once_and_answered_beside_it() {
    let scratch = tempfile::tempdir().expect("a folder");
    let drops = Drops::open(&scratch.path().join("ipc"));
    let (out, mut asked) = mpsc::channel(8);
    let calls = OpenCalls::default();
    let turn = Turn::new(PromptId(1), out, calls.clone());
    let folder = scratch.path().join("ipc/messages");
    let drop = |name: &str, text: &str| {
        fs::write(folder.join("partial.tmp"), text).expect("a file");
        fs::rename(folder.join("partial.tmp"), folder.join(name)).expect("a name");
    };
    drop("1-a.json", r#"{"type":"message","text":"hi"}"#);
    let serving = drops.serve(&turn);
    tokio::pin!(serving);
    let mut heard = async |value: CallOutcome| loop {
        tokio::select! {
            never = &mut serving => match never {},
            frame = asked.recv() => match frame.expect("a frame") {
                FromAgent::Effect { call, .. } => {
                    calls.answer(call, CallOutcome::Ok { value: Value::Null });
                }
                FromAgent::Call { call, what, .. } => {
                    calls.answer(call, value);
                    return what;
                }
                other => panic!("{other:?}"),
            },
        }
    };
    let done = CallOutcome::Ok { value: json!({ "done": true }) };
    let what = heard(done.clone()).await;
    assert_eq!(what, HostCall::SendMessage { text: "hi".into(), to: None });
    // One that comes while nothing waits wakes it; one that is nonsense is answered without asking anybody.
    drop("2-b.json", "nonsense");
    drop("3-c.json", r#"{"type":"refresh_groups"}"#);
    let reason = "not for you".to_owned();
    assert_eq!(heard(CallOutcome::Refused { reason }).await, HostCall::Refresh);
    drop("4-d.json", r#"{"type":"list_tasks"}"#);
    heard(done).await;
    let read = |name: &str| fs::read_to_string(folder.join(name)).expect("an answer");
    assert_eq!(read("1-a.result.json"), r#"{"ok":true,"result":{"done":true}}"#);
    assert!(read("2-b.result.json").starts_with(r#"{"ok":false,"error":"expected"#));
    assert_eq!(read("3-c.result.json"), r#"{"ok":false,"error":"not for you"}"#);
    assert!(!folder.join("1-a.json").exists() && !folder.join("2-b.json").exists());
}

fn put(folder: &Path, name: &str) {
    fs::write(folder.join(name), r#"{"type":"list_tasks"}"#).expect("a file");
}

/// Serves one turn until `count` calls were answered, and ends it while it waits for the next thing.
async fn serve_until(drops: &Drops, count: usize) {
    let (out, mut asked) = mpsc::channel(8);
    let calls = OpenCalls::default();
    let turn = Turn::new(PromptId(1), out, calls.clone());
    let serving = drops.serve(&turn);
    tokio::pin!(serving);
    for _ in 0..count {
        tokio::select! {
            never = &mut serving => match never {},
            frame = asked.recv() => match frame.expect("a frame") {
                FromAgent::Call { call, .. } => {
                    calls.answer(call, CallOutcome::Ok { value: Value::Null });
                }
                other => panic!("{other:?}"),
            },
        }
    }
    // One poll more takes the answer to its file, unless another file waits.
    assert!((&mut serving).now_or_never().is_none());
}

#[tokio::test]
async fn folders_are_looked_into_when_something_came() {
    let scratch = tempfile::tempdir().expect("a folder");
    let drops = Drops::open(&scratch.path().join("ipc"));
    let unseen = || drops.0.as_ref().expect("it is watched").unseen.load(Relaxed);
    let folder = scratch.path().join("ipc/tasks");
    assert!(unseen(), "what lay there before has no event");
    serve_until(&drops, 0).await;
    assert!(!unseen(), "nothing came: the next prompt needs no look");
    // Between two prompts, when nobody listens.
    put(&folder, "1.json");
    serve_until(&drops, 1).await;
    assert!(folder.join("1.result.json").exists());
    // The prompt ends while the second of three is asked: the third is left to the next prompt.
    for name in ["2.json", "3.json", "4.json"] {
        put(&folder, name);
    }
    serve_until(&drops, 1).await;
    assert!(unseen() && folder.join("4.json").exists());
    serve_until(&drops, 1).await;
    assert!(folder.join("4.result.json").exists() && !folder.join("4.json").exists());
}

#[tokio::test]
async fn a_folder_that_was_put_there_anew_is_watched() {
    let scratch = tempfile::tempdir().expect("a folder");
    let drops = Drops::open(&scratch.path().join("ipc"));
    let folder = scratch.path().join("ipc/messages");
    serve_until(&drops, 0).await;
    fs::remove_dir(&folder).expect("it is empty");
    fs::create_dir(&folder).expect("a folder");
    put(&folder, "1.json");
    serve_until(&drops, 1).await;
    fs::rename(&folder, scratch.path().join("ipc/old")).expect("a name");
    // The folder is away for a whole prompt.
    serve_until(&drops, 0).await;
    fs::create_dir(&folder).expect("a folder");
    put(&folder, "2.json");
    serve_until(&drops, 1).await;
    assert!(folder.join("2.result.json").exists());
}
