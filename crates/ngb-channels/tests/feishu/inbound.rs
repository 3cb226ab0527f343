//! What Feishu says, and what we make of it.

use ngb_channels::Accepted;
use ngb_core::message::{ChatKind, Inbound};
use ngb_sim::feishu::BOT;
use serde_json::{Value, json};

use crate::stage::Stage;

/// The parts of an event that a row is about.
fn brief(event: &Inbound) -> Value {
    let what = serde_json::to_value(&event.what).unwrap();
    let place = event.place.to_string();
    let place = place.strip_prefix("feishu@main:").unwrap();
    let mut brief = json!({"place": place, "type": what["type"]});
    let kept = ["text", "addressed", "kind", "value", "reply_to"];
    for key in kept.into_iter().filter(|key| what.get(key).is_some_and(|it| it != "no")) {
        brief[key] = what[key].clone();
    }
    for media in what["media"].as_array().into_iter().flatten() {
        let part = |key: &str| media[key].as_str().unwrap_or("-").to_owned();
        let reference = part("reference");
        let key = reference.split_once('/').unwrap().1;
        brief["media"] = format!("{} {key} {}", part("kind"), part("name")).into();
    }
    brief
}

fn with(mut one: Value, more: Value) -> Value {
    for (key, value) in more.as_object().unwrap() {
        one[key] = value.clone();
    }
    one
}

#[tokio::test]
async fn each_kind_of_message() {
    let said = |place: &str, text: &str| json!({"place": place, "type": "message", "text": text});
    let direct = |text: &str| with(said("oc_p1", text), json!({"addressed": "direct"}));
    let file = |what: &str| with(direct(""), json!({"media": what}));
    let me = json!([{"key": "@_user_1", "id": {"open_id": BOT}, "name": "nano"}]);
    let other = json!([{"key": "@_user_1", "id": {"open_id": "ou_2"}, "name": "Bo"}]);
    let none = json!({});
    let text = |text: &str| json!({"text": text});
    #[rustfmt::skip]
    let table: Vec<(&str, &str, &str, Value, Value, Value)> = vec![
        ("direct",           "oc_p1", "text",  text("hi"),                   none.clone(),               direct("hi")),
        ("group",            "oc_1",  "text",  text("hi"),                   none.clone(),               said("oc_1", "hi")),
        ("mention",          "oc_1",  "text",  text("@_user_1 hi"),          json!({"mentions": me}),    with(said("oc_1", "@nano hi"), json!({"addressed": "mention"}))),
        ("other's mention",  "oc_1",  "text",  text("@_user_1 hi"),          json!({"mentions": other}), said("oc_1", "@Bo hi")),
        ("everybody",        "oc_1",  "text",  text("@_all hi"),             none.clone(),               said("oc_1", "@all hi")),
        ("everybody, named", "oc_1",  "text",  text("@_all hi"),             json!({"mentions": [{"key": "@_all", "id": {"open_id": BOT}, "name": "all"}]}), said("oc_1", "@all hi")),
        ("in a topic",       "oc_1",  "text",  text("x"),                    json!({"thread_id": "omt_1", "root_id": "om_root", "parent_id": "om_root"}), said("oc_1/om_root", "x")),
        ("answer",           "oc_1",  "text",  text("x"),                    json!({"root_id": "om_a", "parent_id": "om_b"}), with(said("oc_1", "x"), json!({"reply_to": "om_b"}))),
        ("rich text",        "oc_p1", "post",  json!({"title": "T", "content": [[{"tag": "text", "text": "a"}]]}), none.clone(), direct("T\na")),
        ("rich with picture", "oc_p1", "post", json!({"content": [[{"tag": "img", "image_key": "img_1"}]]}), none.clone(), file("photo image/img_1 picture.png")),
        ("picture",          "oc_p1", "image", json!({"image_key": "img_1"}), none.clone(),              file("photo image/img_1 picture.png")),
        ("file",             "oc_p1", "file",  json!({"file_key": "f1", "file_name": "../a.pdf"}), none.clone(), file("document file/f1 a.pdf")),
        ("voice",            "oc_p1", "audio", json!({"file_key": "f1", "duration": 1000}), none.clone(), file("voice file/f1 voice.opus")),
        ("video",            "oc_p1", "media", json!({"file_key": "f1", "file_name": "a.mp4"}), none.clone(), file("video file/f1 a.mp4")),
        ("sticker",          "oc_p1", "sticker", json!({"file_key": "f1"}),  none.clone(),               direct("[sticker]")),
        ("emoji, rtl",       "oc_1",  "text",  text("😀 שלום é"),            none.clone(),               said("oc_1", "😀 שלום é")),
        ("new kind",         "oc_1",  "brand_new", json!({"a": 1}),          none.clone(),               said("oc_1", "[brand_new]")),
        ("empty",            "oc_1",  "text",  text(""),                     none,                       json!({"place": "oc_1", "type": "unknown", "kind": "im.message.receive_v1"})),
    ];
    let mut stage = Stage::new().await;
    for (name, chat, kind, content, more, want) in table {
        stage.platform.message(chat, "ou_1", kind, content, more);
        assert_eq!(brief(&stage.take(1).await[0]), want, "{name}");
    }
    let unknown = |kind: &str| json!({"place": "0", "type": "unknown", "kind": kind});
    let recalled = json!({"message_id": "om_5", "chat_id": "oc_1", "recall_time": "1700000000000"});
    #[rustfmt::skip]
    let table = [
        ("im.message.recalled_v1", recalled,                        json!({"place": "oc_1", "type": "delete"})),
        ("im.message.receive_v1",  json!({"message": 5}),           unknown("im.message.receive_v1")),
        ("brand.new_v1",           json!({"deep": [[{}]]}),         unknown("brand.new_v1")),
        ("card.action.trigger",    json!({"action": {}}),           unknown("card.action.trigger")),
    ];
    for (kind, event, want) in table {
        stage.platform.event(kind, event);
        assert_eq!(brief(&stage.take(1).await[0]), want, "{kind}");
    }
    let figures = stage.platform.wait(|it| it.pending == 0).await;
    assert_eq!(figures.broken, 0, "every frame was whole");
}

#[tokio::test]
async fn who_said_it_where_and_when() {
    let mut stage = Stage::new().await;
    stage.platform.name("ou_1", "Ann");
    stage.platform.name("oc_1", "team");
    let created = json!({"create_time": "1700000001234"});
    stage.platform.message("oc_1", "ou_1", "text", json!({"text": "a"}), created);
    let got = stage.take(1).await.remove(0);
    assert_eq!((got.sender.id.as_str(), got.sender.name.as_str()), ("ou_1", "Ann"));
    assert_eq!((got.chat.kind, got.chat.title.as_str()), (ChatKind::Group, "team"));
    assert_eq!(got.sent_at.0, 1_700_000_001_234);
    // The name is asked for once, and a name that can't be had is the id.
    stage.platform.say("oc_p1", "ou_1", "b");
    stage.platform.say("oc_p2", "ou_404", "c");
    let got = stage.take(2).await;
    assert_eq!((got[0].chat.kind, got[0].chat.title.as_str()), (ChatKind::Direct, "Ann"));
    assert_eq!(got[1].sender.name, "ou_404");
    assert_eq!(stage.platform.calls("user").len(), 2);
    // Our own words do not come back.
    stage.platform.say("oc_1", BOT, "echo");
    stage.platform.say("oc_1", "ou_1", "d");
    stage.take(1).await;
    stage.platform.wait(|it| it.pending == 0).await;
}

#[tokio::test]
async fn buttons_are_answered_once_they_are_on_disk() {
    let mut stage = Stage::new().await;
    let press = json!({
        "operator": {"open_id": "ou_1"}, "action": {"tag": "button", "value": {"v": "7:yes"}},
        "context": {"open_message_id": "om_9", "open_chat_id": "oc_1"}, "token": "c-1",
    });
    for (what, is_told) in [(Accepted::New, false), (Accepted::NotYours, true)] {
        let before = stage.platform.answers().len();
        stage.platform.event("card.action.trigger", press.clone());
        let offer = stage.offer().await;
        assert_eq!(stage.platform.answers().len(), before, "it is not on disk");
        let want = json!({"place": "oc_1", "type": "pressed", "value": "7:yes"});
        assert_eq!(brief(&offer.events[0]), want);
        offer.accepted.send(Ok(vec![what])).unwrap();
        stage.platform.wait(|it| before < it.acknowledged).await;
        // Whoever may not answer is told so, and nobody else is.
        let answer = stage.platform.answers().pop().unwrap();
        let word = answer["data"].as_str().unwrap();
        assert_eq!(word != "e30=", is_told, "{answer}");
    }
}
