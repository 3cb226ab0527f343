//! The gateway itself: one message's way from a chat to an agent and back.
//!
//! ```text
//! intake ─▶ plan ─▶ [store] ─▶ dispatch ─▶ worker ─▶ turn ─▶ finish ─▶ [store] ─▶ outbox
//! ```
//! Read them in that order. What is decided is in [`plan`] and `finish`, without I/O; what is known by heart is in
//! [`registry`]; who comes from outside uses the [`handle`].

pub mod events;
pub mod handle;
pub mod local;
pub mod registry;
pub mod start;

pub mod plan;

mod access;
pub mod account_book;
mod account_status;
pub mod accounts;
mod ack;
mod agent;
mod albums;
pub mod alerts;
pub mod answers;
mod approvals;
mod batch;
mod calls;
pub mod canary;
mod capped;
pub mod codes;
mod commands;
mod converse;
pub mod desk;
mod disk;
pub mod dispatch;
mod end;
mod engine;
mod finish;
pub mod foretell;
pub mod forget;
mod forget_files;
pub mod homes;
mod instructions;
mod intake;
mod janitor;
mod live;
mod lookups;
mod marks;
pub mod memory;
pub mod mounts;
mod outbox;
mod pair;
mod pairs;
mod passing;
mod people;
pub mod plugin_state;
pub mod plugins;
pub mod programs;
mod prompt;
mod purses;
mod questions;
mod reach;
mod reactions;
pub mod retention;
mod scheduler;
mod screen;
mod search;
pub mod sentence;
pub mod sessions;
pub mod skills;
mod spent;
mod stale;
pub mod timetable;
mod turn;
mod way_out;
mod worker;

pub use handle::Gateway;
pub use ngb_store as store;
pub use start::{Parts, RunLimits, Running, start};
