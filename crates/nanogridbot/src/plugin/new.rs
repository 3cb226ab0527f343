//! `nanogridbot plugin new`: a folder with a plugin that works.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use ngb_plugins::wasm::{MANIFEST_FILE, check_name};
use serde_json::json;

use crate::{cli, cli::BadArgument, context::Context, plugin::build, print::say};

/// A file's path and text; `NAME` stands for the plugin's name.
type Template = &'static [(&'static str, &'static str)];

macro_rules! template {
    ($folder:literal: $($file:literal),+) => {
        &[$(($file, include_str!(concat!("../../templates/", $folder, "/", $file)))),+]
    };
}

const RUST: Template =
    template!("rust": "Cargo.toml", "README.md", "plugin.toml", "recording.jsonl", "src/lib.rs");
const JAVASCRIPT: Template = template!("javascript": "README.md", "package.json", "plugin.js", "plugin.toml", "recording.jsonl");
const PYTHON: Template = template!("python": "README.md", "plugin.py", "plugin.toml", "recording.jsonl", "requirements.txt");

/// What is made by building, in any language.
const IGNORED: &str = "/plugin.wasm\n/target/\n/wit/\n/node_modules/\n/.venv/\n__pycache__/\n";

pub(super) fn new(
    ctx: &Context,
    name: &str,
    lang: cli::Language,
    to: Option<&Path>,
) -> anyhow::Result<ExitCode> {
    check_name(name)?;
    let folder = to.map_or_else(|| PathBuf::from(name), Path::to_owned);
    if folder.join(MANIFEST_FILE).exists() {
        return Err(
            BadArgument(format!("there is a plugin in `{}` already", folder.display())).into()
        );
    }
    let (files, next): (_, &[&str]) = match lang {
        cli::Language::Rust => (RUST, &["rustup target add wasm32-unknown-unknown"]),
        cli::Language::JavaScript => (JAVASCRIPT, &["npm install"]),
        cli::Language::Python => {
            (PYTHON, &["python3 -m venv .venv", ".venv/bin/pip install -r requirements.txt"])
        }
    };
    let write = |file: &str, text: &str| {
        let path = folder.join(file);
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        made.and_then(|()| std::fs::write(&path, text))
            .with_context(|| format!("could not write `{}`", path.display()))
    };
    for (file, text) in files {
        write(file, &text.replace("NAME", name))?;
    }
    write(".gitignore", IGNORED)?;
    // So that an editor knows what there is before the first build.
    build::write_wit(&folder, &build::manifest(&folder)?)?;
    let folder = folder.display().to_string();
    let mut next: Vec<String> = next.iter().map(|it| (*it).to_owned()).collect();
    next.insert(0, format!("cd {folder}"));
    next.extend(
        ["build", "test recording.jsonl", "install ."].map(|it| format!("nanogridbot plugin {it}")),
    );
    ctx.show(&json!({ "folder": folder, "next": next }), |_| {
        say(&format!("made `{folder}`; next:"));
        for line in &next {
            say(&format!("  {line}"));
        }
    });
    Ok(ExitCode::SUCCESS)
}
