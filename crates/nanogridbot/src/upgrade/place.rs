//! The place of the executable: what stands there, what stood there before, and whether the new one does well with the home.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use ngb_core::clock::Clock;
use tempfile::TempPath;
use tokio::process::Command;

use super::printed;
use crate::home::Home;

/// What the name of the one before ends with.
const PREVIOUS: &str = ".previous";

/// Longest that a check may take.
const CHECK_WITHIN: Duration = Duration::from_secs(60);

/// An executable in the place of another one, which is kept.
pub(super) struct Swap {
    pub(super) exe: PathBuf,
    pub(super) previous: PathBuf,
}

impl Swap {
    /// Puts `new` where `exe` is. At each moment there is one of them.
    pub(super) fn make(exe: &Path, new: TempPath) -> anyhow::Result<Self> {
        let failed = || format!("could not replace `{}`", exe.display());
        let mut previous = exe.as_os_str().to_owned();
        previous.push(PREVIOUS);
        let it = Self { exe: exe.to_owned(), previous: previous.into() };
        link_over(&it.exe, &it.previous).with_context(failed)?;
        new.persist(&it.exe).map_err(|err| err.error).with_context(failed)?;
        Ok(it)
    }

    /// Puts the one before back; the new one is gone.
    pub(super) fn back(&self) -> anyhow::Result<()> {
        let failed = || format!("could not put `{}` back", self.previous.display());
        link_over(&self.previous, &self.exe).with_context(failed)
    }
}

/// Where the executable `found` belongs: a gateway that went back may still go by the name of the one before.
pub(super) fn of(found: &Path) -> PathBuf {
    let name = found.file_name().and_then(|it| it.to_str()?.strip_suffix(PREVIOUS));
    name.map_or_else(|| found.to_owned(), |it| found.with_file_name(it))
}

/// Has `to` be the same file as `from`, at once.
pub(super) fn link_over(from: &Path, to: &Path) -> std::io::Result<()> {
    let mut beside = to.as_os_str().to_owned();
    beside.push(".link");
    match std::fs::remove_file(&beside) {
        Err(err) if err.kind() != std::io::ErrorKind::NotFound => return Err(err),
        _ => (),
    }
    std::fs::hard_link(from, &beside)?;
    std::fs::rename(&beside, to)?;
    // A rename of one name of a file to another one of the same file leaves both.
    match std::fs::remove_file(&beside) {
        Err(err) if err.kind() != std::io::ErrorKind::NotFound => Err(err),
        _ => Ok(()),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "an executable is asked about itself before it is trusted with the home"
)]
async fn run(exe: &Path, args: &[&str]) -> anyhow::Result<std::process::Output> {
    let mut command = Command::new(exe);
    let out = command.args(args).stdin(std::process::Stdio::null()).kill_on_drop(true).output();
    let out = Clock::System.timeout(CHECK_WITHIN, out).await;
    let out = out.with_context(|| {
        format!("`nanogridbot {}` of the new one takes too long", args.join(" "))
    })?;
    out.context("the new one can't be started: is it of this kind of processor?")
}

/// What it says it is.
pub(super) async fn version(exe: &Path) -> anyhow::Result<String> {
    let out = run(exe, &["--version"]).await?;
    let said = String::from_utf8_lossy(&out.stdout).trim().to_owned();
    if !out.status.success() || !said.starts_with("nanogridbot ") {
        bail!("it is no NanoGridBot: `--version` says `{said}`");
    }
    Ok(said)
}

/// Whether `new` takes the settings of the home, and finds nothing wrong that `old` finds right.
pub(super) async fn check(new: &Path, old: &Path, home: &Home) -> anyhow::Result<()> {
    let home = home.path().to_string_lossy();
    let config = run(new, &["--home", &home, "--json", "config"]).await?;
    if !config.status.success() {
        let said = &printed(&config)["error"];
        bail!(
            "the settings are not for it: {}",
            said["message"].as_str().unwrap_or("it does not say why")
        );
    }
    let doctor = ["--home", &home, "--json", "doctor", "--offline"];
    let (before, after) = (run(old, &doctor).await?, run(new, &doctor).await?);
    let failed = |out: &std::process::Output| -> BTreeSet<(String, String)> {
        let all = printed(out)["findings"].take();
        let each = all.as_array().cloned().unwrap_or_default();
        let text =
            |it: &serde_json::Value, key: &str| it[key].as_str().unwrap_or_default().to_owned();
        each.iter()
            .filter(|it| it["ok"] == false)
            .map(|it| (text(it, "what"), text(it, "detail")))
            .collect()
    };
    let before = failed(&before);
    let worse = failed(&after).into_iter().find(|it| before.iter().all(|old| old.0 != it.0));
    if let Some((what, detail)) = worse {
        bail!("its `doctor` finds what the old one does not: {what}: {detail}");
    }
    Ok(())
}
