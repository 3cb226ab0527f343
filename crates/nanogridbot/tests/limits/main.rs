//! What a group's record of limits says is what its agents find inside: the real executable, a real sandbox.
#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "the crash tests use the rest")]
#[expect(clippy::print_stdout, reason = "the crash tests print figures")]
mod common;

mod usage;
mod way_out;

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use serde_json::{Value, json};

use crate::common::Stage;

/// A gateway whose agents do what they are told.
async fn stage() -> (Stage, common::Gateway) {
    let stage = Stage::new().await;
    stage.model.behave(|it| it.first_token_ms = 0);
    let gateway = stage.started().await;
    stage.cli(&["group", "add", "team"]).await;
    (stage, gateway)
}

/// What a shell script prints in the sandbox of `group`.
async fn inside(stage: &Stage, group: &str, script: &str) -> String {
    let prompt = format!("tool:bash {}", json!({ "command": script }));
    let out = stage.output(&["run", "-g", group, "-p", &prompt]).await;
    String::from_utf8(out.stdout).unwrap()
}

/// A command that must fail: what it says.
async fn refused(stage: &Stage, args: &[&str]) -> String {
    let out = stage.output(args).await;
    assert!(!out.status.success(), "{args:?}");
    String::from_utf8(out.stderr).unwrap()
}

fn allow(stage: &Stage, text: &str) {
    fs::write(stage.home.join("mount-allowlist.toml"), text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_is_allowed_seen_and_taken_away() {
    let (stage, _gateway) = stage().await;
    // Below /tmp, which is everybody's to look into: the agents are users of their own.
    let host = tempfile::tempdir().unwrap();
    fs::set_permissions(host.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let docs = host.path().join("docs");
    fs::create_dir(&docs).unwrap();
    fs::write(docs.join("file"), "from the host").unwrap();
    let docs = docs.canonicalize().unwrap();
    let path = docs.to_str().unwrap();

    let said = refused(&stage, &["mount", "add", "-g", "team", path]).await;
    assert!(said.contains("is in no folder that may be mounted"), "{said}");
    assert!(said.contains("mount-allowlist.toml") && said.contains("[[roots]]"), "{said}");

    let root = host.path().canonicalize().unwrap();
    allow(&stage, &format!("[[roots]]\npath = \"{}\"\n", root.display()));
    let said = refused(&stage, &["mount", "add", "-g", "team", "--write", path]).await;
    assert!(said.contains("may only be read"), "{said}");
    stage.cli(&["mount", "check", path]).await;
    stage.cli(&["mount", "add", "-g", "team", path]).await;

    let script =
        "cat /workspace/extra/docs/file; echo x > /workspace/extra/docs/new || echo read-only";
    let said = inside(&stage, "team", script).await;
    assert!(said.contains("from the host") && said.contains("read-only"), "{said}");
    // Another group's, which has no mount.
    let said = inside(&stage, "main", "ls /workspace").await;
    assert!(said.contains("group") && !said.contains("extra"), "{said}");

    // The list takes it back: the next run is refused, of an agent that still lives too.
    allow(&stage, "");
    let out = stage.output(&["--json", "run", "-g", "team", "-p", "hello"]).await;
    let answer: Value = serde_json::from_slice(&out.stdout).unwrap();
    let said = answer["answer"]["text"].as_str().unwrap();
    assert!(said.contains("a folder that this group is given may not be shown to me"), "{answer}");
    assert!(!said.contains(path), "{said}");
    let why = stage.output(&["why", &answer["id"].to_string()]).await;
    let why = String::from_utf8(why.stdout).unwrap();
    assert!(why.contains(path) && why.contains("may be mounted"), "{why}");

    stage.cli(&["mount", "remove", "-g", "team", "docs"]).await;
    let said = inside(&stage, "team", "ls /workspace").await;
    assert!(!said.contains("extra"), "{said}");
}

/// The gateway's own folder is never seen, whatever the list says.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_home_is_mounted() {
    let (stage, _gateway) = stage().await;
    allow(&stage, "[[roots]]\npath = \"/\"\nwrite = true\n");
    let home = stage.home.canonicalize().unwrap();
    let others = home.join("groups/main");
    let link = stage.home.parent().unwrap().join("harmless");
    std::os::unix::fs::symlink(&others, &link).unwrap();
    for path in [&home, &others, home.parent().unwrap(), Path::new("/"), Path::new("/proc"), &link]
    {
        let said =
            refused(&stage, &["mount", "add", "-g", "team", "--as", "a", path.to_str().unwrap()])
                .await;
        assert!(
            said.contains("the gateway's own folder") || said.contains("belongs to the system"),
            "{said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_are_set_and_read_inside() {
    let (stage, _gateway) = stage().await;
    stage.cli(&["group", "set", "team", "env.PROJECT=a b", "env.LANG=de_DE.UTF-8"]).await;
    let said = inside(&stage, "team", "echo \"[$PROJECT] $LANG\"").await;
    assert!(said.contains("[a b] de_DE.UTF-8"), "{said}");
    stage.cli(&["group", "set", "team", "env.PROJECT=none"]).await;
    let said = inside(&stage, "team", "echo \"[$PROJECT] $LANG\"").await;
    assert!(said.contains("[] de_DE.UTF-8"), "{said}");

    let said = refused(&stage, &["group", "set", "team", "env.GITHUB_TOKEN=ghp_planted"]).await;
    assert!(said.contains("looks like a credential") && !said.contains("ghp_planted"), "{said}");
    let said = refused(&stage, &["group", "set", "team", "env.HOME=/"]).await;
    assert!(said.contains("what the sandbox says"), "{said}");
}
