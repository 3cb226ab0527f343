//! An answer that is shown while it is made: one message, edited, never repeated.

use std::time::Duration;

use ngb_core::{
    clock::Timestamp,
    frame::Step,
    id::OutboxId,
    message::{Button, Outbound, Profile},
    notice::{Lang, Notice},
    stop,
    text::{Limit, shorten, without_internal},
};
use ngb_store::{NewOutbox, StoreError, Work};
use tracing::warn;

use crate::{
    finish,
    turn::{Lost, Turn},
};

/// How long an answer may take before what there is of it is shown.
const FIRST_SHOW: Duration = Duration::from_secs(2);

/// How long there may be nothing to show before the chat is told what runs.
const WORKING_AFTER: Duration = Duration::from_secs(20);

/// As much of an answer as is kept while it is made, in bytes: more than any platform shows at once. The answer itself comes
/// whole, at the end.
const MAX_TEXT_BYTES: usize = 256 << 10;

/// Room that is kept for an ellipsis, in the platform's unit.
const MARGIN: usize = 16;

/// The state of the message that shows an answer while it is made.
#[derive(Debug, Default)]
pub(crate) struct Live {
    /// None where the platform can't edit: nothing is shown before the end.
    limits: Option<(Limit, Duration)>,
    lang: Lang,
    /// What stands under it until the answer is whole: a button that stops it, where the platform can show one there.
    buttons: Vec<Button>,
    began_at: Timestamp,
    text: String,
    /// When it last grew.
    grew_at: Timestamp,
    /// The tool that runs now, or ran last.
    doing: String,
    message: Option<OutboxId>,
    /// Plugins are to see what is said before anybody else does: only what runs is shown.
    hidden: bool,
    shown: String,
    next_at: Option<Timestamp>,
}

impl Live {
    pub(crate) fn new(
        profile: Option<&Profile>,
        work: &Work,
        now: Timestamp,
        hidden: bool,
    ) -> Self {
        let limits = profile.filter(|it| it.edits).map(|it| (it.text_limit, it.edit_interval));
        // An earlier try may have shown something already; that message is the one to go on with.
        let message = work.jobs.iter().find_map(|it| it.live.as_ref()).map(|it| it.outbox);
        let next_at = limits.map(|_| now + WORKING_AFTER);
        let lang = finish::lang(work);
        let has_buttons = profile.is_some_and(|it| it.live_buttons);
        let job = work.jobs.first().filter(|_| has_buttons);
        let buttons = job.map(|it| stop::button(it.id, lang)).into_iter().collect();
        Self {
            limits,
            lang,
            buttons,
            began_at: now,
            grew_at: now,
            message,
            next_at,
            hidden,
            ..Self::default()
        }
    }

    /// The row that showed it first.
    pub(crate) fn message(&self) -> Option<OutboxId> {
        self.message
    }

    /// The answer so far.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether nobody may see a text before it is whole.
    pub(crate) fn is_hidden(&self) -> bool {
        self.hidden
    }

    /// Puts what plugins left in the place of the answer so far.
    pub(crate) fn leave(&mut self, text: String) {
        self.text = text;
    }

    /// The agent begins only now.
    pub(crate) fn begins(&mut self, now: Timestamp) {
        self.began_at = now;
        self.grew_at = now;
        self.next_at = self.next_at.map(|_| now + WORKING_AFTER);
    }

    pub(crate) fn heard(&mut self, step: &Step, now: Timestamp) {
        match step {
            Step::Text { delta } => {
                if self.text.len() + delta.len() <= MAX_TEXT_BYTES {
                    self.text += delta;
                }
                self.grew_at = now;
                if self.hidden {
                    return;
                }
                let soon = (self.began_at + FIRST_SHOW).max(now);
                if self.limits.is_some() && self.message.is_none() {
                    self.next_at = self.next_at.map(|it| it.min(soon));
                } else if let Some((_, interval)) = self.limits {
                    self.next_at = self.next_at.map(|it| it.min(now + interval));
                }
            }
            Step::ToolStart { tool, summary, .. } => {
                // What a tool is given is a text too.
                let summary = if self.hidden { "" } else { summary };
                self.doing = shorten(format!("{tool} {summary}").trim(), 80);
            }
            Step::ToolEnd { .. } | Step::Thinking { .. } => (),
        }
    }

    /// When there will be something to show.
    pub(crate) fn next_at(&self) -> Option<Timestamp> {
        self.next_at
    }

    /// Shows what there is, if it is time to.
    pub(crate) async fn show(&mut self, turn: &Turn<'_>, now: Timestamp) -> Result<(), Lost> {
        let Some((limit, interval)) = self.limits else { return Ok(()) };
        if self.next_at.is_none_or(|it| now < it) {
            return Ok(());
        }
        self.next_at = Some(now + interval.max(WORKING_AFTER));
        let text = self.current(limit, now);
        if text == self.shown {
            return Ok(());
        }
        let shared = &turn.gateway.0;
        match self.message {
            None => {
                let row = NewOutbox {
                    place: turn.place().clone(),
                    item: Outbound::Text {
                        text: text.clone(),
                        reply_to: None,
                        buttons: self.buttons.clone(),
                    },
                    about: finish::last_message(&turn.work),
                    job: Some(turn.job()),
                    live: true,
                };
                match shared.store.live(&turn.claim, turn.job(), row).await {
                    Ok(queued) => {
                        self.message = Some(queued.id);
                        shared.outboxes.hand(vec![queued]);
                    }
                    Err(StoreError::Fenced(_)) => return Err(Lost),
                    Err(err) => warn!("could not show an answer: {:#}", anyhow::Error::from(err)),
                }
            }
            Some(row) => match shared.store.platform_id(row).await {
                Ok(Some(platform_id)) => {
                    let (text, buttons) = (text.clone(), self.buttons.clone());
                    let item = Outbound::Edit { platform_id, text, buttons };
                    shared.outboxes.show(turn.place(), &item).await
                }
                // It is still on its way.
                Ok(None) => return Ok(()),
                Err(err) => warn!("could not show an answer: {:#}", anyhow::Error::from(err)),
            },
        }
        self.shown = text;
        Ok(())
    }

    /// What the message shows now: the answer so far, and after a while without more of it one line of what runs.
    fn current(&self, limit: Limit, now: Timestamp) -> String {
        let text = if self.hidden { String::new() } else { without_internal(&self.text) };
        let text = text.trim();
        let quiet = WORKING_AFTER <= now.since(self.grew_at) && !self.doing.is_empty();
        let working = (text.is_empty() || quiet).then(|| {
            let seconds = now.since(self.began_at).as_secs();
            let doing = if self.doing.is_empty() { "…".to_owned() } else { self.doing.clone() };
            Notice::Working { seconds, doing }.say(self.lang, None)
        });
        let Some(working) = working else { return beginning(text, limit, MARGIN) };
        if text.is_empty() {
            return working;
        }
        // A UTF-16 unit is at most as much as a byte, in any unit that a platform counts in.
        let shown = beginning(text, limit, MARGIN + working.len());
        format!("{shown}\n\n{working}")
    }
}

/// As much of `text` as fits when `margin` is kept free, with an ellipsis where it was cut.
fn beginning(text: &str, limit: Limit, margin: usize) -> String {
    let room = Limit { max: limit.max.saturating_sub(margin), unit: limit.unit };
    if room.fits(text) {
        return text.to_owned();
    }
    let first = ngb_core::text::split(text, room).into_iter().next().unwrap_or_default();
    format!("{first}\n…")
}
