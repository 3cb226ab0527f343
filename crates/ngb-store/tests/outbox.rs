//! What goes out: in order, one at a time in a place, never lost.
#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]

mod common;

use std::time::Duration;

use common::*;
use ngb_core::{
    clock::Timestamp,
    decision::Decision,
    id::OutboxId,
    job::JobState,
    message::{Happening, MediaKind, MediaRef, Outbound},
    reaction::reacted,
    route::Access,
};
use ngb_store::*;

on_both!(
    order_within_a_place,
    what_waits_by_account,
    a_retry_holds_its_place,
    a_failed_row_blocks_nobody,
    what_was_sent_can_fail_late,
    sends_in_flight_are_in_doubt,
    a_live_answer_is_one_message,
    a_move_takes_the_rows_along,
    a_move_onto_a_lane_that_is_there,
    files_of_a_message,
    an_answer_is_found_by_its_platform_ids,
    a_reaction_is_kept_beside_what_is_said,
    prune_never_touches_what_is_in_use,
    each_kind_has_its_time,
    groups_and_bindings,
    people_and_logins,
);

async fn what_waits_by_account(fix: Fix) {
    assert!(fix.store.backlog().await.unwrap().is_empty());
    let queued = fix.store.say(vec![say("1", "a", None), say("1", "b", None)]).await.unwrap();
    let account = place("1").jid.account().clone();
    assert_eq!(fix.store.backlog().await.unwrap()[&account], 2);
    fix.store.settle(vec![sent(queued[0].id, "1")]).await.unwrap();
    assert_eq!(fix.store.backlog().await.unwrap()[&account], 1);
}

fn ids(items: &[OutboxItem]) -> Vec<OutboxId> {
    items.iter().map(|it| it.id).collect()
}

fn retry(id: OutboxId, at: Timestamp) -> Settle {
    let outcome = SendOutcome::Retry { at, error: "429".into(), in_doubt: false };
    Settle { id, outcome, now: T0 }
}

async fn order_within_a_place(fix: Fix) {
    let rows =
        vec![say("1", "a", None), say("1", "b", None), say("2", "c", None), say("1", "d", None)];
    let queued = fix.store.say(rows).await.unwrap();
    let sending: Vec<_> = queued.iter().map(|it| it.sending.is_some()).collect();
    assert_eq!(sending, [true, false, true, false], "one of each place");
    let account = place("1").jid.account().clone();
    let taken = fix.store.take_outbox(&[account], T0, 10).await.unwrap();
    assert_eq!(taken, [], "what waits behind another is not handed out");
    let next = fix.store.settle(vec![sent(queued[0].id, "1")]).await.unwrap();
    assert_eq!(ids(&next), [queued[1].id]);
    assert_eq!(next[0].attempt, 1);
    let next =
        fix.store.settle(vec![sent(queued[1].id, "2"), sent(queued[2].id, "3")]).await.unwrap();
    assert_eq!(ids(&next), [queued[3].id]);
    assert_eq!(fix.store.settle(vec![sent(queued[3].id, "4")]).await.unwrap(), []);
    let late = fix.store.settle(vec![sent(queued[3].id, "5")]).await.unwrap();
    assert_eq!(late, [], "settled twice");
    assert_eq!(fix.store.platform_id(queued[3].id).await.unwrap().as_deref(), Some("4"));
}

async fn a_retry_holds_its_place(fix: Fix) {
    let queued = fix.store.say(vec![say("1", "a", None), say("1", "b", None)]).await.unwrap();
    let at = T0 + LEASE;
    assert_eq!(fix.store.settle(vec![retry(queued[0].id, at)]).await.unwrap(), []);
    let account = place("1").jid.account().clone();
    let taken = fix.store.take_outbox(std::slice::from_ref(&account), T0, 10).await.unwrap();
    assert_eq!(taken, [], "not due");
    assert_eq!(fix.store.next_due(T0).await.unwrap(), Some(at));
    let other = "telegram@other".parse().unwrap();
    assert_eq!(fix.store.take_outbox(&[other], at, 10).await.unwrap(), [], "not its account");
    let taken = fix.store.take_outbox(&[account], at, 10).await.unwrap();
    assert_eq!(ids(&taken), [queued[0].id]);
    assert_eq!((taken[0].attempt, taken[0].in_doubt), (2, false));
}

async fn a_failed_row_blocks_nobody(fix: Fix) {
    let queued = fix.store.say(vec![say("1", "a", None), say("1", "b", None)]).await.unwrap();
    let outcome = SendOutcome::Failed { error: "blocked by the user".into() };
    let failed = Settle { id: queued[0].id, outcome, now: T0 };
    assert_eq!(ids(&fix.store.settle(vec![failed]).await.unwrap()), [queued[1].id]);
    assert_eq!(fix.store.counts().await.unwrap().outbox_failed, 1);
}

async fn what_was_sent_can_fail_late(fix: Fix) {
    let group = fix.group("home").await;
    let asked = fix.accept(vec![engage(group, "1", "m1", "hi")], 0).await;
    let about = message_of(&asked.recorded[0]);
    let queued = fix.store.say(vec![say("1", "a", Some(about))]).await.unwrap();
    fix.store.settle(vec![sent(queued[0].id, "w1")]).await.unwrap();
    let late = |key: &str, chat: &str, platform_id: &str| {
        let (platform_id, why) = (platform_id.to_owned(), "131026: gone".to_owned());
        let what = Happening::Undelivered { platform_id, why };
        Arrival { inbound: inbound(key, chat, what), plan: Plan::FailSend }
    };
    let counts = async || fix.store.counts().await.unwrap().outbox_failed;
    let other = vec![late("s1", "2", "w1"), late("s2", "1", "w2")];
    fix.accept(other, 0).await;
    assert_eq!(counts().await, 0, "another chat, another message");
    for key in ["s3", "s3", "s4"] {
        fix.accept(vec![late(key, "1", "w1")], 0).await;
        assert_eq!(counts().await, 1);
    }
    let decisions = fix.store.why(about).await.unwrap().decisions;
    let failed: Vec<_> = decisions.iter().filter(|it| it.kind == Decision::SendFailed).collect();
    assert_eq!(failed.len(), 1, "told once: {decisions:?}");
    assert!(failed[0].detail.ends_with("131026: gone"));
}

async fn sends_in_flight_are_in_doubt(fix: Fix) {
    let queued = fix.store.say(vec![say("1", "a", None), say("1", "b", None)]).await.unwrap();
    assert_eq!(fix.store.recover(T0).await.unwrap().in_doubt, 1);
    assert_eq!(fix.store.counts().await.unwrap().outbox_in_doubt, 1);
    let account = place("1").jid.account().clone();
    let taken = fix.store.take_outbox(&[account], T0, 10).await.unwrap();
    assert_eq!(ids(&taken), [queued[0].id]);
    assert!(taken[0].in_doubt);
}

async fn a_live_answer_is_one_message(fix: Fix) {
    let group = fix.group("home").await;
    let done = fix.accept(vec![engage(group, "1", "a", "hi")], 1).await;
    let (claim, job) = (done.claims[0], job_of(&done.recorded[0]));
    let mut first = say("1", "thinking", Some(message_of(&done.recorded[0])));
    first.live = true;
    let live = fix.store.live(&claim, job, first).await.unwrap();
    fix.store.settle(vec![sent(live.id, "77")]).await.unwrap();
    fix.store.recover(T0).await.unwrap();
    let claim = fix.claim(1).await[0];
    let work = fix.store.work(&claim).await.unwrap();
    let live = LiveAnswer { outbox: live.id, platform_id: Some("77".into()) };
    assert_eq!(work.jobs[0].live, Some(live), "the next run edits the same message");
    let mut finish = fix.answer(claim, "the answer").await;
    finish.outbox[0].item =
        Outbound::Edit { platform_id: "77".into(), text: "the answer".into(), buttons: vec![] };
    let said = fix.store.finish(finish).await.unwrap().said;
    fix.store.settle(vec![sent(said[0].id, "77")]).await.unwrap();
    let found = fix.store.find_message(&place("1").jid, "77").await.unwrap().unwrap();
    assert_eq!(found.content.text, "the answer");
}

async fn a_move_takes_the_rows_along(fix: Fix) {
    let queued = fix.store.say(vec![say("1", "a", None), say("1", "b", None)]).await.unwrap();
    let to = place("-100").jid;
    let moved =
        Settle { id: queued[0].id, outcome: SendOutcome::Moved { to: to.clone() }, now: T0 };
    let next = fix.store.settle(vec![moved]).await.unwrap();
    assert_eq!(ids(&next), [queued[0].id], "the same again, at the new address");
    assert_eq!(next[0].place.jid, to);
    let next = fix.store.settle(vec![sent(queued[0].id, "1")]).await.unwrap();
    assert_eq!((ids(&next), &next[0].place.jid), (vec![queued[1].id], &to));
}

async fn an_answer_is_found_by_its_platform_ids(fix: Fix) {
    let group = fix.group("home").await;
    let done = fix.accept(vec![engage(group, "1", "a", "hi")], 1).await;
    let mut finish = fix.answer(done.claims[0], "answer").await;
    finish.outbox.push(say("1", "second part", None));
    let queued = fix.store.finish(finish).await.unwrap().said;
    assert_eq!(queued.iter().map(|it| it.sending.is_some()).collect::<Vec<_>>(), [true, false]);
    fix.store.settle(vec![sent(queued[0].id, "501")]).await.unwrap();
    fix.store.settle(vec![sent(queued[1].id, "502")]).await.unwrap();
    let jid = place("1").jid;
    let first = fix.store.find_message(&jid, "501").await.unwrap().unwrap();
    let second = fix.store.find_message(&jid, "502").await.unwrap().unwrap();
    assert_eq!((first.id, first.content.text.as_str()), (second.id, "answer"));
    // Somebody answers our message: its text goes with the prompt.
    let mut reply = engage(group, "1", "b", "why?");
    if let ngb_core::message::Happening::Message(it) = &mut reply.inbound.what {
        it.reply_to = Some("501".into());
    }
    let done = fix.accept(vec![reply], 1).await;
    let message = fix.store.message(message_of(&done.recorded[0])).await.unwrap().unwrap();
    assert_eq!(message.reply_text.as_deref(), Some("answer"));
    let why = fix.store.why(first.id).await.unwrap();
    assert_eq!((why.jobs.len(), why.outbox.len()), (1, 2));
    let words: Vec<_> = why.decisions.iter().map(|it| it.kind.as_str()).collect();
    assert_eq!(words, ["received", "queued", "claimed", "sending", "sent"]);
}

async fn prune_never_touches_what_is_in_use(fix: Fix) {
    let group = fix.group("home").await;
    let done = fix.accept(vec![engage(group, "1", "a", "answered")], 1).await;
    let queued = fix.finish(done.claims[0], "x").await.unwrap();
    fix.store.settle(vec![sent(queued[0].id, "9")]).await.unwrap();
    let unsent = fix.accept(vec![engage(group, "2", "b", "answer not sent")], 1).await;
    fix.finish(unsent.claims[0], "x").await.unwrap();
    let running = fix.accept(vec![engage(group, "3", "c", "running")], 1).await;
    let waiting = fix.accept(vec![engage(group, "3", "d", "waiting")], 1).await;
    let before = T0 + LEASE;
    let only = |before| Cutoffs { messages: Some(before), ..Cutoffs::default() };
    let dry = fix.store.prune(before.into(), true).await.unwrap();
    let pruned = fix.store.prune(only(before), false).await.unwrap();
    assert_eq!((dry.outbox, pruned.outbox), (1, 1));
    assert_eq!((dry.runs, pruned.runs), (0, 0), "caps of the day are reckoned from them");
    fix.hand.send_replace(T0 + Duration::from_secs(25 * 3_600));
    let runs = fix.store.prune(only(before), false).await.unwrap().runs;
    assert_eq!((pruned.jobs, runs), (2, 2), "{pruned:?}");
    assert_eq!(pruned.messages, 2, "the answered one and its answer");
    assert_eq!(pruned.event_keys, 0, "they stay for 30 days more");
    for it in [&unsent, &running, &waiting] {
        let id = message_of(&it.recorded[0]);
        assert!(fix.store.message(id).await.unwrap().is_some());
    }
    let again = fix.accept(vec![engage(group, "1", "a", "answered")], 1).await;
    assert_eq!(again.recorded, [Recorded::Repeat { message: None }], "its key is still known");
    fix.finish(running.claims[0], "x").await.unwrap();
    let later = Timestamp(before.0 + 31 * 24 * 3_600_000);
    assert_eq!(fix.store.prune(only(later), false).await.unwrap().event_keys, 4);
}

async fn each_kind_has_its_time(fix: Fix) {
    let group = fix.group("home").await;
    let done = fix.accept(vec![engage(group, "1", "a", "hi")], 1).await;
    let mut finish = fix.answer(done.claims[0], "").await;
    finish.jobs[0].1 = JobState::Dead { reason: "no key".into() };
    finish.usage = vec![Usage { provider: "p".into(), model: "m".into(), ..Usage::default() }];
    fix.store.finish(finish).await.unwrap();
    fix.store.audit("ann", "grant", "x").await.unwrap();
    let (before, now) = (T0 + LEASE, T0 + Duration::from_secs(25 * 3_600));
    fix.hand.send_replace(now);
    let it = Some(before);
    #[rustfmt::skip]
    let table = [
        (Cutoffs { messages: it, ..Cutoffs::default() },     [0, 0, 0]),
        (Cutoffs { dead_letters: it, ..Cutoffs::default() }, [1, 0, 0]),
        (Cutoffs { usage: it, ..Cutoffs::default() },        [0, 1, 0]),
        (Cutoffs { audit: it, ..Cutoffs::default() },        [0, 0, 1]),
        (before.into(),                                      [0, 0, 0]),
    ];
    for (cutoffs, want) in table {
        for dry_run in [true, false] {
            let gone = fix.store.prune(cutoffs, dry_run).await.unwrap();
            assert_eq!([gone.dead_letters, gone.usage, gone.audit], want, "{cutoffs:?}");
        }
    }
}

async fn groups_and_bindings(fix: Fix) {
    let (a, b) = (fix.group("a").await, fix.group("b").await);
    fix.bind(a, "1").await;
    fix.bind(b, "1").await;
    fix.bind(b, "1").await;
    assert_eq!(fix.store.registry().await.unwrap().bindings.len(), 2, "several groups, each once");
    let taken = NewGroup {
        name: "a".parse().unwrap(),
        folder: "other".parse().unwrap(),
        is_main: false,
        limits: ngb_core::group::Limits::default(),
    };
    let err = fix.store.add_group(taken.clone()).await.unwrap_err().to_string();
    assert_eq!(err, "group `a` exists already");
    let rename = GroupChange { name: Some("b".parse().unwrap()), ..GroupChange::default() };
    assert!(matches!(fix.store.change_group(a, rename).await, Err(StoreError::Taken { .. })));
    fix.store.unbind(&place("1"), b).await.unwrap();
    assert!(fix.store.unbind(&place("1"), b).await.is_err());
    fix.store.remove_group(a).await.unwrap();
    assert_eq!(fix.store.registry().await.unwrap().bindings.len(), 0);
    fix.store.add_group(taken).await.unwrap();
    fix.store.set_access(&place("1").jid, Access::Denied).await.unwrap();
    assert_eq!(fix.store.chats(5).await.unwrap()[0].access, Access::Denied);
}

async fn people_and_logins(fix: Fix) {
    use ngb_core::role::Role;
    let ann = fix.store.add_person("Ann").await.unwrap();
    let account = place("1").jid.account().clone();
    fix.store.link(ann, &account, "7").await.unwrap();
    fix.store.grant(ann, None, Role::Member).await.unwrap();
    fix.store.grant(ann, None, Role::Owner).await.unwrap();
    let people = fix.store.registry().await.unwrap().people;
    assert_eq!(people[0].roles, [(None, Role::Owner)]);
    assert_eq!(people[0].identities, [(account, "7".to_owned())]);
    let end = T0 + LEASE;
    fix.store.add_login_code("code", ann, end).await.unwrap();
    assert_eq!(fix.store.use_login_code("code", end).await.unwrap(), None, "too old");
    assert_eq!(fix.store.use_login_code("code", T0).await.unwrap(), Some(ann));
    assert_eq!(fix.store.use_login_code("code", T0).await.unwrap(), None, "once");
    fix.store.set_roles(ann, vec![(None, Role::Guest)]).await.unwrap();
    assert_eq!(fix.store.registry().await.unwrap().people[0].roles, [(None, Role::Guest)]);
    fix.store.add_session("token", ann, T0, end).await.unwrap();
    let session = fix.store.session("token", T0).await.unwrap().unwrap();
    assert_eq!((session.name.as_str(), session.user), ("Ann", ann));
    assert_eq!(fix.store.session("token", end).await.unwrap(), None);
    fix.store.end_session("token").await.unwrap();
    assert_eq!(fix.store.session("token", T0).await.unwrap(), None);
    fix.store.put("k", "1").await.unwrap();
    fix.store.put("k", "2").await.unwrap();
    assert_eq!(fix.store.get("k").await.unwrap().as_deref(), Some("2"));
    fix.store.audit("ann", "grant", "x").await.unwrap();
    assert_eq!(fix.store.audit_log(5).await.unwrap()[0].what, "grant");
}

/// What waits at the old address is answered at the new one, though a lane is there already.
async fn a_move_onto_a_lane_that_is_there(fix: Fix) {
    let group = fix.group("home").await;
    fix.accept(vec![engage(group, "1", "a", "old"), engage(group, "2", "b", "new")], 0).await;
    let to = place("2").jid;
    let what = Happening::Moved { to: to.clone() };
    let moved = Arrival { inbound: inbound("m", "1", what), plan: Plan::Move { to } };
    fix.accept(vec![moved], 0).await;
    fix.accept(vec![engage(group, "2", "c", "after")], 0).await;
    let mut answered = Vec::new();
    while let Some(claim) = fix.claim(1).await.first().copied() {
        let work = fix.store.work(&claim).await.unwrap();
        assert!(work.jobs.iter().all(|it| it.place == place("2")), "{work:?}");
        answered.extend(fix.texts(&claim).await);
        fix.finish(claim, "x").await.unwrap();
    }
    answered.sort();
    assert_eq!(answered, ["after", "new", "old"]);
}

async fn files_of_a_message(fix: Fix) {
    let group = fix.group("home").await;
    let done = fix.accept(vec![keep(group, "1", "a", "see the files")], 0).await;
    let message = message_of(&done.recorded[0]);
    let media = MediaRef {
        kind: MediaKind::LongText,
        reference: "r".into(),
        name: "a.txt".into(),
        media_type: None,
        size_bytes: None,
    };
    for (n, path) in [(1, "incoming/b"), (0, "incoming/a"), (1, "incoming/c")] {
        let file = FetchedMedia { message, n, media: media.clone(), path: path.into() };
        fix.store.set_media_path(file).await.unwrap();
    }
    let found = fix.store.media_paths(message).await.unwrap();
    assert_eq!(found, [(0, "incoming/a".to_owned()), (1, "incoming/c".to_owned())]);
}

async fn a_reaction_is_kept_beside_what_is_said(fix: Fix) {
    let group = fix.group("home").await;
    let queued = fix.store.say(vec![say("1", "a", None)]).await.unwrap();
    fix.store.settle(vec![sent(queued[0].id, "w1")]).await.unwrap();
    let own = fix.store.own_message(&place("1").jid, "w1").await.unwrap().unwrap();
    assert_eq!((own.place, own.text.as_deref()), (place("1"), Some("a")));
    for (chat, id) in [("1", "w2"), ("2", "w1")] {
        assert_eq!(fix.store.own_message(&place(chat).jid, id).await.unwrap(), None);
    }

    let reaction = |key: &str| Arrival {
        inbound: inbound(key, "1", reacted("w1", &["👍".to_owned()], &[])),
        plan: Plan::Keep { group, lane_key: "telegram@main:1".into(), why: "context".into() },
    };
    let done = fix.accept(vec![reaction("r1"), reaction("r1"), reaction("r2")], 0).await;
    assert!(matches!(done.recorded[1], Recorded::Repeat { .. }));
    let kept = fix.store.message(message_of(&done.recorded[0])).await.unwrap().unwrap();
    assert_eq!(
        (kept.state.as_str(), kept.content.text.as_str()),
        ("context-kept", "[reacted with 👍]")
    );
    assert_eq!(kept.content.reply_to.as_deref(), Some("w1"));
    assert_eq!(fix.claim(4).await.len(), 0, "it starts nothing");
    let decisions = fix.store.why(kept.id).await.unwrap().decisions;
    assert!(decisions.iter().any(|it| it.kind == Decision::Kept), "{decisions:?}");
    // No chat is learned from one.
    assert!(fix.store.chats(10).await.unwrap().is_empty());
}
