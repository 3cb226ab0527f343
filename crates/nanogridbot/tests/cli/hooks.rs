//! Platforms that call: where, what else is there, and what strangers get.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use ngb_sim::telegram::{Config, Server};

use crate::stand::{Gateway, Stand};

const UPDATE: &str = r#"{"update_id":1,"message":{"message_id":2,"date":3,"chat":{"id":5,"type":"private"},"from":{"id":5,"first_name":"Ann"},"text":"hello"}}"#;

/// The status and the whole answer to one request.
fn ask(addr: &str, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
    let mut line = TcpStream::connect(addr).unwrap();
    let length = body.len();
    write!(
        line,
        "{method} {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    line.read_to_string(&mut answer).unwrap();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
}

/// What stands after `mark` in what the gateway wrote, up to a white space.
pub(crate) fn word_after(gateway: &Gateway, mark: &str) -> Option<String> {
    let text = gateway.announced.clone() + &gateway.log();
    let rest = text.split_once(mark)?.1;
    Some(rest.split(['/', ' ', '\n', '`']).next().unwrap().to_owned())
}

fn settings(api_url: &str, more: &str) -> String {
    format!(
        "[web]\nport = 0\nhooks_bind = \"127.0.0.1:0\"\npublic_url = \"https://bot.example.org/\"\n\
         trusted_proxies = [\"127.0.0.1\"]\n[sandbox]\nengine = \"bare\"\n\
         [channels.telegram.main]\ntoken = \"1:test\"\napi_url = \"{api_url}\"\n{more}"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn platforms_call_on_an_address_of_their_own() {
    let server =
        Server::start(Config { token: "1:test".into(), ..Config::default() }).await.unwrap();
    let stand = Stand::with(&settings(&server.url, "webhook_secret = \"s3cret\"\n"));
    let gateway = stand.serve(&[]);
    let hooks = word_after(&gateway, "platforms call at http://").unwrap();
    let page = word_after(&gateway, "listening on http://").unwrap();
    const HOOK: &str = "/hooks/telegram/main";
    const SECRET: &str = "x-telegram-bot-api-secret-token: s3cret\r\n";

    let big = "x".repeat((4 << 20) + 1);
    #[rustfmt::skip]
    let table = [
        (hooks.as_str(), "POST",   HOOK,                  SECRET, UPDATE, 200),
        (hooks.as_str(), "POST",   HOOK,                  SECRET, UPDATE, 200),
        (hooks.as_str(), "POST",   HOOK,                  "",     UPDATE, 401),
        (hooks.as_str(), "POST",   HOOK,                  SECRET, &big,   413),
        (hooks.as_str(), "DELETE", HOOK,                  SECRET, "",     405),
        (hooks.as_str(), "POST",   "/hooks/telegram/two", SECRET, UPDATE, 404),
        (hooks.as_str(), "POST",   "/hooks/web/main",     SECRET, UPDATE, 404),
        (hooks.as_str(), "POST",   "/hooks/carrier/main", SECRET, UPDATE, 404),
        (hooks.as_str(), "GET",    "/healthz",            "",     "",     404),
        (hooks.as_str(), "GET",    "/",                   "",     "",     404),
        (page.as_str(),  "POST",   HOOK,                  SECRET, UPDATE, 401),
        (page.as_str(),  "GET",    "/healthz",            "",     "",     200),
    ];
    for (addr, method, path, headers, body, want) in table {
        let (status, answer) = ask(addr, method, path, headers, body);
        assert_eq!(status, want, "{method} {path}: {answer}");
        assert!(!answer.contains("s3cret") && !answer.contains("hello"), "{answer}");
        if addr == hooks && path == HOOK {
            assert!(answer.contains("x-content-type-options: nosniff"), "{answer}");
        }
    }
    let (_, answer) = ask(&hooks, "POST", HOOK, "x-forwarded-for: 203.0.113.7\r\n", "{}");
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert!(gateway.log().contains("were not the platform's, the last from"), "{}", gateway.log());

    let shown = "https://bot.example.org/hooks/telegram/main";
    assert!(stand.run(&["status"]).out.contains(shown));
    assert!(stand.run(&["doctor"]).out.contains(shown));
    let status = stand.json(&["status"]);
    let channels = status["channels"].as_array().unwrap();
    let telegram = channels.iter().find(|it| it["account"] == "telegram@main").unwrap();
    assert_eq!(telegram["webhook"]["url"], shown);
    assert_eq!(status["counts"]["messages_in"], 1, "{status}");
    assert_eq!(gateway.stop().code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn their_address_is_off_until_a_channel_needs_it() {
    let server =
        Server::start(Config { token: "1:test".into(), ..Config::default() }).await.unwrap();
    let stand = Stand::with(&settings(&server.url, ""));
    let gateway = stand.serve(&[]);
    assert_eq!(word_after(&gateway, "platforms call at http://"), None);
    let page = word_after(&gateway, "listening on http://").unwrap();
    assert_eq!(ask(&page, "POST", "/hooks/telegram/main", "", "{}").0, 404);
}
