//! What follows from the end of a run, as a pure decision: its jobs, its answer, what is sent, what `why` tells.

use std::time::Duration;

use ngb_core::{
    clock::Timestamp,
    decision::Decision,
    frame::{Failure, SessionMark},
    id::{MessageId, OutboxId},
    job::{JobState, RunEnd, after_run},
    message::{Author, ChatKind, Outbound},
    notice::{Lang, Notice},
    text::{Limit, split, without_internal},
};
use ngb_store::{Claim, Finish, JobKind, NewDecision, NewMessage, NewOutbox, Usage, Work};

use crate::outbox::edit_of_live;

/// How long a chat waits before it is told that retries go on.
pub(crate) const TELL_AFTER: Duration = Duration::from_secs(20);

/// How a run ended, as its worker saw it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ended {
    Answered {
        text: String,
    },
    Interrupted,
    /// Worth another try.
    Passing(String),
    /// Trying again can't help; the chat is told this.
    Permanent {
        reason: String,
        notice: Notice,
    },
}

/// What the decision is made from.
pub(crate) struct Facts<'a> {
    pub(crate) claim: Claim,
    pub(crate) work: &'a Work,
    pub(crate) limit: Limit,
    pub(crate) chat: ChatKind,
    /// What there is of an answer that was cut off.
    pub(crate) partial: &'a str,
    /// The row that showed the answer while it was made.
    pub(crate) live: Option<OutboxId>,
    /// Whether this run or an earlier one did something that can't be taken back.
    pub(crate) had_effect: bool,
    /// Whether it was ended for a message that waits behind it.
    pub(crate) gave_way: bool,
    pub(crate) session: Option<SessionMark>,
    /// Whether the conversation knows already that its group's cap of the day is used up.
    pub(crate) told_today: bool,
    pub(crate) usage: Vec<Usage>,
    pub(crate) now: Timestamp,
    pub(crate) retry_base: Duration,
}

pub(crate) fn finish(facts: Facts<'_>, ended: Ended) -> Finish {
    let lang = lang(facts.work);
    let about = last_message(facts.work);
    let run_end = match &ended {
        Ended::Answered { .. } => RunEnd::Ok,
        Ended::Interrupted => RunEnd::Interrupted,
        Ended::Passing(reason) => RunEnd::Passing(reason.clone()),
        Ended::Permanent { reason, .. } => RunEnd::Permanent(reason.clone()),
    };
    let mut jobs = Vec::new();
    let mut decisions = Vec::new();
    let mut waits_until = None;
    let mut gave_up = false;
    // What was shown or done already is not left without a word.
    let silent = facts.told_today && !facts.had_effect && facts.live.is_none();
    for job in &facts.work.jobs {
        let (state, tries) = after_run(job.tries, run_end.clone(), facts.now, facts.retry_base);
        let (kind, detail) = match (&state, &run_end) {
            (JobState::Queued { run_at }, RunEnd::Passing(reason)) => {
                waits_until = Some(*run_at);
                let wait = run_at.since(facts.now).as_secs();
                (Decision::Retry, format!("again in {wait} s: {reason}"))
            }
            (JobState::Dead { reason }, _) => {
                gave_up = true;
                let told = if silent { "; the chat was told so already today" } else { "" };
                (Decision::Dead, format!("{reason}{told}"))
            }
            (JobState::Cancelled, _) if facts.gave_way => {
                (Decision::Interrupted, "a newer message took its place".to_owned())
            }
            (JobState::Cancelled, _) => (Decision::Interrupted, "somebody stopped it".to_owned()),
            _ => (Decision::Answered, String::new()),
        };
        decisions.push(NewDecision {
            message: message_of(&job.kind),
            job: Some(job.id),
            run: Some(facts.claim.run),
            kind,
            detail,
        });
        jobs.push((job.id, state, tries));
    }

    let told = facts.work.jobs.iter().any(|it| it.told_waiting);
    let oldest = facts.work.jobs.iter().map(|it| it.created_at).min().unwrap_or(facts.now);
    let (author, text) = match &ended {
        Ended::Answered { text } => {
            let text = without_internal(text);
            // What was shown last, say what it was doing, must not stand there for ever.
            match facts.live {
                Some(_) if text.trim().is_empty() => (Author::System, Notice::Done.say(lang, None)),
                _ => (Author::Assistant, text),
            }
        }
        // The answer to the newer message is all that is to be said.
        Ended::Interrupted
            if facts.gave_way && facts.partial.trim().is_empty() && facts.live.is_none() =>
        {
            (Author::System, String::new())
        }
        Ended::Interrupted if facts.partial.trim().is_empty() => {
            (Author::System, Notice::Stopped.say(lang, about))
        }
        // What was said already is not taken back.
        Ended::Interrupted => {
            let stopped = Notice::Stopped.say(lang, about);
            (Author::Assistant, format!("{}\n\n{stopped}", without_internal(facts.partial)))
        }
        Ended::Permanent { .. } if silent => (Author::System, String::new()),
        Ended::Permanent { notice, .. } if facts.had_effect => {
            let part = Notice::PartlyDone.say(lang, about);
            (Author::System, format!("{}\n{part}", notice.say(lang, None)))
        }
        Ended::Permanent { notice, .. } => (Author::System, notice.say(lang, about)),
        Ended::Passing(_) if gave_up && facts.had_effect => {
            (Author::System, Notice::PartlyDone.say(lang, about))
        }
        Ended::Passing(_) if gave_up => (Author::System, Notice::GaveUp.say(lang, about)),
        Ended::Passing(_) => {
            let long = waits_until.is_some_and(|until| TELL_AFTER <= until.since(oldest));
            let tell = long && !told;
            let text = if tell { Notice::StillTrying.say(lang, about) } else { String::new() };
            (Author::System, text)
        }
    };
    let over = waits_until.is_none();
    let outbox = if text.trim().is_empty() {
        Vec::new()
    } else {
        // A note that it still tries is no answer, so it leaves the live message alone.
        say(&facts, &text, if over { facts.live } else { None })
    };
    let answer = (!outbox.is_empty()).then(|| NewMessage {
        place: facts.work.jobs[0].place.clone(),
        author,
        text,
        in_reply_to: about,
    });
    let error = match run_end {
        RunEnd::Passing(reason) | RunEnd::Permanent(reason) => Some(reason),
        RunEnd::Ok | RunEnd::Interrupted | RunEnd::GatewayDied => None,
    };
    Finish {
        claim: facts.claim,
        now: facts.now,
        jobs,
        answer,
        outbox,
        session: facts.session,
        usage: facts.usage,
        error,
        context_given: matches!(ended, Ended::Answered { .. } | Ended::Interrupted),
        decisions,
    }
}

/// The parts of an answer, as rows. The first takes the place of the live message, where there is one; in a group of
/// people it answers the message that asked.
fn say(facts: &Facts<'_>, text: &str, live: Option<OutboxId>) -> Vec<NewOutbox> {
    let last = &facts.work.jobs[facts.work.jobs.len() - 1];
    let reply_to = match &last.kind {
        JobKind::Message(it) if facts.chat == ChatKind::Group => {
            Some(it.content.platform_id.clone())
        }
        _ => None,
    };
    let row = |(n, text): (usize, String)| {
        let item = match (n, live) {
            (0, Some(live)) => edit_of_live(live, text),
            (0, None) => Outbound::Text { text, reply_to: reply_to.clone(), buttons: Vec::new() },
            _ => Outbound::Text { text, reply_to: None, buttons: Vec::new() },
        };
        NewOutbox {
            place: last.place.clone(),
            item,
            about: message_of(&last.kind),
            job: Some(last.id),
            live: false,
        }
    };
    split(text, facts.limit).into_iter().enumerate().map(row).collect()
}

/// What the chat is told about a failure that the agent named.
pub(crate) fn failed(failure: Failure, reason: String) -> Ended {
    match failure {
        Failure::Passing => Ended::Passing(reason),
        other => Ended::Permanent { reason, notice: Notice::Failed(other) },
    }
}

pub(crate) fn message_of(kind: &JobKind) -> Option<MessageId> {
    match kind {
        JobKind::Message(it) => Some(it.id),
        JobKind::Say { .. } | JobKind::Task { .. } => None,
    }
}

/// The newest message that the run is to answer.
pub(crate) fn last_message(work: &Work) -> Option<MessageId> {
    work.jobs.iter().rev().find_map(|it| message_of(&it.kind))
}

/// The language of what is to be answered.
pub(crate) fn lang(work: &Work) -> Lang {
    let text = work.jobs.iter().rev().find_map(|it| match &it.kind {
        JobKind::Message(it) => Some(it.content.text.as_str()),
        JobKind::Task { text, .. } => Some(text.as_str()),
        JobKind::Say { .. } => None,
    });
    Lang::of(text.unwrap_or_default())
}
