//! `nanogridbot plugin build`: calls the language's own compiler, for a world that has only what plugin.toml declares.

use std::{
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
};

use anyhow::{Context as _, bail};
use ngb_plugins::wasm::{
    COMPONENT_FILE, Language, MANIFEST_FILE, Manifest, PLUGIN_WIT, WORLD, encode, world,
};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{context::Context, print::say};

/// What makes a component of `plugin.js`. Nothing of the host's is left in it.
const COMPONENTIZE: &str = "
import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
const [world, to] = process.argv.slice(1);
let tool;
try {
  tool = await import('@bytecodealliance/componentize-js');
} catch (error) {
  console.error(`${error.message}\\nrun \\`npm install\\` here first`);
  process.exit(1);
}
const { component } = await tool.componentize({
  sourcePath: resolve('plugin.js'), witPath: resolve('wit'), worldName: world,
  disableFeatures: ['random', 'stdio', 'clocks', 'http', 'fetch-event'],
});
await writeFile(to, component);
";

pub(super) async fn build(
    ctx: &Context,
    folder: &Path,
    more: &[String],
) -> anyhow::Result<ExitCode> {
    let manifest = manifest(folder)?;
    let Some(language) = manifest.language else {
        bail!(
            "`{}` does not say in which `language` the plugin is written",
            folder.join(MANIFEST_FILE).display()
        );
    };
    write_wit(folder, &manifest)?;
    let component = folder.join(COMPONENT_FILE);
    // Whole or not there: an unfinished one must not be taken for the plugin.
    let made = folder.join(".plugin.wasm.new");
    match language {
        Language::Rust => {
            let module = compile_rust(folder, more).await?;
            let module = std::fs::read(&module)
                .with_context(|| format!("could not read `{}`", module.display()))?;
            std::fs::write(&made, encode(&module, &manifest)?)
                .with_context(|| format!("could not write `{}`", made.display()))?;
        }
        Language::JavaScript => {
            let mut node = program("node", folder);
            node.args(["--input-type=module", "--eval", COMPONENTIZE, WORLD, ".plugin.wasm.new"])
                .args(more);
            finish(node, "node").await?;
        }
        Language::Python => {
            let own = std::path::absolute(folder.join(".venv/bin/componentize-py"))?;
            let mut python = program(
                if own.exists() { own.as_os_str() } else { "componentize-py".as_ref() },
                folder,
            );
            python.args(["--wit-path", "wit", "--world", WORLD, "componentize", "--stub-wasi"]);
            python.args(["plugin", "--output", ".plugin.wasm.new"]).args(more);
            finish(python, "componentize-py").await?;
        }
    }
    std::fs::rename(&made, &component)
        .with_context(|| format!("could not write `{}`", component.display()))?;
    let bytes = std::fs::metadata(&component)?.len();
    let path = component.display().to_string();
    ctx.show(&json!({ "component": path, "bytes": bytes }), |_| {
        say(&format!("built `{path}`, {} KiB", bytes.div_ceil(1024)));
    });
    Ok(ExitCode::SUCCESS)
}

/// What the folder's plugin.toml says.
pub(super) fn manifest(folder: &Path) -> anyhow::Result<Manifest> {
    let path = folder.join(MANIFEST_FILE);
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("could not read `{}`", path.display()))?;
    text.parse().with_context(|| format!("could not use `{}`", path.display()))
}

/// Writes the package and the world that a compiler looks for under `wit/`.
pub(super) fn write_wit(folder: &Path, manifest: &Manifest) -> anyhow::Result<()> {
    let wit = folder.join("wit");
    let package = wit.join("deps/nanogridbot-plugin");
    let written = std::fs::create_dir_all(&package)
        .and_then(|()| std::fs::write(package.join("plugin.wit"), PLUGIN_WIT))
        .and_then(|()| std::fs::write(wit.join("world.wit"), world(manifest)));
    written.with_context(|| format!("could not write `{}`", wit.display()))
}

/// The core module that cargo makes.
async fn compile_rust(folder: &Path, more: &[String]) -> anyhow::Result<PathBuf> {
    let mut cargo = program("cargo", folder);
    cargo.args(["build", "--release", "--target", "wasm32-unknown-unknown"]);
    cargo.arg("--message-format=json-render-diagnostics").args(more).stdout(Stdio::piped());
    let said = finish(cargo, "cargo").await?;
    let mut modules = said.lines().filter_map(|line| {
        let artifact: Value = serde_json::from_str(line).ok()?;
        let is_ours = artifact["target"]["crate_types"].as_array()?.iter().any(|it| it == "cdylib");
        let files = artifact["filenames"].as_array().filter(|_| is_ours)?;
        files.iter().filter_map(Value::as_str).find(|it| it.ends_with(".wasm")).map(PathBuf::from)
    });
    modules
        .next_back()
        .context("cargo made no module: `[lib] crate-type` in Cargo.toml must be `[\"cdylib\"]`")
}

#[expect(clippy::disallowed_methods, reason = "the operator asked for the compiler")]
fn program(name: impl AsRef<std::ffi::OsStr>, folder: &Path) -> Command {
    let mut command = Command::new(name);
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    command
}

/// Runs a compiler, which says on standard error what is wrong, and answers what it said on standard output.
async fn finish(mut command: Command, name: &str) -> anyhow::Result<String> {
    let child =
        command.spawn().with_context(|| format!("could not start `{name}`; install it first"))?;
    let done = child.wait_with_output().await?;
    if !done.status.success() {
        bail!("`{name}` could not build the plugin ({})", done.status);
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}
