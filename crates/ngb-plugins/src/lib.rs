//! Hooks: code that sees messages and runs. `wasmtime` is walled off here.

pub mod wasm;
