//! Why this machine forbids a sandbox, and the one command that changes it.

use std::{fs, path::Path};

use crate::{Refusal, native::Step};

const EPERM: i32 = libc::EPERM;
const EACCES: i32 = libc::EACCES;
const ENOSPC: i32 = libc::ENOSPC;
const ENOSYS: i32 = libc::ENOSYS;
const EINVAL: i32 = libc::EINVAL;

/// Reads the reason of a failed `step` from the `/proc` tree at `proc`; none where it is another kind of failure.
///
/// - AppArmor lets the namespace be made and then denies what it is for, so any step may be the one that fails:
///   <https://ubuntu.com/blog/ubuntu-23-10-restricted-unprivileged-user-namespaces>.
/// - `ENOSPC` is the answer of a limit on namespaces that is reached: user_namespaces(7).
/// - Docker's filter answers `EPERM` to `unshare`.
pub fn diagnose(proc: &Path, step: Step, errno: i32) -> Option<Refusal> {
    let read = |path: &str| fs::read_to_string(proc.join(path)).unwrap_or_default();
    let is = |path: &str, value: &str| read(path).trim() == value;
    let denied = matches!(errno, EPERM | EACCES);
    if !matches!(step, Step::Namespaces | Step::Mounts | Step::Proc | Step::Network) {
        return None;
    }
    if denied && is("sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        return Some(Refusal::AppArmor);
    }
    let switched_off =
        is("sys/user/max_user_namespaces", "0") || is("sys/kernel/unprivileged_userns_clone", "0");
    let filtered = read("self/status")
        .lines()
        .any(|it| it.strip_prefix("Seccomp:").is_some_and(|it| it.trim() == "2"));
    match (step, errno) {
        (Step::Namespaces, ENOSPC) => Some(Refusal::Sysctl),
        (Step::Namespaces, EPERM) if switched_off => Some(Refusal::Sysctl),
        (Step::Namespaces | Step::Mounts, EPERM | ENOSYS) if filtered => Some(Refusal::Seccomp),
        (Step::Proc, EPERM) => Some(Refusal::MaskedProc),
        (Step::Namespaces | Step::Mounts, ENOSYS | EINVAL) => Some(Refusal::NoKernelSupport),
        _ => None,
    }
}

/// The AppArmor profile that lets the executable at `exe` make user namespaces, and nothing else changes for it.
pub fn apparmor_profile(exe: &Path) -> String {
    let exe = exe.display();
    format!(
        "abi <abi/4.0>,\n\
         include <tunables/global>\n\
         \n\
         profile nanogridbot \"{exe}\" flags=(unconfined) {{\n\
         \x20 userns,\n\
         \n\
         \x20 include if exists <local/nanogridbot>\n\
         }}\n"
    )
}

/// The one command for this machine.
pub fn remedy(refusal: Refusal, exe: &Path) -> String {
    match refusal {
        Refusal::AppArmor => format!("sudo {} doctor --fix sandbox", exe.display()),
        Refusal::Sysctl => {
            let debian = "/proc/sys/kernel/unprivileged_userns_clone";
            if fs::read_to_string(debian).is_ok_and(|it| it.trim() == "0") {
                "sudo sysctl -w kernel.unprivileged_userns_clone=1".into()
            } else {
                "sudo sysctl -w user.max_user_namespaces=15000".into()
            }
        }
        Refusal::Seccomp => "docker run --security-opt seccomp=unconfined \
             --security-opt systempaths=unconfined ..."
            .into(),
        Refusal::MaskedProc => "docker run --security-opt systempaths=unconfined ...".into(),
        Refusal::Capabilities => "docker run --cap-add CHOWN --cap-add DAC_OVERRIDE \
             --cap-add SETGID --cap-add SETUID ...   # or start it as an ordinary user"
            .into(),
        Refusal::NoKernelSupport => "use a kernel of 5.14 or newer with CONFIG_USER_NS".into(),
    }
}
