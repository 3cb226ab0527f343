//! Who works when: permits, claims, and the lanes that have an agent.
//!
//! A claim comes with a permit. It goes to the lane's worker, which is started for it or waits with a live agent; the
//! permit goes back when the run is over. The store decides which lane is next; this only knows when to ask it.

mod look;
mod orders;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

pub(crate) use look::run;
use ngb_core::{
    address::Place,
    clock::Timestamp,
    id::{GroupId, JobId, LaneId},
    tasks::Crew,
};
use ngb_store::{AnsweredAsk, Claim, Opened, Work};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

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
