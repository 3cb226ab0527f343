//! Watches the folder of plugins: the kernel says when something was written, moved or removed there.

use std::time::Duration;

use ngb_core::clock::Clock;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::net::unix::pipe::Receiver;
use tokio_util::sync::CancellationToken;

use crate::wasm::{
    folder::{Folder, FolderError},
    live::{Change, LivePlugins},
};

/// How long it waits for more: whoever copies a plugin writes several files.
const SETTLE: Duration = Duration::from_millis(200);

/// What the kernel tells at a time, in bytes.
const BUFFER_BYTES: usize = 4096;

impl LivePlugins {
    /// Takes up what is installed, and then each change, until `drain` fires; `on_change` hears of each.
    ///
    /// # Errors
    /// If the folder can't be made, read or watched.
    pub async fn watch(
        &self,
        clock: &Clock,
        drain: CancellationToken,
        mut on_change: impl FnMut(&Change),
    ) -> Result<(), FolderError> {
        let folder = &self.folder;
        let bell = Bell::new(folder)?;
        loop {
            // Watched first, then looked at: what changes between the two rings the bell.
            bell.watch_each(folder)?;
            self.look().await?.iter().for_each(&mut on_change);
            tokio::select! {
                rang = bell.rings() => rang.map_err(|err| folder.unusable(err))?,
                () = drain.cancelled() => return Ok(()),
            }
            clock.sleep(SETTLE).await;
        }
    }
}

/// Rings when something changes below the folder: to the runtime, which only waits for it, it is like the end of a pipe.
struct Bell(Receiver);

impl Bell {
    fn new(folder: &Folder) -> Result<Self, FolderError> {
        folder.make()?;
        let made = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC);
        let made = made.map_err(std::io::Error::from).and_then(Receiver::from_owned_fd_unchecked);
        made.map(Self).map_err(|err| folder.unusable(err))
    }

    /// A folder that is watched already is not watched twice.
    fn watch_each(&self, folder: &Folder) -> Result<(), FolderError> {
        let flags = WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVED_FROM
            | WatchFlags::CREATE
            | WatchFlags::DELETE;
        let add = |path: &std::path::Path| inotify::add_watch(&self.0, path, flags);
        add(folder.path()).map_err(|err| folder.unusable(err.into()))?;
        for name in folder.names()? {
            match add(&folder.path().join(name)) {
                // Removed meanwhile; the folder above has said so.
                Ok(_) | Err(rustix::io::Errno::NOENT) => (),
                Err(err) => return Err(folder.unusable(err.into())),
            }
        }
        Ok(())
    }

    /// Waits, and takes all that was told; what it was is seen by looking.
    async fn rings(&self) -> std::io::Result<()> {
        let mut told = [0; BUFFER_BYTES];
        let mut rang = false;
        loop {
            if !rang {
                self.0.readable().await?;
            }
            match self.0.try_read(&mut told) {
                Ok(_) => rang = true,
                Err(err) if err.kind() == std::io::ErrorKind::WouldBlock && rang => return Ok(()),
                Err(err) if err.kind() == std::io::ErrorKind::WouldBlock => (),
                Err(err) => return Err(err),
            }
        }
    }
}
