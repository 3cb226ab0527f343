//! What we send, and what Slack is given.

use futures_util::TryStreamExt as _;
use ngb_channels::{Answer, Channel as _, Question, Retry};
use ngb_core::message::{Button, Happening, MediaKind, MediaRef, Outbound, Sent};
use ngb_sim::fault::{Fault, How, When};
use serde_json::json;

use crate::stage::{Stage, place, text};

#[tokio::test]
async fn texts_go_where_they_belong() {
    let stage = Stage::new().await;
    let thread = "1700000000.000100";
    let reply =
        |to: &str| Outbound::Text { text: "x".into(), reply_to: Some(to.into()), buttons: vec![] };
    #[rustfmt::skip]
    let table = [
        ("C1".to_owned(),           text("**b** & <@U1> <!here>"), "*b* &amp; <@U1> &lt;!here&gt;", None),
        (format!("C1/{thread}"),    text("x"),                     "x",                             Some(thread)),
        ("C1".to_owned(),           reply(thread),                 "x",                             Some(thread)),
        // A command has no message that could be answered.
        ("C1".to_owned(),           reply("command:t.1"),          "x",                             None),
        (format!("C1/{thread}"),    reply("1700000000.000900"),    "x",                             Some(thread)),
        ("D1".to_owned(),           text("proactive"),             "proactive",                     None),
    ];
    for (at, (to, item, want, thread)) in table.into_iter().enumerate() {
        let sent = stage.send(&to, &item).await.unwrap();
        let posted = stage.platform.posted().swap_remove(at);
        assert_eq!(sent.platform_id.as_deref(), Some(posted.ts.as_str()));
        assert_eq!((posted.text.as_str(), posted.thread_ts.as_deref()), (want, thread), "{to}");
    }
}

#[tokio::test]
async fn buttons_come_and_go() {
    let stage = Stage::new().await;
    let button = |label: &str, value: &str| Button { label: label.into(), value: value.into() };
    let buttons = vec![button(&"y".repeat(100), "7:yes"), button("No", "7:no")];
    let item = Outbound::Text { text: "&".repeat(4000), reply_to: None, buttons };
    let sent = stage.send("C1", &item).await.unwrap();
    let blocks = stage.platform.posted()[0].blocks.clone();
    let rows = blocks.as_array().unwrap();
    assert_eq!(rows.last().unwrap()["elements"][0]["value"], "7:yes");
    let parts = rows[..rows.len() - 1].iter().map(|it| it["text"]["text"].as_str().unwrap());
    assert_eq!(parts.collect::<String>(), "&amp;".repeat(4000), "nothing is cut");
    let platform_id = sent.platform_id.unwrap();
    let edit = Outbound::Edit { platform_id, text: "Yes, said Ada".into(), buttons: vec![] };
    stage.send("C1", &edit).await.unwrap();
    let posted = stage.platform.posted().remove(0);
    assert_eq!(
        (posted.text.as_str(), posted.blocks, posted.edits),
        ("Yes, said Ada", json!([]), 1)
    );
    let long = Outbound::Text {
        text: "x".into(),
        reply_to: None,
        buttons: vec![button("x", &"v".repeat(65))],
    };
    let err = stage.send("C1", &long).await.unwrap_err();
    assert!(format!("{:#}", anyhow::Error::from(err)).contains("is not 1 to 64 bytes"));
}

#[tokio::test]
async fn files_go_out_and_come_back() {
    let stage = Stage::new().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.png");
    std::fs::write(&path, b"picture").unwrap();
    let file =
        Outbound::File { path, name: "a.png".into(), caption: "*see*".into(), reply_to: None };
    assert_eq!(stage.send("C1/1700000000.000100", &file).await.unwrap(), Sent::default());
    let posted = stage.platform.posted().remove(0);
    let (id, title) = posted.file.unwrap();
    assert_eq!((title.as_str(), posted.text.as_str()), ("a.png", "_see_"));
    assert_eq!(posted.thread_ts.as_deref(), Some("1700000000.000100"));
    assert_eq!(stage.platform.file(&id).unwrap(), "picture");

    let media = |reference: &str| MediaRef {
        kind: MediaKind::Photo,
        reference: reference.into(),
        name: "a.png".into(),
        media_type: None,
        size_bytes: None,
    };
    let chunks: Vec<_> =
        stage.channel.fetch(&media(&id)).await.unwrap().try_collect().await.unwrap();
    assert_eq!(chunks.concat(), b"picture");
    let why = |err| format!("{:#}", anyhow::Error::from(err));
    let err = stage.channel.fetch(&media("F404")).await.err().unwrap();
    assert!(why(err).contains("Slack said `file_not_found`"));
    stage.platform.show_login_page();
    let err = stage.channel.fetch(&media(&id)).await.err().unwrap();
    assert!(why(err).contains("the scope `files:read`"));
}

#[tokio::test]
async fn something_is_seen_while_the_agent_works() {
    let mut stage = Stage::new().await;
    let ts = stage.platform.say("D1", "U1", "hi");
    stage.take(1).await;
    stage.platform.wait(|it| it.pending == 0).await;
    for _ in 0..2 {
        stage.send("D1", &Outbound::Typing).await.unwrap();
    }
    assert_eq!(stage.platform.reactions(), [("D1".into(), ts, "eyes".into())]);
    assert_eq!(stage.platform.calls("reactions.add").len(), 1, "once a message");
    stage.send("D1", &text("there")).await.unwrap();
    assert!(stage.platform.reactions().is_empty(), "the answer is there");
    // In a thread Slack has a word for it.
    stage.send("C1/1700000000.000100", &Outbound::Typing).await.unwrap();
    assert_eq!(stage.platform.calls("assistant.threads.setStatus").len(), 1);
    // Where it has none, nothing is said.
    stage.send("C2", &Outbound::Typing).await.unwrap();
    assert_eq!(stage.platform.calls("reactions.add").len(), 1);
}

#[tokio::test]
async fn a_send_in_doubt_is_found_by_its_key() {
    let stage = Stage::new().await;
    let fault =
        Fault { method: "chat.postMessage".into(), how: How::CutAfter, when: When::Next(1) };
    stage.platform.fault(fault);
    let err = stage.send("C1", &text("x")).await.unwrap_err();
    assert!(err.maybe_done);
    let asked = |key: &str| Question::WasSent { key: key.into(), to: place("C1") };
    let ts = stage.platform.posted()[0].ts.clone();
    let found = stage.channel.ask(&asked("k-1")).await.unwrap();
    assert_eq!(found, Answer::Sent(Some(Sent { platform_id: Some(ts) })));
    assert_eq!(stage.channel.ask(&asked("k-2")).await.unwrap(), Answer::Sent(None));
}

#[tokio::test]
async fn who_am_i() {
    let stage = Stage::new().await;
    let me = stage.channel.ask(&Question::WhoAmI).await.unwrap();
    assert_eq!(me, Answer::Me { id: "U0BOT".into(), name: "nano".into(), remarks: vec![] });
    stage.platform.refuse("apps.connections.open", "missing_scope");
    let Answer::Me { remarks, .. } = stage.channel.ask(&Question::WhoAmI).await.unwrap() else {
        panic!("me")
    };
    assert!(remarks[0].contains("missing_scope"), "{remarks:?}");
}

#[tokio::test]
async fn reactions_go_both_ways() {
    let mut stage = Stage::new().await;
    let ts = "1700000000.000100";
    let react = |emoji: &str| Outbound::React { platform_id: ts.into(), emoji: emoji.into() };
    for _ in 0..2 {
        stage.send("C1/1700000000.000001", &react("👍")).await.unwrap();
    }
    assert_eq!(stage.platform.reactions(), [("C1".into(), ts.into(), "+1".into())]);
    let unreact = Outbound::Unreact { platform_id: ts.into(), emoji: "👍".into() };
    for _ in 0..2 {
        stage.send("C1/1700000000.000001", &unreact).await.unwrap();
        assert!(stage.platform.reactions().is_empty());
    }
    assert_eq!(stage.send("C1", &react("🦤")).await.unwrap_err().retry, Retry::Never);

    let item = json!({"type": "message", "channel": "C1", "ts": ts});
    #[rustfmt::skip]
    let table = [
        ("reaction_added",   "thumbsup::skin-tone-3", "[reacted with 👍]"),
        ("reaction_added",   "parrot",                "[reacted with :parrot:]"),
        ("reaction_removed", "heart",                 "[took the reaction ❤ away]"),
    ];
    for (kind, reaction, want) in table {
        // Our own sign is nobody's news.
        let event = json!({"type": kind, "user": "U1", "reaction": reaction, "item": item, "event_ts": "1700000009.5"});
        let mut ours = event.clone();
        ours["user"] = ngb_sim::slack::BOT_USER.into();
        stage.platform.event(ours);
        stage.platform.event(event);
        let got = stage.take(1).await.remove(0);
        assert_eq!(
            (got.place.to_string().as_str(), got.sender.id.as_str()),
            ("slack@main:C1", "U1")
        );
        let Happening::Reacted(it) = got.what else { panic!("{:?}", got.what) };
        assert_eq!((it.text.as_str(), it.reply_to.as_deref()), (want, Some(ts)));
    }
    stage.platform.wait(|it| it.pending == 0).await;
}
