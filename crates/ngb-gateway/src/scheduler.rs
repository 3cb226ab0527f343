//! Fires what is due, and sleeps until something is.
//!
//! When a task fires is a row; this only looks when it is time. A look that finds what another has fired already changes
//! nothing, so it may die at any instant, and two gateways may look at once.

use std::time::Duration;

use ngb_core::{
    clock::Timestamp,
    message::Outbound,
    notice::{Lang, Notice},
};
use ngb_store::{NewOutbox, StoreError, TaskRow};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::handle::Gateway;

/// Tasks of one transaction. A thousand that are due in one second are fired in a few of them.
const BATCH: usize = 500;

/// How long to wait when the database gave an error.
const RETRY: Duration = Duration::from_secs(1);

/// Looks until the drain.
pub(crate) async fn run(gateway: Gateway, drain: CancellationToken) -> anyhow::Result<()> {
    let shared = &gateway.0;
    loop {
        // Interest is registered before looking, so that nothing is missed in between.
        let changed = shared.tasks_changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        let next = match look(&gateway).await {
            Ok(next) => next,
            Err(err) => {
                error!("could not look for due tasks: {:#}", anyhow::Error::from(err));
                Some(shared.clock.now() + RETRY)
            }
        };
        let timer = async {
            match next {
                Some(at) => shared.clock.sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = drain.cancelled() => return Ok(()),
            () = changed => (),
            () = timer => (),
        }
    }
}

/// Fires what is due; returns when the next is.
async fn look(gateway: &Gateway) -> Result<Option<Timestamp>, StoreError> {
    let shared = &gateway.0;
    loop {
        let fired = shared.store.fire_tasks(shared.clock.now(), BATCH).await?;
        for lane in &fired.replaced {
            shared.dispatcher.interrupt(*lane);
        }
        if 0 < fired.jobs {
            shared.dispatcher.wake();
        }
        for id in fired.paused {
            if let Some(task) = shared.store.task(id).await? {
                tell_paused(gateway, &task).await?;
            }
        }
        if !fired.more {
            return shared.store.next_task_at().await;
        }
    }
}

/// Tells the chat that a task which goes wrong each time is paused.
async fn tell_paused(gateway: &Gateway, row: &TaskRow) -> Result<(), StoreError> {
    warn!("task {} is paused: it failed too often", row.id);
    let text = Notice::TaskPaused { task: row.id }.say(Lang::of(&row.task.text), None);
    let item = Outbound::Text { text, reply_to: None, buttons: Vec::new() };
    let place = row.task.place.clone();
    let said = gateway
        .0
        .store
        .say(vec![NewOutbox { place, item, about: None, job: None, live: false }])
        .await?;
    gateway.0.outboxes.hand(said);
    Ok(())
}
