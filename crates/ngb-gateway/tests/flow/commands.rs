//! Commands in a chat: who may give them, what they say, what they change.

use ngb_core::{
    frame::{FromAgent, Outcome, SessionMark, ToAgent},
    group::Scope,
    id::{GroupId, UserId},
    role::Role,
};

use crate::{
    echo,
    stage::{self, Actor, Setting, Stage, asked},
};

/// Gives whoever writes in `chat` a role: in one group, or for the whole gateway.
async fn grant(stage: &Stage, chat: &str, group: Option<GroupId>, role: Role) -> UserId {
    let store = stage.gateway.store();
    let user = store.add_person(chat).await.unwrap();
    store.link(user, stage::place(chat).jid.account(), &format!("u{chat}")).await.unwrap();
    store.grant(user, group, role).await.unwrap();
    // What routing knows by heart is read anew with any binding.
    stage.group("reread", "99", Scope::Thread).await;
    user
}

/// Says whether its prompt goes on with a session, and ends a run only when it is told to.
async fn tells_of_its_session(mut actor: Actor) {
    while let Some(frame) = actor.hear().await {
        let ToAgent::Prompt(prompt) = frame else { continue };
        let begun = if prompt.session.is_some() { "goes on" } else { "begins" };
        let text = format!("{}: {begun}", asked(&prompt));
        if asked(&prompt) == "wait" {
            let Some(ToAgent::Interrupt { .. }) = actor.hear().await else { return };
        }
        let session = Some(SessionMark { id: "s".into(), entries: 1 });
        let outcome = Outcome::Answered { text };
        actor.say(&FromAgent::Done { prompts: vec![prompt.id], outcome, session }).await;
    }
}

#[tokio::test]
async fn each_role_may_what_it_may() {
    let mut stage = Stage::set(Setting::default(), echo).await;
    let home = stage.group("home", "1", Scope::Thread).await;
    stage.group("home", "2", Scope::Thread).await;
    stage.group("home", "3", Scope::Thread).await;
    grant(&stage, "2", Some(home), Role::Member).await;
    grant(&stage, "3", None, Role::Operator).await;
    let (yes, no) = (true, false);
    #[rustfmt::skip]
    let table = [
        // command, guest, member, operator
        ("/help",    yes, yes, yes),
        ("/我是谁",   yes, yes, yes),
        ("/pair",    yes, yes, yes),
        ("/forget",  yes, yes, yes),
        ("/why",     yes, yes, yes),
        ("/stop",    yes, yes, yes),
        ("/status",  no,  yes, yes),
        ("/queue",   no,  yes, yes),
        ("/tasks",   no,  yes, yes),
        ("/memory",  no,  yes, yes),
        ("/usage",   no,  yes, yes),
        ("/new",     no,  yes, yes),
        ("/pause",   no,  no,  yes),
        ("/resume",  no,  no,  yes),
        ("/approve", no,  no,  yes),
        ("/deny",    no,  no,  yes),
    ];
    for (command, guest, member, operator) in table {
        for (chat, may) in [("1", guest), ("2", member), ("3", operator)] {
            stage.write(chat, command).await;
            let said = stage.heard().await.1;
            assert_eq!(!said.contains("is for"), may, "{command} in {chat}: {said}");
        }
    }
}

#[tokio::test]
async fn a_new_conversation_begins_also_while_the_last_one_goes_on() {
    let mut stage = Stage::set(Setting::default(), tells_of_its_session).await;
    let home = stage.group("home", "1", Scope::Thread).await;
    grant(&stage, "1", Some(home), Role::Member).await;
    for (text, want) in [
        ("a", "a: begins"),
        ("b", "b: goes on"),
        (
            "/new",
            "A new conversation begins with your next message. What the agent remembers stays.",
        ),
        ("c", "c: begins"),
        ("d", "d: goes on"),
    ] {
        stage.write("1", text).await;
        assert_eq!(stage.heard().await.1, want);
    }
    // What a run says of its session at its end comes too late.
    let mut runs = stage.runs();
    stage.write("1", "wait").await;
    runs.begun().await;
    stage.write("1", "/new").await;
    assert!(stage.heard().await.1.starts_with("A new conversation"));
    stage.write("1", "/stop").await;
    assert_eq!(stage.heard().await.1, "wait: goes on");
    stage.write("1", "e").await;
    assert_eq!(stage.heard().await.1, "e: begins");
}

#[tokio::test]
async fn a_group_that_rests_keeps_what_is_written() {
    let mut stage = Stage::set(Setting::default(), echo).await;
    let home = stage.group("home", "1", Scope::Thread).await;
    grant(&stage, "1", Some(home), Role::Operator).await;
    let pause = stage.message("1", "/pause");
    stage.write_all(vec![pause.clone()]).await;
    assert!(stage.heard().await.1.starts_with("home rests."));
    stage.write("1", "one").await;
    stage.write("1", "two").await;
    stage.write("1", "/queue").await;
    let queue = stage.heard().await.1;
    assert!(queue.contains("Waiting here: 2") && queue.contains(" one\n"), "{queue}");
    stage.write("1", "/status").await;
    let status = stage.heard().await.1;
    assert!(status.starts_with("home: paused"), "{status}");
    stage.write("1", "/resume").await;
    assert_eq!(stage.heard().await.1, "home goes on.");
    assert_eq!(stage.heard().await.1, "you said one+two");
    // The platform says it once more; it was done already.
    stage.write_all(vec![pause]).await;
    stage.write("1", "three").await;
    assert_eq!(stage.heard().await.1, "you said three");
    stage.write("1", "/why").await;
    let why = stage.heard().await.1;
    assert!(why.contains("It was answered"), "{why}");
}

#[tokio::test]
async fn a_chat_is_let_in_from_another() {
    let mut stage = Stage::set(Setting::default(), echo).await;
    stage.group("home", "1", Scope::Thread).await;
    grant(&stage, "1", None, Role::Operator).await;
    stage.write("2", "hello").await;
    let offer = stage.heard().await.1;
    let code = offer.split_whitespace().last().unwrap().trim_end_matches('.');
    stage.write("1", "/approve NONE-SUCH").await;
    assert!(stage.heard().await.1.starts_with("No chat waits with the code NONE-SUCH."));
    stage.write("1", &format!("/approve {}", code.to_lowercase())).await;
    let said = stage.heard_by_chat(2).await;
    assert_eq!(said["1"], ["2 is let in."]);
    assert_eq!(said["2"], ["This chat is approved. Write to me!"]);
    stage.write("2", "hello").await;
    assert_eq!(stage.heard().await, ("2".into(), "you said hello".into()));
}

#[tokio::test]
async fn why_tells_of_no_other_chat() {
    let mut stage = Stage::set(Setting::default(), echo).await;
    stage.group("home", "1", Scope::Thread).await;
    stage.group("home", "2", Scope::Thread).await;
    stage.write("1", "my secret").await;
    stage.heard().await;
    let theirs = ngb_store::MessageFilter { limit: 1, ..Default::default() };
    let id = stage.gateway.store().messages(theirs).await.unwrap()[0].id;
    for named in [format!("/why {id}"), format!("/why #{id}"), "/why 9999".into(), "/why it".into()]
    {
        stage.write("2", &named).await;
        assert!(stage.heard().await.1.starts_with("I know no such message"), "{named}");
        stage.write("1", "/whoami").await;
        assert_eq!(stage.heard().await.1, "You are guest here.");
    }
    stage.write("1", &format!("/why {id}")).await;
    assert!(stage.heard().await.1.contains("It was answered"));
}
