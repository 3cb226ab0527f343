//! Looking for work: claims what is due, until the drain.

use std::{collections::HashSet, time::Duration};

use ngb_core::{clock::Timestamp, failpoint::reach, id::LaneId};
use ngb_store::Disk;
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::Suspects;
use crate::handle::Gateway;

/// Claims what is due and hands it out, until the drain; then waits for the workers.
///
/// It wakes when a run ends that stood in the way of others, when something is put back, and when the clock reaches the
/// next due time.
pub(crate) async fn run(gateway: Gateway, drain: CancellationToken) -> anyhow::Result<()> {
    let shared = &gateway.0;
    let dispatcher = &shared.dispatcher;
    let mut disk = shared.store.disk();
    loop {
        // Interest is registered before looking, so that nothing is missed in between.
        let woken = dispatcher.wake.notified();
        tokio::pin!(woken);
        woken.as_mut().enable();
        // Before the claim: what falls due while it is made is the timer's.
        let now = shared.clock.now();
        let due = match look(&gateway, now).await {
            Ok(due) => due,
            Err(err) => {
                error!("could not look for work: {:#}", anyhow::Error::from(err));
                Some(shared.clock.now() + RETRY_CLAIM)
            }
        };
        let timer = async {
            match due {
                Some(at) => shared.clock.sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = drain.cancelled() => break,
            () = woken => (),
            () = shared.outboxes.due_changed() => (),
            () = crate::disk::changed(&mut disk) => (),
            () = timer => (),
        }
    }
    dispatcher.finish().await;
    Ok(())
}

/// How long to wait when the database gave an error.
const RETRY_CLAIM: Duration = Duration::from_secs(1);

/// Hands out what is due; returns when the next is, as seen from `now`.
async fn look(
    gateway: &Gateway,
    now: Timestamp,
) -> Result<Option<Timestamp>, ngb_store::StoreError> {
    claim(gateway).await?;
    gateway.0.outboxes.take_due().await?;
    gateway.0.store.next_due(now).await
}

async fn claim(gateway: &Gateway) -> Result<(), ngb_store::StoreError> {
    let shared = &gateway.0;
    let dispatcher = &shared.dispatcher;
    if matches!(*shared.store.disk().borrow(), Disk::Full { .. }) {
        // What is left of the disk is for messages. Until there is room, none of those that come is claimed either.
        dispatcher.state().suspects = Suspects::Any;
        return Ok(());
    }
    loop {
        let permit = || dispatcher.permits.clone().try_acquire_owned().ok();
        let permits: Vec<_> = std::iter::from_fn(permit).collect();
        if permits.is_empty() {
            // Work may be left; the next run that ends looks again.
            dispatcher.state().suspects = Suspects::Any;
            return Ok(());
        }
        let now = shared.clock.now();
        let wanted = permits.len();
        let waits = dispatcher.state().waits;
        reach("before-claim");
        let opened = shared.store.claim(wanted, now, dispatcher.lease_until(now)).await?;
        let found = opened.claims.len();
        if 0 < found {
            reach("after-claim");
        }
        dispatcher.assign(gateway, opened, permits);
        if found < wanted {
            let mut state = dispatcher.state();
            if state.waits != waits {
                // It may have come after the store looked, and found no permit since they were all here.
                continue;
            }
            let running: HashSet<LaneId> = state
                .lanes
                .iter()
                .filter(|(_, it)| it.running.is_some())
                .map(|(id, _)| *id)
                .collect();
            // What is left waits for its lane or for a slot of its group.
            state.suspects =
                if running.is_empty() { Suspects::None } else { Suspects::Lanes(running) };
            return Ok(());
        }
    }
}
