//! An app on Feishu, by its long connection and by callbacks.

use ngb_sim::{
    fault::{Fault, How, When},
    feishu::{Config, Server},
};

use crate::{hooks::word_after, stand::Stand};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_is_let_in_and_answered_once() {
    let config = Config::default();
    let server = Server::start(config.clone()).await.unwrap();
    let (url, platform) = (&server.url, &server.platform);
    let Config { app_id, app_secret, encrypt_key, verification_token, .. } = config;
    let app =
        format!("app_id = \"{app_id}\"\napp_secret = \"{app_secret}\"\napi_url = \"{url}\"\n");
    let stand = Stand::with(&format!(
        "[web]\nport = 0\n[sandbox]\nengine = \"bare\"\n[agent]\nretry_base = \"50ms\"\n\
         [channels.feishu.main]\n{app}\
         [channels.feishu.called]\n{app}encrypt_key = \"{encrypt_key}\"\nverification_token = \"{verification_token}\"\n"
    ));
    let gateway = stand.serve(&[]);
    assert!(gateway.announced.contains("feishu@main"), "{}", gateway.announced);
    platform.wait(|it| it.sockets == 1).await;

    platform.say("oc_p1", "ou_1", "hi 😀");
    platform.wait(|it| it.posted == 1).await;
    let offer = platform.posted().remove(0);
    let code = offer.text().split_once("the code ").unwrap().1.trim_end_matches('.');
    assert_eq!(stand.run(&["approve", code, "--me"]).code, Some(0));

    // What broke on its way back is sent again, and Feishu drops the repeat.
    platform.fault(Fault { method: "send*".into(), how: How::CutAfter, when: When::Next(1) });
    let answers = |to: &str| platform.posted().iter().filter(|it| it.text().contains(to)).count();
    platform.say("oc_p1", "ou_1", "hello there");
    platform.wait(|_| 0 < answers("hello there")).await;

    // The same app, called.
    let page = word_after(&gateway, "listening on http://").unwrap();
    let hook = format!("http://{page}/hooks/feishu/called");
    let checked = platform.verify(&hook).await.unwrap();
    assert_eq!((checked.status, checked.body.as_str()), (200, "{\"challenge\":\"c-1\"}"));
    let before = platform.figures().posted;
    assert_eq!(platform.call(&hook, "oc_p2", "ou_2", "by callback").await.unwrap().status, 200);
    platform.wait(|it| before < it.posted).await;
    assert_eq!(gateway.stop().code, Some(0));
    assert_eq!(answers("hello there"), 1);
}
