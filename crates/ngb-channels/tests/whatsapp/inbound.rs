//! Each kind of event.

use futures_util::TryStreamExt as _;
use ngb_channels::Channel as _;
use ngb_core::message::{Addressed, ChatKind, Content, Happening, MediaKind, MediaRef};
use ngb_sim::whatsapp::Person;
use serde_json::json;

use crate::stage::Stage;

fn content(it: &Happening) -> &Content {
    match it {
        Happening::Message(content) | Happening::Edit(content) => content,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn each_kind_of_message() {
    let mut stage = Stage::new().await;
    #[rustfmt::skip]
    let table = [
        (json!({"type": "text", "text": {"body": "né 😀 مرحبا"}}),                                "né 😀 مرحبا",   None),
        (json!({"type": "button", "button": {"text": "Yes", "payload": "y"}}),                   "Yes",          None),
        (json!({"type": "location", "location": {"latitude": 1.5, "longitude": -2.0, "name": "Home"}}), "[location: Home, 1.5, -2]", None),
        (json!({"type": "contacts", "contacts": [{"name": {"formatted_name": "Bo"}, "phones": [{"phone": "+1"}]}]}), "[contact: Bo, +1]", None),
        (json!({"type": "image", "image": {"id": "77", "mime_type": "image/png", "caption": "look"}}), "look", Some((MediaKind::Photo, "image-wamidA1.png"))),
        (json!({"type": "image", "image": {"id": 77, "mime_type": "image/jpeg"}}),               "",             Some((MediaKind::Photo, "image-wamidA1.jpg"))),
        (json!({"type": "audio", "audio": {"id": "77", "mime_type": "audio/ogg; codecs=opus", "voice": true}}), "", Some((MediaKind::Voice, "audio-wamidA1.ogg"))),
        (json!({"type": "document", "document": {"id": "77", "filename": "../../etc/passwd"}}),   "",             Some((MediaKind::Document, "passwd"))),
        (json!({"type": "sticker", "sticker": {"id": "77", "mime_type": "image/webp"}}),         "",             Some((MediaKind::Sticker, "sticker-wamidA1.webp"))),
    ];
    for (message, text, media) in table {
        let got = stage.hear(message.clone()).await;
        let it = content(&got.what);
        assert_eq!((it.text.as_str(), it.addressed), (text, Addressed::Direct), "{message}");
        let file = it.media.first().map(|it| (it.kind, it.name.as_str()));
        assert_eq!(file, media, "{message}");
        if let Some(file) = it.media.first() {
            assert_eq!(file.reference, "77");
        }
        assert_eq!((got.event_key.as_str(), it.platform_id.as_str()), ("wamid.A1", "wamid.A1"));
        assert_eq!((got.sender.name.as_str(), got.sender.id.as_str()), ("Ann", "16505551234"));
        assert_eq!(got.place.jid.to_string(), "whatsapp@main:16505551234");
    }
}

#[tokio::test]
async fn answers_edits_deletions_presses_and_moves() {
    let mut stage = Stage::new().await;
    let answer = json!({"type": "text", "text": {"body": "x"}, "context": {"id": "wamid.Q", "from": "15550783881"}});
    let got = stage.hear(answer).await;
    assert_eq!(content(&got.what).reply_to.as_deref(), Some("wamid.Q"));

    let edit = json!({"type": "edit", "edit": {
        "original_message_id": "wamid.Q", "message": {"type": "text", "text": {"body": "better"}},
    }});
    let got = stage.hear(edit).await;
    assert_eq!(got.event_key, "wamid.A1", "an event of its own");
    let Happening::Edit(it) = &got.what else { panic!("{got:?}") };
    assert_eq!((it.platform_id.as_str(), it.text.as_str()), ("wamid.Q", "better"));

    let got =
        stage.hear(json!({"type": "revoke", "revoke": {"original_message_id": "wamid.Q"}})).await;
    assert_eq!(got.what, Happening::Delete { platform_id: "wamid.Q".into() });

    for kind in ["button_reply", "list_reply"] {
        let press = json!({"type": "interactive", "context": {"id": "wamid.Q"},
            "interactive": {"type": kind, kind: {"id": "v1", "title": "Yes"}}});
        let got = stage.hear(press).await;
        assert_eq!(
            got.what,
            Happening::Pressed { platform_id: "wamid.Q".into(), value: "v1".into() }
        );
    }
    let moved = json!({"type": "system", "system": {"type": "user_changed_number", "wa_id": "16505559999"}});
    let got = stage.hear(moved).await;
    assert_eq!(got.what, Happening::Moved { to: "whatsapp@main:16505559999".parse().unwrap() });
    let reaction =
        json!({"type": "reaction", "reaction": {"message_id": "wamid.Q", "emoji": "👍"}});
    let got = stage.hear(reaction).await;
    let Happening::Reacted(it) = &got.what else { panic!("{got:?}") };
    assert_eq!((it.text.as_str(), it.reply_to.as_deref()), ("[reacted with 👍]", Some("wamid.Q")));
    // Meta says nothing where it was taken away.
    let gone = json!({"type": "reaction", "reaction": {"message_id": "wamid.Q"}});
    let got = stage.hear(gone).await;
    assert!(matches!(got.what, Happening::Reacted(it) if it.text == "[took the reaction away]"));
}

#[tokio::test]
async fn people_without_a_number_and_groups() {
    let mut stage = Stage::new().await;
    const USER: &str = "US.13491208655302741918";
    let hidden = Person { phone: None, user_id: Some(USER.into()), name: "Bo".into() };
    let both = Person { phone: Some("16505551234".into()), ..hidden.clone() };
    let hi = json!({"type": "text", "text": {"body": "hi"}});
    for who in [hidden, both] {
        let event = stage.platform().event_of(&who, "wamid.1", hi.clone());
        let got = stage.read(&event).await.remove(0);
        // The same chat, whether the number is shown or not.
        assert_eq!(got.place.jid.to_string(), format!("whatsapp@main:{USER}"));
        assert_eq!((got.sender.id.as_str(), got.sender.name.as_str()), (USER, "Bo"));
    }
    let mut group = hi.clone();
    group["group_id"] = "HBgLGROUP".into();
    let got = stage.hear(group.clone()).await;
    assert_eq!((got.place.jid.chat(), got.chat.kind), ("HBgLGROUP", ChatKind::Group));
    assert_eq!(content(&got.what).addressed, Addressed::No);
    group["context"] = json!({"id": "wamid.Q", "from": "15550783881"});
    let got = stage.hear(group).await;
    assert_eq!(content(&got.what).addressed, Addressed::Reply);
}

#[tokio::test]
async fn our_own_echo_is_no_message() {
    let mut stage = Stage::new().await;
    let us = Person::with_phone("15550783881", "Us");
    let event =
        stage.platform().event_of(&us, "wamid.1", json!({"type": "text", "text": {"body": "x"}}));
    assert!(stage.read(&event).await[0].sender.is_bot);
    let echo = json!({"entry": [{"changes": [{"field": "smb_message_echoes", "value": {"message_echoes": [{"id": "wamid.2"}]}}]}]});
    assert_eq!(stage.signed(echo.to_string()).await.await.unwrap().status, 200);
    assert!(stage.offers.try_recv().is_err(), "nothing was offered");
}

#[tokio::test]
async fn late_failures_are_told_and_other_states_are_not() {
    let mut stage = Stage::new().await;
    let platform = stage.platform().clone();
    let status = |status: &str, errors| {
        platform.event(json!({"statuses": [{
            "id": "wamid.S", "status": status, "timestamp": "1", "recipient_id": "16505551234",
            "recipient_user_id": "US.134", "errors": errors,
        }]}))
    };
    for it in ["sent", "delivered", "read"] {
        let event = status(it, json!(null));
        assert_eq!(stage.signed(event.to_string()).await.await.unwrap().status, 200);
    }
    assert!(stage.offers.try_recv().is_err(), "nothing was offered");
    stage.pulse.returned("wamid.S").await;
    let event = status("failed", json!([{"code": 131047, "title": "Re-engagement message"}]));
    let got = stage.read(&event).await;
    let chats: Vec<&str> = got.iter().map(|it| it.place.jid.chat()).collect();
    assert_eq!(chats, ["US.134", "16505551234"], "its chat may go by either");
    for it in got {
        let Happening::Undelivered { platform_id, why } = it.what else { panic!("{it:?}") };
        assert_eq!(platform_id, "wamid.S");
        assert!(why.contains("131047: Re-engagement message") && why.contains("24 hours"), "{why}");
    }
}

#[tokio::test]
async fn files_are_fetched_with_the_token_and_from_metas_hosts_only() {
    let stage = Stage::new().await;
    let id = stage.platform().upload("image/png", "the bytes");
    let media = |reference: &str| MediaRef {
        kind: MediaKind::Photo,
        reference: reference.into(),
        name: "a.png".into(),
        media_type: None,
        size_bytes: None,
    };
    let stream = stage.channel.fetch(&media(&id)).await.unwrap();
    let chunks: Vec<_> = stream.try_collect().await.unwrap();
    assert_eq!(chunks.concat(), b"the bytes");
    for (reference, want) in [("1", "does not exist"), ("../me", "no file"), ("", "no file")] {
        let Err(err) = stage.channel.fetch(&media(reference)).await else { panic!("{reference}") };
        let text = format!("{:#}", anyhow::Error::from(err));
        assert!(text.contains(want), "{reference}: {text}");
    }
}
