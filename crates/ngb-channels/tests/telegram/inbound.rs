//! What Telegram says, and what we make of it.

use ngb_core::message::{ChatKind, Happening, Inbound};
use ngb_sim::telegram::{Draft, Press};
use serde_json::{Value, json};

use crate::stage::Stage;

/// The parts of an event that a row is about.
fn brief(event: &Inbound) -> Value {
    let what = serde_json::to_value(&event.what).unwrap();
    let mut brief = json!({"place": event.place.to_string(), "type": what["type"]});
    let kept =
        ["text", "reply_to", "quote", "album", "addressed", "kind", "value", "to", "platform_id"];
    for key in kept.into_iter().filter(|key| what.get(key).is_some_and(|it| it != "no")) {
        brief[key] = what[key].clone();
    }
    for media in what["media"].as_array().into_iter().flatten() {
        let part = |key: &str| media[key].as_str().unwrap_or("-").to_owned();
        brief["media"] = format!("{} {} {}", part("kind"), part("reference"), part("name")).into();
    }
    brief
}

fn message(chat: i64, more: Value) -> Value {
    let kind = if 0 < chat { "private" } else { "supergroup" };
    let mut message = json!({
        "message_id": 7, "date": 1_700_000_000, "chat": {"id": chat, "type": kind, "title": "T"},
        "from": {"id": 5, "is_bot": false, "first_name": "Ada", "last_name": "L"},
    });
    for (key, value) in more.as_object().unwrap() {
        message[key] = value.clone();
    }
    json!({"message": message})
}

fn said(place: &str, text: &str) -> Value {
    json!({"place": format!("telegram@main:{place}"), "type": "message", "text": text, "platform_id": "7"})
}

fn with(mut brief: Value, more: Value) -> Value {
    for (key, value) in more.as_object().unwrap() {
        brief[key] = value.clone();
    }
    brief
}

/// Group.
const G: i64 = -1_001_000_000_001;

#[tokio::test]
async fn each_kind_of_message() {
    let g = G.to_string();
    let entity = |kind: &str, offset: usize, length: usize| json!([{"type": kind, "offset": offset, "length": length}]);
    let file = |id: &str| json!({"file_id": id, "file_size": 3, "mime_type": "x/y"});
    let direct = json!({"addressed": "direct"});
    #[rustfmt::skip]
    let table: Vec<(&str, Value, Value)> = vec![
        ("direct",            message(5, json!({"text": "hi"})),                                        with(said("5", "hi"), direct.clone())),
        ("group",             message(G, json!({"text": "hi"})),                                        said(&g, "hi")),
        ("mention",           message(G, json!({"text": "😀 @NANO_test_bot x", "entities": entity("mention", 3, 14)})), with(said(&g, "😀 @NANO_test_bot x"), json!({"addressed": "mention"}))),
        ("mention, no entity", message(G, json!({"text": "@nano_test_bot x"})),                         said(&g, "@nano_test_bot x")),
        ("other's mention",   message(G, json!({"text": "@nano_test_bot2", "entities": entity("mention", 0, 15)})), said(&g, "@nano_test_bot2")),
        ("bad entity",        message(G, json!({"text": "x", "entities": entity("mention", 90, 14)})),  said(&g, "x")),
        ("text mention",      message(G, json!({"text": "Nano x", "entities": [{"type": "text_mention", "offset": 0, "length": 4, "user": {"id": 123_456}}]})), with(said(&g, "Nano x"), json!({"addressed": "mention"}))),
        ("command to us",     message(G, json!({"text": "/go@nano_test_bot", "entities": entity("bot_command", 0, 17)})), with(said(&g, "/go@nano_test_bot"), json!({"addressed": "mention"}))),
        ("command",           message(G, json!({"text": "/go", "entities": entity("bot_command", 0, 3)})), said(&g, "/go")),
        ("caption mention",   message(G, json!({"photo": [{"file_id": "a", "width": 9, "height": 9}], "caption": "@nano_test_bot", "caption_entities": entity("mention", 0, 14)})), with(said(&g, "@nano_test_bot"), json!({"addressed": "mention", "media": "photo a 7-photo.jpg"}))),
        ("reply to us",       message(G, json!({"text": "x", "reply_to_message": {"message_id": 3, "from": {"id": 123_456}}})), with(said(&g, "x"), json!({"addressed": "reply", "reply_to": "3"}))),
        ("reply to another",  message(G, json!({"text": "x", "reply_to_message": {"message_id": 3, "from": {"id": 9}}})), with(said(&g, "x"), json!({"reply_to": "3"}))),
        ("reply, its words",  message(G, json!({"text": "x", "reply_to_message": {"message_id": 3, "from": {"id": 9}, "text": "the whole text"}})), with(said(&g, "x"), json!({"reply_to": "3", "quote": "the whole text"}))),
        ("reply to a part",   message(G, json!({"text": "x", "quote": {"text": "whole", "position": 4, "is_manual": true}, "reply_to_message": {"message_id": 3, "from": {"id": 9}, "text": "the whole text"}})), with(said(&g, "x"), json!({"reply_to": "3", "quote": "whole"}))),
        ("reply elsewhere",   message(G, json!({"text": "x", "quote": {"text": "whole", "position": 4}, "external_reply": {"origin": {}, "message_id": 8}})), with(said(&g, "x"), json!({"quote": "whole"}))),
        ("part of an album",  message(5, json!({"media_group_id": "1364", "photo": [{"file_id": "a", "width": 9, "height": 9}]})), with(said("5", ""), json!({"album": "1364", "media": "photo a 7-photo.jpg", "addressed": "direct"}))),
        ("forward, person",   message(5, json!({"text": "x", "forward_origin": {"type": "user", "date": 1, "sender_user": {"id": 9, "first_name": "Bo", "last_name": "C"}}})), with(said("5", "[forwarded from Bo C]\nx"), direct.clone())),
        ("forward, hidden",   message(5, json!({"text": "x", "forward_origin": {"type": "hidden_user", "date": 1, "sender_user_name": "B]\no"}})), with(said("5", "[forwarded from B  o]\nx"), direct.clone())),
        ("forward, channel",  message(5, json!({"photo": [{"file_id": "a", "width": 9, "height": 9}], "forward_origin": {"type": "channel", "date": 1, "chat": {"id": G, "title": "News"}, "message_id": 2}})), with(said("5", "[forwarded from News]"), json!({"media": "photo a 7-photo.jpg", "addressed": "direct"}))),
        ("forward, new kind", message(5, json!({"text": "x", "forward_origin": {"type": "new"}})), with(said("5", "[forwarded from somebody]\nx"), direct.clone())),
        ("topic",             message(G, json!({"text": "x", "message_thread_id": 4, "is_topic_message": true, "reply_to_message": {"message_id": 4, "from": {"id": 123_456}, "forum_topic_created": {}}})), said(&format!("{G}/4"), "x")),
        ("chain of answers",  message(G, json!({"text": "x", "message_thread_id": 4})),                 said(&g, "x")),
        ("photo, largest",    message(5, json!({"photo": [{"file_id": "s", "width": 1, "height": 1}, {"file_id": "l", "width": 90, "height": 90}, {"file_id": "m", "width": 5, "height": 5}]})), with(said("5", ""), json!({"media": "photo l 7-photo.jpg", "addressed": "direct"}))),
        ("document",          message(5, json!({"document": {"file_id": "d", "file_name": "../a.pdf"}})), with(said("5", ""), json!({"media": "document d a.pdf", "addressed": "direct"}))),
        ("animation",         message(5, json!({"animation": file("a"), "document": file("a")})),       with(said("5", ""), json!({"media": "video a 7-animation.mp4", "addressed": "direct"}))),
        ("voice",             message(5, json!({"voice": file("v")})),                                  with(said("5", ""), json!({"media": "voice v 7-voice.ogg", "addressed": "direct"}))),
        ("audio",             message(5, json!({"audio": file("v")})),                                  with(said("5", ""), json!({"media": "audio v 7-audio.mp3", "addressed": "direct"}))),
        ("video",             message(5, json!({"video": file("v"), "caption": "c"})),                  with(said("5", "c"), json!({"media": "video v 7-video.mp4", "addressed": "direct"}))),
        ("video note",        message(5, json!({"video_note": file("v")})),                             with(said("5", ""), json!({"media": "video v 7-video-note.mp4", "addressed": "direct"}))),
        ("sticker",           message(5, json!({"sticker": {"file_id": "s", "emoji": "👍"}})),           with(said("5", "👍"), json!({"media": "sticker s 7-sticker.webp", "addressed": "direct"}))),
        ("location",          message(5, json!({"location": {"latitude": 1.5, "longitude": -2.0}})),    with(said("5", "[location: 1.5, -2]"), direct.clone())),
        ("contact",           message(5, json!({"contact": {"first_name": "B", "phone_number": "+1"}})), with(said("5", "[contact: B, +1]"), direct.clone())),
        ("venue",             message(5, json!({"venue": {"title": "V", "address": "S 1", "location": {"latitude": 1.0, "longitude": 2.0}}, "location": {"latitude": 1.0, "longitude": 2.0}})), with(said("5", "[venue: V, S 1 (1, 2)]"), direct)),
        ("moved",             message(-42, json!({"migrate_to_chat_id": G})),                           json!({"place": "telegram@main:-42", "type": "moved", "to": format!("telegram@main:{G}")})),
        ("joined",            message(G, json!({"new_chat_members": [{"id": 1}]})),                     json!({"place": format!("telegram@main:{G}"), "type": "unknown", "kind": "message"})),
        ("new kind",          json!({"brand_new": {"chat": {"id": 5}}}),                                json!({"place": "telegram@main:5", "type": "unknown", "kind": "brand_new"})),
        ("member",            json!({"my_chat_member": {"chat": {"id": 5, "type": "private"}, "from": {"id": 5}, "date": 1}}), json!({"place": "telegram@main:5", "type": "unknown", "kind": "my_chat_member"})),
        ("wrong types",       json!({"message": {"message_id": [], "chat": "x", "text": {}}}),          json!({"place": "telegram@main:0", "type": "unknown", "kind": "message"})),
        ("not an object",     json!({"message": 5}),                                                    json!({"place": "telegram@main:0", "type": "unknown", "kind": "message"})),
        ("channel post",      json!({"channel_post": {"message_id": 7, "date": 1, "chat": {"id": G, "type": "channel", "title": "C"}, "text": "x"}}), said(&g, "x")),
        ("press",             json!({"callback_query": {"id": "cb1", "from": {"id": 9, "first_name": "B"}, "data": "yes", "message": {"message_id": 3, "date": 1, "chat": {"id": G, "type": "supergroup"}, "message_thread_id": 4, "is_topic_message": true}}}), json!({"place": format!("telegram@main:{G}/4"), "type": "pressed", "platform_id": "3", "value": "yes"})),
    ];
    let mut stage = Stage::new().await;
    stage.server.platform.push_raw(table.iter().map(|(_, update, _)| update.clone()).collect());
    let got = stage.take(table.len()).await;
    for ((name, _, want), got) in table.iter().zip(&got) {
        assert_eq!(&brief(got), want, "{name}");
    }
    stage.server.platform.wait_confirmed().await;
}

#[tokio::test]
async fn who_said_it_and_when() {
    let mut stage = Stage::new().await;
    let anonymous = json!({"sender_chat": {"id": G, "title": "Admins"}, "from": {"id": 1_087_968_824, "is_bot": true}, "text": "x"});
    stage.server.platform.push_raw(vec![
        message(5, json!({"text": "x", "from": {"id": 5, "first_name": "Ada", "last_name": "L"}})),
        message(G, json!({"text": "x", "from": {"id": 6, "is_bot": true, "username": "b_bot"}})),
        message(G, anonymous),
        message(5, json!({"text": "x", "date": 1_700_000_000_123_i64})),
    ]);
    let got = stage.take(4).await;
    let senders: Vec<_> = got
        .iter()
        .map(|it| (it.sender.id.clone(), it.sender.name.clone(), it.sender.is_bot))
        .collect();
    let person = |id: &str, name: &str, is_bot| (id.to_owned(), name.to_owned(), is_bot);
    let group = G.to_string();
    assert_eq!(
        senders,
        [
            person("5", "Ada L", false),
            person("6", "b_bot", true),
            person(&group, "Admins", false),
            person("5", "Ada L", false),
        ]
    );
    assert_eq!(got[0].sent_at.0, 1_700_000_000_000);
    assert_eq!(got[3].sent_at.0, 1_700_000_000_123, "a server that says milliseconds");
    assert_eq!(
        got.iter().map(|it| it.chat.kind).collect::<Vec<_>>(),
        [ChatKind::Direct, ChatKind::Group, ChatKind::Group, ChatKind::Direct]
    );
    let keys: Vec<&str> = got.iter().map(|it| it.event_key.as_str()).collect();
    assert_eq!(keys, ["1000", "1001", "1002", "1003"]);
}

#[tokio::test]
async fn an_edit_names_the_message_and_a_press_is_answered() {
    let mut stage = Stage::new().await;
    let sent = stage.send("5", &crate::stage::text("pick")).await.unwrap();
    let message_id = sent.platform_id.unwrap().parse().unwrap();
    let first = stage.server.platform.push(&[Draft::text(5, "one")])[0];
    let press = Some(Press { message_id, data: "yes".into() });
    stage.server.platform.push(&[
        Draft { edit_of: Some(first), ..Draft::text(5, "two") },
        Draft { press, ..Draft::text(5, "") },
    ]);
    let got = stage.take(3).await;
    let Happening::Edit(edit) = &got[1].what else { panic!("{:?}", got[1]) };
    assert_eq!(
        (edit.platform_id.as_str(), edit.text.as_str()),
        (first.to_string().as_str(), "two")
    );
    assert!(matches!(&got[2].what, Happening::Pressed { value, .. } if value == "yes"));
    let platform = stage.server.platform.clone();
    platform.wait(|_| !platform.calls("answerCallbackQuery").is_empty()).await;
    assert_eq!(platform.calls("answerCallbackQuery")[0].fields.get("text"), None);
}

/// Who may not answer a question is told so alone, in the language of their app.
#[tokio::test]
async fn a_stranger_who_presses_is_told_so() {
    let mut stage = Stage::new().await;
    let press = |id: &str, lang: &str| {
        json!({"callback_query": {
            "id": id, "from": {"id": 9, "first_name": "B", "language_code": lang}, "data": "yes",
            "message": {"message_id": 3, "date": 1, "chat": {"id": G, "type": "supergroup"}},
        }})
    };
    stage.server.platform.push_raw(vec![press("cb1", "en"), press("cb2", "zh-hans")]);
    let offer = stage.offer().await;
    let accepted = vec![ngb_channels::Accepted::New, ngb_channels::Accepted::NotYours];
    offer.accepted.send(Ok(accepted)).unwrap();
    let platform = stage.server.platform.clone();
    platform.wait(|_| platform.calls("answerCallbackQuery").len() == 2).await;
    let told: Vec<_> = platform
        .calls("answerCallbackQuery")
        .iter()
        .map(|it| (it.fields["callback_query_id"].clone(), it.fields.get("text").cloned()))
        .collect();
    assert!(told.contains(&(json!("cb1"), None)), "{told:?}");
    assert!(told.contains(&(json!("cb2"), Some(json!("这不由你决定。")))), "{told:?}");
}
