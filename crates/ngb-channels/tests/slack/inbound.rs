//! What Slack says, and what we make of it.

use futures_util::FutureExt as _;
use ngb_channels::Accepted;
use ngb_core::message::{ChatKind, Happening, Inbound};
use ngb_sim::slack::{BOT, BOT_USER};
use serde_json::{Value, json};

use crate::stage::{Stage, text};

const TS: &str = "1700000001.000200";

/// The parts of an event that a row is about.
fn brief(event: &Inbound) -> Value {
    let what = serde_json::to_value(&event.what).unwrap();
    let place = event.place.to_string();
    let place = place.strip_prefix("slack@main:").unwrap();
    let mut brief = json!({"place": place, "type": what["type"]});
    let kept = ["text", "addressed", "kind", "value", "platform_id"];
    for key in kept.into_iter().filter(|key| what.get(key).is_some_and(|it| it != "no")) {
        brief[key] = what[key].clone();
    }
    for media in what["media"].as_array().into_iter().flatten() {
        let part = |key: &str| media[key].as_str().unwrap_or("-").to_owned();
        brief["media"] = format!("{} {} {}", part("kind"), part("reference"), part("name")).into();
    }
    brief
}

fn with(mut one: Value, more: Value) -> Value {
    for (key, value) in more.as_object().unwrap() {
        one[key] = value.clone();
    }
    one
}

fn message(channel: &str, more: Value) -> Value {
    with(
        json!({"type": "message", "channel": channel, "user": "U1", "ts": TS, "event_ts": TS}),
        more,
    )
}

fn said(place: &str, text: &str) -> Value {
    json!({"place": place, "type": "message", "text": text, "platform_id": TS})
}

#[tokio::test]
async fn each_kind_of_event() {
    let me = format!("<@{BOT_USER}>");
    let parent = "1700000000.000100";
    let direct = json!({"addressed": "direct"});
    let mention = json!({"addressed": "mention"});
    let thread = |channel: &str| format!("{channel}/{TS}");
    let file = |more: Value| {
        with(
            json!({"id": "F1", "name": "../a.pdf", "mimetype": "application/pdf", "size": 3, "mode": "hosted"}),
            more,
        )
    };
    let files = |more: Value| json!({"subtype": "file_share", "text": "", "files": [file(more)]});
    #[rustfmt::skip]
    let table: Vec<(&str, Value, Value)> = vec![
        ("direct",          message("D1", json!({"text": "hi", "channel_type": "im"})),    with(said("D1", "hi"), direct.clone())),
        ("direct by id",    message("D1", json!({"text": "hi"})),                          with(said("D1", "hi"), direct.clone())),
        ("channel",         message("C1", json!({"text": "hi"})),                          said("C1", "hi")),
        ("mention",         message("C1", json!({"text": format!("{me} hi")})),            with(said(&thread("C1"), "@nano hi"), mention.clone())),
        ("app_mention",     with(message("C1", json!({"text": format!("{me} hi")})), json!({"type": "app_mention"})), with(said(&thread("C1"), "@nano hi"), mention.clone())),
        ("other's mention", message("C1", json!({"text": "<@U2> hi"})),                    said("C1", "@Bo hi")),
        ("name alone",      message("C1", json!({"text": "@nano hi"})),                    said("C1", "@nano hi")),
        ("everybody",       message("C1", json!({"text": "<!channel> hi"})),               said("C1", "@channel hi")),
        ("in a thread",     message("C1", json!({"text": "x", "thread_ts": parent})),      said(&format!("C1/{parent}"), "x")),
        ("under ours",      message("C1", json!({"text": "x", "thread_ts": parent, "parent_user_id": BOT_USER})), with(said(&format!("C1/{parent}"), "x"), json!({"addressed": "reply"}))),
        ("direct, thread",  message("D1", json!({"text": "x", "thread_ts": parent})),      with(said(&format!("D1/{parent}"), "x"), direct.clone())),
        ("broadcast",       message("C1", json!({"subtype": "thread_broadcast", "text": "x", "thread_ts": parent})), said(&format!("C1/{parent}"), "x")),
        ("escapes",         message("C1", json!({"text": "1 &lt; 2 &amp;amp; <https://a.b|see>"})), said("C1", "1 < 2 &amp; see (https://a.b)")),
        ("emoji, rtl",      message("C1", json!({"text": "😀 שלום é"})),              said("C1", "😀 שלום é")),
        ("file",            message("D1", files(json!({}))),                               with(said("D1", ""), json!({"media": "document F1 a.pdf", "addressed": "direct"}))),
        ("picture",         message("D1", files(json!({"mimetype": "image/png", "name": "a.png"}))), with(said("D1", ""), json!({"media": "photo F1 a.png", "addressed": "direct"}))),
        ("voice",           message("D1", files(json!({"mimetype": "audio/mp4", "subtype": "slack_audio"}))), with(said("D1", ""), json!({"media": "voice F1 a.pdf", "addressed": "direct"}))),
        ("external file",   message("D1", files(json!({"is_external": true, "url_private": "https://g.co/x"}))), with(said("D1", "[../a.pdf: https://g.co/x]"), direct.clone())),
        ("another bot",     message("C1", json!({"subtype": "bot_message", "bot_id": "B9", "user": null, "username": "CI", "text": "", "attachments": [{"fallback": "built"}]})), said("C1", "built")),
        ("edit",            message("C1", json!({"subtype": "message_changed", "message": {"user": "U1", "ts": TS, "text": "b", "edited": {"ts": "1.2"}}, "previous_message": {"text": "a"}})), json!({"place": "C1", "type": "edit", "text": "b", "platform_id": TS})),
        ("deletion",        message("C1", json!({"subtype": "message_deleted", "deleted_ts": TS, "previous_message": {"user": "U1", "ts": TS, "thread_ts": parent}})), json!({"place": format!("C1/{parent}"), "type": "delete", "platform_id": TS})),
        ("parent's end",    message("C1", json!({"subtype": "message_changed", "message": {"subtype": "tombstone", "ts": TS}, "previous_message": {"user": "U1"}})), json!({"place": "C1", "type": "delete", "platform_id": TS})),
        ("joined",          message("C1", json!({"subtype": "channel_join"})),             json!({"place": "C1", "type": "unknown", "kind": "message/channel_join"})),
        ("reaction",        json!({"type": "reaction_added", "user": "U1", "item": {"channel": "C1", "ts": TS}}), json!({"place": "C1", "type": "unknown", "kind": "reaction_added"})),
        ("empty",           message("C1", json!({"text": ""})),                            json!({"place": "C1", "type": "unknown", "kind": "message"})),
        ("new kind",        json!({"type": "brand_new", "deep": [[{}]]}),                  json!({"place": "0", "type": "unknown", "kind": "brand_new"})),
        ("no event",        json!(17),                                                     json!({"place": "0", "type": "unknown", "kind": "event_callback"})),
        ("wrong types",     json!({"type": "message", "channel": 5, "user": [], "text": {}, "ts": 1.5}), json!({"place": "0", "type": "unknown", "kind": "message"})),
    ];
    let mut stage = Stage::new().await;
    stage.platform.name("U1", "Ada");
    stage.platform.name("U2", "Bo");
    for (name, event, want) in table {
        stage.platform.event(event);
        assert_eq!(brief(&stage.take(1).await[0]), want, "{name}");
    }
    stage.platform.wait(|it| it.pending == 0).await;
}

#[tokio::test]
async fn commands_and_buttons() {
    let mut stage = Stage::new().await;
    let payload = json!({"command": "/ask", "text": "why", "user_id": "U1", "channel_id": "C1", "trigger_id": "t.1"});
    stage.platform.envelope("slash_commands", payload);
    let want = json!({"place": "C1", "type": "message", "text": "/ask why", "platform_id": "command:t.1", "addressed": "mention"});
    assert_eq!(brief(&stage.take(1).await[0]), want);
    let press = json!({
        "type": "block_actions", "user": {"id": "U1"}, "channel": {"id": "C1"}, "trigger_id": "t.2",
        "message": {"ts": TS, "thread_ts": "1700000000.000100"}, "actions": [{"value": "7:yes", "action_ts": "1700000009.5"}],
    });
    stage.platform.envelope("interactive", press);
    let offer = stage.offer().await;
    let want = json!({"place": "C1/1700000000.000100", "type": "pressed", "value": "7:yes", "platform_id": TS});
    assert_eq!(brief(&offer.events[0]), want);
    // Whoever may not answer is told so, and nobody else is.
    offer.accepted.send(Ok(vec![Accepted::NotYours])).unwrap();
    stage.platform.wait(|it| it.pending == 0).await;
    let told = stage.platform.calls("chat.postEphemeral");
    assert_eq!((told.len(), &told[0]["user"]), (1, &json!("U1")));
    stage.platform.envelope("brand_new", json!({}));
    let want = json!({"place": "0", "type": "unknown", "kind": "brand_new"});
    assert_eq!(brief(&stage.take(1).await[0]), want);
}

#[tokio::test]
async fn who_said_it_where_and_when() {
    let mut stage = Stage::new().await;
    stage.platform.name("U1", "Ada");
    stage.platform.name("C1", "general");
    stage.platform.event(message("C1", json!({"text": "a"})));
    let got = stage.take(1).await.remove(0);
    assert_eq!((got.sender.id.as_str(), got.sender.name.as_str()), ("U1", "Ada"));
    assert_eq!((got.chat.kind, got.chat.title.as_str()), (ChatKind::Group, "general"));
    assert_eq!(got.sent_at.0, 1_700_000_001_000);
    // The name is asked for once, and a name that can't be had is the id.
    stage.platform.event(message("D1", json!({"text": "b", "ts": "1700000002.000100"})));
    stage.platform.event(message("D2", json!({"text": "c", "user": "U404"})));
    let got = stage.take(2).await;
    assert_eq!((got[0].chat.kind, got[0].chat.title.as_str()), (ChatKind::Direct, "Ada"));
    assert_eq!(got[1].sender.name, "U404");
    assert_eq!(stage.platform.calls("users.info").len(), 2);
}

#[tokio::test]
async fn our_own_words_do_not_come_back() {
    let mut stage = Stage::new().await;
    stage.platform.event(message("C1", json!({"user": BOT_USER, "bot_id": BOT, "text": "echo"})));
    stage.platform.event(message(
        "C1",
        json!({"subtype": "bot_message", "user": null, "bot_id": BOT, "text": "echo"}),
    ));
    let ours = json!({"user": BOT_USER, "ts": TS, "text": "b", "edited": {"ts": "1.2"}});
    stage.platform.event(message("C1", json!({"subtype": "message_changed", "message": ours})));
    let unfurled = json!({"user": "U1", "ts": TS, "text": "a", "attachments": [{}]});
    stage.platform.event(message("C1", json!({"subtype": "message_changed", "message": unfurled, "previous_message": {"text": "a"}})));
    stage
        .platform
        .event(message("C1", json!({"user": "U9", "bot_id": "B9", "text": "another bot"})));
    let got = stage.take(1).await.remove(0);
    assert!(got.sender.is_bot);
    assert!(matches!(&got.what, Happening::Message(it) if it.text == "another bot"));
    stage.platform.wait(|it| it.pending == 0 && it.acknowledged == 5).await;
}

#[tokio::test]
async fn what_was_sent_comes_back_on_the_line() {
    let mut stage = Stage::new().await;
    let sent = stage.send("D1", &text("Canary")).await.unwrap().platform_id.unwrap();
    for not_it in [
        json!({"ts": sent, "text": "of a person"}),
        json!({"ts": sent, "user": BOT_USER, "subtype": "message_deleted", "deleted_ts": sent}),
        json!({"ts": sent, "user": BOT_USER, "type": "app_mention"}),
    ] {
        stage.platform.event(message("D1", not_it));
    }
    stage.take(2).await;
    let back = json!({"ts": "1700000009.000900", "user": BOT_USER, "bot_id": BOT, "text": "other"});
    stage.platform.event(message("D1", back.clone()));
    stage.pulse.returned("1700000009.000900").await;
    assert_eq!(stage.pulse.returned(&sent).now_or_never(), None, "none of them was ours");
    stage.platform.event(message("D1", with(back, json!({"ts": sent}))));
    stage.pulse.returned(&sent).await;
}

#[tokio::test]
async fn a_mention_and_its_message_are_one_event() {
    let mut stage = Stage::new().await;
    let said = json!({"text": format!("<@{BOT_USER}> hi")});
    stage.platform.event(message("C1", said.clone()));
    stage.platform.event(with(message("C1", said), json!({"type": "app_mention"})));
    let got = stage.take(2).await;
    assert_eq!(got[0], got[1], "the same key, so the second is a repeat");
}
