//! Who works when: permits, claims, and the lanes that have an agent.
//!
//! A claim comes with a permit. It goes to the lane's worker, which is started for it or waits with a live agent; the
//! permit goes back when the run is over. The store decides which lane is next; this only knows when to ask it.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use ngb_core::{
    address::Place,
    clock::Timestamp,
    failpoint::reach,
    id::{GroupId, JobId, LaneId},
    tasks::Crew,
};
use ngb_store::{AnsweredAsk, Claim, Disk, Opened, Work};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::{handle::Gateway, worker};

/// How long a claim is presumed alive without being renewed.
pub const LEASE: Duration = Duration::from_secs(60);

/// Caps on agents, from the settings.
#[derive(Clone, Copy, Debug)]
pub struct Caps {
    /// Runs at a time.
    pub max_runs: usize,
    /// Memory of live agents, in bytes; the least recently used one that waits is ended first.
    pub max_live_bytes: u64,
}

/// How many agents there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Agents {
    pub working: usize,
    pub waiting: usize,
}

/// A claim and the permit that it uses.
pub(crate) struct Assigned {
    pub(crate) claim: Claim,
    /// What it is for; to be asked for where it did not come along.
    pub(crate) work: Option<Box<Work>>,
    pub(crate) permit: OwnedSemaphorePermit,
}

/// What a worker is told while it runs.
#[derive(Debug)]
pub(crate) enum Order {
    Interrupt,
    /// As [`Order::Interrupt`], for a message that waits behind it.
    GiveWay,
    /// Something waits that may be given to the agent at once.
    Steer,
    Answer(AnsweredAsk),
}

pub(crate) struct Dispatcher {
    caps: Caps,
    permits: Arc<Semaphore>,
    wake: Notify,
    state: Mutex<State>,
    /// Fires at the drain: nothing new is claimed, workers end after their run.
    drain: CancellationToken,
}

#[derive(Default)]
struct State {
    lanes: HashMap<LaneId, Live>,
    suspects: Suspects,
    crew: Crew,
    /// Counts up; says which waiting agent was used least recently.
    uses: u64,
    /// Counts what could not be claimed on arrival; tells a claimer that something came while it looked.
    waits: u64,
}

/// What a run answers: where it was asked, and by whom (none: it was planned).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub job: JobId,
    pub place: Place,
    pub sender_id: Option<String>,
}

impl Asked {
    fn is_of(&self, place: &Place, sender: &str) -> bool {
        self.place == *place && self.sender_id.as_deref() == Some(sender)
    }
}

/// What came of an order to stop. The order is what counts most, last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Interrupted {
    Nothing,
    /// Something runs, but somebody else asked for it.
    NotTheirs,
    Yes,
}

/// A lane with a worker.
struct Live {
    group: GroupId,
    assigned: mpsc::UnboundedSender<Assigned>,
    orders: mpsc::UnboundedSender<Order>,
    /// Ends the worker, as soon as it has no run.
    end: CancellationToken,
    /// What the current run answers; empty while it waits.
    asked: Vec<Asked>,
    running: Option<Claim>,
    last_use: u64,
    memory: Option<Arc<ngb_sandbox::MemoryGauge>>,
    /// What its agent used at the end of its latest run, in bytes. An agent that waits doesn't grow, and asking all of
    /// them after each run took more time than the run itself.
    used_bytes: u64,
    /// Its runs so far.
    runs: u64,
}

/// After how many runs of an agent its memory is read again: that opens files, which takes longer than all else that
/// the end of a run does here.
const RUNS_A_MEASUREMENT: u64 = 16;

/// Whose end may free work that could not be claimed.
#[derive(Debug, Default)]
enum Suspects {
    /// Any run's.
    Any,
    Lanes(HashSet<LaneId>),
    #[default]
    None,
}

impl Live {
    fn answers_in(&self, place: &Place) -> bool {
        self.asked.iter().any(|it| it.place == *place)
    }
}

impl Suspects {
    fn clears(&mut self, lane: LaneId) -> bool {
        match self {
            Self::Any => true,
            Self::Lanes(lanes) => lanes.remove(&lane),
            Self::None => false,
        }
    }
}

impl Dispatcher {
    pub(crate) fn new(caps: Caps, drain: CancellationToken) -> Self {
        Self {
            caps,
            permits: Arc::new(Semaphore::new(caps.max_runs)),
            wake: Notify::new(),
            state: Mutex::default(),
            drain,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding it")
    }

    pub(crate) fn lease_until(&self, now: Timestamp) -> Timestamp {
        now + LEASE
    }

    /// Permits for messages that just came in: none while others wait, so that nobody is overtaken.
    pub(crate) fn permits_for_intake(&self, wanted: usize) -> Vec<OwnedSemaphorePermit> {
        if self.drain.is_cancelled() || matches!(self.state().suspects, Suspects::Any) {
            return Vec::new();
        }
        let permit = || self.permits.clone().try_acquire_owned().ok();
        std::iter::from_fn(permit).take(wanted).collect()
    }

    /// Returns once the gateway drains.
    pub(crate) async fn drained(&self) {
        self.drain.cancelled().await;
    }

    /// Something that could not be claimed waits in `lane`.
    pub(crate) fn waiting(&self, lane: LaneId) {
        let mut state = self.state();
        state.waits += 1;
        let runs = state.lanes.get(&lane).is_some_and(|it| it.running.is_some());
        if !runs || self.permits.available_permits() == 0 {
            state.suspects = Suspects::Any;
        } else {
            match &mut state.suspects {
                Suspects::Any => (),
                Suspects::Lanes(lanes) => drop(lanes.insert(lane)),
                Suspects::None => state.suspects = Suspects::Lanes([lane].into()),
            }
        }
        drop(state);
        // The run that stood in the way may have ended since: then nobody else would look.
        self.look_again();
    }

    /// Has somebody look for work when there may be some and there is a permit for it.
    pub(crate) fn look_again(&self) {
        let any = matches!(self.state().suspects, Suspects::Any);
        if any && 0 < self.permits.available_permits() {
            self.wake.notify_one();
        }
    }

    /// There may be work: a timer came due, a dead letter was revived.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Hands each claim to its lane's worker.
    pub(crate) fn assign(
        &self,
        gateway: &Gateway,
        opened: Opened,
        permits: Vec<OwnedSemaphorePermit>,
    ) {
        let Opened { claims, mut work } = opened;
        if claims.is_empty() {
            return;
        }
        let mut state = self.state();
        for (claim, permit) in claims.into_iter().zip(permits) {
            let work = work.remove(&claim.run).map(Box::new);
            let mut assigned = Assigned { claim, work, permit };
            if let Some(live) = state.lanes.get_mut(&claim.lane) {
                live.running = Some(claim);
                match live.assigned.send(assigned) {
                    Ok(()) => continue,
                    // It is ending; a new one waits for its lock on the lane.
                    Err(mpsc::error::SendError(back)) => assigned = back,
                }
            }
            let (assigned_tx, assigned_rx) = mpsc::unbounded_channel();
            let (orders, orders_rx) = mpsc::unbounded_channel();
            let end = CancellationToken::new();
            assigned_tx.send(assigned).expect("the receiver is here");
            let worker = worker::Worker {
                gateway: gateway.clone(),
                lane: claim.lane,
                group: claim.group,
                assigned: assigned_rx,
                orders: orders_rx,
                end: end.clone(),
                drain: self.drain.clone(),
            };
            state.crew.spawn("lane", worker.work());
            state.uses += 1;
            let live = Live {
                group: claim.group,
                assigned: assigned_tx,
                orders,
                end,
                asked: Vec::new(),
                running: Some(claim),
                last_use: state.uses,
                memory: None,
                used_bytes: 0,
                runs: 0,
            };
            state.lanes.insert(claim.lane, live);
        }
    }

    /// A run began, and answers these.
    pub(crate) fn running(&self, lane: LaneId, asked: Vec<Asked>) {
        if let Some(live) = self.state().lanes.get_mut(&lane) {
            live.asked = asked;
        }
    }

    /// A worker has a live agent, which uses memory.
    pub(crate) fn live(&self, lane: LaneId, memory: Option<Arc<ngb_sandbox::MemoryGauge>>) {
        if let Some(live) = self.state().lanes.get_mut(&lane) {
            if live.memory.is_some() != memory.is_some() {
                (live.runs, live.used_bytes) = (0, 0);
            }
            live.memory = memory;
        }
    }

    /// A run is over and its permit is back; `more` says whether its lane has more that is due.
    pub(crate) fn over(&self, lane: LaneId, permit: OwnedSemaphorePermit, more: bool) {
        drop(permit);
        let due = |it: &Live| it.runs.is_multiple_of(RUNS_A_MEASUREMENT);
        let gauge = self.state().lanes.get(&lane).filter(|it| due(it)).map(|it| it.memory.clone());
        // It reads files, so nobody waits for the lock meanwhile.
        let used = gauge.map(|it| it.and_then(|it| it()).unwrap_or(0));
        let mut state = self.state();
        state.uses += 1;
        let uses = state.uses;
        if let Some(live) = state.lanes.get_mut(&lane) {
            live.running = None;
            live.asked.clear();
            live.last_use = uses;
            live.runs += 1;
            if let Some(used) = used {
                live.used_bytes = used;
            }
        }
        self.keep_memory(&state);
        if state.suspects.clears(lane) || more {
            self.wake.notify_one();
        }
    }

    /// Ends waiting agents, the least recently used first, until the rest fit into the memory that live agents may use.
    fn keep_memory(&self, state: &State) {
        let mut total: u64 = state.lanes.values().map(|it| it.used_bytes).sum();
        if total <= self.caps.max_live_bytes {
            return;
        }
        let mut waiting: Vec<&Live> =
            state.lanes.values().filter(|it| it.running.is_none()).collect();
        waiting.sort_by_key(|it| it.last_use);
        for live in waiting {
            if total <= self.caps.max_live_bytes {
                break;
            }
            total -= live.used_bytes.min(total);
            live.end.cancel();
        }
    }

    /// A worker has ended; `end` tells it from a newer one of the same lane.
    pub(crate) fn gone(&self, lane: LaneId, end: &CancellationToken) {
        let mut state = self.state();
        end.cancel();
        if state.lanes.get(&lane).is_some_and(|it| it.end.is_cancelled()) {
            state.lanes.remove(&lane);
        }
    }

    /// The runs that this node holds.
    pub(crate) fn claims(&self) -> Vec<Claim> {
        self.state().lanes.values().filter_map(|it| it.running).collect()
    }

    pub(crate) fn agents(&self) -> Agents {
        let state = self.state();
        let working = state.lanes.values().filter(|it| it.running.is_some()).count();
        let waiting =
            state.lanes.values().filter(|it| it.running.is_none() && it.memory.is_some()).count();
        Agents { working, waiting }
    }

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

    /// Ends the agents of a group that is gone.
    pub(crate) fn end_group(&self, group: GroupId) {
        for live in self.state().lanes.values().filter(|it| it.group == group) {
            live.end.cancel();
            if live.running.is_some() {
                drop(live.orders.send(Order::Interrupt));
            }
        }
    }

    /// Waits until every run and then every worker has ended. Whoever still had a permit has given it back by then, and
    /// nobody gets another.
    async fn finish(&self) {
        let all = u32::try_from(self.caps.max_runs).unwrap_or(u32::MAX);
        // An error means that it is closed already.
        drop(self.permits.acquire_many(all).await);
        self.permits.close();
        let mut crew = std::mem::take(&mut self.state().crew);
        crew.finish().await;
    }
}

/// Claims what is due and hands it out, until the drain; then waits for the workers.
///
/// It wakes when a run ends that stood in the way of others, when something is put back, and when the clock reaches the
/// next due time.
pub(crate) async fn run(gateway: Gateway, drain: CancellationToken) -> anyhow::Result<()> {
    let shared = &gateway.0;
    let dispatcher = &shared.dispatcher;
    let mut disk = shared.store.disk();
    loop {
        // Interest is registered before looking, so that nothing is missed in between.
        let woken = dispatcher.wake.notified();
        tokio::pin!(woken);
        woken.as_mut().enable();
        // Before the claim: what falls due while it is made is the timer's.
        let now = shared.clock.now();
        let due = match look(&gateway, now).await {
            Ok(due) => due,
            Err(err) => {
                error!("could not look for work: {:#}", anyhow::Error::from(err));
                Some(shared.clock.now() + RETRY_CLAIM)
            }
        };
        let timer = async {
            match due {
                Some(at) => shared.clock.sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = drain.cancelled() => break,
            () = woken => (),
            () = shared.outboxes.due_changed() => (),
            () = crate::disk::changed(&mut disk) => (),
            () = timer => (),
        }
    }
    dispatcher.finish().await;
    Ok(())
}

/// How long to wait when the database gave an error.
const RETRY_CLAIM: Duration = Duration::from_secs(1);

/// Hands out what is due; returns when the next is, as seen from `now`.
async fn look(
    gateway: &Gateway,
    now: Timestamp,
) -> Result<Option<Timestamp>, ngb_store::StoreError> {
    claim(gateway).await?;
    gateway.0.outboxes.take_due().await?;
    gateway.0.store.next_due(now).await
}

async fn claim(gateway: &Gateway) -> Result<(), ngb_store::StoreError> {
    let shared = &gateway.0;
    let dispatcher = &shared.dispatcher;
    if matches!(*shared.store.disk().borrow(), Disk::Full { .. }) {
        // What is left of the disk is for messages. Until there is room, none of those that come is claimed either.
        dispatcher.state().suspects = Suspects::Any;
        return Ok(());
    }
    loop {
        let permit = || dispatcher.permits.clone().try_acquire_owned().ok();
        let permits: Vec<_> = std::iter::from_fn(permit).collect();
        if permits.is_empty() {
            // Work may be left; the next run that ends looks again.
            dispatcher.state().suspects = Suspects::Any;
            return Ok(());
        }
        let now = shared.clock.now();
        let wanted = permits.len();
        let waits = dispatcher.state().waits;
        reach("before-claim");
        let opened = shared.store.claim(wanted, now, dispatcher.lease_until(now)).await?;
        let found = opened.claims.len();
        if 0 < found {
            reach("after-claim");
        }
        dispatcher.assign(gateway, opened, permits);
        if found < wanted {
            let mut state = dispatcher.state();
            if state.waits != waits {
                // It may have come after the store looked, and found no permit since they were all here.
                continue;
            }
            let running: HashSet<LaneId> = state
                .lanes
                .iter()
                .filter(|(_, it)| it.running.is_some())
                .map(|(id, _)| *id)
                .collect();
            // What is left waits for its lane or for a slot of its group.
            state.suspects =
                if running.is_empty() { Suspects::None } else { Suspects::Lanes(running) };
            return Ok(());
        }
    }
}
