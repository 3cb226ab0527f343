//! `nanogridbot backup`, `restore` and `resume --held`: the whole home and its database as one file, and back.
//!
//! The file is a tar, compressed, and sealed by age where that was asked for: what it is, the home's files (settings first),
//! the database's rows, and at its end how much of each there was. One without that end is no backup.

mod archive;
mod command;
mod held;
mod hide;
mod read;
mod schedule;
mod start;
mod tree;

pub(crate) use command::{Backup, Restore, backup, hint, is_usage, restore};
pub(crate) use held::{Resume, resume, show_held, show_waits};
pub(crate) use schedule::Schedule;
