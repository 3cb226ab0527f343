//! The system call filter that the engine puts around a container.
//!
//! It lets through what ours does ([`crate::native::seccomp`]), and one call more: process 1 makes the user namespace in
//! which the agent is user 1000. Then process 1 puts ours up too, which refuses that.

use serde_json::{Value, json};

use crate::native::{
    calls::{ALLOWED, ALLOWED_HERE},
    seccomp::{NAMESPACE_FLAGS, PERSONALITIES},
};

/// In the form of Docker's and Podman's `--security-opt seccomp=`:
/// <https://docs.docker.com/engine/security/seccomp/>.
pub(super) fn profile() -> String {
    let allow = |names: &[&str], args: Value| json!({"names": names, "action": "SCMP_ACT_ALLOW", "args": args});
    let plain: Vec<&str> = ALLOWED
        .iter()
        .chain(ALLOWED_HERE)
        .map(|it| it.name())
        .filter(|it| *it != "clone")
        .collect();
    let namespaces: u64 =
        NAMESPACE_FLAGS.iter().fold(0, |all, it| all | u64::from(it.unsigned_abs()));
    let no_namespace =
        json!([{"index": 0, "op": "SCMP_CMP_MASKED_EQ", "value": namespaces, "valueTwo": 0}]);
    let user = u64::from(libc::CLONE_NEWUSER.unsigned_abs());
    let user_namespace = json!([{"index": 0, "op": "SCMP_CMP_EQ", "value": user}]);
    let mut calls = vec![
        allow(&plain, json!([])),
        allow(&["clone"], no_namespace),
        allow(&["unshare"], user_namespace),
    ];
    for kind in PERSONALITIES {
        let args = json!([{"index": 0, "op": "SCMP_CMP_EQ", "value": kind}]);
        calls.push(allow(&["personality"], args));
    }
    let enosys = libc::ENOSYS;
    json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": enosys, "syscalls": calls})
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lets_through_what_ours_does_and_one_namespace() {
        let profile: Value = serde_json::from_str(&profile()).unwrap();
        let rules = profile["syscalls"].as_array().unwrap();
        let plain = rules[0]["names"].as_array().unwrap();
        assert!(
            plain.contains(&json!("read")) && plain.contains(&json!("landlock_create_ruleset"))
        );
        for name in ["clone", "clone3", "unshare", "mount", "setns", "ptrace", "io_uring_setup"] {
            assert!(!plain.contains(&json!(name)), "{name}");
        }
        let conditional: Vec<_> =
            rules[1..].iter().map(|it| it["names"][0].as_str().unwrap()).collect();
        assert_eq!(
            conditional,
            [
                "clone",
                "unshare",
                "personality",
                "personality",
                "personality",
                "personality",
                "personality"
            ]
        );
        // CLONE_NEWNS, CGROUP, UTS, IPC, USER, PID, NET and TIME of <linux/sched.h>.
        assert_eq!(rules[1]["args"][0]["value"], 0x7e02_0080);
        assert_eq!(rules[2]["args"][0]["value"], 0x1000_0000);
    }
}
