//! One lane's worker: takes claims, keeps its agent alive between them, and ends it when nobody wants it.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt as _;
use ngb_core::id::{GroupId, LaneId};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::{
    accounts,
    agent::Agent,
    dispatch::{Assigned, Order},
    handle::Gateway,
    turn,
};

/// Everything that a worker owns.
pub(crate) struct Worker {
    pub(crate) gateway: Gateway,
    pub(crate) lane: LaneId,
    pub(crate) group: GroupId,
    pub(crate) assigned: mpsc::UnboundedReceiver<Assigned>,
    pub(crate) orders: mpsc::UnboundedReceiver<Order>,
    /// Fires when the agent's memory is wanted by others, or its group is gone.
    pub(crate) end: CancellationToken,
    pub(crate) drain: CancellationToken,
}

impl Worker {
    /// Works until it was idle for the group's idle time, somebody wants its memory, or the gateway drains.
    pub(crate) async fn work(mut self) {
        let mut agent: Option<Agent> = None;
        while let Some(assigned) = self.next(&mut agent).await {
            let Assigned { claim, work, permit } = assigned;
            let run = turn::Run { claim, work };
            let run = turn::run(&self.gateway, &mut agent, run, &mut self.orders);
            let more = match AssertUnwindSafe(run).catch_unwind().await {
                Ok((over, more)) => {
                    if let turn::Over::Useless = over {
                        agent = None;
                    }
                    more
                }
                Err(panic) => {
                    let reason =
                        format!("the gateway's worker panicked: {}", accounts::words_of(&*panic));
                    error!("run {}: {reason}", claim.run);
                    turn::broke(&self.gateway, agent.take(), claim, reason).await
                }
            };
            let memory = agent.as_ref().map(|it| Arc::clone(&it.memory));
            self.gateway.0.dispatcher.live(self.lane, memory);
            self.gateway.0.dispatcher.over(self.lane, permit, more);
        }
        if let Some(agent) = agent {
            agent.end(self.gateway.clock()).await;
        }
        tracing::debug!("the agent of lane {} (group {}) has ended", self.lane, self.group);
        self.gateway.0.dispatcher.gone(self.lane, &self.end);
    }

    /// The next claim; none when it is time to end. A claim that is already here is never dropped.
    async fn next(&mut self, agent: &mut Option<Agent>) -> Option<Assigned> {
        let clock = self.gateway.clock().clone();
        let idle = self.gateway.0.limits.idle;
        let ended = async {
            match agent {
                // A waiting agent has nothing to say; whatever comes means that it is of no use any more.
                Some(it) => drop(it.next().await),
                None => std::future::pending().await,
            }
        };
        let assigned = tokio::select! {
            biased;
            assigned = self.assigned.recv() => return assigned,
            () = self.end.cancelled() => None,
            () = self.drain.cancelled() => None,
            () = clock.sleep(idle) => None,
            () = ended => {
                *agent = None;
                None
            }
        };
        // From here on nothing can be assigned; what was, in between, is done first.
        self.assigned.close();
        assigned.or(self.assigned.recv().await)
    }
}
