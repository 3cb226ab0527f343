//! A robot on DingTalk, from the first message in a group to an answer that had to be sent again.

use ngb_sim::{
    dingtalk::{CARD_TEMPLATE, Call, Config, Server},
    fault::{Fault, How, When},
};
use serde_json::json;

use crate::stand::Stand;

const GROUP: &str = "cid6KeBBLoveMJOGXoYKF5x7EeiodoA==";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_is_let_in_and_answered_once() {
    let config = Config::default();
    let server = Server::start(config.clone()).await.unwrap();
    let (url, Config { client_id, client_secret, .. }) = (&server.url, config);
    let stand = Stand::with(&format!(
        "[web]\nport = 0\n[sandbox]\nengine = \"bare\"\n[agent]\nretry_base = \"50ms\"\n\
         [channels.dingtalk.main]\nclient_id = \"{client_id}\"\nclient_secret = \"{client_secret}\"\n\
         card_template_id = \"{CARD_TEMPLATE}\"\napi_url = \"{url}\"\nupload_url = \"{url}\"\n"
    ));
    let gateway = stand.serve(&[]);
    assert!(gateway.announced.contains("dingtalk@main"), "{}", gateway.announced);
    let platform = &server.platform;
    platform.wait(|it| it.sockets == 1).await;
    let text = |text: &str| json!({"msgtype": "text", "text": {"content": text}});
    let says = |it: &Call, words: &str| it.body["markdown"]["text"].to_string().contains(words);

    platform.asks(GROUP, "manager7", &text(" hi 😀"));
    platform.until(|said, _| said.len() == 1).await;
    let offer = platform.said()[0].body["markdown"]["text"].as_str().unwrap().to_owned();
    let code = offer.split_once("the code ").unwrap().1;
    let code: String =
        code.chars().take_while(|it| *it == '-' || it.is_ascii_alphanumeric()).collect();
    assert_eq!(stand.run(&["approve", &code, "--me"]).code, Some(0));

    // What DingTalk says it did not do is done again; what it says twice is heard once.
    let (method, how) = ("robot/sendBySession".into(), How::Status { code: 503 });
    platform.fault(Fault { method, how, when: When::Next(1) });
    platform.asks(GROUP, "manager7", &text("hello there"));
    platform.repeat();
    let shown = |said: &[Call], cards: &[ngb_sim::dingtalk::Card]| {
        said.iter().filter(|it| says(it, "hello there")).count()
            + cards.iter().filter(|it| it.finished && it.content.contains("hello there")).count()
    };
    platform.until(|said, cards| 0 < shown(said, cards)).await;
    assert_eq!(gateway.stop().code, Some(0));
    assert_eq!(shown(&platform.said(), &platform.cards()), 1);
    assert_eq!(platform.figures().pending, 0);
}
