//! The examples of `plugins/` and the templates of `plugin new`, built by the real compilers, tried and installed.
//!
//! `scripts/test` says by the environment where the compilers are.
#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]
#![expect(
    clippy::disallowed_methods,
    reason = "compilers and the executable under test are processes"
)]

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// A folder for one plugin and a home to install it in.
struct Bench {
    dir: tempfile::TempDir,
    plugin: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let plugin = dir.path().join("plugin");
        Self { dir, plugin }
    }

    /// With the sources of an example.
    fn of(example: &str) -> Self {
        let it = Self::new();
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins").join(example);
        copy(&from, &it.plugin);
        it
    }

    /// With what `plugin new` makes.
    fn made(lang: &str) -> Self {
        let it = Self::new();
        let to = it.plugin.to_str().unwrap().to_owned();
        it.json(&["plugin", "new", "greeter", "--lang", lang, "--to", &to], &[]);
        it
    }

    fn json(&self, args: &[&str], env: &[(&str, String)]) -> Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nanogridbot"));
        command.arg("--json").arg("--home").arg(self.dir.path().join("home")).args(args);
        command.envs(env.iter().map(|(name, value)| (name, value)));
        let done = command.output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        let why = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{args:?}: {said}\n{why}");
        serde_json::from_str(&said).unwrap()
    }

    /// Builds it, plays its recording, installs it.
    fn walk(&self, more: &[&str], env: &[(&str, String)]) {
        let folder = self.plugin.to_str().unwrap();
        self.json(&[&["plugin", "build", folder], more].concat(), env);
        let recording = self.plugin.join("recording.jsonl");
        let recording = recording.to_str().unwrap();
        let tried = self.json(&["plugin", "test", recording, "--plugin", folder], env);
        assert!(3 <= tried["steps"].as_array().unwrap().len());
        self.json(&["plugin", "install", folder, "--grant", "all"], env);
        let all = self.json(&["plugin", "list"], env);
        assert_eq!(all["plugins"][0]["error"], Value::Null, "{all}");
        // For scripts/bench.
        if let Some(keep) = std::env::var_os("NGB_TEST_PLUGIN_KEEP") {
            let name = all["plugins"][0]["name"].as_str().unwrap();
            std::fs::create_dir_all(&keep).unwrap();
            std::fs::copy(
                self.plugin.join("plugin.wasm"),
                Path::new(&keep).join(format!("{name}.wasm")),
            )
            .unwrap();
        }
    }
}

impl Bench {
    /// What an agent of this home, or a plugin in its place, answers.
    fn said(&self, text: &str) -> String {
        self.json(&["run", "-p", text], &[])["text"].as_str().unwrap().to_owned()
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        // What somebody built there is not what is tested.
        if ["target", "wit", "node_modules", ".venv", "plugin.wasm"].iter().any(|it| name == *it) {
            continue;
        }
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to.join(name)),
            false => drop(std::fs::copy(entry.path(), to.join(name)).unwrap()),
        }
    }
}

fn tool(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: scripts/test installs the compiler and sets it")
    })
}

/// A Rust that has the sources of its library, as Debian's `rustc-web`: it builds that for WebAssembly as well.
fn rust(bench: &Bench) {
    let path = format!("{}:{}", tool("NGB_TEST_PLUGIN_LINKER"), std::env::var("PATH").unwrap());
    let env = [
        ("RUSTC", tool("NGB_TEST_PLUGIN_RUSTC")),
        ("RUSTC_BOOTSTRAP", "1".to_owned()),
        ("CARGO_TARGET_DIR", tool("NGB_TEST_PLUGIN_TARGET")),
        ("PATH", path),
    ];
    bench.walk(&["--", "-Z", "build-std=std,panic_abort"], &env);
}

fn javascript(bench: &Bench) {
    let modules = tool("NGB_TEST_PLUGIN_NODE_MODULES");
    std::os::unix::fs::symlink(modules, bench.plugin.join("node_modules")).unwrap();
    bench.walk(&[], &[]);
}

fn python(bench: &Bench) {
    let venv = tool("NGB_TEST_PLUGIN_VENV");
    std::os::unix::fs::symlink(venv, bench.plugin.join(".venv")).unwrap();
    bench.walk(&[], &[]);
}

#[test]
fn the_example_in_rust() {
    let bench = Bench::of("dice");
    rust(&bench);
    assert_eq!(bench.said("!roll 3d1"), "Roll 1: 1 + 1 + 1 = 3");
    assert_eq!(bench.said("echo let us roll"), "let us roll");
}

#[test]
fn the_template_in_rust() {
    rust(&Bench::made("rust"));
}

#[test]
fn the_example_in_javascript() {
    let bench = Bench::of("glossary");
    javascript(&bench);
    // Each of these is a gateway of its own: what it keeps is in the database.
    assert_eq!(bench.said("!define API = how programs talk"), "Noted: API is how programs talk");
    assert_eq!(bench.said("api?"), "api is how programs talk");
}

#[test]
fn the_template_in_javascript() {
    javascript(&Bench::made("javascript"));
}

#[test]
fn the_example_in_python() {
    let bench = Bench::of("units");
    python(&bench);
    assert_eq!(bench.said("echo It is 10 miles."), "It is 10 miles (16.1 km).");
}

#[test]
fn the_template_in_python() {
    python(&Bench::made("python"));
}
