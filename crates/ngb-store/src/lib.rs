//! All SQL. One text per query, run on SQLite and PostgreSQL alike.
//!
//! Every write goes to one writer: it drains what waits, runs it in one transaction, commits, then answers. Reads have a
//! pool of their own. Nothing in a batch waits for anything but the disk.
//!
//! In reading order: the words ([`types`]), how a statement is written and run (`sql`, `dialect`, `sqlite`, `db`), the tables
//! (`schema`, `migrate`), the writer (`writer`, `checkpoint`, `reserve`, `store`), then the path of a message: `intake`, `moves`,
//! `acts`, `claims`, `work`, `runs`, `calls`, `outbox`, `recover`; and what stands beside it.

mod error;
mod types;

mod db;
mod dialect;
mod sql;
mod sqlite;

mod migrate;
mod schema;

mod checkpoint;
mod notes;
mod reserve;
mod store;
mod writer;

mod acts;
mod bursts;
mod calls;
mod claims;
mod fullness;
mod held;
mod intake;
mod moves;
mod outbox;
mod passages;
mod recover;
mod runs;
mod work;

mod activity;
mod backups;
pub mod copy;
mod foreign;
mod forget;
mod groups;
mod imports;
mod jobs;
mod lanes;
mod leases;
mod links;
mod messages;
mod pairings;
mod people;
mod plugins;
mod prune;
mod restored;
mod search;
mod unsent;

mod fires;
mod tasks;

#[cfg(test)]
mod plan_tests;

pub use activity::{Activity, Minute, Step, StepTimes};
pub use backups::Backups;
pub use error::{DatabaseError, StoreError};
pub use fires::{FireRow, Fired, MAX_TASK_FAILURES};
pub use foreign::foreign_rows;
pub use forget::{ForgetWish, ForgotMessages, LaneTrace, Traces};
pub use held::{PutOff, PutOffAsk};
pub use imports::ImportedMessage;
pub use lanes::LaneRow;
pub use leases::Lease;
pub use links::{Linked, Speaker};
pub use passages::{Passage, Way, Withheld};
pub use plugins::PluginChange;
pub use reserve::Disk;
pub use restored::{Restored, WaitingJob, WaitingSend, WaitingTask, Waits};
pub use store::{OpenOptions, Store};
pub use tasks::{NewTask, TaskChange, TaskDoes, TaskRow, TaskState};
pub use types::*;
