//! The AI bot on its long connection: streams, messages, files, and who takes over.

use futures_util::TryStreamExt as _;
use ngb_channels::{
    Accepted, Channel as _, Delivery, NotAccepted, Retry, supervise::ChannelState, wecom::Mode,
};
use ngb_core::{
    address::Place,
    message::{Addressed, Button, Happening, MediaRef, Outbound, Sent},
    secret::Secret,
};
use ngb_sim::wecom::{Fault, How, When};
use serde_json::{Value, json};

use crate::{Stage, accept, text};

async fn stage() -> Stage {
    let stage = Stage::bot(|mode| mode).await;
    stage.server.company.until_bot(true).await;
    stage
}

fn said(text: &str) -> Value {
    json!({"msgtype": "text", "text": {"content": text}})
}

/// Somebody writes, and it is stored; the message, and the callback's id.
async fn hear(
    stage: &mut Stage,
    user: &str,
    chat: Option<&str>,
    content: &Value,
) -> (Happening, String) {
    let request = stage.server.company.says(user, chat, content);
    let offer = stage.offers.recv().await.unwrap();
    let what = offer.events[0].what.clone();
    accept(offer);
    (what, request)
}

async fn deliver(stage: &Stage, to: &str, item: &Outbound, key: &str, live: bool) -> Sent {
    let to = Place { jid: format!("wecom@main:{to}").parse().unwrap(), thread: None };
    stage.channel.send(&Delivery { to: &to, item, key, live }).await.unwrap()
}

fn edit(platform_id: &str, text: &str) -> Outbound {
    Outbound::Edit { platform_id: platform_id.into(), text: text.into(), buttons: Vec::new() }
}

#[tokio::test]
async fn an_answer_is_one_stream_from_the_first_sign_to_the_last_word() {
    let mut stage = stage().await;
    let (what, request) = hear(&mut stage, "ann", None, &said("hi")).await;
    let Happening::Message(message) = what else { panic!("{what:?}") };
    assert_eq!((message.text.as_str(), message.addressed), ("hi", Addressed::Direct));

    for _ in 0..2 {
        deliver(&stage, "ann", &Outbound::Typing, "", true).await;
    }
    let sent = deliver(&stage, "ann", &text("**Let me"), "ngb-1", true).await;
    let id = sent.platform_id.unwrap();
    let company = &stage.server.company;
    assert_eq!((company.streams()[0].frames, company.streams()[0].finished), (2, false));
    deliver(&stage, "ann", &edit(&id, "**Let me see"), "", true).await;
    let last = deliver(&stage, "ann", &edit(&id, "**Let me see**: 1"), "ngb-2", false).await;
    assert_eq!(last.platform_id.as_deref(), Some(id.as_str()));
    // An edit that was on its way when the last word was said changes nothing.
    deliver(&stage, "ann", &edit(&id, "**Let me see"), "", true).await;
    let streams = company.streams();
    assert_eq!(streams.len(), 1, "{streams:?}");
    assert_eq!((streams[0].request.as_str(), streams[0].frames), (request.as_str(), 4));
    assert_eq!((streams[0].content.as_str(), streams[0].finished), ("**Let me see**: 1", true));
    assert!(company.sent().is_empty());

    // What comes after it answers nothing, so it is a message.
    deliver(&stage, "ann", &text("and 2"), "ngb-3", false).await;
    let want = json!({"chatid": "ann", "msgtype": "markdown", "markdown": {"content": "and 2"}});
    assert_eq!(company.sent(), [want]);
}

#[tokio::test]
async fn what_may_have_arrived_is_the_same_stream_again() {
    let mut stage = stage().await;
    hear(&mut stage, "ann", Some("wr-group"), &said("@Nano hi")).await;
    let to = Place { jid: "wecom@main:wr-group".parse().unwrap(), thread: None };
    let company = stage.server.company.clone();
    for how in [How::CutAfter, How::CutBefore] {
        let method = "aibot_respond_msg".into();
        company.fault(Fault { method, how, when: When::Next(1) });
        let item = text("hello");
        let delivery = Delivery { to: &to, item: &item, key: "ngb-1", live: false };
        let err = stage.channel.send(&delivery).await.unwrap_err();
        assert_eq!((err.retry, err.maybe_done), (Retry::Backoff, true), "{err:?}");
    }
    deliver(&stage, "wr-group", &text("hello"), "ngb-1", false).await;
    assert_eq!((company.streams().len(), company.sent().len()), (1, 0));
}

#[tokio::test]
async fn what_no_stream_can_take_is_a_message_of_its_own() {
    let mut stage = stage().await;
    let company = stage.server.company.clone();
    // Nobody asked: what could not be edited later is not shown before it is whole.
    assert_eq!(deliver(&stage, "ann", &text("so f"), "ngb-1", true).await, Sent::default());
    assert!(company.sent().is_empty());
    deliver(&stage, "ann", &text("so far"), "ngb-2", false).await;

    hear(&mut stage, "ann", None, &said("hi")).await;
    let sent = deliver(&stage, "ann", &text("be"), "ngb-3", true).await;
    company.expire_streams();
    deliver(&stage, "ann", &edit(&sent.platform_id.unwrap(), "begun"), "ngb-4", false).await;
    // A stream of another life of this process, whose callback nobody knows any more.
    deliver(&stage, "bob", &edit("stream:req-old", "late"), "ngb-5", false).await;
    let contents: Vec<String> = company
        .sent()
        .iter()
        .map(|it| format!("{}: {}", it["chatid"], it["markdown"]["content"]))
        .collect();
    assert_eq!(contents, ["\"ann\": \"so far\"", "\"ann\": \"begun\"", "\"bob\": \"late\""]);
}

#[tokio::test]
async fn a_question_is_a_card_and_a_press_shows_what_was_chosen() {
    let mut stage = stage().await;
    let company = stage.server.company.clone();
    let question = |text: &str| {
        let button = |(n, label): (usize, &&str)| Button {
            label: (*label).to_owned(),
            value: format!("q:{n}"),
        };
        let buttons = ["Yes", "No"].iter().enumerate().map(button).collect();
        Outbound::Text { text: text.into(), reply_to: None, buttons }
    };
    for (to, group, key) in [("ann", None, "ngb-1"), ("wr-group", Some("wr-group"), "ngb-2")] {
        let sent = deliver(&stage, to, &question("Really?"), key, false).await;
        let id = sent.platform_id.unwrap();
        let task = id.strip_prefix("card:").unwrap().to_owned();
        assert_eq!(company.cards()[&task]["sub_title_text"], "Really?");
        company.presses("ann", group, &task, "q:1");
        let offer = stage.offers.recv().await.unwrap();
        let event = offer.events[0].clone();
        assert_eq!((event.place.jid.chat(), event.sender.id.as_str()), (to, "ann"));
        assert_eq!(event.what, Happening::Pressed { platform_id: id, value: "q:1".into() });
        accept(offer);
        company.until_cards(|it| it[&task]["button_list"][0]["text"] == "✓ No").await;
        assert_eq!(company.cards()[&task]["button_list"].as_array().unwrap().len(), 1);
    }
    // Whoever may not answer is told so, alone, and the card stays.
    let sent = deliver(&stage, "wr-group", &question("And now?"), "ngb-3", false).await;
    let task = sent.platform_id.unwrap().replace("card:", "");
    company.presses("bob", Some("wr-group"), &task, "q:0");
    let offer = stage.offers.recv().await.unwrap();
    offer.accepted.send(Ok(vec![Accepted::NotYours])).unwrap();
    company.until_sent(|it| it.last().is_some_and(|it| it["chatid"] == "bob")).await;
    assert_eq!(company.cards()[&task]["button_list"].as_array().unwrap().len(), 2);

    // What is too long for a card stands before it.
    let long = "why? ".repeat(40);
    deliver(&stage, "ann", &question(&long), "ngb-4", false).await;
    let sent = company.sent();
    let kinds: Vec<_> = sent.iter().rev().take(2).map(|it| it["msgtype"].clone()).collect();
    assert_eq!(kinds, ["template_card", "markdown"]);
    // A press that names no card of ours is kept as what it is.
    company.push_frame(
        json!({"cmd": "aibot_event_callback", "headers": {"req_id": "x"},
               "body": {"from": {"userid": "ann"}, "event": {"eventtype": "template_card_event"}}})
        .to_string(),
    );
    let offer = stage.offers.recv().await.unwrap();
    assert!(matches!(offer.events[0].what, Happening::Unknown { .. }));
    accept(offer);
}

#[tokio::test]
async fn files_go_up_in_pieces_and_come_down_decrypted() {
    let mut stage = stage().await;
    let company = stage.server.company.clone();
    let bytes: Vec<u8> = (0..1_300_000_u32).map(|it| it.to_le_bytes()[1]).collect();
    let file = company.bot_file(&stage.server.url, &bytes);
    let content = json!({"msgtype": "file", "file": file});
    let (what, _) = hear(&mut stage, "ann", None, &content).await;
    let Happening::Message(message) = what else { panic!("{what:?}") };
    let stream = stage.channel.fetch(&message.media[0]).await.unwrap();
    let got: Vec<_> = stream.try_collect().await.unwrap();
    assert!(got.concat() == bytes, "the file is whole");

    let other = company.bot_file(&stage.server.url, &bytes);
    #[rustfmt::skip]
    let table = [
        (json!({"url": other["url"], "key": "AAAA"}),                                          "key is not base64"),
        (json!({"url": other["url"], "key": "A".repeat(43)}),                                  "could not be decrypted"),
        (json!({"url": format!("{}/files/gone", stage.server.url), "key": other["aeskey"]}),   "404"),
        (json!({"url": "http://169.254.169.254/latest", "key": other["aeskey"]}),              "not encrypted"),
        (json!({"url": "https://10.0.0.1/a", "key": other["aeskey"]}),                         "no public name"),
        (json!({}),                                                                            "no address"),
    ];
    for (reference, want) in table {
        let media = MediaRef { reference: reference.to_string(), ..message.media[0].clone() };
        let err = match stage.channel.fetch(&media).await {
            Ok(stream) => stream.try_collect::<Vec<_>>().await.unwrap_err(),
            Err(err) => err,
        };
        assert_eq!(err.retry, Retry::Never);
        let err = format!("{:#}", anyhow::Error::from(err));
        assert!(err.contains(want), "{reference}: {err}");
    }

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.bin");
    std::fs::write(&path, &bytes).unwrap();
    deliver(&stage, "ann", &Outbound::Typing, "", true).await;
    let file = Outbound::File { path, name: "a.bin".into(), caption: "see".into(), reply_to: None };
    deliver(&stage, "ann", &file, "ngb-1", false).await;
    let stream = company.streams().remove(0);
    assert_eq!((stream.content.as_str(), stream.finished), ("see", true));
    let sent = company.sent();
    assert_eq!((sent.len(), &sent[0]["msgtype"]), (1, &json!("file")));
    let id = sent[0]["file"]["media_id"].as_str().unwrap();
    assert!(company.file(id).unwrap() == bytes, "the file arrived whole");
}

#[tokio::test]
async fn who_takes_over_ends_this_account_with_the_cause() {
    let mut stage = stage().await;
    stage.server.company.take_over();
    let down = stage.status.wait_for(|it| matches!(it, ChannelState::Down { .. })).await.unwrap();
    let ChannelState::Down { why } = &*down else { unreachable!() };
    assert!(why.contains("another program connected as this AI bot"), "{why}");
}

#[tokio::test]
async fn a_wrong_secret_ends_this_account_with_the_reason() {
    let secret = Secret::new("old");
    let mut stage = Stage::bot(|mode| match mode {
        Mode::Bot { bot_id, ws_url, .. } => Mode::Bot { bot_id, ws_url, secret },
        other => other,
    })
    .await;
    let down = stage.status.wait_for(|it| matches!(it, ChannelState::Down { .. })).await.unwrap();
    let ChannelState::Down { why } = &*down else { unreachable!() };
    assert!(why.contains("40001") && !why.contains("old"), "{why}");
}

#[tokio::test]
async fn events_are_held_until_they_are_stored_and_a_cut_loses_none() {
    let mut stage = stage().await;
    let company = stage.server.company.clone();
    company.says("ann", None, &said("one"));
    let offer = stage.offers.recv().await.unwrap();
    offer.accepted.send(Err(NotAccepted::NotStored)).unwrap();
    let again = stage.offers.recv().await.unwrap();
    assert!(matches!(&again.events[0].what, Happening::Message(it) if it.text == "one"));
    accept(again);
    company.cut_bot();
    company.until_bot(false).await;
    company.until_bot(true).await;
    let (what, _) = hear(&mut stage, "ann", None, &said("two")).await;
    assert!(matches!(what, Happening::Message(it) if it.text == "two"));

    // What is no JSON is dropped, what is not understood is kept, and neither blocks what is behind.
    company.push_frame("{");
    company.push_frame(r#"{"cmd": "aibot_new_thing", "headers": {"req_id": "r"}}"#);
    company.push_frame("{\"cmd\": \"aibot_msg_callback\", \"headers\": {\"req_id\": \"x\"}, \"body\": {\"msgid\": 5, \"msgtype\": \"text\", \"text\": {\"content\": \"a\u{1}b\"}}}");
    let mut kinds = Vec::new();
    while kinds.len() < 2 {
        let offer = stage.offers.recv().await.unwrap();
        kinds.extend(offer.events.iter().map(|it| format!("{:?}", it.what)));
        accept(offer);
    }
    assert!(kinds[0].contains("aibot_new_thing"), "{kinds:?}");
    assert!(kinds[1].contains("\"ab\""), "{kinds:?}");
}

#[tokio::test]
async fn a_burst_is_stored_once_and_in_order() {
    let mut stage = stage().await;
    let company = stage.server.company.clone();
    let want: Vec<String> = (0..1_000).map(|it| format!("number {it}")).collect();
    for it in &want {
        company.says("ann", None, &said(it));
    }
    let mut got = Vec::new();
    while got.len() < want.len() {
        let offer = stage.offers.recv().await.unwrap();
        got.extend(offer.events.iter().map(|it| match &it.what {
            Happening::Message(it) => it.text.clone(),
            other => panic!("{other:?}"),
        }));
        accept(offer);
    }
    assert_eq!(got, want);
}
