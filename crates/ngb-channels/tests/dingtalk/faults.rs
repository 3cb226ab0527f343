//! What goes wrong, and what each adapter says to it.

use ngb_channels::{Retry, supervise::ChannelState};
use ngb_core::{message::Happening, secret::Secret};
use ngb_sim::fault::{Fault, How, When};
use serde_json::json;

use crate::{GROUP, Stage, said, text};

#[tokio::test]
async fn each_fault_says_what_next() {
    let stage = Stage::new().await;
    let refuse = |code, words: &str| How::Refuse { code, description: words.into() };
    let denied = "Forbidden.AccessDenied.AccessTokenPermissionDenied";
    #[rustfmt::skip]
    let table = [
        (How::TooManyRequests { retry_after_s: 1 }, Retry::Backoff, false, false),
        (How::Status { code: 500 },                 Retry::Backoff, true,  false),
        (How::Status { code: 503 },                 Retry::Backoff, true,  false),
        (refuse(403, denied),                       Retry::Never,   false, false),
        (How::CutBefore,                            Retry::Backoff, true,  false),
        (How::CutAfter,                             Retry::Backoff, true,  true),
        (How::HalfBody,                             Retry::Backoff, true,  true),
    ];
    for (how, retry, maybe_done, done) in table {
        let before = stage.platform().said().len();
        let method = "robot/oToMessages/batchSend".into();
        stage.platform().fault(Fault { method, how: how.clone(), when: When::Next(1) });
        let err = stage.send("manager7", &text("x")).await.unwrap_err();
        assert_eq!((err.retry, err.maybe_done), (retry, maybe_done), "{how:?}: {err:?}");
        let words = format!("{err:?}");
        assert!(!words.contains("token-") && !words.contains("secret-of"), "{words}");
        assert_eq!(before < stage.platform().said().len(), done, "{how:?}");
    }
}

#[tokio::test]
async fn a_session_in_doubt_is_not_repeated_by_the_other_door() {
    let mut stage = Stage::new().await;
    stage.platform().asks(GROUP, "manager7", &said("hi"));
    stage.hear().await;
    let method = "robot/sendBySession".into();
    stage.platform().fault(Fault { method, how: How::CutAfter, when: When::Next(1) });
    let err = stage.send(GROUP, &text("x")).await.unwrap_err();
    assert!(err.maybe_done);
    assert_eq!(stage.platform().said().len(), 1);
}

#[tokio::test]
async fn a_token_is_renewed_once_by_one_flight() {
    let stage = Stage::new().await;
    let hi = text("x");
    let both = || futures_util::future::join(stage.send("a", &hi), stage.send("b", &hi));
    let (one, two) = both().await;
    assert!(one.is_ok() && two.is_ok());
    assert_eq!(stage.platform().figures().tokens, 1);
    stage.platform().end_token();
    let (one, two) = both().await;
    assert!(one.is_ok() && two.is_ok());
    assert_eq!(stage.platform().figures().tokens, 3, "one that ended, one new");
}

#[tokio::test]
async fn a_wrong_secret_ends_this_account_with_the_reason() {
    let mut stage = Stage::with(|it| it.client_secret = Secret::new("old")).await;
    let down = stage.status.wait_for(|it| matches!(it, ChannelState::Down { .. })).await.unwrap();
    let ChannelState::Down { why } = &*down else { unreachable!() };
    assert!(why.contains("authFailed") && why.contains("Client Secret"), "{why}");
}

#[tokio::test]
async fn a_cut_loses_nothing() {
    let mut stage = Stage::new().await;
    let platform = stage.platform().clone();
    platform.writes("manager7", &said("one"));
    let held = stage.offers.recv().await.unwrap();
    platform.cut();
    platform.writes("manager7", &said("two"));
    // It is on disk, and its acknowledgement has nowhere to go: both come on the next socket.
    crate::accept(held);
    let mut texts = Vec::new();
    while texts.len() < 2 {
        let offer = stage.offers.recv().await.unwrap();
        texts.extend(offer.events.iter().map(|it| match &it.what {
            Happening::Message(it) => json!(it.text),
            other => panic!("{other:?}"),
        }));
        crate::accept(offer);
    }
    assert!(texts.contains(&json!("two")), "{texts:?}");
    platform.wait(|it| it.opened == 2 && it.pending == 0).await;
}
