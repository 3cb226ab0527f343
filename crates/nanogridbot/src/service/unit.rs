//! The unit's text.
//!
//! What is left out is left out with a reason. The sandbox makes namespaces and mounts, so neither is restricted. It mounts
//! a `/proc` of its own, which the kernel allows only to who sees all of the outer one: no `ProtectKernelTunables`,
//! `ProtectKernelLogs`, `ProtectProc`. It writes control groups (`Delegate`), so no `ProtectControlGroups`; it names its
//! machine, so no `ProtectHostname`; plugins and some agents compile as they run, so no `MemoryDenyWriteExecute`.

use std::{os::unix::fs::MetadataExt as _, path::Path};

use crate::cli::BadArgument;

/// How long a stop may take, in seconds: the gateway's own 60 for what is under way, and some for the rest.
const STOP_SECONDS: u32 = 75;

/// How long it waits before it starts again, in seconds.
const RESTART_SECONDS: u32 = 5;

/// What a gateway of the machine and one of a user have alike; filters of system calls only, which need no namespace.
const HARDENED: &str = "\
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
KeyringMode=private
UMask=0077
";

/// What only the machine's systemd can do.
const HARDENED_SYSTEM: &str = "\
ProtectSystem=strict
ProtectKernelModules=yes
ProtectClock=yes
PrivateTmp=yes
";

/// Of root's powers those that a gateway which runs as root has no use for.
const DROPPED: &str = "\
CapabilityBoundingSet=~CAP_SYS_MODULE CAP_SYS_RAWIO CAP_SYS_TIME CAP_SYS_BOOT CAP_SYS_PACCT CAP_SYS_TTY_CONFIG \
CAP_SYSLOG CAP_WAKE_ALARM CAP_BPF CAP_PERFMON CAP_AUDIT_CONTROL CAP_AUDIT_READ CAP_MAC_ADMIN CAP_MAC_OVERRIDE \
CAP_LINUX_IMMUTABLE CAP_NET_RAW
";

/// What the unit is of.
pub(super) struct Unit<'a> {
    pub(super) exe: &'a Path,
    pub(super) home: &'a Path,
    pub(super) is_user: bool,
}

impl Unit<'_> {
    pub(super) fn text(&self) -> Result<String, BadArgument> {
        let (exe, home) = (escaped(self.exe)?, escaped(self.home)?);
        let network = if self.is_user {
            ""
        } else {
            "After=network-online.target\nWants=network-online.target\n"
        };
        let wanted_by = if self.is_user { "default.target" } else { "multi-user.target" };
        let machine = if self.is_user { String::new() } else { self.of_machine(&home) };
        Ok(format!(
            "# Written by `nanogridbot service install`; what you add belongs into a drop-in: `systemctl edit nanogridbot`.\n\
             [Unit]\n\
             Description=NanoGridBot, a gateway between chats and agents\n\
             {network}\n\
             [Service]\n\
             Type=exec\n\
             ExecStart={exe} --home {home} serve\n\
             Restart=on-failure\n\
             RestartSec={RESTART_SECONDS}\n\
             # Settings have to be changed first.\n\
             RestartPreventExitStatus=2\n\
             # The first signal is the gateway's alone: agents may end what they do.\n\
             KillMode=mixed\n\
             TimeoutStopSec={STOP_SECONDS}\n\
             # Each agent has a control group of its own; one that takes too much memory is no reason to end the gateway.\n\
             Delegate=yes\n\
             OOMPolicy=continue\n\
             \n\
             {HARDENED}{machine}\n\
             [Install]\n\
             WantedBy={wanted_by}\n"
        ))
    }

    /// The gateway runs as who owns its home.
    fn of_machine(&self, home: &str) -> String {
        let owner = self.home.metadata().map_or(0, |it| it.uid());
        let who = match owner {
            0 => DROPPED.to_owned(),
            uid => format!("User={uid}\nCapabilityBoundingSet=\n"),
        };
        // A folder that agents may change is named in a drop-in with a `ReadWritePaths` of its own.
        format!("{HARDENED_SYSTEM}ReadWritePaths={home}\n{who}")
    }
}

/// A path as systemd reads it.
fn escaped(path: &Path) -> Result<String, BadArgument> {
    let text = path.to_str().filter(|it| !it.contains(char::is_control));
    let why = || BadArgument(format!("systemd can't be told of the path `{}`", path.display()));
    let text = text.ok_or_else(why)?;
    let text =
        text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    Ok(format!("\"{text}\""))
}

/// Who runs this, by name or number.
pub(super) fn user_name() -> String {
    let uid = rustix::process::getuid().as_raw();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let of = |line: &str| {
        let parts: Vec<&str> = line.split(':').collect();
        (parts.get(2)?.parse() == Ok(uid)).then(|| parts[0].to_owned())
    };
    passwd.lines().find_map(of).unwrap_or_else(|| uid.to_string())
}
