//! What those who work are told while they do: to stop, to give way, to look at what came, to end.

use super::{
    AnsweredAsk, Asked, Dispatcher, GroupId, Interrupted, JobId, LaneId, Live, Order, Place,
};

impl Dispatcher {
    pub(crate) fn interrupt(&self, lane: LaneId) -> bool {
        let state = self.state();
        let running = state.lanes.get(&lane).filter(|it| it.running.is_some());
        running.is_some_and(|it| it.orders.send(Order::Interrupt).is_ok())
    }

    /// Whether a run answers something in `place` now.
    pub(crate) fn is_busy(&self, place: &Place) -> bool {
        self.state().lanes.values().any(|it| it.answers_in(place))
    }

    /// Whose run works on a lane now, and for which group.
    pub(crate) fn at_work(&self, lane: LaneId) -> Option<(GroupId, Vec<Asked>)> {
        let state = self.state();
        let live = state.lanes.get(&lane).filter(|it| it.running.is_some())?;
        Some((live.group, live.asked.clone()))
    }

    /// Stops what answers in `place`: all of it, or only what `sender` alone asked for.
    pub(crate) fn interrupt_place(&self, place: &Place, only_of: Option<&str>) -> Interrupted {
        let mut res = Interrupted::Nothing;
        for live in self.state().lanes.values().filter(|it| it.answers_in(place)) {
            let is_theirs = |sender| live.asked.iter().all(|it| it.is_of(place, sender));
            if !only_of.is_none_or(is_theirs) {
                res = res.max(Interrupted::NotTheirs);
            } else if live.orders.send(Order::Interrupt).is_ok() {
                res = Interrupted::Yes;
            }
        }
        res
    }

    /// Stops the run that answers `job` in `place`, if `may` says so: for its group, and for whether `sender` alone asked.
    pub(crate) fn interrupt_answer(
        &self,
        place: &Place,
        job: JobId,
        sender: &str,
        may: impl Fn(GroupId, bool) -> bool,
    ) -> Interrupted {
        let state = self.state();
        let answers = |it: &&Live| it.asked.iter().any(|it| it.job == job && it.place == *place);
        let Some(live) = state.lanes.values().find(answers) else { return Interrupted::Nothing };
        let is_theirs = live.asked.iter().all(|it| it.is_of(place, sender));
        if !may(live.group, is_theirs) {
            return Interrupted::NotTheirs;
        }
        match live.orders.send(Order::Interrupt) {
            Ok(()) => Interrupted::Yes,
            // A worker that ends has no run.
            Err(_) => Interrupted::Nothing,
        }
    }

    /// Has the run that works on a lane look for what came meanwhile. One that has not told yet what it answers is only
    /// beginning; then it waits for its end.
    pub(crate) fn steer(&self, lane: LaneId) {
        let state = self.state();
        if let Some(live) = state.lanes.get(&lane).filter(|it| !it.asked.is_empty()) {
            // A worker that ends has no run.
            drop(live.orders.send(Order::Steer));
        }
    }

    /// Has the run that works on a lane leave what people asked of it; only what `sender` alone asked, where one is given.
    pub(crate) fn give_way(&self, lane: LaneId, only_of: Option<&str>) {
        let state = self.state();
        let Some(live) = state.lanes.get(&lane).filter(|it| !it.asked.is_empty()) else { return };
        let may = |it: &Asked| match (&it.sender_id, only_of) {
            // What the clock asked is nobody's to leave.
            (None, _) => false,
            (Some(_), None) => true,
            (Some(of), Some(sender)) => of == sender,
        };
        if live.asked.iter().all(may) {
            drop(live.orders.send(Order::GiveWay));
        }
    }

    /// Gives a question's answer to the run that waits for it; one that no longer does finds it in the store.
    pub(crate) fn answer(&self, answered: AnsweredAsk) {
        for live in self.state().lanes.values().filter(|it| it.running.is_some()) {
            // Each worker knows its own run; the others drop it.
            drop(live.orders.send(Order::Answer(answered.clone())));
        }
    }

    /// Ends the agents of lanes whose conversation is gone, as soon as they have no run.
    pub(crate) fn end_lanes(&self, lanes: &[LaneId]) {
        let state = self.state();
        for live in lanes.iter().filter_map(|it| state.lanes.get(it)) {
            live.end.cancel();
        }
    }

    /// Ends the agents of a group that is gone.
    pub(crate) fn end_group(&self, group: GroupId) {
        for live in self.state().lanes.values().filter(|it| it.group == group) {
            live.end.cancel();
            if live.running.is_some() {
                drop(live.orders.send(Order::Interrupt));
            }
        }
    }
}
