//! What is forgotten, and when: rows by kind, and the files that no row needs any more.

use std::{
    collections::HashSet, ffi::OsString, io, os::unix::fs::MetadataExt as _, path::PathBuf,
    time::Duration,
};

use ngb_core::{clock::Timestamp, tasks::blocking};
use ngb_store::{Cutoffs, Pruned};
use serde::Serialize;

use crate::{
    handle::{Gateway, HandleError},
    homes::Homes,
};

/// How long each kind is kept; none keeps it for ever.
#[derive(Clone, Copy, Debug, Default)]
pub struct Retention {
    /// Messages and what became of them.
    pub messages: Option<Duration>,
    pub dead_letters: Option<Duration>,
    pub usage: Option<Duration>,
    pub audit: Option<Duration>,
}

impl Retention {
    pub(crate) fn cutoffs(&self, now: Timestamp) -> Cutoffs {
        let before = |keep: Option<Duration>| keep.map(|it| now - it);
        Cutoffs {
            messages: before(self.messages),
            dead_letters: before(self.dead_letters),
            usage: before(self.usage),
            audit: before(self.audit),
        }
    }
}

/// Copies of files that were sent are of no use to anybody; they stay so long for whoever looks into a failure.
const KEEP_OUTGOING: Duration = Duration::from_secs(24 * 60 * 60);

/// A file is written before the row that needs it.
const YOUNGEST_FILE: Duration = Duration::from_secs(60 * 60);

/// What was forgotten, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Forgotten {
    #[serde(flatten)]
    pub rows: Pruned,
    /// Copies of files that were sent.
    pub outgoing_files: u64,
    /// Texts that were too long for their messages.
    pub long_texts: u64,
}

impl Gateway {
    /// Forgets what is old by `cutoffs` and not in use; with `dry_run` only counts. Copies of sent files go after a day in
    /// any case.
    pub async fn prune(&self, cutoffs: Cutoffs, dry_run: bool) -> Result<Forgotten, HandleError> {
        let shared = &self.0;
        let now = shared.clock.now();
        let rows = shared.store.prune(cutoffs, dry_run).await?;
        let unsent = shared.store.unsent_files().await?;
        let keep = unsent.iter().filter_map(|it| Some(it.file_name()?.to_owned())).collect();
        let old = Old { before: now - KEEP_OUTGOING, keep, dry_run };
        let outgoing_files = shared.homes.forget_outgoing(old).await?;
        let long_texts = match cutoffs.messages {
            Some(before) => {
                let before = before.min(now - YOUNGEST_FILE);
                let keep = shared.store.long_texts(before).await?;
                let keep = keep.into_iter().map(Into::into).collect();
                shared.homes.forget_long(Old { before, keep, dry_run }).await?
            }
            None => 0,
        };
        Ok(Forgotten { rows, outgoing_files, long_texts })
    }
}

/// Which files of a folder go.
struct Old {
    /// Those that were last written before this, ...
    before: Timestamp,
    /// ... but for these.
    keep: HashSet<OsString>,
    dry_run: bool,
}

impl Homes {
    async fn forget_outgoing(&self, old: Old) -> io::Result<u64> {
        forget(self.outgoing(), old).await
    }

    /// A text that comes again is written again, so none is older than the newest message that needs it.
    async fn forget_long(&self, old: Old) -> io::Result<u64> {
        forget(self.long_texts(), old).await
    }
}

/// Removes old files of a flat folder of ours; how many.
async fn forget(dir: PathBuf, old: Old) -> io::Result<u64> {
    blocking("forget files", move || {
        let mut count = 0;
        for entry in std::fs::read_dir(&dir)? {
            let entry = entry?;
            let meta = entry.metadata()?;
            let written = Timestamp(meta.mtime().saturating_mul(1_000));
            if !meta.is_file() || old.before <= written || old.keep.contains(&entry.file_name()) {
                continue;
            }
            if !old.dry_run {
                std::fs::remove_file(entry.path())?;
            }
            count += 1;
        }
        Ok(count)
    })
    .await
}
