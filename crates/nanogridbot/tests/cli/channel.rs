//! Accounts that come, rest, change and go while the gateway runs.

use ngb_sim::telegram::{Config, Draft, Server};
use serde_json::Value;

use crate::stand::Stand;

fn account(all: &Value, name: &str) -> Value {
    let mut found = all.as_array().unwrap().iter().filter(|it| it["account"] == name);
    found.next().cloned().unwrap_or(Value::Null)
}

fn texts(server: &Server) -> Vec<String> {
    server.platform.sent(0).into_iter().map(|it| it.text).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_from_beginning_to_end() {
    let server = Server::start(Config::default()).await.unwrap();
    let stand = Stand::with("# mine\n[web]\nport = 0\n[sandbox]\nengine = \"bare\"\n");
    let gateway = stand.serve(&[]);
    let token = format!("token={}", server.token);
    let api = format!("api_url={}", server.url);

    // Added, it is connected when the command returns, and needs no restart.
    let added = stand.json(&["channel", "add", "telegram", &token, &api]);
    assert_eq!((&added["account"], &added["state"]), (&"telegram@main".into(), &"up".into()));
    stand.json(&["bind", "telegram:77", "main", "--always"]);
    server.platform.push(&[Draft::text(77, "one")]);
    server.platform.wait_sent(1).await;
    let tested = stand.json(&["channel", "test", "telegram"]);
    assert!(tested["me"]["name"].is_string() && tested["last_sent_at"].is_string(), "{tested}");

    // Resting, it hears nothing and loses nothing; it still rests after a restart.
    assert_eq!(stand.json(&["channel", "pause", "telegram"])[0]["state"], "paused");
    server.platform.push(&[Draft::text(77, "two")]);
    assert_eq!(gateway.stop().code, Some(0));
    let gateway = stand.serve(&[]);
    let all = stand.json(&["channel", "list"]);
    assert_eq!(account(&all, "telegram@main")["state"], "paused");
    assert_eq!(texts(&server).len(), 1);
    stand.json(&["channel", "resume", "--all"]);
    server.platform.wait_sent(2).await;
    assert!(texts(&server)[1].contains("two"));

    // Changed in the file, it is connected anew; one that was not changed is left alone.
    let heard = account(&stand.json(&["channel", "list"]), "web@main");
    let file = stand.home().join("config.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("# mine\n"), "{text}");
    std::fs::write(&file, text.replace(&server.token, "1:wrong-token_of-mine")).unwrap();
    let changed = stand.json(&["channel", "reload"]);
    assert_eq!(changed["changed"], serde_json::json!(["telegram@main"]));
    let down = account(&changed["channels"], "telegram@main");
    assert_eq!(down["state"], "down", "{down}");
    assert_eq!(account(&changed["channels"], "web@main"), heard);
    assert!(!gateway.log().contains("wrong-token"), "a token is in the log");
    std::fs::write(&file, &text).unwrap();
    assert_eq!(stand.json(&["channel", "reload"])["changed"][0], "telegram@main");
    server.platform.push(&[Draft::text(77, "three")]);
    server.platform.wait_sent(3).await;
    assert_eq!(stand.json(&["channel", "reload"])["changed"], serde_json::json!([]));

    // Settings that make no sense change nothing.
    std::fs::write(&file, text.replace("token =", "tokn =")).unwrap();
    let refused = stand.run(&["channel", "reload"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("unknown setting `tokn`"), "{refused:?}");
    std::fs::write(&file, &text).unwrap();
    server.platform.push(&[Draft::text(77, "four")]);
    server.platform.wait_sent(4).await;

    stand.json(&["channel", "remove", "telegram@main"]);
    assert_eq!(account(&stand.json(&["channel", "list"]), "telegram@main"), Value::Null);
    assert!(!std::fs::read_to_string(&file).unwrap().contains(&server.token));
    assert_eq!(gateway.stop().code, Some(0));
}

#[test]
fn bad_input_says_what_to_do() {
    let stand = Stand::with("[channels.telegram.main]\ntoken = \"1:x\"\n");
    #[rustfmt::skip]
    let table: &[(&[&str], i32, &str)] = &[
        (&["channel", "add", "telegram", "token=1:x"],            2, "`telegram@main` is in `"),
        (&["channel", "add", "telegrm", "token=1:x"],             2, "telegrm"),
        (&["channel", "add", "web"],                              2, "`web` is always there"),
        (&["channel", "add", "slack", "bot_token=xoxb"],          2, "app_token=…"),
        (&["channel", "add", "slack", "--name", "a b"],           2, "a b"),
        (&["channel", "add", "slack", "bot_tokn=xoxb"],           2, "unknown setting `bot_tokn`"),
        (&["channel", "add", "slack", "xoxb"],                    2, "`xoxb` is not of the form `key=value`"),
        (&["channel", "remove", "slack@main"],                    2, "`slack@main` is not in `"),
        (&["channel", "remove", "main"],                          2, "it looks like `telegram@main`"),
        (&["channel", "list"],                                    1, "start it with `nanogridbot serve`"),
        (&["channel", "pause"],                                   2, "--all"),
    ];
    for (args, code, needle) in table {
        let done = stand.run(args);
        assert_eq!(done.code, Some(*code), "{args:?}: {done:?}");
        assert!(done.err.contains(needle), "{args:?}: {done:?}");
    }
}
