//! What installed plugins ask of the gateway is done, once, within bounds.

use ngb_core::group::Scope;
use ngb_plugins::wasm::{MAX_KV_BYTES, MAX_VALUE_BYTES, Services as _, WasmRequest};

use crate::{
    echo,
    stage::{Setting, Stage},
};

fn once(key: &str) -> Option<String> {
    Some(key.to_owned())
}

#[tokio::test]
async fn what_a_plugin_says_and_asks_for_is_done_once() {
    let mut stage = Stage::set(Setting::default(), echo).await;
    stage.group("home", "1", Scope::Thread).await;
    let desk = stage.desk.clone();
    let home = desk.groups("p").await.unwrap().remove(0);
    assert_eq!(home.chats, ["telegram@main:1", "web@main:home"]);
    let chat = home.chats[0].clone();
    desk.send("p", &chat, "hello", once("7:1")).await.unwrap();
    assert_eq!(stage.heard().await, ("1".into(), "hello".into()));
    // The message was shown to the plugin again, and it does the same again.
    desk.send("p", &chat, "hello", once("7:1")).await.unwrap();
    desk.send("other", &chat, "another plugin's", once("7:1")).await.unwrap();
    assert_eq!(stage.heard().await.1, "another plugin's");
    let first = desk.enqueue("p", "home", "water the plants", once("7:2")).await.unwrap();
    assert_eq!(desk.enqueue("p", "home", "water the plants", once("7:2")).await.unwrap(), first);
    assert_eq!(stage.heard().await.1, "you said water the plants");
    let next = desk.enqueue("p", "home", "feed the cat", None).await.unwrap();
    assert_ne!(next, first);
    assert_eq!(stage.heard().await.1, "you said feed the cat");
    let tasks = stage.gateway.store().tasks(None).await.unwrap();
    let [one] = &tasks[..] else { panic!("{tasks:?}") };
    assert_eq!(one.task.made_by, "plugin p");
    assert_eq!(desk.queue("p").await.unwrap().dead, 0);
    stage.end().await;
}

#[tokio::test]
async fn what_a_plugin_may_not_do_is_told_with_the_reason() {
    let stage = Stage::set(Setting::default(), echo).await;
    stage.group("home", "1", Scope::Thread).await;
    let desk = stage.desk.clone();
    let said = desk.send("p", "nowhere", "x", None).await.unwrap_err();
    assert!(said.contains("`nowhere` is no chat"), "{said}");
    let said = desk.send("p", "telegram@main:99", "x", None).await.unwrap_err();
    assert_eq!(said, "`telegram@main:99` is bound to no group");
    let said = desk.enqueue("p", "none", "x", None).await.unwrap_err();
    assert_eq!(said, "there is no group `none`");
    let said = desk.enqueue("p", "home", " ", None).await.unwrap_err();
    assert!(said.contains("this one says nothing"), "{said}");
    for url in ["https://127.0.0.1/", "https://169.254.169.254/latest", "https://[::1]/"] {
        let request = WasmRequest {
            method: "GET".into(),
            url: url.into(),
            headers: Vec::new(),
            body: Vec::new(),
        };
        let said = desk.http("p", request).await.unwrap_err();
        assert!(said.contains("public"), "{url}: {said}");
    }
    stage.end().await;
}

#[tokio::test]
async fn what_a_plugin_keeps_is_its_own_and_bounded() {
    let stage = Stage::set(Setting::default(), echo).await;
    let desk = stage.desk.clone();
    desk.kv_set("p", "b", Some(vec![0, 255])).await.unwrap();
    desk.kv_set("p", "a", Some(b"1".to_vec())).await.unwrap();
    desk.kv_set("p", "a", Some(b"2".to_vec())).await.unwrap();
    desk.kv_set("q", "a", Some(b"3".to_vec())).await.unwrap();
    assert_eq!(desk.kv_get("p", "a").await.unwrap().unwrap(), b"2");
    assert_eq!(desk.kv_get("p", "b").await.unwrap().unwrap(), [0, 255]);
    assert_eq!(desk.kv_keys("p", "").await.unwrap(), ["a", "b"]);
    assert_eq!(desk.kv_keys("p", "b").await.unwrap(), ["b"]);
    desk.kv_set("p", "b", None).await.unwrap();
    assert_eq!(desk.kv_get("p", "b").await.unwrap(), None);
    let mut fits = 0;
    let said = loop {
        let value = Some(vec![7; MAX_VALUE_BYTES]);
        match desk.kv_set("p", &format!("k{fits}"), value).await {
            Ok(()) => fits += 1,
            Err(said) => break said,
        }
    };
    assert_eq!(said, format!("a plugin keeps up to {MAX_KV_BYTES} bytes"));
    assert_eq!(fits, MAX_KV_BYTES / MAX_VALUE_BYTES - 1, "keys count as well");
    desk.kv_set("q", "b", Some(b"another plugin has its own room".to_vec())).await.unwrap();
    stage.end().await;
}
