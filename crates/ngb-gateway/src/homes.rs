//! Folders under `--home`: a group's, a lane's, and the files that come and go.

use std::{
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use ngb_core::{clock::Timestamp, group::FolderName, id::LaneId, tasks::blocking};
use rustix::{
    fs::{Mode, OFlags, ResolveFlags},
    process::{Gid, Uid},
};
use sha2::{Digest as _, Sha256};

use crate::instructions::Staged;

/// Where everything is.
#[derive(Clone, Debug)]
pub struct Homes {
    home: PathBuf,
    /// The instructions that were copied last.
    pub(crate) staged: Arc<Staged>,
}

/// Name of the folder, in each group's, for files that came with messages.
pub const INBOX: &str = "inbox";

/// Where the group's folder stands inside a sandbox.
pub const GROUP_INSIDE: &str = "/workspace/group";

/// The name of the folder with instructions for every group.
pub(crate) const GLOBAL: &str = "global";

impl Homes {
    /// # Errors
    ///
    /// When a folder can't be made.
    pub async fn new(home: PathBuf) -> io::Result<Self> {
        let homes = Self { home, staged: Arc::default() };
        let paths = [
            homes.home.clone(),
            homes.home.join("groups"),
            homes.home.join("groups").join(GLOBAL),
            homes.home.join("lanes"),
            homes.outgoing(),
            homes.long_texts(),
        ];
        for path in paths {
            make_private(path).await?;
        }
        Ok(homes)
    }

    pub fn home(&self) -> &Path {
        &self.home
    }

    pub fn group(&self, folder: &FolderName) -> PathBuf {
        self.home.join("groups").join(folder.as_str())
    }

    /// Transcript, driver home and memory of a lane; only its own sandboxes mount it.
    pub fn lane(&self, lane: LaneId) -> PathBuf {
        self.home.join("lanes").join(lane.to_string())
    }

    /// Copies of files on their way out.
    pub(crate) fn outgoing(&self) -> PathBuf {
        self.home.join("outgoing")
    }

    /// Texts that are too long for a message.
    pub(crate) fn long_texts(&self) -> PathBuf {
        self.home.join("long")
    }

    pub async fn make_group(&self, folder: &FolderName) -> io::Result<()> {
        make_private(self.group(folder)).await
    }

    pub async fn make_lane(&self, lane: LaneId) -> io::Result<PathBuf> {
        let path = self.lane(lane);
        make_private(path.clone()).await?;
        Ok(path)
    }

    /// Moves a removed group's folder to `<home>/removed`, and those of its lanes, with their transcripts, to a folder
    /// beside it; or deletes them.
    pub async fn put_aside(
        &self,
        folder: &FolderName,
        lanes: Vec<LaneId>,
        purge: bool,
        now: Timestamp,
    ) -> io::Result<()> {
        let aside = self.home.join("removed");
        let of_group = aside.join(format!("{folder}-{}", now.0));
        let of_lanes = aside.join(format!("{folder}-{}-lanes", now.0));
        let mut moves = vec![(self.group(folder), of_group)];
        moves.extend(lanes.iter().map(|it| (self.lane(*it), of_lanes.join(it.to_string()))));
        blocking("put a group aside", move || {
            for (from, to) in moves.into_iter().filter(|(from, _)| from.exists()) {
                if purge {
                    std::fs::remove_dir_all(&from)?;
                } else {
                    private_dir(to.parent().unwrap_or(&aside))?;
                    std::fs::rename(&from, &to)?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Opens a new file for what came with a message: `inbox/<message>-<n>-<name>` under the group's folder. Nothing in
    /// the folder can lead it elsewhere, since no link is followed.
    pub async fn create_incoming(
        &self,
        folder: &FolderName,
        file: String,
    ) -> io::Result<(tokio::fs::File, String)> {
        let root = self.group(folder);
        let relative = format!("{INBOX}/{file}");
        let path = relative.clone();
        let made = blocking("create an incoming file", move || {
            let root = std::fs::File::open(&root)?;
            // The group's files belong to the user that its agents are, not to us.
            let owner = root.metadata()?;
            let owner = (Uid::from_raw(owner.uid()), Gid::from_raw(owner.gid()));
            match rustix::fs::mkdirat(&root, INBOX, Mode::from_raw_mode(0o700)) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => (),
                Err(err) => return Err(err.into()),
            }
            let dir = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
            let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
            let inbox = rustix::fs::openat2(&root, INBOX, dir, Mode::empty(), beneath)?;
            rustix::fs::fchown(&inbox, Some(owner.0), Some(owner.1))?;
            let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::TRUNC | OFlags::CLOEXEC;
            let mode = Mode::from_raw_mode(0o640);
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
            let file = rustix::fs::openat2(&root, &*path, flags, mode, resolve)?;
            rustix::fs::fchown(&file, Some(owner.0), Some(owner.1))?;
            Ok::<_, io::Error>(std::fs::File::from(file))
        })
        .await?;
        Ok((tokio::fs::File::from_std(made), relative))
    }

    /// Keeps a text that is too long for a message, under a name made of its content; it is on disk when this returns.
    pub async fn keep_long(&self, text: String) -> io::Result<String> {
        let dir = self.long_texts();
        blocking("keep a long text", move || {
            let hash = Sha256::digest(text.as_bytes());
            let name: String = hash.iter().map(|it| format!("{it:02x}")).collect();
            let path = dir.join(&name);
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(path)?;
            io::Write::write_all(&mut file, text.as_bytes())?;
            file.sync_all()?;
            std::fs::File::open(&dir)?.sync_all()?;
            Ok(name)
        })
        .await
    }

    /// Removes a long text that must not be seen.
    pub async fn remove_long(&self, name: &str) -> io::Result<()> {
        let path = self.long_text(name)?;
        blocking("remove a long text", move || match std::fs::remove_file(path) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => Err(err),
            _ => Ok(()),
        })
        .await
    }

    /// Where a long text is.
    fn long_text(&self, name: &str) -> io::Result<PathBuf> {
        // The name is a hash of ours; anything else is not in that folder.
        let plain = !name.is_empty() && name.chars().all(|it| it.is_ascii_hexdigit());
        if !plain {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is no name of a long text",
            ));
        }
        Ok(self.long_texts().join(name))
    }

    /// Reads a text that [`Homes::keep_long`] kept.
    pub async fn long(&self, name: &str) -> io::Result<Vec<u8>> {
        let path = self.long_text(name)?;
        blocking("read a long text", move || std::fs::read(path)).await
    }

    /// Copies a file of the workspace out, so that the agent can't change it before it is sent; at most `max_bytes`.
    pub async fn take_outgoing(
        &self,
        root: PathBuf,
        relative: String,
        key: String,
        max_bytes: u64,
    ) -> io::Result<PathBuf> {
        let to = self.outgoing().join(key);
        blocking("copy an outgoing file", move || {
            let root = std::fs::File::open(&root)?;
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
            let file = rustix::fs::openat2(&root, &*relative, flags, Mode::empty(), resolve)?;
            let mut file = std::fs::File::from(file);
            let meta = file.metadata()?;
            if !meta.is_file() {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no ordinary file"));
            }
            if max_bytes < meta.len() {
                let why = format!("it has {} bytes, and {max_bytes} can be sent here", meta.len());
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
            }
            let mut out = std::fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&to)?;
            io::copy(&mut io::Read::take(&mut file, max_bytes), &mut out)?;
            out.sync_all()?;
            Ok(to)
        })
        .await
    }
}

/// Makes a folder that only we can enter, with those above it; one that is there already stays as it is.
pub(crate) fn private_dir(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

async fn make_private(path: PathBuf) -> io::Result<()> {
    blocking("make a folder", move || private_dir(&path)).await
}
