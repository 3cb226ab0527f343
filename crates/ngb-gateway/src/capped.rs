//! A group's caps of a day; and that one which is used up is told a conversation once, not again for each message after it.

use ngb_core::{
    clock::Timestamp, frame::Failure, group::Limits, id::LaneId, notice::Notice, price::Money,
};
use ngb_store::DayUse;
use tracing::warn;

use crate::{finish::Ended, handle::Shared};

/// A cap of a day, and what was used of it.
pub(crate) struct Cap {
    pub(crate) setting: &'static str,
    pub(crate) used: u64,
    pub(crate) limit: u64,
}

/// The caps that a group has.
pub(crate) fn caps(limits: &Limits, used: DayUse) -> impl Iterator<Item = Cap> {
    let all = [
        ("runs_per_day", used.runs, Some(limits.runs_per_day)),
        ("tokens_per_day", used.tokens, limits.tokens_per_day),
        (COST, used.cost_micros, limits.cost_per_day.map(|it| it.micros)),
    ];
    all.into_iter().filter_map(|(setting, used, limit)| Some(Cap { setting, used, limit: limit? }))
}

/// The cap whose numbers are money, in millionths.
const COST: &str = "cost_per_day";

impl Cap {
    pub(crate) fn is_used_up(&self) -> bool {
        self.limit <= self.used
    }

    pub(crate) fn is_money(&self) -> bool {
        self.setting == COST
    }

    /// The limit, for people.
    pub(crate) fn shown(&self) -> String {
        match self.is_money() {
            true => Money { micros: self.limit }.to_string(),
            false => self.limit.to_string(),
        }
    }
}

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
