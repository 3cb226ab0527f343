//! What goes wrong, and that nothing is lost or told twice.

use std::time::Duration;

use ngb_channels::{Mark, supervise::ChannelState};
use ngb_core::{
    clock::Clock,
    message::{Happening, Inbound},
};
use ngb_sim::feishu::Config;
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
async fn a_frame_is_acknowledged_only_after_acceptance() {
    let mut stage = Stage::new().await;
    stage.platform.say("oc_1", "ou_1", "a");
    let offer = stage.offer().await;
    let first = offer.events.clone();
    assert_eq!(stage.platform.figures().acknowledged, 0);
    refuse(offer);
    stage.platform.repeat();
    let again = stage.offer().await;
    assert_eq!((&again.events, stage.platform.figures().acknowledged), (&first, 0));
    accept(again);
    let figures = stage.platform.wait(|it| it.pending == 0).await;
    assert_eq!(figures.broken, 0);
}

#[tokio::test]
async fn an_event_in_parts_is_one_event_and_acknowledged_once() {
    let mut stage = Stage::new().await;
    for parts in [2, 7] {
        stage.platform.split(parts);
        let before = stage.platform.figures().acknowledged;
        stage.platform.say("oc_1", "ou_1", "in parts 😀");
        assert_eq!(texts(&stage.take(1).await), ["in parts 😀"], "{parts}");
        let figures = stage.platform.wait(|it| it.pending == 0).await;
        assert_eq!((figures.acknowledged - before, figures.broken), (1, 0));
    }
}

#[tokio::test]
async fn every_end_of_a_connection_is_survived() {
    for end in [None, Some(1000), Some(1001), Some(1011)] {
        let mut stage = Stage::new().await;
        stage.platform.close(end);
        stage.platform.say("oc_1", "ou_1", "meanwhile");
        assert_eq!(texts(&stage.take(1).await), ["meanwhile"], "{end:?}");
        stage.platform.wait(|it| it.pending == 0 && it.opened == 2).await;
    }
}

#[tokio::test]
async fn what_was_missed_is_fetched_before_what_is_new() {
    let at =
        |it: &str| Mark { place: place(it), sent_at: Clock::System.now() - Duration::from_secs(2) };
    let marks = vec![at("oc_1"), at("oc_1/om_root"), at("oc_p1"), at("4d7a")];
    let mut stage = Stage::with(Config::default(), "", marks).await;
    stage.platform.wait(|it| it.sockets == 1).await;
    let none = json!({});
    let words = |it: &str| json!({"text": it});
    // Nobody is told of these.
    for it in 0..60 {
        stage.platform.note("oc_1", "ou_1", "text", &words(&it.to_string()), &none);
    }
    let root =
        json!({"message_id": "om_root", "thread_id": "omt_1", "create_time": "1700000000000"});
    stage.platform.note("oc_1", "ou_1", "text", &words("root"), &root);
    let inner = json!({"thread_id": "omt_1", "root_id": "om_root", "parent_id": "om_root"});
    stage.platform.note("oc_1", "ou_1", "text", &words("in the topic"), &inner);
    stage.platform.note("oc_p1", "ou_1", "text", &words("alone"), &none);
    stage.platform.close(None);
    stage.platform.say("oc_1", "ou_1", "new");
    let got = stage.take(63).await;
    let want: Vec<String> = (0..60).map(|it| it.to_string()).collect();
    assert_eq!(texts(&got)[..60], want, "once, in order");
    // The history has what is new already; its key drops the second one.
    assert_eq!(texts(&got)[60..], ["new", "in the topic", "alone"]);
    assert_eq!(got[61].place, place("oc_1/om_root"));
    assert_eq!(got[62].chat.kind, ngb_core::message::ChatKind::Direct);
    let again = stage.take(1).await;
    assert_eq!((texts(&again), &again[0].event_key), (vec!["new"], &got[60].event_key));
}

#[tokio::test]
async fn a_ping_that_is_not_answered_ends_the_connection() {
    let mut stage = Stage::with(Config { ping_s: 1, ..Config::default() }, "", Vec::new()).await;
    stage.platform.wait(|it| 1 <= it.pings).await;
    stage.platform.be_deaf(true);
    stage.platform.wait(|it| it.opened == 2).await;
    stage.platform.be_deaf(false);
    stage.platform.say("oc_1", "ou_1", "still there");
    assert_eq!(texts(&stage.take(1).await), ["still there"]);
}

#[tokio::test]
async fn frames_that_can_not_be_read_block_nothing() {
    let mut stage = Stage::new().await;
    for bytes in
        [&b""[..], b"\x00", b"\xff\xff\xff", b"{}", &[8, 0, 16, 0, 24, 0, 32, 9], &[0; 1000]]
    {
        stage.platform.frame(bytes);
    }
    stage.platform.say("oc_1", "ou_1", &"x".repeat(100_000));
    assert_eq!(texts(&stage.take(1).await)[0].len(), 100_000);
    stage.platform.wait(|it| it.pending == 0).await;
}

#[tokio::test]
async fn a_flood_comes_whole_and_in_order() {
    const COUNT: usize = 2_000;
    let mut stage = Stage::new().await;
    for at in 0..COUNT {
        stage.platform.say("oc_1", "ou_1", &at.to_string());
    }
    let got = stage.take(COUNT).await;
    let order: Vec<usize> = texts(&got).iter().map(|it| it.parse().unwrap()).collect();
    assert_eq!(order, (0..COUNT).collect::<Vec<_>>());
    stage.platform.wait(|it| it.pending == 0).await;
}

#[tokio::test]
async fn what_can_not_work_is_down_and_says_so() {
    let mut stage = Stage::with(Config::default(), "wrong-secret", Vec::new()).await;
    let state = stage.until(|it| matches!(it, ChannelState::Down { .. })).await;
    let ChannelState::Down { why } = state else { unreachable!() };
    assert!(why.contains("`app_secret` is wrong") && !why.contains("wrong-secret"), "{why}");
    #[rustfmt::skip]
    let table = [(403, "使用长连接接收事件"), (514, "not those of an app")];
    for (code, want) in table {
        let mut stage = Stage::new().await;
        stage.platform.refuse("endpoint", code);
        stage.platform.close(None);
        let state = stage.until(|it| matches!(it, ChannelState::Down { .. })).await;
        assert!(matches!(&state, ChannelState::Down { why } if why.contains(want)), "{state:?}");
    }
    let mut stage = Stage::new().await;
    stage.platform.refuse("endpoint", 1_000_040_350);
    stage.platform.close(None);
    let is_full = |it: &ChannelState| matches!(it, ChannelState::Waiting { why, .. } if why.contains("50 connections"));
    stage.until(is_full).await;
}
