//! Who is believed, and what is answered.

use std::collections::BTreeMap;

use ngb_core::message::Happening;
use ngb_sim::whatsapp::{Config, signature};
use serde_json::json;

use crate::stage::{Stage, accept, ann, refuse};

#[tokio::test]
async fn who_is_not_meta_gets_in_with_nothing() {
    let mut stage = Stage::new().await;
    let secret = Config::default().app_secret;
    let body = stage.platform().event_of(
        &ann(),
        "wamid.1",
        json!({"type": "text", "text": {"body": "x"}}),
    );
    let body = body.to_string();
    let good = signature(&secret, body.as_bytes());
    let other_key = signature("another secret", body.as_bytes());
    let other_body = signature(&secret, b"{}");
    #[rustfmt::skip]
    let table = [
        (None,                                     401),
        (Some(""),                                 403),
        (Some("sha256="),                          403),
        (Some("sha256=zz"),                        403),
        (Some("sha1=00"),                          403),
        (Some(good.trim_start_matches("sha256=")), 403),
        (Some(&good[..good.len() - 2]),            403),
        (Some(&other_key),                         403),
        (Some(&other_body),                        403),
    ];
    for (signature, status) in table {
        let got = stage.post(signature, body.clone()).await.await.unwrap();
        assert_eq!((got.status, got.body.as_str()), (status, ""), "{signature:?}");
    }
    assert!(stage.offers.try_recv().is_err(), "nothing was offered");
    let query = "hub.mode=subscribe&hub.challenge=77&hub.verify_token=wrong";
    let got = stage.request("GET", query, BTreeMap::new(), Vec::new()).await.await.unwrap();
    assert_eq!((got.status, got.body.as_str()), (403, ""));
    let query = format!(
        "hub.mode=subscribe&hub.challenge=77&hub.verify_token={}",
        Config::default().verify_token
    );
    let got = stage.request("GET", &query, BTreeMap::new(), Vec::new()).await.await.unwrap();
    assert_eq!((got.status, got.body.as_str()), (200, "77"));
}

#[tokio::test]
async fn what_is_not_stored_is_not_taken() {
    let mut stage = Stage::new().await;
    let event = stage.platform().event_of(
        &ann(),
        "wamid.1",
        json!({"type": "text", "text": {"body": "x"}}),
    );
    let first = stage.signed(event.to_string()).await;
    refuse(stage.offers.recv().await.unwrap());
    assert_eq!(first.await.unwrap().status, 503);
    let again = stage.signed(event.to_string()).await;
    let offer = stage.offers.recv().await.unwrap();
    assert_eq!(offer.events[0].event_key, "wamid.1", "the same key each time it comes");
    accept(offer);
    assert_eq!(again.await.unwrap().status, 200);
}

#[tokio::test]
async fn many_requests_are_stored_together() {
    let mut stage = Stage::new().await;
    let hold = stage.signed(event(&stage, 0)).await;
    let first = stage.offers.recv().await.unwrap();
    let mut waiting = Vec::new();
    for n in 1..=20 {
        waiting.push(stage.signed(event(&stage, n)).await);
    }
    accept(first);
    assert_eq!(hold.await.unwrap().status, 200);
    let rest = stage.offers.recv().await.unwrap();
    assert_eq!(rest.events.len(), 20, "one commit for all that waited");
    accept(rest);
    for it in waiting {
        assert_eq!(it.await.unwrap().status, 200);
    }
}

fn event(stage: &Stage, n: usize) -> String {
    let message = json!({"type": "text", "text": {"body": "x"}});
    stage.platform().event_of(&ann(), &format!("wamid.{n}"), message).to_string()
}

#[tokio::test]
async fn bad_input_blocks_nothing_and_does_not_vanish() {
    let mut stage = Stage::new().await;
    let deep = "[".repeat(100_000);
    let huge = "x".repeat(1 << 20);
    let ours = |value| stage.platform().event(value).to_string();
    #[rustfmt::skip]
    let table: Vec<(String, &str)> = vec![
        ("not JSON".into(),                                                        "no JSON"),
        (deep,                                                                     "no JSON"),
        (r#"{"entry":[{"changes":[{"value":{"messages":[{"#.into(),                 "no JSON"),
        ("{}".into(),                                                              "no changes"),
        (r#"{"entry":[{"changes":[{"field":"account_update","value":{}}]}]}"#.into(), "field account_update"),
        (r#"{"entry":[{"changes":[{"field":"messages","value":{"metadata":{"phone_number_id":9}}}]}]}"#.into(), "for another number, 9"),
        (ours(json!({"messages": [{"id": "wamid.1", "from": "1", "type": "hologram"}]})), "hologram"),
        (ours(json!({"messages": [{"id": "wamid.1", "from": "1", "type": "unsupported", "errors": [{"title": "Unknown"}]}]})), "unsupported: Unknown"),
        (ours(json!({"messages": [{"from": "1", "type": "text", "text": {"body": "x"}}]})), "text"),
        (ours(json!({"messages": [{"id": "wamid.1", "from": "1", "type": "text", "text": {"body": ""}}]})), "text"),
        (ours(json!({"messages": [7]})),                                           "a message without type"),
        (ours(json!({"errors": [{"code": 1, "title": "Broken"}]})),                "error 1: Broken"),
    ];
    for (body, want) in table {
        let answer = stage.signed(body.clone()).await;
        let offer = stage.offers.recv().await.unwrap();
        let Happening::Unknown { kind } = &offer.events[0].what else {
            panic!("{:?}", offer.events)
        };
        assert!(kind.starts_with(want), "{kind} for {}", &body[..body.len().min(120)]);
        assert!(!offer.events[0].event_key.is_empty());
        accept(offer);
        assert_eq!(answer.await.unwrap().status, 200);
    }
    let got = stage.hear(json!({"type": "text", "text": {"body": huge}})).await;
    assert!(matches!(got.what, Happening::Message(it) if it.text.len() == 1 << 20));
}
