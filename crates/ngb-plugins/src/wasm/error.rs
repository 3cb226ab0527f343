//! What can be wrong with a component, and how a call of it can fail.

use std::time::Duration;

use crate::wasm::manifest::{Capability, ManifestError, WIT_VERSION, WasmHook};

/// Why a component is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ComponentError {
    #[error("could not read `{path}`")]
    Unreadable {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("`{path}` is no WebAssembly")]
    NotWasm { path: String },
    #[error("`{path}` is a core module of WebAssembly, not a component")]
    CoreModule { path: String },
    #[error("`{path}` has {bytes} bytes; a component has at most {limit}")]
    TooLarge { path: String, bytes: u64, limit: u64 },
    #[error("the component can't be compiled: {0}")]
    Invalid(String),
    #[error("the component speaks `{0}`; this gateway speaks version {WIT_VERSION}")]
    Version(String),
    #[error("the component imports `{0}`, which no plugin gets")]
    Foreign(String),
    #[error("the component imports the capability `{0}`, which plugin.toml does not declare")]
    Undeclared(Capability),
    #[error("plugin.toml names the hook `{hook}`, and the component does not export it", hook = .0.as_str())]
    NoExport(WasmHook),
    #[error("the component exports `{hook}` in another shape than wit/plugin.wit has: {why}", hook = .hook.as_str())]
    Shape { hook: WasmHook, why: String },
    #[error("the component does not start: {0}")]
    Start(CallError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error("could not keep the compiled component in `{path}`")]
    Cache {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("no engine for WebAssembly: {0}")]
    Engine(String),
}

/// Why a call of a plugin gave no answer.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum CallError {
    /// What the plugin itself answered as its error.
    #[error("it said: {0}")]
    Said(String),
    #[error("it ran for more than {0:?} and was stopped")]
    Endless(Duration),
    #[error("it wanted more than its {} MiB of memory", .0 >> 20)]
    Memory(usize),
    #[error("its answer is longer than {0} bytes")]
    TooLong(usize),
    #[error("it called `{0}`, which it was not granted")]
    NotGranted(Capability),
    #[error("it answered with text that is not UTF-8")]
    NotUtf8,
    #[error("it failed: {0}")]
    Trap(String),
    #[error("it does not export `{hook}`", hook = .0.as_str())]
    NoHook(WasmHook),
}
