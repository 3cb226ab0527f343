//! Tests of the built-in plugins.

use std::time::Duration;

use ngb_core::{address::Jid, clock::Timestamp, id::MessageId};
use serde_json::json;

use super::*;
use crate::hook::{Event, Part, Received, Sending, Verdict};

fn received(text: &str, part: Part) -> Event {
    Event::MessageReceived(Received {
        message: MessageId(1),
        place: "telegram@main:1".parse::<Jid>().unwrap().into(),
        group: None,
        sender_id: "7".into(),
        sender_name: "Ann".into(),
        is_direct: true,
        sent_at: Timestamp(0),
        part,
        text: text.into(),
        is_meant: false,
    })
}

async fn said(name: &str, config: Value, text: &str) -> String {
    let plugin = Builtin::find(name).unwrap().make(&Clock::System);
    let verdict = plugin.ask(&received(text, Part::Text), &Config::new(config)).await.unwrap();
    match verdict {
        Verdict::Pass => "pass".into(),
        Verdict::Change(text) => text,
        Verdict::Answer(text) => format!("answer: {text}"),
        Verdict::Drop(why) => format!("drop: {why}"),
        Verdict::Hold(why) => format!("hold: {why}"),
        Verdict::Note(what) => format!("note: {what}"),
        Verdict::Meant(why) => format!("meant: {why}"),
    }
}

#[tokio::test]
async fn redactor_corpus() {
    let fake = |it: &str| it.replace('~', "");
    #[rustfmt::skip]
    let table = [
        ("call +49 170 1234567 now",                  "call [phone hidden] now"),
        ("手机13812345678，谢谢",                        "手机[phone hidden]，谢谢"),
        ("138-1234-5678",                             "[phone hidden]"),
        ("card 4111 1111 1111 1111.",                 "card [card hidden]."),
        ("card 4111 1111 1111 1112.",                 "card 4111 1111 1111 1112."),
        ("card 4111 1111 1111 1111 123",              "card [card hidden] 123"),
        ("card 4111-1111-1111-1111 12/27",            "card [card hidden] 12/27"),
        ("2 4111 1111 1111 1111 times",               "2 [card hidden] times"),
        ("ES91 2100 0418 4502 0005 1332 BANK",        "[iban hidden] BANK"),
        ("pay DE89 3704 0044 0532 0130 00 today",     "pay [iban hidden] today"),
        ("pay DE89 3704 0044 0532 0130 02 today",     "pay DE89 3704 0044 0532 0130 02 today"),
        ("身份证11010519491231002X",                     "身份证[id number hidden]"),
        ("身份证110105194912310021",                     "身份证110105194912310021"),
        ("write to ann.lee+x@mail.example.org!",      "write to [e-mail hidden]!"),
        ("key sk-~ant-api03-abcdefghijklmnopqrstuv",  "key [credential hidden]"),
        ("gh~p_abcdefghijklmnopqrstuvwxyz0123456789", "[credential hidden]"),
        ("AK~IAIOSFODNN7EXAMPLE",                     "[credential hidden]"),
        ("123456789:~AAEhBP0av28_abcdefghijklmnopqrstuvw", "[credential hidden]"),
        ("postgres://ann:hunter22@db/x",              "postgres://ann:[credential hidden]@db/x"),
        ("my password is hunter22, ok",               "my password is [credential hidden], ok"),
        ("API_KEY=abcdef123456",                      "API_KEY=[credential hidden]"),
        ("密码：hunter22",                              "密码：[credential hidden]"),
        ("-----BEGIN ~PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY----- x", "[credential hidden] x"),
        ("-----BEGIN ~RSA PRIVATE KEY-----\nMIIE",    "[credential hidden]"),
        ("version 1.2.3, 12:30, 2026-11-23, room 42", "version 1.2.3, 12:30, 2026-11-23, room 42"),
        ("what is a password?",                       "what is a password?"),
        ("order 20261123000145 of 1299 EUR",          "order 20261123000145 of 1299 EUR"),
    ];
    for (text, want) in table {
        let text = fake(text);
        assert_eq!(said("redactor", json!({}), &text).await, want, "{text}");
    }
    let only = json!({"kinds": ["email"], "mask": "█"});
    assert_eq!(said("redactor", only, "a@b.de +49 170 1234567").await, "█ +49 170 1234567");
    assert_eq!(said("redactor", json!({"incoming": false}), "a@b.de").await, "pass");
}

#[tokio::test]
async fn word_filter_table() {
    let dir = tempfile::tempdir().unwrap();
    let list = dir.path().join("words");
    std::fs::write(&list, "# people\nprojekt x\n\n机密\n").unwrap();
    let config = |action: &str| json!({"words": ["darn"], "files": [list], "action": action});
    #[rustfmt::skip]
    let table = [
        ("mask",    "Darn it, a darnel",    "**** it, a darnel"),
        ("mask",    "Projekt X is 机密文件", "********* is **文件"),
        ("replace", "darn",                 "…"),
        ("block",   "darn",                 "drop: it has a word of the list"),
        ("hold",    "darn",                 "hold: it has a word of the list"),
        ("alert",   "oh Darn",              "note: `Darn` is on the list"),
        ("block",   "fine",                 "pass"),
    ];
    for (action, text, want) in table {
        assert_eq!(said("word_filter", config(action), text).await, want, "{action} {text}");
    }
    let plugin = Builtin::find("word_filter").unwrap().make(&Clock::System);
    let quote = received("darn", Part::Quote);
    let verdict = plugin.ask(&quote, &Config::new(config("block"))).await.unwrap();
    assert_eq!(
        verdict,
        Verdict::Change("****".into()),
        "a quote is hidden, not its message blocked"
    );
}

#[tokio::test]
async fn auto_reply_table() {
    let config = json!({"rules": [
        {"pattern": r"^opening hours\??$", "reply": "9 to 5, {sender}", "ignore": "holiday"},
        {"pattern": r"(?P<a>\d+) ?\+ ?(\d+)", "reply": "{a} and {2}: \"{text}\""},
    ]});
    #[rustfmt::skip]
    let table = [
        ("Opening hours?",         "answer: 9 to 5, Ann"),
        ("opening hours holiday",  "pass"),
        ("2+3",                    "answer: 2 and 3: \"2+3\""),
        ("hello",                  "pass"),
    ];
    for (text, want) in table {
        assert_eq!(said("auto_reply", config.clone(), text).await, want, "{text}");
    }
}

#[tokio::test]
async fn mention_table() {
    let config = json!({"names": ["@andy", "help-bot"], "called": ["小助手", "Assistant"]});
    #[rustfmt::skip]
    let table = [
        ("what do you say, @Andy?",      "meant: it names `andy`"),
        ("@help-bot: hours",             "meant: it names `help-bot`"),
        ("write to me@andy.example",     "pass"),
        ("@andyman is another",          "pass"),
        ("Andy said so",                 "pass"),
        ("assistant, what is new?",      "meant: it names `Assistant`"),
        ("ask the assistant",            "pass"),
        ("小助手，天气如何",                "meant: it names `小助手`"),
        ("小助手天气如何",                 "meant: it names `小助手`"),
        ("请问@andy今天天气",              "meant: it names `andy`"),
        ("",                             "pass"),
    ];
    for (text, want) in table {
        assert_eq!(said("mention", config.clone(), text).await, want, "{text}");
    }
    assert_eq!(said("mention", json!({"always": true}), "x").await, "meant: every message is");
    // Without names it is the group's.
    let plugin = Builtin::find("mention").unwrap().make(&Clock::System);
    let config = Config::new(json!({}));
    let group = Some("Chess club".parse().unwrap());
    let Event::MessageReceived(it) = received("hi @chess club!", Part::Text) else { panic!() };
    let verdict = |it| plugin.ask(it, &config);
    let of_group = Event::MessageReceived(Received { group, ..it });
    let named = Verdict::Meant("it names `Chess club`".into());
    assert_eq!(verdict(&of_group).await.unwrap(), named);
    // What was edited into it starts nothing.
    assert_eq!(verdict(&received("@andy", Part::Edit)).await.unwrap(), Verdict::Pass);
}

#[tokio::test]
async fn rate_limiter_counts_by_chat_and_person() {
    let (hand, clock) = Clock::manual(Timestamp(0));
    let plugin = Builtin::find("rate_limiter").unwrap().make(&clock);
    let config = Config::new(json!({"per_minute": 2, "per_hour": 3, "reply": "slowly"}));
    let mut told = Vec::new();
    for step_s in [0, 1, 1, 1, 60, 1, 3_600] {
        hand.send_modify(|now| *now = *now + Duration::from_secs(step_s));
        told.push(match plugin.ask(&received("x", Part::Text), &config).await.unwrap() {
            Verdict::Pass => "pass",
            Verdict::Answer(_) => "told",
            Verdict::Drop(_) => "drop",
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(told, ["pass", "pass", "told", "drop", "pass", "told", "pass"]);
}

#[test]
fn settings_are_checked() {
    #[rustfmt::skip]
    let table = [
        ("redactor",     json!({"kinds": ["mail"]}),                "unknown variant `mail`"),
        ("redactor",     json!({"colour": 1}),                      "unknown field `colour`"),
        ("rate_limiter", json!({"per_minute": "ten"}),              "invalid type: string \"ten\""),
        ("auto_reply",   json!({"rules": [{"pattern": "("}]}),      "missing field `reply`"),
        ("auto_reply",   json!({"rules": [{"pattern": "(", "reply": ""}]}), "unclosed group"),
        ("mention",      json!({"names": ["@"]}),                   "a name is empty"),
        ("mention",      json!({"called": ["x".repeat(600)]}),      "bytes"),
        ("word_filter",  json!({"files": ["/nowhere/words"]}),      "could not read `/nowhere/words`"),
    ];
    for (name, config, want) in table {
        let err = Builtin::find(name).unwrap().check(&config).unwrap_err();
        assert!(err.contains(want), "{name}: {err}");
    }
    for it in Builtin::ALL {
        it.check(&json!({})).unwrap();
    }
}

#[tokio::test]
async fn what_agents_say_is_masked_too() {
    let plugin = Builtin::find("redactor").unwrap().make(&Clock::System);
    let sending = Event::MessageSending(Sending {
        place: "telegram@main:1".parse::<Jid>().unwrap().into(),
        group: "home".parse().unwrap(),
        about: None,
        text: "mail a@b.de".into(),
    });
    let verdict = plugin.ask(&sending, &Config::new(json!({}))).await.unwrap();
    assert_eq!(verdict, Verdict::Change("mail [e-mail hidden]".into()));
}
