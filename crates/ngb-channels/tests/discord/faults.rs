//! What goes wrong, and that nothing is lost or told twice.

use std::time::Duration;

use ngb_channels::{Mark, supervise::ChannelState};
use ngb_core::{
    clock::Clock,
    message::{Happening, Inbound},
};
use ngb_sim::{
    discord::{Config, DIRECT, GENERAL, Server, THREAD},
    fault::{Fault, How, When},
};
use serde_json::json;

use crate::stage::{Stage, accept, place, refuse};

fn texts(events: &[Inbound]) -> Vec<&str> {
    let text = |it: &'_ Inbound| matches!(it.what, Happening::Message(_));
    assert!(events.iter().all(text), "{events:?}");
    events
        .iter()
        .filter_map(|it| match &it.what {
            Happening::Message(it) => Some(it.text.as_str()),
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn what_is_not_stored_comes_again() {
    let mut stage = Stage::new().await;
    stage.platform.say(GENERAL, "1", "a");
    let offer = stage.offer().await;
    let first = offer.events.clone();
    refuse(offer);
    let again = stage.offer().await;
    assert_eq!(again.events, first);
    accept(again);
    let figures = stage.platform.wait(|it| it.resumed == 1).await;
    assert_eq!(figures.identified, 1, "the session was taken up again");
}

#[tokio::test]
async fn every_end_of_a_socket_is_survived() {
    // The cut, the code, whether the session is over, and what is done then.
    let ends =
        [None, Some(1000), Some(1001), Some(4000), Some(4001), Some(4002), Some(4005), Some(4008)];
    for end in ends {
        let mut stage = Stage::new().await;
        stage.platform.close(end);
        stage.platform.say(GENERAL, "1", "meanwhile");
        assert_eq!(texts(&stage.take(1).await), ["meanwhile"], "{end:?}");
        let figures = stage.platform.wait(|it| it.resumed == 1).await;
        assert_eq!((figures.identified, figures.opened), (1, 2), "{end:?}");
    }
    let stage = Stage::new().await;
    stage.platform.frame(json!({"op": 7, "d": null}).to_string());
    let figures = stage.platform.wait(|it| it.resumed == 1).await;
    assert_eq!(figures.identified, 1, "moved elsewhere");
    stage.platform.frame(json!({"op": 9, "d": true}).to_string());
    stage.platform.wait(|it| it.resumed == 2).await;
}

#[tokio::test]
async fn a_session_that_is_over_begins_anew_and_fetches_what_was_missed() {
    let server = Server::start(Config::default()).await.unwrap();
    let at = |place: &str| Mark {
        place: crate::stage::place(place),
        sent_at: Clock::System.now() - Duration::from_secs(1),
    };
    let marks = vec![at(GENERAL), at(&format!("{GENERAL}/{THREAD}")), at(DIRECT), at("17")];
    let token = server.token.clone();
    let mut stage = Stage::with(server, &token, marks);
    stage.greet().await;
    // Nobody is told of these: the session is forgotten first.
    stage.platform.forget_session();
    for at in 0..50 {
        stage.platform.say(GENERAL, "1", &at.to_string());
    }
    stage.platform.say(THREAD, "1", "in the thread");
    stage.platform.say(DIRECT, "1", "alone");
    stage.platform.close(None);
    // The last one that is known comes again, and its key drops it.
    let got = stage.take(53).await.split_off(1);
    let want: Vec<String> = (0..50).map(|it| it.to_string()).collect();
    assert_eq!(texts(&got)[..50], want, "once, in order");
    assert_eq!(texts(&got)[50..], ["in the thread", "alone"]);
    assert_eq!(got[50].place, place(&format!("{GENERAL}/{THREAD}")));
    assert_eq!(got[0].chat.kind, ngb_core::message::ChatKind::Group);
    assert_eq!(got[51].chat.kind, ngb_core::message::ChatKind::Direct);
    stage.platform.say(GENERAL, "1", "live");
    assert_eq!(texts(&stage.take(1).await), ["live"]);
    let figures = stage.platform.figures();
    assert_eq!((figures.identified, figures.resumed), (2, 0));
}

#[tokio::test]
async fn what_is_new_waits_for_what_was_missed() {
    let server = Server::start(Config::default()).await.unwrap();
    let sent_at = Clock::System.now() - Duration::from_secs(1);
    let slow =
        Fault { method: "getChannel".into(), how: How::Slow { ms: 300 }, when: When::Next(1) };
    server.platform.say(GENERAL, "1", "missed");
    server.platform.fault(slow);
    let token = server.token.clone();
    let mut stage = Stage::with(server, &token, vec![Mark { place: place(GENERAL), sent_at }]);
    stage.platform.wait(|it| it.seq == 2).await;
    stage.platform.say(GENERAL, "1", "new");
    let got = stage.take(2).await;
    assert_eq!(texts(&got)[0], "missed");
    assert_eq!(*texts(&got).last().unwrap(), "new");
}

#[tokio::test]
async fn a_heartbeat_that_is_not_answered_ends_the_connection() {
    let config = Config { heartbeat: Duration::from_millis(200), ..Config::default() };
    let server = Server::start(config).await.unwrap();
    let token = server.token.clone();
    let mut stage = Stage::with(server, &token, Vec::new());
    stage.platform.wait(|it| 2 <= it.heartbeats).await;
    stage.platform.be_deaf(true);
    stage.platform.wait(|it| it.opened == 2).await;
    stage.platform.be_deaf(false);
    stage.platform.say(GENERAL, "1", "still there");
    assert_eq!(texts(&stage.take(1).await), ["still there"]);
    assert_eq!(stage.platform.figures().identified, 1, "the session was taken up again");
    // A heartbeat that Discord asks for is given at once.
    let before = stage.platform.figures().heartbeats;
    stage.platform.frame(json!({"op": 1, "d": null}).to_string());
    stage.platform.wait(|it| before < it.heartbeats).await;
}

#[tokio::test]
async fn frames_that_are_no_events_block_nothing() {
    let mut stage = Stage::new().await;
    for frame in ["", "{", "null", "17", "[]", "{\"op\":\"x\"}", "{\"op\":0}", "{\"op\":99}", "😀"]
    {
        stage.platform.frame(frame);
    }
    stage.platform.frame(format!("{}1{}", "[".repeat(5000), "]".repeat(5000)));
    stage.platform.say(GENERAL, "1", &"x".repeat(1 << 20));
    let got = stage.take(2).await;
    assert!(
        matches!(&got[0].what, Happening::Unknown { kind } if kind == "no type"),
        "{:?}",
        got[0]
    );
    assert_eq!(texts(&got[1..])[0].len(), 1 << 20);
}

#[tokio::test]
async fn a_flood_comes_whole_and_in_order() {
    const COUNT: usize = 2_000;
    let mut stage = Stage::new().await;
    for at in 0..COUNT {
        stage.platform.say(GENERAL, "1", &at.to_string());
    }
    let got = stage.take(COUNT).await;
    let order: Vec<usize> = texts(&got).iter().map(|it| it.parse().unwrap()).collect();
    assert_eq!(order, (0..COUNT).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_can_not_work_is_down_and_says_so() {
    #[rustfmt::skip]
    let table = [
        (Some(4004), "make a new one on the page Bot"),
        (Some(4010), "a newer version is needed"),
        (Some(4011), "take it out of some"),
        (Some(4012), "a newer version is needed"),
        (Some(4013), "intents"),
        (Some(4014), "turn on Message Content Intent"),
    ];
    for (code, want) in table {
        let mut stage = Stage::new().await;
        stage.platform.close(code);
        let state = stage.until(|it| matches!(it, ChannelState::Down { .. })).await;
        assert!(matches!(&state, ChannelState::Down { why } if why.contains(want)), "{state:?}");
    }
    let server = Server::start(Config::default()).await.unwrap();
    let mut stage = Stage::with(server, "wrong", Vec::new());
    let state = stage.until(|it| matches!(it, ChannelState::Down { .. })).await;
    assert!(
        matches!(&state, ChannelState::Down { why } if why.contains("does not take the token")),
        "{state:?}"
    );
    let server =
        Server::start(Config { message_content: false, ..Config::default() }).await.unwrap();
    let token = server.token.clone();
    let mut stage = Stage::with(server, &token, Vec::new());
    let state = stage.until(|it| matches!(it, ChannelState::Down { .. })).await;
    assert!(
        matches!(&state, ChannelState::Down { why } if why.contains("Message Content Intent")),
        "{state:?}"
    );
    // Who identifies too often loses the token, so the count of the day is heeded.
    let server = Server::start(Config::default()).await.unwrap();
    server.platform.leave_sessions(0);
    let token = server.token.clone();
    let mut stage = Stage::with(server, &token, Vec::new());
    let state = stage.until(|it| matches!(it, ChannelState::Waiting { .. })).await;
    let ChannelState::Waiting { until, why } = state else { unreachable!() };
    assert!(Duration::from_secs(3 * 3600) < until.since(Clock::System.now()), "{why}");
}
