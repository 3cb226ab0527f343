//! A model that is set while the gateway runs answers the next message.

use serde_json::{Value, json};

use crate::common::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn the_next_message_goes_to_the_model_that_was_set() {
    let mut stage = Stage::new().await;
    stage.model.behave(|it| {
        it.key = Some("right-key-123".into());
        it.first_token_ms = 0;
    });
    // Nothing is set: the demonstration answers, on a lane that keeps its agent.
    for name in ["NGB_PROVIDERS__SIM__KIND", "NGB_PROVIDERS__SIM__BASE_URL", "NGB_AGENT__MODEL"] {
        stage.env.insert(format!("-{name}"), String::new());
    }
    let (gateway, chats) = stage.with_chats(1).await;
    stage.push(&chats, 1);
    stage.platform().wait_sent(1).await;
    let before = stage.model.requests().len();
    assert_eq!(before, 0, "nobody has asked the model yet");

    let url = format!("{}/v1", stage.model.url());
    let socket = stage.home.join("gateway.sock");
    _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder()
        .tls_certs_only([])
        .no_proxy()
        .unix_socket(socket)
        .build()
        .unwrap();
    let set = async |key: &str, url: &str| {
        let body = json!({"kind": "openai", "model": "x", "base_url": url, "api_key": key});
        let answer = http.post("http://localhost/api/model").json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let file = stage.home.join("config.toml");
    let table = [
        ("wrong-key-123", url.as_str(), "the provider `openai` refuses the key"),
        (
            "right-key-123",
            "http://127.0.0.1:1/v1",
            "the provider `openai` does not answer: no connection to `127.0.0.1`",
        ),
        ("right-key-123", "no address", "the provider `openai` does not answer"),
    ];
    for (key, url, want) in table {
        let (status, body) = set(key, url).await;
        let message = body["error"]["message"].as_str().unwrap();
        assert_eq!(status, 422, "{body}");
        assert!(message.starts_with(want) && !message.contains("key-123"), "{body}");
        assert!(!file.exists(), "nothing is written before the model has answered");
    }
    let (status, body) = set("right-key-123", &url).await;
    assert_eq!((status, body["agent"].as_str()), (200, Some("builtin with openai/x")), "{body}");

    // The same lane, whose agent was the demonstration's.
    stage.push_with(&chats, &["say:the model speaks"]);
    stage.settled_text("the model speaks").await;
    // What it reads at its next start says the same, and nobody else can read it.
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let status: Value =
        serde_json::from_slice(&stage.output(&["--json", "status"]).await.stdout).unwrap();
    assert_eq!(
        (&status["agent"], &status["demo"]),
        (&json!("builtin with openai/x"), &json!(false))
    );
    stage.kill(gateway).await;
    let _gateway = stage.started().await;
    stage.push_with(&chats, &["say:and still does"]);
    stage.settled_text("and still does").await;
    assert!(!stage.tail().contains("right-key-123"), "{}", stage.tail());
}
