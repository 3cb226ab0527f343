//! What an agent asks of the gateway: tasks, messages, groups, use; by group and role, and kept when it is refused.

use ngb_core::{
    frame::{CallOutcome, FromAgent, HostCall, TaskWish, ToAgent},
    group::Scope,
    id::TaskId,
    role::Role,
};

use crate::stage::{self, Actor, Setting, Stage, asked};

/// An agent that makes the call that it is given as JSON, and says what came of it.
async fn caller(mut actor: Actor) {
    while let Some(frame) = actor.hear().await {
        let ToAgent::Prompt(prompt) = frame else { continue };
        let Ok(what) = serde_json::from_str::<HostCall>(&asked(&prompt)) else {
            actor.done(prompt.id, "heard").await;
            continue;
        };
        actor.say(&FromAgent::Call { prompt: prompt.id, call: 1, what }).await;
        let Some(ToAgent::CallResult { outcome, .. }) = actor.hear().await else { return };
        let word = match outcome {
            CallOutcome::Ok { value } => value.to_string(),
            CallOutcome::Refused { reason } => format!("no: {reason}"),
        };
        actor.done(prompt.id, &word).await;
    }
}

fn json(what: &HostCall) -> String {
    serde_json::to_string(what).unwrap()
}

fn every(text: &str) -> HostCall {
    let every = Some("2h".to_owned());
    HostCall::AddTask {
        text: text.into(),
        cron: None,
        every,
        at: None,
        say: false,
        to: None,
        isolated: false,
    }
}

fn find(text: &str, whole_group: bool) -> HostCall {
    HostCall::SearchMessages { text: text.into(), whole_group }
}

#[tokio::test]
async fn each_may_what_their_group_and_role_allow() {
    let mut stage = Stage::set(Setting::default(), caller).await;
    let store = stage.gateway.store().clone();
    let account = stage::place("1").jid.account().clone();
    for (name, sender) in [("Ann", "u1"), ("Bob", "u2"), ("Olga", "u4")] {
        let person = store.add_person(name).await.unwrap();
        store.link(person, &account, sender).await.unwrap();
        store.grant(person, None, Role::Member).await.unwrap();
    }
    // In chats 1 and 2 members of two groups, in 3 a guest of the first, in 4 the main group.
    for (group, chat) in [("home", "1"), ("work", "2"), ("home", "3"), ("main", "4")] {
        stage.group(group, chat, Scope::Thread).await;
    }
    let change = |to| HostCall::ChangeTask { task: TaskId(1), to };
    #[rustfmt::skip]
    let table = [
        ("1", "我们明天去上海开会".to_owned(),   "heard"),
        ("3", json(&every("spy")),              "no: a guest may not"),
        ("1", json(&every("look for mail")),    "{\"task\":1}"),
        ("1", json(&HostCall::ListTasks),       "look for mail"),
        ("2", json(&HostCall::ListTasks),       "[]"),
        ("4", json(&HostCall::ListTasks),       "\"group\":\"home\""),
        ("2", json(&change(TaskWish::Cancel)),  "no: there is no task 1 here"),
        ("1", json(&change(TaskWish::Resume)),  "no: task 1 is active"),
        ("1", json(&change(TaskWish::Pause)),   "{\"done\":true}"),
        ("4", json(&change(TaskWish::Cancel)),  "{\"done\":true}"),
        ("1", json(&find("上海", false)),        "明天去上海"),
        ("2", json(&find("上海", true)),         "{\\\"name\\\":\\\"search_messages"),
        ("3", json(&find("开会", false)),        "{\\\"name\\\":\\\"search_messages"),
        ("3", json(&find("开会", true)),         "no: a guest may not"),
        ("1", json(&HostCall::ListGroups),      "no: only the agent of the main group"),
        ("4", json(&HostCall::ListGroups),      "telegram@main:2"),
        ("3", json(&HostCall::Usage),           "\"runs_per_day\":200"),
    ];
    for (chat, text, want) in table {
        stage.write(chat, &text).await;
        let got = stage.heard().await;
        assert_eq!(got.0, chat);
        assert!(got.1.contains(want), "{text} in chat {chat}: {}", got.1);
        assert!(!want.starts_with("{\\\"name") || !got.1.contains("明天"), "{}", got.1);
    }
    let refused = store.audit_log(50).await.unwrap();
    let refused = refused.iter().filter(|it| it.what == "host call refused").count();
    assert_eq!(refused, 5);
}

/// The main group's agent reaches what its people may; any other stays with its own chats.
#[tokio::test]
async fn who_reaches_beyond_their_chat() {
    let mut stage = Stage::set(Setting::default(), caller).await;
    let store = stage.gateway.store().clone();
    let account = stage::place("1").jid.account().clone();
    for (name, sender, role) in [("Ann", "u1", Role::Member), ("Olga", "u4", Role::Admin)] {
        let person = store.add_person(name).await.unwrap();
        store.link(person, &account, sender).await.unwrap();
        store.grant(person, None, role).await.unwrap();
    }
    for (group, chat) in [("home", "1"), ("home", "2"), ("work", "3"), ("main", "4"), ("main", "5")]
    {
        stage.group(group, chat, Scope::Thread).await;
    }
    let say =
        |to: &str| json(&HostCall::SendMessage { text: "psst".into(), to: Some(to.to_owned()) });
    let register = |group: &str, chat: &str| {
        let (group, chat) = (group.to_owned(), Some(chat.to_owned()));
        json(&HostCall::RegisterGroup { group, folder: None, chat, trigger: Some(String::new()) })
    };
    let update = |text: Option<&str>, every: Option<&str>| {
        let [text, every] = [text, every].map(|it| it.map(str::to_owned));
        json(&HostCall::UpdateTask { task: TaskId(1), text, cron: None, every, at: None })
    };
    #[rustfmt::skip]
    let table = [
        ("1", say("telegram@main:3"),               "no: `telegram@main:3` is no chat of this group"),
        ("1", say("nonsense"),                      "no: `nonsense` has no `:`"),
        ("5", say("telegram@main:3"),               "no: a guest may not"),
        ("4", say("telegram@main:99"),              "no: `telegram@main:99` belongs to no group"),
        ("1", json(&HostCall::Refresh),             "no: only the agent of the main group"),
        ("4", json(&HostCall::Refresh),             "\"isRegistered\":true"),
        ("1", register("Fresh", "telegram:9"),      "no: a member may not"),
        ("4", register("main", "telegram:9"),       "no: nobody binds chats to the main group"),
        ("4", register("a\nb", "telegram:9"),       "is no group name"),
        ("1", json(&every("look for mail")),        "{\"task\":1}"),
        ("1", update(None, None),                   "no: say what is to be another"),
        ("1", update(Some("count"), Some("3h")),    "{\"done\":true}"),
        ("1", json(&HostCall::ListTasks),           "\"schedule\":\"interval 3h\""),
        ("1", json(&HostCall::ListTasks),           "\"text\":\"count\""),
    ];
    for (chat, text, want) in table {
        stage.write(chat, &text).await;
        let got = stage.heard().await;
        assert_eq!(got.0, chat);
        assert!(got.1.contains(want), "{text} in chat {chat}: {}", got.1);
    }
    // What is said elsewhere comes there, the answer where it was asked for.
    for (chat, to) in [("1", "telegram@main:2"), ("4", "telegram:3")] {
        stage.write(chat, &say(to)).await;
        let mut heard = [stage.heard().await, stage.heard().await];
        heard.sort();
        let mut want = [
            (to[to.len() - 1..].to_owned(), "psst".to_owned()),
            (chat.to_owned(), "{\"done\":true}".to_owned()),
        ];
        want.sort();
        assert_eq!(heard, want);
    }
    stage.write("4", &register("Fresh", "telegram:9")).await;
    assert!(stage.heard().await.1.starts_with("{\"group\":"));
    stage.write("9", "hello?").await;
    assert_eq!(stage.heard().await, ("9".into(), "heard".into()));
}

/// What was read of the groups while others were being made never takes the place of what was read after them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[expect(clippy::disallowed_methods, reason = "groups that are made at once are the test")]
async fn groups_that_are_made_at_once_are_all_known() {
    let stage = Stage::set(Setting::default(), async |_| ()).await;
    let mut crew = tokio::task::JoinSet::new();
    for one in 0..8 {
        let gateway = stage.gateway.clone();
        crew.spawn(async move {
            for n in 0..25 {
                let name = format!("group {one} {n}");
                gateway.add_group(&name, None, false).await.unwrap();
                gateway.group(&name).unwrap();
            }
        });
    }
    crew.join_all().await;
}
