//! Plugins: code that sees messages and runs. `wasmtime` is walled off here.
//!
//! [`hook`] says what a plugin is asked and may say, [`Plugin`] what one is, [`chain`] how several are asked in turn;
//! [`builtin`] are those that come along, [`wasm`] is how WebAssembly components are plugins.

pub mod builtin;
pub mod chain;
pub mod hook;
mod plugin;
pub mod schema;
pub mod wasm;

pub use plugin::{Config, Plugin, PluginError};
