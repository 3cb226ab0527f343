//! A second wall around files: what the mounts let through, Landlock still checks.

use std::{io, path::Path};

use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, Scope,
};

use super::{
    plan::{During as _, Failure, Step},
    root,
};
use crate::HostMount;

/// The newest set of rights we ask for; an older kernel gives what it has. Version 7 adds nothing but a log.
const NEWEST: ABI = ABI::V6;

/// The oldest that is of use: version 1 can't allow a rename from one folder to another, which every editor does.
const OLDEST: ABI = ABI::V2;

/// Puts this process and all it starts under Landlock; false where the kernel has none worth having.
pub(crate) fn restrict(mounts: &[HostMount]) -> Result<bool, Failure> {
    let doing = || "set up Landlock".into();
    let asked = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(OLDEST));
    let Ok(asked) = asked else { return Ok(false) };
    rules(asked, mounts).during(Step::Walls, doing)?;
    Ok(true)
}

fn rules(asked: Ruleset, mounts: &[HostMount]) -> io::Result<()> {
    let other = io::Error::other::<landlock::RulesetError>;
    let all = AccessFs::from_all(NEWEST);
    let read = AccessFs::from_read(NEWEST);
    let files = AccessFs::ReadFile | AccessFs::ReadDir | AccessFs::WriteFile | AccessFs::IoctlDev;
    #[rustfmt::skip]
    let table = [
        ("/",         read),
        (root::GROUP, all),
        (root::LANE,  all),
        ("/tmp",      all),
        ("/dev",      files),
        ("/proc",     files),
    ];
    let mut ruleset = asked
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)
        .and_then(|it| it.scope(Scope::from_all(NEWEST)))
        .and_then(Ruleset::create)
        .map_err(other)?;
    let written = mounts.iter().filter(|it| it.write);
    let written = written.map(|it| (it.inside.as_path(), all));
    for (path, rights) in table.into_iter().map(|it| (Path::new(it.0), it.1)).chain(written) {
        // The rights of a folder mean nothing for a file, and are refused.
        let rights = if path.is_file() { rights & AccessFs::from_file(NEWEST) } else { rights };
        let folder = PathFd::new(path).map_err(io::Error::other)?;
        ruleset = ruleset.add_rule(PathBeneath::new(folder, rights)).map_err(other)?;
    }
    ruleset.restrict_self().map_err(other)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each version of the kernel's interface checks, by <https://docs.kernel.org/userspace-api/landlock.html>,
    /// "Previous limitations". Whether it is worth having is ours to say.
    #[test]
    fn rights_by_version() {
        #[rustfmt::skip]
        let table: [(ABI, bool, &[AccessFs], &[Scope]); 7] = [
            (ABI::V1, false, &[],                    &[]),
            (ABI::V2, true,  &[AccessFs::Refer],     &[]), // rename and link from one folder to another
            (ABI::V3, true,  &[AccessFs::Truncate],  &[]),
            (ABI::V4, true,  &[],                    &[]), // TCP ports, which an empty network namespace has none of
            (ABI::V5, true,  &[AccessFs::IoctlDev],  &[]),
            (ABI::V6, true,  &[],                    &[Scope::AbstractUnixSocket, Scope::Signal]),
            (ABI::V7, true,  &[],                    &[]), // whether refusals are logged
        ];
        let mut rights = AccessFs::from_all(ABI::V1);
        let mut scopes = Scope::from_all(ABI::V1);
        assert_eq!(rights, AccessFs::from_read(ABI::V1) | AccessFs::from_write(ABI::V1));
        for (abi, of_use, more, more_scopes) in table {
            rights |= more.iter().copied().collect::<landlock::BitFlags<_>>();
            scopes |= more_scopes.iter().copied().collect::<landlock::BitFlags<_>>();
            assert_eq!(AccessFs::from_all(abi), rights, "{abi:?}");
            assert_eq!(Scope::from_all(abi), scopes, "{abi:?}");
            assert_eq!(OLDEST <= abi, of_use, "{abi:?}");
        }
        assert_eq!(AccessFs::from_all(NEWEST), rights, "we ask for all there is");
        assert_eq!(Scope::from_all(NEWEST), scopes, "we ask for all there is");
    }
}
