//! The WebAssembly engine: how guests are compiled, and what ends one that doesn't end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread::{self, Thread},
    time::Duration,
};

use wasmtime::{Config, OptLevel};

/// How often a guest that runs is looked at.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// The deepest stack of a guest, in bytes.
const MAX_STACK_BYTES: usize = 512 << 10;

/// The stack of the fiber that a guest runs on: what the guest may use, and what host functions need on top.
const FIBER_STACK_BYTES: usize = 2 << 20;

/// One engine serves all plugins. There is none as long as no plugin needs it.
#[derive(Clone)]
pub struct WasmEngine {
    pub(super) inner: wasmtime::Engine,
    pulse: Arc<Pulse>,
}

impl WasmEngine {
    /// An engine, and the thread that moves its epoch while a guest runs.
    ///
    /// # Errors
    /// If this machine can't compile or has no thread left.
    pub fn new() -> wasmtime::Result<Self> {
        let mut config = Config::new();
        config
            .epoch_interruption(true)
            .concurrency_support(false)
            .cranelift_opt_level(OptLevel::Speed)
            .generate_address_map(false)
            .max_wasm_stack(MAX_STACK_BYTES)
            .async_stack_size(FIBER_STACK_BYTES);
        let inner = wasmtime::Engine::new(&config)?;
        let pulse = Pulse::start(inner.weak())?;
        Ok(Self { inner, pulse: Arc::new(pulse) })
    }

    /// To be held while a guest runs.
    pub(super) fn running(&self) -> Beat {
        self.pulse.begin()
    }
}

/// Moves the epoch while a guest runs, and sleeps otherwise.
struct Pulse {
    shared: Arc<Shared>,
    thread: Thread,
}

#[derive(Default)]
struct Shared {
    running: AtomicUsize,
    asleep: AtomicBool,
    over: AtomicBool,
}

/// A guest runs as long as this is there.
pub(super) struct Beat(Arc<Shared>);

impl Pulse {
    /// The thread is none of the runtime's: guests that never end would keep all of those.
    fn start(engine: wasmtime::EngineWeak) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let its = shared.clone();
        let handle = thread::Builder::new()
            .name("plugin-pulse".into())
            .spawn(move || beat(&its, &engine))?;
        Ok(Self { shared, thread: handle.thread().clone() })
    }

    fn begin(&self) -> Beat {
        self.shared.running.fetch_add(1, SeqCst);
        if self.shared.asleep.load(SeqCst) {
            self.thread.unpark();
        }
        Beat(self.shared.clone())
    }
}

fn beat(shared: &Shared, engine: &wasmtime::EngineWeak) {
    while !shared.over.load(SeqCst) {
        shared.asleep.store(true, SeqCst);
        // A wake-up can't be missed: who begins raises the count first and then looks whether we sleep.
        if shared.running.load(SeqCst) == 0 && !shared.over.load(SeqCst) {
            thread::park();
        }
        shared.asleep.store(false, SeqCst);
        thread::park_timeout(TICK);
        let Some(engine) = engine.upgrade() else { return };
        engine.increment_epoch();
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, SeqCst);
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.shared.over.store(true, SeqCst);
        self.thread.unpark();
    }
}
