//! Claims, their end, and what a gateway that died leaves behind.
#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]
#![expect(clippy::disallowed_methods, reason = "racing claimers are the test")]

mod common;

use std::collections::{BTreeSet, HashMap};

use common::*;
use ngb_core::{
    ask::Audience,
    clock::Timestamp,
    decision::Decision,
    frame::SessionMark,
    group::Limits,
    job::JobState,
    message::{Button, Happening, Outbound},
    queue::Mode,
    role::Role,
};
use ngb_store::*;

on_both!(
    one_run_a_lane_and_slots,
    not_due_is_not_claimed,
    a_prompt_is_of_one_kind,
    the_flooder_waits_its_turn,
    finish_is_fenced,
    deaths_are_counted,
    context_goes_once,
    calls_are_keyed,
    a_question_is_answered_once,
    dead_letters,
    jobs_without_an_answer_wait_again,
    what_came_meanwhile_is_attached,
    what_is_held_goes_when_somebody_says_so,
    leases,
    use_is_counted,
    open_use_is_counted_once,
    a_run_that_the_gateways_death_cut_off_is_not_of_the_day,
    a_task_is_no_message_that_waits,
);

async fn one_run_a_lane_and_slots(fix: Fix) {
    let limits = Limits { max_parallel: 3, ..Limits::default() };
    let group = fix.group_of("home", limits).await;
    let batch = (0..10).map(|i| engage(group, &format!("{}", i % 5), &format!("{i}"), "hi"));
    fix.accept(batch.collect(), 0).await;
    let mut crew = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let store = fix.store.clone();
        crew.spawn(async move { store.claim(2, T0, T0 + LEASE).await.unwrap().claims });
    }
    let claims: Vec<Claim> = crew.join_all().await.into_iter().flatten().collect();
    let lanes: BTreeSet<_> = claims.iter().map(|it| it.lane).collect();
    assert_eq!((claims.len(), lanes.len()), (3, 3));
    fix.finish(claims[0], "done").await.unwrap();
    let next = fix.claim(8).await;
    assert_eq!(next.len(), 1, "a slot is free again");
    assert!(!lanes.contains(&next[0].lane));
}

async fn not_due_is_not_claimed(fix: Fix) {
    let group = fix.group("home").await;
    let claim = fix.accept(vec![engage(group, "1", "a", "hi")], 1).await.claims[0];
    let later = T0 + LEASE;
    let mut finish = fix.answer(claim, "").await;
    let job = finish.jobs[0].0;
    finish.jobs[0] = (job, JobState::Queued { run_at: later }, tries(1, 0));
    finish.answer = None;
    finish.outbox.clear();
    finish.error = Some("sandbox died".into());
    fix.store.finish(finish).await.unwrap();
    assert_eq!(fix.claim(4).await, []);
    assert_eq!(fix.store.next_due(T0).await.unwrap(), Some(later));
    let claims = fix.store.claim(4, later, later + LEASE).await.unwrap().claims;
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0].epoch, claim.epoch + 1);
    let work = fix.store.work(&claims[0]).await.unwrap();
    assert_eq!(work.jobs[0].tries, tries(1, 0));
    assert_eq!(fix.store.next_due(later).await.unwrap(), None);
}

async fn a_prompt_is_of_one_kind(fix: Fix) {
    let group = fix.group("home").await;
    let mut member = engage(group, "1", "c", "three");
    if let Plan::Engage { role, .. } = &mut member.plan {
        *role = Role::Member;
    }
    let batch = vec![engage(group, "1", "a", "one"), engage(group, "1", "b", "two"), member];
    fix.accept(batch, 0).await;
    let claim = fix.claim(4).await[0];
    assert_eq!(fix.texts(&claim).await, ["one", "two"], "roles are not collected into one");
    fix.finish(claim, "x").await.unwrap();
    let claim = fix.claim(4).await[0];
    assert_eq!(fix.texts(&claim).await, ["three"]);
    fix.finish(claim, "x").await.unwrap();

    let long = "x".repeat(60 * 1024);
    let many =
        (0..60).map(|i| engage(group, "1", &format!("l{i}"), if i < 8 { &long } else { "s" }));
    fix.accept(many.collect(), 0).await;
    let claim = fix.claim(4).await[0];
    assert_eq!(fix.texts(&claim).await.len(), 4, "256 KiB");
    fix.finish(claim, "x").await.unwrap();
    let claim = fix.claim(4).await[0];
    assert_eq!(fix.texts(&claim).await.len(), 50, "50 jobs");
    fix.finish(claim, "x").await.unwrap();
    let claim = fix.claim(4).await[0];
    assert_eq!(fix.texts(&claim).await.len(), 6, "the rest");
}

/// One group with 1,000 jobs in many lanes, ten groups with one job: each of the ten before the flooder's eighth further run.
async fn the_flooder_waits_its_turn(fix: Fix) {
    let flooder = fix.group("flooder").await;
    let batch =
        (0..1_000).map(|i| engage(flooder, &format!("f{}", i % 200), &format!("{i}"), "hi"));
    fix.accept(batch.collect(), 0).await;
    let mut running = fix.claim(4).await;
    assert_eq!(running.len(), 4);
    let mut small = Vec::new();
    for i in 0..10 {
        let group = fix.group(&format!("small-{i}")).await;
        fix.accept(vec![engage(group, &format!("s{i}"), "a", "hi")], 0).await;
        small.push(group);
    }
    let mut served = BTreeSet::new();
    let mut flood = 0;
    while served.len() < small.len() {
        let claim = running.remove(0);
        fix.finish(claim, "ok").await.unwrap();
        for claim in fix.claim(1).await {
            running.push(claim);
            if claim.group == flooder {
                flood += 1;
            } else {
                served.insert(claim.group);
            }
        }
        assert!(flood < 8, "{} of ten were served", served.len());
    }
}

async fn finish_is_fenced(fix: Fix) {
    let group = fix.group("home").await;
    let claim = fix.accept(vec![engage(group, "1", "a", "hi")], 1).await.claims[0];
    let finish = fix.answer(claim, "too late").await;
    let job = finish.jobs[0].0;
    assert_eq!(fix.store.recover(T0).await.unwrap().runs, 1);
    let fenced =
        |it: Result<_, StoreError>| matches!(it, Err(StoreError::Fenced(run)) if run == claim.run);
    assert!(fenced(fix.store.finish(finish.clone()).await.map(drop)));
    assert!(fenced(fix.store.effect(&claim, job).await));
    assert!(fenced(fix.store.work(&claim).await.map(drop)));
    assert!(fenced(fix.store.live(&claim, job, say("1", "x", None)).await.map(drop)));
    let next = fix.claim(1).await[0];
    assert_eq!(next.epoch, claim.epoch + 1);
    assert!(
        fenced(fix.store.finish(finish).await.map(drop)),
        "also while another run holds the lane"
    );
    fix.finish(next, "answer").await.unwrap();
    assert_eq!(fix.store.counts().await.unwrap().messages_out, 1);
}

async fn deaths_are_counted(fix: Fix) {
    let group = fix.group("home").await;
    let done = fix.accept(vec![engage(group, "1", "a", "hi")], 0).await;
    let job = job_of(&done.recorded[0]);
    for death in 1..=10 {
        assert_eq!(fix.claim(1).await.len(), 1, "waits again at once, {death}");
        let recovered = fix.store.recover(T0).await.unwrap();
        assert_eq!(recovered.dead, if death < 10 { vec![] } else { vec![job] });
    }
    assert_eq!(fix.claim(1).await, []);
    let dead = fix.store.dead(10).await.unwrap();
    assert_eq!(dead[0].error.as_deref(), Some("the gateway died 10 times while this ran"));
    assert_eq!(dead[0].tries, tries(0, 10));
    let why = fix.store.why(message_of(&done.recorded[0])).await.unwrap();
    let requeued = why.decisions.iter().filter(|it| it.kind == Decision::Requeued).count();
    assert_eq!(requeued, 9);
}

async fn a_run_that_the_gateways_death_cut_off_is_not_of_the_day(fix: Fix) {
    let group = fix.group("home").await;
    fix.accept(vec![engage(group, "1", "a", "hi")], 0).await;
    let runs = async || fix.store.used_today(group, T0).await.unwrap().runs;
    assert_eq!(fix.claim(1).await.len(), 1);
    assert_eq!(runs().await, 1);
    fix.store.recover(T0).await.unwrap();
    assert_eq!(runs().await, 0);
    let claim = fix.claim(1).await[0];
    fix.finish(claim, "hi").await.unwrap();
    assert_eq!(runs().await, 1);
}

async fn a_task_is_no_message_that_waits(fix: Fix) {
    let group = fix.group("home").await;
    let claim = fix.accept(vec![engage(group, "1", "a", "remind me")], 1).await.claims[0];
    let job = fix.store.work(&claim).await.unwrap().jobs[0].id;
    let (text, role) = ("tea!".to_owned(), Role::Member);
    let does = CallEffect::SayLater { place: place("1"), text, run_at: T0 + LEASE, role };
    let call = HostCallWrite {
        claim,
        job,
        name: "schedule_task",
        arguments_hash: "h".into(),
        n: 0,
        now: T0,
        does,
        result: "{}".into(),
    };
    fix.store.call(call).await.unwrap();
    fix.finish(claim, "I will").await.unwrap();
    fix.accept(vec![engage(group, "1", "b", "hi")], 0).await;
    let counts = fix.store.counts().await.unwrap();
    assert_eq!((counts.jobs_queued, counts.tasks_active), (2, 1));
}

async fn context_goes_once(fix: Fix) {
    let group = fix.group("home").await;
    let batch = vec![keep(group, "1", "a", "overheard"), engage(group, "1", "b", "question")];
    let claim = fix.accept(batch, 1).await.claims[0];
    let work = fix.store.work(&claim).await.unwrap();
    assert_eq!(work.context[0].content.text, "overheard");
    assert_eq!((work.context.len(), work.session), (1, None));
    let mut finish = fix.answer(claim, "answer").await;
    let mark = SessionMark { id: "s".into(), entries: 3 };
    finish.session = Some(mark.clone());
    fix.store.finish(finish).await.unwrap();
    let claim = fix.accept(vec![engage(group, "1", "c", "next")], 1).await.claims[0];
    let work = fix.store.work(&claim).await.unwrap();
    assert_eq!((work.context.len(), work.session), (0, Some(mark)));
}

fn call(
    claim: Claim,
    job: ngb_core::id::JobId,
    hash: &str,
    n: u32,
    does: CallEffect,
) -> HostCallWrite {
    let (arguments_hash, result) = (hash.to_owned(), format!("{{\"n\":{n}}}"));
    HostCallWrite { claim, job, name: "send_message", arguments_hash, n, now: T0, does, result }
}

async fn calls_are_keyed(fix: Fix) {
    let group = fix.group("home").await;
    let done = fix.accept(vec![engage(group, "1", "a", "hi")], 1).await;
    let (claim, job) = (done.claims[0], job_of(&done.recorded[0]));
    let send = || CallEffect::Send(vec![say("2", "psst", None)]);
    let first = fix.store.call(call(claim, job, "h", 0, send())).await.unwrap();
    let Called::New { said, .. } = &first else { panic!("{first:?}") };
    assert!(said[0].sending.is_some());
    let again = fix.store.call(call(claim, job, "h", 0, send())).await.unwrap();
    assert_eq!(again, Called::Before { result: "{\"n\":0}".into(), ask: None, answer: None });
    let second = fix.store.call(call(claim, job, "h", 1, send())).await.unwrap();
    assert!(matches!(second, Called::New { .. }), "the second such call is another");
    fix.store.recover(T0).await.unwrap();
    assert_eq!(fix.store.call(call(claim, job, "h", 2, send())).await.unwrap(), Called::Fenced);
    let claim = fix.claim(1).await[0];
    let again = fix.store.call(call(claim, job, "h", 1, send())).await.unwrap();
    assert!(matches!(again, Called::Before { .. }), "also in the next run of the job");
    let at = T0 + LEASE;
    let role = Role::Guest;
    let later =
        CallEffect::SayLater { place: place("1"), text: "wake up".into(), run_at: at, role };
    fix.store.call(call(claim, job, "l", 0, later)).await.unwrap();
    fix.finish(claim, "ok").await.unwrap();
    assert_eq!(fix.store.next_due(T0).await.unwrap(), Some(at));
    let claims = fix.store.claim(1, at, at + LEASE).await.unwrap().claims;
    assert_eq!(fix.texts(&claims[0]).await, ["say wake up"]);
}

async fn a_question_is_answered_once(fix: Fix) {
    let group = fix.group("home").await;
    let done = fix.accept(vec![engage(group, "1", "a", "hi")], 1).await;
    let asked_by = done.recorded[0].clone();
    let (claim, job) = (done.claims[0], job_of(&done.recorded[0]));
    let options: Vec<Button> =
        ["yes", "no"].map(|it| Button { label: it.into(), value: format!("7:{it}") }).into();
    let text = Outbound::Text { text: "may I?".into(), reply_to: None, buttons: options.clone() };
    let audience = Audience { asked: vec!["7".into()], least: Role::Member };
    let ask = |expires_at| CallEffect::Ask {
        parts: vec![
            say("1", "a long question", None),
            NewOutbox { item: text.clone(), ..say("1", "", None) },
        ],
        options: options.clone(),
        numbered: false,
        audience: audience.clone(),
        expires_at,
    };
    let asked = fix.store.call(call(claim, job, "q", 0, ask(T0 + LEASE))).await.unwrap();
    let Called::New { ask: Some(id), said, .. } = asked else { panic!("{asked:?}") };
    assert_eq!(said.len(), 2, "each part has its row");
    for (said, platform_id) in said.iter().zip(["499", "500"]) {
        fix.store.settle(vec![sent(said.id, platform_id)]).await.unwrap();
    }
    let open = fix.store.open_questions(&place("1").jid, T0).await.unwrap();
    let [question] = &*open else { panic!("{open:?}") };
    assert_eq!((question.ask, question.group, &question.audience), (id, group, &audience));
    assert_eq!(question.platform_id.as_deref(), Some("500"), "the part with the buttons");
    assert_eq!(fix.store.asked_chats(T0).await.unwrap(), [place("1").jid]);
    let press = |key: &str, value: &str, plan: Plan| Arrival {
        inbound: inbound(
            key,
            "1",
            Happening::Pressed { platform_id: "500".into(), value: value.into() },
        ),
        plan,
    };
    let answers = |value: &str| Plan::AnswerAsk { ask: id, value: value.into() };
    let batch = vec![
        press("p0", "7:yes", Plan::NotYours(Theirs::Question(id))),
        press("p1", "7:yes", answers("7:yes")),
        press("p2", "7:no", answers("7:no")),
    ];
    let done = fix.accept(batch, 0).await;
    let answered: Vec<_> = done
        .recorded
        .iter()
        .map(|it| match it {
            Recorded::New { answered, .. } => answered.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    let yes = AnsweredAsk { ask: id, run: claim.run, value: "7:yes".into() };
    assert_eq!(answered, [None, Some(yes), None]);
    assert_eq!(fix.store.answer_ask(id, "7:no", "ann").await.unwrap(), None);
    assert_eq!(fix.store.open_questions(&place("1").jid, T0).await.unwrap(), []);
    let why = fix.store.why(message_of(&asked_by)).await.unwrap();
    let stranger = |it: &DecisionRow| it.detail.contains("is not for them");
    assert!(why.decisions.iter().any(stranger), "{why:?}");
    let again = fix.store.call(call(claim, job, "q", 0, ask(T0 + LEASE))).await.unwrap();
    assert!(matches!(again, Called::Before { answer: Some(it), .. } if it == "7:yes"));
    let old = fix.store.call(call(claim, job, "q", 1, ask(T0))).await.unwrap();
    let Called::New { ask: Some(old), .. } = old else { panic!("{old:?}") };
    assert_eq!(fix.store.answer_ask(old, "7:no", "ann").await.unwrap(), None, "no longer open");
}

async fn dead_letters(fix: Fix) {
    let group = fix.group("home").await;
    for id in ["a", "b"] {
        let claim = fix.accept(vec![engage(group, "1", id, "hi")], 1).await.claims[0];
        let mut finish = fix.answer(claim, "").await;
        finish.jobs[0].1 = JobState::Dead { reason: "no key".into() };
        finish.answer = None;
        fix.store.finish(finish).await.unwrap();
    }
    let dead = fix.store.dead(10).await.unwrap();
    assert_eq!(dead.len(), 2);
    assert_eq!(dead[0].error.as_deref(), Some("no key"));
    fix.store.discard(dead[0].id).await.unwrap();
    fix.store.revive(dead[1].id).await.unwrap();
    assert!(matches!(fix.store.revive(dead[0].id).await, Err(StoreError::NotFound { .. })));
    assert_eq!(fix.store.dead(10).await.unwrap(), []);
    let claims = fix.claim(4).await;
    assert_eq!(claims.len(), 1);
    fix.accept(vec![engage(group, "1", "c", "hi"), engage(group, "1", "d", "hi")], 0).await;
    assert_eq!(fix.store.cancel_lane(claims[0].lane, "stopped").await.unwrap(), 2);
}

async fn jobs_without_an_answer_wait_again(fix: Fix) {
    let group = fix.group("home").await;
    fix.accept(vec![engage(group, "1", "a", "one"), engage(group, "1", "b", "two")], 0).await;
    let claim = fix.claim(1).await[0];
    let mut finish = fix.answer(claim, "to one only").await;
    finish.jobs.truncate(1);
    fix.store.finish(finish).await.unwrap();
    let claim = fix.claim(1).await[0];
    assert_eq!(fix.texts(&claim).await, ["two"]);
}

fn with_mode(mode: Mode, mut arrival: Arrival) -> Arrival {
    if let Plan::Engage { queue, .. } = &mut arrival.plan {
        queue.mode = mode;
    }
    arrival
}

async fn what_came_meanwhile_is_attached(fix: Fix) {
    let group = fix.group("home").await;
    let steer = |key: &str, text: &str| with_mode(Mode::Steer, engage(group, "1", key, text));
    fix.accept(vec![steer("a", "one")], 0).await;
    let claim = fix.claim(1).await[0];
    assert_eq!(fix.store.attach(&claim).await.unwrap(), None);
    let last = with_mode(Mode::Followup, engage(group, "1", "d", "four"));
    let more = vec![steer("b", "two"), steer("c", "three"), last, steer("e", "five")];
    fix.accept(more, 0).await;
    let work = fix.store.attach(&claim).await.unwrap().unwrap();
    assert_eq!(work.jobs.len(), 3, "nothing overtakes what is not to be attached");
    // The answer names one of those attached; the other waits again.
    let mut finish = fix.answer(claim, "x").await;
    finish.jobs.truncate(2);
    fix.store.finish(finish).await.unwrap();
    assert!(matches!(fix.store.attach(&claim).await, Err(StoreError::Fenced(_))));
    for want in [["three"], ["four"], ["five"]] {
        let claim = fix.claim(1).await[0];
        assert_eq!(fix.texts(&claim).await, want);
        fix.finish(claim, "x").await.unwrap();
    }
}

async fn what_is_held_goes_when_somebody_says_so(fix: Fix) {
    let group = fix.group("home").await;
    for (n, value, want) in [(0, "n:0", Some("old")), (1, "n:1", None)] {
        fix.accept(vec![engage(group, "1", &format!("a{n}"), "old")], 0).await;
        let claim = fix.claim(1).await[0];
        let work = fix.store.work(&claim).await.unwrap();
        assert!(!work.jobs[0].cleared);
        let ask = PutOffAsk {
            parts: vec![say("1", "still?", None)],
            options: Vec::new(),
            numbered: true,
            audience: Audience::default(),
            expires_at: T0 + LEASE,
        };
        let jobs = vec![work.jobs[0].id];
        let put_off = PutOff { claim, now: T0, jobs, ask: Some(ask) };
        let (finished, ask) = fix.store.put_off(put_off.clone()).await.unwrap();
        assert_eq!((finished.said.len(), finished.more), (1, false));
        assert!(matches!(fix.store.put_off(put_off).await, Err(StoreError::Fenced(_))));
        assert_eq!(fix.claim(1).await, []);
        fix.store.forget_held(T0).await.unwrap();
        fix.store.answer_ask(ask.unwrap(), value, "ann").await.unwrap().unwrap();
        match (fix.claim(1).await.first(), want) {
            (Some(claim), Some(want)) => {
                assert!(fix.store.work(claim).await.unwrap().jobs[0].cleared);
                assert_eq!(fix.texts(claim).await, [want]);
                fix.finish(*claim, "x").await.unwrap();
            }
            (None, None) => (),
            (got, want) => panic!("{got:?}, not {want:?}"),
        }
    }
}

async fn leases(fix: Fix) {
    let group = fix.group("home").await;
    let batch = vec![engage(group, "1", "a", "hi"), engage(group, "2", "a", "hi")];
    let claims = fix.accept(batch, 2).await.claims;
    fix.finish(claims[0], "ok").await.unwrap();
    let lost = fix.store.renew(&claims, T0 + LEASE + LEASE).await.unwrap();
    assert_eq!(lost, [claims[0]]);
}

async fn use_is_counted(fix: Fix) {
    let group = fix.group("home").await;
    let accepted = fix.accept(vec![engage(group, "1", "a", "hi")], 1).await;
    let claim = accepted.claims[0];
    let mut finish = fix.answer(claim, "ok").await;
    let used = Usage {
        provider: "p".into(),
        model: "m".into(),
        input_tokens: 10,
        output_tokens: 5,
        ..Usage::default()
    };
    let priced =
        Usage { cost_micros: Some(7), cached_tokens: 4, is_estimated: true, ..used.clone() };
    finish.usage = vec![used.clone(), priced.clone()];
    fix.store.finish(finish).await.unwrap();
    assert_eq!(
        fix.store.used_today(group, T0).await.unwrap(),
        DayUse { runs: 1, tokens: 30, cost_micros: 7 }
    );
    assert_eq!(fix.store.used_today(group, Timestamp(T0.0 + 1)).await.unwrap(), DayUse::default());
    // Of a run that was let go: what it had used was paid for all the same.
    fix.store.count_use(&claim, T0, vec![used.clone()], vec![]).await.unwrap();
    let days = fix.store.day_usage(group, T0.day_start()).await.unwrap();
    let want = DayUsage {
        day: T0.day_start(),
        group,
        provider: "p".into(),
        model: "m".into(),
        runs: 1,
        input_tokens: 30,
        output_tokens: 15,
        cached_tokens: 4,
        estimated_tokens: 15,
        cost_micros: 7,
        unpriced_tokens: 30,
    };
    assert_eq!(days, [want]);
    // What the message's runs used is part of its path.
    let why = fix.store.why(message_of(&accepted.recorded[0])).await.unwrap();
    assert_eq!(why.usage, [used.clone(), priced, used]);
}

/// What a request has used that is under way gives way to the next count, and is kept when the gateway dies.
async fn open_use_is_counted_once(fix: Fix) {
    let group = fix.group("home").await;
    let batch = vec![engage(group, "1", "a", "hi"), engage(group, "2", "a", "hi")];
    let claims = fix.accept(batch, 2).await.claims;
    let used = |input_tokens| {
        vec![Usage {
            provider: "p".into(),
            model: "m".into(),
            input_tokens,
            is_estimated: true,
            ..Usage::default()
        }]
    };
    let total = async || {
        let days = fix.store.day_usage(group, T0.day_start()).await.unwrap();
        (days[0].input_tokens, fix.store.used_today(group, T0.day_start()).await.unwrap().tokens)
    };
    fix.store.count_use(&claims[0], T0, vec![], used(10)).await.unwrap();
    fix.store.count_use(&claims[1], T0, vec![], used(1_000)).await.unwrap();
    assert_eq!(total().await, (1_010, 0), "shown, and not yet held against the day");
    fix.store.count_use(&claims[0], T0, vec![], used(20)).await.unwrap();
    assert_eq!(total().await, (1_020, 0));
    fix.store.count_use(&claims[0], T0, used(15), vec![]).await.unwrap();
    assert_eq!(total().await, (1_015, 15), "the other run's is left alone");
    fix.store.take_over(T0).await.unwrap();
    fix.store.count_use(&claims[1], T0, vec![], vec![]).await.unwrap();
    assert_eq!(total().await, (1_015, 1_015), "it was paid for, whoever died");
}

/// Two nodes on one PostgreSQL: each job once, and recovery leaves the other node's claims alone.
#[tokio::test]
async fn two_nodes() {
    let fix = postgres("two_nodes").await;
    let other = another(&fix.dir, &fix.url, &fix.clock, "node-2").await.unwrap();
    let mut groups = Vec::new();
    for i in 0..20 {
        groups.push(fix.group(&format!("g{i}")).await);
    }
    let batch = (0..200).map(|i| engage(groups[i % 20], &format!("{i}"), "a", "hi"));
    fix.accept(batch.collect(), 0).await;
    let mut crew = tokio::task::JoinSet::new();
    for store in [fix.store.clone(), other.clone()] {
        crew.spawn(async move {
            let mut jobs = Vec::new();
            // A round may find nothing because the other node is at it.
            let mut empty = 0;
            while empty < 50 {
                let claims = store.claim(4, T0, T0 + LEASE).await.unwrap().claims;
                empty = if claims.is_empty() { empty + 1 } else { 0 };
                for claim in claims {
                    let work = store.work(&claim).await.unwrap();
                    jobs.extend(work.jobs.iter().map(|it| it.id));
                    let done = work.jobs.iter().map(|it| (it.id, JobState::Done, it.tries));
                    let finish = Finish {
                        claim,
                        now: T0,
                        jobs: done.collect(),
                        answer: None,
                        outbox: vec![],
                        session: None,
                        usage: vec![],
                        error: None,
                        context_given: false,
                        decisions: vec![],
                    };
                    store.finish(finish).await.unwrap();
                }
            }
            jobs
        });
    }
    let mut times: HashMap<_, u32> = HashMap::new();
    for job in crew.join_all().await.into_iter().flatten() {
        *times.entry(job).or_default() += 1;
    }
    assert_eq!(times.len(), 200);
    assert!(times.values().all(|it| *it == 1), "{times:?}");

    let claim = fix.accept(vec![engage(groups[0], "x", "b", "hi")], 1).await.claims[0];
    assert_eq!(other.recover(T0).await.unwrap().runs, 0, "its lease has not run out");
    fix.finish(claim, "ok").await.unwrap();
}
