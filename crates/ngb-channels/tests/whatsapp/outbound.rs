//! What Meta is asked to do.

use ngb_channels::{Answer, Channel as _, Question, Retry, whatsapp::Template};
use ngb_core::message::{Button, Outbound};
use ngb_sim::whatsapp::Config;
use serde_json::json;

use crate::stage::{Stage, text};

const ANN: &str = "16505551234";

#[tokio::test]
async fn texts_answers_and_questions() {
    let stage = Stage::new().await;
    let sent = stage.send(ANN, &text("**hi** [you](https://x.y)")).await.unwrap();
    let answer =
        Outbound::Text { text: "yes".into(), reply_to: Some("wamid.Q".into()), buttons: vec![] };
    stage.send("US.13491208655302741918", &answer).await.unwrap();
    let button = |it: &str| Button { label: it.into(), value: format!("v-{it}") };
    let question = Outbound::Text {
        text: "Shall I?".into(),
        reply_to: None,
        buttons: vec![button("Yes"), button("No")],
    };
    stage.send(ANN, &question).await.unwrap();
    let got = stage.platform().sent();
    assert_eq!(sent.platform_id.as_deref(), Some(got[0].id.as_str()));
    let first = json!({
        "messaging_product": "whatsapp", "recipient_type": "individual", "to": ANN, "type": "text",
        "text": {"body": "*hi* you (https://x.y)", "preview_url": false},
    });
    assert_eq!(got[0].body, first);
    assert_eq!(got[1].body["recipient"], "US.13491208655302741918");
    assert_eq!(got[1].body["context"], json!({"message_id": "wamid.Q"}));
    let buttons = &got[2].body["interactive"]["action"]["buttons"];
    assert_eq!(buttons[1], json!({"type": "reply", "reply": {"id": "v-No", "title": "No"}}));
}

#[tokio::test]
async fn files_go_as_what_they_are() {
    let stage = Stage::new().await;
    let dir = tempfile::tempdir().unwrap();
    #[rustfmt::skip]
    let table = [
        ("a.png", "image",    "image/png"),
        ("a.ogg", "audio",    "audio/ogg"),
        ("a.mp4", "video",    "video/mp4"),
        ("a.pdf", "document", "application/pdf"),
        ("a.rs",  "document", "text/plain"),
    ];
    for (i, (name, kind, media_type)) in table.into_iter().enumerate() {
        let path = dir.path().join(name);
        std::fs::write(&path, "bytes").unwrap();
        let caption = "**see**".to_owned();
        let file = Outbound::File { path, name: name.into(), caption, reply_to: None };
        stage.send(ANN, &file).await.unwrap();
        let body = &stage.platform().sent()[i].body;
        assert_eq!(body["type"], kind);
        let upload = stage.platform().file(body[kind]["id"].as_str().unwrap()).unwrap();
        assert_eq!((upload.media_type.as_str(), &*upload.bytes), (media_type, b"bytes".as_slice()));
        let caption = if kind == "audio" { json!(null) } else { json!("*see*") };
        assert_eq!(body[kind]["caption"], caption);
    }
    let path = dir.path().join("empty");
    std::fs::write(&path, "").unwrap();
    let file =
        Outbound::File { path, name: "empty".into(), caption: String::new(), reply_to: None };
    let err = stage.send(ANN, &file).await.unwrap_err();
    assert_eq!((err.retry, err.maybe_done), (Retry::Never, false));
}

#[tokio::test]
async fn after_24_hours_the_template_or_a_clear_answer() {
    let stage = Stage::new().await;
    stage.platform().close_window(ANN);
    let err = stage.send(ANN, &text("hi")).await.unwrap_err();
    assert_eq!((err.retry, err.maybe_done), (Retry::Never, false));
    let said = format!("{:#}", anyhow::Error::from(err));
    assert!(said.contains("131047") && said.contains("set `template`"), "{said}");

    let template = Template { name: "note".into(), language: "en_US".into() };
    let token = Config::default().access_token;
    let stage = Stage::with(Config::default(), Some(template), &token).await;
    stage.platform().close_window(ANN);
    stage.send(ANN, &text("# Hi\n\n- a\n- b")).await.unwrap();
    let got = stage.platform().sent().remove(0).body;
    assert_eq!(got["template"]["name"], "note");
    let parameter = &got["template"]["components"][0]["parameters"][0];
    assert_eq!(*parameter, json!({"type": "text", "text": "*Hi* - a - b"}));
}

#[tokio::test]
async fn typing_marks_the_last_message_as_read() {
    let mut stage = Stage::new().await;
    stage.send(ANN, &Outbound::Typing).await.unwrap();
    assert!(stage.platform().marks().is_empty(), "there is nothing to mark yet");
    stage.hear(json!({"type": "text", "text": {"body": "x"}})).await;
    stage.send(ANN, &Outbound::Typing).await.unwrap();
    let want = json!({
        "messaging_product": "whatsapp", "status": "read", "message_id": "wamid.A1",
        "typing_indicator": {"type": "text"},
    });
    assert_eq!(stage.platform().marks(), [want]);
}

#[tokio::test]
async fn what_it_can_not_do_it_says() {
    let stage = Stage::new().await;
    let edit = Outbound::Edit { platform_id: "wamid.1".into(), text: "x".into(), buttons: vec![] };
    let err = stage.send(ANN, &edit).await.unwrap_err();
    assert_eq!(err.retry, Retry::Never);
    assert!(!stage.channel.profile().edits);
    let who = stage.channel.ask(&Question::WhoAmI).await.unwrap();
    let Answer::Me { name, remarks, .. } = who else { panic!("{who:?}") };
    assert_eq!((name.as_str(), remarks.len()), ("Nano Test", 0));
    let sent = stage
        .channel
        .ask(&Question::WasSent {
            key: "k".into(),
            to: "whatsapp@main:1".parse::<ngb_core::address::Jid>().unwrap().into(),
        })
        .await
        .unwrap();
    assert_eq!(sent, Answer::CanNot);
}

#[tokio::test]
async fn an_emoji_is_put_under_a_message() {
    let stage = Stage::new().await;
    let item = Outbound::React { platform_id: "wamid.Q".into(), emoji: "👍".into() };
    stage.send(ANN, &item).await.unwrap();
    let sent = stage.platform().sent().pop().unwrap();
    assert_eq!(sent.body["reaction"], json!({"message_id": "wamid.Q", "emoji": "👍"}));
    assert_eq!((sent.to.as_str(), &sent.body["type"]), (ANN, &json!("reaction")));
    // What was put there since stays.
    for (emoji, sends) in [("👀", 1), ("👍", 1)] {
        let item = Outbound::Unreact { platform_id: "wamid.Q".into(), emoji: emoji.into() };
        stage.send(ANN, &item).await.unwrap();
        assert_eq!(stage.platform().sent().len(), sends, "{emoji}");
    }
    stage.send(ANN, &item).await.unwrap();
    let item = Outbound::Unreact { platform_id: "wamid.Q".into(), emoji: "👍".into() };
    stage.send(ANN, &item).await.unwrap();
    let sent = stage.platform().sent().pop().unwrap();
    assert_eq!(sent.body["reaction"], json!({"message_id": "wamid.Q", "emoji": ""}));
}
