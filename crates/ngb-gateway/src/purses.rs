//! The purses of the groups, one each for all their lanes, and what a run may take out of its group's.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use ngb_broker::{Allowed, Amount, Caps, Purse};
use ngb_core::{id::GroupId, notice::Notice};
use ngb_store::DayUse;

use crate::{
    capped::{Cap, caps},
    finish::Ended,
    turn::Turn,
};

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

    /// What the group may still spend today; the end of the run where that is nothing, or where what is to be bought has no
    /// price that could be held against a cap.
    pub(crate) fn budget(&self, bought: Option<&Allowed>) -> Result<Purse, Ended> {
        let limits = &self.group.limits;
        let used = self.work.used_today;
        // This run is counted already.
        let before = DayUse { runs: used.runs.saturating_sub(1), ..used };
        if let Some(cap) = caps(limits, before).find(Cap::is_used_up) {
            let (setting, limit) = (cap.setting, cap.shown());
            return Err(Ended::Permanent {
                reason: format!("the group's `{setting}` of {limit} is used up"),
                notice: Notice::DailyCap { setting },
            });
        }
        if limits.cost_per_day.is_some()
            && let Some(Allowed { provider, model, price: None }) = bought
        {
            let reason = format!(
                "the group has a `cost_per_day`, and `[prices]` has no price of `{provider}/{model}`"
            );
            return Err(Ended::Permanent { reason, notice: Notice::NoPrice });
        }
        let caps =
            Caps { tokens: limits.tokens_per_day, micros: limits.cost_per_day.map(|it| it.micros) };
        let used = Amount { tokens: used.tokens, micros: used.cost_micros };
        let purse = self.shared().purses.of(self.group.id);
        purse.renew(self.shared().clock.now().day_start(), caps, used);
        Ok(purse)
    }
}
