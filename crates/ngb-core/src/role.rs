//! One ladder of roles for people on chats, the page, the API and the command line.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::id::GroupId;

/// What a person is, for the gateway or for one group. The order is the ladder, least first.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads what is shown, and never speaks.
    Viewer,
    /// Speaks to the agent in a chat that was approved.
    Guest,
    /// Belongs to the group: may stop, steer and schedule for it.
    Member,
    /// Keeps things running: approves chats, mends what is stuck.
    Operator,
    /// Sets things up: groups, bindings, settings.
    Admin,
    /// Everything, and the only one who makes owners and admins.
    Owner,
}

impl Role {
    pub const ALL: &[Self] =
        &[Self::Viewer, Self::Guest, Self::Member, Self::Operator, Self::Admin, Self::Owner];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Guest => "guest",
            Self::Member => "member",
            Self::Operator => "operator",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// Whether this role has `right`.
    pub fn may(self, right: Right) -> bool {
        right.least() <= self
    }
}

/// The role in `group` of whoever has `roles`, each for the whole gateway (no group) or for one group: the highest of
/// those that count there.
pub fn role_in(roles: &[(Option<GroupId>, Role)], group: GroupId) -> Option<Role> {
    let here =
        |(of, role): &(Option<GroupId>, Role)| of.is_none_or(|it| it == group).then_some(*role);
    roles.iter().filter_map(here).max()
}

/// The role for the whole gateway.
pub fn wide_role(roles: &[(Option<GroupId>, Role)]) -> Option<Role> {
    roles.iter().filter(|it| it.0.is_none()).map(|it| it.1).max()
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("unknown role `{0}`; known: viewer, guest, member, operator, admin, owner")]
pub struct UnknownRole(String);

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(s: &str) -> Result<Self, UnknownRole> {
        Self::ALL
            .iter()
            .copied()
            .find(|it| it.as_str() == s)
            .ok_or_else(|| UnknownRole(s.to_owned()))
    }
}

/// One thing that somebody may or may not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Right {
    /// Read a group's messages, runs and state.
    Read,
    /// Write to a group's agent.
    Speak,
    /// Interrupt a run that one started, or answer a question that was put to one.
    StopOwn,
    /// Give commands in a chat that tell of its group: state, queue, tasks, memory, use.
    Command,
    /// Interrupt any run of the group, and start a new session.
    Stop,
    /// Have the agent do something later.
    Schedule,
    /// Let a tool do what asks for approval.
    ApproveTool,
    /// Approve a chat or a person who asks to be let in.
    ApproveChat,
    /// See and mend dead letters, health and logs.
    Operate,
    /// Make, change and remove groups and bindings.
    Configure,
    /// Invite people, and give them roles below admin.
    Invite,
    /// Give and take any role.
    GrantRoles,
}

impl Right {
    pub const ALL: &[Self] = &[
        Self::Read,
        Self::Speak,
        Self::StopOwn,
        Self::Command,
        Self::Stop,
        Self::Schedule,
        Self::ApproveTool,
        Self::ApproveChat,
        Self::Operate,
        Self::Configure,
        Self::Invite,
        Self::GrantRoles,
    ];

    /// The least role that has it.
    pub fn least(self) -> Role {
        match self {
            Self::Read => Role::Viewer,
            Self::Speak | Self::StopOwn => Role::Guest,
            Self::Command | Self::Stop | Self::Schedule => Role::Member,
            Self::ApproveTool | Self::ApproveChat | Self::Operate => Role::Operator,
            Self::Configure | Self::Invite => Role::Admin,
            Self::GrantRoles => Role::Owner,
        }
    }

    /// What it allows, as an infinitive.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Read => "read a group's messages, runs and state",
            Self::Speak => "write to a group's agent",
            Self::StopOwn => "stop a run that one started, answer a question put to one",
            Self::Command => "give commands in a chat: state, queue, tasks, memory, use",
            Self::Stop => "stop any run of the group, start a new session",
            Self::Schedule => "have the agent do something later",
            Self::ApproveTool => "let a tool do what asks for approval",
            Self::ApproveChat => "approve a chat or a person who asks to be let in",
            Self::Operate => "see and mend dead letters, health and logs",
            Self::Configure => "make, change and remove groups and bindings",
            Self::Invite => "invite people, and give them roles below admin",
            Self::GrantRoles => "give and take any role",
        }
    }
}

/// The text of `docs/roles.md`.
pub fn document() -> String {
    let mut res = String::from(
        "# Roles\n\n\
         One ladder for people on chats, the page, the API and the command line, held for the gateway and for each group.\n\
         This page is generated from `crates/ngb-core/src/role.rs`, the code that checks; a test compares them.\n\n",
    );
    let roles: Vec<Role> = Role::ALL.iter().copied().rev().collect();
    let row = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let names = roles.iter().map(Role::to_string);
    res += &row(std::iter::once("may".to_owned()).chain(names).collect());
    res += &row(vec!["---".to_owned(); roles.len() + 1]);
    for right in Right::ALL {
        let ticks = roles.iter().map(|it| if it.may(*right) { "yes" } else { "" }.to_owned());
        res += &row(std::iter::once(right.describe().to_owned()).chain(ticks).collect());
    }
    res
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_right_and_role() {
        use Right::*;
        #[rustfmt::skip]
        let table: &[(Role, &[Right])] = &[
            (Role::Viewer,   &[Read]),
            (Role::Guest,    &[Read, Speak, StopOwn]),
            (Role::Member,   &[Read, Speak, StopOwn, Command, Stop, Schedule]),
            (Role::Operator, &[Read, Speak, StopOwn, Command, Stop, Schedule, ApproveTool, ApproveChat, Operate]),
            (Role::Admin,    &[Read, Speak, StopOwn, Command, Stop, Schedule, ApproveTool, ApproveChat, Operate, Configure, Invite]),
            (Role::Owner,    Right::ALL),
        ];
        assert_eq!(table.len(), Role::ALL.len());
        for (role, rights) in table {
            for right in Right::ALL {
                assert_eq!(role.may(*right), rights.contains(right), "{role} {right:?}");
            }
        }
    }

    #[test]
    fn a_role_counts_where_it_was_given() {
        let (home, club) = (GroupId(1), GroupId(2));
        let roles = [(None, Role::Viewer), (Some(home), Role::Member)];
        assert_eq!(role_in(&roles, home), Some(Role::Member));
        assert_eq!(role_in(&roles, club), Some(Role::Viewer));
        assert_eq!(role_in(&roles[1..], club), None);
        assert_eq!(wide_role(&roles), Some(Role::Viewer));
        assert_eq!(wide_role(&roles[1..]), None);
    }

    #[test]
    fn round_trip() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(*role));
        }
        assert!("king".parse::<Role>().unwrap_err().to_string().contains("`king`"));
    }

    #[test]
    fn the_page_says_what_the_code_checks() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/roles.md");
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(page, document(), "`nanogridbot docs roles > docs/roles.md` writes it anew");
    }
}
