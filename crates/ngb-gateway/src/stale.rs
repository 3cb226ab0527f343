//! Messages that waited too long: they are not answered blindly; the chat is asked in one line.

use std::time::Duration;

use ngb_core::{
    ask::{self, Audience},
    clock::Timestamp,
    message::{Button, Outbound},
    notice::Notice,
    queue::{Queue, Stale, answer_or_skip, written_at},
    role::Role,
    text::shorten,
};
use ngb_store::{JobKind, NewOutbox, PutOff, PutOffAsk, StoreError, StoredMessage, WorkJob};
use tracing::{debug, error};

use crate::{
    calls::askers,
    end::{nothing_done, write_end},
    events::Event,
    finish,
    turn::{Turn, UNREADABLE_WAIT},
};

/// How long the question stays open; then the messages are given up.
const ASK_LIFE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Characters of the oldest message that the question shows.
const MAX_BEGINNING_CHARS: usize = 60;

/// Of a run's work, what is too old to be begun now, and what the chat is asked about it.
pub(crate) fn put_off(turn: &Turn<'_>) -> Option<PutOff> {
    let snapshot = turn.shared().directory.snapshot();
    let queue = snapshot.binding(turn.group.id, turn.place())?.queue;
    let old: Vec<(&WorkJob, &StoredMessage)> =
        turn.work.jobs.iter().filter_map(|it| too_old(it, &queue, turn.started_at)).collect();
    let (first, oldest) = *old.first()?;
    let about = old.last().map(|it| it.1.id);
    let ask = (queue.stale == Stale::Ask).then(|| {
        let lang = finish::lang(&turn.work);
        let question = Notice::TooOld {
            messages: old.len(),
            minutes: turn
                .started_at
                .since(written_at(oldest.sent_at, oldest.received_at))
                .as_secs()
                / 60,
            begins: shorten(oldest.content.text.trim(), MAX_BEGINNING_CHARS),
        };
        let question = question.say(lang, None);
        let nonce = crate::codes::random_id();
        let option = |(n, label): (usize, &str)| Button {
            label: label.to_owned(),
            value: ask::value_of(&nonce, n),
        };
        let options: Vec<Button> =
            answer_or_skip(lang).into_iter().enumerate().map(option).collect();
        let channel = turn.shared().accounts.of(turn.place());
        let buttons = channel.is_some_and(|it| it.profile().buttons);
        let (text, shown) = if buttons {
            (question, options.clone())
        } else {
            let how = Notice::AnswerInWords.say(lang, None);
            (ask::as_text(&question, &options, &how), Vec::new())
        };
        let item = Outbound::Text { text, reply_to: None, buttons: shown };
        let place = first.place.clone();
        PutOffAsk {
            parts: vec![NewOutbox { place, item, about, job: Some(first.id), live: false }],
            options,
            numbered: !buttons,
            audience: Audience { asked: askers(&turn.work), least: Role::Operator },
            expires_at: turn.started_at + ASK_LIFE,
        }
    });
    let jobs = old.iter().map(|it| it.0.id).collect();
    Some(PutOff { claim: turn.claim, now: turn.started_at, jobs, ask })
}

/// The message of a job that was never begun and is too old to begin.
fn too_old<'a>(
    job: &'a WorkJob,
    queue: &Queue,
    now: Timestamp,
) -> Option<(&'a WorkJob, &'a StoredMessage)> {
    let JobKind::Message(message) = &job.kind else { return None };
    let begun = job.had_effect || 0 < job.tries.failures;
    let stale = queue.stale != Stale::Answer
        && queue.is_stale(written_at(message.sent_at, message.received_at), now);
    (stale && !begun && !job.cleared).then_some((job, message))
}

/// Writes it, and asks; true when the lane has more to do.
pub(crate) async fn write(turn: &Turn<'_>, put_off: PutOff) -> bool {
    let shared = turn.shared();
    let asks = put_off.ask.clone();
    let (finished, ask) = match shared.store.put_off(put_off).await {
        Ok(done) => done,
        Err(StoreError::Fenced(run)) => {
            debug!("run {run} lost its lease before it began");
            return false;
        }
        Err(err) => {
            error!("could not put off old messages: {:#}", anyhow::Error::from(err));
            shared.clock.sleep(UNREADABLE_WAIT).await;
            let freed = write_end(shared, nothing_done(turn.claim, shared.clock.now())).await;
            return freed.is_some_and(|it| it.more);
        }
    };
    let place = turn.place().clone();
    if let (Some(ask), Some(it)) = (ask, asks) {
        shared.questions.asked(&place.jid);
        let question = match &it.parts[0].item {
            Outbound::Text { text, .. } => text.clone(),
            _ => String::new(),
        };
        shared.hub.publish(Event::Asked { ask, place, question, options: it.options });
    }
    shared.outboxes.hand(finished.said);
    finished.more
}
