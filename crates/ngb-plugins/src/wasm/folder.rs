//! The folder of installed plugins: `<home>/plugins/<name>`, each whole or not there.

use std::{
    fs::File,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use ngb_core::clock::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    builtin::Builtin,
    wasm::{
        manifest::{Capabilities, Capability, Manifest, ManifestError, check_name},
        package::{COMPONENT_FILE, MANIFEST_FILE},
    },
};

/// What the operator said when the plugin was installed.
const RECORD_FILE: &str = "installed.toml";

/// What was installed, by whose leave.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Record {
    /// Of what was installed, in hex.
    pub sha256: String,
    /// Whether its signature was checked.
    pub is_signed: bool,
    pub installed_at: Timestamp,
    /// What the operator lets it do; never more than it declares.
    pub granted: Capabilities,
}

/// A plugin that is there.
#[derive(Clone, Debug)]
pub struct Installed {
    pub manifest: Manifest,
    pub record: Record,
    pub component: PathBuf,
}

impl Installed {
    /// What it may do: what it declares, as far as it was granted.
    pub fn granted(&self) -> Capabilities {
        let declared = &self.manifest.capabilities;
        let both = self.record.granted.0.iter().filter_map(|(it, names)| {
            let theirs = declared.0.get(it)?;
            let names = names.iter().filter(|name| theirs.contains(name)).cloned().collect();
            Some((*it, names))
        });
        Capabilities(both.collect())
    }

    /// What it declares and was not granted.
    pub fn missing(&self) -> Vec<Capability> {
        self.manifest.capabilities.beyond(&self.record.granted)
    }
}

/// What the folder refuses.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("a plugin `{name}` is installed already, version {version}")]
    Taken { name: String, version: String },
    #[error("`{0}` is the name of a plugin that is built in")]
    BuiltIn(String),
    #[error("there is no plugin `{0}`")]
    NoPlugin(String),
    #[error("the folder `{folder}` holds a plugin of another name, `{name}`")]
    OtherName { folder: String, name: String },
    #[error("`{0}` was not installed: nobody said what it may do")]
    NotInstalled(String),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error("could not use `{path}`")]
    Unusable {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("`{path}` can't be read: {why}")]
    Record { path: String, why: String },
}

/// `<home>/plugins`.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes it, for us alone, if it is not there.
    ///
    /// # Errors
    /// If it can't be made.
    pub fn make(&self) -> Result<(), FolderError> {
        make_folder(&self.0).map_err(|err| self.unusable(err))
    }

    pub(super) fn unusable(&self, source: io::Error) -> FolderError {
        unusable(&self.0, source)
    }

    /// The names of what is there, in order; what can't be read has one as well.
    ///
    /// # Errors
    /// If the folder can't be read; one that is not there is empty.
    pub fn names(&self) -> Result<Vec<String>, FolderError> {
        let entries = match std::fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(err) => return Err(unusable(&self.0, err)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|err| unusable(&self.0, err))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // What begins with a dot is half-way here or half-way gone.
            if entry.path().is_dir() && !name.starts_with('.') {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// The plugin `name`.
    ///
    /// # Errors
    /// If it is not there, or its files say nothing that can be used.
    pub fn open(&self, name: &str) -> Result<Installed, FolderError> {
        check_name(name)?;
        let folder = self.0.join(name);
        if !folder.is_dir() {
            return Err(FolderError::NoPlugin(name.to_owned()));
        }
        let manifest: Manifest = read(&folder.join(MANIFEST_FILE))?.parse()?;
        if manifest.name != name {
            return Err(FolderError::OtherName { folder: name.to_owned(), name: manifest.name });
        }
        let file = folder.join(RECORD_FILE);
        if !file.exists() {
            return Err(FolderError::NotInstalled(folder.display().to_string()));
        }
        let record = toml::from_str(&read(&file)?).map_err(|err| FolderError::Record {
            path: file.display().to_string(),
            why: err.to_string(),
        })?;
        Ok(Installed { manifest, record, component: folder.join(COMPONENT_FILE) })
    }

    /// Whether `name` may be installed.
    ///
    /// # Errors
    /// If it is taken, and not to be replaced.
    pub fn check_free(&self, name: &str, replace: bool) -> Result<(), FolderError> {
        if Builtin::find(name).is_some() {
            return Err(FolderError::BuiltIn(name.to_owned()));
        }
        if replace || !self.0.join(name).exists() {
            return Ok(());
        }
        let version = self.open(name).map(|it| it.manifest.version);
        let version = version.unwrap_or_else(|_| "unknown".to_owned());
        Err(FolderError::Taken { name: name.to_owned(), version })
    }

    /// Puts a plugin in place, whole and at once, also in place of an older one.
    ///
    /// # Errors
    /// If a file can't be written; what was there stays.
    pub fn put(
        &self,
        manifest: &Manifest,
        text: &str,
        component: &[u8],
        record: &Record,
    ) -> Result<(), FolderError> {
        check_name(&manifest.name)?;
        let target = self.0.join(&manifest.name);
        let aside = self.aside(&manifest.name);
        let record = toml::to_string(record).map_err(|err| FolderError::Record {
            path: target.join(RECORD_FILE).display().to_string(),
            why: err.to_string(),
        })?;
        let placed = make_folder(&aside)
            .and_then(|()| write(&aside.join(COMPONENT_FILE), component))
            .and_then(|()| write(&aside.join(MANIFEST_FILE), text.as_bytes()))
            .and_then(|()| write(&aside.join(RECORD_FILE), record.as_bytes()))
            .and_then(|()| take_over(&aside, &target));
        // What is aside now is the old one, or what could not be finished.
        let cleared = remove_all(&aside);
        placed.and(cleared).map_err(|err| unusable(&target, err))
    }

    /// Takes a plugin away.
    ///
    /// # Errors
    /// If it is not there or can't be removed.
    pub fn remove(&self, name: &str) -> Result<(), FolderError> {
        check_name(name)?;
        let target = self.0.join(name);
        if !target.is_dir() {
            return Err(FolderError::NoPlugin(name.to_owned()));
        }
        let aside = self.aside(name);
        let removed = std::fs::rename(&target, &aside).and_then(|()| remove_all(&aside));
        removed.map_err(|err| unusable(&target, err))
    }

    fn aside(&self, name: &str) -> PathBuf {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        self.0.join(format!(".{name}-{}-{count}", std::process::id()))
    }
}

/// Renames `aside` to `target`; where there is something already the two change places, in one step.
fn take_over(aside: &Path, target: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    if target.exists() {
        Ok(renameat_with(CWD, aside, CWD, target, RenameFlags::EXCHANGE)?)
    } else {
        std::fs::rename(aside, target)
    }
}

fn make_folder(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn remove_all(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn read(path: &Path) -> Result<String, FolderError> {
    std::fs::read_to_string(path).map_err(|err| unusable(path, err))
}

fn unusable(path: &Path, source: io::Error) -> FolderError {
    FolderError::Unusable { path: path.display().to_string(), source }
}
