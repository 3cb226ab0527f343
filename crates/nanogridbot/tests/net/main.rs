//! The real executable behind a proxy and a private authority, and what it connects to at all.
#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "the crash tests use the rest")]
#[expect(clippy::print_stdout, reason = "the crash tests print figures")]
mod common;

mod authority;
mod engine;
mod model;
mod port;
mod prove;
mod proxy;
mod silence;
mod through;
