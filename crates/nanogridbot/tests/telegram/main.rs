//! The real executable on a simulated Telegram: webhook, albums, questions, files, moves, refusals.
#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "the crash tests use the rest")]
#[expect(clippy::print_stdout, reason = "the crash tests print figures")]
mod common;

mod chats;
mod texts;
mod webhook;
