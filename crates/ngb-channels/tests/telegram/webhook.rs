//! Updates that Telegram posts to us.

use std::collections::BTreeMap;

use ngb_channels::{Webhook, WebhookReply, telegram::WebhookConfig};
use ngb_core::secret::Secret;
use ngb_sim::telegram::{Config, Server};
use tokio::sync::oneshot;

use crate::stage::{Stage, accept, refuse};

const SECRET: &str = "s3cret_of_the-hook";

async fn stage() -> Stage {
    let server = Server::start(Config::default()).await.unwrap();
    let token = server.token.clone();
    let public_url = "http://127.0.0.1:9/hooks/telegram/main".into();
    Stage::with(server, &token, Some(WebhookConfig { public_url, secret: Secret::new(SECRET) }))
}

async fn post(
    stage: &Stage,
    method: &str,
    secret: Option<&str>,
    body: &str,
) -> oneshot::Receiver<WebhookReply> {
    let (reply, answer) = oneshot::channel();
    let name = "x-telegram-bot-api-secret-token".to_owned();
    let headers: BTreeMap<_, _> = secret.map(|it| (name, it.to_owned())).into_iter().collect();
    let body = body.to_owned().into();
    let request = Webhook { method: method.into(), query: String::new(), headers, body, reply };
    stage.webhooks.send(request).await.unwrap();
    answer
}

#[tokio::test]
async fn what_is_not_stored_is_not_taken() {
    const UPDATE: &str = r#"{"update_id":1,"message":{"message_id":2,"date":3,"chat":{"id":5,"type":"private"},"text":"x"}}"#;
    let mut stage = stage().await;
    let first = post(&stage, "POST", Some(SECRET), UPDATE).await;
    refuse(stage.offer().await);
    assert_eq!(first.await.unwrap().status, 503);
    let second = post(&stage, "POST", Some(SECRET), UPDATE).await;
    accept(stage.offer().await);
    assert_eq!(second.await.unwrap().status, 200);
    let unsupported = post(&stage, "POST", Some(SECRET), r#"{"update_id":2,"brand_new":{}}"#).await;
    accept(stage.offer().await);
    assert_eq!(unsupported.await.unwrap().status, 200);
    let set = stage.server.platform.calls("setWebhook").pop().unwrap();
    assert_eq!(set.fields["secret_token"], SECRET);
}

#[tokio::test]
async fn who_is_not_telegram_gets_in_with_nothing() {
    let mut stage = stage().await;
    #[rustfmt::skip]
    let table = [
        ("POST", None,             "{}",  401),
        ("POST", Some("wrong"),    "{}",  401),
        ("GET",  Some(SECRET),     "{}",  405),
        ("POST", Some(SECRET),     "not", 200),
    ];
    for (method, secret, body, status) in table {
        let answer = post(&stage, method, secret, body).await;
        assert_eq!(answer.await.unwrap().status, status, "{method} {secret:?} {body}");
    }
    assert!(stage.offers.try_recv().is_err(), "nothing was offered");
}
