//! No statement on the way of a message reads a whole table of messages, jobs or items.

use std::time::Duration;

use ngb_core::{
    address::Place,
    clock::{Clock, Timestamp},
    group::Limits,
    job::JobState,
    message::{Author, ChatFacts, ChatKind, Content, Happening, Inbound, Outbound, Sender},
    role::Role,
};

use crate::*;

const T0: Timestamp = Timestamp(1_000_000);
const LEASE: Timestamp = Timestamp(2_000_000);

fn arrival(group: ngb_core::id::GroupId, key: &str) -> Arrival {
    let content = Content { platform_id: key.into(), text: "hi".into(), ..Content::default() };
    let place: Place = Place::from("telegram@main:1".parse::<ngb_core::address::Jid>().unwrap());
    let inbound = Inbound {
        event_key: key.into(),
        place,
        chat: ChatFacts { kind: ChatKind::Group, title: "x".into() },
        sender: Sender { id: "7".into(), name: "Ann".into(), is_bot: false },
        sent_at: T0,
        what: Happening::Message(content),
    };
    let (lane_key, role, why) = ("telegram@main:1".to_owned(), Role::Guest, String::new());
    let queue = ngb_core::queue::Queue::default();
    Arrival { inbound, plan: Plan::Engage { group, lane_key, role, queue, why } }
}

#[tokio::test]
async fn nothing_scans() {
    let dir = tempfile::tempdir().unwrap();
    let (_hand, clock) = Clock::manual(T0);
    let path = dir.path().join("db.sqlite");
    let options = OpenOptions {
        url: format!("sqlite://{}", path.display()),
        backups_dir: dir.path().join("backups"),
        node: "n".into(),
        clock,
    };
    let store = Store::open(options).await.unwrap();
    let group = NewGroup {
        name: "home".parse().unwrap(),
        folder: "home".parse().unwrap(),
        is_main: true,
        limits: Limits::default(),
    };
    let group = store.add_group(group).await.unwrap();

    let log = crate::db::log();
    let arrivals = vec![arrival(group, "a"), arrival(group, "b"), arrival(group, "a")];
    let accept = Accept { arrivals, now: T0, permits: 2, lease_until: LEASE };
    let accepted = store.accept(accept).await.unwrap();
    let claim = accepted.claims[0];
    let Recorded::New { message: Some(message), .. } = accepted.recorded[0] else {
        panic!("it is new")
    };
    let work = store.work(&claim).await.unwrap();
    let place = work.jobs[0].place.clone();
    let item = Outbound::Text { text: "x".into(), reply_to: None, buttons: vec![] };
    let new = NewOutbox { place: place.clone(), item, about: None, job: None, live: false };
    let answer = NewMessage {
        place: place.clone(),
        author: Author::Assistant,
        text: "x".into(),
        in_reply_to: None,
    };
    let finish = Finish {
        claim,
        now: T0,
        jobs: work.jobs.iter().map(|it| (it.id, JobState::Done, it.tries)).collect(),
        answer: Some(answer),
        outbox: vec![new],
        session: None,
        usage: vec![],
        error: None,
        context_given: true,
        decisions: vec![],
    };
    store.count_use(&claim, T0, vec![], vec![]).await.unwrap();
    let queued = store.finish(finish).await.unwrap();
    let outcome = SendOutcome::Sent { platform_id: Some("5".into()) };
    store.settle(vec![Settle { id: queued.said[0].id, outcome, now: T0 }]).await.unwrap();
    store.claim(4, T0, LEASE).await.unwrap();
    store.take_outbox(&[place.jid.account().clone()], T0, 10).await.unwrap();
    store.next_due(T0 + Duration::from_secs(1)).await.unwrap();
    store.find_message(&place.jid, "5").await.unwrap();
    let heard = store.heard(place.jid.account(), T0 - Duration::from_secs(1), 10).await.unwrap();
    assert_eq!(heard, [(place.clone(), T0)]);
    store.why(message).await.unwrap();
    store.day_usage(group, T0).await.unwrap();
    assert!(store.has_new_words().await.unwrap());
    assert_eq!(store.write_words().await.unwrap(), 3);
    let texts = log.lock().unwrap().clone();
    store.close().await;

    let conn = rusqlite::Connection::open(&path).unwrap();
    let mut seen = 0;
    let makes = ["BEGIN", "ALTER", "CREATE", "DROP"];
    for text in texts.iter().filter(|it| !makes.iter().any(|word| it.starts_with(word))) {
        let mut explain = conn.prepare(&format!("EXPLAIN QUERY PLAN {text}")).unwrap();
        let mut steps = explain.raw_query();
        while let Some(row) = steps.next().unwrap() {
            let step: String = row.get("detail").unwrap();
            seen += 1;
            let words: Vec<&str> = step.split(' ').collect();
            let table = words.get(1).copied().unwrap_or_default();
            let large = [
                "jobs",
                "messages",
                "outbox",
                "j",
                "m",
                "o",
                "e",
                "q",
                "r",
                "x",
                "decisions",
                "events",
                "u",
                "usage_counts",
                "words",
                "w",
            ];
            assert!(words[0] != "SCAN" || !large.contains(&table), "{step}\n{text}");
        }
    }
    assert!(20 < seen, "{texts:?}");
}
