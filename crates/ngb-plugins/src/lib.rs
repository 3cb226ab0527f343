//! Hooks: code that sees messages and runs. Nothing is here yet; the crate keeps the place where `wasmtime` will be
//! walled off, and the gateway asks no hook.
