//! Tests of `chain`.

use async_trait::async_trait;
use ngb_core::{address::Jid, clock::Timestamp, id::MessageId};
use serde_json::{Value, json};

use super::*;
use crate::hook::{Received, Sending, Starting};

/// A plugin that says what its settings tell it: `{"pass": ..}`, `{"fail": ..}`, `{"add": text}` ...
struct Scripted {
    name: &'static str,
    masks: bool,
}

#[async_trait]
impl Plugin for Scripted {
    fn name(&self) -> &str {
        self.name
    }

    fn version(&self) -> &str {
        "1"
    }

    fn hooks(&self) -> &[Hook] {
        Hook::ALL
    }

    fn masks(&self) -> bool {
        self.masks
    }

    async fn ask(&self, event: &Event, config: &Config) -> Result<Verdict, PluginError> {
        let Some((word, text)) = config.value().as_object().and_then(|it| it.iter().next()) else {
            return Ok(Verdict::Pass);
        };
        let text = text.as_str().unwrap_or_default().to_owned();
        Ok(match word.as_str() {
            "add" => Verdict::Change(format!("{}{text}", event.text().unwrap_or_default())),
            "answer" => Verdict::Answer(text),
            "drop" => Verdict::Drop(text),
            "hold" => Verdict::Hold(text),
            "hang" => std::future::pending().await,
            _ => return Err(PluginError::Failed(text)),
        })
    }
}

fn member(name: &'static str, config: Value) -> Member {
    Member {
        plugin: Arc::new(Scripted { name, masks: false }),
        required: false,
        config: Arc::new(Config::new(config)),
        by_group: HashMap::new(),
        health: Arc::default(),
    }
}

fn received(text: &str) -> Event {
    Event::MessageReceived(Received {
        message: MessageId(1),
        place: "telegram@main:1".parse::<Jid>().unwrap().into(),
        group: Some("home".parse().unwrap()),
        sender_id: "7".into(),
        sender_name: "Ann".into(),
        is_direct: true,
        sent_at: Timestamp(0),
        part: Part::Text,
        text: text.into(),
        is_meant: false,
    })
}

fn shown(passage: &Passage) -> String {
    let notes: Vec<String> =
        passage.notes.iter().map(|it| format!("{} {}", it.plugin, it.what)).collect();
    let end = match &passage.end {
        End::Passed => format!("passed `{}`", passage.event.text().unwrap_or_default()),
        End::Answered(text) => format!("answered `{text}`"),
        End::Dropped { by, why } => format!("dropped by {by}: {why}"),
        End::Held { by, why } => format!("held by {by}: {why}"),
    };
    format!("{end} [{}]", notes.join("; "))
}

#[tokio::test]
async fn verdict_table() {
    #[rustfmt::skip]
    let table = [
        (vec![],                                                    "passed `hi` []"),
        (vec![json!({})],                                           "passed `hi` []"),
        (vec![json!({"add": "!"}), json!({"add": "?"})],            "passed `hi!?` [a change; b change]"),
        (vec![json!({"add": ""})],                                  "passed `hi` []"),
        (vec![json!({"answer": "no"}), json!({"add": "?"})],        "answered `no` [a answer]"),
        (vec![json!({"add": "!"}), json!({"drop": "spam"})],        "dropped by b: spam [a change; b drop: spam]"),
        (vec![json!({"hold": "see"})],                              "held by a: see [a hold: see]"),
        (vec![json!({"fail": "oh"}), json!({"add": "?"})],          "passed `hi?` [a failed: oh; b change]"),
    ];
    let names = ["a", "b"];
    for (configs, want) in table {
        let members = configs.into_iter().zip(names).map(|(it, name)| member(name, it)).collect();
        let passage = Chain::new(members).pass(received("hi"), None, &Clock::System).await;
        assert_eq!(shown(&passage), want);
    }
}

#[tokio::test]
async fn what_a_hook_does_not_take_is_a_failure() {
    let starting = Event::RunStarting(Starting {
        run: ngb_core::id::RunId(1),
        group: "home".parse().unwrap(),
        place: "telegram@main:1".parse::<Jid>().unwrap().into(),
        prompt: "hi".into(),
    });
    let chain = Chain::new(vec![member("a", json!({"hold": "x"}))]);
    let passage = chain.pass(starting, None, &Clock::System).await;
    assert_eq!(
        shown(&passage),
        "passed `hi` [a failed: it said `hold`, which run_starting does not take]"
    );
}

#[tokio::test]
async fn three_failures_in_a_row_switch_it_off_unless_it_is_required() {
    let chain = Chain::new(vec![member("a", json!({"fail": "oh"}))]);
    let mut off = Vec::new();
    for _ in 0..5 {
        let passage = chain.pass(received("hi"), None, &Clock::System).await;
        off.extend(passage.notes.iter().map(|it| it.switched_off));
    }
    assert_eq!(off, [false, false, true], "it is asked no more");
    assert_eq!(chain.members()[0].health.failures(), 3);

    let required = Member { required: true, ..member("a", json!({"fail": "oh"})) };
    let chain = Chain::new(vec![required]);
    for _ in 0..5 {
        let passage = chain.pass(received("hi"), None, &Clock::System).await;
        assert_eq!(shown(&passage), "held by a: it failed: oh [a failed: oh]");
    }
    let sending = Event::MessageSending(Sending {
        place: "telegram@main:1".parse::<Jid>().unwrap().into(),
        group: "home".parse().unwrap(),
        about: None,
        text: "hi".into(),
    });
    let passage = chain.pass(sending, None, &Clock::System).await;
    assert!(matches!(passage.end, End::Held { .. }));
}

#[tokio::test]
async fn who_is_too_slow_has_failed() {
    let (hand, clock) = Clock::manual(Timestamp(0));
    let chain = Chain::new(vec![member("a", json!({"hang": ""}))]);
    let mut asked = tokio_test::task::spawn(chain.pass(received("hi"), None, &clock));
    assert!(asked.poll().is_pending());
    hand.send_modify(|now| *now = *now + CALL_LIMIT);
    let passage = asked.await;
    assert_eq!(shown(&passage), "passed `hi` [a failed: it took longer than 5000 ms]");
}

#[tokio::test]
async fn a_group_has_its_own_settings_or_none() {
    let own = Some(Arc::new(Config::new(json!({"add": "?"}))));
    let of = |it| HashMap::from([("home".parse::<GroupName>().unwrap(), it)]);
    let other = Member { by_group: of(own), ..member("a", json!({"add": "!"})) };
    let off = Member { by_group: of(None), ..member("b", json!({"add": "!"})) };
    let chain = Chain::new(vec![other, off]);
    let passage = chain.pass(received("hi"), None, &Clock::System).await;
    assert_eq!(shown(&passage), "passed `hi?` [a change]");
    let home = "home".parse().unwrap();
    assert!(chain.wants(Hook::Tick, Some(&home)) && chain.wants(Hook::Tick, None));
}

#[tokio::test]
async fn quotes_are_for_those_who_mask() {
    let masks = Member {
        plugin: Arc::new(Scripted { name: "b", masks: true }),
        ..member("b", json!({"add": "?"}))
    };
    let chain = Chain::new(vec![member("a", json!({"add": "!"})), masks]);
    let Event::MessageReceived(quote) = received("hi") else { unreachable!() };
    let quote = Event::MessageReceived(Received { part: Part::Quote, ..quote });
    let passage = chain.pass(quote, None, &Clock::System).await;
    assert_eq!(shown(&passage), "passed `hi?` [b change]");
}

#[tokio::test]
async fn a_quote_that_could_not_be_masked_is_not_let_through() {
    let masks = Member {
        plugin: Arc::new(Scripted { name: "b", masks: true }),
        required: true,
        ..member("b", json!({"fail": "oh"}))
    };
    let Event::MessageReceived(quote) = received("hi") else { unreachable!() };
    let quote = Event::MessageReceived(Received { part: Part::Quote, ..quote });
    let passage = Chain::new(vec![masks]).pass(quote, None, &Clock::System).await;
    assert_eq!(shown(&passage), "held by b: it failed: oh [b failed: oh]");
}

#[tokio::test]
async fn what_is_let_go_is_asked_from_there_on() {
    let chain =
        Chain::new(vec![member("a", json!({"hold": "x"})), member("b", json!({"add": "?"}))]);
    let passage = chain.pass(received("hi"), Some("a"), &Clock::System).await;
    assert_eq!(shown(&passage), "passed `hi?` [b change]");
}
