//! Skills that the operator wrote, for all groups and for one: copied to where a group's agents can read them.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use ngb_core::{
    group::FolderName,
    skill::{self, Skill},
    tasks::blocking,
};

use crate::{
    homes::{GLOBAL, Homes, private_dir},
    instructions::{give, stage},
};

/// Where skills stand inside a sandbox, read-only.
const INSIDE: &str = "/workspace/skills";

/// A folder that may be a skill.
#[derive(Debug)]
pub struct Found {
    pub name: String,
    /// Whether it is for every group.
    pub is_global: bool,
    pub path: PathBuf,
    /// What it says of itself, or why it is none.
    pub skill: Result<Skill, String>,
}

impl Homes {
    #[cfg(test)]
    async fn skills(&self, folder: &FolderName) -> io::Result<Vec<Found>> {
        of_group(self.home(), folder)
    }

    /// Copies them, and returns where the copies are and where they stand inside.
    pub(crate) async fn stage_skills(
        &self,
        folder: &FolderName,
        owner: Option<(u32, u32)>,
    ) -> io::Result<(PathBuf, PathBuf)> {
        let sources = self.skill_folders(folder);
        let staged = self.home().join("run/instructions").join(folder.as_str()).join(skill::FOLDER);
        let pair = (staged.clone(), PathBuf::from(INSIDE));
        blocking("stage skills", move || {
            private_dir(&staged)?;
            give(&staged, owner)?;
            let mut wanted = BTreeMap::new();
            for found in find(&sources)?.into_iter().filter(|it| it.skill.is_ok()) {
                let mut room = Room { files: skill::MAX_FILES, bytes: skill::MAX_BYTES };
                let mut files = BTreeMap::new();
                collect(&found.path, Path::new(&found.name), 0, &mut room, &mut files)?;
                wanted.append(&mut files);
            }
            for (below, from) in &wanted {
                let to = staged.join(below);
                for part in below.ancestors().skip(1).filter(|it| !it.as_os_str().is_empty()) {
                    private_dir(&staged.join(part))?;
                    give(&staged.join(part), owner)?;
                }
                stage(&to, &fs::read(from)?, owner)?;
            }
            sweep(&staged, Path::new(""), &wanted)
        })
        .await?;
        Ok(pair)
    }

    /// The same for an agent that is live. Where there are no skills, that costs three look-ups of names.
    pub(crate) async fn renew_skills(
        &self,
        folder: &FolderName,
        owner: Option<(u32, u32)>,
    ) -> io::Result<()> {
        let staged = self.home().join("run/instructions").join(folder.as_str()).join(skill::FOLDER);
        let is_empty = fs::read_dir(&staged).map_or(true, |mut it| it.next().is_none());
        if is_empty && !self.skill_folders(folder).iter().any(|it| it.0.exists()) {
            return Ok(());
        }
        self.stage_skills(folder, owner).await.map(drop)
    }

    fn skill_folders(&self, folder: &FolderName) -> [(PathBuf, bool); 2] {
        sources(self.home(), folder)
    }
}

/// The skills of a group: its own stand before those of all groups that have the same name.
///
/// # Errors
///
/// When a folder that is there can't be read.
pub fn of_group(home: &Path, folder: &FolderName) -> io::Result<Vec<Found>> {
    find(&sources(home, folder))
}

fn sources(home: &Path, folder: &FolderName) -> [(PathBuf, bool); 2] {
    [
        (home.join("groups").join(GLOBAL).join(skill::FOLDER), true),
        (home.join("instructions").join(folder.as_str()).join(skill::FOLDER), false),
    ]
}

fn find(sources: &[(PathBuf, bool)]) -> io::Result<Vec<Found>> {
    let mut all: BTreeMap<String, Found> = BTreeMap::new();
    for (folder, is_global) in sources {
        let entries = match fs::read_dir(folder) {
            Ok(it) => it,
            Err(err) if err.kind() == io::ErrorKind::NotFound => continue,
            Err(err) => return Err(err),
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // A link could lead anywhere.
            if !entry.file_type()?.is_dir() || !skill::is_name(&name) {
                continue;
            }
            let path = entry.path();
            let skill = match fs::read(path.join(skill::FILE)) {
                Ok(text) => Skill::parse(&name, &String::from_utf8_lossy(&text)),
                Err(err) => Err(format!("`{}`: {err}", skill::FILE)),
            };
            all.insert(name.clone(), Found { name, is_global: *is_global, path, skill });
        }
    }
    Ok(all.into_values().take(skill::MAX_SKILLS).collect())
}

/// What one skill may still have.
struct Room {
    files: usize,
    bytes: u64,
}

/// The plain files below `folder`, as `below` names it.
fn collect(
    folder: &Path,
    below: &Path,
    depth: usize,
    room: &mut Room,
    files: &mut BTreeMap<PathBuf, PathBuf>,
) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let below = below.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() && depth < skill::MAX_DEPTH {
            collect(&entry.path(), &below, depth + 1, room, files)?;
        } else if kind.is_file() {
            let bytes = entry.metadata()?.size();
            if room.files == 0 || room.bytes < bytes {
                let (most, mib) = (skill::MAX_FILES, skill::MAX_BYTES >> 20);
                let why = format!(
                    "the skill of `{}` has more than {most} files or {mib} MiB",
                    folder.display()
                );
                return Err(io::Error::other(why));
            }
            room.files -= 1;
            room.bytes -= bytes;
            files.insert(below, entry.path());
        }
    }
    Ok(())
}

/// Removes what is wanted no more.
fn sweep(staged: &Path, below: &Path, wanted: &BTreeMap<PathBuf, PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(staged.join(below))? {
        let entry = entry?;
        let below = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            if wanted.keys().any(|it| it.starts_with(&below)) {
                sweep(staged, &below, wanted)?;
            } else {
                fs::remove_dir_all(entry.path())?;
            }
        } else if !wanted.contains_key(&below) && !is_being_written(&below) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Whether another lane's agent may be about to rename it; see [`stage`].
fn is_being_written(path: &Path) -> bool {
    path.extension().is_some_and(|it| it.to_string_lossy().starts_with("new-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[tokio::test]
    async fn skills_are_copied_and_follow_the_operator() {
        let dir = tempfile::tempdir().unwrap();
        let homes = Homes::new(dir.path().to_owned()).await.unwrap();
        let folder: FolderName = "home".parse().unwrap();
        let say = |it: &str| format!("---\ndescription: {it}\n---\n");
        assert!(homes.skills(&folder).await.unwrap().is_empty());
        put(dir.path(), "groups/global/skills/tea/SKILL.md", &say("for all"));
        put(dir.path(), "groups/global/skills/tea/how/to.md", "boil");
        put(dir.path(), "groups/global/skills/bad/SKILL.md", "nothing");
        put(dir.path(), "instructions/home/skills/tea/SKILL.md", &say("for home"));
        put(dir.path(), "instructions/home/skills/run/SKILL.md", &say("runs"));
        std::os::unix::fs::symlink(
            "/etc/passwd",
            dir.path().join("instructions/home/skills/run/link"),
        )
        .unwrap();
        let found = homes.skills(&folder).await.unwrap();
        let names: Vec<_> =
            found.iter().map(|it| (it.name.as_str(), it.is_global, it.skill.is_ok())).collect();
        assert_eq!(names, [("bad", true, false), ("run", false, true), ("tea", false, true)]);
        let (staged, inside) = homes.stage_skills(&folder, None).await.unwrap();
        assert_eq!(inside, Path::new("/workspace/skills"));
        let text = fs::read_to_string(staged.join("tea/SKILL.md")).unwrap();
        assert!(
            text.contains("for home") && !staged.join("tea/how").exists(),
            "one stands before the other"
        );
        assert!(staged.join("run/SKILL.md").exists() && !staged.join("run/link").exists());
        assert!(!staged.join("bad").exists());
        fs::remove_dir_all(dir.path().join("instructions/home/skills")).unwrap();
        homes.stage_skills(&folder, None).await.unwrap();
        assert_eq!(fs::read_to_string(staged.join("tea/how/to.md")).unwrap(), "boil");
        assert!(!staged.join("run").exists(), "what is gone is taken away");
    }
}
