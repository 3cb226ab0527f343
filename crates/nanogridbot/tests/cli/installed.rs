//! Plugins that are installed: asked from then on, replaced while the gateway runs, and never left out where they must not be.

use serde_json::Value;

use crate::{plugins::bird, stand::Stand};

fn manifest(version: &str, more: &str) -> String {
    format!("name = 'parrot'\nversion = '{version}'\nhooks = ['message-received']\n{more}")
}

/// The plugin in `plugin active` once it is `as_wanted`; what is installed is seen by the gateway itself, a moment later.
fn once(stand: &Stand, as_wanted: impl Fn(Option<&Value>) -> bool) {
    loop {
        let active = stand.json(&["plugin", "active"]);
        let all = active.as_array().unwrap();
        if as_wanted(all.iter().find(|it| it["name"] == "parrot")) {
            return;
        }
    }
}

#[test]
fn what_is_installed_is_asked_from_then_on_and_replaced_in_place() {
    let (stand, dir) = (Stand::new(), tempfile::tempdir().unwrap());
    let gateway = stand.serve(&[]);
    let said = || stand.run(&["run", "-p", "echo hello"]).out;
    assert!(said().contains("hello"));
    let install = |version: &str, cry: &str| {
        let folder = bird(dir.path(), &manifest(version, ""), cry);
        stand.json(&["plugin", "install", folder.to_str().unwrap(), "--replace"]);
        once(&stand, |it| it.is_some_and(|it| it["version"] == version));
    };
    install("1.0.0", "Kraa");
    assert!(said().contains("Kraa"));
    install("2.0.0", "Moof");
    assert!(said().contains("Moof"));

    // Somebody writes into the folder by hand, and not to the end: the version before goes on.
    let component = stand.home().join("plugins/parrot/plugin.wasm");
    let whole = std::fs::read(&component).unwrap();
    std::fs::write(&component, &whole[..whole.len() / 2]).unwrap();
    once(&stand, |it| it.is_some_and(|it| it["error"].is_string()));
    assert!(said().contains("Moof"));
    std::fs::write(&component, &whole).unwrap();
    once(&stand, |it| it.is_some_and(|it| it["error"].is_null()));
    assert!(said().contains("Moof"));

    stand.json(&["plugin", "remove", "parrot"]);
    once(&stand, |it| it.is_none());
    assert!(said().contains("hello"));
    gateway.stop();
}

#[test]
fn settings_of_an_installed_plugin_count() {
    let (stand, dir) = (Stand::with("[plugins.parrot]\n"), tempfile::tempdir().unwrap());
    let refused = stand.run(&["serve"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.err.contains("unknown setting `parrot`"), "{refused:?}");
    let folder = bird(dir.path(), &manifest("1.0.0", ""), "Kraa");
    stand.json(&["plugin", "install", folder.to_str().unwrap()]);
    // Without a gateway, too.
    assert!(stand.run(&["run", "-p", "echo hello"]).out.contains("Kraa"));
    let config = stand.home().join("config.toml");
    for (settings, want) in [
        ("[plugins.parrot]\nenabled = false\n", "hello"),
        ("[plugins.parrot.groups]\nmain = false\n", "hello"),
        ("[plugins.parrot]\norder = 9\n", "Kraa"),
    ] {
        std::fs::write(&config, settings).unwrap();
        let said = stand.run(&["run", "-p", "echo hello"]).out;
        assert!(said.contains(want), "{settings}: {said}");
    }
}

#[test]
fn a_required_plugin_that_is_broken_holds_what_comes() {
    let (stand, dir) = (Stand::new(), tempfile::tempdir().unwrap());
    let folder = bird(dir.path(), &manifest("1.0.0", "required = true"), "Kraa");
    stand.json(&["plugin", "install", folder.to_str().unwrap()]);
    std::fs::write(stand.home().join("plugins/parrot/plugin.wasm"), b"torn").unwrap();
    let gateway = stand.serve(&[]);
    let pending = stand.run(&["run", "-p", "echo hello", "--timeout", "1s"]);
    assert!(!pending.out.contains("hello"), "{pending:?}");
    let held = stand.json(&["plugin", "held"]);
    assert_eq!(held[0]["plugin"], "parrot", "{held}");
    assert!(held[0]["why"].as_str().unwrap().contains("can't be used"), "{held}");
    gateway.stop();
}
