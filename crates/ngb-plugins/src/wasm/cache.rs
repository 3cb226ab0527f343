//! Compiled components: made once for a component and an engine, kept in the cache folder, loaded by mapping the file.

use std::{
    fs::File,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use wasmtime::component::Component;

use crate::wasm::{engine::WasmEngine, error::ComponentError};

/// The largest component that is taken: that of a Python plugin has 18 MiB.
pub const MAX_COMPONENT_BYTES: u64 = 64 << 20;

/// How much the compiler stands back behind the gateway's own threads (`nice`).
const COMPILER_NICENESS: i32 = 15;

/// One compilation at a time: it takes all of a core, and hundreds of MiB for a large component.
static COMPILER: Mutex<()> = Mutex::new(());

/// Where compiled components are kept.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

/// A component that can be started.
#[derive(Clone)]
pub struct Loaded {
    pub component: Component,
    /// Of the component as it was given, in hex.
    pub sha256: String,
    /// Whether it was compiled before.
    pub was_cached: bool,
}

/// What a file was when it was hashed. Nobody changes a file without changing this: the kernel sets the time of change.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
struct Stamp {
    sha256: String,
    inode: u64,
    bytes: u64,
    changed_s: i64,
    changed_ns: i64,
}

impl Stamp {
    fn new(sha256: String, file: &std::fs::Metadata) -> Self {
        Self {
            sha256,
            inode: file.ino(),
            bytes: file.len(),
            changed_s: file.ctime(),
            changed_ns: file.ctime_nsec(),
        }
    }

    fn is_of(&self, file: &std::fs::Metadata) -> bool {
        *self == Self::new(self.sha256.clone(), file)
    }
}

impl Cache {
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The component in `file`, from the cache, or compiled and then kept there.
    ///
    /// It blocks, for as long as the compiler takes.
    ///
    /// # Errors
    /// If the file is no component, or the cache can't be written.
    pub fn load(&self, engine: &WasmEngine, file: &Path) -> Result<Loaded, ComponentError> {
        self.make_folder().map_err(|source| self.unusable(source))?;
        let unreadable =
            |source| ComponentError::Unreadable { path: file.display().to_string(), source };
        let facts = std::fs::metadata(file).map_err(unreadable)?;
        let note =
            self.folder.join(format!("{}.seen", digest(file.as_os_str().as_encoded_bytes())));
        if let Some(stamp) = read_stamp(&note).filter(|it| it.is_of(&facts))
            && let Some(component) = self.find(engine, &stamp.sha256)
        {
            return Ok(Loaded { component, sha256: stamp.sha256, was_cached: true });
        }
        let Loaded { component, sha256, was_cached } =
            self.load_bytes(engine, &read_component(file)?)?;
        // Looked at before the file was read: one that changed meanwhile is read again.
        let stamp = Stamp::new(sha256.clone(), &facts);
        self.write_stamp(&note, &stamp).map_err(|source| self.unusable(source))?;
        Ok(Loaded { component, sha256, was_cached })
    }

    /// As [`Cache::load`], for a component that is at hand.
    ///
    /// # Errors
    /// As [`Cache::load`].
    pub fn load_bytes(&self, engine: &WasmEngine, bytes: &[u8]) -> Result<Loaded, ComponentError> {
        self.make_folder().map_err(|source| self.unusable(source))?;
        let sha256 = digest(bytes);
        let found = self.find(engine, &sha256);
        let was_cached = found.is_some();
        let component = match found {
            Some(component) => component,
            None => self.compile(engine, bytes, &sha256)?,
        };
        Ok(Loaded { component, sha256, was_cached })
    }

    /// [`Cache::load`] on a thread of its own that stands back behind all others.
    ///
    /// # Errors
    /// As [`Cache::load`].
    pub async fn load_aside(
        &self,
        engine: &WasmEngine,
        file: &Path,
    ) -> Result<Loaded, ComponentError> {
        let (cache, engine, file) = (self.clone(), engine.clone(), file.to_owned());
        aside(move || cache.load(&engine, &file)).await
    }

    /// [`Cache::load_bytes`] on such a thread.
    ///
    /// # Errors
    /// As [`Cache::load`].
    pub async fn load_bytes_aside(
        &self,
        engine: &WasmEngine,
        bytes: Vec<u8>,
    ) -> Result<Loaded, ComponentError> {
        let (cache, engine) = (self.clone(), engine.clone());
        aside(move || cache.load_bytes(&engine, &bytes)).await
    }

    /// Forgets what no component of `keep` (hashes) was compiled to.
    ///
    /// # Errors
    /// If the folder can't be read or a file can't be removed.
    pub fn prune(&self, keep: &[String]) -> io::Result<()> {
        let entries = match std::fs::read_dir(&self.folder) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().and_then(|it| it.to_str()).unwrap_or_default();
            let is_compiled = name.ends_with(".cwasm") || name.ends_with(".stamp");
            if is_compiled && !keep.iter().any(|it| name.starts_with(it.as_str())) {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// Another engine, or another version of it, makes another code of the same component.
    fn path(&self, engine: &WasmEngine, sha256: &str) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        engine.inner.precompile_compatibility_hash().hash(&mut hasher);
        self.folder.join(format!("{sha256}-{:016x}.cwasm", hasher.finish()))
    }

    /// The compiled component, if it is there and is what we wrote.
    fn find(&self, engine: &WasmEngine, sha256: &str) -> Option<Component> {
        let path = self.path(engine, sha256);
        let note = path.with_extension("stamp");
        let facts = std::fs::metadata(&path).ok()?;
        let is_ours =
            facts.uid() == rustix::process::geteuid().as_raw() && facts.mode() & 0o077 == 0;
        let stamp = read_stamp(&note).filter(|_| is_ours)?;
        if !stamp.is_of(&facts) {
            // It was moved or restored; what is in it decides.
            if digest(&std::fs::read(&path).ok()?) != stamp.sha256 {
                return None;
            }
            self.write_stamp(&note, &Stamp::new(stamp.sha256, &facts)).ok()?;
        }
        map(engine, &path).ok()
    }

    fn compile(
        &self,
        engine: &WasmEngine,
        bytes: &[u8],
        sha256: &str,
    ) -> Result<Component, ComponentError> {
        let _one = COMPILER.lock().unwrap_or_else(PoisonError::into_inner);
        let invalid = |err: wasmtime::Error| ComponentError::Invalid(format!("{err:#}"));
        let code = engine.inner.precompile_component(bytes).map_err(invalid)?;
        let path = self.path(engine, sha256);
        let kept = self.write(&path, &code).and_then(|()| {
            let stamp = Stamp::new(digest(&code), &std::fs::metadata(&path)?);
            self.write_stamp(&path.with_extension("stamp"), &stamp)
        });
        kept.map_err(|source| self.unusable(source))?;
        map(engine, &path).map_err(invalid)
    }

    fn make_folder(&self) -> io::Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)
    }

    fn write_stamp(&self, path: &Path, stamp: &Stamp) -> io::Result<()> {
        self.write(path, serde_json::to_string(stamp)?.as_bytes())
    }

    /// Whole or not at all, and for us alone.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let aside = self.folder.join(format!("{}-{count}.part", std::process::id()));
        let mut file =
            File::options().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        let written = file
            .write_all(bytes)
            .and_then(|()| file.sync_all())
            .and_then(|()| std::fs::rename(&aside, path));
        if written.is_err() {
            std::fs::remove_file(&aside).ok();
        }
        written
    }

    fn unusable(&self, source: io::Error) -> ComponentError {
        ComponentError::Cache { path: self.folder.display().to_string(), source }
    }
}

/// Compiles on a thread of its own, which stands back behind all others.
async fn aside(
    load: impl FnOnce() -> Result<Loaded, ComponentError> + Send + 'static,
) -> Result<Loaded, ComponentError> {
    let (done, loaded) = tokio::sync::oneshot::channel();
    // Not a thread of the runtime's: those are used again, and the way back to the old priority is closed.
    let work = move || {
        // Where it is refused the compiler merely has no manners.
        rustix::process::setpriority_process(None, COMPILER_NICENESS).ok();
        drop(done.send(load()));
    };
    let started = std::thread::Builder::new().name("plugin-compiler".into()).spawn(work);
    started.map_err(|err| ComponentError::Engine(err.to_string()))?;
    loaded.await.unwrap_or_else(|_| {
        Err(ComponentError::Invalid("the compiler panicked; the component is at fault".into()))
    })
}

/// Maps compiled code into this process.
#[expect(unsafe_code, reason = "machine code is loaded; see SAFETY")]
fn map(engine: &WasmEngine, path: &Path) -> wasmtime::Result<Component> {
    // SAFETY: the file is what this engine's compiler wrote, and nobody changed it. It lies in a folder that only this user
    // may enter, is this user's with mode 0600, and has the size and the time of change that it had when its hash was
    // taken, or that hash still; it is written whole under another name, and never again after it has this one. Whoever can
    // change it is this user, who needs no such detour to run code. wasmtime itself refuses another version's.
    unsafe { Component::deserialize_file(&engine.inner, path) }
}

/// The bytes of a component; whatever else lies there is an error that says what it is.
///
/// # Errors
/// If it can't be read, is too large, or is no component.
pub fn read_component(file: &Path) -> Result<Vec<u8>, ComponentError> {
    let path = file.display().to_string();
    let unreadable = |source| ComponentError::Unreadable { path: path.clone(), source };
    let mut bytes = Vec::new();
    let opened = File::open(file).map_err(unreadable)?;
    opened.take(MAX_COMPONENT_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    let size = bytes.len() as u64;
    if MAX_COMPONENT_BYTES < size {
        return Err(ComponentError::TooLarge { path, bytes: size, limit: MAX_COMPONENT_BYTES });
    }
    match bytes.get(..8) {
        Some([0, b'a', b's', b'm', _, _, 1, 0]) => Ok(bytes),
        Some([0, b'a', b's', b'm', _, _, 0, 0]) => Err(ComponentError::CoreModule { path }),
        _ => Err(ComponentError::NotWasm { path }),
    }
}

/// SHA-256 in hex.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|it| format!("{it:02x}")).collect()
}

fn read_stamp(path: &Path) -> Option<Stamp> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}
