//! The conversation of a run: the prompt, what the agent shows and asks, until it is done or out of time.

use std::{collections::HashSet, time::Duration};

use ngb_core::{
    clock::Timestamp,
    decision::Decision,
    failpoint::reach,
    frame::{CallOutcome, FromAgent, Outcome, PromptId, Step, ToAgent},
    id::{AskId, JobId},
    notice::Notice,
};
use ngb_store::{StoreError, WorkJob};
use tokio::sync::mpsc;
use tracing::{error, warn};

use crate::{
    agent::{Agent, AgentError},
    approvals,
    calls::OpenAsk,
    dispatch::Order,
    events::Event,
    finish::{self, Ended},
    prompt, spent,
    turn::{Lost, Over, Turn},
};

/// How often a platform is told that an answer is being made. Telegram shows the sign for 5 s.
const TYPING_EVERY: Duration = Duration::from_secs(4);

/// How long an answer may take before it is told for the first time. An answer that is faster needs no sign, and platforms
/// count such calls.
const TYPING_AFTER: Duration = Duration::from_millis(300);

/// How long after an answer of a model it is counted, unless the run ends before and counts it: a gateway that dies loses
/// the count of no more than that.
const COUNT_AFTER: Duration = Duration::from_millis(200);

/// How often what is used by a request that is under way is written down.
const COUNT_EVERY: Duration = Duration::from_secs(2);

/// Longest that an agent may take to say `Done` after it was told to stop; then its sandbox is killed.
const INTERRUPT_LIMIT: Duration = Duration::from_millis(150);

/// Frames of one run. A model that streams for the whole of a long run says a fifth of that.
const MAX_FRAMES: u64 = 1_000_000;

/// What an agent may show in one run, in bytes: thousands of long outputs of tools.
const MAX_SHOWN_BYTES: usize = 256 << 20;

impl Turn<'_> {
    /// Gives the agent its prompt and hears it out.
    pub(crate) async fn converse(
        &mut self,
        agent: &mut Agent,
        orders: &mut mpsc::UnboundedReceiver<Order>,
    ) -> Result<(Option<Ended>, Over), AgentError> {
        let prompt = match self.pass_prompt(prompt::build(self).await).await {
            Ok(prompt) => prompt,
            Err(ended) => return Ok((Some(ended), Over::Alive)),
        };
        agent.send(&ToAgent::Prompt(Box::new(prompt))).await?;
        self.note(Decision::Prompted, String::new());
        let gateway = self.gateway;
        let clock = gateway.clock().clone();
        let limits = self.group.limits.clone();
        let out_of_time = self.started_at + limits.run();
        let mut heard_at = clock.now();
        let mut typing_at = self.started_at + TYPING_AFTER;
        let mut must_end_at: Option<Timestamp> = None;
        let mut count_at = heard_at + COUNT_EVERY;
        let (mut frames, mut shown_bytes) = (0_u64, 0_usize);
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
                Some(count_at),
            ];
            let wake_at = next.into_iter().flatten().min().unwrap_or(out_of_time);
            tokio::select! {
                frame = agent.next() => {
                    heard_at = clock.now();
                    let frame = frame?;
                    frames += 1;
                    if let FromAgent::Progress { step, .. } = &frame {
                        shown_bytes += step.len_bytes();
                    }
                    if MAX_FRAMES < frames || MAX_SHOWN_BYTES < shown_bytes {
                        return Ok((Some(flooded(frames, shown_bytes)), Over::Useless));
                    }
                    match frame {
                        FromAgent::Done { prompts, outcome, session } if prompts.contains(&self.prompt) => {
                            reach("after-done");
                            self.session = session;
                            self.leave_unnamed(&prompts);
                            return Ok((Some(ended(outcome)), Over::Alive));
                        }
                        FromAgent::Done { .. } => warn!("the agent of lane {} answered an old prompt", self.claim.lane),
                        FromAgent::Progress { prompt, step } if prompt == self.prompt => self.progress(step),
                        FromAgent::Effect { call, .. } => match self.effect().await {
                            Ok(outcome) => agent.send(&ToAgent::CallResult { call, outcome }).await?,
                            Err(Lost) => return Ok((None, Over::Useless)),
                        },
                        FromAgent::Call { call, what, .. } => match approvals::call(self, call, what).await {
                            Ok(Some(outcome)) => {
                                agent.send(&ToAgent::CallResult { call, outcome }).await?;
                                reach("after-call-answered");
                            }
                            Ok(None) => (),
                            Err(Lost) => return Ok((None, Over::Useless)),
                        },
                        FromAgent::Usage { .. } => count_at = count_at.min(heard_at + COUNT_AFTER),
                        FromAgent::Ready { .. } | FromAgent::Progress { .. } => (),
                    }
                }
                // People may take long. The question stays open, and the next gateway's run goes on with its answer.
                () = gateway.0.dispatcher.drained(), if !self.asks.is_empty() => {
                    return Ok((None, Over::Useless));
                }
                Some(order) = orders.recv() => match order {
                    Order::Steer => match self.steer().await {
                        Ok(Some(steer)) => agent.send(&steer).await?,
                        Ok(None) => (),
                        Err(Lost) => return Ok((None, Over::Useless)),
                    },
                    Order::Interrupt | Order::GiveWay => {
                        self.gave_way |= matches!(order, Order::GiveWay);
                        agent.send(&ToAgent::Interrupt { prompt: self.prompt }).await?;
                        must_end_at = must_end_at.or(Some(clock.now() + INTERRUPT_LIMIT));
                    }
                    Order::Answer(answered) if answered.run == self.claim.run => {
                        match self.answered(answered.ask, &answered.value).await {
                            Ok(Some((call, outcome))) => {
                                agent.send(&ToAgent::CallResult { call, outcome }).await?;
                            }
                            Ok(None) => (),
                            Err(Lost) => return Ok((None, Over::Useless)),
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
                    if count_at <= now {
                        let (over, open) = spent::of(&agent.door, &gateway.0.limits.prices);
                        self.count(over, open).await;
                        count_at = now + COUNT_EVERY;
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

    /// Takes up what came meanwhile, as a frame for the agent that works.
    async fn steer(&mut self) -> Result<Option<ToAgent>, Lost> {
        let work = match self.shared().store.attach(&self.claim).await {
            Ok(Some(work)) => work,
            Ok(None) => return Ok(None),
            Err(StoreError::Fenced(_)) => return Err(Lost),
            Err(err) => {
                // It waits for the end of the run, as anything else does.
                error!("could not look for what came meanwhile: {:#}", anyhow::Error::from(err));
                return Ok(None);
            }
        };
        reach("after-attach");
        let told = finish::last_message(&self.work);
        let known: HashSet<JobId> = self.work.jobs.iter().map(|it| it.id).collect();
        let jobs: Vec<WorkJob> =
            work.jobs.into_iter().filter(|it| !known.contains(&it.id)).collect();
        let Some(first) = jobs.first() else { return Ok(None) };
        let id = PromptId(first.id.0);
        let context: Vec<_> = work.context.into_iter().filter(|it| told < Some(it.id)).collect();
        let prompt = prompt::of(self, id, &jobs, &context).await;
        self.note_of(&jobs, Decision::Prompted, "while the agent was at work");
        self.acknowledge(&jobs);
        self.steered.push((id, jobs.iter().map(|it| it.id).collect()));
        self.work.jobs.extend(jobs);
        self.tell_asked();
        Ok(Some(ToAgent::Steer { into: self.prompt, prompt: Box::new(prompt) }))
    }

    /// Lets go what was given to the agent and what it did not name: it is queued again at the end of the run.
    fn leave_unnamed(&mut self, prompts: &[PromptId]) {
        let left = self.steered.iter().filter(|it| !prompts.contains(&it.0));
        let left: HashSet<JobId> = left.flat_map(|it| it.1.iter().copied()).collect();
        self.work.jobs.retain(|it| !left.contains(&it.id));
    }

    fn progress(&mut self, step: Step) {
        self.live.heard(&step, self.gateway.clock().now());
        if self.live.is_hidden() && matches!(step, Step::Text { .. } | Step::Thinking { .. }) {
            return;
        }
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
    async fn answered(
        &mut self,
        ask: AskId,
        value: &str,
    ) -> Result<Option<(u64, CallOutcome)>, Lost> {
        let Some(at) = self.asks.iter().position(|it| it.ask == ask) else { return Ok(None) };
        let open = self.asks.remove(at);
        let (call, chosen) = (open.call, open.chosen(value));
        Ok(approvals::go_on(self, open, chosen).await?.map(|outcome| (call, outcome)))
    }

    /// The calls whose questions nobody answered in time.
    fn unanswered(&mut self, now: Timestamp) -> Vec<(u64, CallOutcome)> {
        let late: Vec<OpenAsk> = self.asks.extract_if(.., |it| it.ends_at <= now).collect();
        late.iter().for_each(|it| approvals::unanswered(self, it));
        let refused = |it: OpenAsk| {
            (it.call, CallOutcome::Refused { reason: "nobody answered in time".to_owned() })
        };
        late.into_iter().map(refused).collect()
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
}

fn flooded(frames: u64, shown_bytes: usize) -> Ended {
    Ended::Permanent {
        reason: format!(
            "the agent flooded the gateway: {frames} frames, {} MiB shown",
            shown_bytes >> 20
        ),
        notice: Notice::Flooded,
    }
}

fn ended(outcome: Outcome) -> Ended {
    match outcome {
        Outcome::Answered { text } => Ended::Answered { text },
        Outcome::Interrupted => Ended::Interrupted,
        Outcome::Failed { failure, reason } => finish::failed(failure, reason),
    }
}
