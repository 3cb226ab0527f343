//! What has to be done from time to time: leases renewed, old rows forgotten.

use std::time::Duration;

use ngb_core::clock::Timestamp;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    dispatch::LEASE,
    handle::Gateway,
    retention::{Forgotten, Retention},
};

/// How often old rows are looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(60 * 60);

/// Renews the leases of running work and forgets what is old, until the drain.
pub(crate) async fn run(
    gateway: Gateway,
    retention: Retention,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let clock = gateway.clock().clone();
    let mut prune_at = clock.now() + PRUNE_EVERY;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = clock.sleep(LEASE / 3) => (),
        }
        let now = clock.now();
        renew(&gateway, now).await;
        if prune_at <= now {
            prune_at = now + PRUNE_EVERY;
            if let Err(err) = gateway.store().forget_held(now).await {
                error!("could not give up what is held: {:#}", anyhow::Error::from(err));
            }
            match gateway.prune(retention.cutoffs(now), false).await {
                Ok(gone) if gone == Forgotten::default() => (),
                Ok(gone) => info!("forgot what is older than the retention: {gone:?}"),
                Err(err) => error!("could not prune: {:#}", anyhow::Error::from(err)),
            }
        }
    }
}

async fn renew(gateway: &Gateway, now: Timestamp) {
    let claims = gateway.0.dispatcher.claims();
    if claims.is_empty() {
        return;
    }
    match gateway.store().renew(&claims, now + LEASE).await {
        Ok(lost) => {
            for claim in lost {
                warn!("run {} lost its lease", claim.run);
                gateway.0.dispatcher.interrupt(claim.lane);
            }
        }
        Err(err) => {
            error!("could not renew {} leases: {:#}", claims.len(), anyhow::Error::from(err))
        }
    }
}
