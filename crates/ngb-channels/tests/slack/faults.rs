//! What goes wrong, and that nothing is lost or told twice.

use std::time::Duration;

use ngb_channels::{Mark, Retry, supervise::ChannelState};
use ngb_core::{
    clock::Clock,
    message::{Addressed, Happening, Inbound},
};
use ngb_sim::{
    fault::{Fault, How, When},
    slack::{BOT_USER, Config, Server},
};

use crate::stage::{Stage, accept, place, refuse, text};

fn next(method: &str, how: How) -> Fault {
    Fault { method: method.into(), how, when: When::Next(1) }
}

fn texts(events: &[Inbound]) -> Vec<&str> {
    let said = |it: &'_ Inbound| matches!(it.what, Happening::Message(_));
    assert!(events.iter().all(said), "{events:?}");
    events
        .iter()
        .filter_map(|it| match &it.what {
            Happening::Message(it) => Some(it.text.as_str()),
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn an_envelope_is_acknowledged_only_after_acceptance() {
    let mut stage = Stage::new().await;
    stage.platform.say("C1", "U1", "a");
    let offer = stage.offer().await;
    let first = offer.events.clone();
    assert_eq!(stage.platform.figures().acknowledged, 0);
    refuse(offer);
    stage.platform.repeat();
    let again = stage.offer().await;
    assert_eq!((&again.events, stage.platform.figures().acknowledged), (&first, 0));
    accept(again);
    stage.platform.wait(|it| it.pending == 0).await;
}

#[tokio::test]
async fn a_refresh_opens_the_next_socket_before_the_last_is_closed() {
    let mut stage = Stage::new().await;
    stage.platform.wait(|it| it.sockets == 1).await;
    for reason in ["warning", "refresh_requested"] {
        let before = stage.platform.figures();
        stage.platform.say("C1", "U1", "before");
        stage.platform.disconnect(reason);
        assert_eq!(texts(&stage.take(1).await), ["before"], "{reason}");
        let both = stage.platform.wait(|it| before.opened < it.opened).await;
        assert!(2 <= both.sockets, "{reason}: {both:?}");
        stage.platform.say("C1", "U1", "after");
        assert_eq!(texts(&stage.take(1).await), ["after"], "{reason}");
        stage.platform.wait(|it| it.pending == 0).await;
    }
    assert_eq!(*stage.status.borrow(), ChannelState::Up, "it was never down");
}

#[tokio::test]
async fn every_end_of_a_socket_is_survived() {
    for end in [None, Some(1000), Some(1001), Some(1011), Some(4000)] {
        let mut stage = Stage::new().await;
        stage.platform.wait(|it| it.sockets == 1).await;
        stage.platform.close(end);
        stage.platform.say("C1", "U1", "meanwhile");
        assert_eq!(texts(&stage.take(1).await), ["meanwhile"], "{end:?}");
        stage.platform.wait(|it| it.pending == 0).await;
    }
}

#[tokio::test]
async fn what_was_missed_is_fetched_once_and_in_order() {
    let server = Server::start(Config::default()).await.unwrap();
    let platform = server.platform.clone();
    let before = Clock::System.now() - Duration::from_secs(600);
    platform.name("U1", "Ann");
    let root = platform.miss("C1", None, "U1", "known");
    for at in 0..50 {
        platform.miss("C1", None, "U1", &at.to_string());
    }
    platform.miss("C1", Some(&root), "U1", "in the thread");
    let begun = platform.miss("C1", None, "U1", "begins");
    platform.miss("C1", Some(&begun), "U1", &format!("<@{BOT_USER}> in a new thread"));
    platform.miss("D1", None, "U1", "alone");
    platform.miss("C9", None, "U1", "where we are not any more");
    platform.remove_from("C9");
    // Asked to wait, and then again: nothing is given up.
    let busy = How::TooManyRequests { retry_after_s: 0 };
    platform.fault(next("conversations.history", busy));
    let at = |to: &str| Mark { place: place(to), sent_at: before };
    let marks = vec![at(&format!("C1/{root}")), at("D1"), at("C9"), at("C1")];
    let (bot, app) = (server.bot_token.clone(), server.app_token.clone());
    let mut stage = Stage::with(server, &bot, &app, marks);
    let got = stage.take(55).await;
    let mut want = vec!["known".to_owned()];
    want.extend((0..50).map(|it| it.to_string()));
    want.extend(["in the thread", "begins", "@nano in a new thread", "alone"].map(str::to_owned));
    assert_eq!(texts(&got), want, "once, in order");
    assert_eq!(got[0].event_key, format!("m:C1:{root}"), "the key of the event that was lost");
    assert_eq!(
        (&got[51].place, &got[53].place),
        (&place(&format!("C1/{root}")), &place(&format!("C1/{begun}")))
    );
    let Happening::Message(asked) = &got[53].what else { unreachable!() };
    assert_eq!((asked.addressed, got[53].sender.name.as_str()), (Addressed::Mention, "Ann"));
    stage.platform.say("C1", "U1", "live");
    assert_eq!(texts(&stage.take(1).await), ["live"]);
    stage.platform.wait(|it| it.pending == 0).await;
}

#[tokio::test]
async fn what_is_new_waits_for_what_was_missed() {
    let server = Server::start(Config::default()).await.unwrap();
    server.platform.miss("C1", None, "U1", "missed");
    server.platform.say("C1", "U1", "new");
    server.platform.fault(next("conversations.history", How::Slow { ms: 300 }));
    let sent_at = Clock::System.now() - Duration::from_secs(60);
    let (bot, app) = (server.bot_token.clone(), server.app_token.clone());
    let mut stage = Stage::with(server, &bot, &app, vec![Mark { place: place("C1"), sent_at }]);
    // The history has what is new already; its key drops the second one.
    assert_eq!(texts(&stage.take(3).await), ["missed", "new", "new"]);
    stage.platform.wait(|it| it.pending == 0).await;
}

#[tokio::test]
async fn frames_that_are_no_envelopes_block_nothing() {
    let mut stage = Stage::new().await;
    stage.platform.wait(|it| it.sockets == 1).await;
    for frame in ["", "{", "null", "17", "[]", "{\"type\":5}", "{\"envelope_id\":5}", "😀"] {
        stage.platform.frame(frame);
    }
    stage.platform.frame(format!("{}1{}", "[".repeat(5000), "]".repeat(5000)));
    stage.platform.say("C1", "U1", &"x".repeat(1 << 20));
    let got = stage.take(1).await;
    assert_eq!(texts(&got)[0].len(), 1 << 20);
    stage.platform.wait(|it| it.pending == 0).await;
}

#[tokio::test]
async fn a_flood_comes_whole_and_in_order() {
    const COUNT: usize = 2_000;
    let mut stage = Stage::new().await;
    for at in 0..COUNT {
        stage.platform.say("C1", "U1", &at.to_string());
    }
    let got = stage.take(COUNT).await;
    let order: Vec<usize> = texts(&got).iter().map(|it| it.parse().unwrap()).collect();
    assert_eq!(order, (0..COUNT).collect::<Vec<_>>());
    stage.platform.wait(|it| it.pending == 0).await;
}

#[tokio::test]
async fn what_can_not_work_is_down_and_says_so() {
    #[rustfmt::skip]
    let table = [
        ("xoxb-wrong", "",           "",              "take the token anew"),
        ("",           "xapp-wrong", "",              "take the token anew"),
        ("",           "bot",        "",              "`app_token` is the one that begins with `xapp-`"),
        ("",           "",           "missing_scope", "add the scope on the app's page"),
    ];
    for (bot, app, refused, want) in table {
        let server = Server::start(Config::default()).await.unwrap();
        let own = (server.bot_token.clone(), server.app_token.clone());
        let bot = if bot.is_empty() { own.0.as_str() } else { bot };
        let app = match app {
            "" => own.1.as_str(),
            "bot" => own.0.as_str(),
            other => other,
        };
        if !refused.is_empty() {
            server.platform.refuse("apps.connections.open", refused);
        }
        let mut stage = Stage::with(server, bot, app, Vec::new());
        let state = stage.until(|it| matches!(it, ChannelState::Down { .. })).await;
        let ChannelState::Down { why } = state else { unreachable!() };
        assert!(why.contains(want) && !why.contains("wrong"), "{why}");
        stage.stop.cancel();
    }
    let mut stage = Stage::new().await;
    stage.platform.wait(|it| it.sockets == 1).await;
    stage.platform.disconnect("link_disabled");
    let state = stage.until(|it| matches!(it, ChannelState::Down { .. })).await;
    assert!(
        matches!(state, ChannelState::Down { why } if why.contains("Socket Mode was turned off"))
    );
}

#[tokio::test]
async fn a_failed_send_says_what_next() {
    #[rustfmt::skip]
    let table = [
        (How::TooManyRequests { retry_after_s: 7 }, Retry::After(Duration::from_secs(7)), false, 0),
        (How::Status { code: 500 },                 Retry::Backoff,                       true,  0),
        (How::Status { code: 503 },                 Retry::Backoff,                       true,  0),
        (How::CutBefore,                            Retry::Backoff,                       true,  0),
        (How::CutAfter,                             Retry::Backoff,                       true,  1),
        (How::HalfBody,                             Retry::Backoff,                       true,  1),
    ];
    for (how, retry, maybe_done, shown) in table {
        let stage = Stage::new().await;
        stage.platform.fault(next("send*", how.clone()));
        let err = stage.send("C1", &text("x")).await.unwrap_err();
        assert_eq!((err.retry, err.maybe_done), (retry, maybe_done), "{how:?}");
        assert_eq!(stage.platform.posted().len(), shown, "{how:?}");
        let token = &stage.server.bot_token;
        let seen = format!("{err:?}");
        let told = format!("{seen} {:#}", anyhow::Error::from(err));
        assert!(!told.contains(token.as_str()) && !told.contains("http:"), "{told}");
    }
    #[rustfmt::skip]
    let table = [
        ("not_in_channel",      Retry::Never,   false, "invite the bot with /invite"),
        ("is_archived",         Retry::Never,   false, "the channel is archived"),
        ("some_new_code",       Retry::Never,   false, "Slack said `some_new_code`"),
        ("internal_error",      Retry::Backoff, true,  "internal_error"),
        ("service_unavailable", Retry::Backoff, false, "service_unavailable"),
    ];
    let stage = Stage::new().await;
    for (code, retry, maybe_done, want) in table {
        stage.platform.refuse("chat.postMessage", code);
        let err = stage.send("C1", &text("x")).await.unwrap_err();
        assert_eq!((err.retry, err.maybe_done), (retry, maybe_done), "{code}");
        let told = format!("{:#}", anyhow::Error::from(err));
        assert!(told.contains(want), "{told}");
    }
    let err = stage.send("general", &text("x")).await.unwrap_err();
    assert_eq!((err.retry, err.maybe_done), (Retry::Never, false));
}
