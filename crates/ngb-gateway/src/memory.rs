//! What lanes remember, for people: it can be read, and an earlier version put back.
//!
//! The agent writes `MEMORY.md` in its lane's folder, and keeps each version before as `memory/<n>.md`. All of it is the
//! agent's to change, links included, so nothing here follows one.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
};

use ngb_core::{
    id::{GroupId, LaneId},
    tasks::blocking,
};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use serde::Serialize;

use crate::handle::{Gateway, HandleError};

/// What stands in the prompt.
const CURRENT: &str = "MEMORY.md";

/// The folder of the versions before.
const VERSIONS: &str = "memory";

/// Where a version is made before it takes the other's place.
const FRESH: &str = ".MEMORY.md.put-back";

/// Longest version that is read, in bytes. The agent's own tool writes at most 16 KiB, but its shell may write anything.
const MAX_BYTES: u64 = 64 * 1024;

/// Versions of a lane that are listed, the latest.
const MAX_VERSIONS: usize = 100;

/// What one lane remembers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Memory {
    pub lane: LaneId,
    /// The lane's place, chat or person; see [`ngb_core::group::Scope`].
    pub key: String,
    pub text: String,
    /// The versions before, the latest first.
    pub versions: Vec<u64>,
}

impl Gateway {
    /// What the lanes of a group remember; those that remember nothing are left out.
    ///
    /// # Errors
    ///
    /// When the store or a folder can't be read.
    pub async fn memories(&self, group: GroupId) -> Result<Vec<Memory>, HandleError> {
        let mut all = Vec::new();
        for (lane, key) in self.0.store.lanes(group).await? {
            let dir = self.0.homes.lane(lane);
            let read = blocking("read a lane's memory", move || read(dir)).await;
            let (text, versions) = read.map_err(|source| HandleError::Memory { lane, source })?;
            if !text.is_empty() || !versions.is_empty() {
                all.push(Memory { lane, key, text, versions });
            }
        }
        Ok(all)
    }

    /// What one lane remembers; nothing is an empty text.
    ///
    /// # Errors
    ///
    /// When its folder can't be read.
    pub async fn memory(&self, lane: LaneId) -> Result<String, HandleError> {
        let dir = self.0.homes.lane(lane);
        let read = blocking("read a lane's memory", move || read(dir)).await;
        read.map(|it| it.0).map_err(|source| HandleError::Memory { lane, source })
    }

    /// Puts a version back. What was there becomes a version itself, so that this can be taken back as well.
    ///
    /// # Errors
    ///
    /// When there is no such version, or it can't be written.
    pub async fn put_memory_back(&self, lane: LaneId, version: u64) -> Result<(), HandleError> {
        let dir = self.0.homes.lane(lane);
        let put = blocking("put a memory back", move || put_back(dir, version)).await;
        put.map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => HandleError::NoMemory { lane, version },
            _ => HandleError::Memory { lane, source },
        })
    }
}

/// Opens a file of the lane, and never one elsewhere.
fn open(lane: &File, path: &str, flags: OFlags) -> io::Result<File> {
    let flags = flags | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let mode = Mode::from_raw_mode(0o600);
    let mode = if flags.contains(OFlags::CREATE) { mode } else { Mode::empty() };
    Ok(rustix::fs::openat2(lane, path, flags, mode, beneath)?.into())
}

fn text_of(lane: &File, path: &str) -> io::Result<String> {
    let file = open(lane, path, OFlags::RDONLY)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("`{path}` is no file")));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The numbers of the versions, the latest first.
fn versions(lane: &File) -> io::Result<Vec<u64>> {
    let folder = match open(lane, VERSIONS, OFlags::RDONLY | OFlags::DIRECTORY) {
        Ok(folder) => folder,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(err) => return Err(err),
    };
    let mut numbers = Vec::new();
    for entry in rustix::fs::Dir::read_from(&folder)? {
        let entry = entry?;
        let name = entry.file_name().to_str().ok().and_then(|it| it.strip_suffix(".md"));
        numbers.extend(name.and_then(|it| it.parse::<u64>().ok()));
    }
    numbers.sort_unstable_by(|a, b| b.cmp(a));
    numbers.truncate(MAX_VERSIONS);
    Ok(numbers)
}

fn read(dir: PathBuf) -> io::Result<(String, Vec<u64>)> {
    let lane = match File::open(dir) {
        Ok(lane) => lane,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Default::default()),
        Err(err) => return Err(err),
    };
    let text = match text_of(&lane, CURRENT) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => String::new(),
        text => text?,
    };
    Ok((text, versions(&lane)?))
}

fn put_back(dir: PathBuf, version: u64) -> io::Result<()> {
    let lane = File::open(dir)?;
    let text = text_of(&lane, &format!("{VERSIONS}/{version}.md"))?;
    match text_of(&lane, CURRENT) {
        Ok(now) => {
            let next = versions(&lane)?.first().map_or(1, |it| it + 1);
            create(&lane, &format!("{VERSIONS}/{next}.md"), &now)?;
        }
        Err(err) if err.kind() == io::ErrorKind::NotFound => (),
        Err(err) => return Err(err),
    }
    // One that an earlier try left.
    match rustix::fs::unlinkat(&lane, FRESH, rustix::fs::AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => (),
        Err(err) => return Err(err.into()),
    }
    create(&lane, FRESH, &text)?;
    Ok(rustix::fs::renameat(&lane, FRESH, &lane, CURRENT)?)
}

/// Makes a new file that belongs to the user that the lane's agents are.
fn create(lane: &File, path: &str, text: &str) -> io::Result<()> {
    let mut file = open(lane, path, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL)?;
    let owner = lane.metadata()?;
    std::os::unix::fs::fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_put_back_and_that_can_be_taken_back() {
        let dir = tempfile::tempdir().unwrap();
        let lane = || dir.path().to_owned();
        assert_eq!(read(lane().join("nothing")).unwrap(), (String::new(), vec![]));
        assert_eq!(read(lane()).unwrap(), (String::new(), vec![]));
        std::fs::create_dir(dir.path().join("memory")).unwrap();
        for (name, text) in [("memory/1.md", "tea"), ("memory/2.md", "milk"), ("MEMORY.md", "beer")]
        {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        std::fs::write(dir.path().join("memory/notes.txt"), "no version").unwrap();
        assert_eq!(read(lane()).unwrap(), ("beer".into(), vec![2, 1]));
        put_back(lane(), 1).unwrap();
        assert_eq!(read(lane()).unwrap(), ("tea".into(), vec![3, 2, 1]));
        put_back(lane(), 3).unwrap();
        assert_eq!(read(lane()).unwrap(), ("beer".into(), vec![4, 3, 2, 1]));
        assert_eq!(put_back(lane(), 9).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn links_of_an_agent_lead_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let lane = dir.path().join("lane");
        let secret = dir.path().join("secret");
        std::fs::create_dir_all(lane.join("memory")).unwrap();
        std::fs::write(&secret, "7431").unwrap();
        std::os::unix::fs::symlink(&secret, lane.join("memory/1.md")).unwrap();
        std::os::unix::fs::symlink(&secret, lane.join("MEMORY.md")).unwrap();
        assert!(read(lane.clone()).is_err());
        assert!(put_back(lane.clone(), 1).is_err());
        std::fs::remove_dir_all(lane.join("memory")).unwrap();
        std::os::unix::fs::symlink(dir.path(), lane.join("memory")).unwrap();
        assert!(put_back(lane, 1).is_err());
        assert_eq!(std::fs::read_to_string(&secret).unwrap(), "7431");
    }
}
