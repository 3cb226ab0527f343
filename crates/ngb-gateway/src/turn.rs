//! One run: from a claim to the transaction that ends it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use ngb_broker::Current;
use ngb_core::{
    clock::Timestamp,
    decision::Decision,
    frame::{Failure, PromptId, SessionMark},
    group::Group,
    id::JobId,
    job::{JobState, backoff},
    notice::Notice,
    reset::Reset,
    tasks::blocking,
};
use ngb_plugins::hook::Hook;
use ngb_sandbox::HostMount;
use ngb_store::{Claim, Finish, JobKind, NewDecision, StoreError, Usage, Work, WorkJob};
use tokio::sync::mpsc;
use tracing::{debug, error, warn};

use crate::{
    ack::Working,
    agent::{Agent, AgentError, Start},
    answers::Answers,
    calls::OpenAsk,
    dispatch::{Asked, Order},
    end::{nothing_done, priced, write_end},
    engine::{self, NotStarted},
    events::Event,
    finish::{self, Ended},
    handle::{Gateway, Shared},
    live::Live,
    mounts::Mounts,
    spent, stale, way_out,
};

/// How long a run whose work could not be read is left alone.
pub(crate) const UNREADABLE_WAIT: Duration = Duration::from_secs(5);

/// Whether the agent can be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    Alive,
    Useless,
}

/// A run that is under way.
pub(crate) struct Turn<'a> {
    pub(crate) gateway: &'a Gateway,
    pub(crate) claim: Claim,
    pub(crate) group: Group,
    pub(crate) work: Work,
    pub(crate) prompt: PromptId,
    pub(crate) started_at: Timestamp,
    /// Who answers, as it was when the run began.
    pub(crate) answers: Arc<Answers>,
    /// Why nobody can, as the group has it.
    cannot: Option<String>,
    pub(crate) had_effect: bool,
    pub(crate) live: Live,
    /// Calls so far, by name and arguments; the n-th of a kind is the same in each try.
    pub(crate) counts: HashMap<(&'static str, String), u32>,
    pub(crate) asks: Vec<OpenAsk>,
    /// How far the session goes at the end of this run; none leaves it as it was.
    pub(crate) session: Option<SessionMark>,
    /// What was given to the agent while it worked: prompts and their jobs, which are in `work` too.
    pub(crate) steered: Vec<(PromptId, Vec<JobId>)>,
    /// Whether it was ended for a message that waits behind it.
    pub(crate) gave_way: bool,
    pub(crate) working: Working,
    /// What was counted of requests under way; their next count replaces it.
    pub(crate) open_use: Vec<Usage>,
}

/// A run that is to begin.
pub(crate) struct Run {
    pub(crate) claim: Claim,
    /// What it is to do; to be asked for where it did not come with the claim.
    pub(crate) work: Option<Box<Work>>,
}

/// Does what a claim asks for. It returns when the end is in the store, or when the run is no longer ours.
pub(crate) async fn run(
    gateway: &Gateway,
    agent: &mut Option<Agent>,
    run: Run,
    orders: &mut mpsc::UnboundedReceiver<Order>,
) -> (Over, bool) {
    let claim = run.claim;
    let mut turn = match begin(gateway, run).await {
        Ok(turn) => turn,
        Err(NotBegun { over, more }) => return (over, more),
    };
    if let Some(put_off) = stale::put_off(&turn) {
        return (Over::Alive, stale::write(&turn, put_off).await);
    }
    // An order for an earlier run has come too late.
    while orders.try_recv().is_ok() {}
    turn.tell_asked();
    turn.publish(Event::RunStarted {
        run: claim.run,
        lane: claim.lane,
        group: claim.group,
        place: turn.place().clone(),
        messages: turn.messages(),
    });
    debug!(run = %claim.run, messages = turn.named(), "run begins");
    let (ended, over) = turn.work_on(agent, orders).await;
    let close = |it: &Agent| {
        // Closed first: what is counted after that would be of no run.
        it.door.admit(None);
        priced(it.door.take_usage(), &gateway.0.limits.prices)
    };
    let usage = agent.as_ref().map(close).unwrap_or_default();
    // What was counted while it was open gives way to what is known now.
    let usage = match turn.open_use.is_empty() {
        true => usage,
        false => spent::count(gateway, &claim, usage, Vec::new()).await,
    };
    let more = match ended {
        Some(ended) => {
            let ended = turn.pass_end(ended).await;
            turn.end(ended, usage).await
        }
        None => {
            debug!("run {} is left as it is", claim.run);
            if !usage.is_empty() {
                spent::count(gateway, &claim, usage, Vec::new()).await;
            }
            false
        }
    };
    (over, more)
}

/// Ends a run whose worker panicked, as any failure that may pass: its jobs wait for their next try, not for the next
/// start of the gateway. True when its lane has more to do.
pub(crate) async fn broke(
    gateway: &Gateway,
    agent: Option<Agent>,
    claim: Claim,
    reason: String,
) -> bool {
    let usage =
        agent.map(|it| priced(it.door.take_usage(), &gateway.0.limits.prices)).unwrap_or_default();
    match begin(gateway, Run { claim, work: None }).await {
        Ok(turn) => {
            let usage = spent::count(gateway, &turn.claim, usage, Vec::new()).await;
            turn.end(Ended::Passing(reason), usage).await
        }
        // Its end was written before it panicked; what else waits there nobody has looked for.
        Err(_) => true,
    }
}

/// A run that has nothing to do, and whose lane is free again.
struct NotBegun {
    over: Over,
    /// Whether its lane has more to do.
    more: bool,
}

/// Finds what a run is to do.
async fn begin(gateway: &Gateway, run: Run) -> Result<Turn<'_>, NotBegun> {
    let shared = &gateway.0;
    let claim = run.claim;
    let work = match run.work {
        Some(work) => Ok(*work),
        None => load(shared, &claim).await,
    };
    let work = match work {
        Ok(work) => work,
        Err(StoreError::Fenced(_)) => {
            // It was taken from us, or everything that it was to do was taken back; then only the lane is to be freed.
            let freed = write_end(shared, nothing_done(claim, shared.clock.now())).await;
            return Err(NotBegun { over: Over::Alive, more: freed.is_some_and(|it| it.more) });
        }
        Err(err) => {
            // What could not be read now will hardly be readable at once.
            shared.clock.sleep(UNREADABLE_WAIT).await;
            error!("run {} could not begin: {:#}", claim.run, anyhow::Error::from(err));
            let freed = write_end(shared, nothing_done(claim, shared.clock.now())).await;
            return Err(NotBegun { over: Over::Alive, more: freed.is_some() });
        }
    };
    let now = shared.clock.now();
    let mut work = work;
    let Some(group) = shared.directory.snapshot().group(claim.group).cloned() else {
        warn!("run {} is of a group that is gone", claim.run);
        let reason = "its group was removed".to_owned();
        let dead = |it: &WorkJob| (it.id, JobState::Dead { reason: reason.clone() }, it.tries);
        let jobs = work.jobs.iter().map(dead).collect();
        let freed = write_end(shared, Finish { jobs, ..nothing_done(claim, now) }).await;
        return Err(NotBegun { over: Over::Useless, more: freed.is_some_and(|it| it.more) });
    };
    if is_over(shared, &group, &claim, &work, now).await {
        debug!(run = %claim.run, "the conversation begins anew, by the group's `session_reset`");
        work.session = None;
    }
    let answers = shared.answers.get().of(&group.limits, shared);
    let channel = shared.accounts.of(&work.jobs[0].place);
    let profile = channel.as_ref().map(|it| it.profile());
    Ok(Turn {
        gateway,
        claim,
        prompt: PromptId(work.jobs[0].id.0),
        started_at: now,
        cannot: answers.as_ref().err().cloned(),
        answers: answers.map_or_else(|_| shared.answers.get(), Arc::new),
        had_effect: work.jobs.iter().any(|it| it.had_effect),
        live: {
            let hidden = shared.wants(Hook::MessageSending, &group.name);
            Live::new(profile, &work, now, hidden)
        },
        counts: HashMap::new(),
        asks: Vec::new(),
        session: None,
        steered: Vec::new(),
        gave_way: false,
        working: Working::default(),
        open_use: Vec::new(),
        group,
        work,
    })
}

/// Whether the group's rule says that the conversation begins anew. A try after the first goes on where that one stood.
async fn is_over(
    shared: &Shared,
    group: &Group,
    claim: &Claim,
    work: &Work,
    now: Timestamp,
) -> bool {
    let rule = &group.limits.session_reset;
    let is_first =
        |it: &WorkJob| !it.had_effect && it.tries.failures == 0 && it.tries.gateway_deaths == 0;
    let Some(message) = work.jobs.iter().find_map(|it| finish::message_of(&it.kind)) else {
        return false;
    };
    if *rule == Reset::Never || work.session.is_none() || !work.jobs.iter().all(is_first) {
        return false;
    }
    let Ok(zone) = shared.limits.zone.parse() else { return false };
    match shared.store.last_answer(claim.lane, message).await {
        Ok(last) => last.is_some_and(|it| rule.is_over(it, now, &zone)),
        Err(err) => {
            // It goes on rather than be lost.
            error!(
                "could not look when lane {} was last used: {:#}",
                claim.lane,
                anyhow::Error::from(err)
            );
            false
        }
    }
}

/// The work of a claim. A database that is away for a moment fails no run.
async fn load(shared: &Shared, claim: &Claim) -> Result<Work, StoreError> {
    let mut tries = 0;
    loop {
        match shared.store.work(claim).await {
            Err(StoreError::Sql { .. }) if tries < 5 => {
                tries += 1;
                shared.clock.sleep(backoff(tries, Duration::from_millis(200))).await;
            }
            other => return other,
        }
    }
}

impl Turn<'_> {
    pub(crate) fn shared(&self) -> &Shared {
        &self.gateway.0
    }

    pub(crate) fn place(&self) -> &ngb_core::address::Place {
        &self.work.jobs[0].place
    }

    /// The job that effects and calls belong to.
    pub(crate) fn job(&self) -> JobId {
        self.work.jobs[0].id
    }

    /// Tells the dispatcher what the run answers.
    pub(crate) fn tell_asked(&self) {
        let asked = self.work.jobs.iter().map(|it| Asked {
            job: it.id,
            place: it.place.clone(),
            sender_id: match &it.kind {
                JobKind::Message(message) => Some(message.sender_id.clone()),
                JobKind::Say { .. } | JobKind::Task { .. } => None,
            },
        });
        self.shared().dispatcher.running(self.claim.lane, asked.collect());
    }

    pub(crate) fn messages(&self) -> Vec<ngb_core::id::MessageId> {
        self.work.jobs.iter().filter_map(|it| finish::message_of(&it.kind)).collect()
    }

    /// The same for the log, where `nanogridbot logs --message` looks for them: `5,7`.
    pub(crate) fn named(&self) -> String {
        let ids: Vec<String> = self.messages().iter().map(ToString::to_string).collect();
        ids.join(",")
    }

    pub(crate) fn publish(&self, event: Event) {
        self.shared().hub.publish(event);
    }

    pub(crate) fn note(&self, kind: Decision, detail: String) {
        self.note_of(&self.work.jobs, kind, &detail);
    }

    pub(crate) fn note_of(&self, jobs: &[WorkJob], kind: Decision, detail: &str) {
        let row = |job: &WorkJob| NewDecision {
            message: finish::message_of(&job.kind),
            job: Some(job.id),
            run: Some(self.claim.run),
            kind,
            detail: detail.to_owned(),
        };
        self.shared().store.note(jobs.iter().map(row).collect());
    }

    /// Brings the work to an end; none when the run is no longer ours, or is left to the next start.
    async fn work_on(
        &mut self,
        agent: &mut Option<Agent>,
        orders: &mut mpsc::UnboundedReceiver<Order>,
    ) -> (Option<Ended>, Over) {
        if let JobKind::Say { text } = &self.work.jobs[0].kind {
            return (Some(Ended::Answered { text: text.clone() }), Over::Alive);
        }
        if let Some(reason) = self.cannot.take() {
            let notice = Notice::Failed(Failure::ModelUnknown);
            return (Some(Ended::Permanent { reason, notice }), Over::Alive);
        }
        let model = self.allowed();
        let purse = match self.budget(model.as_ref()) {
            Ok(purse) => purse,
            Err(ended) => return (Some(ended), Over::Alive),
        };
        let mounts = match self.mounts().await {
            Ok(mounts) => mounts,
            Err(refused) => return (Some(refused), Over::Useless),
        };
        self.acknowledge(&self.work.jobs);
        // Another driver was chosen since, another limit set, or a folder of the host taken away.
        let driver = self.answers.driver;
        let is_of_before = |it: &mut Agent| {
            it.driver != driver || it.limits != self.group.limits || it.mounts != mounts
        };
        if let Some(old) = agent.take_if(is_of_before) {
            old.end(&self.shared().clock).await;
        }
        if agent.is_none() {
            // A start may have to wait: for the sandbox to be proved, for memory.
            self.gateway.0.outboxes.typing(self.place());
            match self.start(mounts, orders).await {
                Ok(started) => {
                    *agent = Some(started);
                    // The wait for an engine is no work, and takes nothing off the time that the run has.
                    self.started_at = self.shared().clock.now();
                    self.live.begins(self.started_at);
                }
                Err(NotStarted::Ended(ended)) => return (Some(ended), Over::Useless),
                Err(NotStarted::Left) => return (None, Over::Useless),
            }
        } else if let Err(err) = self.renew_instructions().await {
            let reason = format!("the group's instructions can't be read: {err}");
            return (Some(Ended::Passing(reason)), Over::Alive);
        }
        let Some(agent) = agent else { unreachable!("it was started") };
        let memory = std::sync::Arc::clone(&agent.memory);
        self.shared().dispatcher.live(self.claim.lane, Some(memory));
        let role = self.work.jobs[0].role;
        let rules = way_out::rules(&self.group, &self.work);
        agent.door.admit(Some(Current { run: self.claim.run, model, role, purse, rules }));
        match self.converse(agent, orders).await {
            Ok((ended, over)) => (ended, over),
            Err(err) => {
                let reason = format!("{:#}", anyhow::Error::from(err));
                (Some(Ended::Passing(reason)), Over::Useless)
            }
        }
    }

    /// What the operator wrote since the agent was started counts from this run on.
    async fn renew_instructions(&self) -> std::io::Result<()> {
        let owner = self.shared().sandbox.borrow().as_ref().and_then(|it| it.owner(self.group.id));
        let now = self.shared().clock.now();
        let (homes, folder) = (&self.shared().homes, &self.group.folder);
        homes.renew_skills(folder, owner).await?;
        homes.renew_instructions(folder, owner, now).await
    }

    /// What of the host the group's agents see, by what the operator's list says now; the end of the run where it says
    /// no.
    async fn mounts(&self) -> Result<Vec<HostMount>, Ended> {
        if self.group.limits.mounts.is_empty() {
            return Ok(Vec::new());
        }
        let (home, group) = (self.shared().homes.home().to_owned(), self.group.clone());
        let judged = blocking("judge mounts", move || Mounts::read(&home)?.of(&group)).await;
        judged.map_err(|refusal| Ended::Permanent {
            reason: format!("a mount of the group is refused: {refusal}"),
            notice: Notice::MountRefused,
        })
    }

    /// Starts the agent, once it is known that a sandbox can be had. An engine that is away is no failure: what is asked
    /// waits for it.
    async fn start(
        &self,
        mounts: Vec<HostMount>,
        orders: &mut mpsc::UnboundedReceiver<Order>,
    ) -> Result<Agent, NotStarted> {
        let shared = self.shared();
        let mut waiting = self.waiting();
        loop {
            let sandbox = self.sandbox(&mut waiting, orders).await?;
            let begun = shared.clock.now();
            let start = Start {
                sandbox: &*sandbox,
                homes: &shared.homes,
                broker: &shared.broker,
                group: &self.group,
                lane: self.claim.lane,
                driver: self.answers.driver,
                programs: &shared.programs,
                mounts: mounts.clone(),
                clock: &shared.clock,
            };
            let err = match Agent::start(start).await {
                Ok(agent) => {
                    let took = shared.clock.now().since(begun).as_millis();
                    let detail = format!("`{}` in {took} ms", sandbox.engine());
                    self.note(Decision::SandboxStarted, detail);
                    return Ok(agent);
                }
                Err(err) => err,
            };
            let (passing, away) = (err.is_passing(), err.is_engine_away());
            let notice = match err {
                AgentError::NoProgram(_) => Notice::NoProgram,
                _ => Notice::NoSandbox,
            };
            let reason = format!("{:#}", anyhow::Error::from(err));
            let run = self.claim.run;
            warn!(%run, messages = self.named(), "could not start the agent of run {run}: {reason}");
            if away {
                shared.clock.sleep(engine::PAUSE).await;
                continue;
            }
            return Err(NotStarted::Ended(if passing {
                Ended::Passing(reason)
            } else {
                Ended::Permanent { reason, notice }
            }));
        }
    }
}

/// The run is no longer ours.
#[derive(Debug)]
pub(crate) struct Lost;
