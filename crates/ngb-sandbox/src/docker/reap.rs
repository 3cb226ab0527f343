//! Ends what an earlier gateway left: normally nothing, since containers end with their gateway.

use std::{
    fs,
    sync::{Arc, PoisonError},
};

use bollard::query_parameters::ListContainersOptions;

use super::{MEETING_PREFIX, Shared, create::INSTALL_LABEL, process::Container};
use crate::SandboxError;

/// Removes containers of this installation, and of no other, that this process did not start; returns how many.
pub(super) async fn reap(shared: &Arc<Shared>) -> Result<usize, SandboxError> {
    let engine = shared.engine().await?;
    let label = format!("{INSTALL_LABEL}={}", shared.install_id(&engine)?);
    let options = ListContainersOptions {
        all: true,
        filters: Some([("label".to_owned(), vec![label])].into()),
        ..ListContainersOptions::default()
    };
    let found = engine.client.list_containers(Some(options)).await;
    let found = found.map_err(|err| shared.error("look for leftovers", err))?;
    let live = shared.live.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut count = 0;
    for id in found.into_iter().filter_map(|it| it.id).filter(|it| !live.contains(it)) {
        Container::found(shared, &engine, id).remove().await;
        count += 1;
    }
    remove_old_meetings(shared);
    Ok(count)
}

/// Folders of containers that another process met.
fn remove_old_meetings(shared: &Shared) {
    for entry in fs::read_dir(shared.config.run_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(MEETING_PREFIX)
            && !name.starts_with(&shared.own_prefix)
            && let Err(err) = fs::remove_dir_all(entry.path())
        {
            tracing::warn!("can't remove `{}`: {err}", entry.path().display());
        }
    }
}
