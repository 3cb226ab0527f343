//! The purses of the groups, one each for all their lanes, and what a run may take out of its group's.

use std::{
    collections::HashMap,
    fmt::Display,
    sync::{Mutex, PoisonError},
};

use ngb_broker::{Allowed, Amount, Caps, Purse};
use ngb_core::{id::GroupId, notice::Notice};
use ngb_store::DayUse;

use crate::{finish::Ended, turn::Turn};

/// All purses.
#[derive(Default)]
pub(crate) struct Purses(Mutex<HashMap<GroupId, Purse>>);

impl Purses {
    /// The purse of `group`, which knows from before what open calls have used.
    fn of(&self, group: GroupId) -> Purse {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(group).or_default().clone()
    }
}

impl Turn<'_> {
    /// The model that the run may ask, with its price.
    pub(crate) fn allowed(&self) -> Option<Allowed> {
        let model = self.answers.model.as_ref()?;
        let price = self.gateway.0.limits.prices.of(&model.provider, &model.model);
        Some(Allowed { provider: model.provider.clone(), model: model.model.clone(), price })
    }

    /// What the group may still spend today; the end of the run where that is nothing.
    pub(crate) fn budget(&self) -> Result<Purse, Ended> {
        let limits = &self.group.limits;
        let DayUse { runs, tokens, cost_micros: micros } = self.work.used_today;
        let capped = |setting: &'static str, cap: &dyn Display| Ended::Permanent {
            reason: format!("the group's `{setting}` of {cap} is used up"),
            notice: Notice::DailyCap { setting },
        };
        // This run is counted already.
        if limits.runs_per_day < runs {
            return Err(capped("runs_per_day", &limits.runs_per_day));
        }
        match limits.tokens_per_day {
            Some(cap) if cap <= tokens => return Err(capped("tokens_per_day", &cap)),
            _ => (),
        }
        match (limits.cost_per_day, self.allowed()) {
            (Some(cap), _) if cap.micros <= micros => return Err(capped("cost_per_day", &cap)),
            (Some(_), Some(Allowed { provider, model, price: None })) => {
                let reason = format!(
                    "the group has a `cost_per_day`, and `[prices]` has no price of `{provider}/{model}`"
                );
                return Err(Ended::Permanent { reason, notice: Notice::NoPrice });
            }
            _ => (),
        }
        let caps =
            Caps { tokens: limits.tokens_per_day, micros: limits.cost_per_day.map(|it| it.micros) };
        let purse = self.shared().purses.of(self.group.id);
        purse.renew(self.shared().clock.now().day_start(), caps, Amount { tokens, micros });
        Ok(purse)
    }
}
