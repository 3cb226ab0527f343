//! Installed plugins in a gateway: taken up before the first message, and replaced while it runs as their folder changes.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use ngb_core::{clock::Clock, text::with_causes};
use ngb_gateway::{
    Gateway,
    desk::Desk,
    plugins::{Keeper, KnownPlugin},
};
use ngb_plugins::{
    chain::Chain,
    wasm::{Broken, Cache, Change, Folder, FolderError, LivePlugins},
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{chain::Wanted, home::Home};

/// What is installed, and what is wanted of it.
pub(crate) struct Installed {
    live: LivePlugins,
    folder: Folder,
    wanted: Wanted,
}

impl Installed {
    /// Starts what is installed. One that can't be used is told and left out, or holds messages where it is required.
    /// `changed` are the settings that were changed while an earlier gateway ran.
    ///
    /// # Errors
    ///
    /// When the folder can't be read, or the settings are wrong.
    pub(crate) async fn take_up(
        home: &Home,
        wanted: Wanted,
        changed: BTreeMap<String, Value>,
        desk: Arc<Desk>,
    ) -> anyhow::Result<Arc<Self>> {
        let folder = Folder::new(home.plugins());
        let live = LivePlugins::new(folder.clone(), Cache::new(home.plugin_cache()), desk);
        for change in live.look().await? {
            tell(&change);
        }
        wanted.check_file(&folder.names()?, &live.seats())?;
        wanted.take(changed);
        Ok(Arc::new(Self { live, folder, wanted }))
    }

    /// The chain as the folder is at this moment, and why something of it can't be used.
    pub(crate) fn chain_now(&self) -> (Chain, BTreeMap<String, String>) {
        let mut goes_on = BTreeMap::new();
        let mut broken = Vec::new();
        for (name, live) in self.live.all() {
            let Some(why) = live.error.as_deref().map(|it| with_causes(it)) else { continue };
            if live.running.is_none() {
                let required = self.is_required(&name);
                broken.push(Broken { name, why, required });
            } else {
                goes_on.insert(name, why);
            }
        }
        let (chain, mut errors) = self.wanted.chain(&self.live.seats(), broken);
        errors.extend(goes_on);
        (chain, errors)
    }

    /// Whether messages must not pass without it. What was installed and can't be read any more may have said so.
    fn is_required(&self, name: &str) -> bool {
        match self.folder.open(name) {
            Ok(it) => it.manifest.required,
            Err(FolderError::NotInstalled(_) | FolderError::NoPlugin(_)) => false,
            Err(_) => true,
        }
    }

    /// Keeps the gateway's chain as the folder is, until `drain` fires.
    pub(crate) async fn keep(
        self: Arc<Self>,
        gateway: Gateway,
        clock: Clock,
        drain: CancellationToken,
    ) -> anyhow::Result<()> {
        let changed = |change: &Change| {
            tell(change);
            if let Change::Started(name) | Change::Replaced(name) | Change::Removed(name) = change {
                self.wanted.begin_anew(name);
            }
            gateway.renew_plugins();
        };
        // Without it everything works but what is installed from now on.
        if let Err(err) = self.live.watch(&clock, drain, changed).await {
            let why = with_causes(&err);
            warn!("plugins that are installed from now on count from the next start: {why}");
        }
        Ok(())
    }
}

#[async_trait]
impl Keeper for Installed {
    fn known(&self) -> Vec<KnownPlugin> {
        self.wanted.known(&self.live.seats())
    }

    fn check(&self, name: &str, settings: &Value) -> Result<(), String> {
        self.wanted.check(name, settings, &self.live.seats())
    }

    fn take(&self, changed: BTreeMap<String, Value>) {
        self.wanted.take(changed);
    }

    fn chain(&self) -> (Chain, BTreeMap<String, String>) {
        self.chain_now()
    }

    async fn reload(&self, name: &str) -> Result<(), String> {
        self.live.reload(name).await.map_err(|err| with_causes(&*err))?;
        info!("plugin `{name}` was read anew");
        self.wanted.begin_anew(name);
        Ok(())
    }
}

fn tell(change: &Change) {
    match change {
        Change::Started(name) => info!("plugin `{name}` is asked from now on"),
        Change::Replaced(name) => info!("plugin `{name}` was replaced"),
        Change::Removed(name) => info!("plugin `{name}` was removed"),
        Change::Failed(name, why) => {
            error!("plugin `{name}` can't be used: {}", with_causes(&**why))
        }
    }
}
