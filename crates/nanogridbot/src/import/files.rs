//! Files of groups: what agents are told becomes instructions, the rest goes into the folder of the group.

use std::{
    os::unix::fs::fchown,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use rustix::fs::{Mode, OFlags, fstat, openat};

use super::{Found, words};

/// Largest file that is taken along, in bytes.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// Most files of a group.
const MAX_FILES: usize = 10_000;

/// What agents are told, there: what people wrote goes before what is put together.
const TOLD: [&str; 2] = ["CLAUDE.local.md", "CLAUDE.md"];

/// What only the other program has a use for.
const OWN: &[&str] =
    &["logs", "container.json", ".claude-fragments", ".claude-shared.md", "node_modules", ".git"];

/// A file that is to be taken along.
pub(super) struct Given {
    from: PathBuf,
    /// Below the home.
    to: PathBuf,
}

/// What was done, or would be.
pub(super) struct Copied {
    pub(super) files: Vec<PathBuf>,
    pub(super) left: Vec<String>,
}

/// Finds the files of groups, by their folders there.
pub(super) fn of_groups(found: &mut Found, from: &Path, folders: &[String]) {
    let mut seen = Vec::new();
    for theirs in folders {
        let ours = words::folder(theirs);
        if seen.contains(&ours) {
            continue;
        }
        let dir = from.join("groups").join(theirs);
        if let Some(told) = TOLD.iter().map(|it| dir.join(it)).find(|it| it.is_file()) {
            let to = Path::new("instructions").join(&ours).join("CLAUDE.md");
            found.files.push(Given { from: told, to });
        }
        let mut all = Vec::new();
        walk(found, &dir, Path::new(""), &mut all);
        for file in all {
            let to = Path::new("groups").join(&ours).join(&file);
            found.files.push(Given { from: dir.join(file), to });
        }
        seen.push(ours);
    }
}

fn walk(found: &mut Found, dir: &Path, below: &Path, all: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(dir.join(below)) else { return };
    let mut entries: Vec<_> = entries.flatten().collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let (name, path) = (entry.file_name(), below.join(entry.file_name()));
        let is_first = below.as_os_str().is_empty();
        let is_named = |names: &[&str]| names.iter().any(|it| name == **it);
        if is_first && (is_named(OWN) || is_named(&TOLD)) {
            continue;
        }
        match entry.metadata() {
            Ok(it) if it.is_dir() => walk(found, dir, &path, all),
            Ok(it) if it.is_file() && MAX_FILE_BYTES < it.len() => {
                found.leave(
                    dir.join(path).display(),
                    format!("it has more than {MAX_FILE_BYTES} bytes"),
                );
            }
            Ok(it) if it.is_file() && all.len() < MAX_FILES => all.push(path),
            Ok(it) if it.is_file() => {
                return found.leave(
                    dir.join(path).display(),
                    format!("and what follows: a group takes {MAX_FILES} files along"),
                );
            }
            // A link may lead anywhere.
            _ => found.leave(dir.join(path).display(), "it is no ordinary file"),
        }
    }
}

/// Copies what is not there yet; what is there and differs stays.
pub(super) fn copy(home: &Path, all: &[Given], is_dry: bool) -> anyhow::Result<Copied> {
    let mut res = Copied { files: Vec::new(), left: Vec::new() };
    for it in all {
        let to = home.join(&it.to);
        if to.symlink_metadata().is_ok() {
            let same = std::fs::read(&to).ok() == std::fs::read(&it.from).ok();
            if !same {
                res.left.push(format!("{}: another one is there already", it.to.display()));
            }
            continue;
        }
        res.files.push(it.to.clone());
        if !is_dry {
            put(home, it).with_context(|| format!("could not write `{}`", to.display()))?;
        }
    }
    Ok(res)
}

/// Writes one file. Agents make what they like below their own folder, so no step of the way follows a link.
fn put(home: &Path, it: &Given) -> anyhow::Result<()> {
    let folder = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut at = rustix::fs::open(home, folder, Mode::empty())?;
    let mut owner = fstat(&at)?;
    for part in it.to.parent().into_iter().flat_map(Path::components) {
        let part = part.as_os_str();
        let made = rustix::fs::mkdirat(&at, part, Mode::RWXU);
        let next = openat(&at, part, folder, Mode::empty())?;
        match made {
            // Whose the folder above is.
            Ok(()) => fchown(&next, Some(owner.st_uid), Some(owner.st_gid))?,
            Err(rustix::io::Errno::EXIST) => (),
            Err(err) => return Err(err.into()),
        }
        owner = fstat(&next)?;
        at = next;
    }
    let name = it.to.file_name().context("it has no name")?;
    let new = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = std::fs::File::from(openat(&at, name, new, Mode::RUSR | Mode::WUSR)?);
    std::io::copy(&mut std::fs::File::open(&it.from)?, &mut file)?;
    fchown(&file, Some(owner.st_uid), Some(owner.st_gid))?;
    Ok(())
}
