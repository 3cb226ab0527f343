//! Reactions: people's are context for what is asked next, agents' stand under the message that they answer.

use ngb_core::{
    address::Place,
    decision::Decision,
    frame::{CallOutcome, FromAgent, HostCall, ToAgent},
    group::Scope,
    message::{Author, Happening, Outbound},
    reaction::reacted,
};

use crate::stage::{Actor, Setting, Stage, asked};

/// An agent that says all that it is told; a message that is an emoji gets it back as a reaction.
async fn mirror(mut actor: Actor) {
    while let Some(frame) = actor.hear().await {
        let ToAgent::Prompt(prompt) = frame else { continue };
        let emoji = asked(&prompt);
        if !emoji.starts_with("hi") {
            let what = HostCall::React { emoji };
            actor.say(&FromAgent::Call { prompt: prompt.id, call: 1, what }).await;
            let Some(ToAgent::CallResult { outcome, .. }) = actor.hear().await else { return };
            let word = match outcome {
                CallOutcome::Ok { value } => value.to_string(),
                CallOutcome::Refused { reason } => format!("no: {reason}"),
            };
            actor.done(prompt.id, &word).await;
            continue;
        }
        let all: Vec<String> = prompt
            .messages
            .iter()
            .map(|it| match &it.reply_to {
                Some(of) => format!("{} to \"{of}\"", it.text),
                None => it.text.clone(),
            })
            .collect();
        actor.done(prompt.id, &all.join("; ")).await;
    }
}

#[tokio::test]
async fn a_reaction_to_an_answer_goes_with_what_is_asked_next() {
    let mut stage = Stage::set(Setting::default(), mirror).await;
    stage.group("home", "1", Scope::Thread).await;
    let store = stage.gateway.store().clone();
    stage.write("1", "hi").await;
    stage.heard().await;
    // The second is sent once the first has its receipt, and the third once the second has.
    stage.write("1", "hi again").await;
    assert_eq!(stage.heard().await.1, "hi again");
    let react = |of: &str, bot: bool| {
        let mut event = stage.message("1", "");
        event.sender.is_bot = bot;
        event.what = reacted(of, &["👍".to_owned()], &[]);
        event
    };
    let events = vec![react("p-ngb-1", false), react("p-ngb-1", true), react("p-other", false)];
    stage.write_all(events).await;
    assert!(stage.is_quiet(), "a reaction asks for nothing");
    stage.write("1", "hi!").await;
    assert_eq!(stage.heard().await.1, "[reacted with 👍] to \"hi\"; hi!");

    let filter = ngb_store::MessageFilter { limit: 100, ..Default::default() };
    let all = store.messages(filter).await.unwrap();
    let mut states: Vec<&str> = all
        .iter()
        .filter(|it| it.author == Author::User && it.content.text.starts_with('['))
        .map(|it| it.state.as_str())
        .collect();
    states.sort_unstable();
    assert_eq!(states, ["context-kept", "dropped", "dropped"]);
    let kept = all.iter().find(|it| it.state == "context-kept").unwrap();
    let why = store.why(kept.id).await.unwrap();
    let kept = why.decisions.iter().find(|it| it.kind == Decision::Kept).unwrap();
    assert!(kept.detail.contains("it is a reaction"), "{why:?}");
}

#[tokio::test]
async fn a_chat_that_is_not_known_is_not_offered_a_code_for_a_reaction() {
    let mut stage = Stage::set(Setting::default(), mirror).await;
    let mut event = stage.message("9", "");
    event.what = reacted("p-ngb-1", &["👍".to_owned()], &[]);
    stage.write_all(vec![event]).await;
    assert!(stage.is_quiet());
    assert_eq!(
        stage.gateway.store().counts().await.unwrap().messages_in,
        1,
        "it is kept for `why`"
    );
}

#[tokio::test]
async fn an_agent_reacts_to_the_message_that_it_answers() {
    let mut stage = Stage::set(Setting::default(), mirror).await;
    stage.group("home", "1", Scope::Thread).await;
    let event = stage.message("1", "👍");
    let Happening::Message(content) = &event.what else { panic!("no message") };
    let platform_id = content.platform_id.clone();
    stage.write_all(vec![event]).await;
    let (place, item): (Place, Outbound) = stage.item().await;
    assert_eq!(place, crate::stage::place("1"));
    assert_eq!(item, Outbound::React { platform_id, emoji: "👍".into() });
    assert_eq!(stage.heard().await.1, "{\"done\":true}");
    stage.write("1", "nice").await;
    assert_eq!(stage.heard().await.1, "no: `nice` is no emoji");
}

#[tokio::test]
async fn a_reaction_stands_under_a_message_while_it_is_worked_on() {
    let setting = Setting { ack_reaction: Some("👀"), ..Setting::default() };
    let mut stage = Stage::set(setting, mirror).await;
    stage.group("home", "1", Scope::Thread).await;
    let event = stage.message("1", "hi");
    let Happening::Message(content) = &event.what else { panic!("no message") };
    let id = || content.platform_id.clone();
    let (put, gone) = (
        Outbound::React { platform_id: id(), emoji: "👀".into() },
        Outbound::Unreact { platform_id: id(), emoji: "👀".into() },
    );
    stage.write_all(vec![event.clone()]).await;
    let mut said = Vec::new();
    while said.len() < 3 {
        said.push(stage.item().await.1);
    }
    let at = |what: &Outbound| said.iter().position(|it| it == what).unwrap();
    assert!(at(&put) < at(&gone), "{said:?}");
    assert!(said.iter().any(|it| it.text() == Some("hi")), "{said:?}");

    // What could not be put there is not taken away, and nothing else minds.
    *stage.platform.faults.lock().unwrap() = vec![ngb_channels::Retry::Never];
    stage.write("1", "hi again").await;
    assert_eq!(stage.heard().await.1, "hi again");
    assert!(stage.is_quiet());
}
