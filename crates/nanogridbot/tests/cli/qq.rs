//! A QQ account behind OneBot, from the first message in a group to an answer.

use ngb_sim::qq::{Call, Config, Server};
use serde_json::json;

use crate::stand::Stand;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_is_let_in_and_answered_once() {
    let config = Config::default();
    let server = Server::start(config.clone()).await.unwrap();
    let (url, token) = (&server.url, config.token);
    let stand = Stand::with(&format!(
        "[web]\nport = 0\n[sandbox]\nengine = \"bare\"\n\
         [channels.qq.main]\nurl = \"{url}\"\ntoken = \"{token}\"\n"
    ));
    let gateway = stand.serve(&[]);
    assert!(gateway.announced.contains("qq@main"), "{}", gateway.announced);
    let account = &server.account;
    account.until_lines(1, 1).await;
    let at_us = |text: &str| json!([{"type": "at", "data": {"qq": "10000"}}, {"type": "text", "data": {"text": text}}]);
    let words = |it: &Call| it.params["message"].to_string();

    account.says(20_001, Some(42), &at_us(" hi 😀"));
    account.until_calls(|it| it.iter().any(|it| words(it).contains("the code "))).await;
    let offer = words(&account.sent()[0]);
    let code = offer.split_once("the code ").unwrap().1;
    let code: String =
        code.chars().take_while(|it| *it == '-' || it.is_ascii_alphanumeric()).collect();
    assert_eq!(stand.run(&["approve", &code, "--me"]).code, Some(0));

    account.says(20_001, Some(42), &at_us(" hello there"));
    let is_answer = |it: &Call| it.action == "send_group_msg" && words(it).contains("hello there");
    account.until_calls(|it| it.iter().any(is_answer)).await;
    assert_eq!(gateway.stop().code, Some(0));
    assert_eq!(account.sent().iter().filter(|it| is_answer(it)).count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_official_bot_lets_somebody_in_and_answers_once() {
    let config = ngb_sim::qqbot::Config::default();
    let server = ngb_sim::qqbot::Server::start(config.clone()).await.unwrap();
    let (url, token_url) = (&server.url, &server.token_url);
    let stand = Stand::with(&format!(
        "[web]\nport = 0\n[sandbox]\nengine = \"bare\"\n\
         [channels.qq.bot]\napp_id = \"{}\"\napp_secret = \"{}\"\n\
         api_url = \"{url}\"\ntoken_url = \"{token_url}\"\n",
        config.app_id, config.secret
    ));
    let gateway = stand.serve(&[]);
    assert!(gateway.announced.contains("qq@bot"), "{}", gateway.announced);
    let platform = &server.platform;
    platform.wait(|it| it.identified == 1).await;
    platform.asks("G1", "U1", "hi");
    platform.wait(|it| it.sent == 1).await;
    let offer = platform.sent()[0].body["content"].to_string();
    let code = offer.split_once("the code ").unwrap().1;
    let code: String =
        code.chars().take_while(|it| *it == '-' || it.is_ascii_alphanumeric()).collect();
    assert_eq!(stand.run(&["approve", &code, "--me"]).code, Some(0));

    let asked = platform.asks("G1", "U1", "hello there");
    // The code, the welcome, the answer.
    platform.wait(|it| it.sent == 3).await;
    assert_eq!(gateway.stop().code, Some(0));
    let sent = platform.sent();
    let answer = &sent.last().unwrap().body;
    assert!(answer["content"].as_str().unwrap().contains("hello there"), "{answer}");
    assert_eq!((sent.len(), &answer["msg_id"]), (3, &json!(asked)));
}

#[test]
fn a_bot_and_an_account_are_two_things() {
    for (keys, want) in [
        ("app_id = \"1\"\nurl = \"ws://127.0.0.1:1\"", "has no `url`"),
        ("app_id = \"1\"", "wants its `app_secret`"),
        ("guilds = true\nurl = \"ws://127.0.0.1:1\"", "which has an `app_id`"),
    ] {
        let got = Stand::with(&format!("[channels.qq.main]\n{keys}\n")).run(&["serve"]);
        assert_ne!(got.code, Some(0), "{keys}");
        assert!(got.err.contains(want), "{keys}: {}", got.err);
    }
}

#[test]
fn an_open_door_wants_a_token() {
    let stand = Stand::with("[channels.qq.main]\nlisten = \"0.0.0.0:0\"\n");
    let got = stand.run(&["serve"]);
    assert_ne!(got.code, Some(0));
    assert!(got.err.contains("wants a `token`"), "{}", got.err);
}
