//! What we say: segments, files, codes.

use futures_util::TryStreamExt as _;
use ngb_channels::{Answer, Channel as _, Question, Retry};
use ngb_core::message::{Addressed, Happening, MediaRef, Outbound};
use ngb_sim::{
    fault::{Fault, How, When},
    qq::Config,
};
use serde_json::{Value, json};

use crate::{forward, said, text};

#[tokio::test]
async fn texts_are_segments_and_nothing_an_agent_writes_is_a_code() {
    let (_server, account, mut ours) = forward(Config::default()).await;
    let sent = ours.send("group_42", &text("**hi** @20001 [CQ:at,qq=all]")).await.unwrap();
    let reply =
        Outbound::Text { text: "a".into(), reply_to: Some("-7".into()), buttons: Vec::new() };
    ours.send("private_20001", &reply).await.unwrap();
    ours.send("private_20001", &Outbound::Typing).await.unwrap();
    ours.send("group_42", &Outbound::Typing).await.unwrap();
    let calls = account.calls();
    let want = [
        (
            "send_group_msg",
            json!({"group_id": 42, "message": [
                {"type": "text", "data": {"text": "hi "}}, {"type": "at", "data": {"qq": "20001"}},
                {"type": "text", "data": {"text": " [CQ:at,qq=all]"}},
            ]}),
        ),
        (
            "send_private_msg",
            json!({"user_id": 20001, "message": [
                {"type": "reply", "data": {"id": "-7"}}, {"type": "text", "data": {"text": "a"}},
            ]}),
        ),
        ("set_input_status", json!({"user_id": "20001", "event_type": 1})),
    ];
    let got: Vec<(&str, Value)> =
        calls.iter().map(|it| (it.action.as_str(), it.params.clone())).collect();
    assert_eq!(got, want);

    // An answer to a message of ours is meant for us.
    let id = sent.platform_id.unwrap();
    let message =
        json!([{"type": "reply", "data": {"id": id}}, {"type": "text", "data": {"text": "and?"}}]);
    account.says(20_001, Some(42), &message);
    let Happening::Message(it) = ours.hear().await else { panic!("no message") };
    assert_eq!(it.addressed, Addressed::Reply);

    for bad in ["42", "group_x"] {
        let err = ours.send(bad, &text("x")).await.unwrap_err();
        assert_eq!(err.retry, Retry::Never);
    }
    let who = ours.channel.ask(&Question::WhoAmI).await.unwrap();
    assert_eq!(who, Answer::Me { id: "10000".into(), name: "Nano".into(), remarks: Vec::new() });
}

#[tokio::test]
async fn files_both_ways() {
    let (_server, account, mut ours) = forward(Config::default()).await;
    let url = account.keep("p.jpg", "what it shows");
    account.says(20_001, None, &json!([{"type": "image", "data": {"file": "p.jpg", "url": url}}]));
    let Happening::Message(message) = ours.hear().await else { panic!("no message") };
    let reference = |it: Value| MediaRef { reference: it.to_string(), ..message.media[0].clone() };
    // Its address may have expired: then it is asked for by its name.
    let expired = url.replace("p.jpg", "expired");
    for media in [
        message.media[0].clone(),
        reference(json!({"kind": "image", "url": expired, "file": "p.jpg"})),
        reference(json!({"kind": "file", "file": "p.jpg"})),
    ] {
        let stream = ours.channel.fetch(&media).await.unwrap();
        let got: Vec<_> = stream.try_collect().await.unwrap();
        assert_eq!(got.concat(), b"what it shows");
    }
    for (it, want) in [
        (json!({"kind": "file", "file": "gone"}), "on its own disk"),
        (json!({"kind": "image", "url": "https://127.0.0.1/x"}), "no public name"),
        (json!({"kind": "image", "url": "http://169.254.169.254/latest"}), "not encrypted"),
        (json!({}), "no address"),
    ] {
        let Err(err) = ours.channel.fetch(&reference(it)).await else { panic!("{want}") };
        let err = format!("{:#}", anyhow::Error::from(err));
        assert!(err.contains(want), "{err}");
    }

    let dir = tempfile::tempdir().unwrap();
    for name in ["p.png", "a.pdf", "v.mp3"] {
        let path = dir.path().join(name);
        std::fs::write(&path, "xyz").unwrap();
        let file =
            Outbound::File { path, name: name.into(), caption: "see".into(), reply_to: None };
        ours.send("group_42", &file).await.unwrap();
    }
    let bytes = "base64://eHl6";
    let sent: Vec<Value> = account.sent().into_iter().map(|it| it.params).collect();
    let words = json!([{"type": "text", "data": {"text": "see"}}]);
    assert_eq!(sent[0]["message"], json!([words[0], {"type": "image", "data": {"file": bytes}}]));
    assert_eq!(
        (&sent[1]["message"], &sent[2]),
        (&words, &json!({"group_id": 42, "file": bytes, "name": "a.pdf"}))
    );
    assert_eq!((&sent[3]["message"], &sent[4]["message"][0]["type"]), (&words, &json!("record")));
}

#[tokio::test]
async fn each_fault_says_what_next() {
    let (_server, account, ours) = forward(Config::default()).await;
    let refuse = |code, words: &str| How::Refuse { code, description: words.into() };
    #[rustfmt::skip]
    let table = [
        (How::TooManyRequests { retry_after_s: 1 }, Retry::Backoff, false, false),
        (How::Status { code: 500 },                 Retry::Backoff, true,  false),
        (refuse(1_400, "bad"),                      Retry::Never,   false, false),
        (refuse(1_404, "unknown"),                  Retry::Never,   false, false),
        (How::CutBefore,                            Retry::Backoff, true,  false),
        (How::CutAfter,                             Retry::Backoff, true,  true),
    ];
    for (how, retry, maybe_done, done) in table {
        let before = account.sent().len();
        let method = "send_group_msg".into();
        account.fault(Fault { method, how: how.clone(), when: When::Next(1) });
        let err = ours.send("group_42", &text("x")).await.unwrap_err();
        assert_eq!((err.retry, err.maybe_done), (retry, maybe_done), "{how:?}: {err:?}");
        assert!(!format!("{err:?}").contains("token-of"), "{err:?}");
        assert_eq!(before < account.sent().len(), done, "{how:?}");
    }
    // It is connected again by itself.
    ours.send("group_42", &text("x")).await.unwrap();
    account.until_calls(|it| it.len() == 2).await;
    drop(said("x"));
}

#[tokio::test]
async fn reactions_go_both_ways() {
    let (_server, account, mut ours) = forward(Config::default()).await;
    let react = |emoji: &str| Outbound::React { platform_id: "-7".into(), emoji: emoji.into() };
    ours.send("group_42", &react("👍")).await.unwrap();
    let call = account.calls().pop().unwrap();
    assert_eq!(call.action, "set_msg_emoji_like");
    assert_eq!(call.params, json!({"message_id": "-7", "emoji_id": "128077", "set": true}));
    let unreact = Outbound::Unreact { platform_id: "-7".into(), emoji: "👍".into() };
    ours.send("group_42", &unreact).await.unwrap();
    let call = account.calls().pop().unwrap();
    assert_eq!(call.params, json!({"message_id": "-7", "emoji_id": "128077", "set": false}));
    let err = ours.send("private_20001", &react("👍")).await.unwrap_err();
    assert_eq!(err.retry, Retry::Never);

    #[rustfmt::skip]
    let table = [
        (json!([{"emoji_id": "128077", "count": 1}]), json!(true),  "[reacted with 👍]"),
        (json!([{"emoji_id": 76, "count": 1}]),       json!(null),  "[reacted with face 76]"),
        (json!([{"emoji_id": "128293"}]),             json!(false), "[took the reaction 🔥 away]"),
    ];
    for (likes, is_add, want) in table {
        let event = json!({
            "post_type": "notice", "notice_type": "group_msg_emoji_like", "group_id": 42, "user_id": 20_001,
            "message_id": -7, "likes": likes, "is_add": is_add,
        });
        let mut own = event.clone();
        own["user_id"] = 10_000.into();
        account.event(&own);
        account.event(&event);
        let Happening::Reacted(it) = ours.hear().await else { panic!("no reaction") };
        assert_eq!((it.text.as_str(), it.reply_to.as_deref()), (want, Some("-7")));
    }
}
