//! Plugins as WebAssembly components: nothing but what `wit/plugin.wit` names reaches them, and only what was granted.

mod broken;
mod cache;
mod candidate;
mod compiled;
mod encode;
mod engine;
mod error;
mod folder;
mod grant;
mod guest;
mod imports;
mod live;
mod manifest;
mod package;
mod plugin;
mod rehearsal;
mod running;
mod seat;
mod services;
mod watch;
mod words;

pub use broken::Broken;
pub use cache::{Cache, Loaded, MAX_COMPONENT_BYTES, digest, read_component};
pub use candidate::Candidate;
pub use compiled::Shape;
pub use encode::{EncodeError, PLUGIN_WIT, WORLD, encode, world};
pub use engine::WasmEngine;
pub use error::{CallError, ComponentError};
pub use folder::{Folder, FolderError, Installed, Record};
pub use grant::Grant;
pub use guest::Limits;
pub use imports::{MAX_KEY_BYTES, MAX_KV_BYTES, MAX_VALUE_BYTES};
pub use live::{Change, Live, LiveError, LivePlugins};
pub use manifest::{
    Capabilities, Capability, Language, Manifest, ManifestError, NoCapability, WIT_VERSION,
    WasmHook, check_name,
};
pub use package::{COMPONENT_FILE, MANIFEST_FILE, Package, PackageError, Proof};
pub use plugin::{ReplaceError, WasmPlugin};
pub use rehearsal::{RehearsalError, Step, rehearse};
pub use running::{Program, Running, WasmEvent};
pub use seat::Seat;
pub use services::{Once, Refusal, Services, silent};
pub use words::{
    WasmFinished, WasmGroup, WasmLevel, WasmMessage, WasmOutgoing, WasmQueue, WasmRequest,
    WasmResponse, WasmRun, WasmVerdict,
};
