//! `nanogridbot people` from the first to the last, against a gateway that runs.

use crate::stand::Stand;

#[test]
fn a_person_from_beginning_to_end() {
    let stand = Stand::new();
    let gateway = stand.serve(&[]);
    stand.json(&["group", "add", "family"]);
    let ann = stand.json(&["people", "invite", "Ann", "--role", "member", "-g", "family"]);
    assert!(ann["url"].as_str().unwrap().contains("#login="), "{ann}");
    stand.json(&["people", "link", "Ann", "telegram@main#4711"]);
    stand.json(&["people", "role", "Ann", "operator"]);
    let line = |name: &str| {
        let all = stand.json(&["people", "list"]);
        all.as_array().unwrap().iter().find(|it| it["name"] == name).cloned()
    };
    let it = line("Ann").unwrap();
    assert_eq!(it["addresses"], serde_json::json!(["telegram@main#4711"]));
    assert_eq!((it["role"].as_str(), it["id"] == ann["id"]), (Some("operator"), true));
    assert!(stand.run(&["people", "list"]).out.contains("operator  telegram@main#4711"));
    assert!(stand.run(&["people", "login", "Ann"]).out.contains("#login="));

    stand.json(&["people", "unlink", "Ann", "telegram@main#4711"]);
    assert_eq!(line("Ann").unwrap()["addresses"], serde_json::json!([]));
    #[rustfmt::skip]
    let refused: &[(&[&str], &str)] = &[
        (&["people", "unlink", "Ann", "telegram@main#4711"], "no address `telegram@main#4711` of Ann"),
        (&["people", "link", "Ann", "4711"],                 "write it like `telegram@main#4711`"),
        (&["people", "link", "Ann", "web@main#user:1"],      "a door of our own"),
        (&["people", "link", "Bob", "telegram@main#1"],      "nobody is called `Bob`"),
        (&["people", "role", "Ann", "king"],                 "unknown role `king`"),
        (&["people", "role", "99", "guest"],                 "person `99`"),
    ];
    for (args, want) in refused {
        let got = stand.run(args);
        assert!(got.code != Some(0) && got.err.contains(want), "{args:?}: {got:?}");
    }
    let refused = stand.run(&["people", "forget", "web@main#local"]);
    assert!(refused.code == Some(2) && refused.err.contains("--yes"), "{refused:?}");
    stand.json(&["run", "-p", "echo zanzibar7431"]);
    let got = stand.json(&["people", "forget", "web@main#local", "--yes"]);
    assert!(2 <= got["messages"].as_u64().unwrap() && got["hash"].is_string(), "{got}");
    let held = std::fs::read(stand.home().join("nanogridbot.db")).unwrap();
    assert!(!held.windows(12).any(|it| it == b"zanzibar7431"), "it is in the database");
    let got = stand.run(&["people", "forget", "telegram@main#1", "--yes"]);
    assert!(got.out.contains("forgot 0 messages"), "{got:?}");
    stand.json(&["people", "remove", "Ann"]);
    assert_eq!(line("Ann"), None);
    gateway.stop();
}
