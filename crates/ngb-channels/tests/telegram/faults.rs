//! What goes wrong, and that nothing is lost or told twice.

use std::time::Duration;

use ngb_channels::{Retry, supervise::ChannelState};
use ngb_core::message::Happening;
use ngb_sim::telegram::{Config, Draft, Fault, How, Server, When};
use serde_json::json;

use crate::stage::{Stage, accept, channel, refuse, text};

fn next(method: &str, how: How) -> Fault {
    Fault { method: method.into(), how, when: When::Next(1) }
}

#[tokio::test]
async fn a_failed_send_says_what_next() {
    #[rustfmt::skip]
    let table = [
        (How::TooManyRequests { retry_after_s: 7 }, Retry::After(Duration::from_secs(7)), false, 0),
        (How::Status { code: 500 },                 Retry::Backoff,                       false, 0),
        (How::Status { code: 502 },                 Retry::Backoff,                       true,  0),
        (How::Status { code: 401 },                 Retry::Never,                         false, 0),
        (How::Status { code: 403 },                 Retry::Never,                         false, 0),
        (How::CutBefore,                            Retry::Backoff,                       true,  0),
        (How::CutAfter,                             Retry::Backoff,                       true,  1),
        (How::HalfBody,                             Retry::Backoff,                       true,  1),
    ];
    for (how, retry, maybe_done, shown) in table {
        let server = Server::start(Config::default()).await.unwrap();
        let token = server.token.clone();
        let stage = Stage::with(server, &token, None);
        stage.server.platform.fault(next("sendMessage", how.clone()));
        let err = stage.send("5", &text("x")).await.unwrap_err();
        assert_eq!((err.retry, err.maybe_done), (retry, maybe_done), "{how:?}");
        assert_eq!(stage.server.platform.sent(0).len(), shown, "{how:?}");
        let told = format!("{err:?} {err} {}", std::error::Error::source(&err).unwrap());
        assert!(!told.contains(&token) && !told.contains("/bot"), "{told}");
    }
}

#[tokio::test]
async fn nobody_there_is_surely_not_done() {
    let server = Server::start(Config::default()).await.unwrap();
    let token = server.token.clone();
    let stage = Stage::with(server, &token, None);
    let gone = {
        let other = Server::start(Config::default()).await.unwrap();
        channel(&other, &token, None)
    };
    let to = "telegram@main:5".parse::<ngb_core::address::Jid>().unwrap().into();
    let item = text("x");
    let delivery = ngb_channels::Delivery { to: &to, item: &item, key: "k", live: false };
    let err = ngb_channels::Channel::send(&gone, &delivery).await.unwrap_err();
    assert_eq!((err.retry, err.maybe_done), (Retry::Backoff, false), "{err:?}");
    drop(stage);
}

#[tokio::test]
async fn the_offset_is_confirmed_only_after_acceptance() {
    let mut stage = Stage::new().await;
    let platform = stage.server.platform.clone();
    platform.push(&[Draft::text(5, "a"), Draft::text(5, "b")]);
    let offer = stage.offer().await;
    assert_eq!((platform.figures().offset, offer.events.len()), (0, 2));
    let first = offer.events.clone();
    refuse(offer);
    let again = stage.offer().await;
    assert_eq!((platform.figures().offset, &again.events), (0, &first), "they come again");
    accept(again);
    platform.wait_confirmed().await;
    assert_eq!(platform.figures().offset, 1002);
}

#[tokio::test]
async fn a_broken_text_holds_nothing_back() {
    let mut stage = Stage::new().await;
    let platform = stage.server.platform.clone();
    platform.fault(next("getUpdates", How::BadText));
    platform.push(&[Draft::text(5, "a"), Draft::text(5, "b\u{fffd}"), Draft::text(5, "c")]);
    let offer = stage.offer().await;
    let texts = offer.events.iter().map(|it| match &it.what {
        Happening::Message(content) => content.text.clone(),
        other => panic!("{other:?}"),
    });
    assert_eq!(texts.collect::<Vec<_>>(), ["a", "b\u{fffd}", "c"]);
    accept(offer);
    platform.wait_confirmed().await;
}

#[tokio::test]
async fn every_fault_of_a_poll_is_survived() {
    let faults = [
        How::CutBefore,
        How::CutAfter,
        How::HalfBody,
        How::Status { code: 500 },
        How::Status { code: 502 },
        How::TooManyRequests { retry_after_s: 0 },
    ];
    futures_util::future::join_all(faults.map(survive)).await;
}

/// What is pushed comes once the poll that this strikes is over.
async fn survive(how: How) {
    let server = Server::start(Config::default()).await.unwrap();
    server.platform.fault(next("getUpdates", how.clone()));
    server.platform.push(&[Draft::text(5, "a"), Draft::text(5, "b")]);
    let token = server.token.clone();
    let mut stage = Stage::with(server, &token, None);
    let got = stage.take(2).await;
    let texts: Vec<&str> = got
        .iter()
        .map(|it| match &it.what {
            Happening::Message(content) => content.text.as_str(),
            other => panic!("{how:?}: {other:?}"),
        })
        .collect();
    assert_eq!(texts, ["a", "b"], "{how:?}");
    stage.server.platform.wait_confirmed().await;
}

#[tokio::test]
async fn repeats_have_the_same_key() {
    let mut stage = Stage::new().await;
    stage.server.platform.repeat_updates(true);
    stage.server.platform.push(&[Draft::text(5, "a")]);
    let got = stage.take(2).await;
    assert_eq!(got[0], got[1]);
    stage.server.platform.wait_confirmed().await;
}

#[tokio::test]
async fn a_poison_update_blocks_nothing() {
    let mut stage = Stage::new().await;
    stage.server.platform.push_raw(vec![
        json!(17),
        json!({"update_id": "x", "message": []}),
        json!({"message": {"text": {"a": [1, 2, {"b": null}]}}}),
        json!(null),
    ]);
    stage.server.platform.push(&[Draft::text(5, "behind")]);
    let got = stage.take(5).await;
    let Happening::Message(content) = &got[4].what else { panic!("{got:?}") };
    assert_eq!(content.text, "behind");
    stage.server.platform.wait_confirmed().await;
}

#[tokio::test]
async fn a_webhook_in_the_way_is_deleted() {
    let server = Server::start(Config::default()).await.unwrap();
    let url = format!("{}/bot{}/setWebhook", server.url, server.token);
    let set = crate::stage::http().post(url).json(&json!({"url": "http://127.0.0.1:9/x"}));
    set.send().await.unwrap();
    let token = server.token.clone();
    let mut stage = Stage::with(server, &token, None);
    stage.server.platform.push(&[Draft::text(5, "a")]);
    stage.take(1).await;
}

#[tokio::test]
async fn a_second_poller_is_named() {
    let mut stage = Stage::new().await;
    let platform = stage.server.platform.clone();
    platform.wait(|it| 0 < it.polls).await;
    let url = format!("{}/bot{}/getUpdates", stage.server.url, stage.server.token);
    let other = crate::stage::http().post(url).json(&json!({"timeout": 0}));
    other.send().await.unwrap();
    let state = stage.until(|it| matches!(it, ChannelState::Waiting { .. })).await;
    let ChannelState::Waiting { why, .. } = state else { unreachable!() };
    assert!(why.contains("another program polls with the same token"), "{why}");
}

#[tokio::test]
async fn a_wrong_token_is_down_and_says_so() {
    let server = Server::start(Config::default()).await.unwrap();
    let mut stage = Stage::with(server, "999:wrong", None);
    let state = stage.until(|it| matches!(it, ChannelState::Down { .. })).await;
    let ChannelState::Down { why } = state else { unreachable!() };
    assert!(why.contains("take a new one from @BotFather") && !why.contains("999"), "{why}");
    stage.stop.cancel();
}

#[tokio::test]
async fn idle_is_up_before_the_first_poll_ends() {
    let mut stage = Stage::new().await;
    stage.until(|it| *it == ChannelState::Up).await;
    assert_eq!(stage.server.platform.figures().polls, 1);
}

/// Each try on a platform that was away was "connected" for a moment, by what was known from before.
#[tokio::test]
async fn who_is_away_is_not_connected() {
    let mut stage = Stage::new().await;
    stage.until(|it| *it == ChannelState::Up).await;
    let other = Server::start(Config::default()).await.unwrap();
    drop(std::mem::replace(&mut stage.server, other));
    stage.until(|it| matches!(it, ChannelState::Waiting { .. })).await;
    loop {
        stage.status.changed().await.unwrap();
        match &*stage.status.borrow_and_update() {
            ChannelState::Connecting => (),
            ChannelState::Waiting { .. } => return,
            state => panic!("{state:?}"),
        }
    }
}

#[tokio::test]
async fn a_flood_comes_whole_and_in_order() {
    const COUNT: usize = 10_000;
    let mut stage = Stage::new().await;
    let drafts: Vec<Draft> = (0..COUNT).map(|at| Draft::text(5, at.to_string())).collect();
    stage.server.platform.push(&drafts);
    let got = stage.take(COUNT).await;
    stage.server.platform.wait_confirmed().await;
    let keys: Vec<usize> = got.iter().map(|it| it.event_key.parse().unwrap()).collect();
    assert_eq!(keys, (1000..1000 + COUNT).collect::<Vec<_>>());
}
