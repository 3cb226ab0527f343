//! One person in two chats: a code that is shown in one and typed in the other.

use std::time::Duration;

use ngb_core::{
    clock::{Clock, Timestamp},
    group::Scope,
    message::ChatKind,
    role::Role,
};

use crate::{
    echo,
    stage::{self, Setting, Stage},
};

/// Chats 1 to 4 of people whom nobody knows, but for the owner in 1 and a member in 3.
async fn set(setting: Setting) -> Stage {
    let stage = Stage::set(setting, echo).await;
    let store = stage.gateway.store();
    for (name, role) in [("1", Role::Owner), ("3", Role::Member)] {
        let user = store.add_person(name).await.unwrap();
        let account = stage::place(name).jid.account().clone();
        store.link(user, &account, &format!("u{name}")).await.unwrap();
        store.grant(user, None, role).await.unwrap();
    }
    for chat in ["1", "2", "3", "4"] {
        stage.group("home", chat, Scope::Thread).await;
    }
    stage
}

/// Writes in `chat` and reads what is said there.
async fn say(stage: &mut Stage, chat: &str, text: &str) -> String {
    stage.write(chat, text).await;
    let (at, said) = stage.heard().await;
    assert_eq!(at, chat, "{text}: {said}");
    said
}

async fn code(stage: &mut Stage, chat: &str) -> String {
    let said = say(stage, chat, "/pair").await;
    let code = said.split("`/pair ").nth(1).and_then(|it| it.split('`').next());
    code.unwrap_or_else(|| panic!("no code: {said}")).to_owned()
}

async fn role(stage: &mut Stage, chat: &str) -> String {
    say(stage, chat, "/whoami").await
}

#[tokio::test]
async fn a_code_shown_in_one_chat_and_typed_in_the_other_makes_one_person() {
    let mut stage = set(Setting::default()).await;
    let first = code(&mut stage, "1").await;
    let shown = code(&mut stage, "1").await;
    let typed = format!("/pair {}", shown.to_lowercase());
    #[rustfmt::skip]
    let refused = [
        ("2", format!("/pair {first}"), "no such code", "a newer one was shown"),
        ("1", typed.clone(),            "other platform", "it is for the other chat"),
        ("3", typed.clone(),            "no such code", "somebody whom we know as somebody else"),
        ("2", "/pair NOPE-NOPE".into(), "no such code", "there is none"),
    ];
    for (chat, text, want, why) in refused {
        let said = say(&mut stage, chat, &text).await;
        assert!(said.contains(want), "{why}: {said}");
    }
    assert_eq!(role(&mut stage, "2").await, "You are guest here.");

    stage.write("2", &typed).await;
    let told = stage.heard_by_chat(2).await;
    for (chat, other) in [("1", "Ann 2"), ("2", "Ann 1")] {
        assert!(told[chat][0].contains(other) && told[chat][0].contains("one person"), "{told:?}");
    }
    assert_eq!(role(&mut stage, "2").await, "You are owner here.");
    assert!(say(&mut stage, "4", &typed).await.contains("no such code"), "it was used");
    assert!(say(&mut stage, "2", &typed).await.contains("one person"), "said twice, done once");

    stage.write("1", "/pair undo").await;
    let told = stage.heard_by_chat(2).await;
    for chat in ["1", "2"] {
        assert!(told[chat][0].contains("two people"), "{told:?}");
    }
    assert_eq!(role(&mut stage, "2").await, "You are guest here.");
    assert_eq!(role(&mut stage, "1").await, "You are owner here.");
    assert!(say(&mut stage, "2", "/pair undo").await.contains("no other platform"));
    let audit = stage.gateway.store().audit_log(10).await.unwrap();
    let what: Vec<_> = audit.iter().map(|it| (it.what.as_str(), it.who.as_str())).collect();
    assert_eq!(
        what,
        [("people unlinked", "telegram@main#u1"), ("people linked", "telegram@main#u2")]
    );
}

#[tokio::test]
async fn nobody_gets_a_role_by_having_its_owner_type_something() {
    let mut stage = set(Setting::default()).await;
    let shown = code(&mut stage, "4").await;
    let said = say(&mut stage, "1", &format!("/pair {shown}")).await;
    assert!(said.contains("write `/pair` here"), "{said}");
    assert_eq!(role(&mut stage, "4").await, "You are guest here.");
    // Two whom nobody knows become one, and either takes it back.
    stage.write("2", &format!("/pair {shown}")).await;
    stage.heard_by_chat(2).await;
    let people = stage.gateway.directory().snapshot().people().to_vec();
    let both = people.iter().find(|it| it.identities.len() == 2).unwrap();
    assert_eq!((both.name.as_str(), both.roles.len()), ("Ann 4", 0));
    stage.write("2", "/配对 撤销").await;
    stage.heard_by_chat(2).await;
    let people = stage.gateway.directory().snapshot().people().to_vec();
    assert!(people.iter().all(|it| it.identities.len() < 2), "{people:?}");
}

#[tokio::test]
async fn a_code_is_shown_to_one_alone_and_good_for_ten_minutes() {
    let (hand, clock) = Clock::manual(Timestamp(1_800_000_000_000));
    let mut stage = set(Setting { clock, ..Setting::default() }).await;
    let mut crowded = stage.message("1", "/pair");
    crowded.chat.kind = ChatKind::Group;
    stage.write_all(vec![crowded]).await;
    assert!(stage.heard().await.1.contains("to me alone"));
    let early = code(&mut stage, "1").await;
    hand.send_modify(|now| *now = *now + Duration::from_secs(10 * 60));
    let said = say(&mut stage, "2", &format!("/pair {early}")).await;
    assert!(said.contains("no such code"), "{said}");
    let late = code(&mut stage, "1").await;
    hand.send_modify(|now| *now = *now + Duration::from_secs(10 * 60 - 1));
    stage.write("2", &format!("/pair {late}")).await;
    stage.heard_by_chat(2).await;
    assert_eq!(role(&mut stage, "2").await, "You are owner here.");
}
