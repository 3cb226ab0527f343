//! The model simulator as a client sees it: what it answers, refuses and counts, and how it is told to.

use ngb_sim::model::{Fault, ModelServer};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Status and body of one request, without any HTTP library: what is on the wire is what is tested.
async fn call(server: &ModelServer, method: &str, path: &str, body: &Value) -> (u16, String) {
    let mut stream = TcpStream::connect(server.address()).await.expect("it listens");
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let head = format!(
        "{method} {path} HTTP/1.0\r\nhost: sim\r\ncontent-type: application/json\r\nx-api-key: k\r\n\
         anthropic-version: 2023-06-01\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    // A connection that is cut is what some of these are about.
    stream.read_to_string(&mut answer).await.ok();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|it| it.parse().ok()).unwrap_or(0);
    (status, body.to_owned())
}

fn ask(text: &str, stream: bool) -> Value {
    json!({"model": "m", "stream": stream, "max_tokens": 9, "stream_options": {"include_usage": true},
           "messages": [{"role": "user", "content": text}]})
}

#[tokio::test]
async fn each_shape() {
    let server = ModelServer::start().await.expect("a free port");
    let orphan =
        json!({"model": "m", "messages": [{"role": "tool", "tool_call_id": "x", "content": "y"}]});
    let anthropic_orphan = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "x", "content": "y"}]}]});
    #[rustfmt::skip]
    let table: Vec<(&str, Value, u16, &[&str])> = vec![
        ("/v1/messages",         ask("hi", true),      200, &["event: message_start", "\"text\":\"hi\"", "event: message_stop"]),
        ("/v1/messages",         ask("hi", false),     200, &["\"stop_reason\":\"end_turn\"", "\"text\":\"hi\""]),
        ("/v1/chat/completions", ask("hi", true),      200, &["\"content\":\"hi\"", "\"completion_tokens\":1", "data: [DONE]"]),
        ("/v1/chat/completions", ask("hi", false),     200, &["\"finish_reason\":\"stop\"", "\"content\":\"hi\""]),
        ("/api/chat",            ask("hi", true),      200, &["\"content\":\"hi\"", "\"done\":true", "\"eval_count\":1"]),
        ("/api/chat",            ask("hi", false),     200, &["\"content\":\"hi\"", "\"done\":true"]),
        ("/v1/messages",         anthropic_orphan,     400, &["invalid_request_error", "without its tool call"]),
        ("/v1/chat/completions", orphan.clone(),       400, &["without its tool call"]),
        ("/api/chat",            orphan,               400, &["without its tool call"]),
        ("/v1/other",            ask("hi", true),      404, &[]),
    ];
    for (path, body, status, needles) in table {
        let (got, text) = call(&server, "POST", path, &body).await;
        assert_eq!(got, status, "{path}: {text}");
        for needle in needles {
            assert!(text.contains(needle), "{path}: {needle} in {text}");
        }
    }
}

#[tokio::test]
async fn it_does_what_it_is_told() {
    let server = ModelServer::start().await.expect("a free port");
    let faults = json!([{"kind": "status", "status": 429, "retry_after": 3}, {"kind": "cut_stream", "after_pieces": 1}]);
    assert_eq!(call(&server, "POST", "/sim/faults", &faults).await.0, 200);
    let path = "/v1/messages";
    assert_eq!(call(&server, "POST", path, &ask("hi", true)).await.0, 429);
    let (status, text) = call(&server, "POST", path, &ask("hi", true)).await;
    assert!(
        status == 200 && text.contains("message_start") && !text.contains("message_stop"),
        "{text}"
    );

    call(&server, "POST", "/sim/behaviour", &json!({"key": "other"})).await;
    assert_eq!(call(&server, "POST", path, &ask("hi", true)).await.0, 401);
    call(&server, "POST", "/sim/behaviour", &json!({"models": ["x"]})).await;
    assert_eq!(call(&server, "POST", path, &ask("hi", true)).await.0, 404);
    assert_eq!(call(&server, "POST", "/sim/behaviour", &json!({"modles": []})).await.0, 422);
    server.behave(|it| {
        it.models = None;
        it.window_tokens = Some(5);
    });
    let (status, text) = call(&server, "POST", path, &ask("hi", true)).await;
    assert!(status == 400 && text.contains("too long"), "{text}");

    let (_, totals) = call(&server, "GET", "/sim/totals", &Value::Null).await;
    let totals: Value = serde_json::from_str(&totals).expect("it is JSON");
    assert_eq!(totals["m"]["requests"], 1, "what was refused cost nothing: {totals}");
    let statuses: Vec<u16> = server.requests().iter().map(|it| it.status).collect();
    assert_eq!(statuses, [429, 200, 401, 404, 400]);
    call(&server, "POST", "/sim/reset", &Value::Null).await;
    assert!(server.requests().is_empty() && server.totals().is_empty());
}

#[tokio::test]
async fn a_share_of_the_requests_fails() {
    let server = ModelServer::start().await.expect("a free port");
    server.behave(|it| it.fail_percent = 20);
    let mut failed = 0;
    for _ in 0..100 {
        let (status, text) = call(&server, "POST", "/v1/messages", &ask("hi", true)).await;
        failed += usize::from(status != 200 || !text.contains("message_stop"));
    }
    assert_eq!(failed, 20);
    server.fail([Fault::HalfBody]);
    let (_, text) = call(&server, "POST", "/v1/messages", &ask("long:3000", true)).await;
    assert!(!text.ends_with('\n'), "half a line");
}
