//! What belongs to one running component: its grants, its limits, and what it has used of them.

use std::{sync::Arc, time::Duration};

use wasmtime::ResourceLimiter;

use crate::wasm::{
    engine::TICK,
    error::CallError,
    manifest::{Capabilities, Capability},
    services::{Once, Services},
};

/// What a guest may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The processor's time of one call.
    pub call: Duration,
    /// The processor's time of a start: a language's own runtime has more to do then.
    pub start: Duration,
    /// All its memory, in bytes.
    pub memory_bytes: usize,
    /// A text that it answers or sends, or a state that it saves, in bytes.
    pub output_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            call: Duration::from_secs(1),
            start: Duration::from_secs(5),
            // An empty plugin in JavaScript has 14 MiB, one in Python 30 MiB.
            memory_bytes: 128 << 20,
            output_bytes: 1 << 20,
        }
    }
}

/// Lines of a plugin's log that are kept, a minute.
const LOG_LINES_A_MINUTE: u32 = 100;

/// A longer line is cut, in bytes.
const LOG_LINE_BYTES: usize = 2 << 10;

const MINUTE_MS: i64 = 60_000;

/// Names that a plugin may count under.
const MAX_METRICS: usize = 100;

/// The longest of them, in bytes.
const MAX_METRIC_BYTES: usize = 64;

/// Behind a store: who the guest is and what it may do.
pub(super) struct Guest {
    pub(super) name: Arc<str>,
    pub(super) granted: Arc<Capabilities>,
    pub(super) services: Arc<dyn Services>,
    pub(super) limits: Limits,
    /// Its settings for the group of the message at hand, as JSON.
    pub(super) config: Arc<str>,
    /// What the event at hand is known by; none where it has no number.
    event: Option<String>,
    /// What it did for this event so far.
    acts: u32,
    memory: Memory,
    /// How many ticks it has run for in this call, and how many it may.
    ticks: u32,
    max_ticks: u32,
    /// What a call of it broke, if it did: better to tell than the trap that followed.
    pub(super) broke: Option<CallError>,
    log: LogBudget,
    metrics: Vec<String>,
}

#[derive(Default)]
struct LogBudget {
    since_ms: i64,
    lines: u32,
    dropped: u32,
}

/// All linear memories and tables of a guest together.
struct Memory {
    used: usize,
    limit: usize,
    was_refused: bool,
}

impl Guest {
    pub(super) fn new(
        name: Arc<str>,
        granted: Arc<Capabilities>,
        services: Arc<dyn Services>,
        limits: Limits,
    ) -> Self {
        Self {
            name,
            granted,
            services,
            limits,
            config: "{}".into(),
            event: None,
            acts: 0,
            memory: Memory { used: 0, limit: limits.memory_bytes, was_refused: false },
            ticks: 0,
            max_ticks: 0,
            broke: None,
            log: LogBudget::default(),
            metrics: Vec::new(),
        }
    }

    /// Begins a call that may take `time`.
    pub(super) fn begin(&mut self, time: Duration) {
        let ticks = time.as_millis().div_ceil(TICK.as_millis());
        self.max_ticks = u32::try_from(ticks).unwrap_or(u32::MAX);
        self.ticks = 0;
        self.broke = None;
        self.memory.was_refused = false;
    }

    /// Says which event is at hand from now on, and the settings that count for it.
    pub(super) fn turn_to(&mut self, event: Option<String>, config: Arc<str>) {
        self.event = event;
        self.config = config;
        self.acts = 0;
    }

    /// Under what the next thing is done that it does.
    pub(super) fn next_act(&mut self) -> Once {
        self.acts += 1;
        self.event.as_ref().map(|it| format!("{it}:{}", self.acts))
    }

    /// One more tick of the processor's time went by; whether there is none left.
    pub(super) fn tick(&mut self) -> bool {
        self.ticks += 1;
        if self.max_ticks < self.ticks {
            self.broke = Some(CallError::Endless(TICK * self.max_ticks));
        }
        self.broke.is_some()
    }

    pub(super) fn limiter(&mut self) -> &mut dyn ResourceLimiter {
        &mut self.memory
    }

    /// Whether it was refused memory in this call.
    pub(super) fn wanted_memory(&self) -> bool {
        self.memory.was_refused
    }

    /// # Errors
    /// If the guest was not granted `it`.
    pub(super) fn may(&mut self, it: Capability) -> Result<(), CallError> {
        if self.granted.has(it) {
            return Ok(());
        }
        self.broke = Some(CallError::NotGranted(it));
        Err(CallError::NotGranted(it))
    }

    /// Passes a line on, unless there were too many in this minute.
    pub(super) fn write_log(&mut self, level: super::words::WasmLevel, text: &str) {
        let now = self.services.now_ms();
        if MINUTE_MS <= now - self.log.since_ms {
            let dropped = std::mem::take(&mut self.log.dropped);
            if 0 < dropped {
                let told = format!("{dropped} lines were too many and are not here");
                self.services.log(&self.name, super::words::WasmLevel::Warn, &told);
            }
            self.log = LogBudget { since_ms: now, ..LogBudget::default() };
        }
        self.log.lines += 1;
        if LOG_LINES_A_MINUTE < self.log.lines {
            self.log.dropped = self.log.dropped.saturating_add(1);
            return;
        }
        let end = text.floor_char_boundary(LOG_LINE_BYTES);
        self.services.log(&self.name, level, &text[..end]);
    }

    /// Counts, unless the name is too long or one too many.
    pub(super) fn count(&mut self, name: &str, by: f64) {
        if MAX_METRIC_BYTES < name.len() || !by.is_finite() {
            return;
        }
        if !self.metrics.iter().any(|it| it == name) {
            if MAX_METRICS <= self.metrics.len() {
                return;
            }
            self.metrics.push(name.to_owned());
        }
        self.services.count(&self.name, name, by);
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current)))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current).saturating_mul(size_of::<usize>())))
    }
}

impl Memory {
    fn grow(&mut self, bytes: usize) -> bool {
        let after = self.used.saturating_add(bytes);
        let fits = after <= self.limit;
        if fits {
            self.used = after;
        } else {
            self.was_refused = true;
        }
        fits
    }
}
