//! Agents that others wrote, behind the walls: the real executable, their real programs, a real sandbox.
#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "the crash tests use the rest")]
#[expect(clippy::print_stdout, reason = "the crash tests print figures")]
mod common;

mod acp;
mod claude;
