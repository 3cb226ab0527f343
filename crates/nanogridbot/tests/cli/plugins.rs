//! `nanogridbot plugin`: made, tried, installed, listed, removed; and what it says of what it does not take.

use std::path::{Path, PathBuf};

use ngb_plugins::wasm::{Manifest, encode};
use serde_json::json;

use crate::stand::Stand;

/// A plugin that answers each message with its own text, and would like a log.
const MANIFEST: &str = "name = 'parrot'\nversion = '1.0.0'\nhooks = ['message-received']\n[capabilities]\nlog = true\n";

/// The folder of that plugin, built.
fn parrot(dir: &Path) -> PathBuf {
    bird(dir, MANIFEST, "Kraa")
}

/// The folder of a plugin that answers each message with `cry`.
pub(crate) fn bird(dir: &Path, manifest_text: &str, cry: &str) -> PathBuf {
    assert_eq!(cry.len(), 4);
    let body = "(i32.store (i32.const 0) (i32.const 0))
            (i32.store (i32.const 4) (i32.const 2))
            (i32.store (i32.const 8) (i32.const 1024))
            (i32.store (i32.const 12) (i32.const 4))
            (i32.const 0)";
    made(dir, manifest_text, body, cry)
}

/// The folder of a plugin that traps at each message.
pub(crate) fn faulty(dir: &Path, manifest_text: &str) -> PathBuf {
    made(dir, manifest_text, "unreachable", "")
}

fn made(dir: &Path, manifest_text: &str, body: &str, data: &str) -> PathBuf {
    let manifest: Manifest = manifest_text.parse().unwrap();
    let module = format!(
        r#"(module
        (memory (export "memory") 2)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
        (func (export "nanogridbot:plugin/message-received@0.1.0#handle") (param $at i32) (result i32)
            {body})
        (data (i32.const 1024) "{data}"))"#
    );
    let component = encode(&wat::parse_str(module).unwrap(), &manifest).unwrap();
    let folder = dir.join("parrot");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("plugin.toml"), manifest_text).unwrap();
    std::fs::write(folder.join("plugin.wasm"), component).unwrap();
    folder
}

#[test]
fn a_plugin_is_tried_installed_listed_and_removed() {
    let (stand, dir) = (Stand::new(), tempfile::tempdir().unwrap());
    let folder = parrot(dir.path());
    let source = folder.to_str().unwrap();
    let recording = dir.path().join("recording.jsonl");
    let line = |want: &str| {
        format!(
            r#"{{"message_received": {{"chat": "web@default:1", "text": "hi"}}, "expect": {{"answer": "{want}"}}}}"#
        )
    };
    std::fs::write(&recording, line("Kraa")).unwrap();
    let test = ["plugin", "test", recording.to_str().unwrap(), "--plugin", source];
    assert_eq!(stand.json(&test)["wrong"], 0);
    std::fs::write(&recording, line("Meow")).unwrap();
    let wrong = stand.run(&test);
    assert_eq!(wrong.code, Some(1));
    assert!(wrong.out.contains("WRONG   1 message_received: {\"answer\":\"Kraa\"}"), "{wrong:?}");

    let unasked = stand.run(&["plugin", "install", source]);
    assert_eq!(unasked.code, Some(2), "nobody is there to be asked");
    assert!(unasked.err.contains("wants to write to its own log (log)"), "{unasked:?}");
    assert!(unasked.err.contains("`--grant log`"), "{unasked:?}");
    let none = stand.json(&["plugin", "install", source, "--grant", "none"]);
    assert_eq!(none["not_granted"], json!(["log"]));
    let taken = stand.run(&["plugin", "install", source, "--grant", "all"]);
    assert_eq!(taken.code, Some(2));
    assert!(taken.err.contains("`parrot` is installed already, version 1.0.0"), "{taken:?}");
    assert!(taken.err.contains("hint: `--replace`"), "{taken:?}");
    stand.json(&["plugin", "install", source, "--grant", "log", "--replace"]);
    let all = stand.json(&["plugin", "list"]);
    assert_eq!(all["plugins"][0]["name"], "parrot");
    assert_eq!(all["plugins"][0]["granted"], json!({ "log": true }));
    assert!(stand.run(&["plugin", "list"]).out.contains("parrot"));

    let compiled = || {
        let files = std::fs::read_dir(stand.home().join("cache/plugins")).unwrap();
        files
            .filter(|it| it.as_ref().unwrap().path().extension().is_some_and(|it| it == "cwasm"))
            .count()
    };
    assert_eq!(compiled(), 1);
    stand.json(&["plugin", "remove", "parrot"]);
    assert_eq!(compiled(), 0, "what nobody uses is not kept");
    let again = stand.run(&["plugin", "remove", "parrot"]);
    assert_eq!((again.code, again.err.contains("there is no plugin `parrot`")), (Some(2), true));
    assert_eq!(stand.json(&["plugin", "list"])["plugins"], json!([]));
}

#[test]
fn what_is_no_plugin_is_named_with_what_to_do() {
    let (stand, dir) = (Stand::new(), tempfile::tempdir().unwrap());
    let folder = parrot(dir.path());
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let source = folder.to_str().unwrap();
    let good = std::fs::read(folder.join("plugin.wasm")).unwrap();
    let text = file("text.wasm", b"hello");
    let core = file("core.wasm", &wat::parse_str("(module)").unwrap());
    let half = file("half.wasm", &good[..good.len() / 2]);
    let wasi =
        r#"(component (import "wasi:cli/environment@0.2.0" (instance (export "get" (func)))))"#;
    let wasi = file("wasi.wasm", &wat::parse_str(wasi).unwrap());
    let whole = file("whole.wasm", &good);
    let key = "RWQBAgMEBQYHCEbez+tpjwUZ7n1ljI3rky6uOXxAlwaXeVGtN782wXRc";
    file("whole.wasm.minisig", b"untrusted comment: x\nnothing\n");
    let zeroes = "00".repeat(32);
    #[rustfmt::skip]
    let refused: &[(&[&str], &str, &str)] = &[
        (&[&text],                            "is no WebAssembly", ""),
        (&[&core],                            "is a core module", "`nanogridbot plugin build` makes a component"),
        (&[&half],                            "can't be compiled", "half-written"),
        (&[&wasi],                            "imports `wasi:cli/environment@0.2.0`", "leaves out what no plugin gets"),
        (&[&whole, "--sha256", &zeroes],      "has the SHA-256", "do not install this one"),
        (&[&whole, "--signed-by", key],       "does not match", "do not install this one"),
        (&[source, "--grant", "fly"],         "there is no capability `fly`", ""),
        (&[source, "--grant", "http"],        "`parrot` does not ask for `http`", ""),
    ];
    for (args, want, hint) in refused {
        let got = stand.run(&[&["plugin", "install"], *args].concat());
        assert_eq!(got.code, Some(2), "{args:?}: {got:?}");
        assert!(got.err.contains(want) && got.err.contains(hint), "{args:?}: {got:?}");
    }
    assert_eq!(stand.run(&["plugin", "install", "/nowhere"]).code, Some(1));
}

#[test]
fn a_new_plugin_says_what_to_do_next_and_is_not_written_over() {
    let (stand, dir) = (Stand::new(), tempfile::tempdir().unwrap());
    for lang in ["rust", "javascript", "python"] {
        let folder = dir.path().join(lang);
        let to = folder.to_str().unwrap();
        let made = stand.json(&["plugin", "new", "greeter", "--lang", lang, "--to", to]);
        assert_eq!(made["folder"], to);
        for file in ["plugin.toml", "README.md", "recording.jsonl", "wit/world.wit", ".gitignore"] {
            let text = std::fs::read_to_string(folder.join(file)).unwrap();
            assert!(!text.contains("NAME"), "{lang}/{file}");
        }
        let again = stand.run(&["plugin", "new", "greeter", "--lang", lang, "--to", to]);
        assert!(again.code == Some(2) && again.err.contains("already"), "{again:?}");
        let unbuilt = stand.run(&["plugin", "install", to]);
        assert!(unbuilt.err.contains("has no `plugin.wasm`"), "{unbuilt:?}");
        assert!(unbuilt.err.contains("hint: `nanogridbot plugin build`"), "{unbuilt:?}");
    }
    let bad = stand.run(&["plugin", "new", "../x", "--lang", "rust"]);
    assert!(bad.code == Some(2) && bad.err.contains("is no name for a plugin"), "{bad:?}");
}

#[test]
fn plugins_of_the_settings_are_asked_and_what_they_hold_is_let_go() {
    let stand = Stand::new();
    let settings = "[plugins.redactor]\n[plugins.word_filter.config]\nwords = ['wire']\naction = 'hold'\noutgoing = false\n\
                    [[plugins.auto_reply.config.rules]]\npattern = 'hours'\nreply = '9 to 5'\n";
    std::fs::create_dir_all(stand.home()).unwrap();
    std::fs::write(stand.home().join("config.toml"), settings).unwrap();
    let gateway = stand.serve(&[]);
    let active = stand.run(&["plugin", "active"]).out;
    let names: Vec<usize> =
        ["redactor", "word_filter", "auto_reply"].iter().filter_map(|it| active.find(it)).collect();
    assert!(names.len() == 3 && names.is_sorted(), "{active}");
    let said = stand.run(&["run", "-p", "echo mail a@b.de"]).out;
    assert!(said.contains("mail [e-mail hidden]"), "{said}");
    let said = stand.run(&["run", "-p", "which hours?"]).out;
    assert!(said.contains("9 to 5"), "{said}");

    assert!(stand.run(&["plugin", "held"]).out.contains("nothing is held"));
    let pending = stand.run(&["run", "-p", "echo wire it", "--timeout", "1s"]);
    assert!(!pending.out.contains("wire it"), "{pending:?}");
    let held = stand.json(&["plugin", "held"]);
    assert_eq!(
        (held[0]["way"].as_str(), held[0]["plugin"].as_str()),
        (Some("in"), Some("word_filter"))
    );
    let id = held[0]["id"].to_string();
    stand.json(&["plugin", "drop", &id]);
    assert_eq!(stand.json(&["plugin", "held"]), json!([]));
    let gone = stand.run(&["plugin", "release", &id]);
    assert!(gone.code == Some(2) && gone.err.contains("nanogridbot plugin held"), "{gone:?}");
    gateway.stop();

    std::fs::write(stand.home().join("config.toml"), "[plugins.redact]\n").unwrap();
    let refused = stand.run(&["serve"]);
    assert!(
        refused.code == Some(2) && refused.err.contains("did you mean `redactor`?"),
        "{refused:?}"
    );
}
