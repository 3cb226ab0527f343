//! A component that runs: its hooks as typed functions, called one at a time within its limits.

use std::{sync::Arc, time::Duration};

use wasmtime::{
    Store, Trap, UpdateDeadline,
    component::{Component, ComponentNamedList, Instance, InstancePre, Lift, Lower, TypedFunc},
};

use crate::wasm::{
    cache::digest,
    compiled::{Shape, export_name},
    engine::WasmEngine,
    error::{CallError, ComponentError},
    guest::{Guest, Limits},
    imports,
    manifest::{Capabilities, Manifest, WasmHook},
    services::Services,
    words::{WasmFinished, WasmGroup, WasmMessage, WasmOutgoing, WasmRun, WasmVerdict},
};

type Said<T> = (Result<T, String>,);
type Hook<In, Out = WasmVerdict> = Option<TypedFunc<(In,), Said<Out>>>;

/// A component with everything that its instances share.
#[derive(Clone)]
pub struct Program {
    engine: WasmEngine,
    ready: InstancePre<Guest>,
    hooks: Vec<WasmHook>,
    name: Arc<str>,
    granted: Arc<Capabilities>,
    limits: Limits,
}

impl Program {
    /// Checks `component` against what its `plugin.toml` says.
    ///
    /// # Errors
    /// If it imports or lacks something, or its imports have another shape.
    pub fn new(
        engine: &WasmEngine,
        component: &Component,
        manifest: &Manifest,
        granted: Capabilities,
        limits: Limits,
    ) -> Result<Self, ComponentError> {
        Shape::of(engine, component)?.check(manifest)?;
        let invalid = |err: wasmtime::Error| ComponentError::Invalid(format!("{err:#}"));
        let linker = imports::linker(engine).map_err(invalid)?;
        let ready = linker.instantiate_pre(component).map_err(invalid)?;
        Ok(Self {
            engine: engine.clone(),
            ready,
            hooks: manifest.hooks.clone(),
            name: manifest.name.as_str().into(),
            granted: Arc::new(granted),
            limits,
        })
    }

    pub(super) fn name(&self) -> Arc<str> {
        self.name.clone()
    }

    pub fn hooks(&self) -> &[WasmHook] {
        &self.hooks
    }

    /// Starts an instance.
    ///
    /// # Errors
    /// If it fails while it starts, or exports a hook in another shape.
    pub async fn start(&self, services: Arc<dyn Services>) -> Result<Running, ComponentError> {
        let guest = Guest::new(self.name.clone(), self.granted.clone(), services, self.limits);
        let mut store = Store::new(&self.engine.inner, guest);
        store.limiter(Guest::limiter);
        store.epoch_deadline_callback(|mut context| match context.data_mut().tick() {
            true => Err(wasmtime::format_err!("out of time")),
            // The runtime's other work goes on meanwhile.
            false => Ok(UpdateDeadline::Yield(1)),
        });
        // What the guest hands over is copied at most so often.
        store.set_hostcall_fuel(self.limits.output_bytes.saturating_mul(4));
        begin(&mut store, self.limits.start);
        let instance = {
            let _beat = self.engine.running();
            self.ready.instantiate_async(&mut store).await
        };
        let instance = instance.map_err(|err| ComponentError::Start(why(&store, &err)))?;
        let hooks = Hooks::find(&mut store, &instance, &self.hooks)?;
        Ok(Running { engine: self.engine.clone(), store, hooks, is_whole: true })
    }
}

fn begin(store: &mut Store<Guest>, time: Duration) {
    store.data_mut().begin(time);
    store.set_epoch_deadline(1);
}

/// The functions behind a component's hooks.
#[derive(Default)]
struct Hooks {
    message_received: Hook<WasmMessage>,
    message_sending: Hook<WasmOutgoing>,
    run_starting: Hook<WasmRun>,
    run_finished: Hook<WasmFinished>,
    group_registered: Hook<WasmGroup, ()>,
    group_unregistered: Hook<WasmGroup, ()>,
    tick: Option<TypedFunc<(), Said<()>>>,
    save: Option<TypedFunc<(), Said<Vec<u8>>>>,
    restore: Hook<Vec<u8>, ()>,
}

impl Hooks {
    fn find(
        store: &mut Store<Guest>,
        instance: &Instance,
        wanted: &[WasmHook],
    ) -> Result<Self, ComponentError> {
        let mut hooks = Self::default();
        let mut it = Finder { store, instance };
        for hook in wanted.iter().copied() {
            match hook {
                WasmHook::MessageReceived => hooks.message_received = it.find(hook, "handle")?,
                WasmHook::MessageSending => hooks.message_sending = it.find(hook, "handle")?,
                WasmHook::RunStarting => hooks.run_starting = it.find(hook, "handle")?,
                WasmHook::RunFinished => hooks.run_finished = it.find(hook, "handle")?,
                WasmHook::GroupRegistered => hooks.group_registered = it.find(hook, "handle")?,
                WasmHook::GroupUnregistered => {
                    hooks.group_unregistered = it.find(hook, "handle")?
                }
                WasmHook::Tick => hooks.tick = it.find(hook, "handle")?,
                WasmHook::State => {
                    hooks.save = it.find(hook, "save")?;
                    hooks.restore = it.find(hook, "restore")?;
                }
            }
        }
        Ok(hooks)
    }
}

struct Finder<'a> {
    store: &'a mut Store<Guest>,
    instance: &'a Instance,
}

impl Finder<'_> {
    fn find<In, Out>(
        &mut self,
        hook: WasmHook,
        function: &str,
    ) -> Result<Option<TypedFunc<In, Out>>, ComponentError>
    where
        In: ComponentNamedList + Lower,
        Out: ComponentNamedList + Lift,
    {
        let outer = self.instance.get_export_index(&mut *self.store, None, &export_name(hook));
        let inner = outer
            .and_then(|it| self.instance.get_export_index(&mut *self.store, Some(&it), function))
            .ok_or(ComponentError::NoExport(hook))?;
        let found = self.instance.get_typed_func(&mut *self.store, inner);
        found.map(Some).map_err(|err| ComponentError::Shape { hook, why: format!("{err:#}") })
    }
}

/// One instance of a plugin. It does one thing at a time.
pub struct Running {
    engine: WasmEngine,
    store: Store<Guest>,
    hooks: Hooks,
    is_whole: bool,
}

/// Something that a plugin is asked.
#[derive(Clone, Debug)]
pub enum WasmEvent {
    MessageReceived(WasmMessage),
    MessageSending(WasmOutgoing),
    RunStarting(WasmRun),
    RunFinished(WasmFinished),
    GroupRegistered(WasmGroup),
    GroupUnregistered(WasmGroup),
    Tick,
}

impl WasmEvent {
    /// What it is known by when it comes again: the message, and its text, since an edit has the message's number.
    fn key(&self) -> Option<String> {
        match self {
            Self::MessageReceived(it) => {
                Some(format!("{}:{}", it.id, &digest(it.text.as_bytes())[..16]))
            }
            _ => None,
        }
    }
}

impl Running {
    /// Whether it can be called again: one that trapped or was cut off in the middle of a call can't.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Asks the plugin, with its settings for the group at hand as JSON.
    ///
    /// # Errors
    /// If it fails, answers what is not allowed, or breaks a limit.
    pub async fn ask(
        &mut self,
        event: WasmEvent,
        config: Arc<str>,
    ) -> Result<WasmVerdict, CallError> {
        self.store.data_mut().turn_to(event.key(), config);
        let verdict = match event {
            WasmEvent::MessageReceived(it) => {
                self.call(WasmHook::MessageReceived, self.hooks.message_received, (it,)).await?
            }
            WasmEvent::MessageSending(it) => {
                self.call(WasmHook::MessageSending, self.hooks.message_sending, (it,)).await?
            }
            WasmEvent::RunStarting(it) => {
                self.call(WasmHook::RunStarting, self.hooks.run_starting, (it,)).await?
            }
            WasmEvent::RunFinished(it) => {
                self.call(WasmHook::RunFinished, self.hooks.run_finished, (it,)).await?
            }
            WasmEvent::GroupRegistered(it) => {
                self.call(WasmHook::GroupRegistered, self.hooks.group_registered, (it,)).await?;
                WasmVerdict::Pass
            }
            WasmEvent::GroupUnregistered(it) => {
                self.call(WasmHook::GroupUnregistered, self.hooks.group_unregistered, (it,))
                    .await?;
                WasmVerdict::Pass
            }
            WasmEvent::Tick => {
                self.call(WasmHook::Tick, self.hooks.tick, ()).await?;
                WasmVerdict::Pass
            }
        };
        self.check_length(&verdict)?;
        Ok(verdict)
    }

    /// What the next version is to be told; `None` where the plugin hands nothing over.
    ///
    /// # Errors
    /// If it fails or hands over too much.
    pub async fn save(&mut self) -> Result<Option<Vec<u8>>, CallError> {
        let Some(save) = self.hooks.save else { return Ok(None) };
        let state = self.call(WasmHook::State, Some(save), ()).await?;
        let limit = self.store.data().limits.output_bytes;
        if limit < state.len() { Err(CallError::TooLong(limit)) } else { Ok(Some(state)) }
    }

    /// Tells what the version before handed over.
    ///
    /// # Errors
    /// If it fails or doesn't take it.
    pub async fn restore(&mut self, state: Vec<u8>) -> Result<(), CallError> {
        let Some(restore) = self.hooks.restore else { return Ok(()) };
        self.call(WasmHook::State, Some(restore), (state,)).await
    }

    async fn call<In, Out>(
        &mut self,
        hook: WasmHook,
        function: Option<TypedFunc<In, Said<Out>>>,
        params: In,
    ) -> Result<Out, CallError>
    where
        In: ComponentNamedList + Lower + Send + Sync + 'static,
        Out: Lift + Send + Sync + 'static,
    {
        let function = function.ok_or(CallError::NoHook(hook))?;
        let time = self.store.data().limits.call;
        begin(&mut self.store, time);
        // Whoever gives up waiting drops this in the middle.
        self.is_whole = false;
        let beat = self.engine.running();
        let called = function.call_async(&mut self.store, params).await;
        drop(beat);
        match called {
            Ok((said,)) => {
                self.is_whole = true;
                said.map_err(|it| CallError::Said(it[..it.floor_char_boundary(500)].to_owned()))
            }
            Err(err) => Err(why(&self.store, &err)),
        }
    }

    fn check_length(&self, verdict: &WasmVerdict) -> Result<(), CallError> {
        let limit = self.store.data().limits.output_bytes;
        match verdict {
            WasmVerdict::Change(text)
            | WasmVerdict::Answer(text)
            | WasmVerdict::Drop(text)
            | WasmVerdict::Hold(text)
                if limit < text.len() =>
            {
                Err(CallError::TooLong(limit))
            }
            _ => Ok(()),
        }
    }
}

/// What a failed call means: the limit that it broke, if it broke one, and otherwise the trap.
fn why(store: &Store<Guest>, err: &wasmtime::Error) -> CallError {
    let guest = store.data();
    if let Some(broke) = &guest.broke {
        return broke.clone();
    }
    if guest.wanted_memory() {
        return CallError::Memory(guest.limits.memory_bytes);
    }
    let text = format!("{err:#}");
    if err.downcast_ref::<std::str::Utf8Error>().is_some() || text.contains("invalid utf-8") {
        return CallError::NotUtf8;
    }
    if text.contains("fuel allocated for hostcalls") {
        return CallError::TooLong(guest.limits.output_bytes);
    }
    match err.downcast_ref::<Trap>() {
        Some(trap) => CallError::Trap(trap.to_string()),
        None => CallError::Trap(text),
    }
}
