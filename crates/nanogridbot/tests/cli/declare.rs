//! `export` and `apply`: a home as a file, the file in another home, and nothing to do the second time.

use serde_json::Value;

use crate::stand::{Done, Stand};

/// A home with something of each kind in it.
fn furnished() -> Stand {
    let stand = Stand::with("[web]\ntoken = \"a-token-of-thirty-two-characters\"\n");
    // Whoever opens the page first is a person, too.
    stand.serve(&["--port", "0"]).stop();
    let does = |args: &[&str]| drop(stand.json(args));
    does(&["group", "add", "team"]);
    does(&[
        "group",
        "set",
        "team",
        "pids=64",
        "egress=web",
        "env.HELLO=a-token-of-thirty-two-characters",
    ]);
    does(&["group", "pause", "team"]);
    does(&[
        "bind",
        "telegram@main:-100",
        "team",
        "--trigger",
        "^@bot",
        "--debounce-ms",
        "250",
        "--sender",
        "7=never",
    ]);
    does(&["bind", "telegram@main:-100", "team", "--thread", "5", "--always"]);
    does(&["people", "invite", "Ann", "--role", "member", "-g", "team"]);
    does(&["people", "link", "Ann", "telegram@main#4711"]);
    does(&["people", "invite", "Olga", "--role", "operator"]);
    does(&[
        "task",
        "add",
        "-g",
        "team",
        "--cron",
        "0 8 * * MON-FRI",
        "--tz",
        "Europe/Berlin",
        "-p",
        "the news",
    ]);
    does(&[
        "task",
        "add",
        "-g",
        "main",
        "--every",
        "2h",
        "-p",
        "look\nat \"it\"",
        "--isolated",
        "--jitter",
        "5",
    ]);
    does(&["task", "pause", "2"]);
    stand
}

fn export(stand: &Stand) -> String {
    let got = stand.run(&["export"]);
    assert_eq!(got.code, Some(0), "{got:?}");
    got.out
}

/// Applies `text`, and how many changes it made.
fn apply(stand: &Stand, text: &str, args: &[&str]) -> (u64, Value) {
    let file = stand.home().with_extension("toml");
    std::fs::write(&file, text).unwrap();
    let all = [&["apply", file.to_str().unwrap()], args].concat();
    let got = stand.json(&all);
    (got["changes"].as_u64().unwrap(), got["steps"].clone())
}

#[test]
fn a_home_goes_through_a_file_into_another() {
    let old = furnished();
    let text = export(&old);
    assert!(!text.contains("a-token-of-thirty-two"), "{text}");
    assert!(text.contains("{{secret:web.token}}"), "{text}");
    assert_eq!(apply(&old, &text, &[]).0, 0, "what was exported is so already");

    let new = Stand::with("[web]\ntoken = \"another-token-of-32-characters-!\"\n");
    let gateway = new.serve(&["--port", "0"]);
    let (planned, steps) = apply(&new, &text, &["--dry-run"]);
    assert!(planned > 6, "{steps}");
    assert!(!export(&new).contains("team"), "a dry run changes nothing");
    assert_eq!(apply(&new, &text, &[]).0, planned, "with a gateway that runs");
    assert_eq!(export(&new), text);
    let (again, steps) = apply(&new, &text, &[]);
    assert_eq!(again, 0, "{steps}");
    let hello = &new.json(&["group", "show", "team"])["limits"]["environment"]["HELLO"];
    assert_eq!(*hello, "another-token-of-32-characters-!", "the secret of the home that it is in");
    gateway.stop();
}

#[test]
fn what_changes_in_the_file_changes_and_what_is_not_in_it_stays_unless_pruned() {
    let stand = furnished();
    let text = export(&stand);
    let other = text
        .replace("0 8 * * MON-FRI", "0 9 * * *")
        .replace("pids = 64", "memory_mib = 1024")
        .replace("role = \"operator\"", "role = \"admin\"");
    let (changes, steps) = apply(&stand, &other, &[]);
    assert_eq!(changes, 3, "{steps}");
    assert!(steps.to_string().contains("pids 64 -> 256"), "{steps}");
    assert_eq!(export(&stand), other);

    let little = "format = 1\n[[group]]\nfolder = \"main\"\nname = \"main\"\n";
    let (changes, steps) = apply(&stand, little, &[]);
    assert_eq!(changes, 0, "{steps}");
    assert!(steps.to_string().contains("group `team` is not in the file, and stays"), "{steps}");
    let (changes, steps) = apply(&stand, little, &["--prune"]);
    assert_eq!(changes, 5, "two tasks, two people, a group: {steps}");
    assert_eq!(apply(&stand, little, &["--prune"]).0, 0);
    let people = stand.json(&["people", "list"]);
    let roles: Vec<&Value> = people.as_array().unwrap().iter().map(|it| &it["role"]).collect();
    assert_eq!(
        roles,
        ["owner".into(), Value::Null].iter().collect::<Vec<_>>(),
        "of Ann an address is left"
    );
}

#[test]
fn a_file_that_makes_no_sense_changes_nothing() {
    let stand = Stand::new();
    let group = "[[group]]\nfolder = \"a\"\nname = \"a\"\n";
    #[rustfmt::skip]
    let table = [
        ("format = 2".to_owned(), "`format` is 2"),
        ("format = 1\ngruop = 1".to_owned(), "unknown field `gruop`"),
        (format!("format = 1\n{group}limits = {{ pid = 1 }}"), "there is no limit `pid`"),
        (format!("format = 1\n{group}{group}"), "two groups with the folder `a`"),
        (format!("format = 1\n{group}[[group.binding]]\njid = \"telegram:5\""), "write it like `telegram@main:-100123`"),
        (format!("format = 1\n{group}[[person]]\nname = \"Ann\""), "`Ann` has no `role`"),
        (format!("format = 1\n{group}[[person]]\nname = \"Ann\"\ngroups = {{ b = \"member\" }}"), "the group `b`, which is not there"),
        (format!("format = 1\n{group}[[task]]\ngroup = \"a\"\nprompt = \"x\"\nschedule_type = \"cron\"\nschedule_value = \"soon\""), "`soon`"),
        ("format = 1 # {{secret:none}}".to_owned(), "the secret `none`"),
    ];
    for (text, needle) in table {
        let file = stand.home().with_extension("toml");
        std::fs::write(&file, &text).unwrap();
        let Done { code, err, .. } = stand.run(&["apply", file.to_str().unwrap()]);
        assert_eq!(code, Some(2), "{text}: {err}");
        assert!(err.contains(needle), "{text}: {err}");
    }
    assert_eq!(stand.json(&["group", "list"]).as_array().unwrap().len(), 1);
    let past = format!(
        "format = 1\n{group}[[task]]\ngroup = \"a\"\nprompt = \"x\"\nschedule_type = \"once\"\nschedule_value = \"2020-01-01 08:00\""
    );
    let (changes, steps) = apply(&stand, &past, &[]);
    assert_eq!(changes, 1, "{steps}");
    assert!(steps.to_string().contains("its time has passed"), "{steps}");
}
