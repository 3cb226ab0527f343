//! The line to the gateway while one prompt is worked on.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use ngb_core::{
    frame::{CallOutcome, FromAgent, HostCall, Outcome, Prompt, PromptId, SessionMark, Step},
    text::without_internal,
};
use serde_json::Value;
use thiserror::Error;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Longest text in a frame, in bytes. JSON may write one byte as six, and the line must stay under
/// [`ngb_core::frame::MAX_FRAME_BYTES`].
pub(crate) const MAX_TEXT_BYTES: usize = 160 * 1024;

/// Frames that may wait for the gateway to read them; after that, work waits.
pub(crate) const MAX_WAITING_FRAMES: usize = 64;

/// The gateway said no, or is gone.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub(crate) struct Refused(pub String);

/// Calls whose answer has not come yet.
#[derive(Clone, Default)]
pub(crate) struct OpenCalls(Arc<Mutex<Calls>>);

#[derive(Default)]
struct Calls {
    last: u64,
    open: HashMap<u64, oneshot::Sender<CallOutcome>>,
}

impl OpenCalls {
    fn open(&self) -> (u64, oneshot::Receiver<CallOutcome>) {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        calls.last += 1;
        let number = calls.last;
        let (answer, answered) = oneshot::channel();
        calls.open.insert(number, answer);
        (number, answered)
    }

    /// Hands `outcome` to who asked; a call that was interrupted meanwhile has nobody waiting.
    pub(crate) fn answer(&self, call: u64, outcome: CallOutcome) {
        let asker = self.0.lock().unwrap_or_else(PoisonError::into_inner).open.remove(&call);
        if let Some(asker) = asker {
            asker.send(outcome).ok();
        }
    }
}

/// What a driver says and asks for one prompt.
pub(crate) struct Turn {
    pub(crate) prompt: PromptId,
    /// Fires when the prompt is interrupted.
    pub(crate) stop: CancellationToken,
    out: mpsc::Sender<FromAgent>,
    calls: OpenCalls,
    effect_told: AtomicBool,
    steered: Mutex<Steered>,
    more: Notify,
}

/// What people wrote while the prompt was worked on.
#[derive(Default)]
struct Steered {
    waiting: Vec<Prompt>,
    /// What was taken up, and is answered with the prompt.
    taken: Vec<PromptId>,
}

impl Turn {
    pub(crate) fn new(prompt: PromptId, out: mpsc::Sender<FromAgent>, calls: OpenCalls) -> Self {
        let (effect_told, steered) = (AtomicBool::new(false), Mutex::default());
        let (stop, more) = (CancellationToken::new(), Notify::new());
        Self { prompt, stop, out, calls, effect_told, steered, more }
    }

    fn steered(&self) -> MutexGuard<'_, Steered> {
        self.steered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what people wrote meanwhile, for a driver that asks for it.
    pub(crate) fn steer(&self, prompt: Prompt) {
        self.steered().waiting.push(prompt);
        self.more.notify_one();
    }

    /// Waits until people have written something; it may have been taken since.
    pub(crate) async fn more(&self) {
        self.more.notified().await;
    }

    /// What people wrote since the last look. Whoever takes it answers it.
    pub(crate) fn take_steered(&self) -> Vec<Prompt> {
        let mut steered = self.steered();
        let waiting = std::mem::take(&mut steered.waiting);
        steered.taken.extend(waiting.iter().map(|it| it.id));
        waiting
    }

    /// The prompt, and all that was taken up with it.
    pub(crate) fn answered(&self) -> Vec<PromptId> {
        let mut prompts = vec![self.prompt];
        prompts.extend(&self.steered().taken);
        prompts
    }

    /// Shows a step of the work. When the gateway is gone there is nobody to show it to, and the loop ends the work.
    pub(crate) async fn show(&self, step: Step) {
        let step = match step {
            Step::Text { delta } => Step::Text { delta: cut(delta) },
            Step::Thinking { delta } => Step::Thinking { delta: cut(delta) },
            Step::ToolStart { id, tool, summary } => {
                Step::ToolStart { id: cut(id), tool: cut(tool), summary: cut(summary) }
            }
            Step::ToolEnd { id, ok, output } => {
                Step::ToolEnd { id: cut(id), ok, output: cut(output) }
            }
        };
        self.out.send(FromAgent::Progress { prompt: self.prompt, step }).await.ok();
    }

    /// Tells what a model said it used.
    pub(crate) async fn used(&self, input_tokens: u64, output_tokens: u64) {
        let frame = FromAgent::Usage { prompt: self.prompt, input_tokens, output_tokens };
        self.out.send(frame).await.ok();
    }

    /// Says, once a prompt, that something is about to be done that can't be taken back; returns when it is on disk.
    ///
    /// # Errors
    ///
    /// When the gateway forbids it or is gone.
    pub(crate) async fn before_effect(&self) -> Result<(), Refused> {
        if self.effect_told.load(Relaxed) {
            return Ok(());
        }
        let prompt = self.prompt;
        self.ask(|call| FromAgent::Effect { prompt, call }).await?;
        self.effect_told.store(true, Relaxed);
        Ok(())
    }

    /// Whether the gateway was told of an effect of this prompt.
    pub(crate) fn had_effect(&self) -> bool {
        self.effect_told.load(Relaxed)
    }

    /// Asks the gateway to do something; returns its answer's value.
    ///
    /// # Errors
    ///
    /// When the gateway refuses or is gone, or the arguments are too long.
    pub(crate) async fn call(&self, what: HostCall) -> Result<Value, Refused> {
        let bytes = serde_json::to_string(&what).map_or(usize::MAX, |it| it.len());
        if ngb_core::frame::MAX_FRAME_BYTES - 1024 < bytes {
            let name = what.name();
            return Err(Refused(format!("the arguments of `{name}` are too long: {bytes} bytes")));
        }
        if what.changes() {
            self.before_effect().await?;
        }
        let prompt = self.prompt;
        self.ask(|call| FromAgent::Call { prompt, call, what }).await
    }

    async fn ask(&self, frame: impl FnOnce(u64) -> FromAgent) -> Result<Value, Refused> {
        let gone = |_| Refused("the gateway is gone".to_owned());
        let (number, answered) = self.calls.open();
        self.out
            .send(frame(number))
            .await
            .map_err(|_| Refused("the gateway is gone".to_owned()))?;
        match answered.await.map_err(gone)? {
            CallOutcome::Ok { value } => Ok(value),
            CallOutcome::Refused { reason } => Err(Refused(reason)),
        }
    }
}

/// What a driver made of a prompt.
#[derive(Debug)]
pub(crate) struct Worked {
    pub(crate) outcome: Outcome,
    pub(crate) session: Option<SessionMark>,
}

impl Worked {
    /// The frame that says so, with texts that fit and without what is the agent's own.
    pub(crate) fn into_frame(self, prompts: Vec<PromptId>) -> FromAgent {
        let outcome = match self.outcome {
            Outcome::Answered { text } => Outcome::Answered { text: cut(without_internal(&text)) },
            Outcome::Failed { failure, reason } => Outcome::Failed { failure, reason: cut(reason) },
            Outcome::Interrupted => Outcome::Interrupted,
        };
        FromAgent::Done { prompts, outcome, session: self.session }
    }
}

/// `text` as far as it fits into a frame, with a remark where it was cut.
pub(crate) fn cut(text: String) -> String {
    cut_to(text, MAX_TEXT_BYTES)
}

/// The first `max` bytes of `text`, with a remark where it was cut.
pub(crate) fn cut_to(mut text: String, max: usize) -> String {
    if text.len() <= max {
        return text;
    }
    let whole = text.len();
    let mut keep = max;
    while !text.is_char_boundary(keep) {
        keep -= 1;
    }
    text.truncate(keep);
    text + &format!("\n[cut: {keep} of {whole} bytes]")
}

#[cfg(test)]
mod tests {
    use ngb_core::frame::MAX_FRAME_BYTES;

    use super::*;

    #[tokio::test]
    async fn the_longest_text_fits_into_a_frame() {
        for text in [
            "\u{1}".repeat(4 << 20),
            "日".repeat(2 << 20),
            "<internal>x</internal>\n".repeat(200_000),
        ] {
            let outcome = Outcome::Answered { text };
            let frame = Worked { outcome, session: None }.into_frame(vec![PromptId(1)]);
            let mut wire = Vec::new();
            ngb_core::frame::write(&mut wire, &frame).await.unwrap();
            assert!(wire.len() <= MAX_FRAME_BYTES);
        }
    }

    #[tokio::test]
    async fn an_effect_is_told_once_and_waits_for_its_answer() {
        let (out, mut sent) = mpsc::channel(MAX_WAITING_FRAMES);
        let calls = OpenCalls::default();
        let turn = Turn::new(PromptId(1), out, calls.clone());
        let asked = async { (turn.before_effect().await, turn.before_effect().await) };
        let answered = async {
            let Some(FromAgent::Effect { call, .. }) = sent.recv().await else {
                panic!("no effect")
            };
            calls.answer(call, CallOutcome::Ok { value: Value::Null });
        };
        assert_eq!(tokio::join!(asked, answered).0, (Ok(()), Ok(())));
        assert!(sent.try_recv().is_err(), "told once");
    }
}
