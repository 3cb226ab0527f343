//! The home folder: where it is, what it is called inside, and that only one gateway uses it.

use std::{
    fs::File,
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use ngb_core::clock::Clock;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// How long a start waits for the lock of a gateway that was just killed.
const LOCK_WAIT: Duration = Duration::from_millis(500);

/// How often it looks meanwhile.
const LOCK_STEP: Duration = Duration::from_millis(20);

/// Everything of one installation.
#[derive(Clone, Debug)]
pub(crate) struct Home(PathBuf);

/// Held while a gateway runs on a home.
pub(crate) struct Lock {
    _file: File,
}

#[derive(Debug, Error)]
pub(crate) enum HomeError {
    #[error("another gateway runs on `{0}`")]
    InUse(String),
    #[error("could not use the folder `{path}`")]
    Unusable {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error(
        "no home folder is known: neither `--home`, `NGB_HOME`, `XDG_DATA_HOME` nor `HOME` is set"
    )]
    Unknown,
}

impl Home {
    /// The folder that was named, or the first of `NGB_HOME`, `XDG_DATA_HOME/nanogridbot`, `~/.local/share/nanogridbot`.
    pub(crate) fn find(named: Option<PathBuf>) -> Result<Self, HomeError> {
        let var =
            |name: &str| std::env::var_os(name).filter(|it| !it.is_empty()).map(PathBuf::from);
        let path = named
            .or_else(|| var("NGB_HOME"))
            .or_else(|| var("XDG_DATA_HOME").map(|it| it.join("nanogridbot")))
            .or_else(|| var("HOME").map(|it| it.join(".local/share/nanogridbot")))
            .ok_or(HomeError::Unknown)?;
        let unusable = |source| HomeError::Unusable { path: path.display().to_string(), source };
        std::path::absolute(&path).map(Self).map_err(unusable)
    }

    /// Makes the folder, for us alone.
    pub(crate) fn make(&self) -> Result<(), HomeError> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&self.0).map_err(|it| self.unusable(it))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Tells this installation's sandboxes from those of others on the machine: a hash of where it is.
    pub(crate) fn install_id(&self) -> String {
        use std::os::unix::ffi::OsStrExt as _;
        let hash = Sha256::digest(self.0.as_os_str().as_bytes());
        hash[..6].iter().map(|it| format!("{it:02x}")).collect()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.0.join("config.toml")
    }

    pub(crate) fn database_url(&self) -> String {
        format!("sqlite://{}", self.0.join("nanogridbot.db").display())
    }

    pub(crate) fn backups(&self) -> PathBuf {
        self.0.join("backups")
    }

    /// The name under which this installation claims work, also after a restart: the machine's, and a random part.
    pub(crate) fn node(&self) -> Result<String, HomeError> {
        let path = self.0.join("node");
        match std::fs::read_to_string(&path) {
            Ok(name) => return Ok(name.trim().to_owned()),
            Err(err) if err.kind() == io::ErrorKind::NotFound => (),
            Err(err) => return Err(self.unusable(err)),
        }
        let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let name = format!("{machine}-{:.8}", ngb_gateway::codes::random_id());
        let mut options = std::fs::OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&path);
        let written = file.and_then(|mut it| {
            io::Write::write_all(&mut it, name.as_bytes())?;
            it.sync_all()
        });
        written.map(|()| name).map_err(|it| self.unusable(it))
    }

    /// Where a running gateway is reached by the command line; the file's permissions are the login.
    pub(crate) fn socket(&self) -> PathBuf {
        self.0.join("gateway.sock")
    }

    /// What is installed, one folder a plugin.
    pub(crate) fn plugins(&self) -> PathBuf {
        self.0.join("plugins")
    }

    /// What plugins were compiled to; it may be removed at any time.
    pub(crate) fn plugin_cache(&self) -> PathBuf {
        self.0.join("cache/plugins")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    /// Proves that no other gateway runs on this home, until the lock is dropped or the process ends.
    pub(crate) fn lock(&self) -> Result<Lock, HomeError> {
        let path = self.0.join("gateway.lock");
        let mut options = std::fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(|it| self.unusable(it))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: file }),
            Err(std::fs::TryLockError::WouldBlock) => {
                Err(HomeError::InUse(self.0.display().to_string()))
            }
            Err(std::fs::TryLockError::Error(source)) => Err(self.unusable(source)),
        }
    }

    /// Like [`Home::lock`], but patient: what a gateway that was killed was just starting still holds its lock for a moment.
    pub(crate) async fn lock_soon(&self, clock: &Clock) -> Result<Lock, HomeError> {
        let deadline = clock.now() + LOCK_WAIT;
        loop {
            match self.lock() {
                Err(HomeError::InUse(_)) if clock.now() < deadline => clock.sleep(LOCK_STEP).await,
                done => return done,
            }
        }
    }

    fn unusable(&self, source: io::Error) -> HomeError {
        HomeError::Unusable { path: self.0.display().to_string(), source }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn one_gateway_a_home() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::find(Some(dir.path().join("h"))).unwrap();
        home.make().unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(home.path()), 0o700);
        let lock = home.lock().unwrap();
        assert_eq!(mode(&home.path().join("gateway.lock")), 0o600);
        assert!(matches!(home.lock(), Err(HomeError::InUse(_))));
        drop(lock);
        home.lock().unwrap();
    }
}
