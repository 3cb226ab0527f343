//! A container engine that is away: what is asked waits for it, and who is concerned is told.

use std::{sync::Arc, time::Duration};

use ngb_core::notice::Notice;
use ngb_sandbox::Sandbox;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::{
    disk,
    dispatch::Order,
    finish::{Ended, TELL_AFTER, lang},
    handle::{Gateway, SandboxState},
    turn::Turn,
};

/// How long a run looks away after the engine failed it: whoever keeps the engine has noticed by then.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);

/// A run whose agent was not started.
#[derive(Debug)]
pub(crate) enum NotStarted {
    Ended(Ended),
    /// The gateway stops while the engine is away: the run is left as it is, and the next start puts its jobs back.
    Left,
}

/// What a run does while it waits for its sandbox.
pub(crate) struct Waiting {
    state: watch::Receiver<SandboxState>,
    /// Whether the chat knows.
    told: bool,
}

impl Turn<'_> {
    pub(crate) fn waiting(&self) -> Waiting {
        Waiting { state: self.shared().about.sandbox.clone(), told: false }
    }

    /// The sandbox, once it is known that one can be had.
    pub(crate) async fn sandbox(
        &self,
        waiting: &mut Waiting,
        orders: &mut mpsc::UnboundedReceiver<Order>,
    ) -> Result<Arc<dyn Sandbox>, NotStarted> {
        let shared = self.shared();
        loop {
            let state = waiting.state.borrow_and_update().clone();
            let since = match state {
                SandboxState::Ready(_) => {
                    // None for a moment, where it was just lost.
                    match shared.sandbox.borrow().clone() {
                        Some(sandbox) => return Ok(sandbox),
                        None => None,
                    }
                }
                SandboxState::Refused { why, .. } => {
                    let reason = format!("no sandbox can be had here: {why}");
                    let notice = Notice::NoSandbox;
                    return Err(NotStarted::Ended(Ended::Permanent { reason, notice }));
                }
                SandboxState::Proving => None,
                SandboxState::Away { since, .. } => Some(since),
            };
            let tell = async {
                match since {
                    Some(since) if !waiting.told => {
                        shared.clock.sleep_until(since + TELL_AFTER).await;
                    }
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = waiting.state.changed() => {
                    if changed.is_err() {
                        let reason = "the gateway is stopping".to_owned();
                        return Err(NotStarted::Ended(Ended::Passing(reason)));
                    }
                }
                () = tell => {
                    waiting.told = true;
                    self.tell_of_the_engine().await;
                }
                () = shared.dispatcher.drained(), if since.is_some() => return Err(NotStarted::Left),
                Some(order) = orders.recv() => match order {
                    Order::Interrupt => return Err(NotStarted::Ended(Ended::Interrupted)),
                    // What else is for an agent comes too early.
                    Order::GiveWay | Order::Steer | Order::Answer(_) => {}
                },
            }
        }
    }

    async fn tell_of_the_engine(&self) {
        let lang = lang(&self.work);
        if let Err(err) = self.shared().say(self.place(), Notice::EngineAway, lang).await {
            error!("could not tell that the engine is away: {:#}", anyhow::Error::from(err));
        }
    }
}

/// Tells the operator when the engine is away, and when it is back, until `stop` fires.
pub(crate) async fn run(gateway: Gateway, stop: CancellationToken) -> anyhow::Result<()> {
    let mut state = gateway.about().sandbox.clone();
    let mut told = false;
    loop {
        let since = match &*state.borrow_and_update() {
            SandboxState::Away { since, .. } => Some(*since),
            SandboxState::Ready(_) | SandboxState::Proving | SandboxState::Refused { .. } => None,
        };
        match since {
            // An engine that is only restarted is back before anybody need know.
            Some(since) if !told => {
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    () = changed(&mut state) => continue,
                    () = gateway.clock().sleep_until(since + TELL_AFTER) => {}
                }
                told = true;
                disk::tell(&gateway, &Notice::EngineGone).await;
            }
            None if told => {
                told = false;
                disk::tell(&gateway, &Notice::EngineBack).await;
            }
            Some(_) | None => {}
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = changed(&mut state) => {}
        }
    }
}

/// Returns when it is another state.
async fn changed(state: &mut watch::Receiver<SandboxState>) {
    if state.changed().await.is_err() {
        // Nobody keeps an engine any more.
        std::future::pending().await
    }
}
