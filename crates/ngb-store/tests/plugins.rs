//! What plugins keep and do, on both databases.
#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]

mod common;

use common::*;
use ngb_core::{
    role::Role,
    schedule::{Misfire, Overlap, Schedule},
};
use ngb_store::*;
use serde_json::json;

on_both!(
    values_are_kept_and_bounded,
    what_is_done_under_a_key_is_done_once,
    settings_have_a_history,
);

async fn settings_have_a_history(fix: Fix) {
    let set = async |plugin: &str, value: Option<serde_json::Value>| {
        fix.store.set_plugin_settings(plugin, "ann", value).await.unwrap();
    };
    set("dice", Some(json!({"config": {"max": 1}}))).await;
    set("dice", Some(json!({"config": {"max": 2}}))).await;
    set("units", Some(json!({"enabled": false}))).await;
    set("gone", Some(json!({}))).await;
    set("gone", None).await;
    let now = fix.store.plugin_settings().await.unwrap();
    let want = [
        ("dice".to_owned(), json!({"config": {"max": 2}})),
        ("units".to_owned(), json!({"enabled": false})),
    ];
    assert_eq!(now, want.into());
    let history = fix.store.plugin_history("dice", 10).await.unwrap();
    let values: Vec<_> =
        history.iter().map(|it| it.value.clone().unwrap()["config"]["max"].clone()).collect();
    assert_eq!(values, [2, 1]);
    assert_eq!(fix.store.plugin_history("gone", 1).await.unwrap()[0].value, None);
}

async fn values_are_kept_and_bounded(fix: Fix) {
    let keep = async |plugin: &str, key: &str, value: Option<&[u8]>| {
        fix.store.keep_plugin_value(plugin, key, value.map(<[u8]>::to_vec), 10).await.unwrap()
    };
    let read = async |plugin: &str, key: &str| fix.store.plugin_value(plugin, key).await.unwrap();
    assert!(keep("p", "a", Some(b"four")).await);
    assert!(keep("p", "é", Some(&[0, 255])).await, "9 bytes with the keys");
    assert!(!keep("p", "b", Some(b"x")).await);
    assert!(keep("p", "a", Some(b"fives")).await, "what it takes the place of does not count");
    assert!(keep("q", "a", Some(b"another's")).await);
    assert_eq!(read("p", "a").await.unwrap(), b"fives");
    assert_eq!(read("p", "é").await.unwrap(), [0, 255]);
    assert_eq!(fix.store.plugin_keys("p").await.unwrap(), ["a", "é"]);
    assert!(keep("p", "a", None).await);
    assert_eq!(read("p", "a").await, None);
    assert_eq!(read("q", "a").await.unwrap(), b"another's");
}

async fn what_is_done_under_a_key_is_done_once(fix: Fix) {
    let once = |key: &str| Some(key.to_owned());
    let said = async |plugin: &str, key: Option<String>| {
        fix.store.say_for_plugin(plugin, key, vec![say("1", "hello", None)]).await.unwrap().len()
    };
    assert_eq!((said("p", once("7:1")).await, said("p", once("7:1")).await), (1, 0));
    assert_eq!((said("p", once("7:2")).await, said("q", once("7:1")).await), (1, 1));
    assert_eq!((said("p", None).await, said("p", None).await), (1, 1));

    let group = fix.group("home").await;
    let task = |text: &str| NewTask {
        group,
        does: TaskDoes::Think,
        text: text.into(),
        schedule: Schedule::Once(T0),
        misfire: Misfire::Once,
        overlap: Overlap::Queue,
        jitter_ms: 0,
        place: place("1"),
        lane_key: None,
        role: Role::Member,
        made_by: "plugin p".into(),
        next_at: T0,
    };
    let enqueue = async |key: Option<String>, text: &str| {
        fix.store.enqueue_for_plugin("p", key, task(text)).await.unwrap()
    };
    let first = enqueue(once("8:1"), "one").await;
    assert_eq!(enqueue(once("8:1"), "one").await, first);
    let (second, third) = (enqueue(None, "two").await, enqueue(None, "three").await);
    assert!(first < second && second < third);
    // One task stands for all of them, and fires no more by itself.
    let tasks = fix.store.tasks(None).await.unwrap();
    assert_eq!(tasks.len(), 1);
    assert_eq!((tasks[0].state, tasks[0].next_at), (TaskState::Done, None));
    assert_eq!(fix.store.fires(tasks[0].id, 10).await.unwrap().len(), 3);
    // They are one conversation's, so one runs at a time.
    for want in ["do one", "do two", "do three"] {
        let later = T0 + LEASE;
        let mut claims = fix.store.claim(10, later, later + LEASE).await.unwrap().claims;
        assert_eq!(claims.len(), 1);
        let claim = claims.remove(0);
        assert_eq!(fix.texts(&claim).await, [want]);
        fix.finish(claim, "done").await.unwrap();
    }
}
