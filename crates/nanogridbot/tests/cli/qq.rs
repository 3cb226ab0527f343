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

#[test]
fn an_open_door_wants_a_token() {
    let stand = Stand::with("[channels.qq.main]\nlisten = \"0.0.0.0:0\"\n");
    let got = stand.run(&["serve"]);
    assert_ne!(got.code, Some(0));
    assert!(got.err.contains("wants a `token`"), "{}", got.err);
}
