//! `group` and `bind`, without a running gateway and with one: the same words, the same effect.

use serde_json::Value;

use crate::stand::Stand;

/// Adds, shows, sets, renames, binds and removes, by one home's command line.
fn round_trip(stand: &Stand) {
    let made = stand.json(&["group", "add", "team"]);
    assert_eq!((&made["name"], &made["folder"]), (&"team".into(), &"team".into()));
    assert_eq!(names(stand), ["main", "team"]);
    assert!(stand.home().join("groups/main").is_dir());

    let set = stand.json(&["group", "set", "team", "memory_mib=512", "pids=64"]);
    assert_eq!((&set["limits"]["memory_mib"], &set["limits"]["pids"]), (&512.into(), &64.into()));
    assert_eq!(stand.json(&["group", "show", "team"])["limits"], set["limits"]);

    assert_eq!(stand.json(&["group", "pause", "team"])["paused"], true);
    assert_eq!(stand.json(&["group", "resume", "team"])["paused"], false);

    let bound = stand.json(&["bind", "telegram@main:-100123", "team", "--trigger", "^@bot"]);
    assert_eq!(jids(&bound), ["web@main:team", "telegram@main:-100123"]);
    let again = stand.json(&["bind", "telegram@main:-100123", "team"]);
    assert_eq!(jids(&again), jids(&bound), "one binding a place and group");
    let unbound = stand.json(&["unbind", "telegram@main:-100123", "team"]);
    assert_eq!(jids(&unbound), ["web@main:team"]);

    let renamed = stand.json(&["group", "rename", "team", "crew"]);
    assert_eq!((&renamed["name"], &renamed["folder"]), (&"crew".into(), &"team".into()));
    assert_eq!(stand.json(&["group", "show", "team"])["name"], "crew", "the folder names it too");
    assert_eq!(names(stand), ["main", "crew"]);

    stand.json(&["group", "remove", "crew"]);
    assert_eq!(names(stand), ["main"]);
}

fn names(stand: &Stand) -> Vec<String> {
    let list = stand.json(&["group", "list"]);
    list.as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect()
}

fn jids(group: &Value) -> Vec<String> {
    let of = |it: &Value| it["jid"].as_str().unwrap().to_owned();
    group["bindings"].as_array().unwrap().iter().map(of).collect()
}

#[test]
fn without_a_gateway() {
    round_trip(&Stand::new());
}

#[test]
fn with_a_gateway() {
    let stand = Stand::new();
    let gateway = stand.serve(&[]);
    round_trip(&stand);
    let done = gateway.stop();
    assert_eq!(done.code, Some(0), "{done:?}");
}
