//! The records of `wit/plugin.wit` as wasmtime lowers and lifts them.

use serde::{Deserialize, Serialize};
use wasmtime::component::{ComponentType, Lift, Lower};

/// A message from a chat.
#[derive(Clone, Debug, Default, ComponentType, Lower, Deserialize, Serialize)]
#[component(record)]
#[serde(deny_unknown_fields)]
pub struct WasmMessage {
    #[serde(default)]
    pub id: i64,
    pub chat: String,
    #[serde(default)]
    pub thread: Option<String>,
    #[serde(default)]
    pub group: Option<String>,
    #[serde(default)]
    pub sender: String,
    #[component(name = "sender-name")]
    #[serde(default)]
    pub sender_name: String,
    pub text: String,
    #[component(name = "sent-at-ms")]
    #[serde(default)]
    pub sent_at_ms: i64,
    #[serde(default)]
    pub private: bool,
}

/// A text on its way to a chat.
#[derive(Clone, Debug, Default, ComponentType, Lower, Deserialize, Serialize)]
#[component(record)]
#[serde(deny_unknown_fields)]
pub struct WasmOutgoing {
    pub chat: String,
    #[serde(default)]
    pub thread: Option<String>,
    #[serde(default)]
    pub group: Option<String>,
    pub text: String,
}

/// A run that is about to start.
#[derive(Clone, Debug, Default, ComponentType, Lower, Deserialize, Serialize)]
#[component(record)]
#[serde(deny_unknown_fields)]
pub struct WasmRun {
    pub group: String,
    pub chat: String,
    #[serde(default)]
    pub thread: Option<String>,
    pub prompt: String,
}

/// A run that has ended.
#[derive(Clone, Debug, Default, ComponentType, Lower, Deserialize, Serialize)]
#[component(record)]
#[serde(deny_unknown_fields)]
pub struct WasmFinished {
    pub group: String,
    pub chat: String,
    #[serde(default)]
    pub thread: Option<String>,
    pub text: String,
    #[serde(default)]
    pub error: Option<String>,
}

/// A group and its places.
#[derive(Clone, Debug, Default, PartialEq, Eq, ComponentType, Lower, Deserialize, Serialize)]
#[component(record)]
#[serde(deny_unknown_fields)]
pub struct WasmGroup {
    pub name: String,
    #[serde(default)]
    pub chats: Vec<String>,
}

/// What a hook decides.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Deserialize, Serialize)]
#[component(variant)]
#[serde(rename_all = "snake_case")]
pub enum WasmVerdict {
    #[component(name = "pass")]
    Pass,
    #[component(name = "change")]
    Change(String),
    #[component(name = "answer")]
    Answer(String),
    #[component(name = "drop")]
    Drop(String),
    #[component(name = "hold")]
    Hold(String),
}

/// How much a line of a plugin's log matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Serialize)]
#[component(enum)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum WasmLevel {
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}

/// How much waits and runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ComponentType, Lower)]
#[component(record)]
pub struct WasmQueue {
    pub queued: u32,
    pub running: u32,
    pub dead: u32,
}

/// A request to a host that the plugin was granted.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub struct WasmRequest {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// What the host said.
#[derive(Clone, Debug, ComponentType, Lower)]
#[component(record)]
pub struct WasmResponse {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}
