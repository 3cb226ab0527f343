//! An app on WeCom, from the check of the address to an answer that had to be sent again.

use ngb_sim::wecom::{Config, Fault, How, Server, When};

use crate::{hooks::word_after, stand::Stand};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_is_let_in_and_answered_once() {
    let config = Config::default();
    let server = Server::start(config.clone()).await.unwrap();
    let Config { corp_id, agent_id, secret, token, encoding_aes_key, .. } = config;
    let url = &server.url;
    let stand = Stand::with(&format!(
        "[web]\nport = 0\n[sandbox]\nengine = \"bare\"\n[agent]\nretry_base = \"50ms\"\n\
         [channels.wecom.main]\ncorp_id = \"{corp_id}\"\nagent_id = {agent_id}\nsecret = \"{secret}\"\n\
         token = \"{token}\"\nencoding_aes_key = \"{encoding_aes_key}\"\napi_url = \"{url}\"\n"
    ));
    let gateway = stand.serve(&[]);
    assert!(gateway.announced.contains("wecom@main"), "{}", gateway.announced);
    let page = word_after(&gateway, "listening on http://").unwrap();
    let hook = format!("http://{page}/hooks/wecom/main");
    let company = &server.company;
    company.verify(&hook).await.unwrap();

    let first = company.text("zhangsan", "1", "hi 😀");
    assert_eq!(company.post(&hook, &first).await.unwrap().status, 200);
    company.until_sent(|it| it.len() == 1).await;
    let offer = company.sent()[0]["markdown"]["content"].as_str().unwrap().to_owned();
    let code = offer.split_once("the code ").unwrap().1.trim_end_matches('.');
    assert_eq!(stand.run(&["approve", code, "--me"]).code, Some(0));

    // What WeCom says it did not do is done again; what it says twice is heard once.
    let how = How::Status { code: 503 };
    company.fault(Fault { method: "message/send".into(), how, when: When::Next(1) });
    let asked = company.text("zhangsan", "2", "hello there");
    for _ in 0..2 {
        assert_eq!(company.post(&hook, &asked).await.unwrap().status, 200);
    }
    let is_answer = |it: &serde_json::Value| {
        it["markdown"]["content"].as_str().is_some_and(|it| it.contains("hello there"))
    };
    company.until_sent(|it| it.iter().any(is_answer)).await;
    assert_eq!(gateway.stop().code, Some(0));
    assert_eq!(company.sent().iter().filter(|it| is_answer(it)).count(), 1);
    assert!(company.sent().iter().all(|it| it["touser"] == "zhangsan"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ai_bot_answers_by_streams() {
    let config = Config::default();
    let server = Server::start(config.clone()).await.unwrap();
    let (url, Config { bot_id, bot_secret, .. }) = (&server.ws_url, config);
    let stand = Stand::with(&format!(
        "[web]\nport = 0\n[sandbox]\nengine = \"bare\"\n\
         [channels.wecom.bot]\nbot_id = \"{bot_id}\"\nbot_secret = \"{bot_secret}\"\nws_url = \"{url}\"\n"
    ));
    let gateway = stand.serve(&[]);
    let company = &server.company;
    company.until_bot(true).await;
    let said = |text: &str| serde_json::json!({"msgtype": "text", "text": {"content": text}});

    company.says("zhangsan", None, &said("hi 😀"));
    company.until_streams(|it| it.iter().any(|it| it.finished)).await;
    let offer = company.streams()[0].content.clone();
    let code = offer.split_once("the code ").unwrap().1.trim_end_matches('.');
    assert_eq!(stand.run(&["approve", code, "--me"]).code, Some(0));

    let asked = company.says("zhangsan", None, &said("hello there"));
    let is_answer = |it: &ngb_sim::wecom::Stream| {
        it.finished && it.request == asked && it.content.contains("hello there")
    };
    company.until_streams(|it| it.iter().any(is_answer)).await;
    assert_eq!(gateway.stop().code, Some(0));
    assert_eq!(company.streams().iter().filter(|it| it.request == asked).count(), 1);
}
