//! What Discord says, and what we make of it.

use futures_util::FutureExt as _;
use ngb_channels::Accepted;
use ngb_core::message::{ChatKind, Happening, Inbound};
use ngb_sim::discord::{APPLICATION, BOT, BOT_ROLE, DIRECT, GENERAL, GUILD, THREAD};
use serde_json::{Value, json};

use crate::stage::{Stage, text};

const ID: &str = "1000000000000000001";

/// The parts of an event that a row is about.
fn brief(event: &Inbound) -> Value {
    let what = serde_json::to_value(&event.what).unwrap();
    let place = event.place.to_string();
    let place = place.strip_prefix("discord@main:").unwrap();
    let mut brief = json!({"place": place, "type": what["type"]});
    let kept = ["text", "addressed", "kind", "value", "platform_id", "reply_to", "quote"];
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
    let mut message = json!({
        "id": ID, "channel_id": channel, "type": 0, "author": {"id": "1", "username": "ann"}, "content": "",
        "timestamp": "2026-01-02T03:04:05.678000+00:00", "edited_timestamp": null,
    });
    if channel != DIRECT {
        message["guild_id"] = GUILD.into();
    }
    with(message, more)
}

fn said(place: &str, text: &str) -> Value {
    json!({"place": place, "type": "message", "text": text, "platform_id": ID})
}

#[tokio::test]
async fn each_kind_of_event() {
    let me = format!("<@{BOT}>");
    let thread = format!("{GENERAL}/{THREAD}");
    let general = |text: &str| said(GENERAL, text);
    let direct = |text: &str| with(said(DIRECT, text), json!({"addressed": "direct"}));
    let file = |more: Value| {
        let file = json!({"id": "7", "filename": "../a.pdf", "content_type": "application/pdf", "size": 3, "url": "http://x"});
        json!({"attachments": [with(file, more)]})
    };
    let media = |kind: &str, name: &str| {
        with(direct(""), json!({"media": format!("{kind} {DIRECT}/{ID}/7 {name}")}))
    };
    let before = json!({"id": "9", "content": "what was said", "author": {"id": "2"}});
    let answer = |before: &Value| json!({"type": 19, "content": "x", "message_reference": {"type": 0, "message_id": "9"}, "referenced_message": before});
    let quoted = json!({"reply_to": "9", "quote": "what was said"});
    let people = json!([{"id": BOT, "username": "nano"}, {"id": "2", "username": "bo", "global_name": "Bo"}]);
    let unknown =
        |place: &str, kind: &str| json!({"place": place, "type": "unknown", "kind": kind});
    let deleted = json!({"id": ID, "channel_id": THREAD, "guild_id": GUILD});
    #[rustfmt::skip]
    let table: Vec<(&str, &str, Value, Value)> = vec![
        ("direct",          "MESSAGE_CREATE", message(DIRECT, json!({"content": "hi"})),   direct("hi")),
        ("channel",         "MESSAGE_CREATE", message(GENERAL, json!({"content": "hi"})),  general("hi")),
        ("mention",         "MESSAGE_CREATE", message(GENERAL, json!({"content": format!("{me} hi"), "mentions": people})), with(general("@nano hi"), json!({"addressed": "mention"}))),
        ("old mention",     "MESSAGE_CREATE", message(GENERAL, json!({"content": format!("<@!{BOT}> hi"), "mentions": people})), with(general("@nano hi"), json!({"addressed": "mention"}))),
        ("own role",        "MESSAGE_CREATE", message(GENERAL, json!({"content": format!("<@&{BOT_ROLE}> hi"), "mention_roles": [BOT_ROLE]})), with(general("@nano hi"), json!({"addressed": "mention"}))),
        ("other's mention", "MESSAGE_CREATE", message(GENERAL, json!({"content": "<@2> hi", "mentions": people})), general("@Bo hi")),
        ("name alone",      "MESSAGE_CREATE", message(GENERAL, json!({"content": "@nano hi"})), general("@nano hi")),
        ("everybody",       "MESSAGE_CREATE", message(GENERAL, json!({"content": "@everyone hi", "mention_everyone": true})), general("@everyone hi")),
        ("a channel",       "MESSAGE_CREATE", message(GENERAL, json!({"content": format!("<#{THREAD}>")})), general("#a thread")),
        ("in a thread",     "MESSAGE_CREATE", message(THREAD, json!({"content": "x"})),    said(&thread, "x")),
        ("reply",           "MESSAGE_CREATE", message(GENERAL, answer(&before)),           with(general("x"), quoted.clone())),
        ("reply to ours",   "MESSAGE_CREATE", message(GENERAL, answer(&with(before.clone(), json!({"author": {"id": BOT}})))), with(with(general("x"), quoted), json!({"addressed": "reply"}))),
        ("reply to what is gone", "MESSAGE_CREATE", message(GENERAL, answer(&Value::Null)), with(general("x"), json!({"reply_to": "9"}))),
        ("forward",         "MESSAGE_CREATE", message(DIRECT, json!({"message_reference": {"type": 1, "message_id": "9"}, "message_snapshots": [{"message": {"content": "old"}}]})), direct("[forwarded]\nold")),
        ("emoji, rtl",      "MESSAGE_CREATE", message(GENERAL, json!({"content": "😀 שלום é <:wave:9>"})), general("😀 שלום é :wave:")),
        ("file",            "MESSAGE_CREATE", message(DIRECT, file(json!({}))),            media("document", "a.pdf")),
        ("picture",         "MESSAGE_CREATE", message(DIRECT, file(json!({"content_type": "image/png", "filename": "a.png"}))), media("photo", "a.png")),
        ("voice",           "MESSAGE_CREATE", message(DIRECT, with(file(json!({"content_type": "audio/ogg"})), json!({"flags": 8192}))), media("voice", "a.pdf")),
        ("video",           "MESSAGE_CREATE", message(DIRECT, file(json!({"content_type": "video/mp4"}))), media("video", "a.pdf")),
        ("sticker",         "MESSAGE_CREATE", message(DIRECT, json!({"sticker_items": [{"id": "1", "name": "Wave"}]})), direct("[sticker: Wave]")),
        ("poll",            "MESSAGE_CREATE", message(DIRECT, json!({"poll": {"question": {"text": "q"}, "answers": [{"poll_media": {"text": "a"}}, {"poll_media": {"text": "b"}}]}})), direct("[poll: q (a / b)]")),
        ("another bot",     "MESSAGE_CREATE", message(GENERAL, json!({"webhook_id": "5", "embeds": [{"type": "rich", "title": "CI", "fields": [{"name": "build", "value": "red"}]}]})), general("CI\nbuild: red")),
        ("a preview",       "MESSAGE_CREATE", message(GENERAL, json!({"content": "https://a.b", "embeds": [{"type": "link", "title": "T"}]})), general("https://a.b")),
        ("edit",            "MESSAGE_UPDATE", message(GENERAL, json!({"content": "b", "edited_timestamp": "2026-01-02T03:05:00+00:00"})), json!({"place": GENERAL, "type": "edit", "text": "b", "platform_id": ID})),
        ("deletion",        "MESSAGE_DELETE", deleted, json!({"place": thread, "type": "delete", "platform_id": ID})),
        ("joined",          "MESSAGE_CREATE", message(GENERAL, json!({"type": 7})),        unknown(GENERAL, "MESSAGE_CREATE/7")),
        ("empty",           "MESSAGE_CREATE", message(GENERAL, json!({})),                 unknown(GENERAL, "MESSAGE_CREATE")),
        ("new kind",        "BRAND_NEW",      json!({"deep": [[{}]]}),                     unknown("0", "BRAND_NEW")),
        ("no event",        "MESSAGE_CREATE", json!(17),                                   unknown("0", "MESSAGE_CREATE")),
        ("wrong types",     "MESSAGE_CREATE", json!({"id": [], "channel_id": 5, "guild_id": 1, "author": "x", "content": {}}), unknown("0", "MESSAGE_CREATE")),
        ("a menu's entry",  "INTERACTION_CREATE", json!({"id": "5", "type": 2, "data": {"type": 3}, "channel_id": DIRECT}), unknown(DIRECT, "INTERACTION_CREATE/2")),
    ];
    let mut stage = Stage::new().await;
    for (name, kind, event, want) in table {
        stage.platform.event(kind, event);
        assert_eq!(brief(&stage.take(1).await[0]), want, "{name}");
    }
    let many = json!({"ids": ["5", "6"], "channel_id": GENERAL, "guild_id": GUILD});
    stage.platform.event("MESSAGE_DELETE_BULK", many);
    assert_eq!(stage.take(2).await.len(), 2);
}

#[tokio::test]
async fn who_said_it_where_and_when() {
    let mut stage = Stage::new().await;
    let user = json!({"id": "1", "username": "ann", "global_name": "Ann"});
    let nick = json!({"content": "a", "author": user, "member": {"nick": "Annie"}});
    #[rustfmt::skip]
    let table = [
        (message(GENERAL, nick),                                   "Annie", ChatKind::Group,  "general"),
        (message(THREAD, json!({"content": "a", "author": user})), "Ann",   ChatKind::Group,  "general"),
        (message(DIRECT, json!({"content": "a"})),                 "ann",   ChatKind::Direct, "ann"),
    ];
    for (event, name, kind, title) in table {
        stage.platform.event("MESSAGE_CREATE", event);
        let got = stage.take(1).await.remove(0);
        assert_eq!((got.sender.id.as_str(), got.sender.name.as_str()), ("1", name));
        assert_eq!((got.chat.kind, got.chat.title.as_str()), (kind, title));
        assert_eq!(got.sent_at.to_string(), "2026-01-02T03:04:05.678Z");
        assert_eq!(got.event_key, format!("m:{ID}"));
    }
    // A thread that began while nobody listened is asked for once.
    stage.platform.event("THREAD_DELETE", json!({"id": THREAD, "guild_id": GUILD}));
    for _ in 0..2 {
        stage.platform.event("MESSAGE_CREATE", message(THREAD, json!({"content": "a"})));
    }
    let got = stage.take(2).await;
    assert!(got.iter().all(|it| it.place.thread.as_deref() == Some(THREAD)), "{got:?}");
    assert_eq!(stage.platform.calls("getChannel").len(), 1);
}

#[tokio::test]
async fn our_own_words_do_not_come_back() {
    let mut stage = Stage::new().await;
    for ours in [json!({"author": {"id": BOT}}), json!({"application_id": APPLICATION})] {
        let ours = message(
            GENERAL,
            with(ours, json!({"content": "echo", "edited_timestamp": "2026-01-02T03:05:00+00:00"})),
        );
        stage.platform.event("MESSAGE_CREATE", ours.clone());
        stage.platform.event("MESSAGE_UPDATE", ours);
    }
    // A preview of a link is no edit.
    stage
        .platform
        .event("MESSAGE_UPDATE", message(GENERAL, json!({"content": "a", "embeds": [{}]})));
    stage.platform.event("CHANNEL_UPDATE", json!({"id": GENERAL, "name": "general"}));
    let bot = json!({"content": "another bot", "author": {"id": "9", "bot": true}});
    stage.platform.event("MESSAGE_CREATE", message(GENERAL, bot));
    let got = stage.take(1).await.remove(0);
    assert!(got.sender.is_bot);
    assert!(matches!(&got.what, Happening::Message(it) if it.text == "another bot"));
}

#[tokio::test]
async fn what_was_sent_comes_back_on_the_line() {
    let mut stage = Stage::new().await;
    let ours = |id: &str| message(GENERAL, json!({"id": id, "author": {"id": BOT}}));
    stage.platform.event("MESSAGE_UPDATE", ours("77"));
    stage.platform.event("MESSAGE_CREATE", message(GENERAL, json!({"id": "77"})));
    stage.take(1).await;
    // The platform tells of what was sent by itself.
    let sent = stage.send(GENERAL, &text("Canary")).await.unwrap().platform_id.unwrap();
    stage.pulse.returned(&sent).await;
    assert_eq!(stage.pulse.returned("77").now_or_never(), None, "neither was ours, or new");
}

#[tokio::test]
async fn commands_and_buttons_are_answered_once_they_are_on_disk() {
    let mut stage = Stage::new().await;
    let command = |name: &str, options: Value| json!({"data": {"id": "5", "name": name, "type": 1, "options": options}});
    let why = json!([{"name": "text", "type": 3, "value": "why @everyone?"}]);
    let press = json!({"message": {"id": ID}, "data": {"component_type": 2, "custom_id": "7:yes"}});
    let answer = |text: &str| json!({"type": 4, "data": {"content": text, "allowed_mentions": {"parse": []}}});
    #[rustfmt::skip]
    let table = [
        (GENERAL, 2, command("ask", why.clone()), "why @everyone?", "mention", answer("> why @everyone?")),
        (DIRECT,  2, command("ask", why),         "why @everyone?", "direct",  answer("> why @everyone?")),
        (THREAD,  2, command("stop", json!([])),  "/stop",          "mention", answer("> `/stop`")),
    ];
    for (channel, kind, event, text, addressed, want) in table {
        let id = stage.platform.interact(channel, "1", kind, event);
        let offer = stage.offer().await;
        assert!(
            !stage.platform.answered().iter().any(|it| it.interaction == id),
            "it is not on disk"
        );
        let place =
            if channel == THREAD { format!("{GENERAL}/{THREAD}") } else { channel.to_owned() };
        let got = json!({"place": place, "type": "message", "text": text, "platform_id": format!("command:{id}"), "addressed": addressed});
        assert_eq!(brief(&offer.events[0]), got);
        assert_eq!(offer.events[0].sender.id, "1");
        let before = stage.platform.figures().answered;
        crate::stage::accept(offer);
        stage.platform.wait(|it| before < it.answered).await;
        assert_eq!(stage.platform.answered()[before].body, want);
    }
    for (what, want) in [(Accepted::New, 6), (Accepted::NotYours, 4)] {
        let before = stage.platform.figures().answered;
        stage.platform.interact(GENERAL, "2", 3, press.clone());
        let offer = stage.offer().await;
        let want_event =
            json!({"place": GENERAL, "type": "pressed", "value": "7:yes", "platform_id": ID});
        assert_eq!(brief(&offer.events[0]), want_event);
        offer.accepted.send(Ok(vec![what])).unwrap();
        stage.platform.wait(|it| before < it.answered).await;
        let body = stage.platform.answered().pop().unwrap().body;
        assert_eq!(body["type"], want);
        // Whoever may not answer is told so, and nobody else is.
        assert_eq!(body["data"]["flags"], if want == 4 { json!(64) } else { Value::Null });
    }
}

#[tokio::test]
async fn the_commands_are_offered_once() {
    let stage = Stage::new().await;
    let count = 1 + ngb_core::command::Verb::ALL.len();
    stage.platform.wait(|it| it.commands == count).await;
    let commands = stage.platform.commands();
    assert_eq!((&commands[0]["name"], &commands[1]["name"]), (&json!("ask"), &json!("help")));
    assert_eq!(commands[1]["name_localizations"]["zh-CN"], "帮助");
    stage.platform.close(Some(4009));
    stage.platform.wait(|it| it.identified == 2).await;
    assert_eq!(stage.platform.calls("getCommands").len(), 1);
}
