//! Setting accounts up, on all eight platforms: each missing step is named.

use std::{net::SocketAddr, time::Duration};

use ngb_core::{address::ChannelKind, clock::Clock};
use ngb_sim::{
    all::{All, Person, Room},
    fault::{Fault, How, When},
};
use serde_json::Value;

use crate::stand::{Gateway, Stand};

/// Longest that a second client may take to be seen.
const LIMIT: Duration = Duration::from_secs(60);

const BARE: &str = "[web]\nport = 0\n[sandbox]\nengine = \"bare\"\n";

/// The platforms, a gateway, and its accounts as they were when they were added.
struct Stage {
    all: All,
    stand: Stand,
    gateway: Gateway,
    added: Vec<Value>,
}

/// Adds an account of each platform, with `wrong` as the value of its first secret where there is one.
async fn stage(wrong: Option<&str>) -> Stage {
    let all = All::start(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let stand = Stand::with(BARE);
    let gateway = stand.serve(&[]);
    let line = gateway.announced.lines().find(|it| it.contains("  page ")).unwrap();
    let base = line.split_whitespace().last().unwrap().split("/#").next().unwrap().to_owned();
    let mut added = Vec::new();
    for side in all.sides() {
        let mut given = vec!["channel".to_owned(), "add".to_owned(), side.kind().to_string()];
        for (key, value) in side.settings() {
            let is_wrong =
                ["token", "bot_token", "bot_secret", "client_secret", "app_secret"].contains(&key);
            let value = wrong.filter(|_| is_wrong).map_or(value, str::to_owned);
            given.push(format!("{key}={value}"));
        }
        let given: Vec<&str> = given.iter().map(String::as_str).collect();
        let done = stand.run(&[&["--json"], given.as_slice()].concat());
        added.push(serde_json::from_str(&done.out).unwrap_or_else(|err| panic!("{err}: {done:?}")));
        if side.kind() == ChannelKind::Whatsapp && wrong.is_none() {
            all.call_back(&base, &Clock::System).await;
        }
    }
    Stage { all, stand, gateway, added }
}

impl Stage {
    /// How far an account is; once it is past waiting, when `wait` is a time.
    fn setup(&self, kind: ChannelKind, wait: &str) -> Value {
        let done = self.stand.run(&["--json", "channel", "setup", kind.as_str(), "--wait", wait]);
        serde_json::from_str(&done.out).unwrap_or_else(|err| panic!("{kind}: {err}: {done:?}"))
    }
}

fn has(it: &Value, needle: &str) -> bool {
    it.as_array().unwrap().iter().any(|it| it.as_str().unwrap().contains(needle))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connected_without_a_message_names_what_is_missing_until_one_is_answered() {
    use ChannelKind::*;
    let stage = stage(None).await;
    stage.all.feishu.platform.unpublish(true);
    #[rustfmt::skip]
    let table = [
        (Whatsapp, "the field `messages` is not subscribed"),
        (Telegram, "privacy mode"),
        (Slack,    "add the bot events message.im"),
        (Discord,  "Message Content Intent is off"),
        (Wecom,    "使用长连接"),
        (Dingtalk, "no version is published"),
        (Feishu,   "im.message.receive_v1 is not added"),
        (Qq,       "not logged in to QQ"),
    ];
    for (kind, missing) in table {
        let got = stage.setup(kind, "0s");
        assert_eq!(got["stage"], "connected", "{got}");
        assert!(has(&got["missing"], missing), "{kind}: {got}");
        assert!(!got["steps"].as_array().unwrap().is_empty(), "{got}");
    }
    // Where it can't be told which of them it is, each is named.
    #[rustfmt::skip]
    let steps = [
        (Wecom,    vec!["使用长连接", "可见范围", "only what names it"]),
        (Dingtalk, vec!["no version is published", "take Stream 模式", "only what names it", "another program"]),
        (Feishu,   vec!["im.message.receive_v1 is not added", "im:message.p2p_msg:readonly", "publish a version", "可用范围", "another program"]),
    ];
    for (kind, sentences) in steps {
        let got = stage.setup(kind, "0s");
        for it in sentences {
            assert!(has(&got["missing"], it), "{kind}, {it}: {got}");
        }
    }
    // What the platform itself says comes first.
    let got = stage.setup(Feishu, "0s");
    assert!(
        got["missing"][0].as_str().unwrap().contains("create a version of it and publish it"),
        "{got}"
    );
    let scopes: Value = serde_json::from_str(got["import"]["text"].as_str().unwrap()).unwrap();
    assert!(has(&scopes["scopes"]["tenant"], "im:message:send_as_bot"));
    let invitation = stage.setup(Discord, "0s")["import"]["text"].to_string();
    assert!(invitation.contains("client_id=9000"), "{invitation}");

    for side in stage.all.sides() {
        side.say(Person::Ann, Room::Direct, "hello?");
    }
    for (kind, _) in table {
        let got = stage.setup(kind, "60s");
        assert_eq!(
            (&got["stage"], got["missing"].as_array().unwrap().len()),
            (&"answered".into(), 0),
            "{got}"
        );
        let shown = stage.all.side(kind).unwrap().shown();
        assert!(shown.iter().any(|it| it.text.contains("approve")), "{kind}: {shown:?}");
    }
    let words = stage.stand.run(&["channel", "setup", "feishu"]);
    assert!(words.out.contains("nothing is missing"), "{words:?}");
    assert_eq!(stage.gateway.stop().code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_can_not_be_answered_names_the_missing_right() {
    use ChannelKind::*;
    let stage = stage(None).await;
    let all = &stage.all;
    let refuse = |method: &str, code: u16, description: &str| Fault {
        method: method.into(),
        how: How::Refuse { code, description: description.into() },
        when: When::Next(100),
    };
    all.whatsapp.platform.close_window("15550000001");
    all.telegram.platform.fault(refuse(
        "sendMessage",
        403,
        "Forbidden: bot was blocked by the user",
    ));
    all.slack.platform.refuse("chat.postMessage", "missing_scope");
    all.discord.platform.refuse("createMessage", 50_013, "Missing Permissions");
    all.wecom.company.fault(refuse("aibot_respond_msg", 400, "no"));
    all.wecom.company.fault(refuse("aibot_send_msg", 400, "no"));
    let denied = "Forbidden.AccessDenied.AccessTokenPermissionDenied";
    // The address that came with the message wants no right, and is tried first.
    for call in ["robot/sendBySession", "robot/oToMessages/batchSend"] {
        all.dingtalk.platform.fault(refuse(call, 403, denied));
    }
    for call in ["sendMessage", "sendReply", "makeCard"] {
        all.feishu.platform.refuse(call, 99_991_672);
    }
    all.qq.account.fault(refuse("send_private_msg", 1_200, "risk control"));
    for side in all.sides() {
        side.say(Person::Ann, Room::Direct, "hello?");
    }
    #[rustfmt::skip]
    let table = [
        (Whatsapp, "24 hours",                     "`whatsapp_business_messaging`"),
        (Telegram, "blocked by the user",          "never pressed Start"),
        (Slack,    "missing_scope",                "add `chat:write`, then install the app again"),
        (Discord,  "50013",                        "Send Messages"),
        (Wecom,    "system busy",                  "可见范围"),
        (Dingtalk, "add it on the app's page",     "`qyapi_robot_sendmsg`"),
        (Feishu,   "publish a version",            "`im:message:send_as_bot`"),
        (Qq,       "risk control",                 "muted in that group"),
    ];
    for (kind, why, missing) in table {
        let got = stage.setup(kind, "60s");
        assert_eq!(got["stage"], "cant_answer", "{kind}: {got}");
        assert!(got["why"].as_str().unwrap().contains(why), "{kind}: {got}");
        assert!(has(&got["missing"], missing), "{kind}: {got}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_platform_refuses_is_told_when_it_is_added() {
    use ChannelKind::*;
    let stage = stage(Some("1:wrong")).await;
    #[rustfmt::skip]
    let table = [
        (Telegram, "take a new one from @BotFather"),
        (Slack,    "invalid_auth"),
        (Discord,  "does not take the token"),
        (Wecom,    "40001"),
        (Dingtalk, "Client ID or Client Secret is not that of the app"),
        (Feishu,   "`app_secret` is wrong"),
        (Qq,       "token"),
    ];
    for (kind, why) in table {
        let name = format!("{kind}@main");
        let added = stage.added.iter().find(|it| it["account"] == name).unwrap();
        assert!(["down", "waiting"].contains(&added["state"].as_str().unwrap()), "{added}");
        assert!(added["why"].as_str().unwrap().contains(why), "{kind}: {added}");
        assert_eq!(added["can_receive"], false);
        assert_eq!(stage.setup(kind, "0s")["stage"], "refused", "{kind}");
    }
    // The Graph API takes its token; that Meta's calls are not signed with this secret shows only when they come.
    let got = stage.setup(Whatsapp, "0s");
    assert_eq!(got["stage"], "connected", "{got}");
    assert!(has(&got["missing"], "Meta must reach it"), "{got}");
}

/// A second account with the same credentials stands for another program that has them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_program_on_the_account_is_seen_where_the_platform_lets_one() {
    use ChannelKind::*;
    let stage = stage(None).await;
    for kind in [Slack, Telegram] {
        let side = stage.all.side(kind).unwrap();
        let mut given = vec![kind.to_string(), "--name=other".to_owned()];
        given.extend(side.settings().iter().map(|(key, value)| format!("{key}={value}")));
        let given: Vec<&str> = given.iter().map(String::as_str).collect();
        stage.stand.run(&[&["channel", "add"], given.as_slice()].concat());
    }
    stage.all.wecom.company.take_over();
    #[rustfmt::skip]
    let table = [
        // Slack counts when a socket is opened: whoever comes later sees the one before.
        ("slack@other",   "1 more of the app's sockets"),
        // Whichever polls while the other waits is refused.
        ("telegram@",     "another program polls with the same token"),
        ("wecom@main",    "another program connected as this AI bot"),
    ];
    for (name, why) in table {
        let seen = async {
            loop {
                let all = stage.stand.json(&["channel", "list"]);
                let mut all = all.as_array().unwrap().iter();
                let is_it = |it: &&Value| {
                    it["account"].as_str().unwrap().starts_with(name) && it["state"] == "contested"
                };
                if let Some(it) = all.find(is_it) {
                    return it.clone();
                }
                tokio::task::yield_now().await;
            }
        };
        let seen = Clock::System.timeout(LIMIT, seen).await;
        let seen = seen.unwrap_or_else(|_| panic!("{name}: {}", stage.gateway.log()));
        assert!(seen["why"].as_str().unwrap().contains(why), "{seen}");
        assert_eq!((&seen["connected"], &seen["can_receive"]), (&false.into(), &false.into()));
    }
    // Elsewhere it is said that it can't be seen.
    let all = stage.stand.json(&["channel", "list"]);
    let feishu = all.as_array().unwrap().iter().find(|it| it["account"] == "feishu@main").unwrap();
    assert!(feishu["others"].as_str().unwrap().contains("can't be seen from here"), "{feishu}");
    let health = stage.gateway.get("/api/health");
    assert!(health.contains("\"degraded\""), "{health}");
    let metrics = stage.gateway.get("/metrics");
    assert!(
        metrics.contains("nanogridbot_channel_contested{account=\"wecom@main\"} 1"),
        "{metrics}"
    );
    assert!(metrics.contains("nanogridbot_channel_backlog{account=\"qq@main\"} 0"), "{metrics}");
}
