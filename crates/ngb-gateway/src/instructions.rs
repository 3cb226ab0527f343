//! The operator's instructions: copied to where a group's agents can read them, and copied anew when they change.

use std::{
    collections::HashMap,
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use ngb_core::{clock::Timestamp, group::FolderName, tasks::blocking};

use crate::homes::{GLOBAL, Homes, private_dir};

/// Where the operator's instructions stand inside a sandbox, read-only.
const INSTRUCTIONS_INSIDE: &str = "/workspace/instructions";

/// What an agent reads as instructions.
const INSTRUCTION_FILES: [&str; 2] = ["AGENTS.md", "CLAUDE.md"];

/// The operator's rules for Claude Code, under the home, and where it reads them: what stands there wins over all other
/// settings; see <https://code.claude.com/docs/en/settings>.
const RULES: &str = "claude-code/managed-settings.json";
const RULES_INSIDE: &str = "/etc/claude-code/managed-settings.json";

/// How old a change has to be before a file is known by its time: a second one within a tick of the file system's clock,
/// which is up to 10 ms, would not show.
const SETTLED_MS: i64 = 1_000;

/// How files looked when they were copied: inode, time of the last change in nanoseconds, size; none is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp(Vec<Option<(u64, i128, u64)>>);

impl Stamp {
    /// None where a file can't be looked at.
    fn of(sources: &[(PathBuf, &'static str)]) -> Option<Self> {
        let mut res = Vec::new();
        for (folder, _) in sources {
            for name in INSTRUCTION_FILES {
                res.push(match std::fs::metadata(folder.join(name)) {
                    // The time of a change of any kind can't be set back by anybody.
                    Ok(it) => Some((
                        it.ino(),
                        i128::from(it.ctime()) * 1_000_000_000 + i128::from(it.ctime_nsec()),
                        it.size(),
                    )),
                    Err(err) if err.kind() == io::ErrorKind::NotFound => None,
                    Err(_) => return None,
                });
            }
        }
        Some(Self(res))
    }

    fn is_settled(&self, now: Timestamp) -> bool {
        let settled = i128::from(now.0 - SETTLED_MS) * 1_000_000;
        self.0.iter().flatten().all(|(_, changed, _)| *changed < settled)
    }
}

/// The instructions that were copied last, by group's folder.
#[derive(Debug, Default)]
pub(crate) struct Staged(Mutex<HashMap<FolderName, Stamp>>);

impl Staged {
    fn latest(&self, folder: &FolderName) -> Option<Stamp> {
        self.stamps().get(folder).cloned()
    }

    fn remember(&self, folder: &FolderName, stamp: Option<Stamp>) {
        match stamp {
            Some(stamp) => self.stamps().insert(folder.clone(), stamp),
            None => self.stamps().remove(folder),
        };
    }

    fn stamps(&self) -> MutexGuard<'_, HashMap<FolderName, Stamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Homes {
    /// Copies the operator's instructions to where the group's agent can read them, and returns pairs of host path and
    /// path inside. `<home>/groups/global` is for every group, `<home>/instructions/<folder>` for one.
    ///
    /// They are copies since the originals are the operator's alone; inside they are read-only. The folder that a live agent
    /// sees is kept, so that it finds what was changed in the meantime.
    pub async fn stage_instructions(
        &self,
        folder: &FolderName,
        owner: Option<(u32, u32)>,
        now: Timestamp,
    ) -> io::Result<Vec<(PathBuf, PathBuf)>> {
        let inside = Path::new(INSTRUCTIONS_INSIDE);
        let staged = self.home().join("run/instructions").join(folder.as_str());
        // Before they are read: what is written meanwhile looks different the next time.
        let stamp = Stamp::of(&self.sources(folder));
        let sources = self.sources(folder);
        let pairs = sources.each_ref().map(|(_, word)| (staged.join(word), inside.join(word)));
        blocking("stage instructions", move || {
            for (from, word) in sources {
                let to = staged.join(word);
                private_dir(&to)?;
                give(&to, owner)?;
                for name in INSTRUCTION_FILES {
                    match std::fs::read(from.join(name)) {
                        Ok(text) => stage(&to.join(name), &text, owner)?,
                        Err(err) if err.kind() == io::ErrorKind::NotFound => {
                            remove(&to.join(name))?
                        }
                        Err(err) => return Err(err),
                    }
                }
            }
            Ok(())
        })
        .await?;
        self.staged.remember(folder, stamp.filter(|it| it.is_settled(now)));
        Ok(pairs.into())
    }

    /// The same for an agent that is live: what the operator wrote since counts from the next prompt on. Where nothing was
    /// written, that costs four look-ups of names and nothing else.
    pub async fn renew_instructions(
        &self,
        folder: &FolderName,
        owner: Option<(u32, u32)>,
        now: Timestamp,
    ) -> io::Result<()> {
        let stamp = Stamp::of(&self.sources(folder));
        if stamp.is_some() && self.staged.latest(folder) == stamp {
            return Ok(());
        }
        self.stage_instructions(folder, owner, now).await.map(drop)
    }

    /// Copies the operator's rules for Claude Code, if there are any, and returns where the copy is and where it stands
    /// inside.
    pub(crate) async fn stage_rules(
        &self,
        folder: &FolderName,
        owner: Option<(u32, u32)>,
    ) -> io::Result<Option<(PathBuf, PathBuf)>> {
        let from = self.home().join(RULES);
        let to = self.home().join("run/instructions").join(folder.as_str()).join("rules.json");
        blocking("stage rules", move || match std::fs::read(from) {
            Ok(text) => {
                stage(&to, &text, owner)?;
                Ok(Some((to, PathBuf::from(RULES_INSIDE))))
            }
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(err) => Err(err),
        })
        .await
    }

    /// Where the operator writes, and the word for it inside.
    fn sources(&self, folder: &FolderName) -> [(PathBuf, &'static str); 2] {
        [
            (self.home().join("groups").join(GLOBAL), "global"),
            (self.home().join("instructions").join(folder.as_str()), "group"),
        ]
    }
}

/// Writes a file whole, or not at all where it is the same already: another lane's agent may be reading it.
pub(crate) fn stage(path: &Path, text: &[u8], owner: Option<(u32, u32)>) -> io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    if std::fs::read(path).is_ok_and(|it| it == text) {
        return give(path, owner);
    }
    let new = path.with_extension(format!("new-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
    std::fs::write(&new, text)?;
    give(&new, owner)?;
    std::fs::rename(&new, path)
}

/// Gives a file to the user that a group's agents are, where that is another than ours.
pub(crate) fn give(path: &Path, owner: Option<(u32, u32)>) -> io::Result<()> {
    match owner {
        Some((uid, gid)) => std::os::unix::fs::lchown(path, Some(uid), Some(gid)),
        None => Ok(()),
    }
}

/// Removes a file; one that is not there is fine.
fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => Err(err),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_the_operator_writes_is_found_by_the_next_prompt() {
        let dir = tempfile::tempdir().unwrap();
        let homes = Homes::new(dir.path().to_owned()).await.unwrap();
        let folder = FolderName::like("home");
        let source = dir.path().join("groups/global/AGENTS.md");
        let copy = dir.path().join("run/instructions/home/global/AGENTS.md");
        // Times of the file system's own clock, and one that is far behind it: nothing is settled then.
        let (late, early) = (Timestamp(i64::MAX / 1_000_000), Timestamp(0));
        homes.stage_instructions(&folder, None, late).await.unwrap();
        for (text, now) in [("one", late), ("three", late), ("two", early), ("six", early)] {
            std::fs::write(&source, text).unwrap();
            homes.renew_instructions(&folder, None, now).await.unwrap();
            assert_eq!(std::fs::read_to_string(&copy).unwrap(), text);
        }
        homes.stage_instructions(&folder, None, late).await.unwrap();
        // What was not written by the operator is left alone until something is.
        std::fs::write(&copy, "ours").unwrap();
        homes.renew_instructions(&folder, None, late).await.unwrap();
        assert_eq!(std::fs::read_to_string(&copy).unwrap(), "ours");
        std::fs::remove_file(&source).unwrap();
        homes.renew_instructions(&folder, None, late).await.unwrap();
        assert!(!copy.exists());
    }
}
