//! Sandboxes taken away, each reason told apart; and an ordinary user, who has one.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::common::{inmate, install_id};
use ngb_sandbox::{Refusal, apparmor_profile, diagnose, native::Step, remedy};

/// A user that is nobody else's; it needs no line in `/etc/passwd`.
const ORDINARY: u32 = 48_111;

/// An executable and a home that an ordinary user can reach, wherever the build is.
struct Ordinary {
    dir: tempfile::TempDir,
}

impl Ordinary {
    fn new() -> Self {
        assert!(rustix::process::geteuid().is_root(), "this test needs root, to become others");
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let it = Self { dir };
        fs::copy(inmate(), it.exe()).unwrap();
        fs::create_dir(it.home()).unwrap();
        std::os::unix::fs::chown(it.home(), Some(ORDINARY), Some(ORDINARY)).unwrap();
        fs::set_permissions(it.home(), fs::Permissions::from_mode(0o700)).unwrap();
        it
    }

    fn exe(&self) -> PathBuf {
        self.dir.path().join("inmate")
    }

    fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    fn gateway(&self, script: &str) -> Output {
        let mut command = Command::new(self.exe());
        command.args(["gateway", "native", self.home().to_str().unwrap(), &install_id(), script]);
        command.uid(ORDINARY).gid(ORDINARY).output().unwrap()
    }
}

#[test]
fn an_ordinary_user_has_a_sandbox() {
    let ordinary = Ordinary::new();
    let script = "id -u; cat /proc/self/uid_map | tr -s ' '; echo x > made; \
        cat /etc/shadow; ls /var; mount -t tmpfs x /tmp; true";
    let out = ordinary.gateway(script);
    let said = String::from_utf8_lossy(&out.stdout);
    let cried = String::from_utf8_lossy(&out.stderr);
    let (probe, rest) = said.split_once('\n').unwrap_or_else(|| panic!("{said} {cried}"));
    // No control group is his: the words are honest.
    assert!(probe.contains("memory: Watcher, cpu: NotEnforced, pids: Kernel"), "{probe}");
    assert_eq!(rest, format!("1000\n 1000 {ORDINARY} 1\n"), "{cried}");
    assert_eq!(cried.matches("No such file").count(), 2, "{cried}");
    let made = fs::metadata(ordinary.home().join("group/made")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&made), ORDINARY);
}

#[test]
fn the_watcher_ends_an_ordinary_users_memory_hog() {
    let ordinary = Ordinary::new();
    let out = ordinary.gateway("/run/nanogridbot agent memory 3000 >/dev/null");
    assert!(!out.status.success());
    let cried = String::from_utf8_lossy(&out.stderr);
    assert!(cried.contains("ended: it used more than 512 MiB of memory"), "{cried}");
}

#[test]
fn an_ordinary_users_processes_are_counted_by_the_kernel() {
    let ordinary = Ordinary::new();
    let out = ordinary.gateway("/run/nanogridbot agent crowd 1000");
    let said = String::from_utf8_lossy(&out.stdout);
    let got: u64 = said.lines().last().unwrap().parse().unwrap();
    assert!((250..=256).contains(&got), "{got}");
}

#[test]
fn an_ordinary_users_hogs_meet_the_same_limits() {
    #[rustfmt::skip]
    let table = [
        ("a file",        "head -c 20M /dev/zero > big; echo $?; stat -c %s big", "153\n10485760\n", ""),
        ("open files",    "/run/nanogridbot agent files",                         "4093 Some(24)\n",  ""),
        ("the disk",      "i=0; while :; do i=$((i+1)); head -c 1M /dev/zero > $i; done", "", "ended: its folders hold more than 20 MiB"),
        ("a fork bomb",   "bomb() { bomb | bomb & }; bomb 2>/dev/null; sleep 1; echo over", "over\n", ""),
        ("last words",    "yes words | head -c 50M >&2; echo the end >&2",        "",                 "the end"),
    ];
    for (hog, script, want, cry) in table {
        let out = Ordinary::new().gateway(script);
        let said = String::from_utf8_lossy(&out.stdout);
        let (_, said) = said.split_once('\n').unwrap_or_else(|| panic!("{hog}: {out:?}"));
        assert_eq!(said, want, "{hog}: {out:?}");
        assert!(String::from_utf8_lossy(&out.stderr).contains(cry), "{hog}: {out:?}");
    }
}

#[test]
fn a_switched_off_sysctl_is_told() {
    let home = tempfile::tempdir().unwrap();
    let script = format!(
        "echo 0 > /proc/sys/user/max_user_namespaces && exec {} gateway native {} {} :",
        inmate().display(),
        home.path().display(),
        install_id()
    );
    let out = Command::new("unshare").args(["-Ur", "sh", "-c", &script]).output().unwrap();
    let cried = String::from_utf8_lossy(&out.stderr);
    let want = "this machine does not allow a sandbox: user namespaces are switched off (`user.max_user_namespaces` is 0)";
    assert_eq!(cried.trim(), want);
}

/// The proof did well without the first of these, and then no agent could be started.
#[test]
fn a_root_that_was_left_without_capabilities_is_told() {
    for dropped in ["dac_override", "chown", "setuid", "setgid", "all"] {
        let home = tempfile::tempdir().unwrap();
        let without = format!("-{dropped}");
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set", &without, "--inh-caps", &without]).arg(inmate());
        command.args(["gateway", "native", home.path().to_str().unwrap(), &install_id(), ":"]);
        let out = command.output().unwrap();
        let cried = String::from_utf8_lossy(&out.stderr);
        let want =
            "this machine does not allow a sandbox: this process is root without all of CAP_CHOWN";
        assert!(!out.status.success() && cried.starts_with(want), "{dropped}: {cried}");
    }
    // What isn't needed is not asked for.
    let home = tempfile::tempdir().unwrap();
    let few = "-all,+chown,+dac_override,+setgid,+setuid";
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set", few, "--inh-caps", few]).arg(inmate());
    command.args(["gateway", "native", home.path().to_str().unwrap(), &install_id(), "echo in"]);
    let out = command.output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success() && said.ends_with("in\n"), "{out:?}");
}

/// Recorded trees: path below `/proc`, text.
const UBUNTU_24_04: &[(&str, &str)] = &[
    ("sys/kernel/apparmor_restrict_unprivileged_userns", "1\n"),
    ("sys/kernel/unprivileged_userns_clone", "1\n"),
    ("sys/user/max_user_namespaces", "127331\n"),
    ("self/status", "Name:\tinmate\nNoNewPrivs:\t0\nSeccomp:\t0\nSeccomp_filters:\t0\n"),
];
const DEBIAN_OFF: &[(&str, &str)] = &[
    ("sys/kernel/unprivileged_userns_clone", "0\n"),
    ("sys/user/max_user_namespaces", "63432\n"),
    ("self/status", "Seccomp:\t0\n"),
];
const SYSCTL_OFF: &[(&str, &str)] =
    &[("sys/user/max_user_namespaces", "0\n"), ("self/status", "Seccomp:\t0\n")];
const DOCKER: &[(&str, &str)] = &[
    ("sys/user/max_user_namespaces", "127331\n"),
    ("self/status", "NoNewPrivs:\t0\nSeccomp:\t2\nSeccomp_filters:\t1\n"),
];
const PLAIN: &[(&str, &str)] =
    &[("sys/user/max_user_namespaces", "96365\n"), ("self/status", "Seccomp:\t0\n")];

#[test]
fn reasons_are_told_apart() {
    use libc::{EACCES, EINVAL, EIO, ENOENT, ENOSPC, ENOSYS, EPERM};
    #[rustfmt::skip]
    let table = [
        (UBUNTU_24_04, Step::Namespaces, EACCES, Some(Refusal::AppArmor)),
        (UBUNTU_24_04, Step::Namespaces, EPERM,  Some(Refusal::AppArmor)),
        (UBUNTU_24_04, Step::Mounts,     EACCES, Some(Refusal::AppArmor)),
        (UBUNTU_24_04, Step::Network,    EPERM,  Some(Refusal::AppArmor)),
        (UBUNTU_24_04, Step::Mounts,     ENOENT, None),
        (UBUNTU_24_04, Step::Exec,       EACCES, None),
        (DEBIAN_OFF,   Step::Namespaces, EPERM,  Some(Refusal::Sysctl)),
        (SYSCTL_OFF,   Step::Namespaces, ENOSPC, Some(Refusal::Sysctl)),
        (DOCKER,       Step::Namespaces, EPERM,  Some(Refusal::Seccomp)),
        (DOCKER,       Step::Mounts,     EPERM,  Some(Refusal::Seccomp)),
        (DOCKER,       Step::Proc,       EPERM,  Some(Refusal::MaskedProc)),
        (PLAIN,        Step::Proc,       EPERM,  Some(Refusal::MaskedProc)),
        (PLAIN,        Step::Namespaces, EINVAL, Some(Refusal::NoKernelSupport)),
        (PLAIN,        Step::Namespaces, ENOSYS, Some(Refusal::NoKernelSupport)),
        (PLAIN,        Step::Namespaces, EPERM,  None),
        (PLAIN,        Step::Prepare,    EPERM,  None),
        (PLAIN,        Step::Mounts,     EIO,    None),
    ];
    for (tree, step, errno, want) in table {
        let dir = tempfile::tempdir().unwrap();
        record(dir.path(), tree);
        assert_eq!(diagnose(dir.path(), step, errno), want, "{tree:?} {step:?} {errno}");
    }
}

fn record(dir: &Path, tree: &[(&str, &str)]) {
    for (path, text) in tree {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

#[test]
fn each_refusal_has_one_command() {
    let exe = Path::new("/usr/bin/nanogridbot");
    let all = [
        Refusal::AppArmor,
        Refusal::Sysctl,
        Refusal::Seccomp,
        Refusal::MaskedProc,
        Refusal::NoKernelSupport,
        Refusal::Capabilities,
    ];
    let mut commands: Vec<String> = all.iter().map(|&it| remedy(it, exe)).collect();
    assert_eq!(commands[0], "sudo /usr/bin/nanogridbot doctor --fix sandbox");
    commands.dedup();
    assert_eq!(commands.len(), all.len());
    let profile = apparmor_profile(exe);
    assert!(profile.contains("profile nanogridbot \"/usr/bin/nanogridbot\" flags=(unconfined)"));
}
