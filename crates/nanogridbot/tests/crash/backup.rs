//! Backups: taken while messages flow, put back on the other database, held, and then gone on with.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::common::{LIMIT, LOOK_AGAIN, Stage, program};

async fn answer(stage: &Stage, args: &[&str]) -> Value {
    let out = stage.output(args).await;
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{args:?}: {text} {}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_str(&text).unwrap()
}

/// Puts `file` into a new home, on the other database, and starts a gateway there; gives how often the platform was polled.
async fn restored(
    stage: &mut Stage,
    file: &Path,
    postgres: Option<&str>,
) -> (crate::common::Gateway, u64) {
    stage.home = file.with_file_name("restored");
    stage.env.remove("NGB_DATABASE__URL");
    if let Some(name) = postgres {
        stage.on_postgres(name).await;
    }
    stage.cli(&["restore", file.to_str().unwrap()]).await;
    let (polls, sent) = (stage.platform().figures().polls, stage.platform().sent(0).len());
    let gateway = stage.start();
    stage.heard("HELD").await;
    let status = answer(stage, &["status", "--json"]).await;
    assert!(status["restored"]["made_at"].is_string(), "{status}");
    assert_ne!(status["waits"]["messages"], Value::Array(Vec::new()), "{status}");
    // What is asked for now is not answered either.
    let asked = stage.output(&["run", "-p", "hello", "--timeout", "1s"]).await;
    assert!(!asked.status.success());
    assert_eq!(stage.platform().figures().polls, polls, "nothing is taken");
    assert_eq!(stage.platform().sent(0).len(), sent, "nothing is sent");
    (gateway, polls)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_is_put_back_and_nothing_is_sent_twice() {
    let mut stage = Stage::new().await;
    let (gateway, chats) = stage.with_chats(4).await;
    let file = stage.home.with_file_name("under load.backup");
    stage.push(&chats, 24);
    stage.typing_since(0).await;
    stage.cli(&["backup", file.to_str().unwrap()]).await;
    stage.kill(gateway).await;
    let (_gateway, polls) = restored(&mut stage, &file, Some("backup_load")).await;
    let messages = answer(&stage, &["status", "--json"]).await["counts"]["messages_in"].as_u64();
    assert!(Some(24) <= messages, "every message that was stored is there: {messages:?}");
    stage.cli(&["resume", "--held", "--give-up"]).await;
    let up = stage.platform().wait(|it| polls < it.polls);
    stage.clock.timeout(LIMIT, up).await.expect("it polls again");
    let dead = answer(&stage, &["dead", "list", "--json"]).await;
    let count = |key: &str| dead[key].as_array().map_or(0, Vec::len);
    let before = stage.figures();
    assert!(before.lost <= count("jobs") + count("sends"), "{before:?}: {dead}");
    // One by one, as an operator would who saw that they were not answered: here all that nobody answered.
    let sent: String = stage.platform().sent(0).into_iter().map(|it| it.text + "\n").collect();
    for job in dead["jobs"].as_array().into_iter().flatten() {
        let why = answer(&stage, &["why", &job["message"].to_string(), "--json"]).await;
        let text = why["message"]["text"].as_str().unwrap();
        let marker = text.split_whitespace().find(|it| it.starts_with("marker-"));
        if marker.is_some_and(|it| !sent.contains(it)) {
            stage.cli(&["dead", "requeue", &job["id"].to_string()]).await;
        }
    }
    stage.push(&chats, 4);
    let figures = stage.settled().await;
    stage.check("a backup under load", &figures);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_one_database_goes_on_in_the_other() {
    let mut stage = Stage::new().await;
    stage.on_postgres("backup_from").await;
    let (gateway, chats) = stage.with_chats(3).await;
    let file = stage.home.with_file_name("server.backup");
    stage.push(&chats, 9);
    stage.typing_since(0).await;
    stage.kill(gateway).await;
    stage.cli(&["backup", file.to_str().unwrap()]).await;
    let (polls, sent) = (stage.platform().figures().polls, stage.platform().sent(0).len());
    let whole = answer(&stage, &["backup", "verify", file.to_str().unwrap(), "--json"]).await;
    assert_eq!((&whole["ok"], &whole["held"]), (&true.into(), &true.into()), "{whole}");
    let after = (stage.platform().figures().polls, stage.platform().sent(0).len());
    assert_eq!(after, (polls, sent), "what was started to verify it reaches nobody");
    let (_gateway, _) = restored(&mut stage, &file, None).await;
    stage.cli(&["resume", "--held"]).await;
    let figures = stage.settled().await;
    stage.check("a backup of a dead gateway", &figures);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_killed_leaves_none_and_the_next_is_whole() {
    /// Long enough to be hit; it takes no room, and compresses to none.
    const BYTES: u64 = 512 << 20;
    let stage = Stage::new().await;
    let gateway = stage.started().await;
    let large = stage.home.join("groups/main/large");
    std::fs::File::create(&large).unwrap().set_len(BYTES).unwrap();
    let file = stage.home.with_file_name("killed.backup");
    let part = stage.home.with_file_name("killed.backup.part");
    let mut child = stage.command(&["backup", file.to_str().unwrap()]).spawn().unwrap();
    let begun = async {
        while std::fs::metadata(&part).map_or(0, |it| it.len()) == 0 {
            stage.clock.sleep(LOOK_AGAIN).await;
        }
    };
    stage.clock.timeout(LIMIT, begun).await.expect("it writes");
    child.start_kill().unwrap();
    child.wait().await.unwrap();
    assert!(!file.exists(), "what was killed has no name");
    assert!(part.exists());
    let part = part.to_str().unwrap();
    assert!(!stage.output(&["backup", "verify", part]).await.status.success());
    std::fs::File::options().write(true).open(&large).unwrap().set_len(7).unwrap();
    stage.cli(&["backup", file.to_str().unwrap()]).await;
    assert!(!Path::new(part).exists());
    stage.cli(&["backup", "verify", file.to_str().unwrap()]).await;
    // The gateway never noticed.
    drop(gateway);
}

/// A home with a database, made by a command.
async fn home(dir: &Path) -> PathBuf {
    let home = dir.join("home");
    std::fs::create_dir(&home).unwrap();
    let text = "# mine\n[web]\ntoken = \"token-of-the-page\"\n[providers.p]\nkind = \"openai\"\n\
                base_url = \"http://me:passw0rd@127.0.0.1:1/v1\"\napi_key = \"env:KEY_OF_P\"\n";
    std::fs::write(home.join("config.toml"), text).unwrap();
    std::fs::write(home.join(".env"), "KEY_OF_P=key-of-the-model\n").unwrap();
    let out = program(&home).args(["group", "add", "notes"]).output().await.unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    std::fs::write(home.join("groups/notes/list.txt"), "milk").unwrap();
    std::os::unix::fs::symlink("/etc/hostname", home.join("groups/notes/elsewhere")).unwrap();
    home
}

async fn say(home: &Path, args: &[&str]) -> (Option<i32>, String) {
    let out = program(home).args(args).env("NGB_BACKUP_PASSPHRASE", "").output().await.unwrap();
    let text = [out.stdout, out.stderr].map(|it| String::from_utf8(it).unwrap()).concat();
    (out.status.code(), text)
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_in_a_backup_only_where_it_is_encrypted() {
    let dir = tempfile::tempdir().unwrap();
    let home = home(dir.path()).await;
    let (plain, sealed) = (dir.path().join("plain"), dir.path().join("sealed"));
    let (plain, sealed) = (plain.to_str().unwrap(), sealed.to_str().unwrap());
    let key = dir.path().join("key");
    std::fs::write(&key, "correct horse\n").unwrap();
    let key = key.to_str().unwrap();
    let (code, said) = say(&dir.path().join("none"), &["backup", plain]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("start the gateway once"), "{said}");
    assert_eq!(say(&home, &["backup", plain]).await.0, Some(0));
    let (code, said) = say(&home, &["backup", plain]).await;
    assert_eq!(code, Some(1), "what is there is not written over: {said}");
    let mut bytes = Vec::new();
    let file = std::fs::File::open(plain).unwrap();
    flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("milk") && text.contains("KEY_OF_P"));
    for secret in ["token-of-the-page", "passw0rd", "key-of-the-model"] {
        assert!(!text.contains(secret), "{secret}");
    }
    let (code, said) = say(&home, &["backup", sealed, "--encrypt"]).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--passphrase-file"), "{said}");
    let (code, said) = say(&home, &["backup", sealed, "--encrypt", "--passphrase-file", key]).await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(say(&home, &["backup", "verify", sealed]).await.0, Some(2));
    let whole = say(&home, &["backup", "verify", sealed, "--passphrase-file", key]).await;
    assert_eq!(whole.0, Some(0), "{}", whole.1);

    let new = dir.path().join("new");
    let (code, said) = say(&home, &["restore", sealed, "--passphrase-file", key]).await;
    assert_eq!(code, Some(2), "a home that is in use is left alone: {said}");
    let (code, said) = say(&new, &["restore", sealed, "--passphrase-file", key]).await;
    assert_eq!(code, Some(0), "{said}");
    for name in ["config.toml", ".env", "groups/notes/list.txt"] {
        assert_eq!(std::fs::read(home.join(name)).unwrap(), std::fs::read(new.join(name)).unwrap());
    }
    let link = std::fs::read_link(new.join("groups/notes/elsewhere")).unwrap();
    assert_eq!(link, Path::new("/etc/hostname"), "the link, not what it points to");
    let (code, said) = say(&new, &["run", "-p", "hello"]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("resume --held"), "{said}");
    assert!(say(&new, &["resume", "--held"]).await.1.contains("it goes on"));
    assert!(say(&new, &["resume", "--held"]).await.1.contains("nothing was held"));
    assert!(say(&new, &["group", "list"]).await.1.contains("notes"));

    let bytes = std::fs::read(plain).unwrap();
    std::fs::write(plain, &bytes[..bytes.len() * 2 / 3]).unwrap();
    let third = dir.path().join("third");
    let (code, said) = say(&third, &["restore", plain]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("no whole backup"), "{said}");
    assert!(!third.exists(), "half a backup makes no home");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_makes_them_by_itself_and_keeps_the_newest() {
    let mut stage = Stage::new().await;
    let dir = stage.home.with_file_name("elsewhere");
    stage.env.insert("NGB_BACKUP__EVERY".into(), "1d".into());
    stage.env.insert("NGB_BACKUP__KEEP".into(), "2".into());
    stage.env.insert("NGB_BACKUP__DIR".into(), dir.to_str().unwrap().into());
    std::fs::create_dir(&dir).unwrap();
    for old in ["auto-2020", "auto-2021", "mine-2020"] {
        std::fs::write(dir.join(format!("{old}.backup")), "old").unwrap();
    }
    let gateway = stage.started().await;
    stage.heard("backed up to").await;
    let mut names: Vec<_> =
        std::fs::read_dir(&dir).unwrap().map(|it| it.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names.len(), 3, "{names:?}");
    assert_eq!(
        (names[0].to_str(), names[2].to_str()),
        (Some("auto-2021.backup"), Some("mine-2020.backup"))
    );
    let newest = dir.join(&names[1]);
    stage.cli(&["backup", "verify", newest.to_str().unwrap()]).await;
    stage.kill(gateway).await;

    // The next one is due tomorrow; another folder can't be written.
    stage.env.insert("NGB_BACKUP__DIR".into(), "/proc/nowhere".into());
    stage.home = stage.home.with_file_name("second");
    let gateway = stage.started().await;
    stage.heard("the backup failed: could not use `/proc/nowhere`").await;
    stage.kill(gateway).await;
    stage.env.insert("NGB_BACKUP__EVERY".into(), "1s".into());
    let out = stage.output(&["serve", "--port", "0"]).await;
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{said}");
    assert!(said.contains("backup.every"), "{said}");
}
