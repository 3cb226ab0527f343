//! Row ids. One type per table, so a job id cannot be passed as a run id.

use std::{fmt, num::ParseIntError, str::FromStr};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIntError;

            fn from_str(s: &str) -> Result<Self, Self::Err> {
                s.parse().map(Self)
            }
        }
    )+};
}

ids! {
    /// A group: one agent's folder, memory and settings.
    GroupId,
    /// A binding: one place that belongs to one group.
    BindingId,
    /// A lane: the unit of order and exclusion, (group, scope).
    LaneId,
    /// A message, in either direction.
    MessageId,
    /// A job: one unit of work for a group.
    JobId,
    /// A run: one stretch of an agent's work on a lane.
    RunId,
    /// An item on its way out.
    OutboxId,
    /// A question that an agent asked in a chat.
    AskId,
    /// A person known to us.
    UserId,
    /// A task: work that was scheduled.
    TaskId,
    /// Something about which plugins are to be asked, or that one of them holds.
    PassageId,
}
