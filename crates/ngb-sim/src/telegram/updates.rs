//! `getUpdates`: long polling with offsets.

use std::{sync::Arc, time::Duration};

use serde_json::Value;

use super::{
    http::{Failure, Reply},
    params::Params,
    platform::{Platform, State},
};

/// The longest poll, in seconds, whatever the bot asks for.
const LONGEST_POLL_S: u64 = 50;

const WEBHOOK_SET: &str = "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first";
const OTHER_POLLER: &str = "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running";

pub(super) async fn get_updates(platform: &Platform, params: &Params) -> Result<Reply, Failure> {
    let limit = params.number("limit").unwrap_or(100).clamp(1, 100);
    let limit = usize::try_from(limit).unwrap_or(100);
    let timeout = u64::try_from(params.number("timeout").unwrap_or(0)).unwrap_or(0);
    let deadline = platform.clock.now() + Duration::from_secs(timeout.min(LONGEST_POLL_S));
    let mut changed = platform.changed.subscribe();
    let mine = {
        let mut state = platform.lock();
        state.poll += 1;
        state.first_poll_at.get_or_insert(platform.clock.now());
        if state.webhook.is_none() {
            if let Some(Value::Array(kinds)) = params.json("allowed_updates") {
                let kinds: Vec<String> =
                    kinds.iter().filter_map(|it| Some(it.as_str()?.to_owned())).collect();
                state.allowed = Some(kinds).filter(|it| !it.is_empty());
            }
            state.confirm(params.number("offset").unwrap_or(0));
        }
        state.poll
    };
    platform.touch();
    loop {
        changed.mark_unchanged();
        let now = platform.clock.now();
        let next = {
            let mut state = platform.lock();
            if state.webhook.is_some() {
                return Err(Failure::new(409, WEBHOOK_SET));
            }
            if state.poll != mine {
                return Err(Failure::new(409, OTHER_POLLER));
            }
            let next = state.release_late(now);
            let batch = state.take(limit);
            if !batch.is_empty() || deadline <= now {
                return Ok(Reply::Raw(joined(&batch)));
            }
            next.map_or(deadline, |it| it.min(deadline))
        };
        tokio::select! {
            changed = changed.changed() => if changed.is_err() { return Ok(Reply::Raw(joined(&[]))) },
            () = platform.clock.sleep_until(next) => (),
        }
    }
}

impl State {
    /// The next updates, which stay in the queue until they are confirmed.
    fn take(&mut self, limit: usize) -> Vec<Arc<str>> {
        let offset = self.offset;
        let due = self.queue.iter_mut().filter(|it| offset <= it.id || 0 < it.owed);
        due.take(limit)
            .map(|it| {
                it.owed = it.owed.saturating_sub(1);
                Arc::from(&*it.json)
            })
            .collect()
    }
}

/// Updates as a JSON list.
fn joined(updates: &[Arc<str>]) -> String {
    let mut list = String::with_capacity(2 + updates.iter().map(|it| it.len() + 1).sum::<usize>());
    list.push('[');
    for (at, update) in updates.iter().enumerate() {
        if 0 < at {
            list.push(',');
        }
        list += update;
    }
    list.push(']');
    list
}
