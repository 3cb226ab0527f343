//! Plugins see what comes in and goes out, and change, answer, drop and hold it.

use std::{collections::HashMap, sync::Arc};

use ngb_core::{
    clock::Clock,
    decision::Decision,
    frame::{FromAgent, Step, ToAgent},
    group::Scope,
    id::MessageId,
    message::{Addressed, ChatKind, Happening, Outbound},
};
use ngb_gateway::events::Next;
use ngb_plugins::{
    Config,
    builtin::Builtin,
    chain::{Chain, Member},
};
use ngb_store::Way;
use serde_json::{Value, json};

use crate::{
    echo,
    stage::{Actor, Setting, Stage, asked},
};

pub(crate) fn plugin(name: &str, config: Value) -> Member {
    let builtin = Builtin::find(name).unwrap();
    Member {
        plugin: builtin.make(&Clock::System),
        required: builtin.required,
        config: Arc::new(Config::new(config)),
        by_group: HashMap::new(),
        health: Arc::default(),
    }
}

fn with(members: Vec<Member>) -> Setting {
    Setting { plugins: Chain::new(members), ..Setting::default() }
}

/// What plugins said of a message.
async fn notes(stage: &Stage, message: MessageId) -> Vec<String> {
    let why = stage.gateway.store().why(message).await.unwrap();
    let notes = why.decisions.into_iter().filter(|it| it.kind == Decision::Plugin);
    notes.map(|it| it.detail).collect()
}

async fn newest(stage: &Stage, text: &str) -> MessageId {
    let all = ngb_store::MessageFilter { limit: 50, ..Default::default() };
    let messages = stage.gateway.store().messages(all).await.unwrap();
    let found = messages.iter().rev().find(|it| it.content.text == text);
    found.unwrap_or_else(|| panic!("{text} is not in {messages:?}")).id
}

#[tokio::test]
async fn what_is_masked_is_in_no_prompt_no_row_and_no_answer() {
    let script = async |mut actor: Actor| {
        while let Some(frame) = actor.hear().await {
            let ToAgent::Prompt(prompt) = frame else { continue };
            let delta = "mine is x@y.de".to_owned();
            let step = Step::Text { delta };
            actor.say(&FromAgent::Progress { prompt: prompt.id, step }).await;
            actor.done(prompt.id, &format!("{}, mine is x@y.de", asked(&prompt))).await;
        }
    };
    let mut stage = Stage::set(with(vec![plugin("redactor", json!({}))]), script).await;
    stage.group("home", "1", Scope::Thread).await;
    let mut watched = stage.gateway.hub().subscribe(None);
    stage.write("1", "mail a@b.de").await;
    let said = "mail [e-mail hidden], mine is [e-mail hidden]";
    assert_eq!(stage.heard().await, ("1".into(), said.into()));
    let message = newest(&stage, "mail [e-mail hidden]").await;
    assert_eq!(notes(&stage, message).await.len(), 2, "one on each way");
    let Next::Events(events) = watched.next().await else { panic!("events are kept") };
    let shown = format!("{events:?}");
    assert!(!shown.contains("a@b.de") && !shown.contains("x@y.de"), "{shown}");
    stage.end().await;
}

#[tokio::test]
async fn an_edit_is_masked_too_and_a_long_text_to_its_end() {
    let mut stage = Stage::set(with(vec![plugin("redactor", json!({}))]), echo).await;
    stage.group("home", "1", Scope::Thread).await;
    let first = stage.message("1", "see");
    stage.write_all(vec![first.clone()]).await;
    stage.heard().await;
    let Happening::Message(content) = first.what.clone() else { unreachable!() };
    let mut edit = stage.message("1", "");
    let text = "see a@b.de".to_owned();
    edit.what = Happening::Edit(ngb_core::message::Content { text, ..content });
    stage.write_all(vec![edit]).await;
    let long = format!("{} a@b.de", "x".repeat(ngb_core::message::MAX_TEXT_BYTES));
    stage.write("1", &long).await;
    stage.heard().await;
    let all = ngb_store::MessageFilter { limit: 50, ..Default::default() };
    let messages = format!("{:?}", stage.gateway.store().messages(all).await.unwrap());
    assert!(messages.contains("see [e-mail hidden]"), "an edit is masked");
    assert!(!messages.contains("a@b.de"));
    for file in std::fs::read_dir(stage.home().join("long")).unwrap() {
        let kept = std::fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(kept.ends_with("[e-mail hidden]"), "only what is masked is kept");
    }
    stage.end().await;
}

#[tokio::test]
async fn who_answers_and_who_drops_asks_no_agent() {
    let rules = json!({"rules": [{"pattern": "hours", "reply": "9 to 5"}]});
    let filter = json!({"words": ["spam"], "action": "block"});
    let members = vec![plugin("word_filter", filter), plugin("auto_reply", rules)];
    let mut stage = Stage::set(with(members), echo).await;
    stage.group("home", "1", Scope::Thread).await;
    stage.write("1", "spam").await;
    stage.write("1", "which hours?").await;
    assert_eq!(stage.heard().await.1, "9 to 5");
    stage.write("1", "hello").await;
    assert_eq!(stage.heard().await.1, "you said hello");
    let spam = newest(&stage, "spam").await;
    let noted = notes(&stage, spam).await;
    assert_eq!(noted, ["`word_filter` at message_received: drop: it has a word of the list"]);
    stage.end().await;
}

#[tokio::test]
async fn what_is_held_waits_for_a_person_in_both_directions() {
    let incoming = json!({"words": ["wire"], "action": "hold", "outgoing": false});
    let outgoing = json!({"words": ["secret"], "action": "hold", "incoming": false});
    let members = vec![plugin("word_filter", incoming)];
    let mut stage = Stage::set(with(members), echo).await;
    stage.group("home", "1", Scope::Thread).await;
    stage.write("1", "wire money").await;
    stage.write("1", "hello").await;
    assert_eq!(stage.heard().await.1, "you said hello", "what comes after is not held up");
    let held = stage.gateway.store().held_passages(10).await.unwrap();
    let [one] = &held[..] else { panic!("{held:?}") };
    assert!(matches!(one.way, Way::In(_)));
    stage.gateway.release(one.id).await.unwrap();
    assert_eq!(stage.heard().await.1, "you said wire money");
    assert!(stage.gateway.release(one.id).await.is_err(), "only once");

    stage.plugins.put(Chain::new(vec![plugin("word_filter", outgoing)]));
    stage.gateway.renew_plugins();
    stage.write("1", "a secret").await;
    stage.write("1", "another").await;
    assert_eq!(stage.heard().await.1, "you said another");
    let held = stage.gateway.store().held_passages(10).await.unwrap();
    let [one] = &held[..] else { panic!("{held:?}") };
    stage.gateway.release(one.id).await.unwrap();
    assert_eq!(stage.heard().await.1, "you said a secret");
    stage.write("1", "secret, too").await;
    stage.write("1", "last").await;
    assert_eq!(stage.heard().await.1, "you said last");
    let held = stage.gateway.store().held_passages(10).await.unwrap();
    stage.gateway.throw_away(held[0].id).await.unwrap();
    assert!(stage.gateway.store().held_passages(10).await.unwrap().is_empty());
    stage.end().await;
}

#[tokio::test]
async fn what_was_not_asked_about_is_found_at_the_start() {
    let home = Arc::new(tempfile::TempDir::new().unwrap());
    let stage = Stage::on(home.clone(), Setting::default(), echo).await;
    stage.group("home", "1", Scope::Thread).await;
    let inbound = stage.message("1", "mail a@b.de");
    let plan = ngb_store::Plan::AskPlugins;
    let now = stage.gateway.clock().now();
    let arrivals = vec![ngb_store::Arrival { inbound, plan }];
    let accept = ngb_store::Accept { arrivals, now, permits: 0, lease_until: now };
    // As a gateway leaves it that died between the two steps.
    stage.gateway.store().accept(accept).await.unwrap();
    stage.end().await;
    let setting = with(vec![plugin("redactor", json!({}))]);
    let mut stage = Stage::on(home, setting, echo).await;
    assert_eq!(stage.heard().await.1, "you said mail [e-mail hidden]");
    stage.end().await;
}

#[tokio::test]
async fn a_stop_is_asked_about_by_nobody() {
    let everything = json!({"words": ["stop", "wait"], "action": "block"});
    let script = async |mut actor: Actor| {
        while let Some(frame) = actor.hear().await {
            match frame {
                ToAgent::Interrupt { prompt } => {
                    let outcome = ngb_core::frame::Outcome::Interrupted;
                    let session = None;
                    let prompts = vec![prompt];
                    actor.say(&FromAgent::Done { prompts, outcome, session }).await;
                }
                _ => continue,
            }
        }
    };
    let mut stage = Stage::set(with(vec![plugin("word_filter", everything)]), script).await;
    stage.group("home", "1", Scope::Thread).await;
    let mut runs = stage.runs();
    stage.write("1", "go on for ever").await;
    runs.begun().await;
    stage.write("1", "/stop").await;
    let (_, item) = stage.item().await;
    assert!(matches!(item, Outbound::Text { .. }), "{item:?}");
    stage.end().await;
}

/// `mention` says only that the bot is meant; what follows is the binding's own rule.
#[tokio::test]
async fn a_name_that_a_plugin_knows_is_a_mention() {
    let setting = with(vec![plugin("mention", json!({"names": ["andy"]}))]);
    let mut stage = Stage::set(setting, echo).await;
    let group = stage.group("home", "1", Scope::Thread).await;
    let bind = |chat, engage| ngb_gateway::handle::Bind {
        place: crate::stage::place(chat),
        group,
        engage,
        scope: Scope::Thread,
        senders: ngb_core::group::Senders::Everyone,
        queue: ngb_core::queue::Queue::default(),
        exceptions: ngb_core::group::Exceptions::default(),
    };
    stage.gateway.bind(bind("2", ngb_core::group::Engage::Mention)).await.unwrap();
    stage.gateway.bind(bind("3", ngb_core::group::Engage::Never)).await.unwrap();
    for (chat, text) in [
        ("2", "nobody is meant"),
        ("3", "@andy, nobody hears you"),
        ("2", "what about you, @Andy?"),
    ] {
        let mut it = stage.message(chat, text);
        it.chat.kind = ChatKind::Group;
        let Happening::Message(content) = &mut it.what else { panic!() };
        content.addressed = Addressed::No;
        stage.write_all(vec![it]).await;
    }
    assert_eq!(stage.heard().await.0, "2");
    let meant = newest(&stage, "what about you, @Andy?").await;
    assert_eq!(
        notes(&stage, meant).await,
        ["`mention` at message_received: meant: it names `andy`"]
    );
    let why = stage.gateway.store().why(meant).await.unwrap();
    let queued = why.decisions.iter().find(|it| it.kind == Decision::Queued).unwrap();
    assert_eq!(queued.detail, "the bot was mentioned");
    assert!(stage.is_quiet());
}

/// A chain that was made earlier never takes the place of one that was made later.
#[tokio::test]
async fn the_last_change_of_plugins_is_the_one_in_force() {
    let stage = Stage::set(Setting::default(), echo).await;
    for _ in 0..100 {
        let count = std::sync::Mutex::new(0);
        let add = || {
            {
                let mut count = count.lock().unwrap();
                *count += 1;
                let members = (0..*count).map(|_| plugin("mention", json!({})));
                stage.plugins.put(Chain::new(members.collect()));
            }
            stage.gateway.renew_plugins();
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(add);
            }
        });
        assert_eq!(stage.gateway.plugins().len(), 4);
    }
}

/// Two that answer each other would never end: bots are not answered, and where nobody was let in nobody is spoken to.
#[tokio::test]
async fn a_plugin_answers_neither_bots_nor_whom_nobody_let_in() {
    let rules = json!({"rules": [{"pattern": "hello", "reply": "hello to you"}]});
    let mut stage = Stage::set(with(vec![plugin("auto_reply", rules)]), echo).await;
    stage.group("home", "1", Scope::Thread).await;
    let mut bot = stage.message("1", "hello from a bot");
    bot.sender.is_bot = true;
    stage.write_all(vec![bot]).await;
    stage.write("1", "hello").await;
    assert_eq!(stage.heard().await, ("1".into(), "hello to you".into()));
    let dropped = newest(&stage, "hello from a bot").await;
    let why = stage.gateway.store().why(dropped).await.unwrap();
    let end = why.decisions.iter().find(|it| it.kind == Decision::Dropped).unwrap();
    assert!(end.detail.contains("bots are not answered"), "{}", end.detail);
    stage.write("7", "hello, anybody?").await;
    let (chat, said) = stage.heard().await;
    assert_eq!(chat, "7");
    assert!(said.contains("approve the code"), "{said}");
    assert!(stage.is_quiet());
}
