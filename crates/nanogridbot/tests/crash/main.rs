//! Nothing is lost: whatever dies, fails, fills up or comes twice, each message is answered once.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a failed step of a test ends it; the figures are its point"
)]

#[path = "../common/mod.rs"]
mod common;

mod backup;
mod disk;
mod failures;
mod faults;
mod kill;
mod points;
mod standby;
mod stops;
mod upgrade;
