//! A component's seat in the chain: the chain's words on one side, those of `wit/plugin.wit` on the other.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use crate::{
    Config, Plugin, PluginError,
    hook::{Event, Group, Hook, Verdict},
    wasm::{
        error::CallError,
        folder::Installed,
        grant::Grant,
        live::LivePlugins,
        manifest::{Manifest, WasmHook},
        plugin::WasmPlugin,
        running::WasmEvent,
        words::{WasmFinished, WasmGroup, WasmMessage, WasmOutgoing, WasmRun, WasmVerdict},
    },
};

/// A plugin of the folder as the chain knows it. A new version of the component takes the seat over; what the version says of
/// itself (hooks, schema) is known by a new seat.
pub struct Seat {
    plugin: Arc<WasmPlugin>,
    manifest: Manifest,
    grants: Vec<Grant>,
    hooks: Vec<Hook>,
    schema: Value,
}

impl Seat {
    pub fn new(plugin: Arc<WasmPlugin>, installed: &Installed) -> Self {
        let manifest = installed.manifest.clone();
        let hooks = manifest.hooks.iter().filter_map(|it| hook(*it)).collect();
        let schema = manifest.config_schema.clone().unwrap_or(Value::Bool(true));
        let grants = Grant::all(&manifest.capabilities, &installed.record.granted);
        Self { plugin, manifest, grants, hooks, schema }
    }

    /// Its settings until somebody changes them.
    pub fn default_config(&self) -> Config {
        Config::new(Value::Object(self.manifest.config.clone()))
    }

    /// What its settings may be, as a JSON schema; `true` where it says nothing about them.
    pub fn schema(&self) -> &Value {
        &self.schema
    }

    /// What it does, in its own words.
    pub fn about(&self) -> &str {
        &self.manifest.description
    }

    /// What it may do, and what it asked for and may not.
    pub fn grants(&self) -> &[Grant] {
        &self.grants
    }

    /// Whether what it is asked about waits while it fails.
    pub fn is_required(&self) -> bool {
        self.manifest.required
    }
}

impl LivePlugins {
    /// Those that run, by name, to be put into a chain.
    pub fn seats(&self) -> Vec<Arc<Seat>> {
        let running = self.all().into_values().filter_map(|it| it.running);
        running.map(|(plugin, installed)| Arc::new(Seat::new(plugin, &installed))).collect()
    }
}

#[async_trait]
impl Plugin for Seat {
    fn name(&self) -> &str {
        self.plugin.name()
    }

    fn version(&self) -> &str {
        &self.manifest.version
    }

    fn hooks(&self) -> &[Hook] {
        &self.hooks
    }

    async fn ask(&self, event: &Event, config: &Config) -> Result<Verdict, PluginError> {
        match self.plugin.ask(told(event), config.text()).await {
            Ok(verdict) => Ok(heard(verdict)),
            // The version that took over meanwhile wants this no longer.
            Err(CallError::NoHook(_)) => Ok(Verdict::Pass),
            Err(err) => Err(PluginError::Failed(err.to_string())),
        }
    }
}

/// None for what is no hook of the chain.
fn hook(it: WasmHook) -> Option<Hook> {
    Some(match it {
        WasmHook::MessageReceived => Hook::MessageReceived,
        WasmHook::MessageSending => Hook::MessageSending,
        WasmHook::RunStarting => Hook::RunStarting,
        WasmHook::RunFinished => Hook::RunFinished,
        WasmHook::GroupRegistered => Hook::GroupRegistered,
        WasmHook::GroupUnregistered => Hook::GroupUnregistered,
        WasmHook::Tick => Hook::Tick,
        WasmHook::State => return None,
    })
}

fn told(event: &Event) -> WasmEvent {
    let group = |it: &Group| WasmGroup {
        name: it.name.as_str().to_owned(),
        chats: it.places.iter().map(|it| it.jid.to_string()).collect(),
    };
    match event {
        Event::MessageReceived(it) => WasmEvent::MessageReceived(WasmMessage {
            id: it.message.0,
            chat: it.place.jid.to_string(),
            thread: thread(&it.place),
            group: it.group.as_ref().map(|it| it.as_str().to_owned()),
            sender: it.sender_id.clone(),
            sender_name: it.sender_name.clone(),
            text: it.text.clone(),
            sent_at_ms: it.sent_at.0,
            private: it.is_direct,
        }),
        Event::MessageSending(it) => WasmEvent::MessageSending(WasmOutgoing {
            chat: it.place.jid.to_string(),
            thread: thread(&it.place),
            group: Some(it.group.as_str().to_owned()),
            text: it.text.clone(),
        }),
        Event::RunStarting(it) => WasmEvent::RunStarting(WasmRun {
            group: it.group.as_str().to_owned(),
            chat: it.place.jid.to_string(),
            thread: thread(&it.place),
            prompt: it.prompt.clone(),
        }),
        Event::RunFinished(it) => WasmEvent::RunFinished(WasmFinished {
            group: it.group.as_str().to_owned(),
            chat: it.place.jid.to_string(),
            thread: thread(&it.place),
            text: it.text.clone(),
            error: it.error.clone(),
        }),
        Event::GroupRegistered(it) => WasmEvent::GroupRegistered(group(it)),
        Event::GroupUnregistered(it) => WasmEvent::GroupUnregistered(group(it)),
        Event::Tick => WasmEvent::Tick,
    }
}

fn thread(place: &ngb_core::address::Place) -> Option<String> {
    place.thread.as_ref().map(ToString::to_string)
}

fn heard(verdict: WasmVerdict) -> Verdict {
    match verdict {
        WasmVerdict::Pass => Verdict::Pass,
        WasmVerdict::Change(it) => Verdict::Change(it),
        WasmVerdict::Answer(it) => Verdict::Answer(it),
        WasmVerdict::Drop(it) => Verdict::Drop(it),
        WasmVerdict::Hold(it) => Verdict::Hold(it),
    }
}
