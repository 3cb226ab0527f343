//! What a run has used, written down while it works: a gateway that is killed loses seconds of it, not all.

use ngb_broker::Door;
use ngb_core::price::Prices;
use ngb_store::{Claim, Usage};
use tracing::error;

use crate::{end::priced, handle::Gateway, turn::Turn};

/// What was used by requests that are over, which is told once, and by those that are under way.
pub(crate) fn of(door: &Door, prices: &Prices) -> (Vec<Usage>, Vec<Usage>) {
    // In this order: one that ends in between is left to the next count, not told twice.
    let over = priced(door.take_ended_usage(), prices);
    (over, priced(door.open_usage(), prices))
}

/// Counts what a run used whose end somebody else writes, or is not near: it was paid for all the same. What `open` says of
/// requests under way holds until the next count. Gives back what could not be counted.
pub(crate) async fn count(
    gateway: &Gateway,
    claim: &Claim,
    over: Vec<Usage>,
    open: Vec<Usage>,
) -> Vec<Usage> {
    let now = gateway.clock().now();
    match gateway.0.store.count_use(claim, now, over.clone(), open).await {
        Ok(()) => Vec::new(),
        Err(err) => {
            error!("could not count what run {} used: {:#}", claim.run, anyhow::Error::from(err));
            over
        }
    }
}

impl Turn<'_> {
    /// Counts what was used so far, where that has changed since it was counted last.
    pub(crate) async fn count(&mut self, over: Vec<Usage>, open: Vec<Usage>) {
        if over.is_empty() && open == self.open_use {
            return;
        }
        self.open_use.clone_from(&open);
        count(self.gateway, &self.claim, over, open).await;
    }
}
