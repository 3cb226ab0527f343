//! The agent's loop: frames in, one prompt at a time to the driver, frames out.
//!
//! ```text
//!            ┌──── Prompt ◀── queue ◀── Prompt while busy
//! Ready ──▶ idle ─────────▶ busy ──Done──▶ idle
//!            │ Stop, end     │ Steer: kept for the driver, which may take it up
//!            │               │ Interrupt: the driver stops and says so
//!            ▼               │ Stop: ends after this Done
//!           end ◀────────────┘ end of input: ends at once
//! ```

use std::collections::VecDeque;

use anyhow::Context as _;
use ngb_core::{
    clock::Clock,
    frame::{self, FrameReader, FromAgent, Outcome, PROTOCOL, Prompt, ProtocolError, ToAgent},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader},
    sync::mpsc,
};

use crate::{
    DriverKind, Folders,
    acp::Acp,
    builtin::Builtin,
    claude::Claude,
    demo::Demo,
    drops::Drops,
    turn::{MAX_WAITING_FRAMES, OpenCalls, Turn, Worked},
};

/// Frames that wait are written together up to about so many bytes.
const JOINED_BYTES: usize = 16 * 1024;

enum Driver {
    Demo(Box<Demo>),
    Builtin(Box<Builtin>),
    Claude(Box<Claude>),
    Acp(Box<Acp>),
}

impl Driver {
    async fn work(&mut self, prompt: &Prompt, turn: &Turn) -> Worked {
        match self {
            Self::Demo(it) => it.work(prompt, turn).await,
            Self::Builtin(it) => it.work(prompt, turn).await,
            Self::Claude(it) => it.work(prompt, turn).await,
            Self::Acp(it) => it.work(prompt, turn).await,
        }
    }
}

/// Works until `input` ends or says `Stop`.
///
/// # Errors
///
/// When the other side doesn't speak the protocol, or went away in the middle of a frame.
pub(crate) async fn serve(
    driver: DriverKind,
    folders: Folders,
    clock: Clock,
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin,
) -> anyhow::Result<()> {
    let drops = folders.drops.clone();
    let mut driver = match driver {
        DriverKind::Demo => Driver::Demo(Box::new(Demo::new(folders, clock))),
        DriverKind::Builtin => Driver::Builtin(Box::new(Builtin::new(folders, clock))),
        DriverKind::ClaudeCode { program } => {
            Driver::Claude(Box::new(Claude::new(program, folders, clock)))
        }
        DriverKind::Acp { command } => Driver::Acp(Box::new(Acp::new(command, folders, clock))),
    };
    let (out, waiting) = mpsc::channel(MAX_WAITING_FRAMES);
    let drops = Drops::open(&drops);
    let mut line = Line {
        reader: FrameReader::new(BufReader::new(input)),
        calls: OpenCalls::default(),
        queue: VecDeque::new(),
        out,
        ending: false,
    };
    let writing = write_all(waiting, output);
    tokio::pin!(writing);
    let reading = async move {
        let res = line.work(&mut driver, &drops).await;
        drop(line); // The last sender: the writer ends once everything is out.
        res
    };
    tokio::pin!(reading);
    tokio::select! {
        res = &mut reading => {
            res.context("read a frame")?;
            writing.await
        }
        res = &mut writing => res,
    }
    .context("write a frame")
}

/// Frames are written here and nowhere else: work may be dropped at any await, a frame half written may not.
async fn write_all(
    mut waiting: mpsc::Receiver<FromAgent>,
    mut output: impl AsyncWrite + Unpin,
) -> Result<(), ProtocolError> {
    while let Some(frame) = waiting.recv().await {
        let mut lines = frame::line(&frame)?;
        // The end of a prompt is several frames; the other side is woken once for them.
        while lines.len() < JOINED_BYTES
            && let Ok(frame) = waiting.try_recv()
        {
            lines.append(&mut frame::line(&frame)?);
        }
        output.write_all(&lines).await?;
        output.flush().await?;
    }
    Ok(())
}

struct Line<R> {
    reader: FrameReader<BufReader<R>>,
    calls: OpenCalls,
    /// Prompts that came while another one was worked on.
    queue: VecDeque<Box<Prompt>>,
    out: mpsc::Sender<FromAgent>,
    /// Whether to end after the prompt that is being worked on.
    ending: bool,
}

impl<R: AsyncRead + Unpin> Line<R> {
    /// Works on prompts, and on what programs ask for meanwhile by `drops`.
    async fn work(&mut self, driver: &mut Driver, drops: &Drops) -> Result<(), ProtocolError> {
        self.out.send(FromAgent::Ready { protocol: PROTOCOL }).await.ok();
        while let Some(prompt) = self.next_prompt().await? {
            let turn = Turn::new(prompt.id, self.out.clone(), self.calls.clone());
            let working = driver.work(&prompt, &turn);
            tokio::pin!(working);
            let dropped = drops.serve(&turn);
            tokio::pin!(dropped);
            let worked = loop {
                tokio::select! {
                    biased;
                    worked = &mut working => break worked,
                    never = &mut dropped => match never {},
                    frame = self.reader.next() => match frame? {
                        None => return Ok(()),
                        Some(ToAgent::Interrupt { prompt: it }) if it == prompt.id => {
                            turn.stop.cancel();
                        }
                        Some(ToAgent::Steer { into, prompt: more }) if into == prompt.id => {
                            turn.steer(*more);
                        }
                        Some(frame) => self.take(frame).await,
                    },
                }
            };
            self.out.send(worked.into_frame(turn.answered())).await.ok();
        }
        Ok(())
    }

    /// The next thing to work on, or `None` when it is time to end.
    async fn next_prompt(&mut self) -> Result<Option<Box<Prompt>>, ProtocolError> {
        while !self.ending {
            if let Some(prompt) = self.queue.pop_front() {
                return Ok(Some(prompt));
            }
            match self.reader.next().await? {
                Some(frame) => self.take(frame).await,
                None => break,
            }
        }
        Ok(None)
    }

    async fn take(&mut self, frame: ToAgent) {
        match frame {
            ToAgent::Prompt(prompt) => self.queue.push_back(prompt),
            // It is for a prompt that has its answer: the gateway gives it again, as one of its own.
            ToAgent::Steer { .. } => (),
            ToAgent::CallResult { call, outcome } => self.calls.answer(call, outcome),
            ToAgent::Interrupt { prompt } => {
                // It may have ended while the interrupt was on its way; then there is nothing to stop.
                if let Some(at) = self.queue.iter().position(|it| it.id == prompt)
                    && let Some(it) = self.queue.remove(at)
                {
                    let worked = Worked { outcome: Outcome::Interrupted, session: it.session };
                    self.out.send(worked.into_frame(vec![prompt])).await.ok();
                }
            }
            ToAgent::Stop => self.ending = true,
        }
    }
}
