//! The installed plugins that run: started from the folder, and replaced when their files change.

use std::{
    collections::BTreeMap,
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::{Arc, PoisonError, RwLock},
};

use tokio::sync::{Mutex, OnceCell};

use crate::wasm::{
    cache::Cache,
    engine::WasmEngine,
    error::ComponentError,
    folder::{Folder, FolderError, Installed},
    guest::Limits,
    plugin::{ReplaceError, WasmPlugin},
    running::Program,
    services::Services,
};

/// Everything that is installed, by name.
pub struct LivePlugins {
    pub(super) folder: Folder,
    cache: Cache,
    services: Arc<dyn Services>,
    /// None is made as long as nothing is installed.
    engine: OnceCell<WasmEngine>,
    /// One look at the folder at a time.
    looking: Mutex<()>,
    live: RwLock<BTreeMap<String, Live>>,
}

/// One plugin of the folder.
#[derive(Clone)]
pub struct Live {
    /// What runs; none where it never started.
    pub running: Option<(Arc<WasmPlugin>, Installed)>,
    /// Why what lies in the folder does not run.
    pub error: Option<Arc<LiveError>>,
    seen: Option<Seen>,
}

/// What became of a plugin.
#[derive(Clone, Debug)]
pub enum Change {
    Started(String),
    Replaced(String),
    /// The version before goes on, where there is one.
    Failed(String, Arc<LiveError>),
    Removed(String),
}

/// Why a plugin of the folder does not run.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Component(#[from] ComponentError),
    #[error(transparent)]
    Replace(#[from] ReplaceError),
}

/// What the folder of a plugin was when it was looked at: of each file inode, size and time of change.
type Seen = Vec<(String, u64, u64, i64, i64)>;

impl LivePlugins {
    pub fn new(folder: Folder, cache: Cache, services: Arc<dyn Services>) -> Self {
        Self {
            folder,
            cache,
            services,
            engine: OnceCell::new(),
            looking: Mutex::new(()),
            live: RwLock::default(),
        }
    }

    /// The plugins by name, as they are at this moment.
    pub fn all(&self) -> BTreeMap<String, Live> {
        self.live.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether an engine was made: it is not before a plugin is installed.
    pub fn has_engine(&self) -> bool {
        self.engine.initialized()
    }

    /// Looks at the folder: starts what is new, replaces what has changed, lets go what was removed.
    ///
    /// # Errors
    /// If the folder can't be read. What is wrong with one plugin is a [`Change::Failed`].
    pub async fn look(&self) -> Result<Vec<Change>, FolderError> {
        let _one = self.looking.lock().await;
        let names = self.folder.names()?;
        let mut changes = Vec::new();
        for name in &names {
            let seen = seen(&self.folder.path().join(name));
            let known = self.all().remove(name);
            if known.as_ref().is_some_and(|it| it.seen == seen && seen.is_some()) {
                continue;
            }
            changes.push(self.take_up(name, known, seen).await);
        }
        for name in self.all().into_keys().filter(|it| !names.contains(it)) {
            self.write(|it| drop(it.remove(&name)));
            changes.push(Change::Removed(name));
        }
        Ok(changes)
    }

    /// Reads a plugin's files again, whether they have changed or not.
    ///
    /// # Errors
    /// If it is not there, or the new version does not take over; the old one stays.
    pub async fn reload(&self, name: &str) -> Result<(), Arc<LiveError>> {
        let _one = self.looking.lock().await;
        let seen = seen(&self.folder.path().join(name));
        if seen.is_none() {
            return Err(Arc::new(FolderError::NoPlugin(name.to_owned()).into()));
        }
        match self.take_up(name, self.all().remove(name), seen).await {
            Change::Failed(_, why) => Err(why),
            _ => Ok(()),
        }
    }

    async fn take_up(&self, name: &str, known: Option<Live>, seen: Option<Seen>) -> Change {
        let before = known.and_then(|it| it.running);
        let done = self.load(name, before.as_ref().map(|it| &*it.0)).await;
        let (live, change) = match done {
            Ok((fresh, installed)) => {
                let change = match &before {
                    Some(_) => Change::Replaced(name.to_owned()),
                    None => Change::Started(name.to_owned()),
                };
                // One that was replaced is the same to those who hold it.
                let plugin = fresh.or(before.map(|it| it.0));
                let running = plugin.map(|it| (it, installed));
                (Live { running, error: None, seen }, change)
            }
            Err(why) => {
                let why = Arc::new(why);
                let live = Live { running: before, error: Some(why.clone()), seen };
                (live, Change::Failed(name.to_owned(), why))
            }
        };
        self.write(|it| drop(it.insert(name.to_owned(), live)));
        change
    }

    /// Compiles and starts what lies in the folder, or has `old` replaced by it.
    async fn load(
        &self,
        name: &str,
        old: Option<&WasmPlugin>,
    ) -> Result<(Option<Arc<WasmPlugin>>, Installed), LiveError> {
        let installed = self.folder.open(name)?;
        let make =
            async || WasmEngine::new().map_err(|it| ComponentError::Engine(format!("{it:#}")));
        let engine = self.engine.get_or_try_init(make).await?;
        let loaded = self.cache.load_aside(engine, &installed.component).await?;
        let program = Program::new(
            engine,
            &loaded.component,
            &installed.manifest,
            installed.granted(),
            Limits::default(),
        )?;
        let fresh = match old {
            Some(old) => {
                old.replace(program).await?;
                None
            }
            None => Some(Arc::new(WasmPlugin::start(program, self.services.clone()).await?)),
        };
        Ok((fresh, installed))
    }

    fn write(&self, change: impl FnOnce(&mut BTreeMap<String, Live>)) {
        change(&mut self.live.write().unwrap_or_else(PoisonError::into_inner));
    }
}

/// `None` where the folder is gone.
fn seen(folder: &Path) -> Option<Seen> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).ok()? {
        let entry = entry.ok()?;
        let facts = entry.metadata().ok()?;
        let name = entry.file_name().to_string_lossy().into_owned();
        all.push((name, facts.ino(), facts.len(), facts.ctime(), facts.ctime_nsec()));
    }
    all.sort();
    Some(all)
}
