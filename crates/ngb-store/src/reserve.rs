//! Room on the disk that is kept for messages: a file beside the database that is given up when the disk is full.

use std::{
    fs::File,
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use ngb_core::{
    clock::{Clock, Timestamp},
    tasks::blocking,
};
use rustix::{
    fs::{FallocateFlags, fallocate, fstatvfs},
    io::Errno,
};
use tokio::sync::{Notify, watch};

/// Size of the file. A message with its decisions takes a few KiB of the database and about 40 KiB of its log, which is
/// written again from its beginning after 4 MiB: room for thousands of messages.
const RESERVE_BYTES: u64 = 16 << 20;

/// What must be free besides before the file is made, so that it is not given up again at once.
const SPARE_BYTES: u64 = 8 << 20;

/// How often a full disk is looked at: nothing tells that it has room again.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long to wait after an error that has nothing to do with room.
const ERROR_WAIT: Duration = Duration::from_secs(60);

/// How it stands with the disk that holds the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    Roomy,
    /// Messages are stored in what was reserved; all else should wait.
    Full {
        since: Timestamp,
    },
}

/// The file, and what is known of the disk.
#[derive(Debug)]
pub(crate) struct Reserve {
    path: PathBuf,
    disk: watch::Sender<Disk>,
    given_up: Notify,
}

impl Reserve {
    /// The reserve of the database in `file`; it is made by [`Reserve::keep`].
    pub(crate) fn of(file: &Path, disk: watch::Sender<Disk>) -> Self {
        let mut name = file.as_os_str().to_owned();
        name.push("-reserve");
        Self { path: name.into(), disk, given_up: Notify::new() }
    }

    /// The disk is full: frees what was reserved. False when there was nothing left to free.
    pub(crate) fn give_up(&self, now: Timestamp) -> bool {
        self.is_full(now);
        let freed = match std::fs::remove_file(&self.path) {
            Ok(()) => true,
            Err(err) if err.kind() == io::ErrorKind::NotFound => false,
            Err(err) => {
                tracing::error!("could not free `{}`: {err}", self.path.display());
                false
            }
        };
        self.given_up.notify_one();
        freed
    }

    /// Makes the file whenever there is room for it, until it is aborted.
    pub(crate) async fn keep(self: Arc<Self>, clock: Clock) {
        loop {
            let path = self.path.clone();
            match blocking("make the reserve", move || make(&path)).await {
                Ok(true) => {
                    if self.disk.send_replace(Disk::Roomy) != Disk::Roomy {
                        tracing::warn!("the disk of the database has room again");
                    }
                    self.given_up.notified().await;
                }
                Ok(false) => {
                    self.is_full(clock.now());
                    clock.sleep(LOOK_EVERY).await;
                }
                Err(err) => {
                    tracing::error!("could not reserve `{}`: {err}", self.path.display());
                    clock.sleep(ERROR_WAIT).await;
                }
            }
        }
    }

    fn is_full(&self, now: Timestamp) {
        let noted = self.disk.send_if_modified(|it| {
            let news = *it == Disk::Roomy;
            if news {
                *it = Disk::Full { since: now };
            }
            news
        });
        if noted {
            tracing::error!(
                "the disk of `{}` is full: messages are stored in what was reserved, and nothing is begun until there is room",
                self.path.display()
            );
        }
    }
}

/// Makes the file; false when there is no room for it.
fn make(path: &Path) -> io::Result<bool> {
    const BLOCK_BYTES: u64 = 512;
    let mut options = std::fs::OpenOptions::new();
    let file = match options.write(true).create(true).truncate(false).mode(0o600).open(path) {
        Ok(it) => it,
        Err(err) if err.kind() == io::ErrorKind::StorageFull => return Ok(false),
        Err(err) => return Err(err),
    };
    let there = file.metadata()?;
    if there.len() == RESERVE_BYTES && RESERVE_BYTES <= there.blocks() * BLOCK_BYTES {
        return Ok(true);
    }
    let disk = fstatvfs(&file)?;
    let room = disk.f_bavail.saturating_mul(disk.f_frsize);
    let made = if room < RESERVE_BYTES + SPARE_BYTES { Ok(false) } else { fill(&file) };
    if !matches!(made, Ok(true)) {
        std::fs::remove_file(path)?;
    }
    made
}

/// Takes the room for real; false when somebody else was quicker.
fn fill(file: &File) -> io::Result<bool> {
    match fallocate(file, FallocateFlags::empty(), 0, RESERVE_BYTES) {
        Ok(()) => Ok(true),
        Err(Errno::NOSPC | Errno::DQUOT) => Ok(false),
        // Some file systems take room only by writing.
        Err(Errno::OPNOTSUPP) => match write_zeros(file) {
            Ok(()) => Ok(true),
            Err(err) if err.kind() == io::ErrorKind::StorageFull => Ok(false),
            Err(err) => Err(err),
        },
        Err(err) => Err(err.into()),
    }
}

fn write_zeros(mut file: &File) -> io::Result<()> {
    io::copy(&mut io::Read::take(io::repeat(0), RESERVE_BYTES), &mut file)?;
    file.sync_all()
}
