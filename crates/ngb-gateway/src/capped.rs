//! A day's cap that is used up: the conversation is told once, and not again for each message after it.

use ngb_core::{clock::Timestamp, frame::Failure, group::Limits, id::LaneId, notice::Notice};
use tracing::warn;

use crate::{finish::Ended, handle::Shared};

/// What a conversation was told, or is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Telling {
    key: String,
    /// The day and the caps: with another day, or another cap, it is told anew.
    value: String,
}

/// What is to be told once, where a run ended for a cap of its group.
pub(crate) fn telling(
    ended: &Ended,
    lane: LaneId,
    limits: &Limits,
    now: Timestamp,
) -> Option<Telling> {
    let Ended::Permanent {
        notice: Notice::DailyCap { .. } | Notice::Failed(Failure::OverBudget),
        ..
    } = ended
    else {
        return None;
    };
    let cap = |it: Option<u64>| it.map_or_else(|| "none".to_owned(), |it| it.to_string());
    let (runs, tokens) = (limits.runs_per_day, cap(limits.tokens_per_day));
    let cost = cap(limits.cost_per_day.map(|it| it.micros));
    Some(Telling {
        key: format!("capped:{lane}"),
        value: format!("{} {runs} {tokens} {cost}", now.day_start().0),
    })
}

/// Whether that was told already. It is told rather than kept back where that can't be read.
pub(crate) async fn is_told(shared: &Shared, telling: &Telling) -> bool {
    match shared.store.get(&telling.key).await {
        Ok(known) => known.as_deref() == Some(telling.value.as_str()),
        Err(err) => {
            warn!("could not read `{}`: {:#}", telling.key, anyhow::Error::from(err));
            false
        }
    }
}

/// Notes that it is told. Written after the notice itself: a crash between them repeats it, and loses nothing.
pub(crate) async fn note_told(shared: &Shared, telling: Telling) {
    if let Err(err) = shared.store.put(&telling.key, &telling.value).await {
        warn!("could not write `{}`: {:#}", telling.key, anyhow::Error::from(err));
    }
}
