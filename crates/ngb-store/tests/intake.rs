//! What arrives is stored once, whatever happens, and a bad event costs itself only.
#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]

mod common;

use common::*;
use ngb_core::{
    clock::Timestamp,
    decision::Decision,
    id::GroupId,
    message::{ChatFacts, ChatKind, Happening, Outbound},
    route::Access,
};
use ngb_store::*;

on_both!(
    a_repeat_is_an_answer,
    a_bad_row_costs_itself_only,
    a_nul_is_no_trouble,
    edits_and_deletions,
    a_chat_moves,
    pairing_limits,
    an_answer_of_the_gateway,
    many_callers_at_once,
);

async fn a_repeat_is_an_answer(fix: Fix) {
    let group = fix.group("home").await;
    let one = engage(group, "1", "a", "hello");
    let mut other_key = one.clone();
    other_key.inbound.event_key = "another".into();
    let done = fix.accept(vec![one.clone(), one.clone(), other_key.clone()], 0).await;
    let id = message_of(&done.recorded[0]);
    assert!(matches!(done.recorded[0], Recorded::New { .. }));
    let repeat = Recorded::Repeat { message: Some(id) };
    assert_eq!(done.recorded[1..], [repeat.clone(), repeat.clone()], "within a batch");
    let done = fix.accept(vec![one, other_key], 4).await;
    assert_eq!(done.recorded, [repeat.clone(), repeat], "by event key, by platform id");
    assert_eq!(done.claims, []);
    assert_eq!(fix.store.counts().await.unwrap().repeats, 4);
    assert_eq!(fix.store.counts().await.unwrap().jobs_queued, 1);
}

async fn a_bad_row_costs_itself_only(fix: Fix) {
    let group = fix.group("home").await;
    let bad = engage(GroupId(999), "1", "b", "for a group that isn't there");
    let batch = vec![engage(group, "1", "a", "x"), bad, engage(group, "1", "c", "z")];
    let done = fix.accept(batch, 1).await;
    let words: Vec<_> = done
        .recorded
        .iter()
        .map(|it| match it {
            Recorded::New { .. } => "new",
            Recorded::Repeat { .. } => "repeat",
            Recorded::Refused { .. } => "refused",
        })
        .collect();
    assert_eq!(words, ["new", "refused", "new"]);
    assert_eq!(done.claims.len(), 1);
    assert_eq!(fix.store.counts().await.unwrap().messages_in, 2);
}

async fn a_nul_is_no_trouble(fix: Fix) {
    let group = fix.group("home").await;
    let done = fix.accept(vec![engage(group, "1", "a", "a\0b")], 0).await;
    let message = fix.store.message(message_of(&done.recorded[0])).await.unwrap().unwrap();
    assert_eq!(message.content.text, "a\u{FFFD}b");
}

async fn edits_and_deletions(fix: Fix) {
    let group = fix.group("home").await;
    let done =
        fix.accept(vec![engage(group, "1", "a", "old"), engage(group, "1", "b", "bye")], 0).await;
    let revise = |key: &str, what| Arrival { inbound: inbound(key, "1", what), plan: Plan::Revise };
    let edit = revise("e1", Happening::Edit(text("a", "new")));
    let delete = revise("e2", Happening::Delete { platform_id: "b".into() });
    let unseen = revise("e3", Happening::Edit(text("zzz", "never seen")));
    let unseen_gone = revise("e4", Happening::Delete { platform_id: "yyy".into() });
    let after = fix.accept(vec![edit, delete, unseen, unseen_gone], 0).await;
    assert_eq!(message_of(&after.recorded[0]), message_of(&done.recorded[0]));
    let kept = fix.store.message(message_of(&after.recorded[2])).await.unwrap().unwrap();
    assert_eq!((kept.state.as_str(), kept.content.text.as_str()), ("context-kept", "never seen"));
    assert!(matches!(after.recorded[3], Recorded::New { message: None, .. }));
    // Platforms say less of a chat with a deletion than with a message: nothing is learned from it.
    let mut recalled = revise("e5", Happening::Delete { platform_id: "xxx".into() });
    recalled.inbound.chat = ChatFacts { kind: ChatKind::Group, title: "0".into() };
    let before = fix.store.chats(10).await.unwrap();
    fix.accept(vec![recalled], 0).await;
    assert_eq!(fix.store.chats(10).await.unwrap(), before);

    let claims = fix.claim(4).await;
    assert_eq!(claims.len(), 1);
    assert_eq!(fix.texts(&claims[0]).await, ["new"], "the edited text, and not the deleted one");
    let job = fix.store.job(job_of(&done.recorded[1])).await.unwrap().unwrap();
    assert_eq!(job.state, "cancelled");
}

async fn a_chat_moves(fix: Fix) {
    let group = fix.group("home").await;
    fix.bind(group, "1").await;
    fix.store.set_access(&place("1").jid, Access::Approved).await.unwrap();
    fix.accept(vec![engage(group, "1", "a", "before")], 0).await;
    let to = place("-100").jid;
    let moved = Arrival {
        inbound: inbound("m", "1", Happening::Moved { to: to.clone() }),
        plan: Plan::Move { to: to.clone() },
    };
    fix.accept(vec![moved], 0).await;
    let registry = fix.store.registry().await.unwrap();
    assert_eq!(registry.bindings.len(), 1);
    assert_eq!(registry.bindings[0].place.jid, to);
    assert!(registry.access.contains(&(to, Access::Approved)));
    // The lane goes with it: the next message joins the one that waits.
    fix.accept(vec![engage(group, "-100", "b", "after")], 0).await;
    let claims = fix.claim(4).await;
    assert_eq!(claims.len(), 1);
    assert_eq!(fix.texts(&claims[0]).await, ["before", "after"]);
}

async fn pairing_limits(fix: Fix) {
    let offer = |key: &str, chat: &str, code: &str, now: Timestamp| Arrival {
        inbound: inbound(key, chat, Happening::Message(text(key, "hi"))),
        plan: Plan::OfferPairing {
            code: code.into(),
            notice: Outbound::Text { text: code.into(), reply_to: None, buttons: vec![] },
            expires_at: now + LEASE,
            not_since: Timestamp(now.0 - 1_000),
            max_pending: 2,
        },
    };
    let batch = vec![
        offer("1", "a", "AAAA", T0),
        offer("2", "a", "BBBB", T0),
        offer("3", "b", "CCCC", T0),
        offer("4", "c", "DDDD", T0),
    ];
    let done = fix.accept(batch, 0).await;
    let said = |it: &Recorded| match it {
        Recorded::New { said, .. } => said.len(),
        other => panic!("{other:?}"),
    };
    let offered: Vec<_> = done.recorded.iter().map(said).collect();
    assert_eq!(offered, [1, 0, 1, 0], "one a chat, two an account");
    let codes = |it: Vec<Pairing>| it.into_iter().map(|it| it.code).collect::<Vec<_>>();
    assert_eq!(codes(fix.store.pairings(T0).await.unwrap()), ["AAAA", "CCCC"]);

    let pairing = fix.store.approve("AAAA", "ann", T0).await.unwrap();
    assert_eq!(pairing.place, place("a"));
    let again = fix.store.approve("AAAA", "ann", T0).await.unwrap_err().to_string();
    assert_eq!(again, "there is no open pairing code `AAAA`");
    assert!(fix.store.approve("CCCC", "ann", T0 + LEASE).await.is_err(), "too old");
    fix.store.deny("CCCC").await.unwrap();
    let access = fix.store.registry().await.unwrap().access;
    assert!(access.contains(&(place("a").jid, Access::Approved)), "{access:?}");
    assert!(access.contains(&(place("b").jid, Access::Denied)), "{access:?}");
}

async fn an_answer_of_the_gateway(fix: Fix) {
    let arrival = Arrival {
        inbound: inbound("1", "a", Happening::Message(text("1", "/status"))),
        plan: Plan::Answer {
            decision: Decision::Command,
            why: "status".into(),
            say: vec![say("a", "one", None).item, say("a", "two", None).item],
        },
    };
    let done = fix.accept(vec![arrival], 0).await;
    let Recorded::New { message: Some(message), said, .. } = &done.recorded[0] else { panic!() };
    let sending: Vec<_> = said.iter().map(|it| it.sending.is_some()).collect();
    assert_eq!(sending, [true, false]);
    let why = fix.store.why(*message).await.unwrap();
    let kinds: Vec<_> = why.decisions.iter().map(|it| it.kind).collect();
    assert_eq!(kinds, [Decision::Received, Decision::Command]);
    assert_eq!(why.outbox.len(), 2);
}

/// Commands that wait together are one transaction, and each gets its own answer.
async fn many_callers_at_once(fix: Fix) {
    let group = fix.group("home").await;
    let mut crew = tokio::task::JoinSet::new();
    #[expect(clippy::disallowed_methods, reason = "callers at once are the test")]
    for i in 0..50 {
        let store = fix.store.clone();
        crew.spawn(async move {
            let chat = format!("{}", i % 25);
            let arrival = engage(group, &chat, &format!("{i}"), "hi");
            let done = store.accept(accept(vec![arrival], 1)).await.unwrap();
            assert_eq!(done.recorded.len(), 1);
            assert!(done.claims.len() <= 1);
            (message_of(&done.recorded[0]), done.claims)
        });
    }
    let all = crew.join_all().await;
    let messages: std::collections::BTreeSet<_> = all.iter().map(|it| it.0).collect();
    assert_eq!(messages.len(), 50);
    let claims = all.iter().map(|it| it.1.len()).sum::<usize>();
    assert_eq!(claims, 4, "max_parallel of the group");
}
