//! Which user of the host the agents of a group are.

use std::{fs, io};

use ngb_core::id::GroupId;
use rustix::thread::CapabilitySet;

use crate::{Refusal, SandboxError};

/// First user number of the groups, when the gateway is root. systemd leaves 1879048192 to 2147483647 unused
/// (<https://systemd.io/UIDS-GIDS/>).
pub const DEFAULT_UID_BASE: u32 = 0x7000_0000;

/// Groups that have a user number of their own.
const UID_COUNT: u32 = 0x0fff_ffff;

/// As root each group has a user of its own, the base plus its number; else all are the gateway's own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Users {
    base: u32,
    /// Whether the groups may have users of their own: as root, but not as the root of a user namespace that has only
    /// some users (a rootless container), which is an ordinary user outside.
    pub(crate) apart: bool,
}

impl Users {
    /// # Errors
    ///
    /// When `/proc` can't be read.
    pub(crate) fn here(base: u32) -> Result<Self, SandboxError> {
        let map = fs::read_to_string("/proc/self/uid_map").map_err(|source| {
            SandboxError::Setup { doing: "read `/proc/self/uid_map`".into(), source }
        })?;
        let (first, end) = (u64::from(base), u64::from(base) + u64::from(UID_COUNT));
        let mapped = map.lines().any(|line| {
            // user_namespaces(7): inside, outside, length.
            let fields: Vec<u64> =
                line.split_whitespace().filter_map(|it| it.parse().ok()).collect();
            matches!(fields[..], [inside, _, len] if inside <= first && end <= inside + len)
        });
        Ok(Self { base, apart: mapped && rustix::process::geteuid().is_root() })
    }

    /// Proves that this process may make somebody one of them, and read what they wrote.
    ///
    /// # Errors
    ///
    /// [`Refusal::Capabilities`] when it is a root that was left without.
    pub(crate) fn prove(self) -> Result<(), SandboxError> {
        let wanted = CapabilitySet::CHOWN
            | CapabilitySet::DAC_OVERRIDE
            | CapabilitySet::SETGID
            | CapabilitySet::SETUID;
        let has = rustix::thread::capabilities(None).map_err(|err| SandboxError::Setup {
            doing: "read this process's capabilities".into(),
            source: err.into(),
        })?;
        if self.apart && !has.effective.contains(wanted) {
            return Err(SandboxError::NotAllowed { reason: Refusal::Capabilities });
        }
        Ok(())
    }

    /// User and group on the host of what the group's agents write.
    ///
    /// # Errors
    ///
    /// When the group's number has no place in the range.
    pub(crate) fn of(self, group: GroupId) -> Result<(u32, u32), SandboxError> {
        if !self.apart {
            let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
            return Ok((uid.as_raw(), gid.as_raw()));
        }
        let id = u32::try_from(group.0).ok().filter(|it| *it < UID_COUNT);
        let id = id.and_then(|it| self.base.checked_add(it)).filter(|it| *it != 0);
        id.map(|id| (id, id)).ok_or_else(|| SandboxError::Setup {
            doing: format!("find a user for group {group}"),
            source: io::Error::other("the range of users is used up"),
        })
    }

    /// The same where it is another than ours.
    pub(crate) fn other_than_ours(self, group: GroupId) -> Option<(u32, u32)> {
        rustix::process::geteuid().is_root().then(|| self.of(group).ok()).flatten()
    }
}
