//! `simulate`: what would become of a message, by the rules that count.

use crate::stand::Stand;

#[test]
fn what_would_become_of_a_message() {
    let stand = Stand::with(
        "[channels.telegram.main]\ntoken = \"1:x\"\napi_url = \"http://127.0.0.1:1\"\n",
    );
    stand.json(&["group", "add", "family"]);
    stand.json(&[
        "bind",
        "telegram@main:-5",
        "family",
        "--trigger",
        "^@andy\\b",
        "--scope",
        "sender",
    ]);
    stand.json(&["group", "add", "resting"]);
    stand.json(&["bind", "telegram@main:-6", "resting", "--always"]);
    stand.json(&["group", "pause", "resting"]);
    let before = stand.json(&["message", "list"]);
    let ask = |chat: &str, more: &[&str]| {
        stand.json(&[&["simulate", "--chat", chat, "--from", "7"], more].concat())
    };
    let (home, unknown) = ("telegram@main:-5", "telegram@main:-99");
    #[rustfmt::skip]
    let table: &[(&str, &[&str], &str, &str)] = &[
        (home,    &["@andy what is on?"],             "answer",        ""),
        (home,    &["--mention", "what is on?"],      "answer",        ""),
        (home,    &["what is on?"],                   "keep",          "nobody addressed the agent"),
        (home,    &["--mention", "/help"],            "command",       "`/help`"),
        (unknown, &["hello"],                         "drop",          "nobody approved this chat"),
        (unknown, &["--direct", "hello"],             "offer_pairing", "shown a code"),
        (unknown, &["--bot", "--mention", "hello"],   "drop",          "the sender is a bot"),
    ];
    for (chat, more, decision, why) in table {
        let got = ask(chat, more);
        assert_eq!(got["decision"], *decision, "{more:?}: {got}");
        assert!(got["why"].as_str().unwrap().contains(why), "{more:?}: {got}");
    }
    let got = ask(home, &["@andy hi"]);
    assert_eq!((&got["group"], &got["role"]), (&"family".into(), &"guest".into()), "{got}");
    let key = got["lane_key"].as_str().unwrap();
    assert!(key.contains('7'), "a conversation of each sender: {key}");
    let got = ask("telegram@main:-6", &["hi"]);
    assert!(got["remarks"].to_string().contains("the group rests"), "{got}");
    assert_eq!(stand.json(&["message", "list"]), before, "nothing was written");
}
