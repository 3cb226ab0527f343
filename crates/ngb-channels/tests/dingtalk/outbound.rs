//! What the robot says: by session webhook, by OpenAPI, in cards, and with files.

use futures_util::TryStreamExt as _;
use ngb_channels::{Accepted, Answer, Channel as _, Question, Retry};
use ngb_core::message::{Button, Happening, MediaRef, Outbound, Sent};
use serde_json::{Value, json};

use crate::{GROUP, Stage, accept, said, text};

fn edit(platform_id: &str, text: &str) -> Outbound {
    Outbound::Edit { platform_id: platform_id.into(), text: text.into(), buttons: Vec::new() }
}

fn param(body: &Value) -> Value {
    serde_json::from_str(body["msgParam"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn a_session_is_answered_there_and_all_else_by_the_openapi() {
    let mut stage = Stage::new().await;
    let platform = stage.platform().clone();
    stage.send("manager7", &text("# Good day\n\nof itself")).await.unwrap();
    let asked = platform.asks(GROUP, "manager7", &said("hi"));
    stage.hear().await;
    let answer =
        Outbound::Text { text: "a\nb @Nick manager7".into(), reply_to: None, buttons: Vec::new() };
    stage.send(GROUP, &answer).await.unwrap();
    let answer = Outbound::Text { text: "c".into(), reply_to: Some(asked), buttons: Vec::new() };
    stage.send(GROUP, &answer).await.unwrap();
    platform.end_sessions();
    let sent = stage.send(GROUP, &text("d")).await.unwrap();
    assert!(sent.platform_id.unwrap().starts_with("query-"));

    let said = platform.said();
    let doors: Vec<_> = said.iter().map(|it| (it.door.as_str(), it.to.as_str())).collect();
    let want = [("batchSend", "manager7"), ("session", GROUP), ("session", GROUP), ("send", GROUP)];
    assert_eq!(doors, want);
    let first = &said[0].body;
    assert_eq!(
        (&first["robotCode"], &first["msgKey"]),
        (&json!("dingsimulated"), &json!("sampleMarkdown"))
    );
    assert_eq!(param(first), json!({"title": "Good day", "text": "# Good day\n\nof itself"}));
    assert_eq!(said[1].body["markdown"]["text"], "a  \nb @manager7");
    assert_eq!(said[1].body["at"]["atUserIds"], json!(["manager7"]));
    // Who wrote what is answered is named, since DingTalk has no quotes for robots.
    assert_eq!(said[2].body["markdown"]["text"], "@manager7 c");

    let err = stage.send("stranger", &text("x")).await.unwrap_err();
    assert_eq!(err.retry, Retry::Never);
    assert!(format!("{:#}", anyhow::Error::from(err)).contains("no such person"));
    let err = stage.send("manager7", &text(&"\n\"".repeat(8_000))).await.unwrap_err();
    assert!(format!("{:#}", anyhow::Error::from(err)).contains("15000 bytes"));
    let who = stage.channel.ask(&Question::WhoAmI).await.unwrap();
    assert!(matches!(who, Answer::Me { id, .. } if id == "dingsimulated"));
}

#[tokio::test]
async fn an_answer_grows_in_one_card() {
    let mut stage = Stage::new().await;
    let platform = stage.platform().clone();
    let asked = platform.asks(GROUP, "manager7", &said("hi"));
    stage.hear().await;
    for _ in 0..2 {
        stage.deliver(GROUP, &Outbound::Typing, "", true).await.unwrap();
    }
    assert_eq!(platform.signs(), [asked]);
    let sent = stage.deliver(GROUP, &text("**Let"), "ngb-1", true).await.unwrap();
    let again = stage.deliver(GROUP, &text("**Let"), "ngb-1", true).await.unwrap();
    assert_eq!(sent, again, "a second try is the same card");
    let id = sent.platform_id.unwrap();
    stage.deliver(GROUP, &edit(&id, "**Let me see"), "", true).await.unwrap();
    for _ in 0..2 {
        stage.deliver(GROUP, &edit(&id, "**Let me see**: 1"), "ngb-2", false).await.unwrap();
    }
    let cards = platform.cards();
    assert_eq!(cards.len(), 1, "{cards:?}");
    assert_eq!((cards[0].content.as_str(), cards[0].finished), ("**Let me see**: 1", true));
    assert_eq!(cards[0].states, 3, "what is repeated is one state");
    assert_eq!(cards[0].space, format!("dtv1.card//IM_GROUP.{GROUP}"));
    assert!(platform.signs().is_empty(), "the sign goes with the answer");
    assert!(platform.said().is_empty());

    let sent = stage.deliver("manager7", &text("x"), "ngb-3", true).await.unwrap();
    let name = sent.platform_id.unwrap().replace("card:", "");
    let card = platform.cards().into_iter().find(|it| it.name == name).unwrap();
    assert_eq!(card.space, "dtv1.card//IM_ROBOT.manager7");
    // A card of another life of the settings, which DingTalk does not know.
    stage.deliver("manager7", &edit("card:gone", "all of it"), "ngb-4", false).await.unwrap();
    assert_eq!(param(&platform.said()[0].body)["text"], "all of it");
}

#[tokio::test]
async fn a_button_stops_a_live_answer() {
    let mut stage = Stage::with(|it| {
        it.card.as_mut().unwrap().stop_key = Some("stop".into());
    })
    .await;
    let platform = stage.platform().clone();
    platform.wait(|it| it.sockets == 1).await;
    assert!(stage.channel.profile().live_buttons);
    let stop = vec![ngb_core::stop::button(ngb_core::id::JobId(7), ngb_core::notice::Lang::Zh)];
    for to in [GROUP, "manager7"] {
        let item = Outbound::Text { text: "Let".into(), reply_to: None, buttons: stop.clone() };
        let sent = stage.deliver(to, &item, &format!("k-{to}"), true).await.unwrap();
        let id = sent.platform_id.unwrap();
        let name = id.strip_prefix("card:").unwrap();
        platform.press_stop("manager7", name, "stop");
        let offer = stage.offers.recv().await.unwrap();
        let event = offer.events[0].clone();
        accept(offer);
        assert_eq!((event.place.jid.chat(), event.sender.id.as_str()), (to, "manager7"));
        let Happening::Pressed { value, .. } = event.what else { panic!("{event:?}") };
        assert_eq!(ngb_core::stop::pressed(&value), Some(ngb_core::id::JobId(7)));
        stage.deliver(to, &edit(&id, "Let me see"), "", true).await.unwrap();
        stage.deliver(to, &edit(&id, "Let me see: 1"), "k", false).await.unwrap();
        let card = platform.cards().into_iter().find(|it| it.name == name).unwrap();
        assert_eq!((card.finished, &card.params["stop"]), (true, &json!("")), "nothing to stop");
    }
}

#[tokio::test]
async fn a_question_is_a_card_and_a_press_shows_what_was_chosen() {
    let mut stage = Stage::new().await;
    let platform = stage.platform().clone();
    for (to, user, accepted) in
        [(GROUP, "manager7", Accepted::New), ("manager7", "manager7", Accepted::New)]
    {
        let name = stage.put_question(to, "**Really?**", &format!("k-{to}")).await;
        platform.press(user, &name, "No");
        let offer = stage.offers.recv().await.unwrap();
        let event = offer.events[0].clone();
        assert_eq!((event.place.jid.chat(), event.sender.id.as_str()), (to, user));
        let want = Happening::Pressed { platform_id: format!("ask:{name}"), value: "q:1".into() };
        assert_eq!(event.what, want, "as the receipt of the question has it");
        offer.accepted.send(Ok(vec![accepted])).unwrap();
        platform.wait(|it| it.pending == 0).await;
        let card = platform.cards().into_iter().find(|it| it.name == name).unwrap();
        assert_eq!(card.params["staticMsgContent"], "**Really?**\n\n✓ No");
        assert!(card.params["sys_full_json_obj"].as_str().unwrap().contains("\"msgButtons\":[]"));
    }
    // Whoever may not answer is told so, alone, and the card stays.
    let name = stage.put_question(GROUP, "And now?", "k-9").await;
    platform.press("stranger7", &name, "Yes");
    let offer = stage.offers.recv().await.unwrap();
    offer.accepted.send(Ok(vec![Accepted::NotYours])).unwrap();
    platform.wait(|it| it.pending == 0).await;
    let said = platform.said();
    assert_eq!((said.len(), said[0].to.as_str()), (1, "stranger7"));
    platform.press("manager7", &name, "Yes");
    assert!(matches!(stage.hear().await, Happening::Pressed { value, .. } if value == "q:0"));
    platform.wait(|it| it.pending == 0).await;

    // Without the right to cards a question is put in words.
    platform.forbid_cards();
    let button = Button { label: "Yes".into(), value: "q:0".into() };
    let item = Outbound::Text { text: "Why?".into(), reply_to: None, buttons: vec![button] };
    stage.send("manager7", &item).await.unwrap();
    let last = platform.said().pop().unwrap();
    assert_eq!(param(&last.body)["text"], "Why?\n\n- Yes");
    let button = Button { label: "Yes".into(), value: "x".repeat(65) };
    let item = Outbound::Text { text: "Why?".into(), reply_to: None, buttons: vec![button] };
    assert_eq!(stage.send("manager7", &item).await.unwrap_err().retry, Retry::Never);
}

#[tokio::test]
async fn without_a_card_an_answer_is_shown_when_it_is_whole() {
    let mut stage = Stage::with(|it| it.card.as_mut().unwrap().id = "other.schema".into()).await;
    stage.platform().wait(|it| it.sockets == 1).await;
    stage.platform().writes("manager7", &said("hi"));
    stage.hear().await;
    let sent = stage.deliver("manager7", &text("so f"), "ngb-1", true).await.unwrap();
    assert_eq!(sent, Sent::default());
    stage.deliver("manager7", &text("so far"), "ngb-2", false).await.unwrap();
    let said = stage.platform().said();
    assert_eq!((said.len(), &said[0].body["markdown"]["text"]), (1, &json!("so far")));

    let plain = Stage::with(|it| it.card = None).await;
    assert!(!plain.channel.profile().edits);
}

#[tokio::test]
async fn files_both_ways() {
    let mut stage = Stage::new().await;
    let platform = stage.platform().clone();
    platform.keep("code1", "what the file says");
    let content = json!({"downloadCode": "code1", "fileName": "../../a.pdf"});
    platform.writes("manager7", &json!({"msgtype": "file", "content": content}));
    let Happening::Message(message) = stage.hear().await else { panic!("no message") };
    assert_eq!(message.media[0].name, "a.pdf");
    let stream = stage.channel.fetch(&message.media[0]).await.unwrap();
    let got: Vec<_> = stream.try_collect().await.unwrap();
    assert_eq!(got.concat(), b"what the file says");
    let gone = MediaRef { reference: "gone".into(), ..message.media[0].clone() };
    let Err(err) = stage.channel.fetch(&gone).await else { panic!("it is gone") };
    assert_eq!(err.retry, Retry::Never);

    let dir = tempfile::tempdir().unwrap();
    for (name, key) in [("a.pdf", "sampleFile"), ("p.PNG", "sampleImageMsg")] {
        let path = dir.path().join(name);
        std::fs::write(&path, name).unwrap();
        let caption = if key == "sampleFile" { "see" } else { "" };
        let file =
            Outbound::File { path, name: name.into(), caption: caption.into(), reply_to: None };
        stage.send("manager7", &file).await.unwrap();
        let said = platform.said();
        let last = &said.last().unwrap().body;
        assert_eq!(last["msgKey"], key);
        let param = param(last);
        let id = param["mediaId"].as_str().or(param["photoURL"].as_str()).unwrap();
        assert_eq!(platform.file(id).unwrap(), name.as_bytes());
    }
    let said = platform.said();
    assert_eq!((said.len(), said[0].door.as_str()), (3, "session"), "the words come first");
    let path = dir.path().join("empty");
    std::fs::write(&path, "").unwrap();
    let file =
        Outbound::File { path, name: "empty".into(), caption: String::new(), reply_to: None };
    assert_eq!(stage.send("manager7", &file).await.unwrap_err().retry, Retry::Never);
}

#[tokio::test]
async fn an_emoji_is_put_under_a_message() {
    let mut stage = Stage::new().await;
    let react = |id: &str| Outbound::React { platform_id: id.into(), emoji: "👍".into() };
    let err = stage.send("manager7", &react("m1")).await.unwrap_err();
    assert!(format!("{:#}", anyhow::Error::from(err)).contains("nobody wrote there"));
    stage.platform().writes("manager7", &said("hi"));
    let Happening::Message(message) = stage.hear().await else { panic!("no message") };
    stage.send("manager7", &react(&message.platform_id)).await.unwrap();
    assert_eq!(stage.platform().signs(), std::slice::from_ref(&message.platform_id));
    let (platform_id, emoji) = (message.platform_id, "👍".into());
    stage.send("manager7", &Outbound::Unreact { platform_id, emoji }).await.unwrap();
    assert!(stage.platform().signs().is_empty());
}
