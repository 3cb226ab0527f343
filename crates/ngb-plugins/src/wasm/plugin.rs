//! A plugin that is used: asked one event at a time, begun anew after a trap, replaced between two events.

use std::sync::Arc;

use tokio::sync::Mutex;

use crate::wasm::{
    error::{CallError, ComponentError},
    manifest::WasmHook,
    running::{Program, Running, WasmEvent},
    services::Services,
    words::WasmVerdict,
};

/// A plugin and the component that is behind it at the moment.
///
/// ```text
/// ask ──▶ [ slot ] ──▶ instance 1          replace: compile and start 2 beside 1,
///          in turn      instance 2                   then, with the slot in hand: 1.save ─▶ 2.restore, 2 takes over
/// ```
pub struct WasmPlugin {
    name: Arc<str>,
    services: Arc<dyn Services>,
    /// Whoever asks waits here, first come, first served: order is kept, also across a replacement.
    slot: Mutex<Slot>,
}

struct Slot {
    program: Program,
    running: Running,
}

/// Why a new version did not take over.
#[derive(Debug, thiserror::Error)]
pub enum ReplaceError {
    #[error(transparent)]
    Component(#[from] ComponentError),
    #[error("the old version could not save its state: {0}")]
    Save(CallError),
    #[error("the new version did not take the old one's state: {0}")]
    Restore(CallError),
}

impl WasmPlugin {
    /// Starts `program`.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start(
        program: Program,
        services: Arc<dyn Services>,
    ) -> Result<Self, ComponentError> {
        let running = program.start(services.clone()).await?;
        Ok(Self { name: program.name(), services, slot: Mutex::new(Slot { program, running }) })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The hooks of the version that is in use.
    pub async fn hooks(&self) -> Vec<WasmHook> {
        self.slot.lock().await.program.hooks().to_vec()
    }

    /// Asks the plugin; `config` is its settings for the group at hand, as JSON.
    ///
    /// # Errors
    /// If it fails. The next call finds it whole again, without what it remembered outside of its `kv`.
    pub async fn ask(&self, event: WasmEvent, config: Arc<str>) -> Result<WasmVerdict, CallError> {
        let mut slot = self.slot.lock().await;
        if !slot.running.is_whole() {
            let fresh = slot.program.start(self.services.clone()).await;
            slot.running = fresh.map_err(|err| match err {
                ComponentError::Start(why) => why,
                other => CallError::Trap(other.to_string()),
            })?;
        }
        slot.running.ask(event, config).await
    }

    /// Puts `program` in place of the one in use, between two events.
    ///
    /// # Errors
    /// If it does not start, or the state can't be handed over. The old version stays.
    pub async fn replace(&self, program: Program) -> Result<(), ReplaceError> {
        // While it starts the old one goes on.
        let mut fresh = program.start(self.services.clone()).await?;
        let mut slot = self.slot.lock().await;
        // One that trapped has nothing to hand over: it would have begun anew as well.
        if slot.running.is_whole()
            && let Some(state) = slot.running.save().await.map_err(ReplaceError::Save)?
        {
            fresh.restore(state).await.map_err(ReplaceError::Restore)?;
        }
        *slot = Slot { program, running: fresh };
        Ok(())
    }
}
