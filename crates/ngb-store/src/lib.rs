//! All SQL. One text per query, run on SQLite and PostgreSQL alike.
//!
//! Every write goes to one writer: it drains what waits, runs it in one transaction, commits, then answers. Reads have a
//! pool of their own. Nothing in a batch waits for anything but the disk.

mod types;

pub use types::*;
