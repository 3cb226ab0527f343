//! What we say, and what Telegram is asked for.

use futures_util::StreamExt as _;
use ngb_channels::{Answer, Channel as _, Question};
use ngb_core::message::{Button, Happening, MediaKind, MediaRef, Outbound};
use ngb_sim::telegram::{Config, Fault, How, Server, When};
use serde_json::{Value, json};

use crate::stage::{Stage, channel, text};

fn button(label: &str, value: &str) -> Button {
    Button { label: label.into(), value: value.into() }
}

#[tokio::test]
async fn each_kind_of_item() {
    let reply = Outbound::Text { text: "x".into(), reply_to: Some("3".into()), buttons: vec![] };
    let asks = Outbound::Text {
        text: "ok?".into(),
        reply_to: None,
        buttons: vec![button("Yes", "y"), button("No", "n")],
    };
    #[rustfmt::skip]
    let table: Vec<(&str, Outbound, &str, Value)> = vec![
        ("5",    text("hi"),          "sendMessage",     json!({"chat_id": 5, "text": "hi"})),
        ("5",    text("a **b** 😀"),   "sendMessage",     json!({"chat_id": 5, "text": "a b 😀", "entities": [{"type": "bold", "offset": 2, "length": 1}]})),
        ("-7/4", text("hi"),          "sendMessage",     json!({"chat_id": -7, "message_thread_id": 4, "text": "hi"})),
        ("5",    reply,               "sendMessage",     json!({"chat_id": 5, "text": "x", "reply_parameters": {"message_id": 3, "allow_sending_without_reply": true}})),
        ("5",    asks,                "sendMessage",     json!({"chat_id": 5, "text": "ok?", "reply_markup": {"inline_keyboard": [[{"text": "Yes", "callback_data": "y"}], [{"text": "No", "callback_data": "n"}]]}})),
        ("5/9",  Outbound::Typing,    "sendChatAction",  json!({"chat_id": 5, "message_thread_id": 9, "action": "typing"})),
    ];
    let stage = Stage::new().await;
    for (to, item, method, want) in table {
        stage.send(to, &item).await.unwrap();
        let call = stage.server.platform.calls(method).pop().unwrap();
        assert_eq!(Value::Object(call.fields), want, "{item:?}");
    }
}

#[tokio::test]
async fn an_edit_that_changes_nothing_is_done() {
    let stage = Stage::new().await;
    let sent = stage.send("5", &text("one")).await.unwrap();
    let platform_id = sent.platform_id.clone().unwrap();
    let edit = |text: &str| Outbound::Edit {
        platform_id: platform_id.clone(),
        text: text.into(),
        buttons: vec![],
    };
    for new in ["two", "two"] {
        assert_eq!(stage.send("5", &edit(new)).await.unwrap(), sent);
    }
    let shown = &stage.server.platform.sent(0)[0];
    assert_eq!((shown.text.as_str(), shown.edits.len()), ("two", 1));
}

#[tokio::test]
async fn files_go_out_and_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::new().await;
    #[rustfmt::skip]
    let table = [
        ("a.png",    300,           "sendPhoto"),
        ("b.png",    11 << 20,      "sendDocument"),
        ("c.txt",    300,           "sendDocument"),
        ("d.OGG",    300,           "sendVoice"),
        ("e.mp3",    300,           "sendAudio"),
        ("f.mp4",    300,           "sendVideo"),
        ("g.gif",    300,           "sendAnimation"),
        ("h",        300,           "sendDocument"),
    ];
    for (name, size, method) in table {
        let path = folder.path().join(name);
        std::fs::write(&path, vec![7; size]).unwrap();
        let caption = "see *this*".to_owned();
        let item = Outbound::File { path, name: name.into(), caption, reply_to: Some("1".into()) };
        stage.send("5", &item).await.unwrap();
        let sent = stage.server.platform.sent(0).pop().unwrap();
        assert_eq!((sent.method.as_str(), sent.text.as_str()), (method, "see this"), "{name}");
        let file = sent.file.unwrap();
        assert_eq!((file.name.as_str(), file.size_bytes), (name, size));

        let reference = file.file_id;
        let name = name.to_owned();
        let kind = MediaKind::Document;
        let media = MediaRef { kind, reference, name, media_type: None, size_bytes: None };
        let mut chunks = stage.channel.fetch(&media).await.unwrap();
        let mut read = 0;
        while let Some(chunk) = chunks.next().await {
            read += chunk.unwrap().len();
        }
        assert_eq!(read, size);
    }
}

/// What Telegram refuses for its form goes out in a simpler one.
#[tokio::test]
async fn a_refused_form_is_not_a_refused_message() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, "x").unwrap();
        let caption = "a *b*".to_owned();
        Outbound::File { path, name: name.into(), caption, reply_to: None }
    };
    let edit = Outbound::Edit { platform_id: "1".into(), text: "c *d*".into(), buttons: vec![] };
    let entities = "Bad Request: can't parse entities: unsupported start tag";
    #[rustfmt::skip]
    let table = [
        (text("a *b*"),  "sendMessage",     entities,                                 "sendMessage",     "a *b*"),
        (edit,           "editMessageText", entities,                                 "sendMessage",     "c *d*"),
        (file("a.png"),  "sendPhoto",       entities,                                 "sendPhoto",       "a *b*"),
        (file("a.png"),  "sendPhoto",       "Bad Request: PHOTO_INVALID_DIMENSIONS",  "sendDocument",    "a b"),
        (file("a.png"),  "sendPhoto",       "Bad Request: IMAGE_PROCESS_FAILED",      "sendDocument",    "a b"),
        (file("a.ogg"),  "sendVoice",       "Bad Request: VOICE_MESSAGES_FORBIDDEN",  "sendDocument",    "a b"),
        (file("a.mp4"),  "sendVideo",       "Bad Request: wrong type of the web page content", "sendDocument", "a b"),
    ];
    let stage = Stage::new().await;
    let platform = &stage.server.platform;
    for (item, method, description, shown_as, shown) in table {
        let how = How::Refuse { code: 400, description: description.into() };
        platform.fault(Fault { method: method.into(), how, when: When::Next(1) });
        stage.send("5", &item).await.unwrap();
        let sent = platform.sent(0).pop().unwrap();
        assert_eq!((sent.method.as_str(), sent.text.as_str()), (shown_as, shown), "{description}");
        assert!(shown == "a b" || sent.entities.is_empty(), "{description}");
    }
    // What is refused for where it goes is not tried in another form.
    let how = How::Refuse { code: 400, description: "Bad Request: chat not found".into() };
    platform.fault(Fault { method: "sendPhoto".into(), how, when: When::Next(1) });
    let err = stage.send("5", &file("b.png")).await.unwrap_err();
    assert_eq!(err.retry, ngb_channels::Retry::Never);
    assert!(platform.calls("sendDocument").iter().all(|it| it.files[0].1 != "b.png"));
}

#[tokio::test]
async fn what_can_not_be_sent_or_fetched_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let big = folder.path().join("big");
    std::fs::File::create(&big).unwrap().set_len((50 << 20) + 1).unwrap();
    let empty = folder.path().join("empty");
    std::fs::write(&empty, "").unwrap();
    let file = |path: &std::path::Path, name: &str| Outbound::File {
        path: path.into(),
        name: name.into(),
        caption: String::new(),
        reply_to: None,
    };
    let long = Outbound::Text {
        text: "x".into(),
        reply_to: None,
        buttons: vec![button("Yes", &"y".repeat(65))],
    };
    let stage = Stage::new().await;
    stage.server.platform.block(6);
    #[rustfmt::skip]
    let table = [
        ("5",    file(&big, "big"),                      "larger than the 50 MB that Telegram takes"),
        ("5",    file(&empty, "empty"),                  "empty, which Telegram refuses"),
        ("5",    file(&folder.path().join("no"), "no"),  "could not read the file"),
        ("5",    long,                                   "not 1 to 64 bytes"),
        ("abc",  text("x"),                              "no chat of Telegram"),
        ("6",    text("x"),                              "bot was blocked by the user"),
        ("5",    text(&"x".repeat(4097)),                "message is too long"),
    ];
    for (to, item, needle) in table {
        let err = stage.send(to, &item).await.unwrap_err();
        let why = std::error::Error::source(&err).unwrap().to_string();
        assert!(why.contains(needle), "{why}");
        assert_eq!(err.retry, ngb_channels::Retry::Never);
        assert!(!err.maybe_done);
    }
    let media = MediaRef {
        kind: MediaKind::Video,
        reference: "f".into(),
        name: "film.mp4".into(),
        media_type: None,
        size_bytes: Some(21 << 20),
    };
    let Err(err) = stage.channel.fetch(&media).await else { panic!("too large") };
    let why = std::error::Error::source(&err).unwrap().to_string();
    assert!(why.contains("`film.mp4` is larger than the 20 MB"), "{why}");
}

#[tokio::test]
async fn a_group_that_moved_names_its_new_address() {
    let stage = Stage::new().await;
    stage.server.platform.migrate(-42, -1_001_000_000_042);
    let err = stage.send("-42", &text("x")).await.unwrap_err();
    assert_eq!(err.moved_to.unwrap().to_string(), "telegram@main:-1001000000042");
    assert!(!err.maybe_done);
}

#[tokio::test]
async fn privacy_mode_is_named() {
    for (reads_all, remarks) in [(true, 0), (false, 1)] {
        let config = Config { can_read_all_group_messages: reads_all, ..Config::default() };
        let server = Server::start(config).await.unwrap();
        let channel = channel(&server, &server.token, None);
        let answer = channel.ask(&Question::WhoAmI).await.unwrap();
        let Answer::Me { id, name, remarks: got } = answer else { panic!("{answer:?}") };
        assert_eq!((id.as_str(), name.as_str(), got.len()), ("123456", "nano_test_bot", remarks));
    }
}

#[tokio::test]
async fn reactions_go_both_ways() {
    let mut stage = Stage::new().await;
    let react = |emoji: &str| Outbound::React { platform_id: "3".into(), emoji: emoji.into() };
    stage.send("-7/4", &react("❤")).await.unwrap();
    let call = stage.server.platform.calls("setMessageReaction").pop().unwrap();
    let want =
        json!({"chat_id": -7, "message_id": 3, "reaction": [{"type": "emoji", "emoji": "❤"}]});
    assert_eq!(Value::Object(call.fields), want);
    // What was put there since stays.
    let unreact = |emoji: &str| Outbound::Unreact { platform_id: "3".into(), emoji: emoji.into() };
    for (emoji, calls) in [("👀", 1), ("❤", 1)] {
        stage.send("-7/4", &unreact(emoji)).await.unwrap();
        assert_eq!(stage.server.platform.calls("setMessageReaction").len(), calls, "{emoji}");
    }
    stage.send("-7/4", &react("👀")).await.unwrap();
    stage.send("-7/4", &unreact("👀")).await.unwrap();
    let call = stage.server.platform.calls("setMessageReaction").pop().unwrap();
    assert_eq!(call.fields["reaction"], json!([]));
    let err = stage.send("5", &react("🦤")).await.unwrap_err();
    assert_eq!(err.retry, ngb_channels::Retry::Never);

    let emoji = |it: &str| json!({"type": "emoji", "emoji": it});
    let custom = json!({"type": "custom_emoji", "custom_emoji_id": "5"});
    #[rustfmt::skip]
    let table = [
        (json!([]),                         json!([emoji("👍")]),           "[reacted with 👍]"),
        (json!([emoji("👍")]),              json!([emoji("👍"), custom]),   "[reacted with :custom:]"),
        (json!([emoji("👍"), emoji("🔥")]), json!([emoji("🔥")]),           "[took the reaction 👍 away]"),
        (json!([{"type": "paid"}]),         json!(17),                      "[took the reaction :paid: away]"),
        (json!(null),                       json!(null),                    "[took the reaction away]"),
    ];
    for (old, new, want) in table {
        let update = json!({"message_reaction": {
            "chat": {"id": -7, "type": "supergroup", "title": "T"}, "message_id": 9, "date": 1_700_000_000,
            "user": {"id": 5, "is_bot": false, "first_name": "Ada"}, "old_reaction": old, "new_reaction": new,
        }});
        stage.server.platform.push_raw(vec![update]);
        let got = stage.take(1).await.remove(0);
        assert_eq!((got.sender.id.as_str(), got.sender.name.as_str()), ("5", "Ada"));
        assert_eq!(got.place.to_string(), "telegram@main:-7");
        let Happening::Reacted(it) = got.what else { panic!("{:?}", got.what) };
        assert_eq!((it.text.as_str(), it.reply_to.as_deref()), (want, Some("9")));
    }
    // Without a message there is nothing that it could be about.
    let update =
        json!({"message_reaction": {"chat": {"id": 5, "type": "private"}, "new_reaction": []}});
    stage.server.platform.push_raw(vec![update]);
    assert!(matches!(stage.take(1).await[0].what, Happening::Unknown { .. }));
}
