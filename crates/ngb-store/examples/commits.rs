//! What the three commits on the way of a message cost, beside a bare durable commit, and how many rows a batch stores.
//!
//! `cargo run --example commits` on the profile that is tested; the figures alternate in one run, since machines drift.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "it measures, and prints"
)]

use std::time::{Duration, Instant};

use ngb_core::{
    clock::{Clock, Timestamp},
    group::Limits,
    id::GroupId,
    job::JobState,
    message::{Author, ChatFacts, ChatKind, Content, Happening, Inbound, Outbound, Sender},
    role::Role,
};
use ngb_store::*;

const ROUNDS: usize = 500;
const BATCHES: usize = 60;
const BATCH: usize = 128;
const LEASE: Duration = Duration::from_secs(60);

fn arrival(group: GroupId, chat: usize, key: String) -> Arrival {
    let content = Content { platform_id: key.clone(), text: "hello".into(), ..Content::default() };
    let jid: ngb_core::address::Jid = format!("telegram@main:{chat}").parse().unwrap();
    let lane_key = jid.to_string();
    let inbound = Inbound {
        event_key: key,
        place: jid.into(),
        chat: ChatFacts { kind: ChatKind::Group, title: "x".into() },
        sender: Sender { id: "7".into(), name: "Ann".into(), is_bot: false },
        sent_at: Timestamp(0),
        what: Happening::Message(content),
    };
    let why = "always".to_owned();
    let (role, queue) = (Role::Guest, ngb_core::queue::Queue::default());
    Arrival { inbound, plan: Plan::Engage { group, lane_key, role, queue, why } }
}

fn show(name: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1_000.0;
    println!("{name:<28} p50 {:.2} ms  p99 {:.2} ms", at(50), at(99));
}

#[tokio::main]
async fn main() {
    let dir = tempfile::tempdir_in(".").unwrap();
    let clock = Clock::System;
    let options = OpenOptions {
        url: format!("sqlite://{}/db.sqlite", dir.path().display()),
        backups_dir: dir.path().join("backups"),
        node: "bench".into(),
        clock: clock.clone(),
    };
    let store = Store::open(options).await.unwrap();
    let group = NewGroup {
        name: "home".parse().unwrap(),
        folder: "home".parse().unwrap(),
        is_main: true,
        limits: Limits::default(),
    };
    let group = store.add_group(group).await.unwrap();

    let bare = rusqlite::Connection::open(dir.path().join("bare.sqlite")).unwrap();
    bare.pragma_update(None, "journal_mode", "WAL").unwrap();
    bare.pragma_update(None, "synchronous", "FULL").unwrap();
    bare.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT)", []).unwrap();

    let [mut bares, mut accepts, mut finishes, mut settles, mut three] = [const { Vec::new() }; 5];
    for i in 0..ROUNDS {
        let start = Instant::now();
        bare.execute("INSERT INTO t (text) VALUES (?1)", ["x".repeat(200)]).unwrap();
        bares.push(start.elapsed());

        let now = clock.now();
        let arrivals = vec![arrival(group, i % 50, format!("m{i}"))];
        let start = Instant::now();
        let done = store
            .accept(Accept { arrivals, now, permits: 1, lease_until: now + LEASE })
            .await
            .unwrap();
        let accepted = start.elapsed();
        let claim = done.claims[0];
        let work = store.work(&claim).await.unwrap();
        let place = work.jobs[0].place.clone();
        let item = Outbound::Text { text: "hello back".into(), reply_to: None, buttons: vec![] };
        let JobKind::Message(message) = &work.jobs[0].kind else { panic!() };
        let finish = Finish {
            claim,
            now,
            jobs: work.jobs.iter().map(|it| (it.id, JobState::Done, it.tries)).collect(),
            answer: Some(NewMessage {
                place: place.clone(),
                author: Author::Assistant,
                text: "hello back".into(),
                in_reply_to: Some(message.id),
            }),
            outbox: vec![NewOutbox {
                place,
                item,
                about: Some(message.id),
                job: None,
                live: false,
            }],
            session: None,
            usage: vec![Usage {
                provider: "p".into(),
                model: "m".into(),
                input_tokens: 9,
                output_tokens: 9,
                ..Usage::default()
            }],
            error: None,
            context_given: true,
            decisions: vec![],
        };
        let start = Instant::now();
        let queued = store.finish(finish).await.unwrap();
        let finished = start.elapsed();
        let outcome = SendOutcome::Sent { platform_id: Some(format!("a{i}")) };
        let start = Instant::now();
        store.settle(vec![Settle { id: queued.said[0].id, outcome, now }]).await.unwrap();
        let settled = start.elapsed();
        accepts.push(accepted);
        finishes.push(finished);
        settles.push(settled);
        three.push(accepted + finished + settled);
    }
    show("a bare commit", bares);
    show("accept and claim", accepts);
    show("finish", finishes);
    show("settle", settles);
    show("all three", three);

    let start = Instant::now();
    for b in 0..BATCHES {
        let now = clock.now();
        let arrivals = (0..BATCH).map(|i| arrival(group, i % 50, format!("b{b}-{i}"))).collect();
        store.accept(Accept { arrivals, now, permits: 0, lease_until: now + LEASE }).await.unwrap();
    }
    let took = start.elapsed().as_secs_f64();
    println!("batches of {BATCH:<17} {:.0} messages/s", (BATCHES * BATCH) as f64 / took);

    let start = Instant::now();
    let mut callers = tokio::task::JoinSet::new();
    for c in 0..50 {
        let (store, clock) = (store.clone(), clock.clone());
        callers.spawn(async move {
            for i in 0..40 {
                let now = clock.now();
                let arrivals = vec![arrival(group, c, format!("c{c}-{i}"))];
                store
                    .accept(Accept { arrivals, now, permits: 0, lease_until: now + LEASE })
                    .await
                    .unwrap();
            }
        });
    }
    callers.join_all().await;
    println!(
        "50 callers, one at a time    {:.0} messages/s",
        2_000.0 / start.elapsed().as_secs_f64()
    );
    store.close().await;
}
