//! Several pictures that were sent as one.

use ngb_core::{
    frame::ToAgent,
    group::{Engage, Exceptions, Scope, Senders},
    message::{Addressed, ChatKind, Content, Happening, Inbound, MediaKind, MediaRef},
    queue::Queue,
};
use ngb_gateway::handle::Bind;

use crate::stage::{self, Actor, Setting, Stage};

/// An agent that says what stands in its prompt: a line for each message that it is to answer.
async fn reader(mut actor: Actor) {
    while let Some(ToAgent::Prompt(prompt)) = actor.hear().await {
        let line = |it: &ngb_core::frame::PromptMessage| {
            let names: Vec<&str> = it.files.iter().filter_map(|it| it.rsplit('-').next()).collect();
            let word = if it.engaged { "" } else { "context: " };
            format!("{word}{} [{}]", it.text, names.join(" "))
        };
        let lines: Vec<String> = prompt.messages.iter().map(line).collect();
        actor.done(prompt.id, &lines.join("\n")).await;
    }
}

fn part(stage: &Stage, album: &str, name: &str, text: &str) -> Inbound {
    let mut event = stage.message("1", text);
    let Happening::Message(content) = &mut event.what else { unreachable!("it is a message") };
    content.album = Some(album.into());
    content.media.push(MediaRef {
        kind: MediaKind::Photo,
        reference: name.into(),
        name: name.into(),
        media_type: None,
        size_bytes: None,
    });
    event
}

#[tokio::test]
async fn an_album_is_one_prompt() {
    let mut stage = Stage::set(Setting::default(), reader).await;
    stage.group("home", "1", Scope::Thread).await;
    let first = part(&stage, "a", "1.jpg", "what is this?");
    // Each is on disk at once, in whatever batch it comes.
    stage.write_all(vec![first]).await;
    let rest = vec![part(&stage, "a", "2.jpg", ""), part(&stage, "a", "3.jpg", "")];
    stage.write_all(rest).await;
    // What is written behind it does not overtake it.
    stage.write("1", "tell me").await;
    assert_eq!(stage.heard().await.1, "what is this? [1.jpg 2.jpg 3.jpg]\ntell me []");
    assert!(stage.is_quiet());
}

#[tokio::test]
async fn in_a_group_one_caption_is_for_all_pictures() {
    let mut stage = Stage::set(Setting::default(), reader).await;
    let group = stage.gateway.add_group("home", None, false).await.unwrap();
    let (engage, scope, senders) = (Engage::Mention, Scope::Thread, Senders::Everyone);
    let place = stage::place("1");
    let (queue, exceptions) = (Queue::default(), Exceptions::default());
    stage
        .gateway
        .bind(Bind { place, group, engage, scope, senders, queue, exceptions })
        .await
        .unwrap();
    let mut parts: Vec<Inbound> = ["1.jpg", "2.jpg", "3.jpg", "4.jpg"]
        .map(|it| part(&stage, "a", it, if it == "3.jpg" { "@bot what is this?" } else { "" }))
        .into();
    for it in &mut parts {
        it.chat.kind = ChatKind::Group;
        let Happening::Message(content) = &mut it.what else { unreachable!("it is a message") };
        let named = !content.text.is_empty();
        content.addressed = if named { Addressed::Mention } else { Addressed::No };
    }
    let mut quiet = stage.message("1", "lunch?");
    if let Happening::Message(Content { addressed, .. }) = &mut quiet.what {
        *addressed = Addressed::No;
    }
    let last = parts.split_off(3);
    let named = parts.split_off(1);
    stage.write_all(vec![quiet]).await;
    stage.write_all(parts).await;
    stage.write_all(named).await;
    stage.write_all(last).await;
    assert_eq!(
        stage.heard().await.1,
        "context: lunch? []\n@bot what is this? [1.jpg 2.jpg 3.jpg 4.jpg]"
    );
    assert!(stage.is_quiet());
}
