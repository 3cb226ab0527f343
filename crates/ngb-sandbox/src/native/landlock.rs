//! A second wall around files: what the mounts let through, Landlock still checks.

use std::io;

use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, Scope,
};

use super::{
    plan::{During as _, Failure, Step},
    root,
};

/// The newest set of rights we ask for; an older kernel gives what it has.
const NEWEST: ABI = ABI::V6;

/// The oldest that is of use: version 1 can't allow a rename from one folder to another, which every editor does.
const OLDEST: ABI = ABI::V2;

/// Puts this process and all it starts under Landlock; false where the kernel has none worth having.
pub(super) fn restrict() -> Result<bool, Failure> {
    let doing = || "set up Landlock".into();
    let asked = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(OLDEST));
    let Ok(asked) = asked else { return Ok(false) };
    rules(asked).during(Step::Walls, doing)?;
    Ok(true)
}

fn rules(asked: Ruleset) -> io::Result<()> {
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
    for (path, rights) in table {
        let folder = PathFd::new(path).map_err(io::Error::other)?;
        ruleset = ruleset.add_rule(PathBeneath::new(folder, rights)).map_err(other)?;
    }
    ruleset.restrict_self().map_err(other)?;
    Ok(())
}
