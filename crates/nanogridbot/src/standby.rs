//! One gateway at a time on a database that several could reach: the others stand by and take over when it is gone.

use std::time::Duration;

use ngb_core::{
    clock::{Clock, Timestamp},
    tasks::Crew,
};
use ngb_store::{Lease, Store};
use thiserror::Error;
use tracing::{error, info, warn};

use crate::make::Purpose;

/// How long the others believe in a gateway that they don't hear of. A death costs this long.
const LEASE: Duration = Duration::from_secs(15);

/// How often the lease is renewed, and how often one who stands by looks.
const RENEW_EVERY: Duration = Duration::from_secs(3);

/// A gateway that could not renew its lease for so long ends itself, before anybody else begins.
const GIVE_UP_AFTER: Duration = Duration::from_secs(10);

/// Somebody else works on the database.
#[derive(Debug, Error)]
#[error("gateway `{node}` works on this database")]
pub(crate) struct InUse {
    node: String,
}

/// Renews the lease as long as it lives; none where the home's own lock is enough.
pub(crate) struct Keeper {
    store: Option<Store>,
    _crew: Crew,
}

/// Waits until no other gateway works on the database, and keeps it so. A command does not wait.
///
/// # Errors
///
/// When the database can't be reached; for a command also when another gateway is at work.
pub(crate) async fn take(store: &Store, clock: &Clock, purpose: Purpose) -> anyhow::Result<Keeper> {
    let mut crew = Crew::default();
    if store.is_sqlite() {
        return Ok(Keeper { store: None, _crew: crew });
    }
    let mut told = false;
    loop {
        let asked_at = clock.now();
        match store.hold(LEASE).await? {
            Lease::Held => {
                if told {
                    info!("the other gateway is gone; this one takes over");
                }
                crew.spawn("lease", keep(store.clone(), clock.clone(), asked_at));
                return Ok(Keeper { store: Some(store.clone()), _crew: crew });
            }
            Lease::Other { node, .. } if purpose != Purpose::Serve => {
                return Err(InUse { node }.into());
            }
            Lease::Other { node, left } => {
                if !told {
                    warn!(
                        "gateway `{node}` works on this database; this one stands by until it is gone for {LEASE:?}"
                    );
                    told = true;
                }
                clock.sleep(left.min(RENEW_EVERY)).await;
            }
        }
    }
}

impl Keeper {
    /// Lets another gateway begin at once; this one must have ended its work.
    pub(crate) async fn give_back(self) {
        let Some(store) = &self.store else { return };
        if let Err(err) = store.release().await {
            warn!("another gateway has to wait {LEASE:?}: {:#}", anyhow::Error::from(err));
        }
    }
}

/// Renews until it is dropped. A process that may no longer write ends at once: whatever it still does, another does too.
async fn keep(store: Store, clock: Clock, mut held_at: Timestamp) {
    loop {
        clock.sleep(RENEW_EVERY).await;
        let asked_at = clock.now();
        let left = GIVE_UP_AFTER.saturating_sub(asked_at.since(held_at));
        match clock.timeout(left, store.hold(LEASE)).await {
            Ok(Ok(Lease::Held)) => held_at = asked_at,
            Ok(Ok(Lease::Other { node, .. })) => {
                error!("gateway `{node}` has taken over; this one ends");
                std::process::exit(1);
            }
            Ok(Err(ngb_store::StoreError::Closed)) => return,
            Ok(Err(err)) => warn!("could not renew the lease: {:#}", anyhow::Error::from(err)),
            Err(late) => warn!("could not renew the lease: {late}"),
        }
        if GIVE_UP_AFTER <= clock.now().since(held_at) {
            error!(
                "the database was away for {GIVE_UP_AFTER:?}, and another gateway may begin; this one ends"
            );
            std::process::exit(1);
        }
    }
}
