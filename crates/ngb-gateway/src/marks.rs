//! Up to where what people wrote on an account is stored, for platforms that keep a history.

use std::time::Duration;

use ngb_channels::{Mark, Marks, NotAccepted};
use ngb_core::{address::Account, clock::Clock};
use ngb_store::Store;
use tracing::warn;

/// How long nobody wrote in a place before it is not looked at any more when something may have been missed.
const LIVELY: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Most places of an account that are looked at then, the latest first.
const MOST: u32 = 200;

/// Reads the marks of an account whenever its adapter asks.
pub(crate) fn of(store: &Store, clock: &Clock, account: &Account) -> Marks {
    let (store, clock, account) = (store.clone(), clock.clone(), account.clone());
    Marks::new(move || {
        let (store, since, account) = (store.clone(), clock.now() - LIVELY, account.clone());
        async move {
            let found = store.heard(&account, since, MOST).await.map_err(|err| {
                let why = anyhow::Error::from(err);
                warn!(%account, "could not read what was heard last: {why:#}");
                NotAccepted::NotStored
            })?;
            Ok(found.into_iter().map(|(place, sent_at)| Mark { place, sent_at }).collect())
        }
    })
}
