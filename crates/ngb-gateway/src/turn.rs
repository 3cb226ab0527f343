//! One run: from a claim to the transaction that ends it.

use std::{collections::HashMap, time::Duration};

use ngb_broker::Current;
use ngb_core::{
    clock::Timestamp,
    decision::Decision,
    failpoint::reach,
    frame::{CallOutcome, FromAgent, Outcome, PromptId, SessionMark, Step, ToAgent},
    group::Group,
    id::{AskId, JobId},
    job::{JobState, backoff},
    message::{Author, ChatKind},
    notice::Notice,
    text::{Limit, Unit},
};
use ngb_store::{Claim, Finish, JobKind, NewDecision, StoreError, Usage, Work};
use tokio::sync::mpsc;
use tracing::{debug, error, info, warn};

use crate::{
    agent::{Agent, AgentError, Start},
    calls::{self, OpenAsk},
    dispatch::Order,
    events::Event,
    finish::{self, Ended, Facts},
    handle::{Gateway, SandboxState, Shared},
    live::Live,
    prompt,
};

/// The day of daily caps, in UTC.
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// How often a platform is told that an answer is being made. Telegram shows the sign for 5 s.
const TYPING_EVERY: Duration = Duration::from_secs(4);

/// How long an answer may take before it is told for the first time. An answer that is faster needs no sign, and platforms
/// count such calls.
const TYPING_AFTER: Duration = Duration::from_millis(300);

/// Longest that an agent may take to say `Done` after it was told to stop; then its sandbox is killed.
const INTERRUPT_LIMIT: Duration = Duration::from_millis(150);

/// How long a run whose work could not be read is left alone.
const UNREADABLE_WAIT: Duration = Duration::from_secs(5);

/// The limit of a text where its account is not set up any more; it only has to be some limit.
const NO_PROFILE_LIMIT: Limit = Limit { max: 4_000, unit: Unit::Chars };

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
    pub(crate) had_effect: bool,
    pub(crate) live: Live,
    /// Calls so far, by name and arguments; the n-th of a kind is the same in each try.
    pub(crate) counts: HashMap<(&'static str, String), u32>,
    pub(crate) asks: Vec<OpenAsk>,
    session: Option<SessionMark>,
}

/// Does what a claim asks for. It returns when the end is in the store, or when the run is no longer ours.
pub(crate) async fn run(
    gateway: &Gateway,
    agent: &mut Option<Agent>,
    claim: Claim,
    orders: &mut mpsc::UnboundedReceiver<Order>,
) -> (Over, bool) {
    let shared = &gateway.0;
    let today = Timestamp(shared.clock.now().0.div_euclid(DAY_MS) * DAY_MS);
    let (work, used) =
        tokio::join!(load(shared, &claim), shared.store.used_today(claim.group, today));
    let work = match work {
        Ok(work) => work,
        Err(StoreError::Fenced(_)) => {
            // It was taken from us, or everything that it was to do was taken back; then only the lane is to be freed.
            let freed = write_end(shared, nothing_done(claim, shared.clock.now())).await;
            return (Over::Alive, freed.is_some_and(|it| it.more));
        }
        Err(err) => {
            // What could not be read now will hardly be readable at once.
            shared.clock.sleep(UNREADABLE_WAIT).await;
            error!("run {} could not begin: {:#}", claim.run, anyhow::Error::from(err));
            let freed = write_end(shared, nothing_done(claim, shared.clock.now())).await;
            return (Over::Alive, freed.is_some());
        }
    };
    let Some(group) = shared.directory.snapshot().group(claim.group).cloned() else {
        warn!("run {} is of a group that is gone", claim.run);
        let reason = "its group was removed".to_owned();
        let dead =
            |it: &ngb_store::WorkJob| (it.id, JobState::Dead { reason: reason.clone() }, it.tries);
        let jobs = work.jobs.iter().map(dead).collect();
        let freed =
            write_end(shared, Finish { jobs, ..nothing_done(claim, shared.clock.now()) }).await;
        return (Over::Useless, freed.is_some_and(|it| it.more));
    };
    // An order for an earlier run has come too late.
    while orders.try_recv().is_ok() {}
    let places = work.jobs.iter().map(|it| it.place.clone()).collect();
    shared.dispatcher.running(claim.lane, places);

    let now = shared.clock.now();
    let profile = shared.outboxes.profile(&work.jobs[0].place);
    let mut turn = Turn {
        gateway,
        claim,
        prompt: PromptId(work.jobs[0].id.0),
        started_at: now,
        had_effect: work.jobs.iter().any(|it| it.had_effect),
        live: Live::new(profile, &work, now),
        counts: HashMap::new(),
        asks: Vec::new(),
        session: None,
        group,
        work,
    };
    turn.publish(Event::RunStarted {
        run: claim.run,
        lane: claim.lane,
        group: claim.group,
        place: turn.place().clone(),
        messages: turn.messages(),
    });
    let (ended, over) = turn.work_on(agent, orders, used).await;
    let usage = agent.as_ref().map(|it| usage(&it.door)).unwrap_or_default();
    if let Some(agent) = agent {
        agent.door.admit(None);
    }
    let more = match ended {
        Some(ended) => turn.end(ended, usage).await,
        None => {
            debug!("run {} lost its lease", claim.run);
            false
        }
    };
    (over, more)
}

/// The end of a run that did nothing.
fn nothing_done(claim: Claim, now: Timestamp) -> Finish {
    Finish {
        claim,
        now,
        jobs: Vec::new(),
        answer: None,
        outbox: Vec::new(),
        session: None,
        usage: Vec::new(),
        error: None,
        context_given: false,
        decisions: Vec::new(),
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

fn usage(door: &ngb_broker::Door) -> Vec<Usage> {
    let counted = |it: ngb_broker::Usage| Usage {
        provider: it.provider,
        model: it.model,
        // What came from the provider's cache was sent all the same, and counts.
        input_tokens: it.input_tokens + it.cache_read_tokens + it.cache_write_tokens,
        output_tokens: it.output_tokens,
    };
    door.take_usage().into_iter().map(counted).collect()
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

    pub(crate) fn messages(&self) -> Vec<ngb_core::id::MessageId> {
        self.work.jobs.iter().filter_map(|it| finish::message_of(&it.kind)).collect()
    }

    fn publish(&self, event: Event) {
        self.shared().hub.publish(event);
    }

    fn note(&self, kind: Decision, detail: String) {
        let row = |job: &ngb_store::WorkJob| NewDecision {
            message: finish::message_of(&job.kind),
            job: Some(job.id),
            run: Some(self.claim.run),
            kind,
            detail: detail.clone(),
        };
        self.shared().store.note(self.work.jobs.iter().map(row).collect());
    }

    /// Brings the work to an end; none when the run is no longer ours.
    async fn work_on(
        &mut self,
        agent: &mut Option<Agent>,
        orders: &mut mpsc::UnboundedReceiver<Order>,
        used: Result<(u64, u64), StoreError>,
    ) -> (Option<Ended>, Over) {
        if let JobKind::Say { text } = &self.work.jobs[0].kind {
            return (Some(Ended::Answered { text: text.clone() }), Over::Alive);
        }
        let tokens_left = match self.budget(used) {
            Ok(left) => left,
            Err(ended) => return (Some(ended), Over::Alive),
        };
        if agent.is_none() {
            // A start may have to wait: for the sandbox to be proved, for memory.
            self.gateway.0.outboxes.typing(self.place());
            match self.start().await {
                Ok(started) => *agent = Some(started),
                Err(ended) => return (Some(ended), Over::Useless),
            }
        }
        let Some(agent) = agent else { unreachable!("it was started") };
        let memory = std::sync::Arc::clone(&agent.memory);
        self.shared().dispatcher.live(self.claim.lane, Some(memory));
        let role = self.work.jobs[0].role;
        agent.door.admit(Some(Current { run: self.claim.run, role, tokens_left }));
        match self.converse(agent, orders).await {
            Ok((ended, over)) => (ended, over),
            Err(err) => {
                let reason = format!("{:#}", anyhow::Error::from(err));
                (Some(Ended::Passing(reason)), Over::Useless)
            }
        }
    }

    /// Tokens that are left of what the group may use today, by the runs and tokens that it used; the end of the run where
    /// nothing is.
    fn budget(&self, used: Result<(u64, u64), StoreError>) -> Result<Option<u64>, Ended> {
        let limits = &self.group.limits;
        let (runs, tokens) =
            used.map_err(|err| Ended::Passing(format!("{:#}", anyhow::Error::from(err))))?;
        let capped = |setting: &'static str, cap: u64| Ended::Permanent {
            reason: format!("the group's `{setting}` of {cap} is used up"),
            notice: Notice::DailyCap { setting },
        };
        // This run is counted already.
        if limits.runs_per_day < runs {
            return Err(capped("runs_per_day", limits.runs_per_day));
        }
        match limits.tokens_per_day {
            Some(cap) if cap <= tokens => Err(capped("tokens_per_day", cap)),
            cap => Ok(cap.map(|it| it - tokens)),
        }
    }

    /// Starts the agent, once it is known that a sandbox can be had.
    async fn start(&self) -> Result<Agent, Ended> {
        let shared = self.shared();
        let mut state = shared.about.sandbox.clone();
        let proved = state.wait_for(|it| *it != SandboxState::Proving).await.map(|it| it.clone());
        if let Ok(SandboxState::Refused { why, .. }) = proved {
            let reason = format!("no sandbox can be had here: {why}");
            return Err(Ended::Permanent { reason, notice: Notice::NoSandbox });
        }
        let Some(sandbox) = shared.sandbox.borrow().clone() else {
            return Err(Ended::Passing("the gateway is stopping".to_owned()));
        };
        let begun = shared.clock.now();
        let start = Start {
            sandbox: &*sandbox,
            homes: &shared.homes,
            broker: &shared.broker,
            group: &self.group,
            lane: self.claim.lane,
            driver: shared.limits.driver.as_str(),
            clock: &shared.clock,
        };
        match Agent::start(start).await {
            Ok(agent) => {
                let took = shared.clock.now().since(begun).as_millis();
                self.note(Decision::SandboxStarted, format!("`{}` in {took} ms", sandbox.engine()));
                Ok(agent)
            }
            Err(err) => {
                let passing = err.is_passing();
                let reason = format!("{:#}", anyhow::Error::from(err));
                warn!("could not start the agent of run {}: {reason}", self.claim.run);
                Err(if passing {
                    Ended::Passing(reason)
                } else {
                    Ended::Permanent { reason, notice: Notice::NoSandbox }
                })
            }
        }
    }

    /// Gives the agent its prompt and hears it out.
    async fn converse(
        &mut self,
        agent: &mut Agent,
        orders: &mut mpsc::UnboundedReceiver<Order>,
    ) -> Result<(Option<Ended>, Over), AgentError> {
        let prompt = prompt::build(self).await;
        agent.send(&ToAgent::Prompt(Box::new(prompt))).await?;
        self.note(Decision::Prompted, String::new());
        let clock = self.gateway.clock().clone();
        let limits = self.group.limits.clone();
        let out_of_time = self.started_at + limits.run();
        let mut heard_at = clock.now();
        let mut typing_at = self.started_at + TYPING_AFTER;
        let mut must_end_at: Option<Timestamp> = None;
        loop {
            // A question to people is no silence of the agent's.
            let silent_at =
                if self.asks.is_empty() { heard_at + limits.silence() } else { out_of_time };
            let ask_ends_at = self.asks.iter().map(|it| it.ends_at).min();
            let next = [
                Some(out_of_time),
                Some(silent_at),
                Some(typing_at),
                self.live.next_at(),
                ask_ends_at,
                must_end_at,
            ];
            let wake_at = next.into_iter().flatten().min().unwrap_or(out_of_time);
            tokio::select! {
                frame = agent.next() => {
                    heard_at = clock.now();
                    match frame? {
                        FromAgent::Done { prompts, outcome, session } if prompts.contains(&self.prompt) => {
                            reach("after-done");
                            self.session = session;
                            return Ok((Some(ended(outcome)), Over::Alive));
                        }
                        FromAgent::Done { .. } => warn!("the agent of lane {} answered an old prompt", self.claim.lane),
                        FromAgent::Progress { prompt, step } if prompt == self.prompt => self.progress(step),
                        FromAgent::Effect { call, .. } => match self.effect().await {
                            Ok(outcome) => agent.send(&ToAgent::CallResult { call, outcome }).await?,
                            Err(Lost) => return Ok((None, Over::Useless)),
                        },
                        FromAgent::Call { call, what, .. } => match calls::call(self, call, what).await {
                            Ok(Some(outcome)) => {
                                agent.send(&ToAgent::CallResult { call, outcome }).await?;
                                reach("after-call-answered");
                            }
                            Ok(None) => (),
                            Err(Lost) => return Ok((None, Over::Useless)),
                        },
                        FromAgent::Ready { .. } | FromAgent::Usage { .. } | FromAgent::Progress { .. } => (),
                    }
                }
                Some(order) = orders.recv() => match order {
                    Order::Interrupt => {
                        agent.send(&ToAgent::Interrupt { prompt: self.prompt }).await?;
                        must_end_at = must_end_at.or(Some(clock.now() + INTERRUPT_LIMIT));
                    }
                    Order::Answer(answered) if answered.run == self.claim.run => {
                        if let Some((call, outcome)) = self.answered(answered.ask, &answered.value) {
                            agent.send(&ToAgent::CallResult { call, outcome }).await?;
                        }
                        heard_at = clock.now();
                    }
                    Order::Answer(_) => (),
                },
                () = clock.sleep_until(wake_at) => {
                    let now = clock.now();
                    if must_end_at.is_some_and(|it| it <= now) {
                        return Ok((Some(Ended::Interrupted), Over::Useless));
                    }
                    if out_of_time <= now || silent_at <= now {
                        return Ok((Some(self.too_long(out_of_time <= now)), Over::Useless));
                    }
                    if typing_at <= now {
                        self.gateway.0.outboxes.typing(self.place());
                        typing_at = now + TYPING_EVERY;
                    }
                    for (call, outcome) in self.unanswered(now) {
                        agent.send(&ToAgent::CallResult { call, outcome }).await?;
                    }
                    if self.show(now).await.is_err() {
                        return Ok((None, Over::Useless));
                    }
                }
            }
        }
    }

    fn progress(&mut self, step: Step) {
        self.live.heard(&step, self.gateway.clock().now());
        self.publish(Event::Step {
            run: self.claim.run,
            lane: self.claim.lane,
            group: self.claim.group,
            place: self.place().clone(),
            step,
        });
    }

    /// Shows the answer so far, where the platform can edit.
    async fn show(&mut self, now: Timestamp) -> Result<(), Lost> {
        let mut live = std::mem::take(&mut self.live);
        let shown = live.show(self, now).await;
        self.live = live;
        shown
    }

    /// Marks that something is about to be done that can't be taken back.
    async fn effect(&mut self) -> Result<CallOutcome, Lost> {
        let job = self.job();
        reach("before-effect");
        match self.shared().store.effect(&self.claim, job).await {
            Ok(()) => {
                reach("after-effect");
                self.had_effect = true;
                Ok(CallOutcome::Ok { value: serde_json::Value::Null })
            }
            Err(StoreError::Fenced(_)) => Err(Lost),
            Err(err) => {
                error!("could not mark an effect: {:#}", anyhow::Error::from(err));
                Ok(CallOutcome::Refused {
                    reason: "the gateway could not write; try again".to_owned(),
                })
            }
        }
    }

    /// The call that waited for a question, and what it is told.
    fn answered(&mut self, ask: AskId, value: &str) -> Option<(u64, CallOutcome)> {
        let at = self.asks.iter().position(|it| it.ask == ask)?;
        let open = self.asks.remove(at);
        Some((open.call, open.chosen(value)))
    }

    /// The calls whose questions nobody answered in time.
    fn unanswered(&mut self, now: Timestamp) -> Vec<(u64, CallOutcome)> {
        let late = self.asks.extract_if(.., |it| it.ends_at <= now);
        let refused = |it: OpenAsk| {
            (it.call, CallOutcome::Refused { reason: "nobody answered in time".to_owned() })
        };
        late.map(refused).collect()
    }

    fn too_long(&self, whole: bool) -> Ended {
        let limits = &self.group.limits;
        let (setting, seconds) = if whole {
            ("run_seconds", limits.run_seconds)
        } else {
            ("silence_seconds", limits.silence_seconds)
        };
        Ended::Permanent {
            reason: format!("the group's `{setting}` of {seconds} s ran out"),
            notice: Notice::TookTooLong { minutes: seconds.div_ceil(60) },
        }
    }

    /// Writes the end, hands out what is to be sent, and tells whoever watches. True when its lane has more to do.
    async fn end(mut self, ended: Ended, usage: Vec<Usage>) -> bool {
        let session = self.session.take();
        let shared = self.shared();
        let profile = shared.outboxes.profile(self.place());
        let outcome = match &ended {
            Ended::Answered { .. } => "answered",
            Ended::Interrupted => "interrupted",
            Ended::Passing(_) => "retry",
            Ended::Permanent { .. } => "failed",
        };
        let facts = Facts {
            claim: self.claim,
            work: &self.work,
            limit: profile.map_or(NO_PROFILE_LIMIT, |it| it.text_limit),
            chat: if self.work.is_direct { ChatKind::Direct } else { ChatKind::Group },
            partial: self.live.text(),
            live: self.live.message(),
            had_effect: self.had_effect,
            session,
            usage,
            now: shared.clock.now(),
            retry_base: shared.limits.retry_base,
        };
        let finish = finish::finish(facts, ended);
        if let Some(error) = &finish.error {
            info!("run {} failed: {error}", self.claim.run);
        }
        let answer = finish.answer.clone();
        let requeued = finish.jobs.iter().any(|it| matches!(it.1, JobState::Queued { .. }));
        reach("before-finish");
        let Some(finished) = write_end(shared, finish).await else { return false };
        reach("after-finish");
        self.gateway.0.outboxes.hand(finished.said);
        if requeued {
            // Its time is a timer of the dispatcher's.
            shared.dispatcher.wake();
        }
        if let (Some(answer), Some(message)) = (answer, finished.answer) {
            self.publish(Event::Message {
                message,
                place: answer.place,
                author: answer.author,
                sender: match answer.author {
                    Author::Assistant => self.group.name.to_string(),
                    Author::System | Author::User => "gateway".to_owned(),
                },
                text: answer.text,
                in_reply_to: answer.in_reply_to,
                group: Some(self.claim.group),
                lane: Some(self.claim.lane),
                at: shared.clock.now(),
            });
        }
        self.publish(Event::RunFinished {
            run: self.claim.run,
            lane: self.claim.lane,
            group: self.claim.group,
            place: self.place().clone(),
            messages: self.messages(),
            outcome,
            answer: finished.answer,
        });
        finished.more
    }
}

/// The run is no longer ours.
#[derive(Debug)]
pub(crate) struct Lost;

fn ended(outcome: Outcome) -> Ended {
    match outcome {
        Outcome::Answered { text } => Ended::Answered { text },
        Outcome::Interrupted => Ended::Interrupted,
        Outcome::Failed { failure, reason } => finish::failed(failure, reason),
    }
}

/// Writes the end of a run. The answer was paid for, so a full disk or a locked database only delays it.
async fn write_end(shared: &Shared, finish: Finish) -> Option<ngb_store::Finished> {
    let mut tries = 0;
    loop {
        match shared.store.finish(finish.clone()).await {
            Ok(finished) => return Some(finished),
            Err(StoreError::Fenced(run)) => {
                debug!("run {run} lost its lease before its end");
                return None;
            }
            Err(StoreError::Closed) => return None,
            Err(err) => {
                tries += 1;
                let wait = backoff(tries, Duration::from_millis(200)).min(Duration::from_secs(5));
                warn!(
                    "could not write the end of run {}, again in {wait:?}: {:#}",
                    finish.claim.run,
                    anyhow::Error::from(err)
                );
                shared.clock.sleep(wait).await;
            }
        }
    }
}
