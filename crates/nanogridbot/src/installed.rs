//! Installed plugins in a gateway: taken up before the first message, and replaced while it runs as their folder changes.

use std::{collections::BTreeMap, sync::Arc};

use ngb_core::clock::Clock;
use ngb_gateway::{Gateway, desk::Desk};
use ngb_plugins::{
    chain::Chain,
    wasm::{Broken, Cache, Change, Folder, FolderError, LiveError, LivePlugins},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{chain::Wanted, home::Home, settings::SettingsError};

/// What is installed, and what the settings want of it.
pub(crate) struct Installed {
    live: LivePlugins,
    folder: Folder,
    wanted: Wanted,
}

impl Installed {
    /// Starts what is installed. One that can't be used is told and left out, or holds messages where it is required.
    ///
    /// # Errors
    ///
    /// When the folder can't be read, or the settings name a plugin that is not there.
    pub(crate) async fn take_up(
        home: &Home,
        wanted: Wanted,
        desk: Arc<Desk>,
    ) -> anyhow::Result<Self> {
        let folder = Folder::new(home.plugins());
        wanted.check_names(&folder.names()?)?;
        let live = LivePlugins::new(folder.clone(), Cache::new(home.plugin_cache()), desk);
        for change in live.look().await? {
            tell(&change);
        }
        Ok(Self { live, folder, wanted })
    }

    /// The chain as the folder is at this moment, and why something of it can't be used.
    ///
    /// # Errors
    ///
    /// When the settings of an installed plugin are wrong.
    pub(crate) fn chain(&self) -> Result<(Chain, BTreeMap<String, String>), SettingsError> {
        let mut errors = BTreeMap::new();
        let mut broken = Vec::new();
        for (name, live) in self.live.all() {
            let Some(why) = live.error.as_deref().map(words) else { continue };
            if live.running.is_none() {
                let required = self.is_required(&name);
                broken.push(Broken { name: name.clone(), why: why.clone(), required });
            }
            errors.insert(name, why);
        }
        Ok((self.wanted.chain(self.live.seats(), broken)?, errors))
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
        self,
        gateway: Gateway,
        clock: Clock,
        drain: CancellationToken,
    ) -> anyhow::Result<()> {
        let changed = |change: &Change| {
            tell(change);
            if let Change::Started(name) | Change::Replaced(name) | Change::Removed(name) = change {
                self.wanted.begin_anew(name);
            }
            match self.chain() {
                Ok((chain, errors)) => gateway.set_plugins(chain, errors),
                Err(err) => error!("the plugins stay as they are: {err}"),
            }
        };
        // Without it everything works but what is installed from now on.
        if let Err(err) = self.live.watch(&clock, drain, changed).await {
            let why = words_of(&err);
            warn!("plugins that are installed from now on count from the next start: {why}");
        }
        Ok(())
    }
}

fn tell(change: &Change) {
    match change {
        Change::Started(name) => info!("plugin `{name}` is asked from now on"),
        Change::Replaced(name) => info!("plugin `{name}` was replaced"),
        Change::Removed(name) => info!("plugin `{name}` was removed"),
        Change::Failed(name, why) => error!("plugin `{name}` can't be used: {}", words(why)),
    }
}

fn words(err: &LiveError) -> String {
    words_of(err)
}

/// An error with its causes.
fn words_of(err: &dyn std::error::Error) -> String {
    let mut text = err.to_string();
    let mut cause = err.source();
    while let Some(it) = cause {
        text = format!("{text}: {it}");
        cause = it.source();
    }
    text
}
