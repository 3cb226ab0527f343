//! Plugins that are installed: asked from then on, replaced while the gateway runs, and never left out where they must not be.

use serde_json::{Value, json};

use crate::{
    plugins::{bird, faulty},
    stand::Stand,
};

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

#[test]
fn what_a_plugin_was_granted_and_refused_is_shown() {
    let (stand, dir) = (Stand::new(), tempfile::tempdir().unwrap());
    let asks = "[capabilities]\nlog = true\nhttp = ['api.example.com']\n";
    let folder = bird(dir.path(), &manifest("1.0.0", asks), "Kraa");
    stand.json(&["plugin", "install", folder.to_str().unwrap(), "--grant", "log"]);
    let gateway = stand.serve(&[]);
    let shown = stand.run(&["plugin", "show", "parrot"]).out;
    assert!(shown.contains("may write to its own log (log)\n"), "{shown}");
    assert!(shown.contains("may not ask these hosts (http): api.example.com\n"), "{shown}");
    let shown = stand.json(&["plugin", "show", "parrot"]);
    assert_eq!(shown["grants"][1]["names"], json!(["api.example.com"]), "{shown}");
    assert_eq!(shown["grants"][1]["granted"], false, "{shown}");
    assert_eq!(stand.json(&["plugin", "show", "redactor"])["grants"], json!([]));
    gateway.stop();
}

#[test]
fn what_a_plugin_fails_at_is_in_its_log_until_it_is_switched_off() {
    let (stand, dir) = (Stand::new(), tempfile::tempdir().unwrap());
    let none = stand.run(&["plugin", "logs"]);
    assert!(none.err.contains("no gateway runs"), "{none:?}");
    let folder = faulty(dir.path(), &manifest("1.0.0", ""));
    stand.json(&["plugin", "install", folder.to_str().unwrap()]);
    let gateway = stand.serve(&[]);
    assert!(stand.run(&["plugin", "logs"]).out.contains("nothing since the start"));
    for _ in 0..4 {
        assert!(stand.run(&["run", "-p", "echo hello"]).out.contains("hello"));
    }
    let lines = stand.json(&["plugin", "logs", "parrot"]);
    let lines = lines.as_array().unwrap();
    let levels: Vec<&str> = lines.iter().map(|it| it["level"].as_str().unwrap()).collect();
    assert_eq!(levels, ["warn", "warn", "warn", "error"], "{lines:?}");
    assert!(lines[0]["text"].as_str().unwrap().contains("unreachable"), "{lines:?}");
    let shown = stand.run(&["plugin", "logs", "parrot"]).out;
    assert!(shown.contains("parrot: it failed too often in a row and is asked no more"), "{shown}");
    let unknown = stand.run(&["plugin", "logs", "magpie"]);
    assert!(unknown.err.contains("there is no plugin `magpie`"), "{unknown:?}");
    gateway.stop();
}

#[test]
fn settings_change_while_the_gateway_runs_and_go_back() {
    let settings = "[plugins.word_filter.config]\nwords = ['darn']\n";
    let (stand, dir) = (Stand::with(settings), tempfile::tempdir().unwrap());
    let schema = "[config]\nloud = false\n[config-schema]\ntype = 'object'\nadditionalProperties = false\n\
                  [config-schema.properties.loud]\ntype = 'boolean'\n";
    let folder = bird(dir.path(), &manifest("1.0.0", schema), "Kraa");
    stand.json(&["plugin", "install", folder.to_str().unwrap()]);
    stand.json(&["group", "add", "kids"]);
    let gateway = stand.serve(&[]);
    let said = |group: &str, text: &str| stand.run(&["run", "-g", group, "-p", text]).out;
    assert!(said("main", "echo hello").contains("Kraa"));
    assert_eq!(stand.json(&["plugin", "disable", "parrot"])["settings"]["enabled"], false);
    assert!(said("main", "echo a darn thing").contains("a **** thing"));

    let shown = stand.json(&["plugin", "config", "word_filter", r#"words=["thing"]"#]);
    assert_eq!(shown["settings"]["config"], json!({ "words": ["thing"] }));
    assert!(said("main", "echo a darn thing").contains("a darn *****"));
    stand.json(&[
        "plugin",
        "config",
        "word_filter",
        "action=replace",
        "replacement=toy",
        "-g",
        "kids",
    ]);
    assert!(said("kids", "echo a darn thing").contains("a darn toy"));
    assert!(said("main", "echo a darn thing").contains("a darn *****"));

    #[rustfmt::skip]
    let refused: &[(&[&str], &str)] = &[
        (&["config", "word_filter", "action=burn"],  "unknown variant `burn`"),
        (&["config", "word_filter", "wordz=[]"],     "unknown field `wordz`"),
        (&["config", "parrot", "loud=7"],            "at `/loud`: 7 is not of type \"boolean\""),
        (&["config", "parrot", "quiet=true"],        "'quiet' was unexpected"),
        (&["config", "parrot", "loud"],              "`loud` is no `KEY=VALUE`"),
        (&["show", "nobody"],                        "there is no plugin `nobody`"),
        (&["revert", "parrot", "999"],               "version 999"),
        (&["reload", "word_filter"],                 "comes along and has no files"),
    ];
    for (args, want) in refused {
        let got = stand.run(&[&["plugin"], *args].concat());
        assert_eq!(got.code, Some(2), "{args:?}: {got:?}");
        assert!(got.err.contains(want), "{args:?}: {got:?}");
    }
    stand.json(&["plugin", "reload", "parrot"]);
    assert!(stand.run(&["plugin", "show", "word_filter"]).out.contains("words = [\"thing\"]"));
    gateway.stop();

    // It is still so after a start, and goes back step by step.
    let gateway = stand.serve(&[]);
    assert!(said("kids", "echo a darn thing").contains("a darn toy"));
    let history = stand.json(&["plugin", "history", "word_filter"]);
    assert_eq!(history.as_array().unwrap().len(), 2);
    let first = history[1]["version"].to_string();
    stand.json(&["plugin", "revert", "word_filter", &first]);
    assert!(said("kids", "echo a darn thing").contains("a darn *****"));
    assert_eq!(stand.json(&["plugin", "revert", "word_filter", "0"])["changed"], false);
    assert!(said("kids", "echo a darn thing").contains("a **** thing"));
    stand.json(&["plugin", "enable", "parrot"]);
    assert!(said("kids", "echo hello").contains("Kraa"));
    gateway.stop();
}
