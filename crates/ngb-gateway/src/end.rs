//! The end of a run: written, handed out, told.

use std::time::Duration;

use ngb_core::{
    clock::Timestamp,
    failpoint::reach,
    job::{JobState, backoff},
    message::{Author, ChatKind},
    price::{Prices, TokenCounts},
};
use ngb_store::{Claim, Finish, StoreError, Usage};
use tracing::{debug, info, warn};

use crate::{
    capped,
    events::Event,
    finish::{self, Ended, Facts},
    handle::Shared,
    turn::Turn,
};

impl Turn<'_> {
    /// Writes the end, hands out what is to be sent, and tells whoever watches. True when its lane has more to do.
    pub(crate) async fn end(mut self, ended: Ended, usage: Vec<Usage>) -> bool {
        let session = self.session.take();
        let shared = self.shared();
        let outcome = match &ended {
            Ended::Answered { .. } => "answered",
            Ended::Interrupted => "interrupted",
            Ended::Passing(_) => "retry",
            Ended::Permanent { .. } => "failed",
        };
        let now = shared.clock.now();
        let telling = capped::telling(&ended, self.claim.lane, &self.group.limits, now);
        let told_today = match &telling {
            Some(telling) => capped::is_told(shared, telling).await,
            None => false,
        };
        let facts = Facts {
            claim: self.claim,
            work: &self.work,
            limit: shared.text_limit(self.place()),
            chat: if self.work.is_direct { ChatKind::Direct } else { ChatKind::Group },
            partial: self.live.text(),
            live: self.live.message(),
            had_effect: self.had_effect,
            gave_way: self.gave_way,
            session,
            usage,
            told_today,
            now,
            retry_base: shared.limits.retry_base,
        };
        let finish = finish::finish(facts, ended);
        if let Some(error) = &finish.error {
            let run = self.claim.run;
            info!(%run, messages = self.named(), "run {run} failed: {error}");
        }
        let answer = finish.answer.clone();
        let requeued = finish.jobs.iter().any(|it| matches!(it.1, JobState::Queued { .. }));
        reach("before-finish");
        let Some(finished) = write_end(shared, finish).await else { return false };
        reach("after-finish");
        if let Some(telling) = telling.filter(|_| answer.is_some()) {
            capped::note_told(shared, telling).await;
        }
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
        debug!(run = %self.claim.run, messages = self.named(), outcome, "run ended");
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

/// The end of a run that did nothing.
pub(crate) fn nothing_done(claim: Claim, now: Timestamp) -> Finish {
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

/// What was used, in tokens and in money.
pub(crate) fn priced(used: Vec<ngb_broker::Usage>, prices: &Prices) -> Vec<Usage> {
    let counted = |it: ngb_broker::Usage| {
        let tokens = TokenCounts {
            input: it.input_tokens,
            output: it.output_tokens,
            cache_read: it.cache_read_tokens,
            cache_write: it.cache_write_tokens,
        };
        let cached_tokens = it.cache_read_tokens + it.cache_write_tokens;
        Usage {
            cost_micros: prices.cost_micros(&it.provider, &it.model, tokens),
            provider: it.provider,
            model: it.model,
            // What came from the provider's cache was sent all the same, and counts.
            input_tokens: it.input_tokens + cached_tokens,
            output_tokens: it.output_tokens,
            cached_tokens,
            is_estimated: !it.complete,
        }
    };
    used.into_iter().map(counted).collect()
}

/// Writes the end of a run. The answer was paid for, so a full disk or a locked database only delays it.
pub(crate) async fn write_end(shared: &Shared, finish: Finish) -> Option<ngb_store::Finished> {
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
