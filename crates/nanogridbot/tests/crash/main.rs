//! Nothing is lost: whatever dies, fails, fills up or comes twice, each message is answered once.

#[path = "../common/mod.rs"]
mod common;

mod faults;
mod kill;
mod points;
mod stops;
