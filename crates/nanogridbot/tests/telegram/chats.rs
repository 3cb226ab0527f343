//! What people do on Telegram, and what they see.

use ngb_sim::telegram::{Draft, Fault, How, Press, When};
use serde_json::{Value, json};

use crate::common::{Stage, program};

fn photo(file_id: &str, album: &str) -> serde_json::Map<String, Value> {
    let more = json!({
        "media_group_id": album,
        "photo": [{"file_id": file_id, "file_unique_id": file_id, "width": 9, "height": 9}],
    });
    let Value::Object(more) = more else { unreachable!("it is an object") };
    more
}

/// Three pictures in one message: one answer, and all three files are there.
#[tokio::test(flavor = "multi_thread")]
async fn an_album_is_one_question() {
    let stage = Stage::new().await;
    let (_gateway, chats) = stage.with_chats(1).await;
    let chat = chats[0];
    let files: Vec<String> =
        ["a", "b", "c"].iter().map(|it| stage.platform().add_file(*it)).collect();
    let mut drafts: Vec<Draft> = files
        .iter()
        .map(|it| Draft { chat, more: photo(it, "13640"), ..Draft::default() })
        .collect();
    drafts[0].more.insert("caption".into(), "tool:bash {\"command\":\"cat inbox/*\"}".into());
    stage.platform().push(&drafts);
    stage.settled_text("abc").await;
    let answers = stage.platform().sent(0);
    assert_eq!(answers.len(), 1, "{answers:?}");
}

/// A question with buttons: a stranger's press gets a word and changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn only_who_asked_may_answer() {
    let stage = Stage::new().await;
    let _gateway = stage.started().await;
    let group = -1_001_000_000_007;
    stage.cli(&["bind", &format!("telegram@main:{group}"), "main", "--always"]).await;
    let ask = r#"tool:ask {"question":"Which?","options":["Left","Right"]}"#;
    stage.platform().push(&[Draft { from: Some(7), ..Draft::text(group, ask) }]);
    let question = stage.platform().wait_sent(1).await.remove(0);
    let keys = question.reply_markup.unwrap();
    let data = keys["inline_keyboard"][1][0]["callback_data"].as_str().unwrap().to_owned();
    let press = |from: i64| Draft {
        from: Some(from),
        press: Some(Press { message_id: question.id, data: data.clone() }),
        ..Draft::text(group, "")
    };
    let platform = stage.platform();
    platform.push(&[press(8)]);
    platform.wait(|_| platform.calls("answerCallbackQuery").len() == 1).await;
    let told = &platform.calls("answerCallbackQuery")[0].fields["text"];
    assert_eq!(told, &json!("This is not yours to decide."));
    platform.push(&[press(7)]);
    stage.settled_text("Right").await;
    platform.wait(|_| platform.calls("answerCallbackQuery").len() == 2).await;
    assert_eq!(platform.calls("answerCallbackQuery")[1].fields.get("text"), None);
}

/// Under an answer that grows stands a button; it stops the answer and is gone from it.
#[tokio::test(flavor = "multi_thread")]
async fn a_button_stops_a_live_answer() {
    let stage = Stage::new().await;
    let _gateway = stage.started().await;
    stage.cli(&["bind", "telegram@main:5", "main", "--always"]).await;
    // Word by word, so slowly that it is shown long before it is whole.
    stage.model.behave(|it| it.piece_ms = 100);
    let platform = stage.platform();
    platform.push(&[Draft::text(5, "tick ".repeat(1_000))]);
    let live = platform.wait_sent(1).await.remove(0);
    let keys = live.reply_markup.unwrap();
    let button = &keys["inline_keyboard"][0][0];
    assert_eq!(button["text"], "Stop");
    let data = button["callback_data"].as_str().unwrap().to_owned();
    let press = Some(Press { message_id: live.id, data });
    platform.push(&[Draft { press, ..Draft::text(5, "") }]);
    let done = || platform.sent(0)[0].text.ends_with("Stopped.");
    platform.wait(|_| done()).await;
    let sent = platform.sent(0);
    assert_eq!(sent.len(), 1, "it is one message to the end: {sent:?}");
    assert_eq!(sent[0].reply_markup, None);
}

/// A group that becomes a supergroup keeps its binding, and its conversation goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_moves_keeps_its_agent() {
    let (from, to) = (-42, -1_001_000_000_042);
    let stage = Stage::new().await;
    let _gateway = stage.started().await;
    stage.cli(&["bind", &format!("telegram@main:{from}"), "main", "--always"]).await;
    stage.platform().push(&[Draft::text(from, "before the move")]);
    stage.settled_text("before the move").await;
    stage.platform().migrate(from, to);
    stage.platform().push(&[Draft::text(to, "after the move")]);
    stage.settled_text("after the move").await;
    stage.platform().push(&[Draft::text(to, "recall:before")]);
    stage.settled_text("before the move").await;
    let answers = stage.platform().sent(0);
    assert_eq!(answers[1].chat, to, "{answers:?}");
}

/// An edit of a message that waits is what the agent gets.
#[tokio::test(flavor = "multi_thread")]
async fn an_edit_reaches_what_waits() {
    let stage = Stage::new().await;
    let (_gateway, chats) = stage.with_chats(1).await;
    let typing = stage.platform().calls("sendChatAction").len();
    stage.model.behave(|it| it.first_token_ms = 1_500);
    stage.platform().push(&[Draft::text(chats[0], "first")]);
    stage.typing_since(typing).await;
    let second = stage.platform().push(&[Draft::text(chats[0], "secnod")])[0];
    let edit = Draft { edit_of: Some(second), ..Draft::text(chats[0], "second") };
    stage.platform().push(&[edit]);
    stage.settled_text("second").await;
    assert!(stage.platform().sent(0).iter().all(|it| !it.text.contains("secnod")));
}

/// What `status` says of the account: since when it is quiet, and what a refused token needs.
#[tokio::test(flavor = "multi_thread")]
async fn status_says_how_the_account_is_doing() {
    let mut stage = Stage::new().await;
    let gateway = stage.started().await;
    // The first poll is over once something came by it.
    stage.platform().push(&[Draft::text(5, "who is there?")]);
    stage.platform().wait_confirmed().await;
    let account = account(&stage).await;
    assert_eq!((&account["state"], &account["why"]), (&json!("up"), &json!("")));
    assert!(account["last_heard_at"].is_string(), "{account}");
    stage.kill(gateway).await;

    stage.platform().fault(Fault {
        method: "getUpdates".into(),
        how: How::Status { code: 401 },
        when: When::Next(1),
    });
    let _gateway = stage.start();
    let account = loop {
        match account_of(&stage).await {
            Some(account) if account["state"] == "down" => break account,
            _ => (),
        }
    };
    let why = account["why"].as_str().unwrap();
    assert!(why.contains("refused the token") && why.contains("@BotFather"), "{why}");
    assert!(!why.contains(&stage.telegram.token), "{why}");
}

async fn account(stage: &Stage) -> Value {
    loop {
        // The pulse is beaten once the answer is read.
        match account_of(stage).await {
            Some(account) if account["last_heard_at"].is_string() => return account,
            _ => (),
        }
    }
}

/// The account in `status`; none while the gateway is not up.
async fn account_of(stage: &Stage) -> Option<Value> {
    let mut command = program(&stage.home);
    let out = command.args(["--json", "status"]).output().await.unwrap();
    let status: Value = serde_json::from_slice(&out.stdout).ok()?;
    let of = |it: &&Value| it["account"] == "telegram@main";
    status["channels"].as_array()?.iter().find(of).cloned()
}

/// What Telegram refused for good is listed, and sent again once the chat lets the bot in, or dropped.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_answer_can_be_sent_again() {
    let stage = Stage::new().await;
    let _gateway = stage.started().await;
    stage.cli(&["bind", "telegram@main:5", "main", "--always"]).await;
    let platform = stage.platform();
    platform.block(5);
    for (n, text) in ["left", "right"].into_iter().enumerate() {
        platform.push(&[Draft::text(5, text)]);
        let sends = loop {
            let letters = json_of(&stage, &["dead", "list"]).await;
            let sends = letters["sends"].as_array().unwrap().clone();
            if sends.len() == n + 1 {
                break sends;
            }
        };
        assert!(sends[0]["text"].as_str().unwrap().contains(text), "{sends:?}");
        assert!(sends[0]["error"].as_str().unwrap().contains("bot was blocked"), "{sends:?}");
    }
    let why = json_of(&stage, &["why", "1"]).await;
    let says = why["sentence"].as_str().unwrap();
    assert!(says.contains("`nanogridbot dead requeue send-1`"), "{says}");
    platform.unblock(5);
    stage.cli(&["dead", "drop", "send-2"]).await;
    stage.cli(&["dead", "requeue", "send-1"]).await;
    let sent = platform.wait_sent(1).await;
    assert!(sent[0].text.contains("left"), "{sent:?}");
    let mut again = program(&stage.home);
    let out = again.args(["dead", "requeue", "send-2"]).output().await.unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(2), "{said}");
    assert!(said.contains("dead send `2`") && said.contains("nanogridbot dead list"), "{said}");
    assert_eq!(json_of(&stage, &["dead", "list"]).await, json!({"jobs": [], "sends": []}));
}

async fn json_of(stage: &Stage, words: &[&str]) -> Value {
    let mut command = program(&stage.home);
    let out = command.arg("--json").args(words).output().await.unwrap();
    serde_json::from_slice(&out.stdout).unwrap()
}

/// A wait that Telegram names is one chat's: the others go on.
#[tokio::test(flavor = "multi_thread")]
async fn one_chat_waits_as_long_as_telegram_says() {
    const WAIT_S: u32 = 8;
    let stage = Stage::new().await;
    let (_gateway, chats) = stage.with_chats(2).await;
    let platform = stage.platform();
    platform.fault(Fault {
        method: "sendMessage".into(),
        how: How::TooManyRequests { retry_after_s: WAIT_S },
        when: When::Next(1),
    });
    platform.push(&[Draft::text(chats[0], "told to wait")]);
    platform.wait(|_| !platform.calls("sendMessage").is_empty()).await;
    platform.push(&[Draft::text(chats[1], "goes on")]);
    stage.settled_text("told to wait").await;
    let sent: Vec<i64> = platform.sent(0).iter().map(|it| it.chat).collect();
    assert_eq!(sent, [chats[1], chats[0]]);
    let refused_at = platform.calls("sendMessage")[0].at;
    let waited = platform.sent(1)[0].at.since(refused_at);
    assert!(u64::from(WAIT_S) <= waited.as_secs(), "{waited:?}");
}

/// What is quoted and whose words were forwarded stands in the prompt.
#[tokio::test(flavor = "multi_thread")]
async fn the_agent_reads_what_is_quoted_and_forwarded() {
    let stage = Stage::new().await;
    let (_gateway, chats) = stage.with_chats(1).await;
    let more = |more: Value| match more {
        Value::Object(more) => more,
        _ => unreachable!("it is an object"),
    };
    let quoting = more(json!({
        "reply_to_message": {
            "message_id": 3, "date": 1, "chat": {"id": chats[0], "type": "private"}, "from": {"id": 9},
            "text": "one of two teapots",
        },
        "quote": {"text": "two teapots", "position": 7, "is_manual": true},
    }));
    let forwarded = more(json!({
        "forward_origin": {"type": "user", "date": 1, "sender_user": {"id": 9, "first_name": "Grace"}},
    }));
    let draft = |text: &str, more| Draft { more, ..Draft::text(chats[0], text) };
    stage.platform().push(&[draft("what is that?", quoting)]);
    stage.settled_text("what is that?").await;
    stage.platform().push(&[draft("hello from afar", forwarded)]);
    stage.settled_text("hello from afar").await;
    let prompts = stage.model.requests().iter().map(|it| it.body.to_string()).collect::<Vec<_>>();
    let says = |words: &str| prompts.iter().any(|it| it.contains(words));
    assert!(says("two teapots") && !says("one of two teapots"), "{prompts:?}");
    assert!(says("[forwarded from Grace]"), "{prompts:?}");
}

/// The agent puts an emoji under the message that it answers, and hears why it can't put another; what a person puts under
/// an answer goes with their next message, and is no message.
#[tokio::test(flavor = "multi_thread")]
async fn people_and_agents_react() {
    let stage = Stage::new().await;
    let (_gateway, chats) = stage.with_chats(1).await;
    let (chat, platform) = (chats[0], stage.platform());
    let draft = Draft::text(chat, r#"tool:react {"emoji":"🔥"}"#);
    let id = platform.push(&[draft])[0];
    stage.settled_text("done").await;
    let put = &platform.calls("setMessageReaction")[0].fields;
    assert_eq!((&put["chat_id"], &put["message_id"]), (&json!(chat), &json!(id)));
    assert_eq!(put["reaction"], json!([{"type": "emoji", "emoji": "🔥"}]));
    // The next is sent once the receipt of the one before is on disk.
    platform.push(&[Draft::text(chat, r#"tool:react {"emoji":"🦤"}"#)]);
    stage.settled_text("🦤 can't be put under a message of this chat; these can: ❤ 👍").await;

    let answer = platform.sent(0)[0].id;
    let reaction = json!({"message_reaction": {
        "chat": {"id": chat, "type": "private"}, "message_id": answer, "date": 1_700_000_000,
        "user": {"id": chat, "is_bot": false, "first_name": "Ada"},
        "old_reaction": [], "new_reaction": [{"type": "emoji", "emoji": "👎"}],
    }});
    platform.push_raw(vec![reaction]);
    platform.wait_confirmed().await;
    platform.push(&[Draft::text(chat, "what did I think of it?")]);
    stage.settled_text("what did I think of it?").await;
    assert_eq!(platform.sent(0).len(), 3, "a reaction is not answered");
    let prompts = stage.model.requests().iter().map(|it| it.body.to_string()).collect::<Vec<_>>();
    assert!(prompts.last().unwrap().contains("[reacted with 👎]"), "{prompts:?}");
}
