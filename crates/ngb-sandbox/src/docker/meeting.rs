//! Where a container's process 1 meets the gateway: a socket in a folder that is mounted into that container only.
//!
//! Process 1 connects three times, before anything of the agent runs: for the line, for the agent's streams, for its
//! standard error. So frames take the same way as in `native`, past the engine: it keeps no copy of them, adds no time to
//! them, and may be restarted meanwhile.

use std::{
    fs, io,
    os::{
        fd::AsRawFd as _,
        unix::{
            fs::{DirBuilderExt as _, PermissionsExt as _},
            net::UnixStream as StdUnixStream,
        },
    },
    path::{Path, PathBuf},
};

use tokio::net::{UnixListener, UnixStream};

use crate::line::Line;

/// The folder inside.
pub(super) const INSIDE: &str = "/run/line";
const SOCKET: &str = "socket";

/// Longest path of a socket, in bytes, without its final NUL: `sun_path` of unix(7).
const MAX_SOCKET_PATH_BYTES: usize = 107;

/// A folder with a socket; removed with it.
pub(super) struct Meeting {
    dir: PathBuf,
    listener: UnixListener,
}

/// The gateway's ends of what process 1 connected.
pub(super) struct Met {
    pub(super) line: Line,
    pub(super) io: UnixStream,
    pub(super) words: UnixStream,
    /// The number of process 1 for us; none where it is in no namespace that we see.
    pub(super) pid: Option<u32>,
}

impl Meeting {
    /// `dir` must stand where nobody but the gateway may look: the socket is for whoever gets to it.
    pub(super) fn open(dir: PathBuf) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o755).create(&dir)?;
        let path = dir.join(SOCKET);
        let listener = if path.as_os_str().len() <= MAX_SOCKET_PATH_BYTES {
            UnixListener::bind(&path)
        } else {
            let folder = fs::File::open(&dir)?;
            UnixListener::bind(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()))
        };
        let meeting = Self { listener: listener?, dir };
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666))?;
        Ok(meeting)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Waits for process 1, which must be `uid` on this host.
    pub(super) async fn met(&self, uid: u32) -> io::Result<Met> {
        let line = self.accept(uid).await?;
        let pid = line.peer_cred()?.pid().and_then(|it| u32::try_from(it).ok());
        let (io, words) = (self.accept(uid).await?, self.accept(uid).await?);
        let line = Line::over(line.into_std()?)?;
        Ok(Met { line, io, words, pid: pid.filter(|it| *it != 0) })
    }

    async fn accept(&self, uid: u32) -> io::Result<UnixStream> {
        let (stream, _) = self.listener.accept().await?;
        let got = stream.peer_cred()?.uid();
        if got != uid {
            let why = format!("the container's process 1 is user {got} of this host, not {uid}");
            return Err(io::Error::other(why));
        }
        Ok(stream)
    }
}

impl Drop for Meeting {
    fn drop(&mut self) {
        if let Err(err) = fs::remove_dir_all(&self.dir) {
            tracing::warn!("can't remove `{}`: {err}", self.dir.display());
        }
    }
}

/// Process 1's part: its ends of the line, of the streams and of the standard error.
pub(super) fn connect() -> io::Result<[StdUnixStream; 3]> {
    let path = Path::new(INSIDE).join(SOCKET);
    let one = || StdUnixStream::connect(&path);
    Ok([one()?, one()?, one()?])
}
