//! Components in the chain: what they are told, what becomes of what they say, and of those that fail.

use std::{collections::HashMap, sync::Arc};

use ngb_core::{
    address::{Jid, Place},
    clock::{Clock, Timestamp},
    id::MessageId,
};
use ngb_plugins::{
    Plugin as _,
    chain::{Chain, End, MAX_FAILURES, Member},
    hook::{Event, Hook, Part, Received},
    wasm::{Folder, LivePlugins, Manifest, Record},
};

use crate::{
    Bench, TEXT, TEXT_BYTES,
    guests::{ANSWER, component, on_message, verdict},
};

/// Installs a guest that does this, and puts it into a chain.
async fn chain(bench: &Bench, does: &str) -> (LivePlugins, Chain) {
    let text = "name = 'guest'\nversion = '1.2.3'\nhooks = ['message-received']\n[config]\nx = 1\n";
    let manifest: Manifest = text.parse().unwrap();
    let folder = Folder::new(bench.dir.path().join("plugins"));
    let record = Record {
        sha256: "00".to_owned(),
        is_signed: false,
        installed_at: Timestamp(0),
        granted: manifest.capabilities.clone(),
    };
    let bytes = component(&manifest, "", &on_message(does));
    folder.put(&manifest, text, &bytes, &record).unwrap();
    let live = LivePlugins::new(folder, bench.cache(), bench.desk.clone());
    live.look().await.unwrap();
    let seat = live.seats().remove(0);
    assert_eq!((seat.name(), seat.version()), ("guest", "1.2.3"));
    assert_eq!(seat.hooks(), [Hook::MessageReceived]);
    assert_eq!(&*seat.default_config().text(), r#"{"x":1}"#);
    let member = Member {
        required: seat.is_required(),
        config: Arc::new(seat.default_config()),
        by_group: HashMap::new(),
        health: Arc::default(),
        plugin: seat,
    };
    (live, Chain::new(vec![member]))
}

fn received(text: &str) -> Event {
    let jid: Jid = "telegram@main:7".parse().unwrap();
    Event::MessageReceived(Received {
        message: MessageId(42),
        place: Place::from(jid),
        group: None,
        sender_id: "7".to_owned(),
        sender_name: "Ada".to_owned(),
        is_direct: true,
        sent_at: Timestamp(5),
        part: Part::Text,
        text: text.to_owned(),
        is_meant: false,
    })
}

#[tokio::test]
async fn a_component_answers_in_the_chain() {
    let bench = Bench::new();
    // Says the text back, if the chat's name is told in full.
    let does = format!(
        "(if (i32.ne (i32.load offset=12 (local.get $at)) (i32.const 15)) (then (unreachable))) {}",
        verdict(ANSWER, TEXT, TEXT_BYTES)
    );
    let (_live, chain) = chain(&bench, &does).await;
    let passed = chain.pass(received("日本"), None, &Clock::System).await;
    assert_eq!(passed.end, End::Answered("日本".to_owned()));
}

#[tokio::test]
async fn one_that_traps_lets_pass_and_is_switched_off() {
    let bench = Bench::new();
    let (_live, chain) = chain(&bench, "(unreachable)").await;
    for round in 1..=MAX_FAILURES {
        let passed = chain.pass(received("hello"), None, &Clock::System).await;
        assert_eq!(passed.end, End::Passed);
        assert_eq!(passed.notes[0].switched_off, round == MAX_FAILURES, "{:?}", passed.notes);
        assert!(passed.notes[0].what.contains("unreachable"), "{:?}", passed.notes);
    }
    assert!(chain.pass(received("hello"), None, &Clock::System).await.notes.is_empty());
}
