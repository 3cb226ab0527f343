//! A plugin without a gateway: recorded events go in, and what it says is held against what was expected.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::wasm::{
    error::{CallError, ComponentError},
    imports::MAX_KV_BYTES,
    plugin::{ReplaceError, WasmPlugin},
    running::{Program, WasmEvent},
    services::{Once, Refusal, Services},
    words::{
        WasmFinished, WasmGroup, WasmLevel, WasmMessage, WasmOutgoing, WasmQueue, WasmRequest,
        WasmResponse, WasmRun, WasmVerdict,
    },
};

/// A line of a recording.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
struct Line {
    #[serde(flatten)]
    event: Recorded,
    /// The plugin's settings from here on.
    #[serde(default)]
    config: Option<Value>,
    /// What it is to say; nothing is held against it where this is missing.
    #[serde(default)]
    expect: Option<Expected>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Recorded {
    MessageReceived(WasmMessage),
    MessageSending(WasmOutgoing),
    RunStarting(WasmRun),
    RunFinished(WasmFinished),
    GroupRegistered(WasmGroup),
    GroupUnregistered(WasmGroup),
    Tick {},
    /// The plugin is replaced by itself, as by `plugin reload`.
    Reload {},
    /// The clock, in milliseconds since 1970.
    Clock(i64),
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Expected {
    Error(String),
    #[serde(untagged)]
    Verdict(WasmVerdict),
}

/// What came of one line.
#[derive(Debug, Serialize)]
pub struct Step {
    /// In the recording, from 1.
    pub line: usize,
    pub event: String,
    /// What the plugin said: a verdict, or `error` and why.
    pub said: Value,
    pub expected: Option<Value>,
    pub is_right: bool,
    /// What it wrote to its log and sent meanwhile.
    pub notes: Vec<String>,
}

/// Why a rehearsal could not be held.
#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    #[error("line {line} of the recording can't be read: {why}")]
    Line { line: usize, why: String },
    #[error("the recording has no events")]
    Empty,
    #[error(transparent)]
    Component(#[from] ComponentError),
}

/// Plays `recording`, one JSON object a line, to a plugin.
///
/// # Errors
/// If a line can't be understood, or the plugin does not start. What the plugin does wrong is a step.
pub async fn rehearse(
    program: Program,
    config: &serde_json::Map<String, Value>,
    recording: &str,
) -> Result<Vec<Step>, RehearsalError> {
    let mut lines = Vec::new();
    for (number, text) in recording.lines().enumerate() {
        // Comments and empty lines make a recording a thing to read.
        if text.trim().is_empty() || text.starts_with("//") {
            continue;
        }
        let line: Line = serde_json::from_str(text)
            .map_err(|err| RehearsalError::Line { line: number + 1, why: err.to_string() })?;
        lines.push((number + 1, line));
    }
    if lines.is_empty() {
        return Err(RehearsalError::Empty);
    }
    let stage = Arc::new(Stage::default());
    let mut config: Arc<str> = Value::Object(config.clone()).to_string().into();
    let plugin = WasmPlugin::start(program.clone(), stage.clone()).await?;
    let mut steps = Vec::new();
    for (number, line) in lines {
        if let Some(it) = &line.config {
            config = it.to_string().into();
        }
        let (name, said) = play(&plugin, &program, &stage, line.event, config.clone()).await;
        let said = match said {
            Ok(verdict) => Expected::Verdict(verdict),
            Err(why) => Expected::Error(why),
        };
        steps.push(Step {
            line: number,
            event: name.to_owned(),
            is_right: line.expect.as_ref().is_none_or(|it| *it == said),
            said: json(&said),
            expected: line.expect.as_ref().map(json),
            notes: std::mem::take(&mut *lock(&stage.notes)),
        });
    }
    Ok(steps)
}

fn json(it: &Expected) -> Value {
    serde_json::to_value(it).unwrap_or_default()
}

async fn play(
    plugin: &WasmPlugin,
    program: &Program,
    stage: &Stage,
    event: Recorded,
    config: Arc<str>,
) -> (&'static str, Result<WasmVerdict, String>) {
    let (name, event) = match event {
        Recorded::MessageReceived(it) => ("message_received", WasmEvent::MessageReceived(it)),
        Recorded::MessageSending(it) => ("message_sending", WasmEvent::MessageSending(it)),
        Recorded::RunStarting(it) => ("run_starting", WasmEvent::RunStarting(it)),
        Recorded::RunFinished(it) => ("run_finished", WasmEvent::RunFinished(it)),
        Recorded::GroupRegistered(it) => ("group_registered", WasmEvent::GroupRegistered(it)),
        Recorded::GroupUnregistered(it) => ("group_unregistered", WasmEvent::GroupUnregistered(it)),
        Recorded::Tick {} => ("tick", WasmEvent::Tick),
        Recorded::Reload {} => {
            let replaced = plugin.replace(program.clone()).await;
            let said =
                replaced.map(|()| WasmVerdict::Pass).map_err(|it: ReplaceError| it.to_string());
            return ("reload", said);
        }
        Recorded::Clock(now) => {
            *lock(&stage.now_ms) = now;
            return ("clock", Ok(WasmVerdict::Pass));
        }
    };
    let said = plugin.ask(event, config).await;
    (name, said.map_err(|it: CallError| it.to_string()))
}

/// What stands in for the gateway: it keeps what the plugin does, and reaches nothing.
#[derive(Default)]
struct Stage {
    notes: Mutex<Vec<String>>,
    kept: Mutex<BTreeMap<String, Vec<u8>>>,
    now_ms: Mutex<i64>,
}

fn lock<T>(it: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stage {
    fn note(&self, note: String) {
        lock(&self.notes).push(note);
    }
}

#[async_trait]
impl Services for Stage {
    fn log(&self, _: &str, level: WasmLevel, text: &str) {
        self.note(format!("log {level:?}: {text}").to_lowercase());
    }

    fn count(&self, _: &str, name: &str, by: f64) {
        self.note(format!("count {name}: {by}"));
    }

    fn now_ms(&self) -> i64 {
        *lock(&self.now_ms)
    }

    async fn kv_get(&self, _: &str, key: &str) -> Result<Option<Vec<u8>>, Refusal> {
        Ok(lock(&self.kept).get(key).cloned())
    }

    async fn kv_set(&self, _: &str, key: &str, value: Option<Vec<u8>>) -> Result<(), Refusal> {
        let mut kept = lock(&self.kept);
        let Some(value) = value else {
            kept.remove(key);
            return Ok(());
        };
        let others = kept.iter().filter(|(it, _)| *it != key);
        let used: usize = others.map(|(key, value)| key.len() + value.len()).sum();
        if MAX_KV_BYTES < used + key.len() + value.len() {
            return Err(format!("a plugin keeps up to {MAX_KV_BYTES} bytes"));
        }
        kept.insert(key.to_owned(), value);
        Ok(())
    }

    async fn kv_keys(&self, _: &str, prefix: &str) -> Result<Vec<String>, Refusal> {
        Ok(lock(&self.kept).keys().filter(|it| it.starts_with(prefix)).cloned().collect())
    }

    async fn send(&self, _: &str, chat: &str, text: &str, _: Once) -> Result<(), Refusal> {
        self.note(format!("send to {chat}: {text}"));
        Ok(())
    }

    async fn groups(&self, _: &str) -> Result<Vec<WasmGroup>, Refusal> {
        let chats = vec!["web@default:rehearsal".to_owned()];
        Ok(vec![WasmGroup { name: "main".to_owned(), chats }])
    }

    async fn enqueue(&self, _: &str, group: &str, prompt: &str, _: Once) -> Result<i64, Refusal> {
        self.note(format!("run in {group}: {prompt}"));
        Ok(1)
    }

    async fn queue(&self, _: &str) -> Result<WasmQueue, Refusal> {
        Ok(WasmQueue::default())
    }

    async fn http(&self, _: &str, request: WasmRequest) -> Result<WasmResponse, Refusal> {
        self.note(format!("{} {}", request.method, request.url));
        Err("there is no network in a rehearsal".to_owned())
    }
}
