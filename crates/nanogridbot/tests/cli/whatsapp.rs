//! A business number on WhatsApp, from the handshake to a message that did not arrive after all.

use ngb_sim::whatsapp::{Config, Fault, How, Person, Server, When};

use crate::{hooks::word_after, stand::Stand};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_is_let_in_and_answered_once() {
    let config = Config::default();
    let server = Server::start(config.clone()).await.unwrap();
    let Config { access_token, phone_number_id, app_secret, verify_token, .. } = config;
    let url = &server.url;
    let stand = Stand::with(&format!(
        "[web]\nport = 0\n[sandbox]\nengine = \"bare\"\n[agent]\nretry_base = \"50ms\"\n\
         [channels.whatsapp.main]\naccess_token = \"{access_token}\"\nphone_number_id = \"{phone_number_id}\"\n\
         app_secret = \"{app_secret}\"\nverify_token = \"{verify_token}\"\napi_url = \"{url}\"\n"
    ));
    let gateway = stand.serve(&[]);
    assert!(gateway.announced.contains("whatsapp@main"), "{}", gateway.announced);
    let page = word_after(&gateway, "listening on http://").unwrap();
    let platform = &server.platform;
    platform.subscribe(&format!("http://{page}/hooks/whatsapp/main")).await.unwrap();

    let ann = Person::with_phone("16505551234", "Ann");
    let first = platform.texts(&ann, "né 😀");
    platform.until_sent(|it| it.len() == 1).await;
    let offer = platform.sent()[0].body["text"]["body"].as_str().unwrap().to_owned();
    let pairings = stand.json(&["status"]);
    assert_eq!(pairings["channels"][0]["state"], "up", "{pairings}");
    let code = offer.split_once("the code ").unwrap().1.trim_end_matches('.');
    let approved = stand.run(&["approve", code, "--me"]);
    assert_eq!(approved.code, Some(0), "{approved:?}");

    // What WhatsApp says it did not do is done again.
    let fault =
        Fault { method: "messages".into(), how: How::Status { code: 500 }, when: When::Next(1) };
    platform.fault(fault);
    let asked = platform.texts(&ann, "hello");
    platform
        .until_sent(|it| {
            it.iter()
                .any(|it| it.body["text"]["body"].as_str().is_some_and(|it| it.contains("hello")))
        })
        .await;
    let sent = platform.sent();
    let answers =
        sent.iter().filter(|it| it.body["type"] == "text" && it.to == "16505551234").count();
    assert!(2 <= answers, "{sent:?}");
    assert!(
        platform.marks().iter().all(|it| it["message_id"] == asked || it["message_id"] == first),
        "{:?}",
        platform.marks()
    );

    let last = sent.last().unwrap();
    // The receipt is written after the platform's answer; until it is, a failure would find no row.
    loop {
        let counts = &stand.json(&["status"])["counts"];
        if counts["outbox_sending"] == 0 && counts["outbox_pending"] == 0 {
            break;
        }
    }
    platform.status(&last.id, "16505551234", "delivered", None);
    platform.status(&last.id, "16505551234", "failed", Some(131_026));
    platform.until_taken().await;
    assert_eq!(stand.json(&["status"])["counts"]["outbox_failed"], 1);
    assert_eq!(gateway.stop().code, Some(0));
}
