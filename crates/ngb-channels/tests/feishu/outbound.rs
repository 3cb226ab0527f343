//! What we send, and what Feishu is given.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use ngb_channels::{Answer, Channel as _, Question, Retry};
use ngb_core::message::{Button, Happening, MediaKind, MediaRef, Outbound};
use ngb_sim::{
    fault::{Fault, How, When},
    feishu::BOT,
};
use serde_json::json;

use crate::stage::{Stage, text};

fn why(err: ngb_channels::ChannelError) -> String {
    format!("{:#}", anyhow::Error::from(err))
}

#[tokio::test]
async fn texts_go_where_they_belong() {
    let stage = Stage::new().await;
    let reply =
        |to: &str| Outbound::Text { text: "x".into(), reply_to: Some(to.into()), buttons: vec![] };
    stage.platform.withdraw("om_gone");
    #[rustfmt::skip]
    let table = [
        ("oc_1",         text("# T\n\n**b** <at id=all></at>"), "# T\n\n**b** <\u{200b}at id=all></at>", "chat_id",  None,           false),
        ("ou_1",         text("proactive"),                     "proactive",                          "open_id",  None,           false),
        ("on_1",         text("x"),                             "x",                                  "union_id", None,           false),
        ("ann@a.com",    text("x"),                             "x",                                  "email",    None,           false),
        ("4d7a3c6g",     text("x"),                             "x",                                  "user_id",  None,           false),
        ("oc_1",         reply("om_5"),                         "x",                                  "",         Some("om_5"),   false),
        ("oc_1/om_root", reply("om_5"),                         "x",                                  "",         Some("om_root"), true),
        // What is answered may be gone meanwhile.
        ("oc_1",         reply("om_gone"),                      "x",                                  "chat_id",  None,           false),
    ];
    for (at, (to, item, want, kind, reply_to, in_thread)) in table.into_iter().enumerate() {
        let sent = stage.send_as(to, &item, &format!("k-{at}")).await.unwrap();
        let posted = stage.platform.posted().swap_remove(at);
        assert_eq!(sent.platform_id.as_deref(), Some(posted.id.as_str()));
        assert_eq!((posted.text(), posted.kind.as_str()), (want, "interactive"), "{to}");
        assert_eq!((posted.to_kind.as_str(), posted.reply_to.as_deref()), (kind, reply_to), "{to}");
        assert_eq!(posted.in_thread, in_thread, "{to}");
    }
}

#[tokio::test]
async fn the_same_key_is_sent_once() {
    for how in [How::CutAfter, How::HalfBody, How::CutBefore, How::Status { code: 502 }] {
        let stage = Stage::new().await;
        stage.platform.fault(Fault {
            method: "send*".into(),
            how: how.clone(),
            when: When::Next(1),
        });
        let err = stage.send("oc_1", &text("x")).await.unwrap_err();
        assert_eq!((err.retry, err.maybe_done), (Retry::Backoff, true), "{how:?}");
        let sent = stage.send("oc_1", &text("x")).await.unwrap();
        let posted = stage.platform.posted();
        assert_eq!((posted.len(), sent.platform_id.as_deref()), (1, Some(posted[0].id.as_str())));
    }
}

#[tokio::test]
async fn an_answer_grows_in_one_card_and_by_edits_where_that_may_not_be() {
    for (refused, card) in [(false, true), (true, false)] {
        let stage = Stage::new().await;
        if refused {
            stage.platform.refuse("makeCard", 99_991_672);
        }
        let sent = stage.deliver("oc_1", &text("a"), "k-1", true).await.unwrap();
        let id = sent.platform_id.unwrap();
        let edit = |text: &str| Outbound::Edit {
            platform_id: id.clone(),
            text: text.into(),
            buttons: vec![],
        };
        stage.deliver("oc_1", &edit("a b"), "", true).await.unwrap();
        let posted = stage.platform.posted().remove(0);
        assert_eq!((posted.text(), posted.card.is_some(), posted.edits), ("a b", card, 1));
        stage.deliver("oc_1", &edit("a b c"), "k-2", false).await.unwrap();
        let posted = stage.platform.posted();
        assert_eq!((posted.len(), posted[0].text(), posted[0].edits), (1, "a b c", 2));
        assert_ne!(posted[0].content["config"]["streaming_mode"], true, "it is over");
        // What comes later is an ordinary edit.
        stage.deliver("oc_1", &edit("d"), "k-3", false).await.unwrap();
        assert_eq!(stage.platform.posted()[0].text(), "d");
    }
}

#[tokio::test]
async fn buttons_come_and_go_and_a_card_that_is_refused_is_text() {
    let stage = Stage::new().await;
    let button = |label: &str, value: &str| Button { label: label.into(), value: value.into() };
    let buttons = vec![button("Yes", "7:yes"), button("No", "7:no")];
    let item = Outbound::Text { text: "which?".into(), reply_to: None, buttons };
    let sent = stage.send("oc_1", &item).await.unwrap();
    let elements = stage.platform.posted()[0].content["body"]["elements"].clone();
    assert_eq!(elements[1]["behaviors"][0]["value"]["v"], "7:yes");
    let platform_id = sent.platform_id.unwrap();
    let edit = Outbound::Edit { platform_id, text: "Yes, said Ann".into(), buttons: vec![] };
    stage.send("oc_1", &edit).await.unwrap();
    let posted = stage.platform.posted().remove(0);
    assert_eq!(posted.content["body"]["elements"].as_array().unwrap().len(), 1);
    let long = Outbound::Text {
        text: "x".into(),
        reply_to: None,
        buttons: vec![button("x", &"v".repeat(65))],
    };
    assert!(why(stage.send("oc_1", &long).await.unwrap_err()).contains("is not 1 to 64 bytes"));
    let stage = Stage::new().await;
    stage.send("oc_1", &text(&"😀\"".repeat(8_000))).await.unwrap();
    assert_eq!(stage.platform.posted()[0].kind, "text", "too long for a card");
}

#[tokio::test]
async fn files_go_out_and_come_back() {
    let stage = Stage::new().await;
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, size: u64| {
        let path = dir.path().join(name);
        std::fs::File::create(&path).unwrap().set_len(size).unwrap();
        Outbound::File { path, name: name.into(), caption: "**see**".into(), reply_to: None }
    };
    #[rustfmt::skip]
    let table = [("a.png", "post"), ("a.pdf", "file"), ("a.opus", "audio"), ("a.mp4", "media")];
    for (at, (name, kind)) in table.into_iter().enumerate() {
        stage.send_as("oc_1/om_root", &file(name, 7), &format!("k-{at}")).await.unwrap();
        let posted = stage.platform.posted();
        let posted = posted.iter().find(|it| it.uuid == Some(format!("k-{at}"))).unwrap();
        assert_eq!((posted.kind.as_str(), posted.reply_to.as_deref()), (kind, Some("om_root")));
    }
    let words = stage.platform.posted().iter().filter(|it| it.text() == "**see**").count();
    assert_eq!(words, 3, "beside each file but the picture");
    let err = stage.send("oc_1", &file("b.bin", (30 << 20) + 1)).await.unwrap_err();
    assert!(why(err).contains("no file of 1 byte to 30 MB"));

    let key = stage.platform.add_file("in.png", "a picture");
    let media = |key: &str| MediaRef {
        kind: MediaKind::Photo,
        reference: format!("om_1/image/{key}"),
        name: "in.png".into(),
        media_type: None,
        size_bytes: None,
    };
    let chunks: Vec<_> =
        stage.channel.fetch(&media(&key)).await.unwrap().try_collect().await.unwrap();
    assert_eq!(chunks.concat(), b"a picture");
    let err = stage.channel.fetch(&media("nothing")).await.err().unwrap();
    assert_eq!(err.retry, Retry::Never);
}

#[tokio::test]
async fn something_is_seen_while_the_agent_works() {
    let mut stage = Stage::new().await;
    let id = stage.platform.say("oc_p1", "ou_1", "hi");
    stage.take(1).await;
    stage.platform.wait(|it| it.pending == 0).await;
    for _ in 0..2 {
        stage.send("oc_p1", &Outbound::Typing).await.unwrap();
    }
    assert_eq!(stage.platform.reactions(), [id]);
    stage.send("oc_p1", &text("there")).await.unwrap();
    assert!(stage.platform.reactions().is_empty(), "the answer is there");
}

#[tokio::test]
async fn a_token_is_renewed_once_by_one_flight() {
    let stage = Stage::new().await;
    assert_eq!(stage.platform.figures().tokens, 1);
    stage.platform.end_token();
    let sends = (0..8).map(|at| {
        let stage = &stage;
        async move { stage.send_as("oc_1", &text("x"), &format!("k-{at}")).await }
    });
    for sent in futures_util::future::join_all(sends).await {
        sent.unwrap();
    }
    assert_eq!((stage.platform.figures().tokens, stage.platform.posted().len()), (2, 8));
}

#[tokio::test]
async fn a_refused_send_says_what_to_do() {
    #[rustfmt::skip]
    let table = [
        (230_002,    Retry::Never,   "the bot is not in that chat"),
        (230_013,    Retry::Never,   "availability (可用范围)"),
        (230_020,    Retry::Backoff, "five a second"),
        (99_991_672, Retry::Never,   "Permissions & Scopes (权限管理)"),
        (999_999,    Retry::Never,   "Feishu said 999999"),
    ];
    for (code, retry, want) in table {
        let stage = Stage::new().await;
        stage.platform.refuse("sendMessage", code);
        let err = stage.send("oc_1", &text("x")).await.unwrap_err();
        assert_eq!((err.retry, err.maybe_done), (retry, false), "{code}");
        let told = why(err);
        assert!(
            told.contains(want) && !told.contains("SECRET") && !told.contains("http:"),
            "{told}"
        );
    }
    let stage = Stage::new().await;
    let how = How::TooManyRequests { retry_after_s: 7 };
    stage.platform.fault(Fault { method: "sendMessage".into(), how, when: When::Next(1) });
    let err = stage.send("oc_1", &text("x")).await.unwrap_err();
    assert_eq!((err.retry, err.maybe_done), (Retry::After(Duration::from_secs(7)), false));
}

#[tokio::test]
async fn who_am_i() {
    let stage = Stage::new().await;
    let me = stage.channel.ask(&Question::WhoAmI).await.unwrap();
    assert_eq!(me, Answer::Me { id: BOT.into(), name: "nano".into(), remarks: vec![] });
    stage.platform.refuse("endpoint", 403);
    let Answer::Me { remarks, .. } = stage.channel.ask(&Question::WhoAmI).await.unwrap() else {
        panic!("me")
    };
    assert!(remarks[0].contains("使用长连接接收事件"), "{remarks:?}");
}

#[tokio::test]
async fn reactions_go_both_ways() {
    let mut stage = Stage::new().await;
    let id = stage.platform.say("oc_g1", "ou_1", "hi");
    stage.take(1).await;
    let react = |emoji: &str| Outbound::React { platform_id: id.clone(), emoji: emoji.into() };
    stage.send("oc_g1", &react("👍")).await.unwrap();
    let call = stage.platform.calls("react").pop().unwrap();
    assert_eq!(call["reaction_type"]["emoji_type"], "THUMBSUP");
    assert_eq!(stage.platform.reactions(), std::slice::from_ref(&id));
    let unreact = Outbound::Unreact { platform_id: id.clone(), emoji: "👍".into() };
    for _ in 0..2 {
        stage.send("oc_g1", &unreact).await.unwrap();
        assert!(stage.platform.reactions().is_empty());
    }
    assert_eq!(stage.send("oc_g1", &react("🦤")).await.unwrap_err().retry, Retry::Never);

    let event = |of: &str, by: &str| {
        json!({"message_id": of, "reaction_type": {"emoji_type": "HEART"}, "operator_type": by,
            "user_id": {"open_id": "ou_1"}, "action_time": "1700000009000"})
    };
    // Feishu names no chat: it is that of the message.
    let kinds = [("created", "[reacted with ❤]"), ("deleted", "[took the reaction ❤ away]")];
    for (kind, want) in kinds {
        let kind = format!("im.message.reaction.{kind}_v1");
        stage.platform.event(&kind, event(&id, "app"));
        stage.platform.event(&kind, event(&id, "user"));
        let got = stage.take(1).await.remove(0);
        assert_eq!((got.place.jid.chat(), got.sender.id.as_str()), ("oc_g1", "ou_1"));
        let Happening::Reacted(it) = got.what else { panic!("{:?}", got.what) };
        assert_eq!((it.text.as_str(), it.reply_to.as_deref()), (want, Some(id.as_str())));
    }
    stage.platform.event("im.message.reaction.created_v1", event("om_gone", "user"));
    assert_eq!(stage.take(1).await[0].place.jid.chat(), "0");
    stage.platform.wait(|it| it.pending == 0).await;
}
