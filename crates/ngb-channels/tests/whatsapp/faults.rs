//! What goes wrong on the way out, and a token that is no good.

use std::time::Duration;

use ngb_channels::{Retry, supervise::ChannelState};
use ngb_sim::whatsapp::{Config, Fault, How, When};
use serde_json::json;

use crate::stage::{Stage, text};

#[tokio::test]
async fn each_fault_says_what_next() {
    let stage = Stage::new().await;
    #[rustfmt::skip]
    let table = [
        (How::TooManyRequests { retry_after_s: 1 }, Retry::Backoff, false, false),
        (How::Status { code: 500 },                 Retry::Backoff, false, false),
        (How::Status { code: 502 },                 Retry::Backoff, true,  false),
        (How::CutBefore,                            Retry::Backoff, true,  false),
        (How::CutAfter,                             Retry::Backoff, true,  true),
        (How::HalfBody,                             Retry::Backoff, true,  true),
    ];
    for (how, retry, maybe_done, done) in table {
        let before = stage.platform().sent().len();
        stage.platform().fault(Fault {
            method: "messages".into(),
            how: how.clone(),
            when: When::Next(1),
        });
        let err = stage.send("1", &text("x")).await.unwrap_err();
        assert_eq!((err.retry, err.maybe_done), (retry, maybe_done), "{how:?}: {err:?}");
        let said = format!("{:#} {:?}", err, err);
        assert!(!said.contains(&Config::default().access_token), "{said}");
        assert_eq!(stage.platform().sent().len() > before, done, "{how:?}");
    }
    stage.send("1", &text("x")).await.unwrap();
}

#[tokio::test]
async fn a_bad_token_stops_this_account_with_the_remedy() {
    let mut stage = Stage::with(Config::default(), None, "old").await;
    let down = stage.status.wait_for(|it| matches!(it, ChannelState::Down { .. })).await.unwrap();
    let ChannelState::Down { why } = &*down else { unreachable!() };
    assert!(why.contains("190") && why.contains("system user"), "{why}");
}

#[tokio::test]
async fn messages_are_taken_while_the_api_is_away() {
    let config = Config::default();
    let mut stage = Stage::with(config.clone(), None, &config.access_token).await;
    let fault =
        Fault { method: "*".into(), how: How::Status { code: 503 }, when: When::Next(u32::MAX) };
    stage.platform().fault(fault);
    stage.hear(json!({"type": "text", "text": {"body": "x"}})).await;
    let up = stage.status.wait_for(|it| *it == ChannelState::Up);
    ngb_core::clock::Clock::System.timeout(Duration::from_secs(30), up).await.unwrap().unwrap();
    stage.stop.cancel();
}
