//! Planted secrets are looked for in everything that leaves the program.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
};

use crate::stand::{Stand, walk};

/// One of each kind; all contain this word.
const MARK: &str = "planted";

/// A platform and a model that refuse whatever they are asked, as long as the test runs; the port.
#[expect(clippy::disallowed_methods, reason = "it ends with the test")]
fn refusing() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for line in listener.incoming() {
            let mut line = line.unwrap();
            // Whatever was asked fits into one read, or the answer comes early; both are a refusal.
            let asked = line.read(&mut [0; 65_536]);
            let answer =
                "HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
            drop(asked.and_then(|_| line.write_all(answer.as_bytes())));
        }
    });
    port
}

/// A file with a secret, outside of every home.
static FILED: std::sync::LazyLock<std::path::PathBuf> = std::sync::LazyLock::new(|| {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("key-of-filed");
    std::fs::write(&path, "planted-in-a-file\n").unwrap();
    path
});

/// Where each platform's outbox is driven into an error.
const PLACES: [&str; 10] = [
    "telegram:5",
    "slack:C1",
    "discord:channel:9",
    "whatsapp:+15550001",
    "wecom@app:zhangsan",
    "wecom@bot:zhangsan",
    "wecom@robot:group",
    "feishu:oc_1",
    "dingtalk:cid1",
    "qq:group:7",
];

/// Settings with a secret of each kind; who listens at `port` refuses, so that each use of one is an error.
fn settings(port: u16) -> String {
    format!(
        r#"
[web]
token = "planted-web-token-0123456789"

[agent]
model = "far/any"
retry_base = "1ms"

[providers.far]
kind = "anthropic"
base_url = "http://user:planted-password@127.0.0.1:{port}"
api_key = "planted-provider-key"
headers = {{ "x-extra" = "planted-header" }}

[providers.other]
kind = "openai"
api_key = "env:OTHER_KEY"

[providers.filed]
kind = "openai"
api_key = "file:{filed}"

[channels.telegram.main]
token = "123456:planted-telegram-token"
api_url = "http://127.0.0.1:{port}"

[channels.slack.main]
bot_token = "xoxb-planted-slack-bot"
app_token = "xapp-planted-slack-app"
api_url = "http://127.0.0.1:{port}"
network = {{ proxy = "http://me:planted-slack-proxy@127.0.0.1:{port}" }}

[channels.discord.main]
token = "planted.discord.token"
api_url = "http://127.0.0.1:{port}"

[channels.whatsapp.main]
access_token = "planted-whatsapp-access"
phone_number_id = "1234"
app_secret = "planted-whatsapp-app"
verify_token = "planted-whatsapp-verify"
api_url = "http://127.0.0.1:{port}"

[channels.wecom.app]
corp_id = "wx1"
agent_id = 7
secret = "planted-wecom-secret"
token = "planted-wecom-token"
encoding_aes_key = "plantedplantedplantedplantedplantedplantedA"
api_url = "http://127.0.0.1:{port}"

[channels.wecom.bot]
bot_id = "b"
bot_secret = "planted-wecom-bot-secret"
ws_url = "ws://127.0.0.1:{port}"

[channels.wecom.robot]
robot_key = "planted-wecom-robot-key"
api_url = "http://127.0.0.1:{port}"

[channels.feishu.main]
app_id = "cli_1"
app_secret = "planted-feishu-secret"
encrypt_key = "planted-feishu-encrypt"
verification_token = "planted-feishu-verify"
api_url = "http://127.0.0.1:{port}"

[channels.dingtalk.main]
client_id = "ding1"
client_secret = "planted-dingtalk-secret"
api_url = "http://127.0.0.1:{port}"
upload_url = "http://127.0.0.1:{port}"

[channels.qq.main]
url = "ws://127.0.0.1:{port}"
token = "planted-qq-token"
"#,
        filed = FILED.display(),
    )
}

#[test]
fn planted_secrets_stay_in() {
    let port = refusing();
    let stand = Stand::with(&settings(port));
    std::fs::write(stand.home().join(".env"), "OTHER_KEY=planted-in-env-file\n").unwrap();
    let mut shown: Vec<(String, String)> = Vec::new();

    let gateway = stand.serve(&["--debug"]);
    shown.push(("announced".to_owned(), gateway.announced.clone()));
    // The model refuses the key: the run fails, and says why.
    let got = stand.run(&["run", "-p", "hello", "--timeout", "1m"]);
    assert_ne!(got.code, None, "{got:?}");
    shown.push(("run".to_owned(), format!("{got:?}")));
    // Each platform refuses what is sent, and each hook what is posted.
    for place in PLACES {
        let bound = stand.run(&["bind", place, "main", "--always"]);
        assert_eq!(bound.code, Some(0), "{place}: {bound:?}");
        let add =
            ["task", "add", "-g", "main", "--chat", place, "--every", "1d", "--say", "-p", "tea"];
        let task = stand.json(&add)["id"].to_string();
        let said = stand.run(&["task", "run", &task]);
        assert_eq!(said.code, Some(0), "{place}: {said:?}");
        shown.push((format!("{place} said"), format!("{said:?}")));
    }
    for hook in ["whatsapp/main", "wecom/app", "telegram/main", "feishu/main"] {
        shown.push((hook.to_owned(), gateway.get(&format!("/hooks/{hook}?hub.verify_token=x"))));
    }
    #[rustfmt::skip]
    let commands: &[&[&str]] = &[
        &["config"], &["--json", "config"], &["status"], &["--json", "status"], &["doctor"], &["--json", "doctor"],
        &["why", "1"], &["--json", "why", "1"], &["dead", "list"], &["group", "show", "main"], &["serve"],
        &["channel", "list"], &["--json", "channel", "list"], &["channel", "test", "slack"], &["channel", "test", "discord"],
        &["channel", "test", "whatsapp"], &["channel", "test", "feishu"], &["channel", "test", "dingtalk"],
        &["channel", "test", "qq"], &["channel", "test", "wecom@app"], &["task", "list"], &["logs"], &["why", "2"],
    ];
    for args in commands {
        shown.push((format!("{args:?}"), format!("{:?}", stand.run(args))));
    }
    #[rustfmt::skip]
    let paths = [
        "/api/status", "/api/groups", "/api/messages", "/api/messages/1/why", "/api/dead", "/api/health",
        "/api/health/metrics", "/api/tasks", "/metrics", "/healthz", "/readyz", "/api/openapi.json",
        "/api/channels", "/api/people", "/api/pairings", "/api/chats", "/api/live", "/api/log", "/api/me", "/api/messages/2/why",
        "/api/log/lines", "/api/overview", "/api/plugins", "/api/plugins/known", "/api/plugins/logs", "/api/channels/kinds",
    ];
    for path in paths {
        shown.push((path.to_owned(), gateway.get(path)));
    }
    let done = gateway.stop();
    for account in ["slack@main", "discord@main", "wecom@bot", "dingtalk@main", "qq@main"] {
        assert!(done.err.contains(account), "{account} failed, in the log: {}", done.err);
    }
    assert!(done.err.contains("could not send row"), "{}", done.err);
    assert!(done.err.contains("telegram@main"), "the channel failed, in the log: {}", done.err);
    shown.push(("standard error".to_owned(), done.err));

    // Starts that fail, each with a secret near the fault.
    let faults = [
        settings(port).replace("[web]\n", "[web]\nprot = 1\n"),
        settings(port).replace("[web]\n", "[web]\nport = \"x\"\n"),
        settings(port).replace("kind = \"openai\"", "kind = \"nobody\""),
        settings(port).replace("[providers.other]", "auth = \"magic\"\n[providers.other]"),
        settings(port).replace("env:OTHER_KEY", "env:NOT_SET"),
        settings(port).replace("x-extra", "x extra"),
        settings(port).replace("planted-header", "planted\\nheader"),
        settings(port)
            .replace("[agent]", "[network]\nproxy = \"nonsense://me:planted-proxy@:x\"\n[agent]"),
        settings(port)
            .replace("[agent]", "[database]\nurl = \"mysql://me:planted-db@127.0.0.1/x\"\n[agent]"),
        settings(port).replace(
            "[agent]",
            &format!("[database]\nurl = \"postgres://me:planted-db@127.0.0.1:{port}/x\"\n[agent]"),
        ),
        settings(port).replace("planted-web-token-0123456789\"", "planted-web-token-0123456789"),
    ];
    for fault in faults {
        let stand = Stand::with(&fault);
        std::fs::write(stand.home().join(".env"), "OTHER_KEY=planted-in-env-file\n").unwrap();
        for args in [&["serve"][..], &["--json", "serve"], &["doctor"], &["config"]] {
            let got = stand.run(args);
            let is_start = args.contains(&"serve");
            assert!(!is_start || matches!(got.code, Some(1 | 2)), "{fault}\n{got:?}");
            shown.push((format!("{args:?} with {fault}"), format!("{got:?}")));
        }
    }

    for (what, text) in &shown {
        let at = text.find(MARK);
        let near = at.map(|it| text[..it].chars().rev().take(200).collect::<Vec<_>>());
        let near: Option<String> = near.map(|it| it.into_iter().rev().collect());
        assert_eq!(near, None, "{what} shows a secret; before it stands this");
    }
    for path in walk(&stand.home()) {
        let name = path.file_name().unwrap().to_str().unwrap();
        if !path.is_file() || name == "config.toml" || name == ".env" {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let found = bytes.windows(MARK.len()).any(|it| it == MARK.as_bytes());
        assert!(!found, "{} holds a secret", path.display());
    }
}
