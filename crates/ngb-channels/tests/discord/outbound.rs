//! What we send, and what Discord is given.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use ngb_channels::{Answer, Channel as _, Question, Retry};
use ngb_core::message::{Button, Happening, Outbound};
use ngb_sim::{
    discord::{BOT, Config, DIRECT, FORUM, GENERAL, GUILD, Server, THREAD},
    fault::{Fault, How, When},
};
use serde_json::json;

use crate::stage::{Stage, discord, text};

fn why(err: ngb_channels::ChannelError) -> String {
    format!("{:#}", anyhow::Error::from(err))
}

#[tokio::test]
async fn texts_go_where_they_belong() {
    let stage = Stage::new().await;
    let asked = stage.platform.say(GENERAL, "1", "hi");
    let reply =
        |to: &str| Outbound::Text { text: "x".into(), reply_to: Some(to.into()), buttons: vec![] };
    let wide = format!("|a|b|\n|-|-|\n|{}|y|\n{}", "w".repeat(700), "|x|y|\n".repeat(3));
    #[rustfmt::skip]
    let table = [
        (GENERAL.to_owned(),             text("__b__ <@1> <@&5> @everyone"), "**b** <@1> <@&5> @everyone", GENERAL, None,           json!(["1"])),
        (format!("{GENERAL}/{THREAD}"),  text("x"),                          "x",                          THREAD,  None,           json!([])),
        (GENERAL.to_owned(),             reply(&asked),                      "x",                          GENERAL, Some(&asked),   json!([])),
        // A command has no message that could be answered, and a message may be gone.
        (GENERAL.to_owned(),             reply("command:5"),                 "x",                          GENERAL, None,           json!([])),
        (GENERAL.to_owned(),             reply("17"),                        "x",                          GENERAL, None,           json!([])),
        (DIRECT.to_owned(),              text("proactive"),                  "proactive",                  DIRECT,  None,           json!([])),
        // A table that does not fit as lines of equal columns goes as it was written.
        (DIRECT.to_owned(),              text(&wide),                        &*wide,                       DIRECT,  None,           json!([])),
    ];
    for (at, (to, item, want, channel, reply_to, called)) in table.into_iter().enumerate() {
        let sent = stage.send_as(&to, &item, &format!("k-{at}")).await.unwrap();
        let posted = stage.platform.posted().swap_remove(at);
        assert_eq!(sent.platform_id.as_deref(), Some(posted.id.as_str()));
        assert_eq!((posted.content.as_str(), posted.channel.as_str()), (want, channel), "{to}");
        assert_eq!(posted.reply_to.as_ref(), reply_to, "{to}");
        let want = json!({"parse": [], "users": called, "replied_user": true});
        assert_eq!(posted.allowed_mentions, want, "nobody is called who isn't named");
    }
    // A forum takes posts.
    stage.send_as(FORUM, &text("# News\n\nof today"), "k-f").await.unwrap();
    let body = stage.platform.calls("createPost").remove(0);
    assert_eq!(
        (&body["name"], &body["message"]["content"]),
        (&json!("News"), &json!("# News\n\nof today"))
    );
    let err = stage.send("general", &text("x")).await.unwrap_err();
    assert!(why(err).contains("`general` is no channel of Discord; it is a number"));
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
        let err = stage.send(GENERAL, &text("x")).await.unwrap_err();
        assert_eq!((err.retry, err.maybe_done), (Retry::Backoff, true), "{how:?}");
        let sent = stage.send(GENERAL, &text("x")).await.unwrap();
        let posted = stage.platform.posted();
        assert_eq!(posted.len(), 1, "{how:?}");
        assert_eq!(sent.platform_id.as_deref(), Some(posted[0].id.as_str()));
    }
}

#[tokio::test]
async fn buttons_come_and_go() {
    let stage = Stage::new().await;
    let button = |label: &str, value: &str| Button { label: label.into(), value: value.into() };
    let mut buttons = vec![button(&"y".repeat(100), "7:yes")];
    buttons.extend((0..5).map(|at| button("No", &format!("7:{at}"))));
    let item = Outbound::Text { text: "which?".into(), reply_to: None, buttons };
    let sent = stage.send(GENERAL, &item).await.unwrap();
    let rows = stage.platform.posted()[0].components.clone();
    assert_eq!(rows[0]["components"][0]["custom_id"], "7:yes");
    assert_eq!(rows[1]["components"].as_array().unwrap().len(), 1, "five in a row");
    let platform_id = sent.platform_id.unwrap();
    let edit = Outbound::Edit { platform_id, text: "Yes, said Ann".into(), buttons: vec![] };
    stage.send(GENERAL, &edit).await.unwrap();
    let posted = stage.platform.posted().remove(0);
    assert_eq!(
        (posted.content.as_str(), posted.components, posted.edits),
        ("Yes, said Ann", json!([]), 1)
    );
    let text = |buttons| Outbound::Text { text: "x".into(), reply_to: None, buttons };
    let err = stage.send(GENERAL, &text(vec![button("x", &"v".repeat(65))])).await.unwrap_err();
    assert!(why(err).contains("is not 1 to 64 bytes"));
    let many = (0..26).map(|at| button("x", &at.to_string())).collect();
    let err = stage.send(GENERAL, &text(many)).await.unwrap_err();
    assert!(why(err).contains("more than 25"));
}

#[tokio::test]
async fn files_go_out_and_come_back() {
    let mut stage = Stage::new().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.png");
    std::fs::write(&path, b"picture").unwrap();
    let file = |name: &str| Outbound::File {
        path: dir.path().join(name),
        name: name.into(),
        caption: "__see__".into(),
        reply_to: None,
    };
    let sent = stage.send(&format!("{GENERAL}/{THREAD}"), &file("a.png")).await.unwrap();
    let posted = stage.platform.posted().remove(0);
    assert_eq!((posted.channel.as_str(), posted.content.as_str()), (THREAD, "**see**"));
    assert_eq!((sent.platform_id.unwrap(), posted.files[0].1.as_str()), (posted.id, "a.png"));
    assert_eq!(stage.platform.file(&posted.files[0].0).unwrap(), "picture");
    std::fs::File::create(dir.path().join("b.bin")).unwrap().set_len((10 << 20) + 1).unwrap();
    let err = stage.send(GENERAL, &file("b.bin")).await.unwrap_err();
    assert!(why(err).contains("no file of at most 10 MB"));

    let attachment = stage.platform.add_file("in.png", "image/png", "a picture");
    stage.platform.message(GENERAL, json!({"attachments": [attachment]}));
    let got = stage.take(1).await.remove(0);
    let ngb_core::message::Happening::Message(content) = got.what else { panic!("a message") };
    // The link that came with the message is worth nothing after a day; a fresh one is asked for.
    stage.platform.expire_links();
    let chunks: Vec<_> =
        stage.channel.fetch(&content.media[0]).await.unwrap().try_collect().await.unwrap();
    assert_eq!(chunks.concat(), b"a picture");
    let gone = ngb_core::message::MediaRef {
        reference: format!("{GENERAL}/17/18"),
        ..content.media[0].clone()
    };
    let err = stage.channel.fetch(&gone).await.err().unwrap();
    assert!(why(err).contains("the message is gone"));
}

#[tokio::test]
async fn something_is_seen_while_the_agent_works() {
    let stage = Stage::new().await;
    stage.send(&format!("{GENERAL}/{THREAD}"), &Outbound::Typing).await.unwrap();
    assert_eq!(stage.platform.calls("typing").len(), 1);
}

#[tokio::test]
async fn budgets_are_kept_before_discord_has_to_say_so() {
    let stage = Stage::new().await;
    stage.platform.budget(GENERAL, 1, 60.0);
    stage.send_as(GENERAL, &text("a"), "k-1").await.unwrap();
    let err = stage.send_as(GENERAL, &text("b"), "k-2").await.unwrap_err();
    let Retry::After(wait) = err.retry else { panic!("{err:?}") };
    assert!((Duration::from_secs(50)..=Duration::from_secs(60)).contains(&wait), "{wait:?}");
    assert!(!err.maybe_done);
    assert_eq!(stage.platform.calls("createMessage").len(), 1, "Discord was not asked");
    // Another channel has a budget of its own.
    stage.send_as(DIRECT, &text("c"), "k-3").await.unwrap();
}

#[tokio::test]
async fn a_refused_send_says_what_to_do() {
    #[rustfmt::skip]
    let table = [
        (50_013, "Missing Permissions",  Retry::Never,   "give the bot's role Send Messages"),
        (50_001, "Missing Access",       Retry::Never,   "View Channel"),
        (50_007, "Cannot send messages", Retry::Never,   "takes no direct messages from bots"),
        (10_003, "Unknown Channel",      Retry::Never,   "the channel is gone"),
        (99_999, "Brand new",            Retry::Never,   "Discord said 99999 `Brand new`"),
        (130_000, "Overloaded",          Retry::Backoff, "130000"),
    ];
    for (code, message, retry, want) in table {
        let stage = Stage::new().await;
        stage.platform.refuse("createMessage", code, message);
        let err = stage.send(GENERAL, &text("x")).await.unwrap_err();
        assert_eq!((err.retry, err.maybe_done), (retry, false), "{code}");
        let told = why(err);
        assert!(told.contains(want), "{told}");
    }
    let stage = Stage::new().await;
    let fault = Fault {
        method: "createMessage".into(),
        how: How::TooManyRequests { retry_after_s: 7 },
        when: When::Next(1),
    };
    stage.platform.fault(fault);
    let err = stage.send(GENERAL, &text("x")).await.unwrap_err();
    assert_eq!((err.retry, err.maybe_done), (Retry::After(Duration::from_secs(7)), false));
    let wrong = discord(&stage.server, "wrong-token");
    let err = wrong.ask(&Question::WhoAmI).await.unwrap_err();
    assert_eq!(err.retry, Retry::Never);
    let seen = format!("{err:?}");
    let told = format!("{seen} {}", why(err));
    assert!(
        told.contains("Discord does not take the token")
            && !told.contains("wrong-token")
            && !told.contains("http:"),
        "{told}"
    );
}

#[tokio::test]
async fn who_am_i() {
    for (message_content, remarks) in [(true, 0), (false, 1)] {
        let server = Server::start(Config { message_content, ..Config::default() }).await.unwrap();
        let channel = discord(&server, &server.token);
        let Answer::Me { id, name, remarks: said } = channel.ask(&Question::WhoAmI).await.unwrap()
        else {
            panic!("me")
        };
        assert_eq!((id.as_str(), name.as_str(), said.len()), (BOT, "nano", remarks));
        assert!(said.iter().all(|it| it.contains("Message Content Intent")), "{said:?}");
    }
}

#[tokio::test]
async fn reactions_go_both_ways() {
    let mut stage = Stage::new().await;
    let said = stage.platform.say(GENERAL, "ann", "hi");
    stage.take(1).await;
    let react = |id: &str| Outbound::React { platform_id: id.into(), emoji: "👍".into() };
    stage.send(GENERAL, &react(&said)).await.unwrap();
    assert_eq!(stage.platform.reactions(), [(said.clone(), "%F0%9F%91%8D".into())]);
    let unreact = Outbound::Unreact { platform_id: said.clone(), emoji: "👍".into() };
    stage.send(GENERAL, &unreact).await.unwrap();
    assert!(stage.platform.reactions().is_empty());
    for bad in ["../../x", "5"] {
        assert_eq!(stage.send(GENERAL, &react(bad)).await.unwrap_err().retry, Retry::Never);
    }

    let thumb = json!({"id": null, "name": "👍"});
    let own = json!({"id": "77", "name": "parrot"});
    #[rustfmt::skip]
    let table = [
        ("MESSAGE_REACTION_ADD",    &thumb, "[reacted with 👍]"),
        ("MESSAGE_REACTION_ADD",    &own,   "[reacted with :parrot:]"),
        ("MESSAGE_REACTION_REMOVE", &thumb, "[took the reaction 👍 away]"),
    ];
    for (kind, emoji, want) in table {
        let event = json!({"user_id": "1", "channel_id": GENERAL, "guild_id": GUILD, "message_id": said, "emoji": emoji});
        let mut ours = event.clone();
        ours["user_id"] = BOT.into();
        stage.platform.event(kind, ours);
        stage.platform.event(kind, event);
        let got = stage.take(1).await.remove(0);
        assert_eq!((got.place.jid.chat(), got.sender.id.as_str()), (GENERAL, "1"));
        let Happening::Reacted(it) = got.what else { panic!("{:?}", got.what) };
        assert_eq!((it.text.as_str(), it.reply_to.as_deref()), (want, Some(said.as_str())));
    }
}
