//! Backups that the gateway makes by itself.

use std::{io, path::PathBuf, time::Duration};

use anyhow::Context as _;
use ngb_core::{
    clock::{Clock, Timestamp},
    secret::Secret,
};
use ngb_store::{Backups, Store};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::command::make;
use crate::{
    home::Home,
    settings::{Environment, Settings, SettingsError},
};

/// How soon one that failed is tried again, where the next is not due earlier.
const AGAIN: Duration = Duration::from_secs(10 * 60);

/// The shortest time between two.
const SHORTEST: Duration = Duration::from_secs(60);

/// What the names of these begin with: only such are removed again.
const NAMED: &str = "auto-";

/// `[backup]`, read.
pub(crate) struct Schedule {
    home: Home,
    settings: Settings,
    dir: PathBuf,
    every: Option<Duration>,
    seal: Option<Secret>,
}

impl Schedule {
    /// # Errors
    ///
    /// When the settings make no sense.
    pub(crate) fn read(
        home: &Home,
        settings: &Settings,
        env: &Environment,
    ) -> Result<Self, SettingsError> {
        let bad = |from: &str, why: &str| SettingsError::BadValue {
            from: from.to_owned(),
            why: why.to_owned(),
        };
        let it = &settings.backup;
        if it.every.is_some_and(|it| it < SHORTEST) {
            return Err(bad("backup.every", "it is shorter than `1m`"));
        }
        if it.keep == 0 {
            return Err(bad("backup.keep", "at least one is kept"));
        }
        let seal = it.passphrase.as_ref().map(|it| it.resolve("backup.passphrase", env));
        Ok(Self {
            home: home.clone(),
            dir: it.dir.clone().unwrap_or_else(|| home.backups()),
            every: it.every,
            seal: seal.transpose()?,
            settings: settings.clone(),
        })
    }

    /// Makes them when they are due, until `drain`.
    pub(crate) async fn run(
        self,
        store: Store,
        clock: Clock,
        drain: CancellationToken,
    ) -> anyhow::Result<()> {
        let Some(every) = self.every else {
            if store.backups().await?.is_some() {
                store.note_backups(None).await?;
            }
            return Ok(());
        };
        let every_ms = i64::try_from(every.as_millis()).unwrap_or(i64::MAX);
        let fresh = || Backups { every_ms, since: clock.now(), made_at: None, failed: None };
        let mut state = Backups { every_ms, ..store.backups().await?.unwrap_or_else(fresh) };
        store.note_backups(Some(&state)).await?;
        loop {
            let again = state.failed.as_ref().map(|(at, _)| *at + AGAIN.min(every));
            let due = state.due_at().max(again.unwrap_or(Timestamp(0)));
            if drain.run_until_cancelled(clock.sleep_until(due)).await.is_none() {
                return Ok(());
            }
            let now = clock.now();
            // A stop does not wait: what is half done has no name.
            let Some(done) = drain.run_until_cancelled(self.once(now)).await else {
                return Ok(());
            };
            match done {
                Ok(file) => {
                    info!("backed up to `{}`", file.display());
                    (state.made_at, state.failed) = (Some(now), None);
                }
                Err(err) => {
                    warn!("the backup failed: {err:#}");
                    state.failed = Some((now, format!("{err:#}")));
                }
            }
            store.note_backups(Some(&state)).await?;
        }
    }

    async fn once(&self, now: Timestamp) -> anyhow::Result<PathBuf> {
        let failed = || format!("could not use `{}`", self.dir.display());
        std::fs::create_dir_all(&self.dir).with_context(failed)?;
        let when = now.to_string().replace([':', '.'], "-");
        let file = self.dir.join(format!("{NAMED}{when}.backup"));
        let (end, _) =
            make(&self.home, &self.settings, &file, now, self.seal.clone(), false).await?;
        for it in &end.unread {
            warn!("left out of the backup, since it could not be read: {it}");
        }
        self.drop_old().with_context(failed)?;
        Ok(file)
    }

    /// Removes all but the newest.
    fn drop_old(&self) -> io::Result<()> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(NAMED) && name.ends_with(".backup") {
                all.push(path);
            }
        }
        // Their names are times.
        all.sort();
        let many = all.len().saturating_sub(self.settings.backup.keep);
        all.iter().take(many).try_for_each(std::fs::remove_file)
    }
}
