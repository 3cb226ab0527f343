//! Updates that Telegram posts to us, over real sockets, and the way back to polling.

use std::net::{Ipv4Addr, TcpListener};

use ngb_sim::telegram::Draft;
use serde_json::json;

use crate::common::Stage;

const SECRET: &str = "s3cret_of-the_hook";

/// A stage whose gateway is reached by webhook, and where.
async fn stage() -> (Stage, String) {
    let mut stage = Stage::new().await;
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = free.local_addr().unwrap();
    let set = |name: &str, value: String| (name.to_owned(), value);
    stage.env.extend([
        set("NGB_WEB__HOOKS_BIND", addr.to_string()),
        set("NGB_WEB__PUBLIC_URL", format!("http://{addr}/")),
        set("NGB_CHANNELS__TELEGRAM__MAIN__WEBHOOK_SECRET", SECRET.to_owned()),
    ]);
    (stage, format!("http://{addr}/hooks/telegram/main"))
}

async fn set(stage: &Stage) {
    let platform = stage.platform();
    platform.wait(|_| !platform.calls("setWebhook").is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_are_posted_and_answered_and_polling_comes_back() {
    let (mut stage, url) = stage().await;
    let gateway = stage.start();
    set(&stage).await;
    let call = stage.platform().calls("setWebhook").remove(0).fields;
    assert_eq!(call["url"], json!(url));
    assert_eq!(call["secret_token"], json!(SECRET));
    assert!(call["allowed_updates"].as_array().unwrap().contains(&json!("callback_query")));
    stage.cli(&["bind", "telegram@main:77", "main", "--always"]).await;
    stage.platform().push(&[Draft::text(77, "one posted")]);
    stage.settled_text("one posted").await;
    assert_eq!(stage.platform().figures().polls, 0);

    // The same gateway, set to poll: the webhook is in the way and goes; what waits for it is kept.
    stage.kill(gateway).await;
    stage.env.clear();
    stage.platform().push(&[Draft::text(77, "two kept")]);
    let _gateway = stage.start();
    stage.settled_text("two kept").await;
    let deleted = stage.platform().calls("deleteWebhook");
    assert_eq!(deleted.len(), 1);
    assert_eq!(deleted[0].fields["drop_pending_updates"], json!(false));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_from_telegram_is_refused() {
    const UPDATE: &str = r#"{"update_id":9000,"message":{"message_id":900,"date":3,"chat":{"id":77,"type":"private"},"from":{"id":77,"is_bot":false,"first_name":"Ada"},"text":"by hand"}}"#;
    let (stage, url) = stage().await;
    let _gateway = stage.start();
    set(&stage).await;
    stage.cli(&["bind", "telegram@main:77", "main", "--always"]).await;
    let large = " ".repeat(5 << 20);
    let own = UPDATE.to_owned() + &" ".repeat(1 << 20);
    let other = url.replace("/main", "/other");
    #[rustfmt::skip]
    let table = [
        ("no secret",             &url,   None,              UPDATE,  401),
        ("wrong secret",          &url,   Some("s3cret"),    UPDATE,  401),
        ("longer secret",         &url,   Some("s3cret_of-the_hookX"), UPDATE, 401),
        ("wrong, and no JSON",    &url,   Some("s3cret"),    "{",     401),
        ("too large",             &url,   None,              &large,  413),
        ("too large for one",     &url,   Some(SECRET),      &own,    413),
        ("no such account",       &other, Some(SECRET),      UPDATE,  404),
        ("no JSON",               &url,   Some(SECRET),      "{",     200),
        ("an update",             &url,   Some(SECRET),      UPDATE,  200),
        ("the same again",        &url,   Some(SECRET),      UPDATE,  200),
    ];
    drop(rustls::crypto::ring::default_provider().install_default());
    // A refusal ends the connection, so each request has its own.
    let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
    for (what, url, secret, body, status) in table {
        let mut request = http.post(url).body(body.to_owned());
        if let Some(secret) = secret {
            request = request.header("X-Telegram-Bot-Api-Secret-Token", secret);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{what}");
    }
    stage.settled_text("by hand").await;
    assert_eq!(stage.platform().sent(0).len(), 1, "one answer");
}

/// Telegram is told 503 and posts it again; then it is answered once.
#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_stored_is_posted_again() {
    let (stage, _) = stage().await;
    let _gateway = stage.start();
    set(&stage).await;
    stage.cli(&["bind", "telegram@main:77", "main", "--always"]).await;
    let other = rusqlite::Connection::open(stage.home.join("nanogridbot.db")).unwrap();
    other.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    stage.platform().push(&[Draft::text(77, "while locked")]);
    let platform = stage.platform();
    platform.wait(|_| platform.webhook_error().is_some_and(|it| it.contains("503"))).await;
    other.execute_batch("ROLLBACK").unwrap();
    stage.settled_text("while locked").await;
    platform.wait_confirmed().await;
    assert_eq!(platform.sent(0).len(), 1);
}
