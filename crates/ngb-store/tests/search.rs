//! What messages are found by, on both databases: words of any language, parts of words, and nothing that is gone; the
//! conversations that they are of, and what happened by the minute.
#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]

mod common;

use std::time::Duration;

use common::*;
use ngb_core::{
    decision::Decision,
    frame::SessionMark,
    id::{GroupId, LaneId, MessageId, PassageId},
    message::Happening,
};
use ngb_store::*;

on_both!(
    words_of_any_language_are_found,
    words_follow_edits_and_go_with_their_message,
    old_messages_get_their_words_in_parts,
    who_is_forgotten_leaves_nothing_and_others_stay,
    conversations_are_listed_and_their_sessions_set,
    what_happened_is_told_by_the_minute,
);

fn of_lane(lane: LaneId) -> MessageFilter {
    MessageFilter { lane: Some(lane), limit: 10, ..MessageFilter::default() }
}

fn of_group(group: GroupId) -> MessageFilter {
    MessageFilter { group: Some(group), limit: 10, ..MessageFilter::default() }
}

/// Writes all words that are missing; how many transactions it took.
async fn write_all(store: &Store) -> usize {
    let mut parts = 0;
    while store.has_new_words().await.unwrap() {
        assert_ne!(store.write_words().await.unwrap(), 0);
        parts += 1;
    }
    assert_eq!(store.write_words().await.unwrap(), 0);
    parts
}

async fn found(store: &Store, filter: MessageFilter, text: &str) -> Vec<String> {
    let all = store.search(filter, text).await.unwrap();
    all.into_iter().map(|it| it.content.text).collect()
}

async fn words_of_any_language_are_found(fix: Fix) {
    let (group, other) = (fix.group("home").await, fix.group("work").await);
    let batch = vec![
        engage(group, "1", "a", "我们明天去上海开会"),
        engage(group, "1", "b", "100% of IT_"),
        engage(group, "2", "c", "上海 again"),
        engage(group, "2", "d", "ПРИВЕТ, ÜBER"),
        engage(other, "3", "e", "the invoice of March, from Shanghai"),
    ];
    fix.accept(batch, 0).await;
    let lane = fix.store.lanes(group).await.unwrap()[0].0;
    // Before there are words, any part of the text finds it; then words in any order do, too.
    for indexed in [false, true] {
        if indexed {
            write_all(&fix.store).await;
        }
        #[rustfmt::skip]
        let table = [
            (of_lane(lane),   "上海",            1, 1),
            (of_group(group), "上海",            2, 2),
            (of_group(group), "0% OF it_",       1, 1),
            (of_group(group), "i%",              0, 0),
            (of_group(group), "привет, Über",    1, 1),
            (of_group(group), "über ПРИВЕТ",     0, 1),
            (of_group(group), "开会 上海",        0, 1),
            (of_group(group), "海",              2, 2),
            (of_group(group), "invoice",         0, 0),
            (of_group(other), "march invoice",   0, 1),
            (of_group(other), "voic",            1, 1),
            (of_group(other), "march 上海",       0, 0),
            (of_group(other), "%",               0, 0),
        ];
        for (filter, text, before, after) in table {
            let want = if indexed { after } else { before };
            let got = found(&fix.store, filter, text).await;
            assert_eq!(got.len(), want, "{text}, indexed: {indexed}: {got:?}");
        }
    }
    // By chat, by who asks, and page by page.
    let chat = |chat: &str, seen: Option<Vec<GroupId>>| MessageFilter {
        jid: Some(place(chat).jid),
        seen,
        limit: 10,
        ..Default::default()
    };
    assert_eq!(found(&fix.store, chat("3", None), "MARCH").await.len(), 1);
    assert_eq!(found(&fix.store, chat("3", Some(vec![group])), "MARCH").await.len(), 0);
    let all = MessageFilter { limit: 1, ..Default::default() };
    let first = fix.store.search(all.clone(), "上海").await.unwrap();
    let next = MessageFilter { before: Some(first[0].id), ..all };
    assert_eq!(found(&fix.store, next, "上海").await, ["我们明天去上海开会"]);
}

async fn words_follow_edits_and_go_with_their_message(fix: Fix) {
    let group = fix.group("home").await;
    let batch = vec![engage(group, "1", "a", "black cat"), engage(group, "1", "b", "white cat")];
    fix.accept(batch, 0).await;
    write_all(&fix.store).await;
    let revise = |key: &str, what| {
        let inbound = inbound(key, "1", what);
        vec![Arrival { inbound, plan: Plan::Revise }]
    };
    fix.accept(revise("e", Happening::Edit(text("a", "green frog"))), 0).await;
    let gone = Happening::Delete { platform_id: "b".into() };
    fix.accept(revise("f", gone), 0).await;
    let now = async |text: &str| found(&fix.store, of_group(group), text).await.len();
    assert_eq!((now("cat black").await, now("cat white").await), (0, 0), "at once");
    assert_eq!(now("frog green").await, 0);
    assert_eq!(write_all(&fix.store).await, 1);
    assert_eq!((now("frog green").await, now("cat white").await), (1, 0));
    fix.store.cancel_lane(fix.store.lanes(group).await.unwrap()[0].0, "x").await.unwrap();
    let pruned = fix.store.prune((T0 + LEASE).into(), false).await.unwrap();
    assert_eq!(pruned.messages, 2);
    assert_eq!(now("frog green").await, 0);
}

async fn old_messages_get_their_words_in_parts(fix: Fix) {
    let group = fix.group("home").await;
    let body = |i: usize| format!("number{i} {}", "字符".repeat(i));
    let batch = (0..250).map(|i| engage(group, "1", &format!("{i}"), &body(i))).collect();
    fix.accept(batch, 0).await;
    let parts = write_all(&fix.store).await;
    assert!((3..20).contains(&parts), "{parts}");
    for i in [0, 99, 100, 249] {
        let text = format!("字 number{i}");
        let want = usize::from(i != 0);
        assert_eq!(found(&fix.store, of_group(group), &text).await.len(), want, "{text}");
    }
}

async fn who_is_forgotten_leaves_nothing_and_others_stay(fix: Fix) {
    let group = fix.group("home").await;
    let by = |sender: &str, mut it: Arrival| {
        it.inbound.sender.id = sender.into();
        it
    };
    // The first two are one prompt, so its answer is of both.
    let batch = vec![
        by("7", engage(group, "1", "a", "black cat")),
        by("8", engage(group, "1", "b", "white cat")),
        by("7", engage(group, "2", "c", "black dog")),
    ];
    let claims = fix.accept(batch, 2).await.claims;
    for claim in claims {
        let said = fix.finish(claim, "an answer about black things").await.unwrap();
        fix.store.settle(said.iter().map(|it| sent(it.id, "x")).collect()).await.unwrap();
    }
    write_all(&fix.store).await;
    let edit = |key: &str, sender: &str| {
        let inbound = inbound(key, "1", Happening::Edit(text("a", "black, edited")));
        by(sender, Arrival { inbound, plan: Plan::AskPlugins })
    };
    fix.accept(vec![edit("d", "7"), edit("e", "8")], 0).await;
    let of = [(place("1").jid.account().clone(), "7".to_owned())];
    let traces = fix.store.traces(&of).await.unwrap();
    assert_eq!(traces.own_chats, [place("2").jid.to_string()].into());
    let mut alone: Vec<bool> = traces.lanes.values().map(|it| it.alone).collect();
    alone.sort_unstable();
    assert_eq!((alone, traces.names), (vec![false, true], ["Ann".to_owned()].into()));
    let traces = fix.store.traces(&of).await.unwrap();
    fix.store.cancel_messages(&traces.messages).await.unwrap();
    let gone = fix.store.forget_messages(&traces.messages).await.unwrap();
    assert_eq!((gone.jobs.len(), gone.being_sent), (2, 0));
    fix.store.forget_senders(&of, &traces).await.unwrap();
    assert_eq!(fix.store.waiting_passages(PassageId(0), 10).await.unwrap().len(), 1);
    fix.store.cut_log().await.unwrap();
    let since = ngb_core::clock::Timestamp(0);
    let heard = fix.store.heard(place("1").jid.account(), since, 10).await.unwrap();
    assert_eq!(heard, [(place("1"), T0)]);
    let now = async |text: &str| found(&fix.store, of_group(group), text).await;
    assert_eq!((now("black").await.len(), now("cat").await), (0, vec!["white cat".to_owned()]));
    assert_eq!(fix.store.traces(&of).await.unwrap().messages.len(), 0);
}

async fn conversations_are_listed_and_their_sessions_set(fix: Fix) {
    let (group, other) = (fix.group("home").await, fix.group("work").await);
    let batch = vec![engage(group, "1", "a", "one"), engage(other, "2", "b", "two")];
    let claims = fix.accept(batch, 2).await.claims;
    let all = fix.store.conversations(None).await.unwrap();
    assert_eq!(all.len(), 2);
    let mine = fix.store.conversations(Some(group)).await.unwrap().remove(0);
    assert_eq!((mine.messages, mine.waiting, mine.session), (1, 0, None));
    let claim = claims.into_iter().find(|it| it.lane == mine.lane).unwrap();
    assert_eq!(fix.store.last_answer(mine.lane, MessageId(99)).await.unwrap(), None);
    fix.finish(claim, "an answer").await.unwrap();
    assert_eq!(fix.store.last_answer(mine.lane, MessageId(99)).await.unwrap(), Some(T0));
    let mark = SessionMark { id: "s".into(), entries: 3 };
    fix.store.set_session(mine.lane, Some(mark.clone())).await.unwrap();
    let now = fix.store.conversation(mine.lane).await.unwrap().unwrap();
    assert_eq!((now.session, now.messages), (Some(mark), 2));
    let made = fix.store.make_lane(group, "terminal@main:home/x").await.unwrap();
    assert_eq!(fix.store.make_lane(group, "terminal@main:home/x").await.unwrap(), made);
    let gone = fix.store.set_session(LaneId(999), None).await;
    assert!(matches!(gone, Err(StoreError::NotFound { .. })), "{gone:?}");
}

async fn what_happened_is_told_by_the_minute(fix: Fix) {
    let (group, other) = (fix.group("home").await, fix.group("work").await);
    let after = |ms: u64| T0 + Duration::from_millis(ms);
    let batch = vec![engage(group, "1", "a", "one"), keep(other, "2", "b", "two")];
    let accepted = fix.accept(batch, 1).await;
    let (claim, message) = (accepted.claims[0], message_of(&accepted.recorded[0]));
    let decided = |kind| NewDecision {
        message: Some(message),
        job: None,
        run: None,
        kind,
        detail: String::new(),
    };
    fix.hand.send_replace(after(200));
    fix.store.note(vec![decided(Decision::Prompted)]);
    let mut finish = fix.answer(claim, "an answer").await;
    finish.now = after(61_000);
    finish.decisions = vec![decided(Decision::Answered)];
    fix.hand.send_replace(after(61_000));
    let said = fix.store.finish(finish).await.unwrap().said;
    fix.hand.send_replace(after(61_500));
    let sent = Settle { now: after(61_500), ..sent(said[0].id, "x") };
    fix.store.settle(vec![sent]).await.unwrap();

    let all = fix.store.activity(T0, None).await.unwrap();
    let minute = |messages_in, messages_out, runs| Minute {
        messages_in,
        messages_out,
        runs,
        runs_failed: 0,
    };
    assert_eq!(all.minutes, [(T0, minute(2, 0, 1)), (after(60_000), minute(0, 1, 0))].into());
    let step = |step, ms| (step, StepTimes { count: 1, p50_ms: ms, p95_ms: ms });
    let steps = [
        step(Step::Queue, 0),
        step(Step::Sandbox, 200),
        step(Step::Model, 60_800),
        step(Step::Delivery, 500),
        step(Step::Whole, 61_500),
    ];
    assert_eq!((all.steps.as_slice(), all.troubles.as_slice()), (steps.as_slice(), [].as_slice()));
    let theirs = fix.store.activity(T0, Some(&[other])).await.unwrap();
    assert_eq!(theirs.minutes, [(T0, minute(1, 0, 0))].into());
    assert!(theirs.steps.iter().all(|it| it.1.count == 0), "{theirs:?}");
    assert_eq!(fix.store.activity(after(120_000), None).await.unwrap().minutes, [].into());
}
