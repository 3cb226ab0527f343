//! The system call filter: at least as strict as Docker's default profile.
//!
//! Two filters. What is on the list of [`ALLOWED`] passes; what is not "does not exist" (`ENOSYS`), so that a program
//! tries its older way: that is also how `clone3`, whose flags can't be read by a filter, gives way to `clone`. What a
//! program should be told that it may not ([`FORBIDDEN`], and some arguments) is `EPERM`.
//!
//! Source: `profiles/seccomp/default.json` of moby, without what it gives to capabilities.

use std::{collections::BTreeMap, io};

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen::Dword, SeccompCmpArgLen::Qword, SeccompCmpOp,
    SeccompCondition, SeccompFilter, SeccompRule, apply_filter,
};

use super::{
    calls::{ALLOWED, ALLOWED_HERE, FORBIDDEN},
    plan::{During as _, Failure, Step},
};

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Every flag of `clone` that makes a namespace.
pub(crate) const NAMESPACE_FLAGS: [i32; 8] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
    0x80, // CLONE_NEWTIME
];

/// Kinds of sockets. `AF_VSOCK` is not bound to a network namespace on older kernels, `AF_ALG` and the rest are attack
/// surface without use.
const SOCKETS: [i32; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// Requests that put words into the keyboard of a terminal.
const TERMINAL_INJECTION: [u64; 2] = [libc::TIOCSTI, 0x541c /* TIOCLINUX */];

/// Kinds of process that Docker lets through: Linux, without address randomisation, and asking.
pub(crate) const PERSONALITIES: [u64; 5] = [0x0, 0x0008, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// Puts this process and all it starts under the filters. Needs "no new privileges".
pub(crate) fn restrict() -> Result<(), Failure> {
    let doing = || "set up seccomp".into();
    for program in programs().during(Step::Walls, doing)? {
        apply_filter(&program).map_err(io::Error::other).during(Step::Walls, doing)?;
    }
    Ok(())
}

/// Where both filters object, the kernel takes the answer of the one that was put up last: `EPERM`.
fn programs() -> io::Result<[BpfProgram; 2]> {
    Ok([
        compile(allowed()?, SeccompAction::Errno(errno(libc::ENOSYS)), SeccompAction::Allow)?,
        compile(forbidden()?, SeccompAction::Allow, SeccompAction::Errno(errno(libc::EPERM)))?,
    ])
}

fn errno(number: i32) -> u32 {
    number.unsigned_abs()
}

fn compile(
    rules: Rules,
    otherwise: SeccompAction,
    matched: SeccompAction,
) -> io::Result<BpfProgram> {
    let arch = std::env::consts::ARCH.try_into().map_err(io::Error::other)?;
    SeccompFilter::new(rules, otherwise, matched, arch)
        .and_then(TryInto::try_into)
        .map_err(io::Error::other)
}

fn allowed() -> io::Result<Rules> {
    let mut rules: Rules =
        ALLOWED.iter().chain(ALLOWED_HERE).map(|it| (it.number, Vec::new())).collect();
    rules.insert(libc::SYS_personality, any_of(&PERSONALITIES, |it| (0, Dword, it))?);
    Ok(rules)
}

fn forbidden() -> io::Result<Rules> {
    let mut rules: Rules = FORBIDDEN.iter().map(|it| (it.number, Vec::new())).collect();
    let mut namespaces = Vec::new();
    for flag in NAMESPACE_FLAGS {
        let flag = u64::from(flag.unsigned_abs());
        namespaces.push(rule([(0, Qword, SeccompCmpOp::MaskedEq(flag), flag)])?);
    }
    rules.insert(libc::SYS_clone, namespaces);
    let not_listed = SOCKETS.map(|it| (0, Dword, SeccompCmpOp::Ne, u64::from(it.unsigned_abs())));
    let netlink = u64::from(libc::AF_NETLINK.unsigned_abs());
    let other_netlink =
        [(0, Dword, SeccompCmpOp::Eq, netlink), (2, Dword, SeccompCmpOp::Ne, 0 /* ROUTE */)];
    rules.insert(libc::SYS_socket, vec![rule(not_listed)?, rule(other_netlink)?]);
    rules.insert(libc::SYS_ioctl, any_of(&TERMINAL_INJECTION, |it| (1, Dword, it))?);
    Ok(rules)
}

fn any_of(
    values: &[u64],
    condition: impl Fn(u64) -> (u8, seccompiler::SeccompCmpArgLen, u64),
) -> io::Result<Vec<SeccompRule>> {
    values
        .iter()
        .map(|&value| {
            let (argument, len, value) = condition(value);
            rule([(argument, len, SeccompCmpOp::Eq, value)])
        })
        .collect()
}

fn rule<const N: usize>(
    conditions: [(u8, seccompiler::SeccompCmpArgLen, SeccompCmpOp, u64); N],
) -> io::Result<SeccompRule> {
    conditions
        .into_iter()
        .map(|(argument, len, op, value)| SeccompCondition::new(argument, len, op, value))
        .collect::<Result<Vec<_>, _>>()
        .and_then(SeccompRule::new)
        .map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_compile_and_fit() {
        for program in programs().unwrap() {
            // BPF_MAXINSNS of <linux/bpf_common.h>.
            assert!(program.len() < 4_096, "{}", program.len());
        }
    }

    fn is_allowed(number: i64) -> bool {
        ALLOWED.iter().chain(ALLOWED_HERE).any(|it| it.number == number)
    }

    #[test]
    fn nothing_is_both_allowed_and_forbidden() {
        for call in FORBIDDEN {
            assert!(!is_allowed(call.number), "{call:?}");
        }
    }

    #[test]
    fn clone3_and_namespaces_are_not_on_the_list() {
        for call in [libc::SYS_clone3, libc::SYS_unshare, libc::SYS_setns, libc::SYS_mount] {
            assert!(!is_allowed(call), "{call}");
        }
    }
}
