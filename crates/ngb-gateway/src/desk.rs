//! What plugins ask of the gateway, behind the grants that `ngb-plugins` looks at.

use std::sync::{Arc, OnceLock, Weak};

use async_trait::async_trait;
use http::{HeaderName, HeaderValue, Method};
use ngb_core::{
    address::{Jid, Place},
    clock::Clock,
    group::Group,
    role::Role,
    schedule::{Misfire, Overlap, Schedule},
};
use ngb_plugins::wasm::{
    MAX_KV_BYTES, Once, Refusal, Services, WasmGroup, WasmLevel, WasmQueue, WasmRequest,
    WasmResponse,
};
use ngb_store::TaskDoes;
use tracing::{debug, error, info, warn};

use crate::{
    Gateway,
    handle::{HandleError, Shared},
    plugin_state::PluginLog,
    timetable::Task,
};

/// Longest answer of a host that a plugin is given, in bytes.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// The gateway as plugins reach it. Plugins start before the gateway does, so that none is missing when the first message
/// comes; what they ask until then is refused.
pub struct Desk {
    gateway: OnceLock<Weak<Shared>>,
    clock: Clock,
    /// What plugins write, also while the gateway starts.
    pub(crate) log: Arc<PluginLog>,
}

impl Desk {
    pub fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self { gateway: OnceLock::new(), clock, log: Arc::new(PluginLog::new()) })
    }

    /// From now on `gateway` does what is asked.
    pub(crate) fn open(&self, gateway: &Gateway) {
        // A second gateway has a desk of its own.
        self.gateway.get_or_init(|| Arc::downgrade(&gateway.0));
    }

    fn gateway(&self) -> Result<Gateway, Refusal> {
        let gateway = self.gateway.get().and_then(Weak::upgrade).map(Gateway);
        gateway.ok_or_else(|| "the gateway is starting or ending".to_owned())
    }
}

/// What a plugin is told of an error of ours; what it means is in the log.
fn failed(plugin: &str, what: &str, err: impl Into<anyhow::Error>) -> Refusal {
    warn!("plugin `{plugin}`: {what}: {:#}", err.into());
    format!("{what} failed; the gateway's log says why")
}

fn group_of(gateway: &Gateway, name: &str) -> Result<Group, Refusal> {
    let snapshot = gateway.directory().snapshot();
    let found = snapshot.groups().find(|it| it.name.as_str() == name);
    found.cloned().ok_or_else(|| format!("there is no group `{name}`"))
}

#[async_trait]
impl Services for Desk {
    fn log(&self, plugin: &str, level: WasmLevel, text: &str) {
        match level {
            WasmLevel::Debug => debug!(target: "plugin", plugin, "{text}"),
            WasmLevel::Info => info!(target: "plugin", plugin, "{text}"),
            WasmLevel::Warn => warn!(target: "plugin", plugin, "{text}"),
            WasmLevel::Error => error!(target: "plugin", plugin, "{text}"),
        }
        let level = match level {
            WasmLevel::Debug => "debug",
            WasmLevel::Info => "info",
            WasmLevel::Warn => "warn",
            WasmLevel::Error => "error",
        };
        self.log.write(self.clock.now(), plugin, level, text);
    }

    fn count(&self, plugin: &str, name: &str, by: f64) {
        // What is counted while the gateway starts or ends is not shown to anybody.
        if let Ok(gateway) = self.gateway() {
            gateway.0.plugins.count(plugin, name, by);
        }
    }

    fn now_ms(&self) -> i64 {
        self.clock.now().0
    }

    async fn kv_get(&self, plugin: &str, key: &str) -> Result<Option<Vec<u8>>, Refusal> {
        let value = self.gateway()?.store().plugin_value(plugin, key).await;
        value.map_err(|err| failed(plugin, "reading", err))
    }

    async fn kv_set(&self, plugin: &str, key: &str, value: Option<Vec<u8>>) -> Result<(), Refusal> {
        let gateway = self.gateway()?;
        let kept = gateway.store().keep_plugin_value(plugin, key, value, MAX_KV_BYTES).await;
        match kept {
            Ok(true) => Ok(()),
            Ok(false) => Err(format!("a plugin keeps up to {MAX_KV_BYTES} bytes")),
            Err(err) => Err(failed(plugin, "keeping", err)),
        }
    }

    async fn kv_keys(&self, plugin: &str, prefix: &str) -> Result<Vec<String>, Refusal> {
        let keys = self.gateway()?.store().plugin_keys(plugin).await;
        let mut keys = keys.map_err(|err| failed(plugin, "reading", err))?;
        keys.retain(|it| it.starts_with(prefix));
        Ok(keys)
    }

    async fn send(&self, plugin: &str, chat: &str, text: &str, once: Once) -> Result<(), Refusal> {
        let gateway = self.gateway()?;
        let jid: Jid = chat.parse().map_err(|err| format!("`{chat}` is no chat: {err}"))?;
        let place = Place::from(jid);
        if gateway.directory().snapshot().bindings(&place.jid).is_empty() {
            return Err(format!("`{chat}` is bound to no group"));
        }
        let rows = gateway.0.rows_of(&place, text, None, None);
        let said = gateway.store().say_for_plugin(plugin, once, rows).await;
        gateway.0.outboxes.hand(said.map_err(|err| failed(plugin, "sending", err))?);
        Ok(())
    }

    async fn groups(&self, _: &str) -> Result<Vec<WasmGroup>, Refusal> {
        let snapshot = self.gateway()?.directory().snapshot();
        let group = |it: &Group| {
            let chats = snapshot.bindings_of(it.id).map(|it| it.place.jid.to_string());
            let mut chats: Vec<String> = chats.collect();
            chats.sort();
            WasmGroup { name: it.name.as_str().to_owned(), chats }
        };
        let mut groups: Vec<WasmGroup> = snapshot.groups().map(group).collect();
        groups.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(groups)
    }

    async fn enqueue(
        &self,
        plugin: &str,
        group: &str,
        prompt: &str,
        once: Once,
    ) -> Result<i64, Refusal> {
        let gateway = self.gateway()?;
        let group = group_of(&gateway, group)?;
        let task = Task {
            group: group.id,
            does: TaskDoes::Think,
            text: prompt.to_owned(),
            schedule: Schedule::Once(gateway.clock().now()),
            misfire: Misfire::default(),
            overlap: Overlap::Queue,
            jitter_ms: 0,
            place: None,
            isolated: true,
            role: Role::Member,
            made_by: format!("plugin {plugin}"),
        };
        let task = gateway.new_task(task).map_err(|err| refused(plugin, err))?;
        let job = gateway.store().enqueue_for_plugin(plugin, once, task).await;
        let job = job.map_err(|err| failed(plugin, "queueing", err))?;
        gateway.0.dispatcher.wake();
        Ok(job.0)
    }

    async fn queue(&self, plugin: &str) -> Result<WasmQueue, Refusal> {
        let counts = self.gateway()?.store().counts().await;
        let counts = counts.map_err(|err| failed(plugin, "counting", err))?;
        let small = |it: u64| u32::try_from(it).unwrap_or(u32::MAX);
        Ok(WasmQueue {
            queued: small(counts.jobs_queued),
            running: small(counts.runs_running),
            dead: small(counts.jobs_dead),
        })
    }

    async fn http(&self, plugin: &str, request: WasmRequest) -> Result<WasmResponse, Refusal> {
        let gateway = self.gateway()?;
        let method: Method =
            request.method.parse().map_err(|_| format!("`{}` is no method", request.method))?;
        let mut ask = http::Request::builder().method(method).uri(&request.url);
        for (name, value) in &request.headers {
            let bad = || format!("`{name}` is no header");
            let name: HeaderName = name.parse().map_err(|_| bad())?;
            ask = ask.header(name, HeaderValue::from_str(value).map_err(|_| bad())?);
        }
        let ask = ask.body(request.body.into()).map_err(|err| err.to_string())?;
        let who = format!("plugin {plugin}");
        let answer = gateway.0.broker.ask(&who, ask, MAX_ANSWER_BYTES).await?;
        let header = |(name, value): (&HeaderName, &HeaderValue)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        };
        Ok(WasmResponse {
            status: answer.status().as_u16(),
            headers: answer.headers().iter().map(header).collect(),
            body: answer.into_body().into(),
        })
    }
}

/// What is wrong with what it wants is the plugin's to know; what is wrong with us is not.
fn refused(plugin: &str, err: HandleError) -> Refusal {
    match err {
        HandleError::Task(err) => err.to_string(),
        HandleError::NoGroup(name) => format!("group `{name}` has no chat to answer in"),
        err => failed(plugin, "queueing", err),
    }
}
