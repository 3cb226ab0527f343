//! `import`: of databases with the schemas of the real programs, into an empty home, twice.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::stand::Stand;

/// A database made of a script.
fn database(file: &Path, script: &str) {
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    rusqlite::Connection::open(file).unwrap().execute_batch(script).unwrap();
}

fn write(file: &Path, text: &str) {
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, text).unwrap();
}

fn nanoclaw_1(dir: &Path) {
    database(&dir.join("store/messages.db"), include_str!("import/nanoclaw-1.sql"));
    write(&dir.join("groups/main/CLAUDE.md"), "You are Andy.\n");
    write(&dir.join("groups/main/notes/zebra.md"), "stripes\n");
    write(&dir.join("groups/main/logs/container.log"), "noise\n");
    write(&dir.join(".env"), "TZ=Europe/Berlin\nTELEGRAM_BOT_TOKEN=1:secret\n");
}

/// One home and one folder of another program, imported dry, then for real, then again.
fn imported(stand: &Stand, make: fn(&Path)) -> (PathBuf, Value) {
    let from = stand.home().with_file_name("other");
    make(&from);
    let path = from.to_str().unwrap();
    let dry = stand.json(&["import", path, "--dry-run"]);
    assert!(!dry["steps"].as_array().unwrap().is_empty(), "{dry}");
    assert_eq!(
        stand.json(&["group", "list"]).as_array().unwrap().len(),
        1,
        "a dry run makes nothing"
    );
    let done = stand.json(&["import", path]);
    for key in ["program", "steps", "files", "left"] {
        assert_eq!(done[key], dry[key], "{key}: what was said is what is done");
    }
    assert_eq!(done["messages_added"], done["messages_found"]);
    let again = stand.json(&["import", path]);
    assert_eq!((&again["steps"], &again["files"]), (&Value::Array(vec![]), &Value::Array(vec![])));
    assert_eq!(again["messages_added"], 0);
    let db = rusqlite::Connection::open(stand.home().join("nanogridbot.db")).unwrap();
    for table in ["jobs", "outbox", "runs"] {
        let count: i64 =
            db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
        assert_eq!(count, 0, "an import does nothing: {table}");
    }
    (from, done)
}

fn tasks(stand: &Stand) -> Vec<String> {
    let all = stand.json(&["task", "list"]);
    let of = |it: &Value| {
        let text = |key: &str| it[key].as_str().unwrap_or("-").to_owned();
        format!(
            "{} {} {} {} {} {}",
            text("group_folder"),
            text("schedule_value"),
            text("zone"),
            text("target_chat_jid"),
            text("context_mode"),
            text("status")
        )
    };
    let mut all: Vec<String> = all.as_array().unwrap().iter().map(of).collect();
    all.sort();
    all
}

fn bindings(stand: &Stand, group: &str) -> Vec<String> {
    let group = stand.json(&["group", "show", group]);
    let of = |it: &Value| {
        let text = |key: &str| it[key].as_str().unwrap_or("-").to_owned();
        format!(
            "{} {} {} {} {}",
            text("jid"),
            text("engage"),
            text("pattern"),
            text("scope"),
            text("senders")
        )
    };
    let all = group["bindings"].as_array().unwrap().iter().map(of);
    all.filter(|it| !it.starts_with("web@") && !it.starts_with("terminal@")).collect()
}

fn left(done: &Value) -> String {
    done["left"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it.as_str().unwrap().to_owned() + "\n")
        .collect()
}

#[test]
fn nanoclaw_before_version_2() {
    let stand = Stand::new();
    let (_, done) = imported(&stand, nanoclaw_1);
    assert_eq!(done["program"], "NanoClaw 1");
    assert_eq!(bindings(&stand, "main"), ["telegram@main:100 always - group everyone"]);
    assert_eq!(
        bindings(&stand, "telegram_family"),
        ["telegram@main:-200 trigger (?i)^@Andy\\b group everyone"]
    );
    assert_eq!(
        tasks(&stand),
        [
            "main 0 9 * * * Europe/Berlin telegram@main:100 group paused",
            "telegram_family 2h UTC telegram@main:-200 isolated paused",
        ]
    );
    let left = left(&done);
    for needle in [
        "has no groups",
        "it has a script",
        "`TELEGRAM_BOT_TOKEN`",
        "it is completed",
        "`long ago`",
        "1 messages",
        "`mount add`",
    ] {
        assert!(left.contains(needle), "{needle}: {left}");
    }
    assert!(!left.contains("1:secret"), "{left}");
    let read = |path: &str| std::fs::read_to_string(stand.home().join(path)).unwrap();
    assert_eq!(read("instructions/main/CLAUDE.md"), "You are Andy.\n");
    assert_eq!(read("groups/main/notes/zebra.md"), "stripes\n");
    assert!(!stand.home().join("groups/main/logs").exists());

    let live = stand.json(&["import", "--go-live"]);
    assert_eq!(live["tasks"].as_array().unwrap().len(), 2);
    assert!(tasks(&stand).iter().all(|it| it.ends_with(" active")));
    assert_eq!(stand.json(&["import", "--go-live"])["tasks"], Value::Array(vec![]));
}

#[test]
fn nanogridbot_in_python() {
    let stand = Stand::new();
    let (_, done) = imported(&stand, |dir| {
        database(&dir.join("store/messages.db"), include_str!("import/python.sql"));
        write(&dir.join(".env"), "TZ=UTC\n");
    });
    assert_eq!(done["program"], "NanoGridBot (Python)");
    assert_eq!(
        bindings(&stand, "team"),
        [
            "telegram@main:100 trigger (?i)andy group everyone",
            "slack@main:C01 always - group everyone"
        ]
    );
    assert_eq!(
        tasks(&stand),
        ["team 1h UTC slack@main:C01 group paused", "team 2h UTC web@main:team group paused"]
    );
    let left = left(&done);
    assert!(
        left.contains("its group `gone` is not there") && left.contains("the login `root`"),
        "{left}"
    );
}

#[test]
fn nanoclaw_2_into_a_home_whose_gateway_runs() {
    let stand = Stand::new();
    let gateway = stand.serve(&["--port", "0"]);
    let (_, done) = imported(&stand, |dir| {
        database(&dir.join("data/v2.db"), include_str!("import/nanoclaw-2.sql"));
        let session = dir.join("data/v2-sessions/ag-1/sess-1");
        database(&session.join("inbound.db"), include_str!("import/nanoclaw-2-inbound.sql"));
        database(&session.join("outbound.db"), include_str!("import/nanoclaw-2-outbound.sql"));
        write(&dir.join("groups/dm-with-ann/CLAUDE.md"), "put together\n");
        write(&dir.join("groups/dm-with-ann/CLAUDE.local.md"), "Ann likes okapis.\n");
        write(&dir.join(".env"), "TZ=Europe/Berlin\n");
    });
    assert_eq!(done["program"], "NanoClaw 2");
    assert_eq!(bindings(&stand, "dm-with-ann"), ["telegram@main:100 always - chat everyone"]);
    assert_eq!(
        bindings(&stand, "work_team"),
        ["slack@main:C0B1 mention - thread known", "discord@main:99 mention - group everyone"]
    );
    assert_eq!(
        tasks(&stand),
        ["dm-with-ann 0 9 * * 1-5 Europe/Berlin telegram@main:100 group paused"]
    );
    let people = stand.json(&["people", "list"]);
    let of = |name: &str| {
        people.as_array().unwrap().iter().find(|it| it["name"] == name).cloned().unwrap_or_default()
    };
    assert_eq!(
        (&of("Ann")["role"], &of("Ann")["addresses"][0]),
        (&"owner".into(), &"telegram@main#100".into())
    );
    assert_eq!(of("Bob")["groups"].as_array().unwrap().len(), 2, "{people}");
    assert_eq!(of("Passer-by"), Value::Null);
    let left = left(&done);
    for needle in
        ["`imessage` is not known", "the trigger `(?<=a)b`", "a conversation of `dm-with-ann`"]
    {
        assert!(left.contains(needle), "{needle}: {left}");
    }
    let said = gateway.get("/api/messages?group=dm-with-ann");
    assert!(
        said.contains("an okapi?") && said.contains("half a zebra") && said.contains("imported"),
        "{said}"
    );
    let found = gateway.get("/api/messages?q=okapi");
    assert!(found.contains("an okapi?"), "what was imported is found: {found}");
    assert_eq!(
        std::fs::read_to_string(stand.home().join("instructions/dm-with-ann/CLAUDE.md")).unwrap(),
        "Ann likes okapis.\n"
    );
    gateway.stop();
}

#[test]
fn what_is_no_such_program_is_refused() {
    let stand = Stand::new();
    let got = stand.run(&["import", "/nowhere"]);
    assert_eq!(got.code, Some(2), "{got:?}");
    assert!(got.err.contains("neither `data/v2.db` nor `store/messages.db`"), "{got:?}");
    let dir = stand.home().with_file_name("other");
    write(&dir.join("store/messages.db"), "no database");
    let got = stand.run(&["import", dir.to_str().unwrap()]);
    assert_eq!(got.code, Some(1), "{got:?}");
}
